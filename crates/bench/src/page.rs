//! The report: one HTML page that needs nothing else, with the same pictures beside it as files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compare;
use crate::error::{DataError, Result};
use crate::lines::{Line, Run, Subject};
use crate::picture::{Axis, Bar, Mark, Picture, Plot, Scale, Series, escape};
use crate::summary::{Known, Reached, Spread, Summary, targets};
use crate::sweep::{OURS, OURS_EXACT};

const STYLE: &str = include_str!("page.css");
const MEBIBYTE: f64 = 1_048_576.0;

/// Writes `report.html` and every picture as SVG and PNG to a folder; returns the page's path.
///
/// # Errors
/// Something cannot be drawn or written.
pub fn write(lines: &[Line], folder: &Path) -> Result<PathBuf> {
    let report = Report::of(lines);
    let pictures = report.pictures();
    for picture in &pictures {
        put(
            &folder.join(format!("{}.svg", picture.name)),
            &picture.svg(true)?,
        )?;
        picture.write_png(&folder.join(format!("{}.png", picture.name)))?;
    }
    let path = folder.join("report.html");
    put(&path, &report.page(&pictures, lines)?)?;
    Ok(path)
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| DataError::io(path, "write it", &error))
}

/// A subject with its name and colour.
struct Shown<'a> {
    subject: &'a Subject,
    known: &'a Known,
    name: String,
    colour: usize,
}

impl Shown<'_> {
    fn is_ours(&self) -> bool {
        self.subject.engine == OURS || self.subject.engine == OURS_EXACT
    }
}

struct Report<'a> {
    summary: Summary,
    run: Option<&'a Run>,
}

