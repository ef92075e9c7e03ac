//! The report: one HTML page that needs nothing else, with the same pictures beside it as files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vectorizer::interop::WholeFile;

use crate::compare;
use crate::error::Result;
use crate::lines::{Line, Run, Subject};
use crate::picture::{Picture, escape};
use crate::summary::{Known, Summary};
use crate::sweep::{OURS, OURS_EXACT};
use crate::thousands;

mod number;
mod pictures;
mod results;

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
    Ok(WholeFile::write(path, text.as_bytes())?)
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
        let subjects = self.summary.in_order();
        let differs = |of: fn(&Subject) -> String| {
            let mut values = subjects.iter().map(|(subject, _)| of(subject));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        let (precisions, places, devices, threads, ms) = (
            differs(|s| s.precision.clone()),
            differs(|s| s.full_rows.clone()),
            differs(|s| s.device.clone()),
            differs(|s| s.threads.to_string()),
            differs(|s| s.m.to_string()),
        );
        let named = subjects.iter().enumerate();
        named
            .map(|(colour, (subject, known))| {
                let mut name = subject.engine.clone();
                if precisions {
                    let _ = write!(name, ", {}", subject.precision);
                }
                if places && subject.full_rows == "ram" {
                    name.push_str(", full rows in RAM");
                }
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
        let text = std::fs::read_to_string(page).unwrap();
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
    fn rows_of_several_forms_are_told_apart() {
        let mut lines = lines();
        for line in lines.clone() {
            if let Line::Build(mut build) = line {
                build.subject.precision = "int8".to_owned();
                lines.push(Line::Build(build));
            }
        }
        let report = Report::of(&lines);
        let names: Vec<String> = report.shown().into_iter().map(|one| one.name).collect();
        assert_eq!(
            names,
            [
                "vectorizer, f32",
                "vectorizer, int8",
                "hnswlib, f32",
                "hnswlib, int8"
            ]
        );
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
}
