//! Measures the engine on one set as its peers are measured, and appends one JSON line.
//!
//! ```text
//! peer_line DATA METRIC THREADS OUT.jsonl [exact]
//! ```
//!
//! DATA is a folder with `base.npy`, `queries.npy` and `gt_METRIC_ids.npy`, or `sift-like:ROWS`, or `text-like:ROWS:DIMENSION`;
//! METRIC is l2, cosine or dot. The device is chosen by `VECTORIZER_DEVICE`. To compare with peers, pin it as they are:
//! `taskset -c 0-1 peer_line DATA l2 2 OUT.jsonl`.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;

use vectorizer::gpu::context::Context;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::dataset::DataSet;
use vectorizer_bench::measure::{K, peer_line};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (data, metric, threads, out, exact) = match &arguments[..] {
        [data, metric, threads, out] => (data, metric, threads, out, false),
        [data, metric, threads, out, word] if word == "exact" => (data, metric, threads, out, true),
        _ => return Err("peer_line DATA l2|cosine|dot THREADS OUT.jsonl [exact]".into()),
    };
    let metric = match metric.as_str() {
        "l2" | "euclidean" => DistanceMetric::Euclidean,
        "cosine" => DistanceMetric::Cosine,
        "dot" => DistanceMetric::DotProduct,
        other => return Err(format!("no metric {other:?}: l2, cosine or dot").into()),
    };
    let set = DataSet::open(data, metric, K)?;
    let context = Context::new()?;
    let line = peer_line(&set, metric, &context, threads.parse()?, exact)?;
    let line = serde_json::to_string(&line)?;
    writeln!(
        OpenOptions::new().create(true).append(true).open(out)?,
        "{line}"
    )?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
