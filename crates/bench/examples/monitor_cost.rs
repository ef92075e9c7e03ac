//! What the memory monitor adds to a search.
//!
//! ```text
//! monitor_cost [ROWS] [DIMENSION]
//! ```
//!
//! The same single queries are searched in turns: alone, and each inside `monitor_operation`, with a monitor made before. The books behind the
//! monitor are always kept; what they cost is in both. The device is chosen by `VECTORIZER_DEVICE`; the CPU engine by default.

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use vectorizer::collection::Collection;
use vectorizer::config::CollectionOptions;
use vectorizer::error::Result;
use vectorizer::gpu::context::{Context, DeviceChoice};
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::{Mixture, percentile};

const QUERIES: usize = 200;
const ROUNDS: usize = 40;
const CALLS: u32 = 100_000;

/// Microseconds of each search.
fn timed(
    queries: &[f32],
    dimension: usize,
    search: impl Fn(&[f32]) -> Result<()>,
) -> Result<Vec<f64>> {
    let each = queries.chunks_exact(dimension).map(|query| {
        let start = Instant::now();
        search(query)?;
        Ok(start.elapsed().as_secs_f64() * 1e6)
    });
    each.collect()
}

/// Nanoseconds of a call.
fn cost<T>(calls: u32, call: impl Fn() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (rows, dimension) = (next(20_000)?, next(128)?);
    let context = match DeviceChoice::from_environment()? {
        DeviceChoice::Auto => Context::cpu(),
        choice => Context::with_choice(&choice)?,
    };
    let made = Mixture {
        dimension,
        ..Mixture::like_sift(42)
    };
    let ids: Vec<String> = (0..rows).map(|row| row.to_string()).collect();
    let metric = DistanceMetric::Euclidean;
    let options = CollectionOptions::default();
    let collection = Collection::with_context(&context, dimension, metric, options)?;
    collection.add_rows(&ids, &made.rows(0, rows))?;
    collection.optimize()?;
    let queries = made.rows(rows, QUERIES);
    let monitor = VramMonitor::new(context.device());
    let alone = |query: &[f32]| collection.search(query, 10).map(drop);
    let watched = |query: &[f32]| monitor.monitor_operation(|| alone(query)).0;
    timed(&queries, dimension, alone)?;
    let (mut plain, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.extend(timed(&queries, dimension, alone)?);
        with.extend(timed(&queries, dimension, watched)?);
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{rows} x {dimension}, {context}; {} searches each way",
        plain.len()
    )?;
    let (p50, p50_watched) = (percentile(&mut plain, 50.0), percentile(&mut with, 50.0));
    writeln!(
        out,
        "a search alone: p50 {p50:.1} us; watched: p50 {p50_watched:.1} us"
    )?;
    let watching = cost(CALLS, || monitor.monitor_operation(|| ()));
    writeln!(
        out,
        "watching itself: {watching:.0} ns, {:.3} % of a search",
        watching / 10.0 / p50
    )?;
    let (stats, report) = (
        cost(CALLS / 100, || monitor.get_vram_stats()),
        cost(CALLS / 100, || {
            monitor.generate_vram_report().to_prometheus()
        }),
    );
    writeln!(
        out,
        "all figures: {:.1} us; a report for Prometheus: {:.1} us",
        stats / 1e3,
        report / 1e3
    )?;
    Ok(())
}
