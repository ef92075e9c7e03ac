//! `vectorizer bench`: a set of vectors, every setting that matters, peers beside it, and a page of pictures.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use vectorizer::config::{CollectionOptions, HnswConfig, MAX_CONNECTIONS, MAX_EF, Precision};
use vectorizer_bench::dataset::DataSet;
use vectorizer_bench::ids::IdTable;
use vectorizer_bench::lines::{Line, Run, Writer};
use vectorizer_bench::machine::{self, Machine};
use vectorizer_bench::outside::{self, Files};
use vectorizer_bench::sweep::{self, Event, Plan, SweepError};
use vectorizer_bench::{Matrix, page, truth};

use crate::args::{DeviceArguments, Metric, PlaceArguments, precision};
use crate::device;
use crate::failure::{Failure, Result};
use crate::progress::Stage;

mod compare;
mod table;

const HELP: &str = "\
Files written to the folder:
  report.html   the page: pictures, a table, how it was measured; needs no network and no other file
  bench.jsonl   one JSON object a line: what was measured and where, builds, points, memory over time
  *.svg, *.png  the pictures by themselves

Examples:
  vectorizer bench --base base.npy --queries q.npy --metric euclidean --out report
      Three rounds with the defaults, on the device that would be taken.
  vectorizer bench --generate sift-like:100000 --metric euclidean --out report
      The same with made-up data.
  vectorizer bench --base b.npy --queries q.npy --metric cosine --with scripts/bench-peers --out report
      hnswlib and faiss beside it, in the same rounds; any program that keeps to the same words will do.
  vectorizer bench compare before/bench.jsonl after/bench.jsonl
      What changed beyond noise.

Queries a second are of all queries in one call; p50 and p99 of queries one at a time. For --at the smallest beam width
that reaches the recall is looked for. The figures of a busy machine say little: the report tells how busy it was.";

/// Measures recall, speed, latency, building and memory, and draws them.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// The vectors to search in (.npy, .fvecs, .bvecs).
    #[arg(
        long,
        value_name = "FILE",
        requires = "queries",
        required_unless_present = "generate"
    )]
    base: Option<PathBuf>,
    /// The vectors to search for.
    #[arg(
        long,
        value_name = "FILE",
        requires = "base",
        conflicts_with = "generate"
    )]
    queries: Option<PathBuf>,
    /// Made-up data instead: sift-like:ROWS or text-like:ROWS:DIMENSION, with 10,000 queries.
    #[arg(long, value_name = "NAME", conflicts_with = "base")]
    generate: Option<String>,
    /// The true neighbours, as row numbers (.npy, .ivecs); by default exact search finds them.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// How nearness is measured.
    #[arg(long, value_enum, required = true)]
    metric: Option<Metric>,
    /// The folder for the report; it is made if it is not there.
    #[arg(long, value_name = "FOLDER", required = true)]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArguments,
    /// Neighbours to find.
    #[arg(short, default_value = "10", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    k: usize,
    /// Beam widths.
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', default_value = "10,16,24,32,48,64,96,128,256",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_EF as u64))]
    ef: Vec<usize>,
    /// Recalls for which the smallest beam width that reaches them is looked for; the first is the one that batches are tried with.
    #[arg(
        long,
        value_name = "RECALLS",
        value_delimiter = ',',
        default_value = "0.95,0.99"
    )]
    at: Vec<f64>,
    /// Links a vector makes.
    #[arg(long, value_name = "LINKS", value_delimiter = ',', default_values_t = [HnswConfig::default().max_connections],
        value_parser = RangedU64ValueParser::<usize>::new().range(2..=MAX_CONNECTIONS as u64))]
    m: Vec<usize>,
    /// Beam width while building.
    #[arg(long, value_name = "WIDTH", default_value_t = HnswConfig::default().ef_construction,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    ef_construction: usize,
    /// Forms in which walks through the graph compare vectors.
    #[arg(long, value_name = "FORMS", value_delimiter = ',', default_values_t = [Precision::F32], value_parser = precision())]
    precision: Vec<Precision>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Threads of the CPU engine and of peers, at most four for each core, or 64 where that is more; 0 is one for each core.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "0",
        value_parser = crate::args::threads)]
    threads: Vec<usize>,
    /// Queries of one call, tried with one beam width.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "1,10,100,1000",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    batch: Vec<usize>,
    /// How often everything is measured.
    #[arg(long, default_value = "3", value_parser = RangedU64ValueParser::<usize>::new().range(1..=100))]
    rounds: usize,
    /// Leave exact search out.
    #[arg(long)]
    no_exact: bool,
    /// A program that measures peers in the same rounds, such as scripts/bench-peers; may be given several times.
    #[arg(long, value_name = "PROGRAM")]
    with: Vec<PathBuf>,
    /// Decides the levels of the graph.
    #[arg(long, default_value_t = vectorizer::config::CollectionOptions::default().seed)]
    seed: u64,
    /// Draw nothing on the terminal but the table.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Say what changed between two benches beyond noise.
    Compare(compare::CompareArguments),
}

