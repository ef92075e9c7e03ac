//! `vectorizer search`: vectors of a file or a collection, a file of queries, and what it took to answer them.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions};
use vectorizer::hnsw::HnswGraph;
use vectorizer::interop::WholeFile;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::measure::options as search_options;
use vectorizer_bench::recall::recall;
use vectorizer_bench::{IdTable, Matrix, ids, percentile, truth};

use crate::args::SearchArguments;
use crate::failure::{Failure, Result};
use crate::figures::milliseconds;
use crate::memory::{Home, Memory};
use crate::progress::Stage;

mod index;
mod report;

use report::{Report, Row};

/// Bytes of rows that are read and added at a time.
const ADD_BLOCK: usize = 32 << 20;
/// Queries of one call: what a GPU is asked at once, and what keeps the CPU busy while its bar moves.
const GPU_BATCH: usize = 10_000;
const CPU_BATCH: usize = 1_000;
/// And how many bytes they may take.
const QUERY_BYTES: usize = 256 << 20;
/// The most single queries that are timed for each row of the table, and how long that may take.
const SINGLES: usize = 2_000;
const SINGLES_TIME: Duration = Duration::from_secs(2);
/// Queries before the clock counts.
const WARM_UP: usize = 32;

pub(crate) fn run(arguments: &SearchArguments) -> Result<()> {
    match (&arguments.index, &arguments.base, arguments.metric) {
        (Some(folder), _, _) => index::run(arguments, folder),
        (None, Some(base), Some(metric)) => run_file(arguments, base, metric.into()),
        // The arguments' rules do not let this happen.
        _ => Err(Failure::Input(
            "--base and --metric, or --index, are needed".to_owned(),
        )),
    }
}

fn run_file(arguments: &SearchArguments, base: &Path, metric: DistanceMetric) -> Result<()> {
    let input = Input::open(arguments, base, metric)?;
    let context = arguments.collection.open()?;
    let batch = if context.device().is_cpu() {
        CPU_BATCH
    } else {
        GPU_BATCH
    };
    let options = CollectionOptions {
        hnsw: HnswConfig {
            ef_construction: arguments.ef_construction,
            ..HnswConfig::with_connections(arguments.m)
        },
        seed: arguments.seed,
        threads: arguments.threads,
        fallback: arguments.collection.policy(),
        precision: arguments.precision,
        full_rows: arguments.place.full_rows.unwrap_or_default(),
        ..CollectionOptions::default()
    };
    let mut graph = HnswGraph::new(&context, input.base.dimension(), metric, options)?;
    let quiet = arguments.json;
    let mut home = Home::new(arguments.collection.policy(), arguments.threads);
    let (read, add) = fill(&mut graph, &mut home, &input.base, quiet)?;
    let building = Instant::now();
    if !arguments.exact {
        build(&mut graph, &mut home, quiet)?;
    }
    let build = building.elapsed();
    let build_counters = graph.stats().counters;

    let efs: Vec<Option<usize>> = if arguments.exact {
        vec![None]
    } else {
        arguments.ef.iter().copied().map(Some).collect()
    };
    let mut rows = Vec::new();
    let mut found = IdTable::new(input.k.min(input.base.rows()));
    for ef in efs {
        let (row, ids) = home.keep(&mut graph, |graph| measure(graph, &input, ef, batch, quiet))?;
        rows.push(row);
        found = ids;
    }
    if let Some(path) = &arguments.out {
        found.write(path)?;
    }
    let report = Report {
        device: context.device_name().to_owned(),
        backend: context.backend().to_string(),
        reason: context.reason().to_owned(),
        metric,
        count: input.base.rows(),
        dimension: input.base.dimension(),
        element: input.base.element().to_string(),
        queries: input.queries.rows(),
        k: input.k,
        threads: arguments.threads,
        m: (!arguments.exact).then_some(arguments.m),
        ef_construction: (!arguments.exact).then_some(arguments.ef_construction),
        seed: (!arguments.exact).then_some(arguments.seed),
        precision: graph.storage().precision(),
        searched_row_bytes: graph.storage().searched_bytes(),
        full_rows: graph.storage().full_rows(),
        ram_bytes: graph.storage().ram_bytes(),
        open_ms: None,
        read_ms: milliseconds(read),
        add_ms: milliseconds(add),
        build_ms: if arguments.exact {
            0.0
        } else {
            milliseconds(build)
        },
        build_counters,
        memory: Memory::of(&context.device(), home.fallback),
        rows,
    };
    if arguments.json {
        report.print_json()
    } else {
        report.print_text(arguments)
    }
}

/// What is searched, checked before any work is done.
struct Input {
    base: Matrix,
    queries: Matrix,
    truth: Option<IdTable>,
    metric: DistanceMetric,
    k: usize,
}

impl Input {
    fn open(arguments: &SearchArguments, path: &Path, metric: DistanceMetric) -> Result<Self> {
        let base = Matrix::open(path)?;
        let queries = Matrix::open(&arguments.queries)?;
        if base.dimension() != queries.dimension() {
            return Err(Failure::Input(format!(
                "{}: has vectors of {} components, but {} has {}",
                arguments.queries.display(),
                queries.dimension(),
                path.display(),
                base.dimension()
            )));
        }
        let (count, k) = (queries.rows(), arguments.k);
        let truth = match &arguments.truth {
            Some(path) => Some(truth::read(path, count, k, base.rows())?),
            None => None,
        };
        if let Some(out) = &arguments.out {
            ids::can_write(out)?;
            can_write(arguments, Some(path), out)?;
        }
        Ok(Self {
            base,
            queries,
            truth,
            metric,
            k,
        })
    }
}