impl<'a> Report<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let run = lines.iter().rev().find_map(|line| match line {
            Line::Run(run) => Some(run),
            _ => None,
        });
        Self {
            summary: Summary::of(lines),
            run,
        }
    }

    /// Ours first; each with a colour of its own, and named by what tells it from the others.
    fn shown(&self) -> Vec<Shown<'_>> {
        let mut subjects: Vec<_> = self.summary.subjects.iter().collect();
        subjects.sort_by_key(|(subject, _)| {
            let rank = [OURS, OURS_EXACT]
                .iter()
                .position(|ours| subject.engine == *ours);
            (rank.unwrap_or(2), (*subject).clone())
        });
        let differs = |of: fn(&Subject) -> String| {
            let mut values = subjects.iter().map(|(subject, _)| of(subject));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        let (devices, threads, ms) = (
            differs(|s| s.device.clone()),
            differs(|s| s.threads.to_string()),
            differs(|s| s.m.to_string()),
        );
        let named = subjects.iter().enumerate();
        named
            .map(|(colour, (subject, known))| {
                let mut name = subject.engine.clone();
                if ms {
                    let _ = write!(name, ", M {}", subject.m);
                }
                if threads && subject.threads > 0 {
                    let _ = write!(name, ", {} threads", subject.threads);
                }
                if devices {
                    let _ = write!(name, ", {}", subject.device);
                }
                Shown {
                    subject,
                    known,
                    name,
                    colour,
                }
            })
            .collect()
    }

    fn k(&self) -> usize {
        self.run.map_or(10, |run| run.k)
    }

    fn pictures(&self) -> Vec<Picture> {
        let mut pictures = vec![self.speed()];
        pictures.extend(self.building());
        pictures.push(self.latency());
        pictures.extend(self.batches());
        pictures.extend(self.memory());
        pictures
    }

    fn speed(&self) -> Picture {
        let series = self
            .shown()
            .iter()
            .map(|shown| {
                let curve = shown.known.curve(self.summary.whole());
                self.series(shown, &curve, |reached| Some(reached.qps))
            })
            .collect();
        Picture {
            name: "recall-speed",
            title: "How fast at which recall".to_owned(),
            caption: "Up and to the right is better. Each point is a beam width; all queries in one call; upright strokes span the rounds."
                .to_owned(),
            plot: Plot::Curves {
                x: Axis::new(&self.recall_label(), Scale::Recall),
                y: Axis::new("queries a second (log)", Scale::Log),
                series,
            },
        }
    }

    fn recall_label(&self) -> String {
        format!("recall@{} (share of the true neighbours found)", self.k())
    }

    fn series(
        &self,
        shown: &Shown<'_>,
        curve: &[&Reached],
        value: impl Fn(&Reached) -> Option<Spread>,
    ) -> Series {
        let marks = curve.iter().filter_map(|reached| {
            let value = value(reached)?;
            Some(Mark {
                x: reached.recall.median,
                y: value.median,
                range: (value.low, value.high),
            })
        });
        Series {
            name: shown.name.clone(),
            colour: shown.colour,
            marks: marks.collect(),
            dashed: false,
            dots: true,
        }
    }

    fn building(&self) -> Option<Picture> {
        let shown = self.shown();
        let mut bars: Vec<Bar> = shown
            .iter()
            .filter_map(|shown| {
                let build = shown.known.build?;
                Some(Bar {
                    name: shown.name.clone(),
                    colour: shown.colour,
                    value: build.median,
                    range: (build.low, build.high),
                    text: seconds(build.median),
                })
            })
            .collect();
        bars.sort_by(|a, b| a.value.total_cmp(&b.value));
        (!bars.is_empty()).then(|| Picture {
            name: "build-time",
            title: "How long building takes".to_owned(),
            caption: "Adding and linking all rows, from memory. Shorter is better; a build counts only together with the recall above."
                .to_owned(),
            plot: Plot::Bars {
                label: "seconds".to_owned(),
                bars,
            },
        })
    }

    fn latency(&self) -> Picture {
        let mut series = Vec::new();
        for shown in &self.shown() {
            let curve = shown.known.curve(self.summary.whole());
            let p50 = self.series(shown, &curve, |reached| reached.p50_us);
            let p99 = self.series(shown, &curve, |reached| reached.p99_us);
            for (one, word, dashed) in [(p50, "p50", false), (p99, "p99", true)] {
                if !one.marks.is_empty() {
                    series.push(Series {
                        name: format!("{} {word}", one.name),
                        dashed,
                        dots: !dashed,
                        ..one
                    });
                }
            }
        }
        Picture {
            name: "latency",
            title: "How long one query takes".to_owned(),
            caption: "Queries one at a time on one thread: the median, and the slowest in a hundred (dashed). Lower is better.".to_owned(),
            plot: Plot::Curves {
                x: Axis::new(&self.recall_label(), Scale::Recall),
                y: Axis::new("microseconds (log)", Scale::Log),
                series,
            },
        }
    }

    fn batches(&self) -> Option<Picture> {
        let mut series = Vec::new();
        for shown in self.shown() {
            let mut of_batches: Vec<_> = shown
                .known
                .reached
                .iter()
                .filter(|(setting, _)| setting.target.is_none() && setting.ef.is_some())
                .collect();
            // Those of the beam width that other batches were tried with.
            let tried = of_batches
                .iter()
                .find(|(setting, _)| setting.batch != self.summary.whole())
                .map(|(setting, _)| setting.ef);
            of_batches.retain(|(setting, _)| Some(setting.ef) == tried);
            of_batches.sort_by_key(|(setting, _)| setting.batch);
            let marks: Vec<Mark> = of_batches
                .iter()
                .map(|(setting, reached)| Mark {
                    x: setting.batch as f64,
                    y: reached.qps.median,
                    range: (reached.qps.low, reached.qps.high),
                })
                .collect();
            if marks.len() > 1 {
                let recall = of_batches[0].1.recall.median;
                series.push(Series {
                    name: format!("{}, recall {recall:.3}", shown.name),
                    colour: shown.colour,
                    marks,
                    dashed: false,
                    dots: true,
                });
            }
        }
        (!series.is_empty()).then(|| Picture {
            name: "batches",
            title: "What asking together is worth".to_owned(),
            caption:
                "The same queries, so many in each call, with one beam width. Higher is better."
                    .to_owned(),
            plot: Plot::Curves {
                x: Axis::new("queries in a call (log)", Scale::Log),
                y: Axis::new("queries a second (log)", Scale::Log),
                series,
            },
        })
    }

    fn memory(&self) -> Option<Picture> {
        let mut series = Vec::new();
        for shown in self.shown() {
            let Some(memory) = &shown.known.memory else {
                continue;
            };
            let mut add = |what: &str, dashed, of: fn(&(f64, u64, u64)) -> u64| {
                let marks: Vec<Mark> = memory
                    .samples
                    .iter()
                    .map(|sample| {
                        let y = crate::summary::as_number(of(sample)) / MEBIBYTE;
                        Mark {
                            x: sample.0,
                            y,
                            range: (y, y),
                        }
                    })
                    .collect();
                if marks.iter().any(|mark| mark.y > 0.0) {
                    series.push(Series {
                        name: format!("{}: {what}", shown.name),
                        colour: shown.colour,
                        marks,
                        dashed,
                        dots: false,
                    });
                }
            };
            add("the process", true, |sample| sample.1);
            add("counted on the device", false, |sample| sample.2);
        }
        (!series.is_empty()).then(|| Picture {
            name: "memory",
            title: "Memory while building".to_owned(),
            caption: "What the engine takes of its device by its own count, and what the process grew by (with the block of rows being read)."
                .to_owned(),
            plot: Plot::Curves {
                x: Axis::new("seconds since the first row", Scale::Linear),
                y: Axis::new("MiB", Scale::Linear),
                series,
            },
        })
    }

    fn page(&self, pictures: &[Picture], lines: &[Line]) -> Result<String> {
        let title = self
            .run
            .map_or_else(|| "vectorizer bench".to_owned(), |run| run.data.clone());
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{0}: vectorizer bench</title>\n<style>{STYLE}</style>\n<main>\n<header><p class=\"kicker\">vectorizer bench</p>\n<h1>{0}</h1>\n{1}</header>\n",
            escape(&title),
            self.about()
        );
        page.push_str(&self.cards());
        page.push_str(&self.warnings());
        page.push_str("<section class=\"pictures\">\n");
        for picture in pictures {
            let _ = write!(
                page,
                "<figure>\n<h2>{}</h2>\n{}\n<figcaption>{}</figcaption>\n</figure>\n",
                escape(&picture.title),
                picture.svg(false)?,
                escape(&picture.caption)
            );
        }
        page.push_str("</section>\n");
        page.push_str(&self.table());
        page.push_str(&self.footer(lines));
        page.push_str("</main>\n</html>\n");
        Ok(page)
    }

    fn about(&self) -> String {
        let Some(run) = self.run else {
            return String::new();
        };
        format!(
            "<p class=\"about\">{} rows of {} numbers, {} distance, {} queries, k {}. {} cores of {}{}. {} rounds, medians with least to greatest. Version {}, {}.</p>\n",
            thousands(run.rows),
            run.dimension,
            escape(&run.metric),
            thousands(run.queries),
            run.k,
            run.machine.cores,
            escape(&run.machine.processor),
            run.machine
                .memory_bytes
                .map_or_else(String::new, |bytes| format!(
                    ", {:.0} GiB",
                    crate::summary::as_number(bytes) / MEBIBYTE / 1024.0
                )),
            run.rounds,
            escape(&run.version),
            escape(&run.when)
        )
    }

    /// The figures that matter most, large.
    fn cards(&self) -> String {
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

    fn warnings(&self) -> String {
        let mut words = Vec::new();
        if let Some(busy) = self.run.and_then(|run| run.other_cpu).filter(|b| *b > 0.2) {
            words.push(format!(
                "Other programs kept {busy:.1} CPUs busy meanwhile: times are worse than they could be, and ratios rough."
            ));
        }
        for (engine, reason) in &self.summary.failed {
            words.push(format!("{engine} was not measured: {reason}"));
        }
        for shown in self.shown() {
            if shown.known.sound == Some(false) {
                words.push(format!("{}: the graph breaks a rule.", shown.name));
            }
        }
        words.iter().fold(String::new(), |mut text, word| {
            let _ = writeln!(text, "<p class=\"warning\">{}</p>", escape(word));
            text
        })
    }

    fn table(&self) -> String {
        let whole = self.summary.whole();
        let targets = targets(&self.summary);
        let mut table = String::from(
            "<section>\n<h2>In numbers</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>engine</th><th>recall</th><th>ef</th><th>queries/s</th>\
             <th>p50 us</th><th>p99 us</th><th>distances a query</th><th>build s</th><th>memory MiB</th></tr></thead>\n<tbody>\n",
        );
        for shown in self.shown() {
            let mut rows: Vec<&Reached> = targets
                .iter()
                .filter_map(|target| shown.known.at(*target, whole))
                .collect();
            if rows.is_empty() {
                rows = shown.known.curve(whole);
            }
            // Exact search reaches every recall with one point.
            rows.dedup_by(|a, b| a == b);
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

    fn footer(&self, lines: &[Line]) -> String {
        let mut raw = String::new();
        for line in lines.iter().filter(|line| !matches!(line, Line::Memory(_))) {
            if let Ok(line) = serde_json::to_string(line) {
                raw.push_str(&line);
                raw.push('\n');
            }
        }
        let settings: Vec<String> = self
            .summary
            .subjects
            .keys()
            .map(|subject| {
                format!(
                    "{}, ef_construction {}",
                    compare::name(subject),
                    subject.ef_construction
                )
            })
            .collect();
        format!(
            "<section>\n<h2>How it was measured</h2>\n<p>A recall counts every row that is no farther than the true k-th neighbour. Queries a second are of all queries in one \
             call, the median of passes over at least 0.3 s in each round; rounds of all engines take turns, so that a drift of the machine touches all alike. For each \
             recall the smallest beam width that reaches it is looked for. Ratios compare engines with as many threads in this run, and no others.</p>\n<p>{}</p>\n\
             <details><summary>Every line of the run, as JSON</summary><pre>{}</pre></details>\n</section>\n",
            escape(&settings.join("; ")),
            escape(&raw)
        )
    }
}

fn width(reached: &Reached) -> String {
    reached
        .ef
        .map_or_else(|| "exact".to_owned(), |ef| figure(ef.median))
}

fn recall(recall: f64) -> String {
    let text = format!("{recall:.4}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') {
        format!("{text}0")
    } else {
        text.to_owned()
    }
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |spread| {
        let (low, high) = (figure(spread.low), figure(spread.high));
        if low == high {
            figure(spread.median)
        } else {
            format!("{} <small>{low}..{high}</small>", figure(spread.median))
        }
    })
}

fn seconds(seconds: f64) -> String {
    format!("{} s", figure(seconds))
}

fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", figure(bytes / MEBIBYTE))
}

