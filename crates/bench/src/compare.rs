//! What changed between two benches beyond noise.
//!
//! Of values that are measured by a clock, a change counts if the medians differ by more than both ranges of the rounds together, and by more
//! than [`LEAST`]. (That ranges do not overlap is too little: of three rounds each, those of the same thing do so one time in ten; they differ by
//! their ranges together one time in seventy.) Recall and counted work are the same in every round, so that any change of theirs counts (a
//! recall's from a ten-thousandth on, where a peer's differs from round to round).

use crate::lines::{Line, Subject};
use crate::summary::{Known, Reached, Setting, Spread, Summary};

/// A difference of medians that is not worth a word, however narrow the ranges: two parts in a hundred.
pub const LEAST: f64 = 0.02;
const LEAST_RECALL: f64 = 1e-4;
/// The same for counted work.
const LEAST_COUNT: f64 = 1e-6;

/// A value that was measured in both.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Whose.
    pub subject: Subject,
    /// With which setting; `None` for what belongs to the build.
    pub setting: Option<Setting>,
    /// Which value.
    pub what: &'static str,
    /// In the first bench.
    pub before: Spread,
    /// In the second.
    pub after: Spread,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Whether it differs beyond noise.
    pub beyond_noise: bool,
}

impl Change {
    /// The second median over the first.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.after.median / self.before.median
    }

    /// Whether it is for the better.
    #[must_use]
    pub fn is_better(&self) -> bool {
        (self.after.median > self.before.median) == self.more_is_better
    }
}

/// Two benches, one beside the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Every value that is in both.
    pub values: Vec<Change>,
    /// What only one of them has, in words.
    pub unmatched: Vec<String>,
    /// Why the two may not be comparable, in words.
    pub doubts: Vec<String>,
}

impl Comparison {
    /// What differs beyond noise.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.values.iter().filter(|change| change.beyond_noise)
    }
}

/// Compares.
#[must_use]
pub fn compare(before: &[Line], after: &[Line]) -> Comparison {
    let (before, after) = (Summary::of(before), Summary::of(after));
    let mut comparison = Comparison {
        doubts: doubts(&before, &after),
        ..Comparison::default()
    };
    for (subject, old) in &before.subjects {
        match after.subjects.get(subject) {
            Some(new) => compare_known(subject, old, new, &mut comparison),
            None => comparison
                .unmatched
                .push(format!("{} is in the first only", name(subject))),
        }
    }
    for subject in after.subjects.keys() {
        if !before.subjects.contains_key(subject) {
            comparison
                .unmatched
                .push(format!("{} is in the second only", name(subject)));
        }
    }
    comparison
}

/// A subject in words.
#[must_use]
pub fn name(subject: &Subject) -> String {
    let threads = match subject.threads {
        0 => String::new(),
        1 => ", 1 thread".to_owned(),
        threads => format!(", {threads} threads"),
    };
    // f32 goes without saying.
    let precision = match subject.precision.as_str() {
        "f32" => String::new(),
        precision => format!(", {precision}"),
    };
    let place = match subject.full_rows.as_str() {
        "ram" => ", full rows in RAM",
        _ => "",
    };
    format!(
        "{} ({}{threads}, M {}{precision}{place})",
        subject.engine, subject.device, subject.m
    )
}

fn doubts(before: &Summary, after: &Summary) -> Vec<String> {
    let (Some(a), Some(b)) = (&before.run, &after.run) else {
        return vec!["one of them does not say what it measured".to_owned()];
    };
    let mut doubts = Vec::new();
    let mut same = |what: &str, a: String, b: String| {
        if a != b {
            doubts.push(format!("the {what} differs: {a} and {b}"));
        }
    };
    same("data", a.data.clone(), b.data.clone());
    same("metric", a.metric.clone(), b.metric.clone());
    same(
        "number of rows",
        format!("{} x {}", a.rows, a.dimension),
        format!("{} x {}", b.rows, b.dimension),
    );
    same(
        "number of queries",
        a.queries.to_string(),
        b.queries.to_string(),
    );
    same(
        "machine",
        a.machine.processor.clone(),
        b.machine.processor.clone(),
    );
    for (which, run) in [("first", a), ("second", b)] {
        if let Some(busy) = run.other_cpu.filter(|busy| *busy > 0.2) {
            doubts.push(format!(
                "others kept {busy:.1} CPUs busy during the {which}: its times are no good"
            ));
        }
    }
    doubts
}

