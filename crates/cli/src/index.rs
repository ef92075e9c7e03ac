//! What the commands on a collection's folder have in common.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use vectorizer::collection::{Collection, OpenOptions, Opening};
use vectorizer::config::MAX_THREADS;
use vectorizer::error::VectorizerError;

use crate::args::PlaceArguments;
use crate::failure::Result;
use crate::memory::CollectionArguments;
use crate::progress::Stage;

/// Which collection, and how to say what was done.
#[derive(Debug, Args)]
pub(crate) struct IndexArguments {
    /// The collection's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where to open it.
#[derive(Debug, Args)]
pub(crate) struct OpenArguments {
    #[command(flatten)]
    pub(crate) collection: CollectionArguments,
    /// Threads of the CPU engine; 0 is all cores.
    #[arg(long, value_name = "N", default_value = "0", value_parser = RangedU64ValueParser::<usize>::new().range(..=MAX_THREADS as u64))]
    pub(crate) threads: usize,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
}

/// Opens the collection on its device, with a bar.
pub(crate) fn open(index: &IndexArguments, open: &OpenArguments) -> Result<Collection> {
    open_by(index, open, false)
}

/// Opens the collection to read it: others may do so meanwhile, and it may lie where nothing can be written. Only where its last program did not
/// close it is it opened for writing, which repairs it.
pub(crate) fn open_to_read(index: &IndexArguments, open: &OpenArguments) -> Result<Collection> {
    open_by(index, open, true)
}

fn open_by(index: &IndexArguments, open: &OpenArguments, to_read: bool) -> Result<Collection> {
    let context = open.collection.open()?;
    let options = OpenOptions {
        threads: open.threads,
        fallback: open.collection.policy(),
        full_rows: open.place.full_rows,
        ..OpenOptions::default()
    };
    let quiet = index.json;
    let mut stage: Option<(bool, Stage)> = None;
    let mut progress = |now| {
        let (linking, done, total) = match now {
            Opening::Reading { done, total } => (false, done, total),
            Opening::Linking(progress) => (true, progress.linked, progress.total),
            _ => return ControlFlow::Continue(()),
        };
        if stage.as_ref().is_none_or(|(was, _)| *was != linking) {
            let what = if linking {
                "building the graph"
            } else {
                "opening the collection"
            };
            stage = None;
            stage = Some((linking, Stage::begin(quiet, what, total)));
        }
        if let Some((_, stage)) = &stage {
            stage.at(done);
        }
        ControlFlow::Continue(())
    };
    let path = &index.index;
    let opened = if to_read {
        match Collection::open_read_only_with(path, &context, options, &mut progress) {
            Err(not_closed @ VectorizerError::StoreNotClosed { .. }) => {
                match Collection::open_with(path, &context, options, &mut progress) {
                    Err(VectorizerError::StoreReadOnly { .. }) => Err(not_closed),
                    opened => opened,
                }
            }
            opened => opened,
        }
    } else {
        Collection::open_with(path, &context, options, &mut progress)
    };
    drop(stage);
    Ok(opened?)
}

/// Closes it, with a bar: the graph is written to its file.
pub(crate) fn close(collection: Collection, quiet: bool) -> Result<()> {
    let stage = Stage::begin(quiet, "closing the collection", None);
    let closed = collection.close();
    drop(stage);
    Ok(closed?)
}

/// One line on standard output, at once.
pub(crate) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// One JSON document on a line, at once.
pub(crate) fn say_json(document: &impl serde::Serialize) -> Result<()> {
    say(&serde_json::to_string(document).map_err(std::io::Error::from)?)
}
