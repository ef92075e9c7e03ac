//! Graphs of which only a part may be found, and from which the dead are taken out, on every engine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;

use support::{contexts, distance, integer_rows, random_rows};
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::engine::{Neighbor, SlotSet};
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;

fn by(path: SearchPath) -> SearchOptions {
    SearchOptions {
        path,
        ..SearchOptions::default()
    }
}

fn built(
    context: &Context,
    dimension: usize,
    rows: &[f32],
    options: CollectionOptions,
) -> HnswGraph {
    let mut graph = HnswGraph::new(context, dimension, DistanceMetric::Euclidean, options).unwrap();
    graph.append(rows).unwrap();
    graph.build(|_| ControlFlow::Continue(())).unwrap();
    graph
}

fn plain(context: &Context, dimension: usize, rows: &[f32]) -> HnswGraph {
    built(context, dimension, rows, CollectionOptions::default())
}

/// Points around a few centres, as real vectors are.
fn clusters(seed: u64, count: usize, dimension: usize, centres: usize) -> Vec<f32> {
    let middles = random_rows(seed, centres, dimension);
    let mut random = fastrand::Rng::with_seed(seed + 1);
    let mut rows = Vec::with_capacity(count * dimension);
    for _ in 0..count {
        let middle = random.usize(0..centres) * dimension;
        let around = middles[middle..][..dimension].iter();
        rows.extend(around.map(|x| x + 0.3 * (random.f32() + random.f32() - 1.0)));
    }
    rows
}

/// Every slot of `count`.
fn slots(count: usize) -> std::ops::Range<u32> {
    0..u32::try_from(count).unwrap()
}

fn some(seed: u64, count: usize, share: f64) -> SlotSet {
    let mut random = fastrand::Rng::with_seed(seed);
    slots(count).filter(|_| random.f64() < share).collect()
}

