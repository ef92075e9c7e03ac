//! The same for a collection: its ids are names, its vectors are asked for by id, and a filter may say which count.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use vectorizer::collection::Collection;
use vectorizer::config::{SearchOptions, SearchPath};
use vectorizer::filter::Filter;
use vectorizer::interop::WholeFile;
use vectorizer::models::SearchResult;
use vectorizer_bench::recall::recall;
use vectorizer_bench::{IdTable, Matrix, ids, percentile, truth};

use super::report::{Report, Row};
use super::{CPU_BATCH, GPU_BATCH, QUERY_BYTES, SINGLES, SINGLES_TIME, WARM_UP, can_write};
use crate::args::SearchArguments;
use crate::failure::{Failure, Result};
use crate::figures::milliseconds;
use crate::index::{self, IndexArguments, OpenArguments};
use crate::memory::Memory;
use crate::progress::Stage;

/// Queries whose neighbours' vectors are held for measuring recall.
const RECALL_BLOCK: usize = 256;
/// More rows than there can be, for a truth that names ids and not places.
const ANY_ROW: usize = usize::MAX >> 1;

type Found = Vec<Vec<SearchResult>>;

struct Task<'a> {
    collection: &'a Collection,
    queries: &'a Matrix,
    k: usize,
    quiet: bool,
}

pub(super) fn run(arguments: &SearchArguments, folder: &Path) -> Result<()> {
    let queries = Matrix::open(&arguments.queries)?;
    let filter = arguments
        .filter
        .as_deref()
        .map(Filter::from_json)
        .transpose()?;
    let lines = arguments.out.as_deref().is_some_and(is_lines);
    if let Some(out) = &arguments.out {
        if !lines {
            ids::can_write(out)?;
        }
        can_write(arguments, None, out)?;
    }
    let opening = Instant::now();
    let index = IndexArguments {
        index: folder.to_owned(),
        json: arguments.json,
    };
    let open = OpenArguments {
        collection: arguments.collection.clone(),
        threads: arguments.threads,
        place: arguments.place,
    };
    let collection = index::open_to_read(&index, &open)?;
    let opened = opening.elapsed();
    if collection.dimension() != queries.dimension() {
        return Err(Failure::Input(format!(
            "{}: has vectors of {} components, but the collection's have {}",
            arguments.queries.display(),
            queries.dimension(),
            collection.dimension()
        )));
    }
    let k = arguments.k.min(collection.vector_count()).max(1);
    let truth = match &arguments.truth {
        Some(path) => Some(truth::read(path, queries.rows(), k, ANY_ROW)?),
        None => None,
    };
    let task = Task {
        collection: &collection,
        queries: &queries,
        k,
        quiet: arguments.json,
    };
    let efs: Vec<Option<usize>> = if arguments.exact {
        vec![None]
    } else {
        arguments.ef.iter().copied().map(Some).collect()
    };
    let mut rows = Vec::new();
    let mut found = Found::new();
    for ef in efs {
        let options = SearchOptions {
            path: if ef.is_some() {
                SearchPath::Auto
            } else {
                SearchPath::Exact
            },
            ef,
            with_payload: lines,
            filter: filter.clone(),
            ..SearchOptions::default()
        };
        let (row, hits) = task.measure(&options, truth.as_ref())?;
        rows.push(row);
        found = hits;
    }
    if let Some(out) = &arguments.out {
        if lines {
            write_lines(out, &found)?;
        } else {
            table(&found, k)?.write(out)?;
        }
    }
    report(arguments, &collection, &queries, opened, rows)
}

fn report(
    arguments: &SearchArguments,
    collection: &Collection,
    queries: &Matrix,
    opened: Duration,
    rows: Vec<Row>,
) -> Result<()> {
    let context = collection.context();
    let options = collection.options();
    let stats = collection.stats();
    let report = Report {
        device: context.device_name().to_owned(),
        backend: context.backend().to_string(),
        reason: context.reason().to_owned(),
        metric: collection.metric(),
        count: collection.vector_count(),
        dimension: collection.dimension(),
        element: "float32".to_owned(),
        queries: queries.rows(),
        k: arguments.k,
        threads: options.threads,
        m: (!arguments.exact).then_some(options.hnsw.max_connections),
        ef_construction: (!arguments.exact).then_some(options.hnsw.ef_construction),
        seed: (!arguments.exact).then_some(options.seed),
        precision: options.precision,
        searched_row_bytes: stats.searched_row_bytes,
        full_rows: stats.full_rows,
        ram_bytes: stats.ram_bytes,
        open_ms: Some(milliseconds(opened)),
        read_ms: 0.0,
        add_ms: 0.0,
        build_ms: 0.0,
        build_counters: vectorizer::engine::Counters::default(),
        memory: Memory::of(&context.device(), collection.fallback()),
        rows,
    };
    if arguments.json {
        report.print_json()
    } else {
        report.print_text(arguments)
    }
}

