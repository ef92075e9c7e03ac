//! Small forms of the vectors, on every engine: the graph stays what it is, similarities stay true, and little is lost.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;

use support::{METRICS, contexts, integer_rows, random_rows, recall, sign_rows, vectors};
use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::{
    CollectionOptions, FallbackPolicy, HnswConfig, Precision, SearchOptions, SearchPath,
};
use vectorizer::engine::{Hits, SlotSet};
use vectorizer::gpu::context::Context;
use vectorizer::gpu::memory::Label;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;
use vectorizer::store::Durability;

const SMALL: [Precision; 2] = [Precision::F16, Precision::Int8];

fn options(precision: Precision) -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 8,
            ef_construction: 40,
            ..HnswConfig::default()
        },
        precision,
        ..CollectionOptions::default()
    }
}

fn graph(ef: usize) -> SearchOptions {
    SearchOptions {
        path: SearchPath::Graph,
        ef: Some(ef),
        ..SearchOptions::default()
    }
}

fn built(
    context: &Context,
    dimension: usize,
    metric: DistanceMetric,
    precision: Precision,
    rows: &[f32],
) -> HnswGraph {
    let mut graph = HnswGraph::new(context, dimension, metric, options(precision)).unwrap();
    // In two parts, of which the second is small.
    let (first, second) = rows.split_at(rows.len() - 5 * dimension);
    graph.append(first).unwrap();
    graph.append(second).unwrap();
    graph.build(|_| ControlFlow::Continue(())).unwrap();
    graph
}

fn answers(of: &HnswGraph, queries: &[f32], k: usize, ef: usize) -> Hits {
    let answer = of.search(queries, k, &graph(ef)).unwrap();
    assert_eq!(answer.path, SearchPath::Graph);
    answer.hits
}

/// Ids and the bits of scores.
fn bits(hits: &Hits) -> Vec<Vec<(u32, u32)>> {
    hits.iter()
        .map(|hits| {
            let one = |hit: &vectorizer::engine::Neighbor| (hit.slot, hit.score.to_bits());
            hits.iter().map(one).collect()
        })
        .collect()
}

#[test]
fn the_graph_and_the_answers_for_small_whole_numbers_are_the_same_in_every_form() {
    for metric in METRICS {
        // Unit rows have to be exact too.
        let (dimension, rows) = match metric {
            DistanceMetric::Cosine => (64, sign_rows(1, 240, 64)),
            _ => (19, integer_rows(1, 240, 19)),
        };
        let queries = &rows[..30 * dimension];
        let allowed: SlotSet = (0..240).filter(|slot| slot % 3 == 1).collect();
        let mut seen = None;
        for context in contexts() {
            for &precision in Precision::ALL {
                let graph_of = built(&context, dimension, metric, precision, &rows);
                assert_eq!(graph_of.storage().precision(), precision);
                let links: Vec<_> = (0..=graph_of.stats().top_level)
                    .map(|level| graph_of.links(level).unwrap())
                    .collect();
                let among = graph_of
                    .search_among(queries, 6, &graph(24), Some(&allowed))
                    .unwrap();
                let now = (
                    links,
                    bits(&answers(&graph_of, queries, 7, 20)),
                    bits(&among.hits),
                );
                let first = seen.get_or_insert_with(|| now.clone());
                assert_eq!(now, *first, "{context}, {metric}, {precision}");
            }
        }
    }
}

