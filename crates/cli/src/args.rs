//! The arguments, and the help that teaches them.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use vectorizer::config::{
    FullRows, HnswConfig, MAX_CONNECTIONS, MAX_EF, MAX_THREADS, Precision, effective_threads,
};
use vectorizer::models::DistanceMetric;

use crate::add::AddArguments;
use crate::bench::BenchArguments;
use crate::check::CheckArguments;
use crate::compact::CompactArguments;
use crate::create::CreateArguments;
use crate::delete::DeleteArguments;
use crate::export::ExportArguments;
use crate::import::ImportArguments;
use crate::memory::CollectionArguments;
use crate::salvage::SalvageArguments;
use crate::stats::StatsArguments;
use crate::tune::TuneArguments;

const EXAMPLES: &str = "\
Examples:
  vectorizer info
      Which devices there are, and which one would be taken.
  vectorizer demo
      Search this repository's own sources and docs; nothing to prepare.
  vectorizer search --base base.npy --queries queries.npy --metric euclidean -k 10
      Build an HNSW graph over the rows of base.npy and search it for every row of queries.npy.
  vectorizer create --index words --dimension 512 --metric cosine
  vectorizer add --index words vectors.npy
  vectorizer search --index words --queries queries.npy
      Keep vectors and their graph in the folder words, and search them.

Any device but the default is chosen with --device or the environment variable VECTORIZER_DEVICE.";

const SEARCH_HELP: &str = "\
Files:
  .npy     float32, float16, uint8 or int8, two dimensions, C order, little endian
  .fvecs   float32 rows, each after its length        .bvecs   the same with bytes
  .ivecs   int32 rows (for --truth)
  Files are read a block at a time, never held in memory as a whole: memory is what the device keeps plus one block.

Examples:
  vectorizer search --base base.npy --queries q.npy --metric cosine -k 10 --exact --out ids.npy
      The exact neighbours, as row numbers of base.npy (int64, one row a query, nearest first).
  vectorizer search --base base.npy --queries q.npy --metric cosine -k 10 --truth ids.npy --ef 16,32,64,128
      How recall is bought with speed: one line for each beam width.
  vectorizer search --base sift.fvecs --queries sift_q.fvecs --metric euclidean --truth sift_gt.ivecs --json
      One JSON document on standard output, for machines.
  vectorizer search --index words --queries q.npy --filter '{\"must\": [{\"key\": \"kind\", \"match\": {\"value\": \"noun\"}}]}' --out hits.jsonl
      The neighbours in a collection among the vectors whose payload says so, with their payloads.

A collection (--index) has its own metric and graph. Its ids are names: --out FILE.npy writes them where all are decimal numbers (as those
that `add` gives by default), --out FILE.jsonl writes one line for each query with id, similarity, distance and payload of each hit.
--truth means the ids that are such numbers.

