//! Hard data and hard queries.

use super::*;

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
