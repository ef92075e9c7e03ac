//! `vectorizer check`: whether every byte of a collection is what was written, and every rule holds.

use clap::Args;
use vectorizer::collection::Collection;
use vectorizer_bench::thousands;

use crate::failure::{Failure, Result};
use crate::index::{IndexArguments, say, say_json};
use crate::progress::Stage;

const HELP: &str = "\
Checks the store's pages, every checksum, the totals, that ids are unique, that payloads are JSON and of vectors that are there, the
graph's file, and that the graph keeps its rules: degrees, levels, and that everything can be reached. Takes the memory, and about
the time, of opening the collection on the CPU. A damaged graph's file is built anew by opening the collection; a damaged store has
to be restored from a copy, and `salvage` copies what can still be read. A payload that cannot be read costs its vector that payload alone.
A graph's file that is whole and out of date is no damage: opening the collection builds it anew. Where the collection may only be read,
the store's pages are not checked apart from what is in them.

JSON: path, vectors, dead, payloads, linked, problems (damage; empty if all is well), will_be_rebuilt (what is no damage).
Exit status: 0 all is well, or will be rebuilt; 1 something is damaged (it says what), the disk failed, or the collection is open elsewhere;
2 wrong arguments, or there is no collection.";

/// Checks every checksum and every rule of a collection's files, and says what is wrong.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    index: IndexArguments,
}

pub(crate) fn run(arguments: &CheckArguments) -> Result<()> {
    let stage = Stage::begin(arguments.index.json, "checking the collection", None);
    let report = Collection::check_files(arguments.index.folder()?);
    drop(stage);
    let report = report?;
    if arguments.index.json {
        say_json(&report)?;
    } else {
        for problem in &report.problems {
            say(&format!("wrong: {problem}"))?;
        }
        for stale in &report.will_be_rebuilt {
            say(&format!("will be rebuilt when it is opened: {stale}"))?;
        }
        if report.problems.is_empty() {
            let number = |number: u64| thousands(usize::try_from(number).unwrap_or(usize::MAX));
            say(&format!(
                "all is well: {} vectors, {} payloads, {} dead, {} linked",
                number(report.vectors),
                number(report.payloads),
                number(report.dead),
                report.linked.map_or_else(|| "none".to_owned(), number)
            ))?;
        }
    }
    match report.problems.as_slice() {
        [] => Ok(()),
        [only] => Err(Failure::Machine(only.clone())),
        [first, rest @ ..] => Err(Failure::Machine(format!(
            "{first} (and {} more)",
            rest.len()
        ))),
    }
}
