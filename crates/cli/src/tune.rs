//! `vectorizer tune`: measures how a device's work is best cut up, and remembers it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use vectorizer::tune::{self, Candidate, Trial, TuneOptions, TuneReport};

use crate::args::DeviceArguments;
use crate::device;
use crate::failure::Result;
use crate::figures::time;
use crate::index::say;
use crate::progress::Stage;

const HELP: &str = "\
What is tuned changes how soon an answer comes, never what it is: answers and graphs are compared with those of the default while
measuring. A value takes the default's place if it is faster by more than the times of either are spread. Measure on a machine that does
nothing else.

The file lies in the user's cache folder, one for each device, driver and version, or where VECTORIZER_TUNING says; programs read it when they
open the device. VECTORIZER_TUNING=off reads none. `vectorizer info` says which tuning is in use. To forget it, delete the file.

JSON:
  device, backend, driver, options (rows, queries, rounds), default and tuning (walk_threads, wide_walk_threads, few_walk_threads, few_walks,
  dispatch_parts, tile_depth, tile_groups, scan_groups), trials (knob, work, default, chosen, candidates: value, median_ms, spread_ms, left_out),
  same_graph, and path: where it was written (null with --dry-run).";

/// Measures on made-up vectors which sizes of workgroups, dispatches and tiles a GPU likes, and remembers them for this device.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct TuneArguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// Vectors of 128 components to build graphs over; exact searches compare four times as many.
    #[arg(long, value_name = "N", default_value_t = TuneOptions::default().rows, value_parser = within(TuneOptions::ROWS))]
    rows: usize,
    /// Queries of a large call.
    #[arg(long, value_name = "N", default_value_t = TuneOptions::default().queries, value_parser = within(TuneOptions::QUERIES))]
    queries: usize,
    /// How often each candidate is measured.
    #[arg(long, value_name = "N", default_value_t = TuneOptions::default().rounds, value_parser = within(TuneOptions::ROUNDS))]
    rounds: usize,
    /// Measure and say what would be remembered, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

fn within(range: std::ops::RangeInclusive<usize>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(*range.start() as u64..=*range.end() as u64)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a TuneReport,
    path: Option<String>,
}

pub(crate) fn run(arguments: &TuneArguments) -> Result<()> {
    let context = device::open(&arguments.device)?;
    if !arguments.dry_run {
        // Before the work, not after it.
        tune::file(&context)?;
    }
    let options = TuneOptions {
        rows: arguments.rows,
        queries: arguments.queries,
        rounds: arguments.rounds,
    };
    let mut stage: Option<Stage> = None;
    let report = tune::tune(&context, &options, |progress| {
        let stage = stage.get_or_insert_with(|| Stage::begin(false, progress.next, progress.total));
        stage.rename(progress.next);
        stage.at(progress.done);
        ControlFlow::Continue(())
    })?;
    drop(stage);
    let path = if arguments.dry_run {
        None
    } else {
        Some(tune::remember(&context, &report.tuning)?)
    };
    let text = if arguments.json {
        let document = Document {
            report: &report,
            path: path.map(|path| path.display().to_string()),
        };
        serde_json::to_string(&document).map_err(std::io::Error::from)?
    } else {
        describe(&report, path)
    };
    say(&text)
}

fn describe(report: &TuneReport, path: Option<PathBuf>) -> String {
    let mut lines = vec![format!(
        "{} ({}), {} rounds",
        report.device, report.backend, report.options.rounds
    )];
    for trial in &report.trials {
        lines.push(String::new());
        lines.push(format!("  {}: {}", trial.knob, trial.work));
        lines.extend(
            trial
                .candidates
                .iter()
                .map(|candidate| line(trial, candidate)),
        );
    }
    lines.push(String::new());
    if !report.same_graph {
        lines.push(
            "another graph was built than with the default, which is this device's compiler's fault: what builds go by stays as it was"
                .to_owned(),
        );
    }
    let changed = report
        .trials
        .iter()
        .filter(|trial| trial.chosen != trial.default);
    let changed: Vec<String> = changed
        .map(|trial| {
            format!(
                "{} {} instead of {}",
                trial.knob, trial.chosen, trial.default
            )
        })
        .collect();
    lines.push(if changed.is_empty() {
        "nothing beats the default beyond the spread".to_owned()
    } else {
        changed.join(", ")
    });
    lines.push(path.map_or_else(
        || "nothing was written".to_owned(),
        |path| {
            format!(
                "remembered in {}: programs that start from now on use it",
                path.display()
            )
        },
    ));
    lines.join("\n")
}

fn line(trial: &Trial, candidate: &Candidate) -> String {
    let span = |milliseconds: f64| time(Duration::from_secs_f64(milliseconds / 1e3));
    let measured = match (candidate.median_ms, candidate.spread_ms) {
        (Some(median), Some(spread)) => {
            format!("{:>10}  spread {:<10}", span(median), span(spread))
        }
        _ => format!(
            "left out: {}",
            candidate.left_out.as_deref().unwrap_or_default()
        ),
    };
    let marks = [
        (candidate.value == trial.default, "default"),
        (candidate.value == trial.chosen, "chosen"),
    ];
    let marks = marks
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, mark)| mark);
    let marks: Vec<&str> = marks.collect();
    let text = format!("{:>14}  {measured}  {}", candidate.value, marks.join(", "));
    text.trim_end().to_owned()
}
