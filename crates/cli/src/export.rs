//! `vectorizer export`: a collection into a file that other programs read.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use vectorizer::interop::npy::Form;
use vectorizer::interop::{Moved, hnswlib, ids_beside, jsonl, npy};

use crate::failure::Result;
use crate::figures::counted;
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::{Memory, WithMemory};
use crate::progress::Stage;

const HELP: &str = "\
Formats:
  hnswlib   vectors, labels and the graph, for hnswlib's load_index; ids that are not all numbers go to OUT.ids, line l for label l
  npy       float32 rows; ids go to OUT.ids, one a line
  fvecs     the same, each row after its length
  parquet   columns id, vector, payload, and one for each member of the payloads that is of one kind
  jsonl     {\"id\": .., \"vector\": [..], \"payload\": ..}, one vector a line

Examples:
  vectorizer export --index words --format hnswlib words.bin
  vectorizer export --index words --format parquet words.parquet

A file is whole or not there, and never beside the ids of another export: an OUT.ids that is not needed goes away. Links are followed,
devices and pipes are written into, a collection's own files are refused. In Python: p = hnswlib.Index('cosine', 512); p.load_index('words.bin')";

/// Writes a collection's vectors into a file that other programs read.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// What to write.
    #[arg(long, value_enum)]
    format: Format,
    /// Where to.
    out: PathBuf,
    #[command(flatten)]
    open: OpenArguments,
}

/// A form of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// hnswlib's own, with the graph.
    Hnswlib,
    /// NumPy's.
    Npy,
    /// Rows of float32, each after its length.
    Fvecs,
    /// Columns.
    #[cfg(feature = "parquet")]
    Parquet,
    /// JSON lines.
    Jsonl,
}

pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    let collection = index::open_to_read(&arguments.index, &arguments.open)?;
    let (json, out) = (arguments.index.json, &arguments.out);
    let stage = Stage::begin(json, "writing vectors", collection.vector_count());
    let progress = |moved: Moved| {
        stage.at(moved.done);
        ControlFlow::Continue(())
    };
    // Beside a device there is none.
    let beside = || Some(ids_beside(out)).filter(|ids| ids.exists());
    let (vectors, ids) = match arguments.format {
        Format::Hnswlib => {
            let exported = hnswlib::export(&collection, out, progress)?;
            (exported.vectors, exported.ids)
        }
        Format::Npy => {
            let vectors = npy::export(&collection, out, Form::Npy, progress)?;
            (vectors, beside())
        }
        Format::Fvecs => {
            let vectors = npy::export(&collection, out, Form::Fvecs, progress)?;
            (vectors, beside())
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let vectors = vectorizer::interop::parquet::export(&collection, out, progress)?;
            (vectors, None)
        }
        Format::Jsonl => (jsonl::export(&collection, out, progress)?, None),
    };
    drop(stage);
    let memory = Memory::of_collection(&collection);
    index::close(collection, json)?;
    if json {
        // Names that are no UTF-8 have no other form in JSON.
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let (file, ids) = (shown(out), ids.as_deref().map(shown));
        let done = serde_json::json!({"exported": vectors, "file": file, "ids": ids});
        return say_json(&WithMemory { done, memory });
    }
    let beside = ids.map_or(String::new(), |ids| format!(", ids in {}", ids.display()));
    let vectors = counted(vectors, "vector", "vectors");
    say(&format!("wrote {vectors} to {}{beside}", out.display()))
}
