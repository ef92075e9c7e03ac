//! `vectorizer add`: the rows of a file into a collection, batch by batch, each durable when it is said to be.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use vectorizer::collection::Collection;
use vectorizer::models::Vector;
use vectorizer_bench::{IdFile, Matrix};

use crate::failure::{Failure, Result};
use crate::figures::{counted, rate, time};
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::Memory;
use crate::progress::Stage;

const HELP: &str = "\
Files: .npy (float32, float16, uint8, int8; two dimensions), .fvecs, .bvecs; read a batch at a time, never held in memory as a whole.
Ids:   without --ids a row's number, from 0; with it, as many as there are rows: a .npy list of integers, or text, one id a line.

Examples:
  vectorizer add --index words vectors.npy
  vectorizer add --index words more.npy --ids more.txt --batch 5000
  vectorizer add --index words changed.npy --ids changed.txt --replace

A batch is added whole or not at all, and is on the disk before it is reported. With --json, each batch is one line as soon as it is
durable: {\"acknowledged\": COUNT}, COUNT being the rows of this call so far. What was acknowledged is there after a crash;
what was not may be repeated with --replace.
Exit status: 0 all rows are in; 1 the machine failed; 2 wrong arguments, files or ids. What was acknowledged stays in any case.";

/// Adds the rows of a file to a collection.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct AddArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// The vectors: .npy, .fvecs or .bvecs.
    file: PathBuf,
    /// Their ids, in the order of the rows.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Rows of a batch.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    batch: usize,
    /// Replace vectors whose ids are there already instead of refusing their batch.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    open: OpenArguments,
}

/// A batch is durable.
#[derive(serde::Serialize)]
struct Acknowledged {
    acknowledged: usize,
    /// With the last batch.
    #[serde(flatten)]
    memory: Option<Memory>,
}

pub(crate) fn run(arguments: &AddArguments) -> Result<()> {
    let matrix = Matrix::open_with_or_without_rows(&arguments.file)?;
    let mut ids = ids(arguments, matrix.rows())?;
    let collection = index::open(&arguments.index, &arguments.open)?;
    if !matrix.fits(collection.dimension()) {
        return Err(Failure::Input(format!(
            "{}: has vectors of {} components, but the collection's have {}",
            arguments.file.display(),
            matrix.dimension(),
            collection.dimension()
        )));
    }
    let json = arguments.index.json;
    let start = Instant::now();
    let stage = Stage::begin(json, "adding vectors", matrix.rows());
    let mut rows = Vec::new();
    for first in (0..matrix.rows()).step_by(arguments.batch) {
        let range = first..matrix.rows().min(first + arguments.batch);
        matrix.read(range.clone(), &mut rows)?;
        let names = match &mut ids {
            Some(ids) => ids.read(range.len())?,
            None => range.clone().map(|row| row.to_string()).collect(),
        };
        put(&collection, names, &rows, arguments.replace)?;
        stage.at(range.end);
        if json {
            say_json(&Acknowledged {
                acknowledged: range.end,
                memory: (range.end == matrix.rows()).then(|| Memory::of_collection(&collection)),
            })?;
        }
    }
    drop(stage);
    let (added, took) = (matrix.rows(), start.elapsed());
    let count = collection.vector_count();
    index::close(collection, json)?;
    if json {
        return Ok(());
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a number of rows is far below 2^52"
    )]
    let speed = rate(added as f64 / took.as_secs_f64().max(1e-9));
    say(&format!(
        "added {} in {} ({speed} a second); the collection holds {}",
        counted(added, "vector", "vectors"),
        time(took),
        counted(count, "vector", "vectors"),
    ))
}

/// The file of ids, which has one for each row.
fn ids(arguments: &AddArguments, rows: usize) -> Result<Option<IdFile>> {
    let Some(path) = &arguments.ids else {
        return Ok(None);
    };
    let ids = IdFile::open(path)?;
    if ids.count() != rows {
        return Err(Failure::Input(format!(
            "{}: has {}, but {} has {}",
            path.display(),
            counted(ids.count(), "id", "ids"),
            arguments.file.display(),
            counted(rows, "row", "rows")
        )));
    }
    Ok(Some(ids))
}

fn put(collection: &Collection, ids: Vec<String>, rows: &[f32], replace: bool) -> Result<()> {
    if !replace {
        return Ok(collection.add_rows(&ids, rows)?);
    }
    let rows = rows.chunks_exact(collection.dimension());
    let vectors: Vec<Vector> = ids
        .into_iter()
        .zip(rows)
        .map(|(id, row)| Vector {
            id,
            data: row.to_vec(),
            payload: None,
        })
        .collect();
    Ok(collection.upsert_vectors_batch(vectors)?)
}
