//! Our engine measured as its peers are: build time, and speed at given recalls.
//!
//! For each recall the smallest beam width that reaches it is found by bisection over all queries; then the speed of all
//! queries in one call (three passes) and the latency of single ones (up to 2,000).

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::time::Instant;

use serde::Serialize;
use vectorizer::config::{CollectionOptions, SearchOptions, SearchPath};
use vectorizer::engine::Counters;
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;

use crate::dataset::DataSet;
use crate::error::DataError;
use crate::ids::IdTable;
use crate::percentile::percentile;
use crate::recall::recall;

/// Neighbours that are asked for.
pub const K: usize = 10;
const TARGETS: [f64; 3] = [0.90, 0.95, 0.99];
const PASSES: usize = 3;
const SINGLES: usize = 2_000;
const WARM_UP: usize = 50;
/// The narrowest and the widest beam.
const EFFORTS: (usize, usize) = (10, 4_096);

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] VectorizerError),
}

type Result<T, E = MeasureError> = std::result::Result<T, E>;

/// One measurement of one engine on one set, in the fields that the peers' lines have.
#[derive(Debug, Serialize)]
pub struct PeerLine {
    /// Who is measured: `vectorizer`.
    pub peer: &'static str,
    /// The set's name.
    pub data: String,
    /// `l2`, `cosine` or `dot`.
    pub metric: &'static str,
    /// Threads of the CPU engine.
    pub threads: usize,
    /// Rows.
    pub n: usize,
    /// Numbers in a row.
    pub dim: usize,
    /// Where it ran.
    pub device: String,
    /// What drives that.
    pub backend: String,
    /// Work waiting on the machine when it began, on average over a minute.
    pub load_average: Option<f64>,
    /// Seconds to add and link all rows.
    pub build_s: f64,
    /// The work of that.
    pub build_counters: Counters,
    /// Whether every rule of the graph holds, reachability among them.
    pub checked: bool,
    /// Memory of the process that the index took, in MiB.
    pub rss_mb: Option<f64>,
    /// Memory of the device that all of it takes, in MiB.
    pub device_mb: f64,
    /// There is no such file yet; the peers' table wants the fields.
    pub file_mb: Option<f64>,
    /// As `file_mb`.
    pub save_s: [Option<f64>; 1],
    /// As `file_mb`.
    pub load_s: [Option<f64>; 1],
    /// What was reached.
    pub points: Vec<Point>,
    /// CPUs that others kept busy meanwhile, on average.
    pub other_cpu: Option<f64>,
}

/// Speed at one recall.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Point {
    /// It was reached.
    Reached {
        /// The recall that was wanted.
        target: f64,
        /// The beam width that reaches it; `None` for exact search.
        effort: Option<usize>,
        /// The recall it has.
        recall: f64,
        /// Queries a second, each pass.
        qps: Vec<f64>,
        /// Microseconds of a single query, the median.
        p50_us: f64,
        /// And of the slowest in a hundred.
        p99_us: f64,
        /// The work of all queries once.
        counters: Counters,
    },
    /// No beam reached it.
    Missed {
        /// The recall that was wanted.
        target: f64,
        /// The best there was.
        best: f64,
    },
}

/// Measures the graph (or exact search) on a set. Pin the process to the first `threads` CPUs to compare with peers. Where
/// the set has no truth, our own exact search is taken for it.
///
/// # Errors
/// The data or the engine failed.
pub fn peer_line(
    set: &DataSet,
    metric: DistanceMetric,
    context: &Context,
    threads: usize,
    exact: bool,
) -> Result<PeerLine> {
    let load_average = read_number("/proc/loadavg", 0);
    let mut rows = Vec::new();
    set.base.read(0..set.base.rows(), &mut rows)?;
    let mut queries = Vec::new();
    set.queries.read(0..set.queries.rows(), &mut queries)?;

    let (started, others) = (Instant::now(), other_cpu_seconds());
    let before = resident_mb();
    let options = CollectionOptions {
        threads,
        ..CollectionOptions::default()
    };
    let mut graph = HnswGraph::new(context, set.base.dimension(), metric, options)?;
    let building = Instant::now();
    graph.append(&rows)?;
    if !exact {
        graph.build(|_| ControlFlow::Continue(()))?;
    }
    let build_s = building.elapsed().as_secs_f64();
    let rss_mb = resident_mb()
        .zip(before)
        .map(|(after, before)| after - before);
    let build_counters = graph.stats().counters;
    graph.check()?;
    let device_mb = context.device().ledger().total().taken as f64 / 1_048_576.0;
    drop(rows);

    let mut run = Run {
        graph: &graph,
        set,
        metric,
        queries,
        truth: IdTable::new(K),
        seen: BTreeMap::new(),
    };
    run.truth = match &set.truth {
        Some(truth) => truth.clone(),
        None => run.search(None)?,
    };
    let points = if exact {
        vec![run.point(1.0, None)?]
    } else {
        TARGETS
            .into_iter()
            .map(|target| run.reach(target))
            .collect::<Result<_>>()?
    };
    let other_cpu = other_cpu_seconds()
        .zip(others)
        .map(|(after, before)| (after - before) / started.elapsed().as_secs_f64());
    Ok(PeerLine {
        peer: if exact {
            "vectorizer-exact"
        } else {
            "vectorizer"
        },
        data: set.name.clone(),
        metric: match metric {
            DistanceMetric::Euclidean => "l2",
            other => other.name(),
        },
        threads,
        n: set.base.rows(),
        dim: set.base.dimension(),
        device: context.device_name().to_owned(),
        backend: context.backend().to_string(),
        load_average,
        build_s,
        build_counters,
        checked: true,
        rss_mb,
        device_mb,
        file_mb: None,
        save_s: [None],
        load_s: [None],
        points,
        other_cpu,
    })
}