/// The `min(k, allowed)` nearest allowed rows in f64.
fn nearest(rows: &[f32], query: &[f32], k: usize, allowed: &SlotSet) -> Vec<(f64, u32)> {
    let row = |slot: u32| &rows[slot as usize * query.len()..][..query.len()];
    let scored = allowed
        .iter()
        .map(|slot| (distance(DistanceMetric::Euclidean, query, row(slot)), slot));
    let mut all: Vec<_> = scored.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

/// Mean recall@10 among the allowed, each query by its own walk through the graph. Every result has to be allowed, and none may lack.
fn recall(
    graph: &HnswGraph,
    rows: &[f32],
    queries: &[f32],
    allowed: &SlotSet,
    path: SearchPath,
) -> f64 {
    let dimension = graph.dimension();
    let found = graph
        .search_among(queries, 10, &by(path), Some(allowed))
        .unwrap()
        .hits;
    let mut sum = 0.0;
    for (query, hits) in queries.chunks_exact(dimension).zip(found.iter()) {
        let truth = nearest(rows, query, 10, allowed);
        assert_eq!(hits.len(), truth.len());
        assert!(
            hits.iter().all(|hit| allowed.contains(hit.slot)),
            "{hits:?}"
        );
        let bound = truth.last().map_or(0.0, |last| last.0 * (1.0 + 1e-6));
        let row = |hit: &Neighbor| &rows[hit.slot as usize * dimension..][..dimension];
        let near = hits
            .iter()
            .filter(|hit| distance(DistanceMetric::Euclidean, query, row(hit)) <= bound);
        sum += near.count() as f64 / truth.len() as f64;
    }
    sum / found.queries() as f64
}

#[test]
fn every_engine_finds_the_same_among_some_and_alone_as_in_company() {
    for (count, dimension, share, ks) in [
        (40, 3, 0.5, &[1, 100][..]),
        (600, 16, 0.9, &[10]),
        (600, 70, 0.4, &[10, 100]),
        (600, 16, 0.1, &[10]),
        (600, 16, 0.03, &[10]),
    ] {
        let seed = count as u64 + dimension as u64;
        let rows = integer_rows(seed, count, dimension);
        let queries = integer_rows(seed + 1, 80, dimension);
        let graphs: Vec<_> = contexts()
            .iter()
            .map(|context| plain(context, dimension, &rows))
            .collect();
        let random = some(seed + 2, count, share);
        let corner = slots(count)
            .filter(|slot| rows[*slot as usize * dimension] > 4.0)
            .collect();
        for (allowed, told) in [(random, "random"), (corner, "a corner")] {
            let told = format!(
                "{count} x {dimension}, {told}, {} allowed, seed {seed}",
                allowed.len()
            );
            for path in [SearchPath::Graph, SearchPath::Exact] {
                for &k in ks {
                    let all: Vec<_> = graphs
                        .iter()
                        .map(|graph| {
                            graph
                                .search_among(&queries, k, &by(path), Some(&allowed))
                                .unwrap()
                        })
                        .collect();
                    for found in &all {
                        assert_eq!(found, &all[0], "{told}, k {k}");
                    }
                    if path == SearchPath::Exact {
                        let query = &queries[..dimension];
                        let truth = nearest(&rows, query, k, &allowed);
                        let slots =
                            |hits: &[Neighbor]| hits.iter().map(|hit| hit.slot).collect::<Vec<_>>();
                        assert_eq!(
                            slots(all[0].hits.of(0)),
                            truth.iter().map(|t| t.1).collect::<Vec<_>>(),
                            "{told}, k {k}"
                        );
                    }
                    for graph in &graphs {
                        let at = 77;
                        let query = &queries[at * dimension..][..dimension];
                        let alone = graph
                            .search_among(query, k, &by(path), Some(&allowed))
                            .unwrap();
                        assert_eq!(
                            alone.hits.of(0),
                            all[0].hits.of(at),
                            "{told}, query {at} alone, k {k}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn recall_holds_however_few_may_be_found_and_wherever_they_live() {
    let (seed, dimension) = (31, 24);
    for context in contexts() {
        // A software adapter is slow.
        let (count, asked, alone) = if !context.device().is_cpu() {
            (1200, 40, 8)
        } else {
            (10_000, 100, 20)
        };
        let rows = clusters(seed, count, dimension, 50);
        let queries = clusters(seed, count + asked, dimension, 50)[count * dimension..].to_vec();
        let graph = plain(&context, dimension, &rows);
        let sets = [0.01, 0.1, 0.5, 0.9].map(|share| some(7, count, share));
        for allowed in &sets {
            for path in [SearchPath::Auto, SearchPath::Graph] {
                let recall = recall(&graph, &rows, &queries, allowed, path);
                let told = format!(
                    "{context}: {} of {count}, {path:?}, seed {seed}",
                    allowed.len()
                );
                assert!(recall >= 0.95, "{told}: recall {recall}");
            }
        }
        // Half of the space, asked about from both halves; and one ball, asked about from everywhere.
        let value = |slot: u32| rows[slot as usize * dimension];
        let half: SlotSet = slots(count).filter(|slot| value(*slot) > 0.0).collect();
        let ball = nearest(&rows, &rows[..dimension], count / 10, &SlotSet::full(count));
        let ball: SlotSet = ball.into_iter().map(|(_, slot)| slot).collect();
        for (allowed, told) in [(&half, "half of the space"), (&ball, "a ball")] {
            let recall = recall(&graph, &rows, &queries, allowed, SearchPath::Graph);
            assert!(
                recall >= 0.95,
                "{context}: {told}, seed {seed}: recall {recall}"
            );
        }
        // What is near or far of each query itself.
        let mut far = [0.0; 4];
        let some_queries = queries.chunks_exact(dimension).take(alone);
        for query in some_queries {
            let order = nearest(&rows, query, count, &SlotSet::full(count));
            let set = |range: std::ops::Range<usize>| {
                order[range]
                    .iter()
                    .map(|(_, slot)| *slot)
                    .collect::<SlotSet>()
            };
            let sets = [
                set(0..count / 10),
                set(0..count / 2),
                set(count / 2..count),
                set(count / 10 * 9..count),
            ];
            for (sum, allowed) in far.iter_mut().zip(&sets) {
                *sum += recall(&graph, &rows, query, allowed, SearchPath::Graph) / alone as f64;
            }
        }
        assert!(
            far.iter().all(|recall| *recall >= 0.95),
            "{context}, seed {seed}: {far:?}"
        );
        let stats = graph.stats();
        assert!(
            stats.rescued_queries > 0 && stats.filtered_queries > stats.rescued_queries,
            "{stats:?}"
        );
    }
}

#[test]
fn every_engine_is_left_with_the_same_graph_when_the_dead_are_taken_out() {
    for (count, dimension, m, share) in [
        (1, 3, 16, 0.0),
        (40, 3, 16, 0.7),
        (600, 16, 16, 0.99),
        (600, 16, 5, 0.7),
        (1100, 16, 16, 0.75),
        (400, 33, 40, 0.3),
        (800, 16, 16, 0.05),
        (300, 16, 16, 0.0),
    ] {
        let seed = (count + m) as u64;
        let rows = integer_rows(seed, count, dimension);
        let options = CollectionOptions {
            hnsw: HnswConfig {
                max_connections: m,
                ..HnswConfig::default()
            },
            ..CollectionOptions::default()
        };
        let alive = some(seed + 2, count, share);
        let told = format!(
            "{} of {count} x {dimension}, M {m}, seed {seed}",
            alive.len()
        );
        let graphs: Vec<_> = contexts()
            .iter()
            .map(|context| {
                let mut graph = built(context, dimension, &rows, options);
                graph.consolidate(&alive).unwrap();
                graph
                    .check()
                    .unwrap_or_else(|error| panic!("{context}: {told}: {error}"));
                assert_eq!((graph.len(), graph.linked()), (alive.len(), alive.len()));
                for (number, slot) in (0..).zip(alive.iter()) {
                    let row = &rows[slot as usize * dimension..][..dimension];
                    assert_eq!(
                        graph.get(number).unwrap().unwrap(),
                        row,
                        "{context}: {told}"
                    );
                }
                graph
            })
            .collect();
        for graph in &graphs[1..] {
            assert_eq!(
                graph.topology().unwrap(),
                graphs[0].topology().unwrap(),
                "{told}"
            );
        }
    }
}

#[test]
fn without_the_dead_a_graph_is_as_good_as_a_new_one() {
    let (seed, dimension) = (77, 24);
    for context in contexts() {
        let (count, asked) = if !context.device().is_cpu() {
            (1200, 60)
        } else {
            (10_000, 200)
        };
        let rows = clusters(seed, count, dimension, 40);
        let queries = clusters(seed, count + asked, dimension, 40)[count * dimension..].to_vec();
        for share in [0.75, 0.5] {
            let alive = some(seed, count, share);
            let mut graph = plain(&context, dimension, &rows);
            graph.consolidate(&alive).unwrap();
            graph.check().unwrap();
            let left: Vec<f32> = alive
                .iter()
                .flat_map(|slot| {
                    rows[slot as usize * dimension..][..dimension]
                        .iter()
                        .copied()
                })
                .collect();
            let all = SlotSet::full(alive.len());
            let fresh = plain(&context, dimension, &left);
            let [ours, theirs] = [&graph, &fresh]
                .map(|graph| recall(graph, &left, &queries, &all, SearchPath::Graph));
            let told = format!("{context}: {share} of {count}, seed {seed}");
            assert!(
                ours >= theirs - 0.01,
                "{told}: recall {ours}, of a new graph {theirs}"
            );
        }
    }
}

#[test]
fn losses_add_up_until_the_rest_is_linked_anew() {
    // Three times 15 of 100: brought together, brought together, linked anew with 61 of 100 left.
    let (seed, dimension) = (21, 32);
    let mut rows = random_rows(seed, 6000, dimension);
    let mut graph = plain(&Context::cpu(), dimension, &rows);
    let mut links = Vec::new();
    for round in 0..3 {
        let alive = some(seed + round, graph.len(), 0.85);
        graph.consolidate(&alive).unwrap();
        graph.check().unwrap();
        let row = |slot: u32| &rows[slot as usize * dimension..][..dimension];
        rows = alive.iter().flat_map(row).copied().collect();
        links.push(
            graph.links(0).unwrap() == plain(&Context::cpu(), dimension, &rows).links(0).unwrap(),
        );
    }
    assert_eq!(links, [false, false, true], "seed {seed}");
}

#[test]
fn slots_that_come_later_are_linked_to_what_is_left() {
    for context in contexts() {
        // Before the dead are taken out, with a tail, and in the end.
        let [linked, tailed, count] = if context.device().is_cpu() {
            [2000, 2500, 3000]
        } else {
            [500, 600, 800]
        };
        let dimension = 12;
        let rows = random_rows(5, count, dimension);
        let mut graph = plain(&context, dimension, &rows[..linked * dimension]);
        let alive = some(3, linked, 0.8);
        graph
            .append(&rows[linked * dimension..tailed * dimension])
            .unwrap();
        let mut with_tail = alive.clone();
        with_tail.extend(slots(tailed).skip(linked));
        with_tail.remove(slots(linked).end + 1);
        graph.consolidate(&with_tail).unwrap();
        assert_eq!(
            (graph.len(), graph.linked()),
            (with_tail.len(), alive.len())
        );
        graph.append(&rows[tailed * dimension..]).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph.check().unwrap();
        let left: Vec<f32> = with_tail
            .iter()
            .chain(slots(count).skip(tailed))
            .flat_map(|slot| {
                rows[slot as usize * dimension..][..dimension]
                    .iter()
                    .copied()
            })
            .collect();
        let queries = random_rows(6, 100, dimension);
        let all = SlotSet::full(graph.len());
        let recall = recall(&graph, &left, &queries, &all, SearchPath::Graph);
        assert!(recall >= 0.98, "{context}: recall {recall}");
    }
}

#[test]
fn filters_that_allow_only_copies_or_only_what_lies_far_off_find_it() {
    let (seed, dimension) = (57, 12);
    for context in contexts() {
        let count = if context.device().is_cpu() { 6000 } else { 700 };
        let mut rows = clusters(seed, count, dimension, 20);
        let copy: Vec<f32> = rows[..dimension].to_vec();
        let is_copy = |slot: u32| slot.is_multiple_of(10);
        let is_far = |slot: u32| !is_copy(slot) && slot % 9 == 4;
        for (slot, row) in (0u32..).zip(rows.chunks_exact_mut(dimension)) {
            if is_copy(slot) {
                row.copy_from_slice(&copy);
            } else if is_far(slot) {
                row.iter_mut().for_each(|component| *component += 20.0);
            }
        }
        let graph = plain(&context, dimension, &rows);
        let mut queries = random_rows(seed, 20, dimension);
        queries.extend(&copy);
        queries.extend(copy.iter().map(|component| component + 20.0));
        let some: SlotSet = slots(count)
            .filter(|slot| is_copy(*slot) && slot % 3 == 1)
            .collect();
        for (allowed, told) in [
            (
                slots(count).filter(|slot| is_copy(*slot)).collect(),
                "copies",
            ),
            (some, "few of the copies"),
            (
                slots(count).filter(|slot| is_far(*slot)).collect(),
                "a far cluster",
            ),
            (
                slots(count).filter(|slot| !is_far(*slot)).collect(),
                "all but it",
            ),
            (SlotSet::from_iter([4]), "one slot"),
        ] {
            for path in [SearchPath::Auto, SearchPath::Graph] {
                let recall = recall(&graph, &rows, &queries, &allowed, path);
                assert!(
                    recall >= 0.95,
                    "{context}: {told}, {path:?}, seed {seed}: recall {recall}"
                );
            }
        }
    }
}