/// A number with about three leading digits.
fn figure(value: f64) -> String {
    if value >= 1000.0 {
        // Of a large number only the leading digits mean anything.
        let unit = 10f64.powf(value.log10().floor() - 2.0).max(1.0);
        thousands_of((value / unit).round() * unit)
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        let text = format!("{value:.1}");
        text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
    } else {
        format!("{value:.2}")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive figure far below 2^53"
)]
fn thousands_of(value: f64) -> String {
    thousands(value as usize)
}

/// 1234567 as 1,234,567.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Memory, Run};
    use crate::machine::Machine;
    use crate::summary::tests::{build, point, subject};

    fn lines() -> Vec<Line> {
        let mut lines = vec![Line::Run(Run {
            version: "1".to_owned(),
            when: "2026-11-23T18:31:00Z".to_owned(),
            machine: Machine::here(),
            load_average: None,
            other_cpu: None,
            data: "a <set>".to_owned(),
            metric: "euclidean".to_owned(),
            rows: 1000,
            dimension: 8,
            queries: 100,
            k: 10,
            rounds: 2,
        })];
        for round in 0..2 {
            for (engine, speed) in [(OURS, 2000.0), ("hnswlib", 1000.0)] {
                lines.push(build(engine, round, 2000.0 / speed));
                for (ef, recall) in [(10, 0.8), (20, 0.95), (40, 0.99)] {
                    lines.push(point(engine, round, ef, recall, speed / ef as f64));
                }
            }
        }
        lines.push(Line::Memory(Memory {
            subject: subject(OURS),
            round: 0,
            built: 1.0,
            samples: vec![(0.0, 0, 0), (1.0, 1 << 20, 1 << 20)],
        }));
        lines
    }

    #[test]
    fn a_page_stands_alone_and_names_its_axes_and_engines() {
        let folder = tempfile::tempdir().unwrap();
        let page = write(&lines(), folder.path()).unwrap();
        let text = fs::read_to_string(page).unwrap();
        for words in [
            "a &lt;set&gt;",
            "hnswlib",
            "recall@10",
            "queries a second",
            "microseconds",
            "MiB",
            "seconds",
        ] {
            assert!(text.contains(words), "no {words:?}");
        }
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            let found = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(outside), "{outside} asks for the network");
        }
        for name in ["recall-speed", "build-time", "latency", "memory"] {
            for ending in ["svg", "png"] {
                assert!(folder.path().join(format!("{name}.{ending}")).is_file());
            }
        }
    }

    #[test]
    fn ours_is_compared_with_the_best_peer() {
        let mut lines = lines();
        for line in &mut lines {
            if let Line::Point(point) = line
                && point.ef == Some(20)
            {
                point.target = Some(0.95);
            }
        }
        let text = Report::of(&lines).cards();
        assert!(text.contains("2.00 x hnswlib"), "{text}");
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (1.234, "1.23"),
            (12.0, "12"),
            (345.6, "346"),
            (50_612.0, "50,600"),
            (4_321_987.0, "4,320,000"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!(recall(1.0), "1.0");
        assert_eq!(recall(0.95), "0.95");
    }
}