struct Run<'a> {
    graph: &'a HnswGraph,
    set: &'a DataSet,
    metric: DistanceMetric,
    queries: Vec<f32>,
    truth: IdTable,
    /// Recall by beam width.
    seen: BTreeMap<usize, f64>,
}

impl Run<'_> {
    fn search(&self, effort: Option<usize>) -> Result<IdTable> {
        let answer = self.graph.search(&self.queries, K, &options(effort))?;
        let mut found = IdTable::new(K.min(self.set.base.rows()));
        for hits in answer.hits.iter() {
            found.push(hits.iter().map(|hit| i64::from(hit.slot)));
        }
        Ok(found)
    }

    fn recall(&mut self, effort: Option<usize>) -> Result<f64> {
        if let Some(recall) = effort.and_then(|effort| self.seen.get(&effort)) {
            return Ok(*recall);
        }
        let found = self.search(effort)?;
        let recall = recall(
            &self.set.base,
            &self.set.queries,
            self.metric,
            &self.truth,
            &found,
        )?;
        self.seen.extend(effort.map(|effort| (effort, recall)));
        Ok(recall)
    }

    fn reach(&mut self, target: f64) -> Result<Point> {
        match self.smallest_effort(target)? {
            Some(effort) => self.point(target, Some(effort)),
            None => Ok(Point::Missed {
                target,
                best: self.seen.values().copied().fold(0.0, f64::max),
            }),
        }
    }

    fn smallest_effort(&mut self, target: f64) -> Result<Option<usize>> {
        let (mut lo, most) = EFFORTS;
        if self.recall(Some(lo))? >= target {
            return Ok(Some(lo));
        }
        let mut step = 2 * lo;
        while step < most && self.recall(Some(step))? < target {
            (lo, step) = (step, 2 * step);
        }
        let mut hi = step.min(most);
        if self.recall(Some(hi))? < target {
            return Ok(None);
        }
        while hi - lo > (lo / 64).max(1) {
            let mid = lo.midpoint(hi);
            if self.recall(Some(mid))? >= target {
                hi = mid;
            } else {
                lo = mid;
            }
        }
        Ok(Some(hi))
    }

    fn point(&mut self, target: f64, effort: Option<usize>) -> Result<Point> {
        let recall = self.recall(effort)?;
        let before = self.graph.stats().counters;
        let mut qps = Vec::with_capacity(PASSES);
        for _ in 0..PASSES {
            let start = Instant::now();
            self.search(effort)?;
            qps.push(self.set.queries.rows() as f64 / start.elapsed().as_secs_f64());
        }
        let after = self.graph.stats().counters;
        let each = |after: u64, before: u64| (after - before) / PASSES as u64;
        let counters = Counters {
            distances: each(after.distances, before.distances),
            hops: each(after.hops, before.hops),
            bytes: each(after.bytes, before.bytes),
        };
        let options = options(effort);
        let singles = self
            .queries
            .chunks_exact(self.set.queries.dimension())
            .take(SINGLES);
        for query in singles.clone().take(WARM_UP) {
            self.graph.search(query, K, &options)?;
        }
        let mut times = Vec::with_capacity(SINGLES);
        for query in singles {
            let start = Instant::now();
            self.graph.search(query, K, &options)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        let (p50_us, p99_us) = (percentile(&mut times, 50.0), percentile(&mut times, 99.0));
        Ok(Point::Reached {
            target,
            effort,
            recall,
            qps,
            p50_us,
            p99_us,
            counters,
        })
    }
}

fn options(effort: Option<usize>) -> SearchOptions {
    let path = if effort.is_some() {
        SearchPath::Graph
    } else {
        SearchPath::Exact
    };
    SearchOptions {
        path,
        ef: effort,
        ..SearchOptions::default()
    }
}

/// A number of a file of the kernel's, by its place; `None` on systems that have no such file.
fn read_number(path: &str, place: usize) -> Option<f64> {
    fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .nth(place)?
        .parse()
        .ok()
}

/// Memory of this process, in MiB (pages of 4 KiB, as on every Linux this is compared on).
fn resident_mb() -> Option<f64> {
    read_number("/proc/self/statm", 1).map(|pages| pages * 4_096.0 / 1_048_576.0)
}

/// CPU seconds that others have spent since the machine began (100 ticks a second).
fn other_cpu_seconds() -> Option<f64> {
    let all: Option<f64> = [1, 2, 3, 6, 7, 8]
        .into_iter()
        .map(|place| read_number("/proc/stat", place))
        .sum();
    // The program's name, the second field, may hold spaces; what follows its bracket is counted.
    let own = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = own.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((all? - ticks(11)? - ticks(12)?) / 100.0)
}
