//! `vectorizer compact`: deleted and replaced vectors taken out of the graph and off the disk.

use clap::Args;
use vectorizer::collection::Collection;

use crate::failure::Result;
use crate::figures::{bytes, counted};
use crate::index::{self, IndexArguments, OpenArguments, say, say_json};
use crate::memory::{Memory, WithMemory};
use crate::progress::Stage;

const HELP: &str = "\
Deleting marks vectors; past a quarter of dead ones the collection does this by itself. Here it is done at once, everything is linked,
and the file gives back what it no longer needs.

Example:
  vectorizer compact --index words
JSON: vectors, dropped, store_bytes_before, store_bytes; vram_bytes, vram_peak_bytes, vram_efficiency, pool_reuse, fragmentation, fallback
(null, or what happened and why), threads.";

/// Takes deleted and replaced vectors out of the graph and gives their room back to the disk.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct CompactArguments {
    #[command(flatten)]
    index: IndexArguments,
    #[command(flatten)]
    open: OpenArguments,
}

pub(crate) fn run(arguments: &CompactArguments) -> Result<()> {
    let (folder, json) = (arguments.index.folder()?, arguments.index.json);
    let before = Collection::describe(folder)?;
    let collection = index::open(&arguments.index, &arguments.open)?;
    let stage = Stage::begin(json, "taking out the deleted", None);
    collection.compact()?;
    drop(stage);
    let memory = Memory::of_collection(&collection);
    index::close(collection, json)?;
    let after = Collection::describe(folder)?;
    let dropped = usize::try_from(before.dead).unwrap_or(usize::MAX);
    if json {
        let done = serde_json::json!({
            "vectors": after.vectors,
            "dropped": dropped,
            "store_bytes_before": before.store_bytes,
            "store_bytes": after.store_bytes,
        });
        say_json(&WithMemory { done, memory })
    } else {
        say(&format!(
            "dropped {}; the store takes {}, before {}",
            counted(dropped, "dead vector", "dead vectors"),
            bytes(after.store_bytes),
            bytes(before.store_bytes)
        ))
    }
}
