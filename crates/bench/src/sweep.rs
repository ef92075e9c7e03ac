//! Our engines measured on one set: build, recall, speed, latency, work and memory, for every setting that was asked for.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use vectorizer::config::{CollectionOptions, FullRows, HnswConfig, Precision, SearchOptions};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;

use crate::dataset::DataSet;
use crate::error::DataError;
use crate::ids::IdTable;
use crate::lines::{Build, Line, Memory, Point, Subject};
use crate::measure::{self, Passes, WARM_UP};
use crate::percentile::percentile;
use crate::recall::recall;
use crate::sampler::Sampler;

/// What our engine is called in the lines.
pub const OURS: &str = "vectorizer";
/// And its exact search.
pub const OURS_EXACT: &str = "vectorizer exact";
/// What the processor is called there, ours and that of peers.
const CPU: &str = "cpu";
/// Bytes of rows that are added at a time.
const ADD_BLOCK: usize = 32 << 20;
/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] VectorizerError),
}

/// What every fallible call of this module returns.
pub type Result<T, E = SweepError> = std::result::Result<T, E>;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How nearness is measured.
    pub metric: DistanceMetric,
    /// Neighbours that are asked for.
    pub k: usize,
    /// Beam widths.
    pub efs: Vec<usize>,
    /// Recalls for which the smallest beam width that reaches them is looked for.
    pub targets: Vec<f64>,
    /// Numbers of links.
    pub ms: Vec<usize>,
    /// Beam width while building.
    pub ef_construction: usize,
    /// Forms in which walks compare vectors.
    pub precisions: Vec<Precision>,
    /// Where the vectors themselves are kept on a GPU; in RAM only if no precision is [`Precision::F32`].
    pub full_rows: FullRows,
    /// Threads of the CPU engine; 0 is all cores.
    pub threads: Vec<usize>,
    /// Queries of one call, tried at the first target's beam width (or the first width); others are measured with all queries in one call.
    pub batches: Vec<usize>,
    /// Whether exact search is measured too.
    pub exact: bool,
    /// Decides the levels of the graph.
    pub seed: u64,
}

/// What happens while measuring.
#[derive(Debug)]
pub enum Event<'a> {
    /// Work of so many steps begins.
    Begin(&'a str, Option<usize>),
    /// So many steps are done.
    At(usize),
    /// Something was measured.
    Line(Box<Line>),
}

/// Measures everything once.
///
/// # Errors
/// The data or the engine failed.
pub fn round(
    set: &DataSet,
    truth: &IdTable,
    plan: &Plan,
    context: &Context,
    round: usize,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    let threads = if context.device().is_cpu() {
        plan.threads.clone()
    } else {
        vec![0]
    };
    let mut queries = Vec::new();
    set.queries.read(0..set.queries.rows(), &mut queries)?;
    for threads in threads {
        let all = |m| plan.precisions.iter().map(move |precision| (m, *precision));
        let graphs = plan.ms.iter().copied().flat_map(all);
        for (at, (m, precision)) in graphs.enumerate() {
            let subject = Subject {
                engine: OURS.to_owned(),
                device: if context.device().is_cpu() {
                    CPU.to_owned()
                } else {
                    context.device_name().to_owned()
                },
                threads: if context.device().is_cpu() && threads == 0 {
                    std::thread::available_parallelism().map_or(1, usize::from)
                } else {
                    threads
                },
                m,
                ef_construction: plan.ef_construction,
                precision: precision.to_string(),
                full_rows: plan.full_rows.to_string(),
            };
            let options = CollectionOptions {
                hnsw: HnswConfig {
                    ef_construction: plan.ef_construction,
                    ..HnswConfig::with_connections(m)
                },
                seed: plan.seed,
                threads,
                precision,
                full_rows: plan.full_rows,
                ..CollectionOptions::default()
            };
            let graph = build(set, plan, context, options, round, &subject, tell)?;
            let mut run = Run {
                set,
                plan,
                truth,
                graph: &graph,
                queries: &queries,
                round,
                subject,
                seen: BTreeMap::new(),
            };
            run.all(at == 0, tell)?;
        }
    }
    Ok(())
}

