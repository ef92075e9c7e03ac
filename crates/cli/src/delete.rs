//! `vectorizer delete`: vectors out of a collection, by id or by filter.

use std::path::PathBuf;

use clap::Args;
use vectorizer::filter::Filter;
use vectorizer_bench::IdFile;

use crate::failure::{Failure, Result};
use crate::figures::counted;
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::{Memory, WithMemory};
use crate::progress::Stage;

/// Ids of one transaction.
const BATCH: usize = 10_000;

const HELP: &str = "\
Examples:
  vectorizer delete --index words --ids old.txt
  vectorizer delete --index words --filter '{\"must\": [{\"key\": \"year\", \"range\": {\"lt\": 2000}}]}'
  vectorizer delete --index words --all

A filter that asks for nothing, such as {}, would delete everything and is refused: that is what --all is for.
Ids that are not there are passed over and counted. Deletions are on the disk when the command ends; each 10,000 ids are deleted whole or not at all,
and what a filter says as a whole.
Their room is given back past a quarter of dead vectors, or by: vectorizer compact
JSON: deleted, missing, vectors; vram_bytes, vram_peak_bytes, vram_efficiency, pool_reuse, fragmentation, fallback (null, or what happened and why), threads.";

/// Deletes vectors from a collection.
#[derive(Debug, Args)]
#[command(after_help = HELP, group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct DeleteArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// The ids to delete: a .npy list of integers, or text, one id a line.
    #[arg(long, value_name = "FILE", group = "which")]
    ids: Option<PathBuf>,
    /// Delete the vectors for which this holds: a filter as JSON, in Qdrant's shape.
    #[arg(long, value_name = "JSON", group = "which")]
    filter: Option<String>,
    /// Delete all vectors.
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    open: OpenArguments,
}

pub(crate) fn run(arguments: &DeleteArguments) -> Result<()> {
    let json = arguments.index.json;
    let mut ids = arguments.ids.as_ref().map(IdFile::open).transpose()?;
    let filter = filter(arguments)?;
    let collection = index::open(&arguments.index, &arguments.open)?;
    let stage = Stage::begin(json, "deleting vectors", ids.as_ref().map(IdFile::count));
    let (mut deleted, mut seen) = (0, 0);
    if let Some(filter) = &filter {
        deleted = collection.delete_by(filter)?;
        seen = deleted;
    }
    while let Some(ids) = &mut ids {
        let batch = ids.read(BATCH)?;
        if batch.is_empty() {
            break;
        }
        deleted += collection.delete_present(&batch)?;
        seen += batch.len();
        stage.at(seen);
    }
    drop(stage);
    let (missing, vectors) = (seen - deleted, collection.vector_count());
    let memory = Memory::of_collection(&collection);
    index::close(collection, json)?;
    if json {
        let done =
            serde_json::json!({ "deleted": deleted, "missing": missing, "vectors": vectors });
        say_json(&WithMemory { done, memory })
    } else {
        let missing = match missing {
            0 => String::new(),
            1 => "; 1 id was not there".to_owned(),
            many => format!("; {many} ids were not there"),
        };
        say(&format!(
            "deleted {}{missing}; the collection holds {}",
            counted(deleted, "vector", "vectors"),
            counted(vectors, "vector", "vectors")
        ))
    }
}

/// What says which vectors are deleted, if it is not a file of ids.
fn filter(arguments: &DeleteArguments) -> Result<Option<Filter>> {
    if arguments.all {
        return Ok(Some(Filter::default()));
    }
    let Some(text) = &arguments.filter else {
        return Ok(None);
    };
    let filter = Filter::from_json(text)?;
    if filter.is_empty() {
        return Err(Failure::Input(
            "--filter: asks for nothing and so holds for every vector; to delete all of them, give --all in its place"
                .to_owned(),
        ));
    }
    Ok(Some(filter))
}
