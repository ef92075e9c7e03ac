//! Add, link, search, report: `cargo run --release --example complete`.
#![expect(clippy::print_stdout, reason = "an example speaks")]

use std::ops::ControlFlow;
use std::time::Instant;

use vectorizer::config::{HnswConfig, SearchOptions, SearchPath};
use vectorizer::gpu::metal_native::MetalNativeCollection;
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::models::DistanceMetric;

const COUNT: usize = 3_000;
const DIMENSION: usize = 64;
const QUERIES: usize = 100;

/// Numbers between -1 and 1 that are the same each time: a stand-in for the output of a model.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from((state >> 48) as u16) / 32_768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Builds a graph over a few thousand vectors and compares its answers with exact ones.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = HnswConfig {
        max_connections: 12,
        ef_construction: 100,
        ..HnswConfig::default()
    };
    let collection =
        MetalNativeCollection::new_with_config(DIMENSION, DistanceMetric::Euclidean, config)?;

    let ids: Vec<String> = (0..COUNT)
        .map(|number| format!("vector {number}"))
        .collect();
    let start = Instant::now();
    collection.add_rows(&ids, &numbers(1, COUNT * DIMENSION))?;
    println!("added {COUNT} vectors in {:.1?}", start.elapsed());

    let start = Instant::now();
    collection.optimize_with(|progress| {
        println!("  {} of {} linked", progress.linked, progress.total);
        ControlFlow::Continue(())
    })?;
    println!("linked in {:.1?}", start.elapsed());
    collection.check()?;

    let queries = numbers(2, QUERIES * DIMENSION);
    let queries: Vec<&[f32]> = queries.chunks_exact(DIMENSION).collect();
    let answers = |path| {
        let options = SearchOptions {
            path,
            ..SearchOptions::default()
        };
        collection.search_batch_with(&queries, 10, &options)
    };
    let exact = answers(SearchPath::Exact)?;
    let start = Instant::now();
    let graph = answers(SearchPath::Graph)?;
    let took = start.elapsed();
    let found: usize = graph
        .iter()
        .zip(&exact)
        .map(|(graph, exact)| {
            let known = |id: &String| exact.iter().any(|hit| hit.id == *id);
            graph.iter().filter(|hit| known(&hit.id)).count()
        })
        .sum();
    println!(
        "{QUERIES} queries by the graph in {took:.1?}; {found} of {} neighbours found",
        10 * QUERIES
    );

    println!("{:#?}", collection.stats());
    let monitor = VramMonitor::new(collection.context().device());
    println!("{}", monitor.generate_vram_report());
    Ok(())
}
