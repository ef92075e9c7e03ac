//! What a bench says on the terminal when it is done.

use std::io::Write as _;
use std::path::Path;

use vectorizer_bench::compare::name;
use vectorizer_bench::lines::Line;
use vectorizer_bench::summary::{Spread, Summary};

use crate::failure::Result;
use crate::figures::{bytes, rate};

pub(super) fn print(lines: &[Line], page: &Path) -> Result<()> {
    let summary = Summary::of(lines);
    let mut text = String::new();
    if let Some(run) = &summary.run {
        text += &format!(
            "{}: {} x {}, {}, {} queries, k {}; medians of {} rounds\n",
            run.data, run.rows, run.dimension, run.metric, run.queries, run.k, run.rounds
        );
        if let Some(busy) = run.other_cpu.filter(|busy| *busy > 0.2) {
            text += &format!("careful: others kept {busy:.1} CPUs busy meanwhile\n");
        }
    }
    text += &format!(
        "\n{:44} {:>8} {:>10} {:>7} {:>6} {:>12} {:>8} {:>8} {:>12}\n",
        "", "build s", "memory", "recall", "ef", "queries/s", "p50 us", "p99 us", "dist./query"
    );
    for (subject, known) in summary.in_order() {
        let mut head = format!(
            "{:44} {:>8} {:>10}",
            name(subject),
            known
                .build
                .map_or_else(String::new, |build| format!("{:.2}", build.median)),
            known
                .device
                .or(known.resident)
                .map_or_else(String::new, |taken| bytes(whole_number(taken.median)))
        );
        for reached in summary.rows(known) {
            let of = |spread: Option<Spread>| {
                spread.map_or_else(String::new, |spread| rate(spread.median))
            };
            text += &format!(
                "{head:64} {:>7.4} {:>6} {:>12} {:>8} {:>8} {:>12}\n",
                reached.recall.median,
                reached
                    .ef
                    .map_or_else(|| "exact".to_owned(), |ef| format!("{:.0}", ef.median)),
                rate(reached.qps.median),
                of(reached.p50_us),
                of(reached.p99_us),
                of(reached.distances)
            );
            head.clear();
        }
    }
    for (engine, reason) in &summary.failed {
        text += &format!("{engine} was not measured: {reason}\n");
    }
    text += &format!("\nreport: {}\n", page.display());
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of bytes"
)]
fn whole_number(bytes: f64) -> u64 {
    bytes as u64
}
