//! Vectors of which there are tens of thousands of copies: zeros of a service that failed for half of the texts.

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
    // wide. The nearest of a batch are compared beside that.
    let rows_read = 2 * (ef + 64);
    let scores = rows_read * 2 * m + count / 16;
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
        // Ordinary vectors: 0.991. Here 0.978 at least; one in ten beside thousands of copies is lost among them (ARCHITECTURE.md).
        assert!(recall >= 0.97, "{name} {metric}: recall {recall}");
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
        }
        graph.append(&rows).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph.check().unwrap();
        let work = graph.stats().counters.hops / graph.len() as u64;
        assert!(work <= 3 * 200, "{name} {metric}: {work} rows of links");
    }
}
