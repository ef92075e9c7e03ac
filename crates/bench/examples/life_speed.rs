//! What changing a collection costs: appending to a linked graph, deleting one vector in a hundred, taking the dead out, and the memory
//! that building takes beyond what stays.
//!
//! ```text
//! life_speed BASE [METRIC] [ROUNDS]
//! ```
//!
//! BASE is a file of vectors (.npy, .fvecs, .bvecs), METRIC `euclidean` (the default) or `cosine`. The device is chosen by
//! `VECTORIZER_DEVICE`. One JSON line; times are medians of the rounds, with the least and the greatest.
#![expect(clippy::print_stdout, reason = "a measurement prints")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use vectorizer::collection::Collection;
use vectorizer::config::CollectionOptions;
use vectorizer::gpu::context::Context;
use vectorizer::gpu::memory::Label;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::Matrix;
use vectorizer_bench::summary::Spread;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of rows that are added at a time.
const BLOCK: usize = 32 << 20;
/// Rows of a batch where batches are small.
const SMALL: usize = 1_000;

/// The most that building took over the rows and links that stay, both by the device's own books.
fn peak(base: &Matrix, metric: DistanceMetric, context: &Context) -> Result<(u64, u64)> {
    // Whoever has a limit has a pool of its own too, so that what building takes in passing stands in these books.
    let own = context.with_limit(Some(1 << 46));
    let mut graph = HnswGraph::new(&own, base.dimension(), metric, CollectionOptions::default())?;
    graph.reserve(base.rows())?;
    let mut rows = Vec::new();
    for range in base.blocks(BLOCK) {
        base.read(range, &mut rows)?;
        graph.append(&rows)?;
    }
    graph.build(|_| ControlFlow::Continue(()))?;
    let device = own.device();
    let ledger = device.ledger();
    let lasting = ledger.account(Label::Rows).taken + ledger.account(Label::Graph).taken;
    Ok((ledger.total().peak, lasting))
}

fn spread(values: &[f64]) -> Value {
    Spread::of(values.iter().copied().map(Some)).map_or(
        Value::Null,
        |spread| json!({ "median": spread.median, "low": spread.low, "high": spread.high }),
    )
}

fn timed<T>(times: &mut Vec<f64>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = work()?;
    times.push(start.elapsed().as_secs_f64());
    Ok(done)
}

#[expect(clippy::cast_precision_loss, reason = "figures with a few digits")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let base = arguments
        .first()
        .ok_or("life_speed BASE [euclidean|cosine] [ROUNDS]")?;
    let metric = match arguments.get(1).map(String::as_str) {
        None | Some("euclidean") => DistanceMetric::Euclidean,
        Some("cosine") => DistanceMetric::Cosine,
        Some(other) => return Err(format!("no metric {other:?}: euclidean or cosine").into()),
    };
    let rounds: usize = arguments.get(2).map_or(Ok(3), |word| word.parse())?;
    let base = Matrix::open(Path::new(base))?;
    let context = Context::new()?;
    let (count, dimension) = (base.rows(), base.dimension());
    let (peak_bytes, lasting_bytes) = peak(&base, metric, &context)?;

    let mut rows = Vec::new();
    base.read(0..count, &mut rows)?;
    let ids: Vec<String> = (0..count).map(|row| row.to_string()).collect();
    // A twentieth in one batch, a twentieth in small ones.
    let (first, second) = (count - count / 10, count - count / 20);
    let (mut whole, mut small, mut deleted, mut consolidated) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        let collection =
            Collection::with_context(&context, dimension, metric, CollectionOptions::default())?;
        collection.add_rows(&ids[..first], &rows[..first * dimension])?;
        collection.optimize()?;
        let add = |from: usize, to: usize| -> Result<()> {
            Ok(collection.add_rows(&ids[from..to], &rows[from * dimension..to * dimension])?)
        };
        timed(&mut whole, || {
            add(first, second)?;
            Ok(collection.optimize()?)
        })?;
        timed(&mut small, || {
            for from in (second..count).step_by(SMALL) {
                add(from, (from + SMALL).min(count))?;
            }
            Ok(collection.optimize()?)
        })?;
        let some: Vec<&String> = ids.iter().step_by(100).collect();
        timed(&mut deleted, || Ok(collection.delete_batch(&some)?))?;
        timed(&mut consolidated, || Ok(collection.consolidate()?))?;
        collection.check()?;
    }
    let rate = |times: &[f64], rows: usize| {
        let rates: Vec<f64> = times.iter().map(|time| rows as f64 / time).collect();
        spread(&rates)
    };
    let milliseconds =
        |times: &[f64]| spread(&times.iter().map(|time| time * 1e3).collect::<Vec<_>>());
    println!(
        "{}",
        json!({
            "device": context.device_name(), "rows": count, "dimension": dimension, "metric": metric.name(), "rounds": rounds,
            "build_peak_bytes": peak_bytes, "rows_and_links_bytes": lasting_bytes,
            "build_peak_ratio": peak_bytes as f64 / lasting_bytes as f64,
            "appended_rows": second - first,
            "append_one_batch_rows_per_s": rate(&whole, second - first),
            "append_batches_of_1000_rows_per_s": rate(&small, count - second),
            "deleted_rows": count.div_ceil(100),
            "delete_ms": milliseconds(&deleted),
            "consolidate_ms": milliseconds(&consolidated),
        })
    );
    Ok(())
}
