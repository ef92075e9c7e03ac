//! What the commands on a collection's folder have in common.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use vectorizer::collection::{Collection, OpenOptions, Opening};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;

use crate::args::{PlaceArguments, threads};
use crate::failure::{Failure, Result};
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
    /// Threads of the CPU engine, at most four for each core, or 64 where that is more; 0 is one for each core.
    #[arg(long, value_name = "N", default_value = "0", value_parser = threads)]
    pub(crate) threads: usize,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
}

impl IndexArguments {
    /// The folder; a file in its place is refused.
    pub(crate) fn folder(&self) -> Result<&Path> {
        if self.index.exists() && !self.index.is_dir() {
            return Err(Failure::Input(format!(
                "{}: is no folder; --index names a collection's folder",
                self.index.display()
            )));
        }
        Ok(&self.index)
    }
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
    open_on(index, open, &context, to_read)
}

/// Opens the collection on this device, with a bar.
pub(crate) fn open_on(
    index: &IndexArguments,
    open: &OpenArguments,
    context: &Context,
    to_read: bool,
) -> Result<Collection> {
    let folder = index.folder()?;
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
    let opened = if to_read {
        match Collection::open_read_only_with(folder, context, options, &mut progress) {
            Err(not_closed @ VectorizerError::StoreNotClosed { .. }) => {
                match Collection::open_with(folder, context, options, &mut progress) {
                    Err(VectorizerError::StoreReadOnly { .. }) => Err(not_closed),
                    opened => opened,
                }
            }
            opened => opened,
        }
    } else {
        Collection::open_with(folder, context, options, &mut progress)
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

/// One line on standard output, at once. Where nobody reads any more (`| head`) nothing is said from then on, and the work goes on: the exit status
/// tells how that ended.
pub(crate) fn say(line: &str) -> Result<()> {
    static UNHEARD: AtomicBool = AtomicBool::new(false);
    if UNHEARD.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    let said = out
        .write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match said {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            UNHEARD.store(true, Ordering::Relaxed);
            Ok(())
        }
        said => Ok(said?),
    }
}

/// One JSON document on a line, at once.
pub(crate) fn say_json(document: &impl serde::Serialize) -> Result<()> {
    say(&serde_json::to_string(document).map_err(io::Error::from)?)
}
