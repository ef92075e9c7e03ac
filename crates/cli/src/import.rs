//! `vectorizer import`: a file of another program's into a collection, which is made if there is none.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use vectorizer::collection::Collection;
use vectorizer::config::{
    CollectionOptions, HnswConfig, MAX_CONNECTIONS, MAX_DIMENSION, Precision,
};
use vectorizer::gpu::context::Context;
use vectorizer::interop::{Existing, Moved, hnswlib, ids_beside, jsonl};
use vectorizer::models::Vector;
use vectorizer::store::Durability;
use vectorizer_bench::{IdFile, Matrix};

use crate::args::{Metric, precision};
use crate::export::Format;
use crate::failure::{Failure, Result};
use crate::figures::counted;
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::{Memory, WithMemory};
use crate::progress::Stage;

/// Rows of a batch, where the file's reader does not choose.
const BATCH: usize = 10_000;

const HELP: &str = "\
Formats:
  hnswlib   vectors, labels and the graph, as hnswlib's save_index writes them; labels become ids
  npy       float32, float16, uint8 or int8 rows        fvecs     float32 rows, each after its length (or .bvecs)
  parquet   columns id and vector; the others become the payload
  jsonl     {\"id\": .., \"vector\": [..], \"payload\": ..}, one vector a line

Ids: with npy, fvecs and hnswlib from --ids, else from FILE.ids if that is there, else rows' numbers (hnswlib: labels).

Examples:
  vectorizer import --index words --format hnswlib words.bin --dimension 512 --metric cosine
  vectorizer import --index shop --format parquet shop.parquet --dimension 768 --metric cosine

A batch is added whole or not at all; what is in before an error stays. With --replace a second try goes through.";

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
    /// Components of a vector.
    #[arg(long, value_name = "D", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_DIMENSION as u64))]
    dimension: usize,
    /// How nearness is measured.
    #[arg(long, value_enum)]
    metric: Metric,
    /// Ids in the order of the rows (hnswlib: of the labels), one a line.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Links a vector makes (the paper's M), if the collection is made now [default: the file's with hnswlib, else 16].
    #[arg(long, value_name = "LINKS", value_parser = RangedU64ValueParser::<usize>::new().range(2..=MAX_CONNECTIONS as u64))]
    m: Option<usize>,
    /// The form in which walks through the graph compare vectors, if the collection is made now.
    #[arg(long, value_name = "FORM", default_value_t, value_parser = precision())]
    precision: Precision,
    /// Replace vectors whose ids are there already instead of refusing their batch.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    open: OpenArguments,
}

pub(crate) fn run(arguments: &ImportArguments) -> Result<()> {
    check_file(arguments)?;
    let collection = collection(arguments)?;
    let (json, file) = (arguments.index.json, &arguments.file);
    let stage = Stage::begin(json, "reading vectors", None);
    let progress = |moved: Moved| {
        stage.at(moved.done);
        ControlFlow::Continue(())
    };
    let beside = ids_beside(file);
    let ids = arguments
        .ids
        .clone()
        .or_else(|| beside.exists().then_some(beside));
    let existing = if arguments.replace {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    let mut graph = None;
    let vectors = match arguments.format {
        Format::Hnswlib => {
            let imported =
                hnswlib::import_with(&collection, file, ids.as_deref(), existing, progress)?;
            graph = Some(imported.graph);
            imported.vectors
        }
        Format::Npy | Format::Fvecs => rows(&collection, arguments, ids, progress)?,
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            vectorizer::interop::parquet::import(&collection, file, existing, progress)?
        }
        Format::Jsonl => jsonl::import(&collection, file, existing, progress)?,
    };
    drop(stage);
    let count = collection.vector_count();
    let memory = Memory::of_collection(&collection);
    index::close(collection, json)?;
    if json {
        let done = serde_json::json!({"imported": vectors, "count": count, "graph": graph});
        return say_json(&WithMemory { done, memory });
    }
    let how = match graph {
        Some(true) => " with their graph",
        Some(false) => ", linked anew",
        None => "",
    };
    let vectors = counted(vectors, "vector", "vectors");
    let count = counted(count, "vector", "vectors");
    say(&format!(
        "imported {vectors}{how}; the collection holds {count}"
    ))
}

