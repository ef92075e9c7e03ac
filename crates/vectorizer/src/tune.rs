//! Which tuning a device likes, measured on made-up vectors when somebody asks; see [`gpu::tuning`](crate::gpu::tuning) for what is tuned.
//!
//! Each value is tried with work of the kind it is for, all candidates in turn and several times over, so that a machine that gets
//! slower meanwhile gets slower for all of them. One takes the default's place if it is faster by more than either time is spread. A candidate that
//! answers otherwise than the default, bit for bit, is left out: that would be a compiler's mistake, and none may reach an answer.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Result, VectorizerError};
use crate::gpu::context::{Backend, Context};
use crate::gpu::tuning::{Knob, Tuning};
use load::{Load, Loads};

mod clock;
mod load;
#[cfg(test)]
mod tests;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TuneOptions {
    /// Vectors of 128 components that graphs are built over; exact searches compare four times as many.
    pub rows: usize,
    /// Queries of a large call.
    pub queries: usize,
    /// How often each candidate is measured.
    pub rounds: usize,
}

impl Default for TuneOptions {
    /// 50,000 vectors, 8,192 queries, 7 rounds.
    fn default() -> Self {
        Self {
            rows: 50_000,
            queries: 8_192,
            rounds: 7,
        }
    }
}

impl TuneOptions {
    /// Rows that can be asked for.
    pub const ROWS: std::ops::RangeInclusive<usize> = 1_000..=10_000_000;
    /// Queries: fewer would not tell many from few.
    pub const QUERIES: std::ops::RangeInclusive<usize> = 32..=1_000_000;
    /// Rounds: fewer would have no median.
    pub const ROUNDS: std::ops::RangeInclusive<usize> = 3..=1_000;

    fn validate(&self) -> Result<()> {
        let invalid = |field, actual: usize, expected| {
            Err(VectorizerError::InvalidConfig {
                field,
                actual: actual.to_string(),
                expected,
            })
        };
        if !Self::ROWS.contains(&self.rows) {
            return invalid("rows", self.rows, "1,000 to 10,000,000");
        }
        if !Self::QUERIES.contains(&self.queries) {
            return invalid("queries", self.queries, "32 to 1,000,000");
        }
        if !Self::ROUNDS.contains(&self.rounds) {
            return invalid("rounds", self.rounds, "3 to 1,000");
        }
        Ok(())
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TuneProgress {
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// What comes next.
    pub next: &'static str,
}

/// One value of a knob, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The value.
    pub value: u64,
    /// The median of its times in milliseconds; `None` if it was left out.
    pub median_ms: Option<f64>,
    /// How far its times lie apart: from the lowest to the highest, without one at each end where there are five or more.
    pub spread_ms: Option<f64>,
    /// Why it was left out.
    pub left_out: Option<String>,
}

/// What was measured for one knob.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trial {
    /// Which: the name of a field of [`Tuning`].
    pub knob: &'static str,
    /// The work that was timed.
    pub work: String,
    /// The default.
    pub default: u64,
    /// What was chosen.
    pub chosen: u64,
    /// All candidates, ascending.
    pub candidates: Vec<Candidate>,
}

/// What was measured, and what was chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TuneReport {
    /// The device's name.
    pub device: String,
    /// How it is driven.
    pub backend: Backend,
    /// Driver and version.
    pub driver: String,
    /// How much was measured.
    pub options: TuneOptions,
    /// The device's default.
    pub default: Tuning,
    /// What was chosen.
    pub tuning: Tuning,
    /// The trials, in order. Knobs with a single choice have none.
    pub trials: Vec<Trial>,
    /// Whether the same graph, link for link, was built with what was chosen as with the default. If not, what builds go by has its default again.
    pub same_graph: bool,
}

/// Measures which tuning the context's device likes. `progress` is told before each step and can stop it. Nothing is remembered: that is
/// [`remember`]'s.
///
/// Cost: a graph of `rows` vectors is built twice, and each of some thirty candidates answers `queries` queries or so, `rounds` + 1 times. Device memory
/// for five times `rows` vectors of 512 bytes and the links of `rows`.
///
/// ```
/// use std::ops::ControlFlow;
/// use vectorizer::error::VectorizerError;
/// use vectorizer::gpu::context::Context;
/// use vectorizer::tune::{TuneOptions, tune};
///
/// // The CPU engine has nothing to tune; on a GPU the report says what was measured, and `remember` keeps what was chosen.
/// let answer = tune(&Context::cpu(), &TuneOptions::default(), |progress| {
///     eprintln!("{} of {}: {}", progress.done, progress.total, progress.next);
///     ControlFlow::Continue(())
/// });
/// assert!(matches!(answer, Err(VectorizerError::NothingToTune { .. })));
/// ```
///
/// # Errors
/// [`VectorizerError::NothingToTune`] on the CPU engine, [`VectorizerError::InvalidConfig`], [`VectorizerError::Cancelled`], no room, or the
/// device failed.
pub fn tune(
    context: &Context,
    options: &TuneOptions,
    progress: impl FnMut(TuneProgress) -> ControlFlow<()>,
) -> Result<TuneReport> {
    is_tunable(context)?;
    options.validate()?;
    let device = context.device();
    let (info, tier) = (device.info(), device.tier());
    let default = Tuning::default_for(tier, info.kind);
    let choices: Vec<(Knob, Vec<u64>)> = Knob::ALL
        .into_iter()
        .map(|knob| (knob, knob.choices(tier, info.kind)))
        .filter(|(_, choices)| choices.len() > 1)
        .collect();
    let runs: usize = choices.iter().map(|(_, choices)| choices.len()).sum();
    let mut steps = Steps {
        done: 0,
        // Two graphs and the vectors for exact search beside the runs.
        total: 3 + runs * (options.rounds + 1),
        tell: progress,
    };
    let mut loads = Loads::new(context, options, default, &mut || {
        steps.next("made-up vectors and their graph")
    })?;
    let mut tuning = default;
    let mut trials = Vec::new();
    for (knob, choices) in choices {
        let load = Load::of(knob);
        let trial = measure(
            &mut loads, load, knob, &choices, tuning, options, &mut steps,
        )?;
        tuning = knob.set(tuning, trial.chosen);
        trials.push(trial);
    }
    steps.next("the graph once more")?;
    let same_graph = loads.builds_the_same(tuning)?;
    if !same_graph {
        for knob in [
            Knob::WalkThreads,
            Knob::WideWalkThreads,
            Knob::DispatchParts,
        ] {
            tuning = knob.set(tuning, knob.of(&default));
        }
        for trial in &mut trials {
            if let Some(knob) = Knob::ALL.into_iter().find(|knob| knob.name() == trial.knob) {
                trial.chosen = knob.of(&tuning);
            }
        }
    }
    Ok(TuneReport {
        device: info.name.clone(),
        backend: info.backend,
        driver: info.driver.clone(),
        options: *options,
        default,
        tuning,
        trials,
        same_graph,
    })
}