/// Says whether --out can be written, before any work is done: to none of the inputs, and no file of a collection.
fn can_write(arguments: &SearchArguments, base: Option<&Path>, out: &Path) -> Result<()> {
    let inputs = [base, Some(&*arguments.queries), arguments.truth.as_deref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().collect();
    Ok(WholeFile::check(out, &inputs)?)
}

/// Adds all rows, a block at a time; says how long reading and adding took.
fn fill(
    graph: &mut HnswGraph,
    home: &mut Home,
    base: &Matrix,
    quiet: bool,
) -> Result<(Duration, Duration)> {
    let stage = Stage::begin(quiet, "adding vectors", base.rows());
    let (mut read, mut add) = (Duration::ZERO, Duration::ZERO);
    let mut block = Vec::new();
    home.keep(graph, |graph| Ok(graph.reserve(base.rows())?))?;
    for range in base.blocks(ADD_BLOCK) {
        let reading = Instant::now();
        base.read(range.clone(), &mut block)?;
        let adding = Instant::now();
        home.keep(graph, |graph| Ok(graph.append(&block)?))?;
        read += adding - reading;
        add += adding.elapsed();
        stage.at(range.end);
    }
    Ok((read, add))
}

fn build(graph: &mut HnswGraph, home: &mut Home, quiet: bool) -> Result<()> {
    let stage = Stage::begin(quiet, "building the graph", graph.len());
    home.keep(graph, |graph| {
        graph.build(|progress| {
            stage.at(progress.linked);
            ControlFlow::Continue(())
        })?;
        Ok(())
    })
}

/// Searches all queries, `batch` at a time, then some one by one; exactly if there is no `ef`.
fn measure(
    graph: &HnswGraph,
    input: &Input,
    ef: Option<usize>,
    batch: usize,
    quiet: bool,
) -> Result<(Row, IdTable)> {
    let options = search_options(ef);
    let Input {
        base, queries, k, ..
    } = input;
    warm_up(graph, input, &options)?;
    let before = graph.stats().counters;
    let mut found = IdTable::new((*k).min(base.rows()));
    let mut path = options.path;
    let mut search = Duration::ZERO;
    let mut block = Vec::new();
    let stage = Stage::begin(quiet, "searching", queries.rows());
    for range in queries.blocks(QUERY_BYTES.min(batch * 4 * queries.dimension())) {
        queries.read(range.clone(), &mut block)?;
        let start = Instant::now();
        let answer = graph.search(&block, *k, &options)?;
        search += start.elapsed();
        path = answer.path;
        for hits in answer.hits.iter() {
            found.push(hits.iter().map(|hit| i64::from(hit.slot)));
        }
        stage.at(range.end);
    }
    drop(stage);
    let counters = graph.stats().counters.since(before);
    let mut times = single(graph, input, &options, quiet)?;
    let stage = Stage::begin(quiet, "comparing with the truth", None);
    let recall = match &input.truth {
        Some(truth) => Some(recall(base, queries, input.metric, truth, &found)?),
        None => None,
    };
    drop(stage);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a number of queries is far below 2^52"
    )]
    let qps = queries.rows() as f64 / search.as_secs_f64().max(1e-9);
    let row = Row {
        path,
        ef: ef.map(|ef| ef.max((*k).min(base.rows()))),
        recall,
        search_ms: milliseconds(search),
        qps,
        p50_us: percentile(&mut times, 50.0),
        p99_us: percentile(&mut times, 99.0),
        single_queries: times.len(),
        counters,
    };
    Ok((row, found))
}

/// What only the first searches cost (starting threads, filling caches) is no matter of the beam width.
fn warm_up(graph: &HnswGraph, input: &Input, options: &SearchOptions) -> Result<()> {
    let queries = &input.queries;
    let mut rows = Vec::new();
    queries.read(0..queries.rows().min(WARM_UP), &mut rows)?;
    graph.search(&rows, input.k, options)?;
    graph.search(&rows[..queries.dimension()], input.k, options)?;
    Ok(())
}

/// How long single queries take, in microseconds.
fn single(
    graph: &HnswGraph,
    input: &Input,
    options: &SearchOptions,
    quiet: bool,
) -> Result<Vec<f64>> {
    let queries = &input.queries;
    let mut rows = Vec::new();
    queries.read(0..queries.rows().min(SINGLES), &mut rows)?;
    let rows = rows.chunks_exact(queries.dimension());
    let stage = Stage::begin(quiet, "timing single queries", rows.len());
    let mut times = Vec::with_capacity(rows.len());
    let timing = Instant::now();
    for (done, query) in rows.enumerate() {
        let start = Instant::now();
        graph.search(query, input.k, options)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        stage.at(done + 1);
        if timing.elapsed() > SINGLES_TIME {
            break;
        }
    }
    Ok(times)
}
