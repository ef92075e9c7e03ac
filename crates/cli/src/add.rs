//! `vectorizer add`: the rows of a file into a collection, batch by batch, each durable when it is said to be.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use vectorizer_bench::Matrix;

use crate::failure::Result;
use crate::figures::{counted, rate, time};
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::Memory;
use crate::progress::Stage;
use crate::rows::{self, NameArguments, Names};

const HELP: &str = "\
Files: .npy (float32, float16, uint8, int8; two dimensions), .fvecs, .bvecs; read a batch at a time, never held in memory as a whole.
Ids:   without --ids a row's number, from 0 or --first-id on; with it, as many as there are rows: a .npy list of integers, or text, one id a line.

Examples:
  vectorizer add --index words vectors.npy
  vectorizer add --index words more.npy --first-id 300
  vectorizer add --index words more.npy --ids more.txt --batch 5000
  vectorizer add --index words changed.npy --ids changed.txt --replace
      New vectors for ids that are there. Their payloads stay as they are.

A batch is added whole or not at all, and is on the disk before it is reported. With --json, each batch is one line as soon as it is
durable: {\"acknowledged\": COUNT}, COUNT being the rows of this call so far. What was acknowledged is there after a crash;
what was not may be repeated with --replace. Where nobody reads the lines any more, the rest is added without them.
What was acknowledged stays, whatever the exit status.";

/// Adds the rows of a file to a collection.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct AddArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// The vectors: .npy, .fvecs or .bvecs.
    file: PathBuf,
    #[command(flatten)]
    names: NameArguments,
    /// Rows of a batch.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    batch: usize,
    /// Replace vectors whose ids are there already instead of refusing their batch. Their payloads stay.
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
    let names = &arguments.names;
    let names = Names::open(names.ids.as_deref(), names.first_id, &matrix)?;
    let collection = index::open(&arguments.index, &arguments.open)?;
    rows::fit(&collection, &matrix)?;
    let (json, replace) = (arguments.index.json, arguments.replace);
    let start = Instant::now();
    let stage = Stage::begin(json, "adding vectors", matrix.rows());
    rows::put(
        &collection,
        &matrix,
        names,
        arguments.batch,
        replace,
        |done| {
            stage.at(done);
            if json {
                say_json(&Acknowledged {
                    acknowledged: done,
                    memory: (done == matrix.rows()).then(|| Memory::of_collection(&collection)),
                })?;
            }
            Ok(())
        },
    )?;
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