/// The file in which the tuning of the context's device is remembered: the one that [`TUNING_VARIABLE`](crate::gpu::tuning::TUNING_VARIABLE)
/// names, else one in the user's cache folder, its own for each device, driver and version. It need not be there.
///
/// # Errors
/// [`VectorizerError::NothingToTune`] on the CPU engine; [`VectorizerError::FileRefused`] where nothing is to be remembered.
pub fn file(context: &Context) -> Result<PathBuf> {
    is_tunable(context)?;
    #[cfg(feature = "gpu")]
    return crate::gpu::tuning::file::Place::of(context.device().info()).file();
    #[cfg(not(feature = "gpu"))]
    Err(nothing_to_tune(context))
}

/// Remembers a tuning for the context's device and says in which file: whoever opens the device from now on has it. Devices that are
/// open in this process stay as they are. The file is replaced as a whole.
///
/// # Errors
/// As [`file()`]; [`VectorizerError::FileRefused`] if the device cannot have this tuning; [`VectorizerError::FileFailed`] if the system refuses.
pub fn remember(context: &Context, tuning: &Tuning) -> Result<PathBuf> {
    let path = file(context)?;
    #[cfg(feature = "gpu")]
    crate::gpu::tuning::file::write(&path, context.device().info(), tuning)?;
    #[cfg(not(feature = "gpu"))]
    let _ = tuning;
    Ok(path)
}

fn is_tunable(context: &Context) -> Result<()> {
    match context.tuning() {
        Some(_) => Ok(()),
        None => Err(nothing_to_tune(context)),
    }
}

fn nothing_to_tune(context: &Context) -> VectorizerError {
    VectorizerError::NothingToTune {
        device: context.device_name().to_owned(),
    }
}

/// Tells how far it has come.
struct Steps<F> {
    done: usize,
    total: usize,
    tell: F,
}

impl<F: FnMut(TuneProgress) -> ControlFlow<()>> Steps<F> {
    /// Begins the next step.
    fn next(&mut self, next: &'static str) -> Result<()> {
        let progress = TuneProgress {
            done: self.done,
            total: self.total,
            next,
        };
        self.done += 1;
        match (self.tell)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(VectorizerError::Cancelled),
        }
    }
}

/// Times all choices of a knob, with everything else as it is in `base`.
fn measure<F: FnMut(TuneProgress) -> ControlFlow<()>>(
    loads: &mut Loads,
    load: Load,
    knob: Knob,
    choices: &[u64],
    base: Tuning,
    options: &TuneOptions,
    steps: &mut Steps<F>,
) -> Result<Trial> {
    let default = knob.of(&base);
    let right = loads.answers(load, base)?;
    let mut times = vec![Vec::with_capacity(options.rounds); choices.len()];
    let mut left_out: Vec<Option<String>> = vec![None; choices.len()];
    // The first time kernels are compiled and answers looked at.
    for (value, left_out) in choices.iter().zip(&mut left_out) {
        steps.next(knob.name())?;
        let answers = loads.answers(load, knob.set(base, *value));
        *left_out = match answers {
            Ok(answers) if answers == right => None,
            Ok(_) => Some("it answers otherwise than the default".to_owned()),
            Err(error @ VectorizerError::DeviceFailed { .. }) if *value != default => {
                Some(error.to_string())
            }
            Err(error) => return Err(error),
        };
    }
    for _ in 0..options.rounds {
        for ((value, times), left_out) in choices.iter().zip(&mut times).zip(&left_out) {
            steps.next(knob.name())?;
            if left_out.is_none() {
                times.push(loads.time(load, knob.set(base, *value))?);
            }
        }
    }
    let candidates: Vec<Candidate> = choices
        .iter()
        .zip(&mut times)
        .zip(left_out)
        .map(|((value, times), left_out)| {
            let measured = clock::summary(times);
            Candidate {
                value: *value,
                median_ms: measured.map(|(median, _)| median),
                spread_ms: measured.map(|(_, spread)| spread),
                left_out,
            }
        })
        .collect();
    Ok(Trial {
        knob: knob.name(),
        work: loads.describe(load),
        default,
        chosen: clock::choose(&candidates, default),
        candidates,
    })
}
