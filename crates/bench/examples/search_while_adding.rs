//! How long searches take while vectors are added, and how much of that is waiting.
//!
//! ```text
//! search_while_adding [ROWS] [BATCH] [DIMENSION] [THREADS]
//! ```
//!
//! A collection of ROWS vectors gets as many again, BATCH at a time, while THREADS threads search it one query at a time. The same
//! searches are then timed beside threads that only spin, as many as linking takes: what those see is the machine's doing.
//! The device is chosen by `VECTORIZER_DEVICE`; the CPU engine by default.

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vectorizer::collection::Collection;
use vectorizer::config::CollectionOptions;
use vectorizer::gpu::context::{Context, DeviceChoice};
use vectorizer::models::DistanceMetric;
use vectorizer_bench::{Mixture, percentile};

const K: usize = 10;
const QUERIES: usize = 1000;

/// Searches in many threads while something else goes on.
struct Searchers<'a> {
    collection: &'a Collection,
    queries: &'a [f32],
    dimension: usize,
    threads: usize,
}

/// What the searchers saw.
#[derive(Default)]
struct Seen {
    milliseconds: Vec<f64>,
    errors: usize,
    /// Searches that found fewer than k.
    short: usize,
    /// The longest search, when it began, and how many vectors were not linked then.
    longest: (f64, f64, usize),
}

impl Searchers<'_> {
    fn beside<R>(&self, work: impl FnOnce() -> R) -> (R, Seen) {
        let (stop, seen) = (AtomicBool::new(false), Mutex::new(Seen::default()));
        let began = Instant::now();
        let result = std::thread::scope(|scope| {
            for thread in 0..self.threads {
                let (stop, seen) = (&stop, &seen);
                scope.spawn(move || {
                    let mut own = Seen::default();
                    let all = self.queries.chunks_exact(self.dimension);
                    let mut queries = all.cycle().skip(thread * 97);
                    while !stop.load(Ordering::Relaxed) {
                        let Some(query) = queries.next() else { break };
                        let start = Instant::now();
                        match self.collection.search(query, K) {
                            Ok(found) => own.short += usize::from(found.len() != K),
                            Err(_) => own.errors += 1,
                        }
                        let took = start.elapsed().as_secs_f64() * 1e3;
                        if took > own.longest.0 {
                            let stats = self.collection.stats();
                            let at = (start - began).as_secs_f64();
                            own.longest = (took, at, stats.graph.count - stats.graph.linked);
                        }
                        own.milliseconds.push(took);
                    }
                    if let Ok(mut seen) = seen.lock() {
                        seen.milliseconds.append(&mut own.milliseconds);
                        seen.errors += own.errors;
                        seen.short += own.short;
                        if own.longest.0 > seen.longest.0 {
                            seen.longest = own.longest;
                        }
                    }
                });
            }
            let result = work();
            stop.store(true, Ordering::Relaxed);
            result
        });
        (result, seen.into_inner().unwrap_or_default())
    }
}

fn say(what: &str, seconds: f64, mut seen: Seen) -> std::io::Result<f64> {
    let mut at = |percent| percentile(&mut seen.milliseconds, percent);
    let [p50, p99, p999] = [50.0, 99.0, 99.9].map(&mut at);
    writeln!(
        std::io::stdout(),
        "{what:32} {seconds:6.2} s  {:8} searches, {} errors, {} short; ms: p50 {p50:.3}, p99 {p99:.3}, p99.9 {p999:.3}, longest {:.1} (at {:.2} s, {} not linked)",
        seen.milliseconds.len(),
        seen.errors,
        seen.short,
        seen.longest.0,
        seen.longest.1,
        seen.longest.2,
    )?;
    Ok(seen.longest.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (rows, batch, dimension, threads) = (next(20_000)?, next(500)?, next(128)?, next(4)?);
    let context = match DeviceChoice::from_environment()? {
        DeviceChoice::Auto => Context::cpu(),
        choice => Context::with_choice(&choice)?,
    };
    let made = Mixture {
        dimension,
        ..Mixture::like_sift(42)
    };
    let vectors = made.rows(0, 2 * rows);
    let queries = made.rows(2 * rows, QUERIES);
    let ids: Vec<String> = (0..2 * rows).map(|row| format!("v{row}")).collect();
    let collection = Collection::with_context(
        &context,
        dimension,
        DistanceMetric::Euclidean,
        CollectionOptions::default(),
    )?;
    collection.add_rows(&ids[..rows], &vectors[..rows * dimension])?;
    collection.optimize()?;
    let searchers = Searchers {
        collection: &collection,
        queries: &queries,
        dimension,
        threads,
    };
    writeln!(
        std::io::stdout(),
        "{rows} vectors of {dimension}, as many added {batch} at a time, {threads} searching threads, {context}"
    )?;

    let start = Instant::now();
    let (added, seen) = searchers.beside(|| {
        let mut ids = ids[rows..].chunks(batch);
        let mut rows = vectors[rows * dimension..].chunks(batch * dimension);
        std::iter::zip(&mut ids, &mut rows)
            .try_for_each(|(ids, rows)| collection.add_rows(ids, rows))?;
        collection.optimize()
    });
    added?;
    let seconds = start.elapsed().as_secs_f64();
    let adding = say("while adding and linking", seconds, seen)?;

    let spinning = AtomicBool::new(true);
    let time = Duration::from_secs_f64(seconds.clamp(1.0, 30.0));
    let spinners = std::thread::available_parallelism().map_or(1, usize::from);
    let ((), seen) = std::thread::scope(|scope| {
        for _ in 0..spinners {
            scope.spawn(|| {
                let mut turns = 0_u64;
                while spinning.load(Ordering::Relaxed) {
                    turns = black_box(turns + 1);
                }
            });
        }
        let seen = searchers.beside(|| std::thread::sleep(time));
        spinning.store(false, Ordering::Relaxed);
        seen
    });
    let control = say("beside as many spinning threads", time.as_secs_f64(), seen)?;
    let (_, seen) = searchers.beside(|| std::thread::sleep(Duration::from_secs(1)));
    say("with nothing beside them", 1.0, seen)?;
    writeln!(
        std::io::stdout(),
        "longest wait that adding caused: {:.1} ms (asked for: at most 100)",
        (adding - control).max(0.0)
    )?;
    Ok(())
}
