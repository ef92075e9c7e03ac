//! Vectors in RAM, their small form on the device: graph and answers stay what they are, and the device has a quarter of the memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod life;
#[path = "../support/mod.rs"]
mod support;

use std::ops::ControlFlow;

use support::{contexts, integer_rows, random_rows, recall, sign_rows, vectors};
use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::{
    CollectionOptions, FullRows, HnswConfig, Precision, SearchOptions, SearchPath,
};
use vectorizer::engine::{Hits, SlotSet};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::gpu::memory::Label;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;
use vectorizer::store::Durability;

const SMALL: [Precision; 2] = [Precision::F16, Precision::Int8];
const METRICS: [DistanceMetric; 3] = [
    DistanceMetric::Euclidean,
    DistanceMetric::DotProduct,
    DistanceMetric::Cosine,
];

fn options(precision: Precision, full_rows: FullRows) -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 8,
            ef_construction: 40,
            ..HnswConfig::default()
        },
        precision,
        full_rows,
        ..CollectionOptions::default()
    }
}

fn in_ram(precision: Precision) -> CollectionOptions {
    options(precision, FullRows::Ram)
}

fn graph(ef: usize) -> SearchOptions {
    SearchOptions {
        path: SearchPath::Graph,
        ef: Some(ef),
        ..SearchOptions::default()
    }
}

fn build(graph: &mut HnswGraph) {
    graph.build(|_| ControlFlow::Continue(())).unwrap();
}

/// Built in three runs of linking: of most, of a few, and of one.
fn built(
    context: &Context,
    dimension: usize,
    metric: DistanceMetric,
    options: CollectionOptions,
    rows: &[f32],
) -> HnswGraph {
    let mut graph = HnswGraph::new(context, dimension, metric, options).unwrap();
    let (most, last) = rows.split_at(rows.len() - dimension);
    let (first, second) = most.split_at(most.len().saturating_sub(9 * dimension));
    for part in [first, second, last] {
        graph.append(part).unwrap();
        build(&mut graph);
    }
    graph
}

/// Slots and the bits of scores.
fn bits(hits: &Hits) -> Vec<Vec<(u32, u32)>> {
    hits.iter()
        .map(|hits| {
            let one = |hit: &vectorizer::engine::Neighbor| (hit.slot, hit.score.to_bits());
            hits.iter().map(one).collect()
        })
        .collect()
}

/// All that is seen of a graph: its links, and what it answers, among all and among some.
fn seen(
    graph_of: &HnswGraph,
    queries: &[f32],
    beams: &[(usize, usize)],
) -> impl PartialEq + std::fmt::Debug + use<> {
    let count = u32::try_from(graph_of.len()).unwrap();
    let allowed: SlotSet = (0..count).filter(|slot| slot % 3 == 1).collect();
    let few: SlotSet = (0..count).filter(|slot| slot % 41 == 0).collect();
    let links: Vec<_> = (0..=graph_of.stats().top_level)
        .map(|level| graph_of.links(level).unwrap())
        .collect();
    let find = |(ef, k): &(usize, usize), allowed: Option<&SlotSet>| {
        let answer = graph_of.search_among(queries, *k, &graph(*ef), allowed);
        bits(&answer.unwrap().hits)
    };
    let answers: Vec<_> = beams
        .iter()
        .map(|beam| [None, Some(&allowed), Some(&few)].map(|allowed| find(beam, allowed)))
        .collect();
    (links, answers)
}

#[test]
fn graph_and_answers_are_those_of_the_cpu_engine() {
    for (turn, metric) in METRICS.into_iter().enumerate() {
        for (count, dimension) in [(1, 3), (2, 1), (33, 17), (240, 16), (430, 64)] {
            // Unit rows have to be exact too.
            let rows = match metric {
                DistanceMetric::Cosine if !matches!(dimension, 16 | 64) => continue,
                DistanceMetric::Cosine => sign_rows(1, count, dimension),
                _ => integer_rows(1, count, dimension),
            };
            let make = match metric {
                DistanceMetric::Cosine => sign_rows,
                _ => integer_rows,
            };
            let queries = make(2, 13, dimension);
            let beams = [(1, 1), (20, 7), (10, 10), (64, 3), (5, 400)];
            for (at, precision) in SMALL.into_iter().enumerate() {
                // Walks are slow on a software adapter: each metric and form meet at one of the larger sizes.
                if count > 33 && (count == 240) != ((turn + at) % 2 == 0) {
                    continue;
                }
                let on_device = options(precision, FullRows::Device);
                let cpu = built(&Context::cpu(), dimension, metric, on_device, &rows);
                let expected = seen(&cpu, &queries, &beams);
                for context in contexts() {
                    let case = format!("{context}, {metric}, {count} x {dimension}, {precision}");
                    let of = built(&context, dimension, metric, in_ram(precision), &rows);
                    assert_eq!(of.storage().full_rows(), FullRows::Ram, "{case}");
                    of.check().unwrap();
                    assert_eq!(seen(&of, &queries, &beams), expected, "{case}");
                    let exact = |of: &HnswGraph| bits(&of.storage().search(&queries, 9).unwrap());
                    assert_eq!(exact(&of), exact(&cpu), "{case}");
                }
            }
        }
    }
}

#[test]
fn beams_wider_than_the_device_holds_are_walked_in_ram() {
    let (count, dimension) = (1500, 12);
    let rows = integer_rows(3, count, dimension);
    let queries = &rows[..15 * dimension];
    for precision in SMALL {
        let mut answers = contexts().into_iter().map(|context| {
            let metric = DistanceMetric::Euclidean;
            let of = built(&context, dimension, metric, in_ram(precision), &rows);
            [(1024, 5), (1025, 5), (1400, 1300)].map(|(ef, k)| {
                let answer = of.search(queries, k, &graph(ef)).unwrap();
                assert_eq!(answer.path, SearchPath::Graph);
                bits(&answer.hits)
            })
        });
        let first = answers.next().unwrap();
        assert!(answers.all(|answers| answers == first), "{precision}");
    }
}

