//! What a report says in numbers: the cards on top and the table below.

use std::fmt::Write as _;

use super::number::{figure, mebibytes, recall, seconds, spread, width};
use super::{MEBIBYTE, Report};
use crate::picture::escape;
use crate::summary::targets;
use crate::sweep::OURS;

impl Report<'_> {
    /// The figures that matter most, large.
    pub(super) fn cards(&self) -> String {
        let shown = self.shown();
        let whole = self.summary.whole();
        let mut cards = String::new();
        let Some(ours) = shown.iter().find(|shown| shown.subject.engine == OURS) else {
            return cards;
        };
        let mut card = |label: &str, value: String, note: &str| {
            let _ = writeln!(
                cards,
                "<div class=\"card\"><p>{}</p><strong>{}</strong><span>{}</span></div>",
                escape(label),
                escape(&value),
                escape(note)
            );
        };
        // Peers on as many threads are the ones to be compared with.
        let peers = || {
            shown
                .iter()
                .filter(|one| !one.is_ours() && one.subject.threads == ours.subject.threads)
        };
        for target in targets(&self.summary) {
            let Some(reached) = ours.known.at(target, whole) else {
                continue;
            };
            let best = peers()
                .filter_map(|peer| Some((peer.known.at(target, whole)?.qps.median, &peer.name)))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let note = best.map_or_else(
                || format!("queries a second, ef {}", width(reached)),
                |(qps, name)| format!("queries a second, {:.2} x {name}", reached.qps.median / qps),
            );
            card(
                &format!("at recall {}", recall(f64::from(target) / 1000.0)),
                figure(reached.qps.median),
                &note,
            );
        }
        if let Some(build) = ours.known.build {
            let best = peers()
                .filter_map(|peer| Some((peer.known.build?.median, &peer.name)))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let note = best.map_or_else(
                || "adding and linking all rows".to_owned(),
                |(time, name)| format!("{:.2} x as fast as {name}", time / build.median),
            );
            card("built in", seconds(build.median), &note);
        }
        if let Some(device) = ours.known.device {
            card("memory", mebibytes(device.median), "rows and links");
        }
        format!("<section class=\"cards\">\n{cards}</section>\n")
    }

    pub(super) fn table(&self) -> String {
        let mut table = String::from(
            "<section>\n<h2>In numbers</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>engine</th><th>recall</th><th>ef</th><th>queries/s</th>\
             <th>p50 us</th><th>p99 us</th><th>distances a query</th><th>build s</th><th>memory MiB</th></tr></thead>\n<tbody>\n",
        );
        for shown in self.shown() {
            let rows = self.summary.rows(shown.known);
            let memory = shown.known.device.or(shown.known.resident);
            for (number, reached) in rows.iter().enumerate() {
                let first = number == 0;
                let _ = writeln!(
                    table,
                    "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    if first { " class=\"first\"" } else { "" },
                    if first {
                        escape(&shown.name)
                    } else {
                        String::new()
                    },
                    recall(reached.recall.median),
                    width(reached),
                    spread(Some(reached.qps)),
                    spread(reached.p50_us),
                    spread(reached.p99_us),
                    reached
                        .distances
                        .map_or_else(String::new, |d| figure(d.median)),
                    if first {
                        spread(shown.known.build)
                    } else {
                        String::new()
                    },
                    memory
                        .filter(|_| first)
                        .map_or_else(String::new, |memory| { figure(memory.median / MEBIBYTE) }),
                );
            }
        }
        table.push_str("</tbody></table></div>\n</section>\n");
        table
    }
}
