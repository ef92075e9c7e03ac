//! `vectorizer salvage`: what can still be read of a damaged collection, into a new one.

use std::path::PathBuf;

use clap::Args;
use vectorizer::collection::Collection;

use crate::failure::Result;
use crate::figures::counted;
use crate::index::{IndexArguments, say, say_json};
use crate::progress::Stage;

const HELP: &str = "\
For a collection that `check` finds damaged and of which there is no copy. Vectors whose checksums hold are copied, with their payloads
where those can be kept; the graph is built anew. What was lost is said. Work on a copy of the folder if you can.

JSON: path, to, vectors, payloads, expected_vectors (null if the store cannot say), lost (sentences), lost_payloads (id, reason, text as it
was stored).
Exit status: 0 done, whatever was lost; 1 nothing can be read, the disk failed, or the collection is open elsewhere; 2 wrong arguments,
or there is a collection in the new folder.";

/// Copies what can still be read of a damaged collection into a new one, and says what was lost.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct SalvageArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// The folder of the new collection.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &SalvageArguments) -> Result<()> {
    let stage = Stage::begin(arguments.index.json, "salvaging the collection", None);
    let report = Collection::salvage(&arguments.index.index, &arguments.out);
    drop(stage);
    let report = report?;
    if arguments.index.json {
        return say_json(&report);
    }
    for lost in &report.lost {
        say(&format!("lost: {lost}"))?;
    }
    for lost in &report.lost_payloads {
        say(&format!(
            "lost: the payload of {:?}: {} (--json shows its text)",
            lost.id, lost.reason
        ))?;
    }
    let number =
        |number: u64, one, many| counted(usize::try_from(number).unwrap_or(usize::MAX), one, many);
    let of = report
        .expected_vectors
        .map_or_else(String::new, |expected| {
            format!(" of {}", number(expected, "vector", "vectors"))
        });
    say(&format!(
        "copied {}{of}, {}",
        number(report.vectors, "vector", "vectors"),
        number(report.payloads, "payload", "payloads"),
    ))
}