pub(crate) fn run(arguments: &BenchArguments) -> Result<()> {
    match (&arguments.command, &arguments.metric, &arguments.out) {
        (Some(BenchCommand::Compare(arguments)), ..) => compare::run(arguments),
        (None, Some(metric), Some(out)) => Bench::open(arguments, *metric, out)?.run(),
        _ => Err(Failure::Input(
            "--metric and --out are needed: see vectorizer bench --help".to_owned(),
        )),
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Data(error) => error.into(),
            SweepError::Engine(error) => error.into(),
        }
    }
}

/// A bench about to begin.
struct Bench<'a> {
    arguments: &'a BenchArguments,
    out: &'a Path,
    context: vectorizer::gpu::context::Context,
    set: DataSet,
    truth: IdTable,
    plan: Plan,
    lines: Vec<Line>,
}

impl<'a> Bench<'a> {
    fn open(arguments: &'a BenchArguments, metric: Metric, out: &'a Path) -> Result<Self> {
        if let Some(wrong) = arguments.at.iter().find(|at| !(**at > 0.0 && **at <= 1.0)) {
            return Err(Failure::Input(format!(
                "--at {wrong}: a recall is above 0, up to 1"
            )));
        }
        for &precision in &arguments.precision {
            let options = CollectionOptions {
                precision,
                full_rows: arguments.place.full_rows.unwrap_or_default(),
                ..CollectionOptions::default()
            };
            options.validate()?;
        }
        fs::create_dir_all(out).map_err(|error| {
            Failure::Input(format!(
                "{}: cannot make the folder: {error}",
                out.display()
            ))
        })?;
        let set = data(arguments, metric)?;
        let context = device::open(&arguments.device)?;
        let plan = Plan {
            metric: metric.into(),
            k: arguments.k.min(set.base.rows()),
            efs: sorted(&arguments.ef),
            targets: arguments.at.clone(),
            ms: arguments.m.clone(),
            ef_construction: arguments.ef_construction,
            precisions: arguments.precision.clone(),
            full_rows: arguments.place.full_rows.unwrap_or_default(),
            threads: arguments.threads.clone(),
            batches: sorted(&arguments.batch)
                .into_iter()
                .filter(|batch| *batch < set.queries.rows())
                .collect(),
            exact: !arguments.no_exact,
            seed: arguments.seed,
        };
        let truth = if let Some(truth) = &set.truth {
            truth.clone()
        } else {
            let _stage = Stage::begin(arguments.quiet, "finding the true neighbours", None);
            sweep::truth(&set, &plan, &context)?
        };
        Ok(Self {
            arguments,
            out,
            context,
            set,
            truth,
            plan,
            lines: Vec::new(),
        })
    }

    fn run(mut self) -> Result<()> {
        let (began, others) = (Instant::now(), machine::other_cpu_seconds());
        let mut run = Run {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            when: machine::now(),
            machine: Machine::here(),
            load_average: machine::load_average(),
            other_cpu: None,
            data: self.set.name.clone(),
            metric: self.plan.metric.name().to_owned(),
            rows: self.set.base.rows(),
            dimension: self.set.base.dimension(),
            queries: self.set.queries.rows(),
            k: self.plan.k,
            rounds: self.arguments.rounds,
        };
        let mut writer = Writer::create(&self.out.join("bench.jsonl"))?;
        let files = self.files()?;
        writer.add(&Line::Run(run.clone()))?;
        self.lines.push(Line::Run(run.clone()));
        for round in 0..self.arguments.rounds {
            let mut new = Vec::new();
            self.ours(round, &mut |line| new.push(line))?;
            if let Some(files) = &files {
                self.outside(files.path(), round, &mut |line| new.push(line));
            }
            for line in &new {
                writer.add(line)?;
            }
            self.lines.append(&mut new);
        }
        run.other_cpu = machine::other_cpu_seconds()
            .zip(others)
            .map(|(after, before)| ((after - before) / began.elapsed().as_secs_f64()).max(0.0));
        writer.add(&Line::Run(run.clone()))?;
        self.lines.push(Line::Run(run));
        let page = page::write(&self.lines, self.out)?;
        table::print(&self.lines, &page)
    }