fn compare_known(subject: &Subject, old: &Known, new: &Known, comparison: &mut Comparison) {
    let mut add = |setting, what, pair: (Option<Spread>, Option<Spread>), kind: Kind, more| {
        if let (Some(before), Some(after)) = pair {
            comparison.values.push(Change {
                subject: subject.clone(),
                setting,
                what,
                before,
                after,
                more_is_better: more,
                beyond_noise: kind.differ(before, after),
            });
        }
    };
    let (clock, count) = (Kind::Clock, Kind::Count);
    add(None, "build, s", (old.build, new.build), clock, false);
    add(
        None,
        "distances a row built",
        (old.build_distances, new.build_distances),
        count,
        false,
    );
    add(
        None,
        "device memory, bytes",
        (old.device, new.device),
        clock,
        false,
    );
    for (setting, old) in &old.reached {
        let Some(new) = new.reached.get(setting) else {
            continue;
        };
        let setting = Some(*setting);
        let of = |field: fn(&Reached) -> Option<Spread>| (field(old), field(new));
        add(
            setting,
            "recall",
            of(|r| Some(r.recall)),
            Kind::Recall,
            true,
        );
        add(setting, "queries/s", of(|r| Some(r.qps)), clock, true);
        add(setting, "p50, us", of(|r| r.p50_us), clock, false);
        add(setting, "p99, us", of(|r| r.p99_us), clock, false);
        add(
            setting,
            "distances a query",
            of(|r| r.distances),
            count,
            false,
        );
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Clock,
    Recall,
    Count,
}

impl Kind {
    fn differ(self, a: Spread, b: Spread) -> bool {
        let apart = (a.median - b.median).abs();
        let overlap = a.low <= b.high && b.low <= a.high;
        let ranges = (a.high - a.low) + (b.high - b.low);
        match self {
            Self::Clock => apart > ranges && apart > LEAST * a.median.abs(),
            Self::Recall => !overlap && apart > LEAST_RECALL,
            Self::Count => !overlap && apart > LEAST_COUNT * a.median.abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::{build, point};

    #[test]
    fn only_what_leaves_the_noise_is_a_change() {
        let before = [
            build("a", 0, 2.0),
            build("a", 1, 2.2),
            point("a", 0, 20, 0.90, 100.0),
            point("a", 1, 20, 0.90, 104.0),
            point("a", 0, 40, 0.95, 50.0),
            point("a", 1, 40, 0.95, 60.0),
        ];
        // The build's range overlaps; the speed at 20 is lower by more than its ranges, and recall fell a little; the speed at 40 has
        // no range in common with that of before, but varies as much as it fell.
        let after = [
            build("a", 0, 2.1),
            build("a", 1, 2.5),
            point("a", 0, 20, 0.89, 80.0),
            point("a", 1, 20, 0.89, 84.0),
            point("a", 0, 40, 0.95, 40.0),
            point("a", 1, 40, 0.95, 49.0),
        ];
        let comparison = compare(&before, &after);
        let changed: Vec<_> = comparison.changes().map(|change| change.what).collect();
        assert_eq!(changed, ["recall", "queries/s", "p50, us", "p99, us"]);
        assert!(comparison.changes().all(|change| !change.is_better()));
        assert_eq!(compare(&before, &before).changes().count(), 0);
    }

    #[test]
    fn a_tiny_difference_is_none_though_ranges_do_not_overlap() {
        let comparison = compare(&[build("a", 0, 100.0)], &[build("a", 0, 101.0)]);
        assert_eq!(comparison.changes().count(), 0);
        let comparison = compare(&[build("a", 0, 100.0)], &[build("b", 0, 150.0)]);
        assert_eq!(
            (comparison.values.len(), comparison.unmatched.len()),
            (0, 2)
        );
    }
}
