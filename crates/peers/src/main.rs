//! Measures peers written in Rust as `vectorizer bench` measures its own engine: one JSON object a line on standard output.
//!
//! Called by `scripts/bench-rust-peers` once each round, with the arguments that `vectorizer_bench::outside` names. Each peer is measured
//! in a process of its own, so that its memory is its own and its pool has as many threads as were asked for.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use vectorizer::models::DistanceMetric;
use vectorizer_bench::lines::Line;

mod hnsw_rs_peer;
mod instant_distance_peer;
mod measure;
mod peer;
#[cfg(feature = "usearch")]
mod usearch_peer;

/// What a fallible step returns; whoever started this program is told the text.
type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Metric {
    Euclidean,
    Cosine,
    Dot,
}

impl From<Metric> for DistanceMetric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Euclidean => Self::Euclidean,
            Metric::Cosine => Self::Cosine,
            Metric::Dot => Self::DotProduct,
        }
    }
}

/// Measures `hnsw_rs`, instant-distance and usearch once.
#[derive(Debug, Parser)]
struct Arguments {
    /// The vectors to search in.
    #[arg(long)]
    base: PathBuf,
    /// Those to search for.
    #[arg(long)]
    queries: PathBuf,
    /// The true neighbours.
    #[arg(long)]
    truth: PathBuf,
    #[arg(long, value_enum)]
    metric: Metric,
    #[arg(long)]
    k: usize,
    /// Links a vector makes.
    #[arg(long, value_delimiter = ',', required = true)]
    m: Vec<usize>,
    #[arg(long)]
    ef_construction: usize,
    /// Beam widths.
    #[arg(long, value_delimiter = ',')]
    ef: Vec<usize>,
    /// Recalls for which the smallest beam width is looked for.
    #[arg(long, value_delimiter = ',')]
    recall: Vec<f64>,
    /// Threads; 0 is all cores.
    #[arg(long, value_delimiter = ',', required = true)]
    threads: Vec<usize>,
    #[arg(long)]
    round: usize,
    /// Which peers.
    #[arg(long, value_delimiter = ',', env = "BENCH_RUST_PEERS", default_values = peer::NAMES)]
    peers: Vec<String>,
    /// One peer, in this process.
    #[arg(long, hide = true)]
    one: Option<String>,
}

fn say(line: &Line) -> Result {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Measures one peer with one setting, in a process of its own; says why not, where it fails.
fn apart(arguments: &Arguments, peer: &str, threads: usize, m: usize) -> Result {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, path) in [
        ("--base", &arguments.base),
        ("--queries", &arguments.queries),
        ("--truth", &arguments.truth),
    ] {
        command.arg(name).arg(path);
    }
    let joined = |numbers: Vec<String>| numbers.join(",");
    let metric = arguments.metric.to_possible_value();
    for (name, value) in [
        (
            "--metric",
            metric.map_or_else(String::new, |metric| metric.get_name().to_owned()),
        ),
        ("--k", arguments.k.to_string()),
        ("--m", m.to_string()),
        ("--ef-construction", arguments.ef_construction.to_string()),
        (
            "--ef",
            joined(arguments.ef.iter().map(usize::to_string).collect()),
        ),
        (
            "--recall",
            joined(arguments.recall.iter().map(f64::to_string).collect()),
        ),
        ("--threads", threads.to_string()),
        ("--round", arguments.round.to_string()),
        ("--one", peer.to_owned()),
    ] {
        if !value.is_empty() {
            command.arg(name).arg(value);
        }
    }
    let done = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        say(&Line::Failed {
            engine: peer.to_owned(),
            round: arguments.round,
            reason: last.unwrap_or("it did not say why").to_owned(),
        })?;
    }
    Ok(())
}

fn run(arguments: &Arguments) -> Result {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = |threads: usize| if threads == 0 { cores } else { threads };
    if let Some(one) = &arguments.one {
        let (Some(first), Some(m)) = (arguments.threads.first(), arguments.m.first()) else {
            return Err("--threads and --m are needed".into());
        };
        return measure::one(arguments, one, threads(*first), *m);
    }
    for name in &arguments.peers {
        // Where the number of links cannot be chosen, one of them is as good as any.
        let ms = match peer::fixed_m(name) {
            Some(fixed) => &[fixed][..],
            None => &arguments.m,
        };
        for &count in &arguments.threads {
            for &m in ms {
                apart(arguments, name, threads(count), m)?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell where this fails.
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
