//! Vectors of which there are tens of thousands of copies: zeros of a service that failed for half of the texts.

use std::collections::BTreeSet;

use super::*;
use vectorizer::engine::SlotSet;

const DIMENSION: usize = 16;

/// Collections of `count` vectors of whole numbers with many copies, each with its name.
fn worlds(count: usize) -> [(&'static str, DistanceMetric, Vec<f32>); 5] {
    let own = integer_rows(31, count, DIMENSION);
    let own_row = |at: usize| own[at * DIMENSION..][..DIMENSION].to_vec();
    let rows = |row: &dyn Fn(usize) -> Vec<f32>| (0..count).flat_map(row).collect();
    let half_zero = |at| match at % 2 {
        0 => vec![0.0; DIMENSION],
        _ => own_row(at),
    };
    let copies_first = |at| match at < count / 2 {
        true => vec![0.5; DIMENSION],
        false => own_row(at),
    };
    let all = |_| vec![1.0; DIMENSION];
    [
        ("all equal", DistanceMetric::Euclidean, rows(&all)),
        ("half zero", DistanceMetric::Euclidean, rows(&half_zero)),
        ("half zero", DistanceMetric::DotProduct, rows(&half_zero)),
        (
            "copies first",
            DistanceMetric::Euclidean,
            rows(&copies_first),
        ),
        (
            "ten of them",
            DistanceMetric::Euclidean,
            rows(&|at| own_row(at % 10)),
        ),
    ]
}

fn slot_count(graph: &HnswGraph) -> u32 {
    u32::try_from(graph.len()).unwrap()
}

/// Vectors that look for themselves.
fn some_of(rows: &[f32], every: usize) -> Vec<f32> {
    let rows = rows.chunks_exact(DIMENSION).step_by(every);
    rows.flatten().copied().collect()
}

#[test]
fn copies_take_no_more_work_than_other_vectors() {
    let (count, ef, m) = (18_000, 40, 8);
    let hnsw = HnswConfig {
        ef_construction: ef,
        ..HnswConfig::with_connections(m)
    };
    let options = CollectionOptions {
        hnsw,
        ..CollectionOptions::default()
    };
    // Each is walked for once to be linked and once more, with a beam of 64, to be attached; a walk reads few more rows of links than its beam is
    // wide. The nearest of a batch are compared beside that, and where half are copies, the others are few enough to be compared with each other.
    let rows_read = 2 * (ef + 64);
    let scores = rows_read * 2 * m + count / 4;
    for (name, metric, rows) in worlds(count) {
        let mut graph = HnswGraph::new(&Context::cpu(), DIMENSION, metric, options).unwrap();
        graph.append(&rows).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph.check().unwrap();
        let work = graph.stats().counters;
        let [distances, hops] = [work.distances, work.hops].map(|work| work / count as u64);
        assert!(
            distances <= scores as u64 && hops <= rows_read as u64,
            "{name} {metric}: {distances} scores and {hops} rows of links, expected {scores} and {rows_read} at most"
        );
        let recall = graph_recall(&graph, &rows, &some_of(&rows, 397));
        // As ordinary vectors.
        assert!(recall >= 0.99, "{name} {metric}: recall {recall}");
    }
}

/// How many of vectors that are asked for do not come first in the answer to themselves.
fn lost(graph: &HnswGraph, asked: &[f32]) -> usize {
    let hits = graph.search(asked, 1, &GRAPH).unwrap().hits;
    hits.iter().filter(|hits| hits[0].score > 0.0).count()
}

#[test]
fn what_lies_beside_copies_is_found_as_if_they_were_not_there() {
    // Half of them are more than are linked at once by their exact neighbours.
    let count = 36_000;
    let metric = DistanceMetric::Euclidean;
    for m in [8, 16] {
        let options = CollectionOptions {
            hnsw: HnswConfig::with_connections(m),
            ..CollectionOptions::default()
        };
        let reals = random_rows(41, count, DIMENSION);
        let half = |at: usize| match at % 2 {
            0 => vec![0.0; DIMENSION],
            _ => reals[at * DIMENSION..][..DIMENSION].to_vec(),
        };
        let few = |at: usize| reals[at % 360 * DIMENSION..][..DIMENSION].to_vec();
        let twice = |at: usize| reals[at / 2 * DIMENSION..][..DIMENSION].to_vec();
        type World<'a> = (&'a str, &'a dyn Fn(usize) -> Vec<f32>);
        let first = |at: usize| match at < count / 2 {
            true => vec![0.0; DIMENSION],
            false => reals[at * DIMENSION..][..DIMENSION].to_vec(),
        };
        let worlds: [World<'_>; 4] = [
            ("half are zero", &half),
            ("zeros come first", &first),
            ("a hundred of each", &few),
            ("two of each", &twice),
        ];
        for (name, row) in worlds {
            let rows: Vec<f32> = (0..count).flat_map(row).collect();
            let mut graph = HnswGraph::new(&Context::cpu(), DIMENSION, metric, options).unwrap();
            graph.append(&rows).unwrap();
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            graph.check().unwrap();
            let asked = some_of(&rows[DIMENSION..], 164);
            // Copies are no tail that is compared beside the walk: by itself, a search takes the graph.
            let by_itself = graph.search(&asked, 1, &SearchOptions::default()).unwrap();
            assert_eq!(by_itself.path, SearchPath::Graph, "{name}, M {m}");
            let lost = lost(&graph, &asked);
            assert_eq!(lost, 0, "{name}, M {m}: of {}", asked.len() / DIMENSION);
            // More than there are copies of one, and exactly what is nearest.
            for k in [99, 101, 300] {
                let exact = SearchOptions {
                    path: SearchPath::Exact,
                    ..GRAPH
                };
                let wide = SearchOptions {
                    ef: Some(400),
                    ..GRAPH
                };
                let [ours, truth] = [&wide, &exact].map(|options| {
                    let hits = graph.search(&asked[..20 * DIMENSION], k, options).unwrap();
                    let slots = (0..)
                        .zip(hits.hits.iter())
                        .flat_map(|(query, hits)| hits.iter().map(move |hit| (query, hit.slot)));
                    slots.collect::<BTreeSet<(usize, u32)>>()
                });
                let found = ours.intersection(&truth).count();
                assert!(
                    found * 1000 >= truth.len() * 995,
                    "{name}, M {m}, k {k}: {found} of {}",
                    truth.len()
                );
            }
        }
    }
}

#[test]
fn copies_are_named_where_they_are_allowed() {
    let count = 260u32;
    for context in contexts() {
        for (name, metric, rows) in worlds(count as usize) {
            let mut graph = grown(&context, DIMENSION, metric, &rows, 150);
            // A tail that has copies of what is linked.
            graph.append(&rows[..50 * DIMENSION]).unwrap();
            let sets: [(&str, SlotSet); 5] = [
                ("all", (0..count + 50).collect()),
                ("not the first ten", (10..count + 50).collect()),
                ("the second half", (count / 2..count).collect()),
                ("every seventh", (0..count).step_by(7).collect()),
                ("one", SlotSet::from_iter([count - 2])),
            ];
            for (which, allowed) in sets {
                for k in [1, 31, 310, 311] {
                    let wide = SearchOptions {
                        ef: Some(310),
                        ..GRAPH
                    };
                    let exact = SearchOptions {
                        path: SearchPath::Exact,
                        ..GRAPH
                    };
                    let asked = &rows[..3 * DIMENSION];
                    let [ours, truth] = [&wide, &exact].map(|options| {
                        let answer = graph.search_among(asked, k, options, Some(&allowed));
                        answer.unwrap().hits
                    });
                    for (ours, truth) in ours.iter().zip(truth.iter()) {
                        let case = format!("{context}, {name} {metric}, {which}, k {k}");
                        assert_eq!(ours, truth, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_engine_makes_the_same_of_copies() {
    for (name, metric, rows) in worlds(700) {
        let graphs: Vec<_> = contexts()
            .iter()
            .map(|context| grown(context, DIMENSION, metric, &rows, 600))
            .collect();
        for graph in &graphs {
            assert_eq!(
                graph.topology().unwrap(),
                graphs[0].topology().unwrap(),
                "{name} {metric}"
            );
        }
        // Without the first of each, the next takes its place.
        let stay: SlotSet = (7..700).filter(|slot| slot % 11 != 0).collect();
        let left = graphs.into_iter().map(|mut graph| {
            graph.consolidate(&stay).unwrap();
            graph.check().unwrap();
            graph.topology().unwrap()
        });
        let left: Vec<_> = left.collect();
        assert!(
            left.iter().all(|topology| *topology == left[0]),
            "{name} {metric}"
        );
    }
}

#[test]
fn copies_are_found_deleted_and_added_again() {
    let count = 2500;
    for (name, metric, rows) in worlds(count).into_iter().take(4) {
        let mut graph = grown(&Context::cpu(), DIMENSION, metric, &rows, count / 2);
        // Every k is answered in full, with what is nearest.
        let exact = SearchOptions {
            path: SearchPath::Exact,
            ..GRAPH
        };
        for k in [1, 10, 300] {
            let [ours, truth] = [&GRAPH, &exact].map(|options| {
                let hits = graph.search(&rows[..DIMENSION], k, options).unwrap().hits;
                hits.of(0).iter().map(|hit| hit.score).collect::<Vec<_>>()
            });
            assert_eq!(ours, truth, "{name} {metric}, k {k}");
        }
        for round in 0..2u32 {
            // Four of five stay, then four of five of those.
            let stay: SlotSet = (0..)
                .take(graph.len())
                .filter(|slot| slot % 5 != round)
                .collect();
            graph.consolidate(&stay).unwrap();
            graph.check().unwrap();
            let left: Vec<f32> = (0..slot_count(&graph))
                .flat_map(|slot| graph.get(slot).unwrap().unwrap())
                .collect();
            let recall = graph_recall(&graph, &left, &some_of(&left, 17));
            assert!(recall >= 0.99, "{name} {metric}: recall {recall}");
        }
        graph.append(&rows).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph.check().unwrap();
        let work = graph.stats().counters.hops / graph.len() as u64;
        assert!(work <= 3 * 200, "{name} {metric}: {work} rows of links");
    }
}
