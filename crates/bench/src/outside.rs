//! Peers that are measured by a program of their own: it is told the files and the settings and writes lines of a bench.
//!
//! The program is called once each round, with
//!
//! ```text
//! --base FILE --queries FILE --truth FILE --metric euclidean|cosine|dot --k K --m M --ef-construction N
//! --ef LIST --recall LIST --threads LIST --round N
//! ```
//!
//! and writes one JSON object a line to its standard output: `build`, `point` and `failed` as [`crate::lines`] has them. What it
//! writes to its standard error is passed on where it fails. `scripts/bench-peers` is such a program.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{DataError, Result};
use crate::lines::{Line, parse};
use crate::sweep::Plan;

/// Where the data lies, as files.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The vectors to search in, as float32 `.npy`.
    pub base: &'a Path,
    /// Those to search for.
    pub queries: &'a Path,
    /// The true neighbours.
    pub truth: &'a Path,
}

/// Lets a program measure its peers once, and tells each line as it comes.
///
/// # Errors
/// It cannot be started, says something else than lines, or fails.
pub fn round(
    program: &Path,
    files: Files<'_>,
    plan: &Plan,
    round: usize,
    tell: &mut dyn FnMut(Line),
) -> Result<()> {
    let list = |numbers: &[usize]| {
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        numbers.join(",")
    };
    let targets: Vec<String> = plan.targets.iter().map(f64::to_string).collect();
    let mut command = Command::new(program);
    for (name, file) in [
        ("--base", files.base),
        ("--queries", files.queries),
        ("--truth", files.truth),
    ] {
        command.arg(name).arg(file);
    }
    for (name, value) in [
        ("--metric", plan.metric.name().to_owned()),
        ("--k", plan.k.to_string()),
        ("--m", list(&plan.ms)),
        ("--ef-construction", plan.ef_construction.to_string()),
        ("--ef", list(&plan.efs)),
        ("--recall", targets.join(",")),
        ("--threads", list(&plan.threads)),
        ("--round", round.to_string()),
    ] {
        command.args([name, &value]);
    }
    let failed = |reason: String| DataError::new(program, reason);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| DataError::io(program, "start it", &error))?;
    // Its errors are read beside its lines, or it would wait for a reader of the one while we wait for the other.
    let errors = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = String::new();
            drop(stderr.read_to_string(&mut text));
            text
        })
    });
    let mut wrong = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|error| DataError::io(program, "read from it", &error))?;
            match parse(&line) {
                Ok(lines) => lines.into_iter().for_each(&mut *tell),
                Err((_, reason)) => {
                    wrong.get_or_insert(format!("wrote what is no line of a bench: {reason}"));
                }
            }
        }
    }
    let status = child
        .wait()
        .map_err(|error| DataError::io(program, "wait for it", &error))?;
    let errors = errors
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    if !status.success() {
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        return Err(failed(format!(
            "failed ({status}): {}",
            last.unwrap_or("it did not say why")
        )));
    }
    wrong.map_or(Ok(()), |reason| Err(failed(reason)))
}