fn build(
    set: &DataSet,
    plan: &Plan,
    context: &Context,
    options: CollectionOptions,
    round: usize,
    subject: &Subject,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<HnswGraph> {
    let rows = set.base.rows();
    let ledger = context.device().ledger().clone();
    // What searches before this one kept for reuse is not what building takes.
    MetalBufferPool::new(context.device()).compact();
    let sampler = Sampler::start(ledger.clone());
    let mut graph = HnswGraph::new(context, set.base.dimension(), plan.metric, options)?;
    graph.reserve(rows)?;
    let mut spent = Duration::ZERO;
    let mut block = Vec::new();
    tell(Event::Begin("adding vectors", Some(rows)));
    for range in set.base.blocks(ADD_BLOCK) {
        set.base.read(range.clone(), &mut block)?;
        let start = Instant::now();
        graph.append(&block)?;
        spent += start.elapsed();
        tell(Event::At(range.end));
    }
    drop(block);
    tell(Event::Begin("building the graph", Some(rows)));
    let start = Instant::now();
    graph.build(|progress| {
        tell(Event::At(progress.linked));
        ControlFlow::Continue(())
    })?;
    spent += start.elapsed();
    let (built, mut samples) = sampler.finish();
    let before = samples.first().map_or(0, |first| first.1);
    let resident = samples.last().map(|last| last.1.saturating_sub(before));
    for sample in &mut samples {
        sample.1 = sample.1.saturating_sub(before);
    }
    let counters = graph.stats().counters;
    let sound = match graph.check() {
        Ok(()) => true,
        Err(VectorizerError::GraphDamaged { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let account = ledger.total();
    tell(Event::Line(Box::new(Line::Build(Build {
        subject: subject.clone(),
        round,
        seconds: spent.as_secs_f64(),
        distances: Some(each(counters.distances, rows)),
        hops: Some(each(counters.hops, rows)),
        resident_bytes: resident,
        device_bytes: Some(account.taken),
        device_peak_bytes: samples.iter().map(|sample| sample.2).max(),
        sound: Some(sound),
    }))));
    tell(Event::Line(Box::new(Line::Memory(Memory {
        subject: subject.clone(),
        round,
        built,
        samples,
    }))));
    Ok(graph)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an average is shown with a few digits"
)]
fn each(total: u64, of: usize) -> f64 {
    total as f64 / of.max(1) as f64
}

/// A graph that is measured.
struct Run<'a> {
    set: &'a DataSet,
    plan: &'a Plan,
    truth: &'a IdTable,
    graph: &'a HnswGraph,
    queries: &'a [f32],
    round: usize,
    subject: Subject,
    /// Recall by beam width.
    seen: BTreeMap<usize, f64>,
}

impl Run<'_> {
    fn all(&mut self, first: bool, tell: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let Plan {
            efs,
            targets,
            batches,
            exact,
            ..
        } = self.plan;
        let steps = efs.len() + targets.len() + batches.len() + usize::from(*exact && first);
        tell(Event::Begin("measuring searches", Some(steps)));
        let mut done = 0;
        let mut step = |tell: &mut dyn FnMut(Event<'_>)| {
            done += 1;
            tell(Event::At(done));
        };
        for &ef in efs {
            let point = self.point(Some(ef), None, self.set.queries.rows(), true)?;
            tell(Event::Line(Box::new(Line::Point(point))));
            step(tell);
        }
        let mut usual = efs.first().copied();
        for (at, &target) in targets.iter().enumerate() {
            if let Some(ef) = measure::smallest_effort(target, |ef| self.recall(ef))? {
                let point = self.point(Some(ef), Some(target), self.set.queries.rows(), true)?;
                tell(Event::Line(Box::new(Line::Point(point))));
                if at == 0 {
                    usual = Some(ef);
                }
            }
            step(tell);
        }
        for &batch in batches {
            let point = self.point(usual, None, batch, false)?;
            tell(Event::Line(Box::new(Line::Point(point))));
            step(tell);
        }
        if *exact && first {
            let point = self.point(None, None, self.set.queries.rows(), true)?;
            tell(Event::Line(Box::new(Line::Point(point))));
            step(tell);
        }
        Ok(())
    }

    fn search(&self, queries: &[f32], options: &SearchOptions, found: &mut IdTable) -> Result<()> {
        let answer = self.graph.search(queries, self.plan.k, options)?;
        for hits in answer.hits.iter() {
            found.push(hits.iter().map(|hit| i64::from(hit.slot)));
        }
        Ok(())
    }

    fn recall(&mut self, ef: usize) -> Result<f64> {
        if let Some(recall) = self.seen.get(&ef) {
            return Ok(*recall);
        }
        let mut found = IdTable::new(self.truth.width());
        self.search(self.queries, &measure::options(Some(ef)), &mut found)?;
        let recall = self.recall_of(&found)?;
        self.seen.insert(ef, recall);
        Ok(recall)
    }

    fn recall_of(&self, found: &IdTable) -> Result<f64> {
        let DataSet { base, queries, .. } = self.set;
        Ok(recall(base, queries, self.plan.metric, self.truth, found)?)
    }

    fn point(
        &mut self,
        ef: Option<usize>,
        target: Option<f64>,
        batch: usize,
        singly: bool,
    ) -> Result<Point> {
        let options = measure::options(ef);
        let (dimension, count) = (self.set.queries.dimension(), self.set.queries.rows());
        let warm = &self.queries[..count.min(WARM_UP) * dimension];
        self.graph.search(warm, self.plan.k, &options)?;
        let before = self.graph.stats().counters;
        let Passes {
            qps,
            count: passes,
            found,
        } = measure::passes(count, || {
            let mut found = IdTable::new(self.truth.width());
            for queries in self.queries.chunks(batch.max(1) * dimension) {
                self.search(queries, &options, &mut found)?;
            }
            Ok::<_, SweepError>(found)
        })?;
        let work = self.graph.stats().counters.since(before);
        let searched = passes * count;
        let recall = self.recall_of(&found)?;
        let mut times = if singly {
            measure::singles(self.queries.chunks_exact(dimension), |query| {
                self.graph.search(query, self.plan.k, &options).map(drop)
            })?
        } else {
            Vec::new()
        };
        let percentile =
            |times: &mut Vec<f64>, p| (!times.is_empty()).then(|| percentile(times, p));
        Ok(Point {
            subject: Subject {
                engine: if ef.is_some() { OURS } else { OURS_EXACT }.to_owned(),
                ..self.subject.clone()
            },
            round: self.round,
            ef,
            target,
            batch,
            recall,
            qps,
            p50_us: percentile(&mut times, 50.0),
            p99_us: percentile(&mut times, 99.0),
            distances: Some(each(work.distances, searched)),
            hops: Some(each(work.hops, searched)),
            bytes: Some(each(work.bytes, searched)),
        })
    }
}

/// The true neighbours of a set that has none beside it: by exact search, whose answers are scored again in double precision where
/// recall is counted.
///
/// # Errors
/// The data or the engine failed.
pub fn truth(set: &DataSet, plan: &Plan, context: &Context) -> Result<IdTable> {
    let mut graph = HnswGraph::new(
        context,
        set.base.dimension(),
        plan.metric,
        CollectionOptions::default(),
    )?;
    let mut block = Vec::new();
    for range in set.base.blocks(ADD_BLOCK) {
        set.base.read(range, &mut block)?;
        graph.append(&block)?;
    }
    let mut truth = IdTable::new(plan.k.min(set.base.rows()));
    for range in set.queries.blocks(ADD_BLOCK) {
        set.queries.read(range, &mut block)?;
        let answer = graph.search(&block, plan.k, &measure::options(None))?;
        for hits in answer.hits.iter() {
            truth.push(hits.iter().map(|hit| i64::from(hit.slot)));
        }
    }
    Ok(truth)
}
