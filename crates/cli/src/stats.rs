//! `vectorizer stats`: what a collection is and holds, without loading it.

use clap::Args;
use vectorizer::collection::Collection;
use vectorizer::config::FullRows;
use vectorizer_bench::thousands;

use crate::failure::Result;
use crate::figures::bytes;
use crate::index::{IndexArguments, say, say_json};

const HELP: &str = "\
Reads no vectors: it is quick however large the collection is. It may be one that can only be read.

JSON: path, format, uuid, dimension, metric, hnsw, seed, precision, full_rows, vectors, dead, payloads, payload_indexes, epoch, linked (null
without a graph's file), store_bytes, graph_bytes.";

/// Says what a collection is, how many vectors it holds and how much room it takes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    index: IndexArguments,
}

pub(crate) fn run(arguments: &StatsArguments) -> Result<()> {
    let stats = Collection::describe(arguments.index.folder()?)?;
    if arguments.index.json {
        return say_json(&stats);
    }
    let number = |number: u64| thousands(usize::try_from(number).unwrap_or(usize::MAX));
    let linked = stats.linked.map_or_else(
        || {
            "no file: the graph is built when the collection is opened, if there is enough for one"
                .to_owned()
        },
        |linked| {
            format!(
                "{} vectors linked, {}",
                number(linked),
                bytes(stats.graph_bytes)
            )
        },
    );
    let indexed = match stats.payload_indexes.as_slice() {
        [] => String::new(),
        keys => format!(", indexed by {}", keys.join(", ")),
    };
    let lines = [
        format!("collection {} (format {})", stats.path, stats.format),
        format!(
            "vectors    {} of {} components, {}",
            number(stats.vectors),
            stats.dimension,
            stats.metric
        ),
        format!("payloads   {}{indexed}", number(stats.payloads)),
        format!(
            "dead       {} deleted or replaced, not dropped yet",
            number(stats.dead)
        ),
        format!("store      {}", bytes(stats.store_bytes)),
        format!("graph      {linked}"),
        format!(
            "made with  M {}, ef_construction {}, seed {}, precision {}{}",
            stats.hnsw.max_connections,
            stats.hnsw.ef_construction,
            stats.seed,
            stats.precision,
            match stats.full_rows {
                FullRows::Device => "",
                FullRows::Ram => ", full rows in ram",
            }
        ),
    ];
    say(&lines.join("\n"))
}
