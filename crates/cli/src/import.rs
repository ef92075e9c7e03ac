//! `vectorizer import`: a file of another program's into a collection, which is made if there is none.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use vectorizer::collection::Collection;
use vectorizer::config::{
    CollectionOptions, HnswConfig, MAX_CONNECTIONS, MAX_DIMENSION, Precision,
};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::interop::{Existing, Moved, hnswlib, ids_beside, jsonl};
use vectorizer::models::DistanceMetric;
use vectorizer::store::Durability;
use vectorizer_bench::{IdFile, Matrix};

use crate::args::{Metric, precision};
use crate::export::Format;
use crate::failure::{Failure, Result};
use crate::figures::counted;
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::{Memory, WithMemory};
use crate::progress::Stage;
use crate::rows::{self, NameArguments, Names};

mod made;
mod unused;

use made::Made;

/// Rows of a batch, where the file's reader does not choose.
const BATCH: usize = 10_000;

const HELP: &str = "\
Formats:
  hnswlib   vectors, labels and the graph, as hnswlib's save_index writes them; labels become ids
  npy       float32, float16, uint8 or int8 rows        fvecs     float32 rows, each after its length (or .bvecs)
  parquet   columns id and vector; the others become the payload
  jsonl     {\"id\": .., \"vector\": [..], \"payload\": ..}, one vector a line

Ids: with npy, fvecs and hnswlib from --ids, else from FILE.ids if that is there, else rows' numbers, from 0 or --first-id on (hnswlib: labels).
Payloads: JSON lines and Parquet bring theirs, and with --replace these take the place of what was there, also where a vector comes without one.
The other formats have none: with --replace payloads stay as they are. A NaN or an infinity in a column of Parquet is left out, and counted.

Examples:
  vectorizer import --index words --format hnswlib words.bin --dimension 512 --metric cosine
  vectorizer import --index shop --format parquet shop.parquet --dimension 768 --metric cosine
  vectorizer import --index shop --format parquet more.parquet --vector-column embedding --columns title,price

A batch is added whole or not at all; what is in before an error stays. With --replace a second try goes through. A collection that was made for a
file of which nothing came in is not there afterwards.
JSON: imported, count, graph (whether hnswlib's is used; else null), left_out (numbers that JSON has not); vram_bytes, vram_peak_bytes,
vram_efficiency, pool_reuse, fragmentation, fallback (null, or what happened and why), threads.";

/// Adds the vectors of another program's file to a collection; makes the collection if there is none.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ImportArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// What the file is.
    #[arg(long, value_enum)]
    format: Format,
    /// What to read.
    file: PathBuf,
    /// Components of a vector; needed where the collection is made now.
    #[arg(long, value_name = "D", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_DIMENSION as u64))]
    dimension: Option<usize>,
    /// How nearness is measured; needed where the collection is made now.
    #[arg(long, value_enum)]
    metric: Option<Metric>,
    #[command(flatten)]
    names: NameArguments,
    /// Links a vector makes (the paper's M) [default: the collection's; where it is made now the file's with hnswlib, else 16].
    #[arg(long, value_name = "LINKS", value_parser = RangedU64ValueParser::<usize>::new().range(2..=MAX_CONNECTIONS as u64))]
    m: Option<usize>,
    /// The form in which walks through the graph compare vectors [default: the collection's; where it is made now f32].
    #[arg(long, value_name = "FORM", value_parser = precision())]
    precision: Option<Precision>,
    /// Replace vectors whose ids are there already instead of refusing their batch.
    #[arg(long)]
    replace: bool,
    #[cfg(feature = "parquet")]
    #[command(flatten)]
    columns: ColumnArguments,
    #[command(flatten)]
    open: OpenArguments,
}

/// Which columns of a Parquet file are what.
#[cfg(feature = "parquet")]
#[derive(Debug, Args)]
struct ColumnArguments {
    /// The column of ids, with parquet. [default: id]
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// The column of vectors, with parquet. [default: vector]
    #[arg(long, value_name = "NAME")]
    vector_column: Option<String>,
    /// The columns that make the payload, separated by commas, with parquet. [default: all others]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Option<Vec<String>>,
}

/// What was read of a file.
#[derive(Debug, Default)]
struct Read {
    vectors: usize,
    /// Whether the file's graph is used, if it has one.
    graph: Option<bool>,
    /// Numbers that JSON has not.
    left_out: usize,
}

pub(crate) fn run(arguments: &ImportArguments) -> Result<()> {
    unused::refuse(arguments)?;
    check_file(&arguments.file, arguments.format)?;
    let context = arguments.open.collection.open()?;
    let (collection, made) = collection(arguments, &context)?;
    let json = arguments.index.json;
    let read = match read(&collection, arguments) {
        Ok(read) => read,
        Err(error) => {
            if let Some(made) = made {
                made.take_back(collection);
            }
            return Err(error);
        }
    };
    let count = collection.vector_count();
    let memory = Memory::of_collection(&collection);
    index::close(collection, json)?;
    let Read {
        vectors,
        graph,
        left_out,
    } = read;
    if json {
        let done = serde_json::json!({
            "imported": vectors,
            "count": count,
            "graph": graph,
            "left_out": left_out,
        });
        return say_json(&WithMemory { done, memory });
    }
    let how = match graph {
        Some(true) => " with their graph",
        Some(false) => ", linked anew",
        None => "",
    };
    let lost = match left_out {
        0 => String::new(),
        some => format!(
            "; {} of payloads left out, NaN or infinite",
            counted(some, "number", "numbers")
        ),
    };
    let vectors = counted(vectors, "vector", "vectors");
    let count = counted(count, "vector", "vectors");
    say(&format!(
        "imported {vectors}{how}{lost}; the collection holds {count}"
    ))
}

/// Reads the file into the collection.
fn read(collection: &Collection, arguments: &ImportArguments) -> Result<Read> {
    agree(collection, arguments)?;
    let file = &arguments.file;
    let stage = Stage::begin(arguments.index.json, "reading vectors", None);
    let progress = |moved: Moved| {
        stage.at(moved.done);
        ControlFlow::Continue(())
    };
    let existing = if arguments.replace {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    let mut read = Read::default();
    match arguments.format {
        Format::Hnswlib => {
            let ids = ids(arguments);
            if let Some(ids) = &ids {
                // Says what is wrong with it in the words of the other formats.
                IdFile::open(ids)?;
            }
            let imported =
                hnswlib::import_with(collection, file, ids.as_deref(), existing, progress)
                    .map_err(|error| broken_graph(error, file))?;
            read.graph = Some(imported.graph);
            read.vectors = imported.vectors;
        }
        Format::Npy | Format::Fvecs => {
            let matrix = Matrix::open_with_or_without_rows(file)?;
            rows::fit(collection, &matrix)?;
            let first = arguments.names.first_id;
            let ids = if first.is_some() {
                None
            } else {
                ids(arguments)
            };
            let names = Names::open(ids.as_deref(), first, &matrix)?;
            let replace = arguments.replace;
            rows::put(collection, &matrix, names, BATCH, replace, |done| {
                stage.at(done);
                Ok(())
            })?;
            read.vectors = matrix.rows();
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            use vectorizer::interop::parquet::{ParquetOptions, import_with};
            let named = &arguments.columns;
            let default = ParquetOptions::default();
            let options = ParquetOptions {
                existing,
                id_column: named.id_column.clone().unwrap_or(default.id_column),
                vector_column: named.vector_column.clone().unwrap_or(default.vector_column),
                columns: named.columns.clone(),
            };
            let imported = import_with(collection, file, &options, progress)?;
            read.vectors = imported.vectors;
            read.left_out = imported.left_out;
        }
        Format::Jsonl => read.vectors = jsonl::import(collection, file, existing, progress)?,
    }
    Ok(read)
}

/// The file of ids: the one that is named, else the one beside.
fn ids(arguments: &ImportArguments) -> Option<PathBuf> {
    let beside = ids_beside(&arguments.file);
    let named = arguments.names.ids.clone();
    named.or_else(|| beside.exists().then_some(beside))
}

/// A graph that breaks its rules is here one that came with the file.
fn broken_graph(error: VectorizerError, file: &Path) -> Failure {
    match error {
        VectorizerError::GraphDamaged { reason } => {
            Failure::Input(format!("{}: its graph is broken: {reason}", file.display()))
        }
        other => other.into(),
    }
}

/// Says what can be said of the file before a collection is made for it.
fn check_file(file: &Path, format: Format) -> Result<()> {
    if matches!(format, Format::Npy | Format::Fvecs) {
        return Ok(Matrix::open_with_or_without_rows(file).map(drop)?);
    }
    match File::open(file) {
        Ok(_) if !file.is_dir() => Ok(()),
        Ok(_) => Err(Failure::Input(format!("{}: is a folder", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::Input(format!(
            "{}: there is no such file",
            file.display()
        ))),
        Err(error) => Err(Failure::Input(format!(
            "{}: cannot be read: {error}",
            file.display()
        ))),
    }
}

/// The collection there is, or a new one, and what was made for that.
fn collection(
    arguments: &ImportArguments,
    context: &Context,
) -> Result<(Collection, Option<Made>)> {
    let folder = arguments.index.folder()?;
    match index::open_on(&arguments.index, &arguments.open, context, false) {
        Err(Failure::Missing(_)) => {}
        opened => return Ok((opened?, None)),
    }
    let (Some(dimension), Some(metric)) = (arguments.dimension, arguments.metric) else {
        return Err(Failure::Input(format!(
            "there is no collection at {}: --dimension and --metric say what kind to make",
            folder.display()
        )));
    };
    let options = options(arguments)?;
    let made = Made::at(folder);
    let created = Collection::create_with(
        folder,
        context,
        dimension,
        metric.into(),
        options,
        Durability::EveryBatch,
    );
    match created {
        Ok(collection) => Ok((collection, Some(made))),
        Err(error) => {
            made.remove_folders();
            Err(error.into())
        }
    }
}

/// What a new collection is made with.
fn options(arguments: &ImportArguments) -> Result<CollectionOptions> {
    let default = HnswConfig::default();
    let (m, ef_construction) = match arguments.format {
        Format::Hnswlib => {
            let header = hnswlib::Header::open(&arguments.file)?;
            let theirs = header.max_connections.clamp(2, MAX_CONNECTIONS);
            (theirs, header.ef_construction.clamp(1, 1024))
        }
        _ => (default.max_connections, default.ef_construction),
    };
    Ok(CollectionOptions {
        hnsw: HnswConfig {
            ef_construction,
            ..HnswConfig::with_connections(arguments.m.unwrap_or(m))
        },
        precision: arguments.precision.unwrap_or_default(),
        full_rows: arguments.open.place.full_rows.unwrap_or_default(),
        threads: arguments.open.threads,
        fallback: arguments.open.collection.policy(),
        ..CollectionOptions::default()
    })
}

/// Refuses what is said of a collection that is otherwise.
fn agree(collection: &Collection, arguments: &ImportArguments) -> Result<()> {
    let options = collection.options();
    let metric: Option<DistanceMetric> = arguments.metric.map(Into::into);
    let differs = [
        (
            "--dimension",
            collection.dimension().to_string(),
            arguments.dimension.map(|it| it.to_string()),
        ),
        (
            "--metric",
            collection.metric().to_string(),
            metric.map(|it| it.to_string()),
        ),
        (
            "--m",
            options.hnsw.max_connections.to_string(),
            arguments.m.map(|it| it.to_string()),
        ),
        (
            "--precision",
            options.precision.to_string(),
            arguments.precision.map(|it| it.to_string()),
        ),
    ];
    for (option, is, said) in differs {
        if let Some(said) = said.filter(|said| *said != is) {
            return Err(Failure::Input(format!(
                "{option} {said}: the collection at {} was made with {is}; leave the option out, or import into a new collection",
                arguments.index.index.display()
            )));
        }
    }
    Ok(())
}
