//! Graphs from which the dead are taken out.

use super::*;

#[test]
fn every_engine_is_left_with_the_same_graph_when_the_dead_are_taken_out() {
    // Below seven eighths the living are linked anew. Those of a region lose most of their links, or all.
    for (count, dimension, m, share, a_region) in [
        (1, 3, 16, 0.0, false),
        (40, 3, 16, 0.9, true),
        (600, 16, 16, 0.99, false),
        (600, 16, 5, 0.92, false),
        (600, 16, 5, 0.9, true),
        (1100, 16, 16, 0.9, true),
        (1100, 16, 16, 0.75, false),
        (400, 33, 40, 0.92, false),
        (400, 33, 40, 0.9, true),
        (900, 8, 64, 0.92, false),
        (900, 8, 64, 0.9, true),
        (800, 16, 16, 0.05, false),
        (300, 16, 16, 0.0, false),
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
        let alive = if a_region {
            all_but_a_region(&rows, dimension, share)
        } else {
            some(seed + 2, count, share)
        };
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

/// All but those nearest to the first.
fn all_but_a_region(rows: &[f32], dimension: usize, share: f64) -> SlotSet {
    let mut alive = SlotSet::full(rows.len() / dimension);
    let dead = (0..alive.len())
        .filter(|&slot| slot as f64 >= share * alive.len() as f64)
        .count();
    for (_, slot) in nearest(rows, &rows[..dimension], dead, &alive.clone()) {
        alive.remove(slot);
    }
    alive
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
        for share in [0.9, 0.5] {
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
    // Three times 5 of 100: brought together, brought together, linked anew with 86 of 100 left.
    let (seed, dimension) = (21, 32);
    let mut rows = random_rows(seed, 6000, dimension);
    let mut graph = plain(&Context::cpu(), dimension, &rows);
    let mut links = Vec::new();
    for round in 0..3 {
        let alive = some(seed + round, graph.len(), 0.95);
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
        let alive = some(3, linked, 0.92);
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

fn with_connections(max_connections: usize) -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig::with_connections(max_connections),
        ..CollectionOptions::default()
    }
}

/// Mean recall@10 at each width of beam.
fn recalls(graph: &HnswGraph, rows: &[f32], queries: &[f32], beams: &[usize]) -> Vec<f64> {
    let (dimension, all) = (graph.dimension(), SlotSet::full(graph.len()));
    let asked = queries.chunks_exact(dimension);
    let bounds: Vec<f64> = asked
        .clone()
        .map(|query| nearest(rows, query, 10, &all)[9].0 * (1.0 + 1e-6))
        .collect();
    let each = beams.iter().map(|ef| {
        let options = SearchOptions {
            ef: Some(*ef),
            ..by(SearchPath::Graph)
        };
        let hits = graph.search(queries, 10, &options).unwrap().hits;
        let row = |hit: &Neighbor| &rows[hit.slot as usize * dimension..][..dimension];
        let found = asked.clone().zip(hits.iter()).zip(&bounds);
        let found = found.map(|((query, hits), bound)| {
            let near = hits
                .iter()
                .filter(|hit| distance(DistanceMetric::Euclidean, query, row(hit)) <= *bound);
            near.count()
        });
        found.sum::<usize>() as f64 / (10 * bounds.len()) as f64
    });
    each.collect()
}

/// Says where `ours` finds less than a new graph of the same vectors.
fn held_to_a_new_one(
    told: &str,
    graph: &HnswGraph,
    rows: &[f32],
    queries: &[f32],
    options: CollectionOptions,
    context: &Context,
) {
    let beams = [16, 31, 64, 128];
    let fresh = built(context, graph.dimension(), rows, options);
    let [ours, theirs] = [graph, &fresh].map(|graph| recalls(graph, rows, queries, &beams));
    for ((ours, theirs), ef) in ours.iter().zip(&theirs).zip(beams) {
        assert!(
            ours >= &(theirs - 0.01),
            "{told}, ef {ef}: recall {ours}, of a new graph {theirs}"
        );
    }
}

#[test]
fn one_in_nine_taken_out_costs_no_recall_at_any_width() {
    let (dimension, seed) = (16, 8);
    for context in contexts() {
        let (count, asked, connections): (_, _, &[usize]) = if context.device().is_cpu() {
            (3000, 400, &[8, 16, 64])
        } else {
            (1000, 200, &[16])
        };
        let rows = random_rows(seed, count, dimension);
        let queries = random_rows(seed + 1, asked, dimension);
        for &m in connections {
            let options = with_connections(m);
            let mut graph = built(&context, dimension, &rows, options);
            let alive: SlotSet = slots(count).filter(|slot| slot % 9 != 0).collect();
            graph.consolidate(&alive).unwrap();
            graph.check().unwrap();
            let row = |slot: u32| &rows[slot as usize * dimension..][..dimension];
            let left: Vec<f32> = alive.iter().flat_map(row).copied().collect();
            let told = format!("{context}, M {m}, seed {seed}");
            held_to_a_new_one(&told, &graph, &left, &queries, options, &context);
        }
    }
}

#[test]
fn twenty_rounds_of_deleting_and_adding_cost_no_recall_at_any_width() {
    let (dimension, count, seed) = (16, 2000, 8);
    let queries = random_rows(seed + 1, 600, dimension);
    for m in [8, 16, 64] {
        let options = with_connections(m);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rows = random_rows(seed + 2, count, dimension);
        let mut graph = built(&Context::cpu(), dimension, &rows, options);
        for round in 1..=20 {
            let alive: SlotSet = slots(count).filter(|_| random.u32(0..6) > 0).collect();
            let more = random_rows(seed + 2 + round, count - alive.len(), dimension);
            let row = |slot: u32| &rows[slot as usize * dimension..][..dimension];
            rows = alive.iter().flat_map(row).chain(&more).copied().collect();
            graph.consolidate(&alive).unwrap();
            graph.append(&more).unwrap();
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            if round % 10 == 0 {
                graph.check().unwrap();
                let told = format!("M {m}, round {round}, seed {seed}");
                held_to_a_new_one(&told, &graph, &rows, &queries, options, &Context::cpu());
            }
        }
    }
}

#[test]
fn rounds_of_adding_and_deleting_in_a_large_collection_cost_no_recall() {
    // More than are linked by their exact neighbours; the rows are nearly full, and what is thinned shows at once.
    let (dimension, count, seed) = (16, 20_000, 4);
    let options = with_connections(8);
    let queries = random_rows(seed, 600, dimension);
    for added_first in [true, false] {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rows = random_rows(seed + 1, count, dimension);
        let mut graph = built(&Context::cpu(), dimension, &rows, options);
        for round in 1..=2 {
            let mut alive: SlotSet = slots(count).filter(|_| random.u32(0..6) > 0).collect();
            let more = random_rows(seed + 1 + round, count - alive.len(), dimension);
            let row = |slot: u32| &rows[slot as usize * dimension..][..dimension];
            let left = alive.iter().flat_map(row).chain(&more).copied().collect();
            if added_first {
                alive.extend(slots(count + more.len() / dimension).skip(count));
            } else {
                graph.consolidate(&alive).unwrap();
            }
            graph.append(&more).unwrap();
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            if added_first {
                graph.consolidate(&alive).unwrap();
            }
            rows = left;
        }
        graph.check().unwrap();
        let told = format!("added first {added_first}, seed {seed}");
        held_to_a_new_one(&told, &graph, &rows, &queries, options, &Context::cpu());
    }
}
