//! The graph, on every engine: the same everywhere, connected, and near enough to exact.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;

use support::{contexts, exact, integer_rows, random_rows, recall, sign_rows};
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;

const GRAPH: SearchOptions = SearchOptions {
    path: SearchPath::Graph,
    ef: None,
    with_payload: false,
    filter: None,
    min_similarity: None,
    offset: 0,
};

fn built(context: &Context, dimension: usize, metric: DistanceMetric, rows: &[f32]) -> HnswGraph {
    let mut graph =
        HnswGraph::new(context, dimension, metric, CollectionOptions::default()).unwrap();
    graph.append(rows).unwrap();
    graph.build(|_| ControlFlow::Continue(())).unwrap();
    graph.check().unwrap();
    graph
}

/// The same rows, of which the first are linked by themselves: the rest is walked for, batch by batch, as in a large collection.
fn grown(
    context: &Context,
    dimension: usize,
    metric: DistanceMetric,
    rows: &[f32],
    first: usize,
) -> HnswGraph {
    let (seed, rest) = rows.split_at((first * dimension).min(rows.len()));
    let mut graph = built(context, dimension, metric, seed);
    graph.append(rest).unwrap();
    graph.build(|_| ControlFlow::Continue(())).unwrap();
    graph.check().unwrap();
    graph
}

/// Mean recall@10 of the graph over the queries.
fn graph_recall(graph: &HnswGraph, rows: &[f32], queries: &[f32]) -> f64 {
    let dimension = graph.dimension();
    let answer = graph.search(queries, 10, &GRAPH).unwrap();
    assert_eq!(answer.path, SearchPath::Graph);
    let each = queries
        .chunks_exact(dimension)
        .zip(answer.hits.iter())
        .map(|(query, hits)| {
            let found: Vec<u32> = hits.iter().map(|hit| hit.slot).collect();
            recall(graph.metric(), rows, query, &found, 10)
        });
    each.sum::<f64>() / (queries.len() / dimension) as f64
}

