//! Vectors in RAM, their small form on the device: graph and answers stay what they are, and the device has a quarter of the memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;

use support::{contexts, integer_rows, random_rows, recall, sign_rows, vectors};
use vectorizer::collection::{Collection, FallbackKind, OpenOptions};
use vectorizer::config::{
    CollectionOptions, FallbackPolicy, FullRows, HnswConfig, Precision, SearchOptions, SearchPath,
};
use vectorizer::engine::{Hits, SlotSet};
use vectorizer::error::VectorizerError;
use vectorizer::filter::Filter;
use vectorizer::gpu::context::Context;
use vectorizer::gpu::memory::Label;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::{DistanceMetric, Payload, SearchResult, Vector};
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
    for metric in METRICS {
        for (count, dimension) in [(1, 3), (2, 1), (33, 17), (240, 16), (700, 64)] {
            // Unit rows have to be exact too.
            let rows = match metric {
                DistanceMetric::Cosine if !matches!(dimension, 16 | 64) => continue,
                DistanceMetric::Cosine => sign_rows(1, count, dimension),
                _ => integer_rows(1, count, dimension),
            };
            let queries = integer_rows(2, 20, dimension);
            let queries = if metric == DistanceMetric::Cosine {
                sign_rows(2, 20, dimension)
            } else {
                queries
            };
            let beams = [(1, 1), (20, 7), (10, 10), (64, 3), (5, 400)];
            for precision in SMALL {
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
            (800, 784, Precision::Int8, 0.26),
            (800, 784, Precision::F16, 0.51),
            (2000, 100, Precision::Int8, 0.33),
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

fn open(path: &std::path::Path, context: &Context, full_rows: Option<FullRows>) -> Collection {
    let options = OpenOptions {
        full_rows,
        ..OpenOptions::default()
    };
    Collection::open_with(path, context, options, |_| ControlFlow::Continue(())).unwrap()
}

fn with_kinds(rows: &[f32], dimension: usize) -> Vec<Vector> {
    let mut all = vectors(rows, dimension);
    for (at, vector) in all.iter_mut().enumerate() {
        let kind = serde_json::json!({ "kind": at % 4 });
        vector.payload = Some(Payload::from(kind));
    }
    all
}

/// Adds, links, leaves a tail, deletes, replaces, takes the dead out; what is found after each step.
fn live(collection: &Collection, rows: &[f32], dimension: usize) -> Vec<Vec<Vec<SearchResult>>> {
    let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(25).collect();
    let filter = r#"{"must": [{"key": "kind", "match": {"value": 1}}]}"#;
    let filtered = SearchOptions {
        filter: Some(Filter::from_json(filter).unwrap()),
        ..graph(64)
    };
    let find = || {
        let mut found = collection
            .search_batch_with(&queries, 6, &graph(64))
            .unwrap();
        found.extend(
            collection
                .search_batch_with(&queries, 6, &filtered)
                .unwrap(),
        );
        found
    };
    let all = with_kinds(rows, dimension);
    let count = all.len();
    let ids = |remainder| {
        let numbers = (0..count).filter(move |at| at % 3 == remainder);
        numbers.map(|at| format!("v{at}")).collect::<Vec<_>>()
    };
    collection.add_vectors_batch(&all[..1100]).unwrap();
    collection.optimize().unwrap();
    let mut seen = vec![find()];
    collection.add_vectors_batch(&all[1100..]).unwrap();
    seen.push(find());
    collection.optimize().unwrap();
    seen.push(find());
    collection.delete_batch(&ids(2)[..40]).unwrap();
    let replaced = Vector {
        data: all[9].data.clone(),
        ..all[10].clone()
    };
    collection.upsert_vector(replaced).unwrap();
    seen.push(find());
    collection.consolidate().unwrap();
    seen.push(find());
    collection.delete_batch(&ids(2)[40..]).unwrap();
    collection.compact().unwrap();
    seen.push(find());
    collection.rebuild_hnsw_graph().unwrap();
    seen.push(find());
    collection.check().unwrap();
    seen
}

#[test]
fn a_life_is_that_of_the_cpu_engine_and_is_remembered() {
    let (count, dimension) = (1400, 20);
    let rows = integer_rows(9, count, dimension);
    let metric = DistanceMetric::Euclidean;
    for precision in SMALL {
        let cpu = options(precision, FullRows::Device);
        let cpu = Collection::with_context(&Context::cpu(), dimension, metric, cpu).unwrap();
        let expected = live(&cpu, &rows, dimension);
        let last = expected.last().unwrap();
        for context in contexts() {
            let case = format!("{context}, {precision}");
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kept");
            let options = in_ram(precision);
            let durability = Durability::OnFlush;
            let collection =
                Collection::create_with(&path, &context, dimension, metric, options, durability)
                    .unwrap();
            for (at, (found, expected)) in live(&collection, &rows, dimension)
                .iter()
                .zip(&expected)
                .enumerate()
            {
                assert_eq!(found, expected, "{case}, step {at}");
            }
            assert_eq!(collection.stats().full_rows, FullRows::Ram);
            assert!(collection.stats().graph.graph_queries > 0);
            collection.close().unwrap();

            assert_eq!(
                Collection::describe(&path).unwrap().full_rows,
                FullRows::Ram
            );
            let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(25).collect();
            for (asked, is) in [
                (None, FullRows::Ram),
                (Some(FullRows::Device), FullRows::Device),
                (Some(FullRows::Ram), FullRows::Ram),
            ] {
                let opened = open(&path, &context, asked);
                let stats = opened.stats();
                assert_eq!(
                    (stats.full_rows, stats.precision),
                    (is, precision),
                    "{case}"
                );
                let on_gpu = !context.device().is_cpu();
                assert_eq!(stats.ram_bytes > 0, on_gpu && is == FullRows::Ram, "{case}");
                let found = opened.search_batch_with(&queries, 6, &graph(64)).unwrap();
                assert_eq!(found, last[..25], "{case}, {asked:?}");
                assert_eq!(opened.get_vector("v4").unwrap().data, rows[80..100]);
                opened.close().unwrap();
            }
            // What opening says is for once.
            assert_eq!(
                Collection::describe(&path).unwrap().full_rows,
                FullRows::Ram
            );
            assert!(Collection::check_files(&path).unwrap().problems.is_empty());
        }
    }
}

#[test]
fn a_graph_moves_between_engines() {
    let dimension = 21;
    let rows = integer_rows(2, 500, dimension);
    for from in contexts() {
        for to in contexts() {
            for precision in SMALL {
                let metric = DistanceMetric::Euclidean;
                let mut of = built(&from, dimension, metric, in_ram(precision), &rows);
                let before = seen(&of, &rows[..210], &[(16, 5)]);
                of.move_to(&to, 1).unwrap();
                assert_eq!(of.storage().full_rows(), FullRows::Ram);
                let held = of.storage().ram_bytes() > 0;
                assert_eq!(held, !to.device().is_cpu());
                assert_eq!(
                    seen(&of, &rows[..210], &[(16, 5)]),
                    before,
                    "{from} to {to}"
                );
            }
        }
    }
}

#[test]
fn a_limit_holds_for_the_device_alone() {
    let (count, dimension) = (3000, 256);
    let rows = integer_rows(4, count, dimension);
    for context in contexts() {
        if context.device().is_cpu() {
            continue;
        }
        // Less than the vectors take, and several chunks of their small form.
        let limited = context.with_limit(Some(2 << 20));
        let ledger = limited.device().ledger().clone();
        let metric = DistanceMetric::Euclidean;
        let whole = options(Precision::Int8, FullRows::Device);
        let whole = Collection::with_context(&limited, dimension, metric, whole).unwrap();
        let error = whole
            .add_vectors_batch(vectors(&rows, dimension))
            .unwrap_err();
        assert_eq!(error, VectorizerError::VramFallback);
        drop(whole);

        let in_ram = CollectionOptions {
            fallback: FallbackPolicy::Spill,
            ..in_ram(Precision::Int8)
        };
        let collection = Collection::with_context(&limited, dimension, metric, in_ram).unwrap();
        collection
            .add_vectors_batch(vectors(&rows, dimension))
            .unwrap();
        collection.optimize().unwrap();
        assert!(!collection.is_spilled());
        let stats = collection.stats();
        assert!(
            stats.row_bytes < 1 << 20 && stats.ram_bytes > 3 << 20,
            "{stats:?}"
        );
        assert!(ledger.total().peak <= 2 << 20);
        let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(20).collect();
        let find = || {
            collection
                .search_batch_with(&queries, 4, &graph(50))
                .unwrap()
        };
        let before = find();

        // What does not fit moves everything to RAM, and there is a way back.
        let more: Vec<Vector> = vectors(&integer_rows(5, 4500, dimension), dimension)
            .into_iter()
            .map(|vector| Vector {
                id: format!("w{}", vector.id),
                ..vector
            })
            .collect();
        let ids: Vec<String> = more.iter().map(|vector| vector.id.clone()).collect();
        collection.add_vectors_batch(more).unwrap();
        assert!(collection.is_spilled());
        assert_eq!(
            collection.stats().ram_bytes,
            0,
            "it is all on the CPU's books"
        );
        collection.delete_batch(&ids).unwrap();
        collection.compact().unwrap();
        collection.return_to_device().unwrap();
        assert_eq!(
            (collection.is_spilled(), collection.fallback()),
            (false, None)
        );
        assert_eq!(collection.stats().full_rows, FullRows::Ram);
        let after = find();
        let nearest = |found: &[Vec<SearchResult>]| -> Vec<String> {
            found.iter().map(|hits| hits[0].id.clone()).collect()
        };
        assert_eq!(nearest(&after), nearest(&before));
        collection.check().unwrap();
    }
}

#[test]
fn a_mirror_answers_as_the_device_does() {
    for context in contexts() {
        for precision in SMALL {
            let options = CollectionOptions {
                fallback: FallbackPolicy::Mirror,
                ..in_ram(precision)
            };
            let metric = DistanceMetric::Euclidean;
            let collection = Collection::with_context(&context, 16, metric, options).unwrap();
            let rows = integer_rows(3, 600, 16);
            collection.add_vectors_batch(vectors(&rows, 16)).unwrap();
            collection.optimize().unwrap();
            collection.delete("v5").unwrap();
            let queries: Vec<&[f32]> = rows.chunks(16).take(30).collect();
            let batch = collection
                .search_batch_with(&queries, 5, &graph(32))
                .unwrap();
            for (query, expected) in queries.iter().zip(batch) {
                let alone = collection.search_with(query, 5, &graph(32)).unwrap();
                assert_eq!(alone, expected, "{context}");
            }
        }
    }
}

#[test]
fn a_policy_without_a_way_down_says_what_was_in_the_way() {
    for context in contexts() {
        if context.device().is_cpu() {
            continue;
        }
        let limited = context.with_limit(Some(1 << 18));
        let options = CollectionOptions {
            fallback: FallbackPolicy::Forbid,
            ..in_ram(Precision::Int8)
        };
        let metric = DistanceMetric::DotProduct;
        let collection = Collection::with_context(&limited, 64, metric, options).unwrap();
        let error = collection
            .add_vectors_batch(vectors(&random_rows(1, 9000, 64), 64))
            .unwrap_err();
        assert!(
            matches!(error, VectorizerError::VramLimitExceeded { limit, .. } if limit == 1 << 18),
            "{error}"
        );
        assert_eq!(collection.fallback().unwrap().what, FallbackKind::Refused);
        assert_eq!(collection.stats().ram_bytes, 0);
        // A call that fails has changed nothing.
        collection
            .add_vectors_batch(vectors(&random_rows(1, 50, 64), 64))
            .unwrap();
        assert_eq!(collection.vector_count(), 50);
    }
}
