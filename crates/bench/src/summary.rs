//! Lines of several rounds brought together: medians with their spread, by subject and setting.

use std::collections::BTreeMap;

use crate::lines::{Line, Memory, Point, Run, Subject};
use crate::percentile::percentile;
use crate::sweep::{OURS, OURS_EXACT};

/// The median of some values, the least and the greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Spread {
    /// Of the values that are there; `None` if none is.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().flatten().collect();
        let median = percentile(&mut values, 50.0);
        Some(Self {
            median,
            low: *values.first()?,
            high: *values.last()?,
        })
    }
}

/// A setting of a search: beam width (`None`: exact), the recall it was looked for, in thousandths, and the queries of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Setting {
    /// The recall that the width was looked for, in thousandths.
    pub target: Option<u32>,
    /// The beam width; `None` for exact search, and where it was looked for.
    pub ef: Option<usize>,
    /// Queries of one call.
    pub batch: usize,
}

impl Setting {
    fn of(point: &Point) -> Self {
        Self {
            target: point.target.map(thousandths),
            // What was looked for may differ from round to round, where a peer builds with several threads.
            ef: point.ef.filter(|_| point.target.is_none()),
            batch: point.batch,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a recall lies between 0 and 1"
)]
fn thousandths(recall: f64) -> u32 {
    (recall * 1000.0).round() as u32
}

/// What a subject reached with a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    /// The beam widths of the rounds.
    pub ef: Option<Spread>,
    /// Share of the true neighbours found.
    pub recall: Spread,
    /// Queries a second.
    pub qps: Spread,
    /// Microseconds of a single query: the median.
    pub p50_us: Option<Spread>,
    /// And of the slowest in a hundred.
    pub p99_us: Option<Spread>,
    /// Scores for a query.
    pub distances: Option<Spread>,
    /// Rows of links for a query.
    pub hops: Option<Spread>,
    /// Bytes for a query.
    pub bytes: Option<Spread>,
}

/// What is known of a subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Seconds to build.
    pub build: Option<Spread>,
    /// Scores for each row built.
    pub build_distances: Option<Spread>,
    /// Bytes of the process.
    pub resident: Option<Spread>,
    /// Bytes of the device, and the most while building.
    pub device: Option<Spread>,
    /// See `device`.
    pub device_peak: Option<Spread>,
    /// Whether every graph was sound, where anybody could tell.
    pub sound: Option<bool>,
    /// What it reached.
    pub reached: BTreeMap<Setting, Reached>,
    /// Its memory over time, in the first round.
    pub memory: Option<Memory>,
}

/// Everything of one file of lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// What was measured; the last line of that kind counts.
    pub run: Option<Run>,
    /// Who was.
    pub subjects: BTreeMap<Subject, Known>,
    /// Who could not be, and why; each once.
    pub failed: BTreeMap<String, String>,
}

impl Summary {
    /// Brings lines together.
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut summary = Self::default();
        let mut builds: BTreeMap<Subject, Vec<_>> = BTreeMap::new();
        let mut points: BTreeMap<(Subject, Setting), Vec<&Point>> = BTreeMap::new();
        for line in lines {
            match line {
                Line::Run(run) => summary.run = Some(run.clone()),
                Line::Build(build) => builds.entry(build.subject.clone()).or_default().push(build),
                Line::Point(point) => {
                    let key = (point.subject.clone(), Setting::of(point));
                    points.entry(key).or_default().push(point);
                }
                Line::Memory(memory) => {
                    let known = summary.subjects.entry(memory.subject.clone()).or_default();
                    known.memory.get_or_insert_with(|| memory.clone());
                }
                Line::Failed { engine, reason, .. } => {
                    summary.failed.insert(engine.clone(), reason.clone());
                }
            }
        }
        for (subject, builds) in builds {
            let known = summary.subjects.entry(subject).or_default();
            let bytes = |bytes: Option<u64>| bytes.map(as_number);
            known.build = Spread::of(builds.iter().map(|build| Some(build.seconds)));
            known.build_distances = Spread::of(builds.iter().map(|build| build.distances));
            known.resident = Spread::of(builds.iter().map(|build| bytes(build.resident_bytes)));
            known.device = Spread::of(builds.iter().map(|build| bytes(build.device_bytes)));
            known.device_peak =
                Spread::of(builds.iter().map(|build| bytes(build.device_peak_bytes)));
            known.sound = builds
                .iter()
                .map(|build| build.sound)
                .reduce(|a, b| Some(a? && b?))
                .flatten();
        }
        for ((subject, setting), points) in points {
            let of = |field: fn(&Point) -> Option<f64>| {
                Spread::of(points.iter().map(|point| field(point)))
            };
            let (Some(recall), Some(qps)) = (of(|p| Some(p.recall)), of(|p| Some(p.qps))) else {
                continue;
            };
            let reached = Reached {
                ef: of(|p| p.ef.map(|ef| as_number(ef as u64))),
                recall,
                qps,
                p50_us: of(|p| p.p50_us),
                p99_us: of(|p| p.p99_us),
                distances: of(|p| p.distances),
                hops: of(|p| p.hops),
                bytes: of(|p| p.bytes),
            };
            let known = summary.subjects.entry(subject).or_default();
            known.reached.insert(setting, reached);
        }
        summary
    }

    /// The most queries of a call: what the curves were measured with.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.queries)
    }
}