#[test]
fn an_answer_does_not_depend_on_its_batch() {
    let dimension = 33;
    let rows = random_rows(5, 600, dimension);
    let queries = random_rows(6, 40, dimension);
    for context in contexts() {
        for precision in SMALL {
            let metric = DistanceMetric::Euclidean;
            let of = built(&context, dimension, metric, in_ram(precision), &rows);
            let find = |queries: &[f32]| bits(&of.search(queries, 8, &graph(16)).unwrap().hits);
            let together = find(&queries);
            for (query, expected) in queries.chunks_exact(dimension).zip(&together) {
                assert_eq!(&find(query)[0], expected, "{context}, {precision}");
            }
        }
    }
}

#[test]
fn little_is_lost_and_similarities_are_true() {
    let (count, dimension, k) = (1200, 48, 10);
    // A few directions matter more than others, and no component is about 0, as with embeddings.
    let mut rows = random_rows(11, count + 50, dimension);
    for row in rows.chunks_exact_mut(dimension) {
        for (at, value) in row.iter_mut().enumerate() {
            *value = (*value + 0.25) / (1.0 + at as f32 / 4.0);
        }
    }
    let (rows, queries) = rows.split_at(count * dimension);
    for context in contexts() {
        for metric in METRICS {
            for precision in SMALL {
                let of = built(&context, dimension, metric, in_ram(precision), rows);
                let hits = of.search(queries, k, &graph(48)).unwrap().hits;
                let exact = of.storage().search(queries, count).unwrap();
                let mut mean = 0.0;
                for (at, query) in queries.chunks_exact(dimension).enumerate() {
                    let slots: Vec<u32> = hits.of(at).iter().map(|hit| hit.slot).collect();
                    mean += recall(metric, rows, query, &slots, k) / 50.0;
                    assert!(hits.of(at).is_sorted());
                    for hit in hits.of(at) {
                        let truth = exact.of(at).iter().find(|one| one.slot == hit.slot);
                        assert_eq!(hit.score.to_bits(), truth.unwrap().score.to_bits());
                    }
                }
                assert!(
                    mean >= 0.95,
                    "{context}, {metric}, {precision}: recall {mean:.4}"
                );
            }
        }
    }
}

#[test]
fn the_device_holds_a_quarter_and_what_was_said() {
    for context in contexts() {
        for (count, dimension, precision, most) in [
            (300, 784, Precision::Int8, 0.26),
            (300, 784, Precision::F16, 0.51),
            (700, 100, Precision::Int8, 0.33),
        ] {
            let taken = |options: &CollectionOptions| {
                let own = context.with_limit(None);
                let estimate = own.estimate_memory_with(count, dimension, options);
                let metric = DistanceMetric::Euclidean;
                let rows = random_rows(1, count, dimension);
                let mut of = HnswGraph::new(&own, dimension, metric, *options).unwrap();
                of.append(&rows).unwrap();
                build(&mut of);
                let account = |label| own.device().ledger().account(label).taken;
                let [rows, links] = [Label::Rows, Label::Graph].map(account);
                let ram = of.storage().ram_bytes();
                for (said, is) in [
                    (estimate.rows, rows),
                    (estimate.graph, links),
                    (estimate.ram, ram),
                ] {
                    let off = said.abs_diff(is) as f64;
                    assert!(
                        off <= 0.05 * is as f64,
                        "{context}, {options:?}: {said} and {is}"
                    );
                }
                (rows as f64, links, ram)
            };
            let full = taken(&CollectionOptions {
                precision: Precision::F32,
                ..options(precision, FullRows::Device)
            });
            let both = taken(&options(precision, FullRows::Device));
            let alone = taken(&in_ram(precision));
            assert_eq!((full.2, both.2), (0, 0));
            if context.device().is_cpu() {
                assert_eq!(alone, both);
                continue;
            }
            assert!(alone.0 <= most * full.0, "{alone:?} of {full:?}");
            assert!(
                alone.0 <= most / (1.0 + most) * both.0 * 1.02,
                "{alone:?} of {both:?}"
            );
            assert_eq!(alone.1, both.1, "links are the same");
            assert!(alone.2 >= (count * dimension * 4) as u64);
        }
    }
}

#[test]
fn vectors_that_are_walked_over_themselves_cannot_be_elsewhere() {
    for context in contexts() {
        let refused = |error: VectorizerError| match error {
            VectorizerError::InvalidConfig {
                field: "full_rows",
                actual,
                expected,
            } => assert!(actual == "ram" && expected.contains("int8"), "{expected}"),
            error => panic!("{error}"),
        };
        let metric = DistanceMetric::Cosine;
        let options = in_ram(Precision::F32);
        refused(HnswGraph::new(&context, 4, metric, options).unwrap_err());
        refused(Collection::with_context(&context, 4, metric, options).unwrap_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        let durability = Durability::OnFlush;
        let create =
            |options| Collection::create_with(&path, &context, 4, metric, options, durability);
        refused(create(options).unwrap_err());
        let full = CollectionOptions {
            full_rows: FullRows::Device,
            ..options
        };
        create(full).unwrap().close().unwrap();
        let options = OpenOptions {
            full_rows: Some(FullRows::Ram),
            ..OpenOptions::default()
        };
        let opened = Collection::open_with(&path, &context, options, |_| ControlFlow::Continue(()));
        refused(opened.unwrap_err());
    }
}
