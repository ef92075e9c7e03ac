//! One graph and one answer, whatever the engine, the run and the batch.

use super::*;

#[test]
fn every_engine_builds_the_same_graph_and_finds_the_same() {
    for (count, dimension) in [
        (1, 3),
        (2, 3),
        (31, 16),
        (32, 1),
        (33, 17),
        (700, 64),
        (1000, 16),
        (2500, 16),
    ] {
        for metric in METRICS {
            // A software adapter takes half a minute for the largest: one metric has it, the others the one before.
            if count >= 1000 && (count == 2500) != (metric == DistanceMetric::Euclidean) {
                continue;
            }
            let seed = (count + dimension) as u64;
            // Unit rows are exact where a length is a power of two.
            let make = if metric == DistanceMetric::Cosine {
                sign_rows
            } else {
                integer_rows
            };
            if metric == DistanceMetric::Cosine && ![1, 4, 16, 64].contains(&dimension) {
                continue;
            }
            let rows = make(seed, count, dimension);
            let queries = make(seed + 1, 100, dimension);
            let graphs: Vec<_> = contexts()
                .iter()
                .map(|context| {
                    grown(
                        context,
                        dimension,
                        metric,
                        &rows,
                        count - (count / 10).min(100),
                    )
                })
                .collect();
            let told = format!("{metric} {count} x {dimension}, seed {seed}");
            let levels = graphs[0].stats().top_level;
            let found = graphs[0].search(&queries, 10, &GRAPH).unwrap();
            for other in &graphs[1..] {
                assert_eq!(other.stats().top_level, levels, "{told}");
                for level in 0..=levels {
                    assert_eq!(
                        other.links(level).unwrap(),
                        graphs[0].links(level).unwrap(),
                        "{told}, level {level}"
                    );
                }
                assert_eq!(other.search(&queries, 10, &GRAPH).unwrap(), found, "{told}");
            }
        }
    }
}

#[test]
fn the_same_input_gives_the_same_graph_again() {
    for context in contexts() {
        let count = if context.device().is_cpu() {
            3000
        } else {
            1200
        };
        let rows = random_rows(9, count, 24);
        let graphs =
            [0, 1].map(|_| grown(&context, 24, DistanceMetric::Euclidean, &rows, count - 120));
        assert_eq!(graphs[0].stats().top_level, graphs[1].stats().top_level);
        for level in 0..=graphs[0].stats().top_level {
            assert_eq!(
                graphs[0].links(level).unwrap(),
                graphs[1].links(level).unwrap(),
                "{context} level {level}"
            );
        }
    }
}

#[test]
fn an_answer_does_not_depend_on_the_batch() {
    for context in contexts() {
        let count = if context.device().is_cpu() {
            3000
        } else {
            1000
        };
        let rows = random_rows(1, count, 32);
        let graph = built(&context, 32, DistanceMetric::Cosine, &rows);
        let queries = random_rows(2, 300, 32);
        let all = graph.search(&queries, 10, &GRAPH).unwrap().hits;
        for size in [1, 7, 64] {
            let blocks = if size == 64 { 4 } else { 30 };
            for (block, queries) in queries.chunks(size * 32).enumerate().take(blocks) {
                let some = graph.search(queries, 10, &GRAPH).unwrap().hits;
                for (number, hits) in some.iter().enumerate() {
                    assert_eq!(
                        hits,
                        all.of(block * size + number),
                        "{context} batches of {size}"
                    );
                }
            }
        }
    }
}

/// In batches of the plan's own: below so many everything is linked in one go, by exact neighbours. With every access of a kernel checked it would
/// take minutes; see `scripts/test-release`.
#[cfg(not(debug_assertions))]
#[test]
fn a_large_collection_is_linked_batch_by_batch_to_the_same_graph() {
    let (count, dimension) = (17_500, 6);
    let rows: Vec<f32> = {
        let mut random = fastrand::Rng::with_seed(12);
        (0..count * dimension)
            .map(|_| f32::from(random.i16(-500..=500)))
            .collect()
    };
    let options = CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 4,
            ef_construction: 24,
            ..HnswConfig::default()
        },
        ..CollectionOptions::default()
    };
    let graphs: Vec<_> = contexts()
        .iter()
        .map(|context| {
            let metric = DistanceMetric::Euclidean;
            let mut graph = HnswGraph::new(context, dimension, metric, options).unwrap();
            graph.append(&rows).unwrap();
            let mut batches = 0;
            graph
                .build(|_| {
                    batches += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert!(batches > 20, "{batches} batches");
            graph.check().unwrap();
            graph
        })
        .collect();
    let found = graphs[0]
        .search(&rows[..200 * dimension], 10, &GRAPH)
        .unwrap();
    for other in &graphs[1..] {
        for level in 0..=graphs[0].stats().top_level {
            assert_eq!(other.links(level).unwrap(), graphs[0].links(level).unwrap());
        }
        let theirs = other.search(&rows[..200 * dimension], 10, &GRAPH).unwrap();
        assert_eq!(theirs, found);
    }
}