impl Task<'_> {
    /// Searches all queries in batches, then some one by one.
    fn measure(&self, options: &SearchOptions, truth: Option<&IdTable>) -> Result<(Row, Found)> {
        let Self {
            collection,
            queries,
            k,
            ..
        } = *self;
        let dimension = queries.dimension();
        let batch = if collection.context().device().is_cpu() {
            CPU_BATCH
        } else {
            GPU_BATCH
        };
        let mut block = Vec::new();
        queries.read(0..queries.rows().min(WARM_UP), &mut block)?;
        collection.search_batch_with(&rows_of(&block, dimension), k, options)?;
        let before = collection.stats();
        let mut found = Found::with_capacity(queries.rows());
        let mut search = Duration::ZERO;
        let stage = Stage::begin(self.quiet, "searching", queries.rows());
        for range in queries.blocks(QUERY_BYTES.min(batch * 4 * dimension)) {
            queries.read(range.clone(), &mut block)?;
            let start = Instant::now();
            found.extend(collection.search_batch_with(&rows_of(&block, dimension), k, options)?);
            search += start.elapsed();
            stage.at(range.end);
        }
        drop(stage);
        let after = collection.stats();
        let counters = after.graph.counters.since(before.graph.counters);
        let mut times = self.single(options)?;
        let recall = truth.map(|truth| self.recall(truth, &found)).transpose()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number of queries is far below 2^52"
        )]
        let qps = queries.rows() as f64 / search.as_secs_f64().max(1e-9);
        let row = Row {
            path: after.graph.last_path.unwrap_or(SearchPath::Exact),
            ef: options.ef.map(|ef| ef.max(k)),
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

    /// How long single queries take, in microseconds.
    fn single(&self, options: &SearchOptions) -> Result<Vec<f64>> {
        let queries = self.queries;
        let mut rows = Vec::new();
        queries.read(0..queries.rows().min(SINGLES), &mut rows)?;
        let rows = rows.chunks_exact(queries.dimension());
        let stage = Stage::begin(self.quiet, "timing single queries", rows.len());
        let mut times = Vec::with_capacity(rows.len());
        let timing = Instant::now();
        for (done, query) in rows.enumerate() {
            let start = Instant::now();
            self.collection.search_with(query, self.k, options)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
            stage.at(done + 1);
            if timing.elapsed() > SINGLES_TIME {
                break;
            }
        }
        Ok(times)
    }

    /// The share of the true neighbours found. Their vectors are fetched by id, those of some queries at a time.
    fn recall(&self, truth: &IdTable, found: &Found) -> Result<f64> {
        let stage = Stage::begin(self.quiet, "comparing with the truth", truth.queries());
        let found = table(found, truth.width())?;
        let dimension = self.queries.dimension();
        let mut hits = 0.0;
        let mut block = Vec::new();
        for first in (0..truth.queries()).step_by(RECALL_BLOCK) {
            let range = first..truth.queries().min(first + RECALL_BLOCK);
            // The vectors of this block, numbered as they come.
            let mut numbers: HashMap<i64, i64> = HashMap::new();
            let mut rows = Vec::new();
            let mut renumber = |table: &IdTable| -> Result<IdTable> {
                let mut own = IdTable::new(table.width());
                for query in range.clone() {
                    let mut list = Vec::with_capacity(table.width());
                    for id in table.of(query).iter().filter(|id| **id != IdTable::NONE) {
                        let next = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
                        if !numbers.contains_key(id) {
                            rows.extend(self.collection.get_vector(&id.to_string())?.data);
                            numbers.insert(*id, next);
                        }
                        list.push(numbers[id]);
                    }
                    own.push(list);
                }
                Ok(own)
            };
            let (own_truth, own_found) = (renumber(truth)?, renumber(&found)?);
            self.queries.read(range.clone(), &mut block)?;
            let base = Matrix::from_rows("the collection", rows, dimension)?;
            let queries = Matrix::from_rows("the queries", block.clone(), dimension)?;
            let share = recall(
                &base,
                &queries,
                self.collection.metric(),
                &own_truth,
                &own_found,
            )?;
            #[expect(clippy::cast_precision_loss, reason = "a block is small")]
            let weight = range.len() as f64;
            hits += share * weight;
            stage.at(range.end);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number of queries is far below 2^52"
        )]
        let queries = truth.queries() as f64;
        Ok(hits / queries)
    }
}

fn rows_of(block: &[f32], dimension: usize) -> Vec<&[f32]> {
    block.chunks_exact(dimension).collect()
}

fn is_lines(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"))
}

/// Ids as the numbers that they are the decimal digits of.
fn table(found: &Found, width: usize) -> Result<IdTable> {
    let mut table = IdTable::new(width);
    for hits in found {
        let number = |hit: &SearchResult| {
            hit.id
                .parse::<i64>()
                .ok()
                .filter(|number| *number >= 0 && number.to_string() == hit.id)
        };
        let numbers = hits
            .iter()
            .map(|hit| {
                number(hit).ok_or_else(|| {
                    Failure::Input(format!(
                        "the id {:?} is no row number: use --out FILE.jsonl, and leave --truth out",
                        hit.id
                    ))
                })
            })
            .collect::<Result<Vec<i64>>>()?;
        table.push(numbers);
    }
    Ok(table)
}

#[derive(serde::Serialize)]
struct Line<'a> {
    query: usize,
    hits: &'a [SearchResult],
}

/// One line for each query. The file appears whole or not at all.
fn write_lines(path: &Path, found: &Found) -> Result<()> {
    let unwritten = |error: std::io::Error| {
        Failure::Machine(format!("{}: cannot write it: {error}", path.display()))
    };
    let mut out = WholeFile::create(path)?;
    for (query, hits) in found.iter().enumerate() {
        serde_json::to_writer(&mut out, &Line { query, hits })
            .map_err(|error| unwritten(error.into()))?;
        out.write_all(b"\n").map_err(unwritten)?;
    }
    Ok(out.finish()?)
}
