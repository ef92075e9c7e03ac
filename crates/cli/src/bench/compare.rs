//! `vectorizer bench compare`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use vectorizer_bench::compare::{Change, compare, name};
use vectorizer_bench::lines;
use vectorizer_bench::summary::Spread;

use crate::failure::Result;
use crate::figures::{counted, rate};

/// Compares two files of lines. A time or a speed has changed if its medians differ by more than both ranges of the rounds together, and by 2 %;
/// recall and counted work, which do not vary, if they differ at all.
#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// The bench.jsonl of the first.
    before: PathBuf,
    /// The bench.jsonl of the second.
    after: PathBuf,
    /// Show what did not change too.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(arguments: &CompareArguments) -> Result<()> {
    let comparison = compare(
        &lines::read(&arguments.before)?,
        &lines::read(&arguments.after)?,
    );
    let mut text = String::new();
    for doubt in &comparison.doubts {
        text += &format!("careful: {doubt}\n");
    }
    for unmatched in &comparison.unmatched {
        text += &format!("{unmatched}\n");
    }
    let mut last = None;
    let shown = comparison
        .values
        .iter()
        .filter(|change| arguments.all || change.beyond_noise);
    for change in shown {
        if last != Some(&change.subject) {
            text += &format!("\n{}\n", name(&change.subject));
            last = Some(&change.subject);
        }
        text += &line(change);
    }
    let (better, worse): (Vec<&Change>, Vec<_>) =
        comparison.changes().partition(|change| change.is_better());
    text += &format!(
        "\n{} compared: {} better, {} worse, the rest within noise\n",
        counted(comparison.values.len(), "value", "values"),
        better.len(),
        worse.len()
    );
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn line(change: &Change) -> String {
    let setting = change.setting.map_or_else(
        || "build".to_owned(),
        |setting| match (setting.target, setting.ef) {
            (Some(target), _) => format!("at recall {}", f64::from(target) / 1000.0),
            (None, Some(ef)) => format!("ef {ef}, {} a call", setting.batch),
            (None, None) => "exact".to_owned(),
        },
    );
    let word = match (change.beyond_noise, change.is_better()) {
        (false, _) => "",
        (true, true) => "better",
        (true, false) => "WORSE",
    };
    format!(
        "  {setting:24} {:24} {:>34} -> {:>34}  {:>6.1} %  {word}\n",
        change.what,
        spread(change.before),
        spread(change.after),
        (change.ratio() - 1.0) * 100.0
    )
}

fn spread(spread: Spread) -> String {
    let figure = |value: f64| {
        if value.abs() < 10.0 {
            format!("{value:.4}")
        } else {
            rate(value)
        }
    };
    let (median, low, high) = (
        figure(spread.median),
        figure(spread.low),
        figure(spread.high),
    );
    if low == high {
        median
    } else {
        format!("{median} ({low}..{high})")
    }
}
