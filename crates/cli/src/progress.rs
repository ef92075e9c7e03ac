//! Progress bars on standard error: for people at a terminal, and gone when the work is done.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A piece of work that takes a while. Its bar vanishes when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage(ProgressBar);

impl Stage {
    /// Begins work of `total` steps, where that is known; `what` says what is done, "building the graph" say. A `quiet` one
    /// draws nothing, and nothing is drawn where standard error is not a terminal.
    pub(crate) fn begin(
        quiet: bool,
        what: impl Into<Cow<'static, str>>,
        total: impl Into<Option<usize>>,
    ) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        };
        let total = total.into().map(|total| total as u64);
        let form = match total {
            Some(_) => "{spinner} {msg} {wide_bar} {human_pos} of {human_len}, {elapsed}",
            None => "{spinner} {msg}, {elapsed}",
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(what);
        if !bar.is_hidden() {
            // The clock runs while a single call takes its time.
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self(bar)
    }

    /// What is done now.
    pub(crate) fn rename(&self, what: impl Into<Cow<'static, str>>) {
        self.0.set_message(what);
    }

    /// So many steps are done.
    pub(crate) fn at(&self, done: usize) {
        self.0.set_position(done as u64);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
