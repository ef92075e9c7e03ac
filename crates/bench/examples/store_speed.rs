//! What keeping a collection on disk costs: adding in batches of 1,000 against adding in memory, and opening against reading the same
//! bytes from the page cache. On a quiet machine, with a release build:
//!
//! ```console
//! cargo run --release -p vectorizer-bench --example store_speed -- FOLDER [ROWS]
//! ```
//!
//! One JSON line. `open_ratio` is to be at most 3, `add_ratio` at least 0.5.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a measurement that prints, and stops where something goes wrong"
)]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::CollectionOptions;
use vectorizer::gpu::context::Context;
use vectorizer::models::DistanceMetric;
use vectorizer::store::Durability;
use vectorizer_bench::Mixture;

const DIMENSION: usize = 784;
const BATCH: usize = 1_000;
const ROUNDS: usize = 7;

/// Adds everything; seconds.
fn add(collection: &Collection, rows: &[f32]) -> f64 {
    let start = Instant::now();
    for (batch, rows) in rows.chunks(BATCH * DIMENSION).enumerate() {
        let first = batch * BATCH;
        let ids: Vec<String> = (first..first + rows.len() / DIMENSION)
            .map(|id| id.to_string())
            .collect();
        collection.add_rows(&ids, rows).unwrap();
    }
    start.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let count: usize = arguments
        .next()
        .map_or(60_000, |count| count.parse().unwrap());
    let mixture = Mixture {
        dimension: DIMENSION,
        clusters: 100,
        latent: 24,
        spread: 0.5,
        whole: true,
        seed: 1,
    };
    let rows = mixture.rows(0, count);
    let context = Context::new().unwrap();
    let metric = DistanceMetric::Euclidean;
    let options = CollectionOptions::default();

    let in_memory = Collection::with_context(&context, DIMENSION, metric, options).unwrap();
    let memory_s = add(&in_memory, &rows);
    drop(in_memory);
    let path = folder.join("collection");
    let durable = Collection::create_with(
        &path,
        &context,
        DIMENSION,
        metric,
        options,
        Durability::EveryBatch,
    )
    .unwrap();
    let durable_s = add(&durable, &rows);
    durable.optimize().unwrap();
    durable.close().unwrap();
    drop(rows);

    let files = ["collection.redb", "graph.snapshot"].map(|name| path.join(name));
    let (mut reading, mut opening) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let read = files.each_ref().map(|file| std::fs::read(file).unwrap());
        reading.push(start.elapsed().as_secs_f64());
        bytes = read.iter().map(Vec::len).sum();
        drop(read);
        let start = Instant::now();
        let opened = Collection::open_with(&path, &context, OpenOptions::default(), |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        opening.push(start.elapsed().as_secs_f64());
        assert_eq!(
            (opened.vector_count(), opened.stats().graph.linked),
            (count, count)
        );
        opened.close().unwrap();
    }
    let (read_s, open_s) = (median(reading), median(opening));
    println!(
        "{{\"rows\": {count}, \"dimension\": {DIMENSION}, \"device\": {:?}, \"file_bytes\": {bytes}, \"memory_add_s\": {memory_s:.3}, \
         \"durable_add_s\": {durable_s:.3}, \"add_ratio\": {:.3}, \"read_ms\": {:.1}, \"open_ms\": {:.1}, \"open_ratio\": {:.2}}}",
        context.device_name(),
        memory_s / durable_s,
        read_s * 1e3,
        open_s * 1e3,
        open_s / read_s
    );
}