JSON:
  device, backend, reason, metric, count, dimension, queries, k, threads, m, ef_construction, seed (null with
  --exact), precision, searched_row_bytes, full_rows (device or ram), ram_bytes (beside the device's), open_ms (with --index), read_ms, add_ms, build_ms, build_counters, vram_bytes, vram_peak_bytes, vram_efficiency, pool_reuse,
  fragmentation (these three from 0 to 1), fallback (null, or an object with what, why, device, vectors), and rows: for each --ef an object with path
  (exact or graph), ef, recall (null without --truth), search_ms, qps, p50_us, p99_us, single_queries, counters.
  The fields of the last row stand at the top as well.

Recall counts by distance, computed from the data in double precision: a row tied with the k-th true
neighbour is found. p50_us and p99_us are of single queries, one a call; qps is of all queries in batches.";

const DEVICE_HELP: &str = "auto, gpu, cpu, software (a driver that computes on the CPU, such as lavapipe), a part of an \
adapter's name, its PCI address, or # and its place in `vectorizer info` [default: VECTORIZER_DEVICE, else auto]";

/// HNSW on the GPU you already have, and on the CPU when there is none.
#[derive(Debug, Parser)]
#[command(name = "vectorizer", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the devices of this machine, what they can do, and which one would be taken and why.
    Info(InfoArguments),
    /// Search real text: this repository's own sources and docs, or the files under PATH.
    Demo(DemoArguments),
    /// Search a file of vectors, or a collection, for the neighbours of the vectors of another file.
    Search(SearchArguments),
    /// Make an empty collection in a folder.
    Create(CreateArguments),
    /// Add the rows of a file to a collection; each batch is durable when it is reported.
    Add(AddArguments),
    /// Delete vectors from a collection.
    Delete(DeleteArguments),
    /// Take deleted vectors out of a collection's graph and give their room back to the disk.
    Compact(CompactArguments),
    /// Say what a collection is, how many vectors it holds and how much room it takes.
    Stats(StatsArguments),
    /// Check every checksum and every rule of a collection's files.
    Check(CheckArguments),
    /// Copy what can still be read of a damaged collection into a new one.
    Salvage(SalvageArguments),
    /// Measure recall, speed, latency, building and memory on a set of vectors, and draw them.
    Bench(BenchArguments),
    /// Measure how a GPU's work is best cut up, and remember it for this device.
    Tune(TuneArguments),
    /// Write a collection into a file that other programs read.
    Export(ExportArguments),
    /// Add the vectors of another program's file to a collection, which is made if there is none.
    Import(ImportArguments),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArguments {
    #[arg(long, value_name = "DEVICE", help = DEVICE_HELP)]
    pub(crate) device: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Print one JSON document instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads text files, cuts them into paragraphs, turns each into a vector of 512 numbers, adds them to a collection, builds its
/// graph and searches it.
///
/// The vectors come from a small embedder that hashes words and pieces of words. It knows spelling, not meaning: a stand-in
/// for a real embedding model, so that the demo needs no download.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// A folder or a file to read instead of this repository. Hidden, ignored, binary and very large files are skipped.
    pub(crate) path: Option<PathBuf>,
    /// What to look for; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) query: Vec<String>,
    #[command(flatten)]
    pub(crate) collection: CollectionArguments,
}

/// Finds the k nearest vectors, in a file or in a collection, for every row of QUERIES: by an HNSW graph, which for a file is built first, or
/// exactly.
#[derive(Debug, Args)]
#[command(after_help = SEARCH_HELP)]
pub(crate) struct SearchArguments {
    /// The vectors to search in: a file.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "index",
        conflicts_with = "index"
    )]
    pub(crate) base: Option<PathBuf>,
    /// The vectors to search in: a collection's folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["metric", "m", "ef_construction", "seed", "precision"])]
    pub(crate) index: Option<PathBuf>,
    /// Find only vectors of the collection for which this holds: a filter as JSON, in Qdrant's shape.
    #[arg(long, value_name = "JSON", requires = "index", conflicts_with = "base")]
    pub(crate) filter: Option<String>,
    /// The vectors to search for, of the same dimension.
    #[arg(long, value_name = "FILE")]
    pub(crate) queries: PathBuf,
    /// How nearness is measured.
    #[arg(long, value_enum, required_unless_present = "index")]
    pub(crate) metric: Option<Metric>,
    /// How many neighbours to find; more than there are rows means all of them.
    #[arg(short, default_value = "10", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) k: usize,
    /// Compare every vector instead of building a graph. Nothing is to be said about the graph then.
    #[arg(long, conflicts_with_all = ["ef", "m", "ef_construction", "seed"])]
    pub(crate) exact: bool,
    /// The true neighbours, to measure recall by: row numbers of any integer type, at least k wide (.npy or .ivecs).
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    /// Where to write the row numbers found (.npy, int64; of a collection also .jsonl); with several --ef, those of the last. Written whole or not
    /// at all.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) collection: CollectionArguments,
    /// Threads of the CPU engine, at most four for each core, or 64 where that is more; 0 is one for each core.
    #[arg(long, value_name = "N", default_value = "0", value_parser = threads)]
    pub(crate) threads: usize,
    /// Links a vector makes (the paper's M); level 0 holds twice as many.
    #[arg(long, value_name = "LINKS", default_value_t = HnswConfig::default().max_connections,
        value_parser = RangedU64ValueParser::<usize>::new().range(2..=MAX_CONNECTIONS as u64))]
    pub(crate) m: usize,
    /// Beam width while building.
    #[arg(long, value_name = "WIDTH", default_value_t = HnswConfig::default().ef_construction,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub(crate) ef_construction: usize,
    /// Beam widths of the search, separated by commas: all queries are searched with each. Less than k means k.
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', default_values_t = [HnswConfig::default().ef_search],
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_EF as u64))]
    pub(crate) ef: Vec<usize>,
    /// Decides the levels of the graph: the same seed and input give the same graph.
    #[arg(long, default_value_t = vectorizer::config::CollectionOptions::default().seed)]
    pub(crate) seed: u64,
    /// The form in which walks through the graph compare vectors; what they find is scored again by the vectors as they are.
    #[arg(long, value_name = "FORM", default_value_t, value_parser = precision())]
    pub(crate) precision: Precision,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Print one JSON document instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where vectors are kept: flattened into every command that makes or opens a collection.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PlaceArguments {
    /// Where the vectors themselves are kept on a GPU, if walks compare another form of them: on the device, or in RAM, which takes a fifth of
    /// the device memory with int8, while adding, building and exact search are the CPU's. [default: device; of a collection that is there, as it
    /// was made]
    #[arg(long, value_name = "PLACE", value_parser = place())]
    pub(crate) full_rows: Option<FullRows>,
}

/// Reads the name of a place.
fn place() -> impl TypedValueParser<Value = FullRows> {
    PossibleValuesParser::new(FullRows::ALL.map(FullRows::name)).try_map(|name| name.parse())
}

/// Reads the name of a precision.
pub(crate) fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.iter().map(|form| form.name()))
        .try_map(|name| name.parse())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Metric {
    /// The straight line between two points.
    #[value(alias = "l2")]
    Euclidean,
    /// The angle between two vectors.
    Cosine,
    /// The inner product.
    #[value(alias = "ip")]
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

/// A number of threads, all of which work on this machine.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    let threads: usize = text
        .parse()
        .map_err(|_| "expected a whole number".to_owned())?;
    let most = effective_threads(MAX_THREADS);
    if threads > most {
        return Err(format!(
            "at most {most} threads work on this machine: four for each core, or 64 where that is more"
        ));
    }
    Ok(threads)
}