#[test]
fn little_is_lost_and_similarities_are_true() {
    let seed = 11;
    let (count, dimension, k) = (1000, 48, 10);
    // A few directions matter more than others, and no component is about 0, as with embeddings.
    let mut rows = random_rows(seed, count + 50, dimension);
    for row in rows.chunks_exact_mut(dimension) {
        for (at, value) in row.iter_mut().enumerate() {
            *value = (*value + 0.25) / (1.0 + at as f32 / 4.0);
        }
    }
    let (rows, queries) = rows.split_at(count * dimension);
    for context in contexts() {
        for (turn, metric) in METRICS.into_iter().enumerate() {
            let mut full = 0.0;
            for &precision in Precision::ALL {
                // A software adapter is slow: beside the full form, each metric has one of the small ones there.
                let skipped = SMALL[turn % 2];
                if !context.device().is_cpu() && precision == skipped {
                    continue;
                }
                let graph_of = built(&context, dimension, metric, precision, rows);
                let hits = answers(&graph_of, queries, k, 32);
                let exact = graph_of.storage().search(queries, count).unwrap();
                let mut mean = 0.0;
                for (at, query) in queries.chunks_exact(dimension).enumerate() {
                    let slots: Vec<u32> = hits.of(at).iter().map(|hit| hit.slot).collect();
                    mean += recall(metric, rows, query, &slots, k) / 50.0;
                    for hit in hits.of(at) {
                        let truth = exact.of(at).iter().find(|one| one.slot == hit.slot);
                        assert_eq!(
                            hit.score.to_bits(),
                            truth.unwrap().score.to_bits(),
                            "{context}, {metric}, {precision}: a score that is not the vectors'"
                        );
                    }
                    assert!(hits.of(at).is_sorted(), "{context}, {metric}, {precision}");
                }
                if precision.is_full() {
                    full = mean;
                }
                assert!(
                    mean >= 0.93 && mean >= full - 0.015,
                    "{context}, {metric}, {precision}: recall {mean:.4}, in full {full:.4}, seed {seed}"
                );
            }
        }
    }
}

#[test]
fn an_answer_does_not_depend_on_its_batch() {
    let dimension = 33;
    let rows = random_rows(5, 600, dimension);
    let queries = random_rows(6, 24, dimension);
    for context in contexts() {
        for precision in SMALL {
            let of = built(
                &context,
                dimension,
                DistanceMetric::Euclidean,
                precision,
                &rows,
            );
            let together = bits(&answers(&of, &queries, 8, 16));
            for (query, expected) in queries.chunks_exact(dimension).zip(&together) {
                let alone = bits(&answers(&of, query, 8, 16));
                assert_eq!(&alone[0], expected, "{context}, {precision}");
            }
        }
    }
}

#[test]
fn sizes_at_which_halves_overflow_or_vanish_cost_no_recall() {
    let (count, dimension) = (500, 24);
    for context in contexts() {
        for (metric, size) in [
            (DistanceMetric::Euclidean, 1e6),
            (DistanceMetric::Euclidean, 1e15),
            (DistanceMetric::Euclidean, 1e-9),
            (DistanceMetric::DotProduct, 3e8),
            (DistanceMetric::Cosine, 1e30),
        ] {
            let rows: Vec<f32> = random_rows(8, count + 20, dimension)
                .iter()
                .map(|x| x * size)
                .collect();
            let (rows, queries) = rows.split_at(count * dimension);
            for precision in SMALL {
                let of = built(&context, dimension, metric, precision, rows);
                let hits = answers(&of, queries, 5, 40);
                let exact = of.storage().search(queries, 5).unwrap();
                let found: usize = hits
                    .iter()
                    .zip(exact.iter())
                    .map(|(hits, exact)| {
                        let near =
                            |hit: &&vectorizer::engine::Neighbor| hit.score <= exact[4].score;
                        hits.iter().filter(near).count()
                    })
                    .sum();
                assert!(
                    found >= 95,
                    "{context}, {metric}, {precision} of {size}: {found} of 100"
                );
                for (slot, row) in (0..).zip(rows.chunks_exact(dimension)).step_by(97) {
                    assert_eq!(of.get(slot).unwrap().unwrap(), row);
                }
            }
        }
    }
}