impl Known {
    /// The curve of a subject: what it reached with all queries in one call, by recall. A width that was looked for, and stands among the
    /// others as well, is one point.
    #[must_use]
    pub fn curve(&self, whole: usize) -> Vec<&Reached> {
        let all = || {
            self.reached
                .iter()
                .filter(|(setting, _)| setting.batch == whole)
        };
        let given = |reached: &Reached| {
            all().any(|(setting, other)| setting.target.is_none() && other.ef == reached.ef)
        };
        let mut curve: Vec<&Reached> = all()
            .filter(|(setting, reached)| setting.target.is_none() || !given(reached))
            .map(|(_, reached)| reached)
            .collect();
        curve.dedup_by(|a, b| a.ef.is_some() && a.ef == b.ef);
        curve.sort_by(|a, b| {
            let by_recall = a.recall.median.total_cmp(&b.recall.median);
            by_recall.then(b.qps.median.total_cmp(&a.qps.median))
        });
        curve
    }

    /// What it reached for a recall (in thousandths): the width that was looked for, else the fastest of the others that has it.
    #[must_use]
    pub fn at(&self, target: u32, whole: usize) -> Option<&Reached> {
        let looked_for = self
            .reached
            .iter()
            .find(|(setting, _)| setting.target == Some(target) && setting.batch == whole);
        if let Some((_, reached)) = looked_for {
            return Some(reached);
        }
        let wanted = f64::from(target) / 1000.0;
        let curve = self.curve(whole).into_iter();
        curve
            .filter(|reached| reached.recall.median >= wanted)
            .max_by(|a, b| a.qps.median.total_cmp(&b.qps.median))
    }
}

impl Summary {
    /// What a table shows of a subject: what it reached for each recall that was looked for, else its curve; nothing twice.
    #[must_use]
    pub fn rows<'a>(&self, known: &'a Known) -> Vec<&'a Reached> {
        let whole = self.whole();
        let mut rows: Vec<&Reached> = targets(self)
            .iter()
            .filter_map(|target| known.at(*target, whole))
            .collect();
        if rows.is_empty() {
            rows = known.curve(whole);
        }
        // One width may reach several recalls, exact search reaches all.
        rows.dedup_by(|a, b| a.ef == b.ef);
        rows
    }

    /// Who was measured: our engine, its exact search, then the others by name; of one that has several, what searches in f32 first.
    #[must_use]
    pub fn in_order(&self) -> Vec<(&Subject, &Known)> {
        let mut subjects: Vec<_> = self.subjects.iter().collect();
        subjects.sort_by_key(|(subject, _)| {
            let rank = [OURS, OURS_EXACT]
                .iter()
                .position(|ours| subject.engine == *ours);
            (rank.unwrap_or(2), subject.precision != "f32")
        });
        subjects
    }
}

/// The recalls that were looked for, in thousandths.
#[must_use]
pub fn targets(summary: &Summary) -> Vec<u32> {
    let settings = summary
        .subjects
        .values()
        .flat_map(|known| known.reached.keys());
    let mut targets: Vec<u32> = settings.filter_map(|setting| setting.target).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a few digits of a size are shown"
)]
pub(crate) fn as_number(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::lines::Build;

    pub(crate) fn subject(engine: &str) -> Subject {
        Subject {
            engine: engine.to_owned(),
            device: "cpu".to_owned(),
            threads: 1,
            m: 16,
            ef_construction: 200,
            precision: "f32".to_owned(),
            full_rows: "device".to_owned(),
        }
    }

    pub(crate) fn point(engine: &str, round: usize, ef: usize, recall: f64, qps: f64) -> Line {
        Line::Point(Point {
            subject: subject(engine),
            round,
            ef: Some(ef),
            target: None,
            batch: 100,
            recall,
            qps,
            p50_us: Some(1e6 / qps),
            p99_us: Some(2e6 / qps),
            distances: Some(10.0 * ef as f64),
            hops: Some(ef as f64),
            bytes: None,
        })
    }

    fn looked_for(engine: &str, round: usize, ef: usize, recall: f64, qps: f64) -> Line {
        match point(engine, round, ef, recall, qps) {
            Line::Point(point) => Line::Point(Point {
                target: Some(recall),
                ..point
            }),
            other => other,
        }
    }

    pub(crate) fn build(engine: &str, round: usize, seconds: f64) -> Line {
        Line::Build(Build {
            subject: subject(engine),
            round,
            seconds,
            distances: Some(1000.0),
            hops: None,
            resident_bytes: Some(1 << 20),
            device_bytes: None,
            device_peak_bytes: None,
            sound: Some(true),
        })
    }

    #[test]
    fn rounds_become_medians_with_their_spread() {
        let lines = [
            build("a", 0, 3.0),
            build("a", 1, 1.0),
            build("a", 2, 2.0),
            point("a", 0, 20, 0.9, 100.0),
            point("a", 1, 20, 0.9, 300.0),
            point("a", 2, 20, 0.9, 200.0),
            point("a", 0, 40, 0.95, 50.0),
            point("b", 0, 20, 0.5, 70.0),
            looked_for("a", 0, 40, 0.95, 55.0),
        ];
        let summary = Summary::of(&lines);
        let known = &summary.subjects[&subject("a")];
        let spread = |median, low, high| Spread { median, low, high };
        assert_eq!(known.build, Some(spread(2.0, 1.0, 3.0)));
        assert_eq!(known.sound, Some(true));
        // The width 40 was both given and looked for: it is one point.
        let curve = known.curve(100);
        assert_eq!(curve.len(), 2);
        assert_eq!(curve[0].qps, spread(200.0, 100.0, 300.0));
        assert_eq!(known.at(950, 100).unwrap().qps.median, 55.0);
        assert!(known.at(990, 100).is_none());
        assert_eq!(summary.subjects.len(), 2);
    }
}