/// Says what can be said of the file before a collection is made for it.
fn check_file(arguments: &ImportArguments) -> Result<()> {
    let file = &arguments.file;
    if matches!(arguments.format, Format::Npy | Format::Fvecs) {
        return matrix(arguments).map(drop);
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

/// The file as rows of --dimension components.
fn matrix(arguments: &ImportArguments) -> Result<Matrix> {
    let matrix = Matrix::open_with_or_without_rows(&arguments.file)?;
    if matrix.fits(arguments.dimension) {
        Ok(matrix)
    } else {
        Err(Failure::Input(format!(
            "{}: has vectors of {} components, --dimension says {}",
            arguments.file.display(),
            matrix.dimension(),
            arguments.dimension
        )))
    }
}

/// The collection there is, which has to be of this kind, or a new one.
fn collection(arguments: &ImportArguments) -> Result<Collection> {
    let folder = &arguments.index.index;
    let metric = arguments.metric.into();
    if !folder.exists() {
        let default = HnswConfig::default();
        let (m, ef_construction) = match arguments.format {
            Format::Hnswlib => {
                let header = hnswlib::Header::open(&arguments.file)?;
                let theirs = header.max_connections.clamp(2, MAX_CONNECTIONS);
                (theirs, header.ef_construction.clamp(1, 1024))
            }
            _ => (default.max_connections, default.ef_construction),
        };
        let m = arguments.m.unwrap_or(m);
        let hnsw = HnswConfig {
            ef_construction,
            ..HnswConfig::with_connections(m)
        };
        let options = CollectionOptions {
            hnsw,
            precision: arguments.precision,
            full_rows: arguments.open.place.full_rows.unwrap_or_default(),
            ..CollectionOptions::default()
        };
        let context = Context::cpu();
        let dimension = arguments.dimension;
        let durability = Durability::EveryBatch;
        Collection::create_with(folder, &context, dimension, metric, options, durability)?
            .close()?;
    }
    let collection = index::open(&arguments.index, &arguments.open)?;
    if (collection.dimension(), collection.metric()) != (arguments.dimension, metric) {
        return Err(Failure::Input(format!(
            "{}: holds vectors of {} components, {}; --dimension and --metric say otherwise",
            folder.display(),
            collection.dimension(),
            collection.metric()
        )));
    }
    Ok(collection)
}

/// The rows of a matrix, batch by batch.
fn rows(
    collection: &Collection,
    arguments: &ImportArguments,
    ids: Option<PathBuf>,
    progress: impl Fn(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let matrix = matrix(arguments)?;
    let mut ids = match &ids {
        None => None,
        Some(path) => {
            let ids = IdFile::open(path)?;
            if ids.count() != matrix.rows() {
                return Err(Failure::Input(format!(
                    "{}: has {}, but {} has {}",
                    path.display(),
                    counted(ids.count(), "id", "ids"),
                    arguments.file.display(),
                    counted(matrix.rows(), "row", "rows")
                )));
            }
            Some(ids)
        }
    };
    let mut block = Vec::new();
    for first in (0..matrix.rows()).step_by(BATCH) {
        let range = first..matrix.rows().min(first + BATCH);
        matrix.read(range.clone(), &mut block)?;
        let names = match &mut ids {
            Some(ids) => ids.read(range.len())?,
            None => range.clone().map(|row| row.to_string()).collect(),
        };
        if arguments.replace {
            let named = names
                .into_iter()
                .zip(block.chunks_exact(matrix.dimension()));
            let vectors: Vec<Vector> = named
                .map(|(id, row)| Vector {
                    id,
                    data: row.to_vec(),
                    payload: None,
                })
                .collect();
            collection.upsert_vectors_batch(vectors)?;
        } else {
            collection.add_rows(&names, &block)?;
        }
        let moved = Moved {
            done: range.end,
            total: Some(matrix.rows()),
        };
        // Nobody stops it.
        let _ = progress(moved);
    }
    Ok(matrix.rows())
}