#[test]
fn vectors_of_nothing_and_of_one_number_are_found() {
    for context in contexts() {
        for metric in METRICS {
            for dimension in [1, 3, 17] {
                let mut rows = integer_rows(4, 120, dimension);
                rows[..dimension].fill(0.0);
                rows[dimension..2 * dimension].fill(7.5);
                rows[2 * dimension..3 * dimension].fill(-7.5);
                let mut full = None;
                for &precision in Precision::ALL {
                    let of = built(&context, dimension, metric, precision, &rows);
                    let found = answers(&of, &rows[..3 * dimension], 3, 120);
                    let found = bits(&found);
                    let expected = full.get_or_insert_with(|| found.clone());
                    let scores = |of: &[Vec<(u32, u32)>]| {
                        let scores =
                            |hits: &Vec<(u32, u32)>| hits.iter().map(|hit| hit.1).collect();
                        of.iter().map(scores).collect::<Vec<Vec<u32>>>()
                    };
                    assert_eq!(
                        scores(&found),
                        scores(expected),
                        "{context}, {metric}, {dimension}, {precision}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_added_deleted_moved_and_opened_again_keeps_its_form() {
    let (count, dimension) = (1400, 20);
    let rows = integer_rows(9, count, dimension);
    let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(25).collect();
    for context in contexts() {
        for precision in SMALL {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("small");
            let options = CollectionOptions {
                fallback: FallbackPolicy::Spill,
                ..options(precision)
            };
            let collection = Collection::create_with(
                &path,
                &context,
                dimension,
                DistanceMetric::Euclidean,
                options,
                Durability::OnFlush,
            )
            .unwrap();
            let all = vectors(&rows, dimension);
            collection.add_vectors_batch(&all[..1100]).unwrap();
            collection.optimize().unwrap();
            // A tail beside the graph.
            collection.add_vectors_batch(&all[1100..]).unwrap();
            let find = |of: &Collection| of.search_batch_with(&queries, 6, &graph(64)).unwrap();
            let before = find(&collection);
            assert!(
                before
                    .iter()
                    .enumerate()
                    .all(|(at, hits)| hits[0].distance == 0.0
                        && hits.iter().any(|hit| hit.id == format!("v{at}")))
            );
            collection.optimize().unwrap();
            let ids: Vec<String> = (0..count)
                .filter(|v| v % 3 == 2)
                .map(|v| format!("v{v}"))
                .collect();
            collection.delete_batch(&ids).unwrap();
            collection.compact().unwrap();
            let after = find(&collection);
            collection.check().unwrap();
            let stats = collection.stats();
            assert_eq!((stats.precision, stats.dead_slots), (precision, 0));
            assert!(stats.graph.graph_queries > 0);
            collection.close().unwrap();

            assert_eq!(Collection::describe(&path).unwrap().precision, precision);
            let opened = Collection::open_with(&path, &context, OpenOptions::default(), |_| {
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(opened.options().precision, precision);
            assert_eq!(find(&opened), after, "{context}, {precision}");
            assert!(Collection::check_files(folder.path().join("none")).is_err());
            opened.close().unwrap();
            assert!(Collection::check_files(&path).unwrap().problems.is_empty());
        }
    }
}

#[test]
fn a_graph_moves_between_engines_with_its_small_form() {
    let dimension = 21;
    let rows = integer_rows(2, 500, dimension);
    for from in contexts() {
        for to in contexts() {
            for precision in SMALL {
                let mut of = built(
                    &from,
                    dimension,
                    DistanceMetric::Euclidean,
                    precision,
                    &rows,
                );
                let before = bits(&answers(&of, &rows[..210], 5, 16));
                of.move_to(&to, 1).unwrap();
                assert_eq!(of.storage().precision(), precision);
                let after = bits(&answers(&of, &rows[..210], 5, 16));
                assert_eq!(after, before, "{from} to {to}, {precision}");
            }
        }
    }
}

#[test]
fn memory_is_what_was_said_and_walked_rows_are_a_quarter() {
    for context in contexts() {
        for (count, dimension) in [(400, 784), (600, 100), (1000, 7)] {
            let mut searched = Vec::new();
            for &precision in Precision::ALL {
                let own = context.with_limit(None);
                let options = options(precision);
                let estimate = own.estimate_memory_with(count, dimension, &options);
                let mut graph =
                    HnswGraph::new(&own, dimension, DistanceMetric::Euclidean, options).unwrap();
                graph.append(&random_rows(1, count, dimension)).unwrap();
                let taken = own.device().ledger().account(Label::Rows).taken;
                let off = estimate.rows.abs_diff(taken) as f64 / taken as f64;
                assert!(
                    off <= 0.05,
                    "{context}, {count} x {dimension}, {precision}: rows were to take {} bytes and took {taken}",
                    estimate.rows
                );
                searched.push(graph.storage().searched_bytes() as f64);
            }
            if dimension == 784 {
                assert!(searched[1] / searched[0] < 0.51, "{searched:?}");
                assert!(searched[2] / searched[0] < 0.26, "{searched:?}");
            }
        }
    }
}