    fn ours(&self, round: usize, tell: &mut dyn FnMut(Line)) -> Result<()> {
        let quiet = self.arguments.quiet;
        let mut stage: Option<Stage> = None;
        sweep::round(
            &self.set,
            &self.truth,
            &self.plan,
            &self.context,
            round,
            &mut |event| match event {
                Event::Begin(what, total) => {
                    // The old one goes before the new one comes.
                    drop(stage.take());
                    let what = format!("round {}, {what}", round + 1);
                    stage = Some(Stage::begin(quiet, what, total));
                }
                Event::At(done) => {
                    if let Some(stage) = &stage {
                        stage.at(done);
                    }
                }
                Event::Line(line) => tell(*line),
            },
        )?;
        Ok(())
    }

    /// What programs outside read: the data as plain `.npy` files, in a folder that goes away.
    fn files(&self) -> Result<Option<tempfile::TempDir>> {
        if self.arguments.with.is_empty() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| {
            Failure::Machine(format!("cannot write the data for other programs: {error}"))
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        for (matrix, name) in [
            (&self.set.base, "base.npy"),
            (&self.set.queries, "queries.npy"),
        ] {
            matrix.write_npy(&folder.path().join(name))?;
        }
        self.truth.write(&folder.path().join("truth.npy"))?;
        Ok(Some(folder))
    }

    /// A peer that fails is told of in the report, and does not end the bench.
    fn outside(&self, folder: &Path, round: usize, tell: &mut dyn FnMut(Line)) {
        let [base, queries, truth] =
            ["base.npy", "queries.npy", "truth.npy"].map(|name| folder.join(name));
        let files = Files {
            base: &base,
            queries: &queries,
            truth: &truth,
        };
        for program in &self.arguments.with {
            let what = format!("round {}, {}", round + 1, program.display());
            let _stage = Stage::begin(self.arguments.quiet, what, None);
            if let Err(error) = outside::round(program, files, &self.plan, round, tell) {
                tell(Line::Failed {
                    engine: program.display().to_string(),
                    round,
                    reason: error.to_string(),
                });
            }
        }
    }
}

fn data(arguments: &BenchArguments, metric: Metric) -> Result<DataSet> {
    let metric: vectorizer::models::DistanceMetric = metric.into();
    let mut set = match (&arguments.base, &arguments.queries, &arguments.generate) {
        (Some(base), Some(queries), _) => {
            let name = match base.file_stem() {
                // A file called base is known by its folder.
                Some(stem) if stem == "base" => base.parent().and_then(Path::file_name),
                stem => stem,
            };
            let name = name.unwrap_or(base.as_os_str()).to_string_lossy();
            DataSet {
                name: name.into_owned(),
                base: Matrix::open(base)?,
                queries: Matrix::open(queries)?,
                truth: None,
            }
        }
        (_, _, Some(made_up)) => DataSet::open(made_up, metric, arguments.k)?,
        _ => {
            return Err(Failure::Input(
                "--base and --queries, or --generate, say what is measured".to_owned(),
            ));
        }
    };
    if set.base.dimension() != set.queries.dimension() {
        return Err(Failure::Input(format!(
            "the base has vectors of {} components, the queries of {}",
            set.base.dimension(),
            set.queries.dimension()
        )));
    }
    if let Some(path) = &arguments.truth {
        let (queries, rows) = (set.queries.rows(), set.base.rows());
        set.truth = Some(truth::read(path, queries, arguments.k, rows)?);
    }
    Ok(set)
}

fn sorted(numbers: &[usize]) -> Vec<usize> {
    let numbers: BTreeSet<usize> = numbers.iter().copied().collect();
    numbers.into_iter().collect()
}