#[test]
fn every_engine_builds_the_same_graph_and_finds_the_same() {
    for (count, dimension) in [
        (1, 3),
        (2, 3),
        (31, 16),
        (32, 1),
        (33, 17),
        (1000, 16),
        (1000, 64),
        (5000, 16),
    ] {
        for metric in [
            DistanceMetric::Euclidean,
            DistanceMetric::DotProduct,
            DistanceMetric::Cosine,
        ] {
            if count == 5000 && metric != DistanceMetric::Euclidean {
                // A software adapter takes a minute for each; 1,000 show the other metrics.
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
        let rows = random_rows(9, 3000, 24);
        let graphs = [0, 1].map(|_| grown(&context, 24, DistanceMetric::Euclidean, &rows, 2700));
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
        let rows = random_rows(1, 3000, 32);
        let graph = built(&context, 32, DistanceMetric::Cosine, &rows);
        let queries = random_rows(2, 1000, 32);
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

/// Numbers of a bell curve's shape: the sum of twelve spread evenly.
fn bell_rows(seed: u64, count: usize, dimension: usize) -> Vec<f32> {
    let twelve = random_rows(seed, 12 * count, dimension);
    let twelve = twelve.chunks_exact(12);
    twelve.map(|twelve| twelve.iter().sum()).collect()
}

#[test]
fn recall_at_the_defaults() {
    // Numbers spread evenly are hard in many dimensions. hnswlib 0.8, with the same parameters on such data, reaches 0.999, 0.994 and 0.982
    // of 1,000 in 32, 64 and 128 dimensions, and 0.961, 0.857 and 0.725 of 10,000. Walks alone reach 0.905 and 0.784 of 10,000 in 64 and
    // 128, and hardly more over any 32 links (docs/bench/even-2026-11-23.md): those queries are seen to be hard and compared exactly.
    type Make = fn(u64, usize, usize) -> Vec<f32>;
    let (even, bell): (Make, Make) = (random_rows, bell_rows);
    for (make, count, dimension, sets, floor) in [
        (even, 1000, 32, 1, 0.995),
        (even, 1000, 64, 1, 0.995),
        (even, 1000, 128, 2, 0.995),
        (bell, 1000, 128, 2, 0.995),
        (even, 10_000, 32, 1, 0.985),
        (bell, 10_000, 32, 1, 0.985),
        (even, 10_000, 48, 1, 0.985),
        (bell, 10_000, 64, 1, 0.985),
        (even, 10_000, 128, 1, 0.985),
    ] {
        for context in contexts() {
            let on_cpu = context.device().is_cpu();
            if !on_cpu && count > 1000 && dimension != 64 {
                // Building takes a software adapter seconds; one of them shows that engines judge alike.
                continue;
            }
            let metric = DistanceMetric::Euclidean;
            let asked = if on_cpu { 500 } else { 200 };
            let each = (0..sets).map(|set| {
                let rows = make(77 + 2 * set, count, dimension);
                let queries = make(78 + 2 * set, asked, dimension);
                graph_recall(&built(&context, dimension, metric, &rows), &rows, &queries)
            });
            let recall = each.sum::<f64>() / sets as f64;
            println!("{context} {count} x {dimension}: recall {recall}, seed 77");
            assert!(
                recall >= floor,
                "{context} {count} x {dimension}: recall {recall} under {floor}"
            );
        }
    }
}

#[test]
fn hard_queries_are_compared_and_easy_ones_are_not() {
    let dimension = 128;
    for context in contexts() {
        let queries = random_rows(5, 50, dimension);
        // Evenly spread, all is far from all; in three dimensions of the same 128 it is not.
        let even = random_rows(4, 1500, dimension);
        let flat = |rows: &[f32]| -> Vec<f32> {
            let rows = rows.chunks_exact(dimension);
            let row = |row: &[f32]| [&row[..3], &[0.5; 125]].concat();
            rows.flat_map(row).collect()
        };
        for (rows, queries, compared) in [(&even, &queries, 50), (&flat(&even), &flat(&queries), 0)]
        {
            let graph = built(&context, dimension, DistanceMetric::Euclidean, rows);
            let narrow = SearchOptions {
                ef: Some(32),
                ..GRAPH
            };
            let answer = graph.search(queries, 10, &narrow).unwrap();
            assert_eq!(answer.path, SearchPath::Graph, "{context}");
            let stats = graph.stats();
            assert_eq!(stats.graph_queries, 50, "{context}");
            let rescued = stats.rescued_queries;
            assert!(rescued.abs_diff(compared) <= 2, "{context}: {rescued}");
            // A narrower beam says too little to judge anybody by.
            let narrower = SearchOptions {
                ef: Some(31),
                ..GRAPH
            };
            graph.search(queries, 1, &narrower).unwrap();
            assert_eq!(graph.stats().rescued_queries, rescued, "{context}");
        }
    }
}

#[test]
fn appending_is_as_good_as_building() {
    let (dimension, seed) = (24, 5);
    let queries = random_rows(seed + 1, 200, dimension);
    for context in contexts() {
        // Walks are slow on a software adapter.
        let count = if context.device().is_cpu() {
            6000
        } else {
            1500
        };
        let rows = random_rows(seed, count, dimension);
        let bulk = graph_recall(
            &built(&context, dimension, DistanceMetric::Euclidean, &rows),
            &rows,
            &queries,
        );
        let options = CollectionOptions::default();
        let mut grown =
            HnswGraph::new(&context, dimension, DistanceMetric::Euclidean, options).unwrap();
        for part in rows.chunks(count / 10 * dimension) {
            grown.append(part).unwrap();
            grown.build(|_| ControlFlow::Continue(())).unwrap();
        }
        grown.check().unwrap();
        let recall = graph_recall(&grown, &rows, &queries);
        assert!(
            recall >= bulk - 0.01,
            "{context} seed {seed}: {recall} grown, {bulk} at once"
        );
    }
}

/// Data that has broken graphs before, each with its name; `copied` is how many there are of one vector among
/// others, `least` about how many vectors each of the others has.
fn hard_data(copied: usize, least: usize) -> Vec<(&'static str, usize, DistanceMetric, Vec<f32>)> {
    let mut random = fastrand::Rng::with_seed(11);
    let dimension = 8;
    let mut copies = random_rows(12, least / 2, dimension);
    copies.extend([0.25; 8].repeat(copied));
    copies.extend(random_rows(13, least / 2, dimension));
    let lines: Vec<f32> = (1..=2500u16)
        .take(least)
        .flat_map(|i| [f32::from(i); 8])
        .collect();
    let mut clusters = Vec::new();
    for cluster in 0..40u8 {
        for _ in 0..least / 40 {
            clusters.extend((0..dimension).map(|axis| {
                let centre = if axis == usize::from(cluster) % dimension {
                    100.0 * f32::from(cluster + 1)
                } else {
                    0.0
                };
                centre + random.f32()
            }));
        }
    }
    vec![
        (
            "thousands of copies among others",
            dimension,
            DistanceMetric::Euclidean,
            copies.clone(),
        ),
        (
            "thousands of copies among others",
            dimension,
            DistanceMetric::Cosine,
            copies,
        ),
        (
            "nothing but copies",
            dimension,
            DistanceMetric::Euclidean,
            vec![1.0; least * 8],
        ),
        (
            "zero vectors",
            dimension,
            DistanceMetric::Cosine,
            vec![0.0; least * 8],
        ),
        ("one line", dimension, DistanceMetric::Cosine, lines.clone()),
        ("one line", dimension, DistanceMetric::Euclidean, lines),
        (
            "clusters in order",
            dimension,
            DistanceMetric::Euclidean,
            clusters,
        ),
        (
            "a multiple of 32",
            16,
            DistanceMetric::Euclidean,
            random_rows(14, 2048, 16),
        ),
    ]
}

#[test]
fn hard_data_stays_connected_and_is_found() {
    for context in contexts() {
        let on_cpu = context.device().is_cpu();
        // Walks, and so attaching lost copies, are slow on a software adapter.
        let (copied, least) = if on_cpu { (10_000, 2500) } else { (600, 600) };
        for (name, dimension, metric, rows) in hard_data(copied, least) {
            let count = rows.len() / dimension;
            let first = if on_cpu {
                count / 2
            } else {
                count - count / 20
            };
            // Every 37th vector looks for itself.
            let queries: Vec<f32> = rows
                .chunks_exact(dimension)
                .step_by(37)
                .flatten()
                .copied()
                .collect();
            for graph in [
                built(&context, dimension, metric, &rows),
                grown(&context, dimension, metric, &rows, first),
            ] {
                let recall = graph_recall(&graph, &rows, &queries);
                assert!(recall >= 0.99, "{context} {name} {metric}: recall {recall}");
            }
        }
    }
}

#[test]
fn every_k_is_answered_in_full() {
    for context in contexts() {
        let rows = integer_rows(8, 500, 5);
        let graph = built(&context, 5, DistanceMetric::Euclidean, &rows);
        let query = &integer_rows(9, 1, 5);
        let truth = exact(DistanceMetric::Euclidean, &rows, query);
        for k in [1, 10, 65, 499, 500, 501] {
            let hits = graph.search(query, k, &GRAPH).unwrap().hits;
            assert_eq!(hits.of(0).len(), k.min(500), "{context} k {k}");
            assert_eq!(hits.of(0)[0].slot as usize, truth[0].1, "{context} k {k}");
        }
        let all: Vec<_> = graph
            .search(query, 500, &GRAPH)
            .unwrap()
            .hits
            .of(0)
            .iter()
            .map(|hit| hit.slot as usize)
            .collect();
        assert_eq!(
            all,
            truth.iter().map(|(_, number)| *number).collect::<Vec<_>>(),
            "{context}"
        );
    }
}

#[test]
fn the_tail_is_found_before_it_is_linked() {
    for context in contexts() {
        let rows = integer_rows(21, 3000, 12);
        let mut graph = built(&context, 12, DistanceMetric::Euclidean, &rows);
        let far: Vec<f32> = (0..20u8).flat_map(|i| [500.0 + f32::from(i); 12]).collect();
        graph.append(&far).unwrap();
        assert_eq!((graph.linked(), graph.len()), (3000, 3020));
        let hits = graph.search(&[500.0; 12], 25, &GRAPH).unwrap().hits;
        let slots: Vec<_> = hits.of(0).iter().map(|hit| hit.slot).collect();
        assert_eq!(slots[..20], (3000..3020).collect::<Vec<_>>());
        assert!(slots[20..].iter().all(|slot| *slot < 3000));
    }
}

#[test]
fn a_build_can_be_stopped_and_goes_on() {
    for context in contexts() {
        let rows = random_rows(2, 1200, 8);
        let mut graph = HnswGraph::new(
            &context,
            8,
            DistanceMetric::Euclidean,
            CollectionOptions::default(),
        )
        .unwrap();
        graph.append(&rows[..1000 * 8]).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph.append(&rows[1000 * 8..]).unwrap();
        let mut seen = Vec::new();
        let stopped = graph.build(|progress| {
            seen.push(progress.linked);
            if seen.len() == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(stopped.unwrap_err(), VectorizerError::Cancelled);
        assert!(graph.linked() < 1200 && graph.linked() == seen[1]);
        graph.check().unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(graph.linked(), 1200);
        graph.check().unwrap();
    }
}

#[test]
fn other_parameters_keep_the_rules() {
    for context in contexts() {
        for (max_connections, max_level, level_multiplier) in
            [(2, 16, 1.4), (4, 1, 4.0), (64, 8, 0.5)]
        {
            let hnsw = HnswConfig {
                max_connections,
                max_level,
                level_multiplier,
                ef_construction: 80,
                ..HnswConfig::default()
            };
            let options = CollectionOptions {
                hnsw,
                ..CollectionOptions::default()
            };
            let mut graph =
                HnswGraph::new(&context, 6, DistanceMetric::Euclidean, options).unwrap();
            let count = if context.device().is_cpu() { 3000 } else { 600 };
            let rows = random_rows(4, count, 6);
            graph.append(&rows).unwrap();
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            graph.check().unwrap();
            assert!(graph.stats().top_level <= max_level);
            if max_connections > 2 {
                let recall = graph_recall(&graph, &rows, &random_rows(5, 100, 6));
                assert!(recall >= 0.98, "{context} M {max_connections}: {recall}");
            }
        }
    }
}

#[test]
fn the_work_of_the_cpu_engine_is_on_record() {
    let rows = random_rows(9, 6000, 24);
    let graph = grown(&Context::cpu(), 24, DistanceMetric::Euclidean, &rows, 2000);
    let built = graph.stats().counters;
    let queries = random_rows(10, 200, 24);
    // Below 32, from which on hard queries of small collections are compared exactly: it is walks that are on record.
    let narrow = SearchOptions {
        ef: Some(31),
        ..GRAPH
    };
    graph.search(&queries, 10, &narrow).unwrap();
    let searched = graph.stats().counters;
    let work = [
        built.distances / 6000,
        built.hops / 6000,
        (searched.distances - built.distances) / 200,
        (searched.hops - built.hops) / 200,
    ];
    // Scores and rows of links read, for each vector built and each query searched. Whoever adds to them says what for; whoever
    // saves some writes the new figures down.
    let recorded = [3437, 144, 697, 38];
    for (now, then) in work.iter().zip(recorded) {
        assert!(
            now.abs_diff(then) * 20 <= then,
            "work {work:?}, on record {recorded:?}"
        );
    }
}
