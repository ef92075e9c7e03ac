//! Where a value stands on an axis, and which values are written beside it.

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Each power of ten as wide as the next.
    Log,
    /// Recall: the fewer are missed, the more room, so that 0.99 and 0.999 can be told apart.
    Recall,
}

/// Recalls that have a line, if they are in sight.
const RECALLS: [f64; 16] = [
    0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0,
];
/// The most that is told apart from 1.
const ALL: f64 = 0.9997;

/// An axis laid out for some values.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    scale: Scale,
    low: f64,
    high: f64,
    /// Values with a line, and what is written beside it.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Layout {
    pub(super) fn new(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values
            .filter(|value| value.is_finite() && (scale != Scale::Log || *value > 0.0))
            .collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if values.is_empty() {
            (0.5, 1.0)
        } else {
            (least, most)
        };
        match scale {
            Scale::Linear => Self::linear(most),
            Scale::Log => Self::log(least, most),
            Scale::Recall => Self::recall(least, most),
        }
    }

    fn linear(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|factor| factor * decade)
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(rough);
        let steps = (most / step).ceil().max(1.0);
        let ticks = (0..=12)
            .map(f64::from)
            .filter(|at| *at <= steps)
            .map(|at| (at * step, number(at * step)))
            .collect();
        Self {
            scale: Scale::Linear,
            low: 0.0,
            high: steps * step,
            ticks,
        }
    }

    fn log(least: f64, most: f64) -> Self {
        // At least a factor of two in sight, and a little room.
        let (mut low, mut high) = (least.log10(), most.log10());
        let room = (0.3 - (high - low)).max(0.08) / 2.0;
        (low, high) = (low - room, high + room);
        let factors: &[f64] = if high - low > 3.0 {
            &[1.0]
        } else if high - low > 1.2 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
        };
        let mut ticks = Vec::new();
        let mut decade = low.floor();
        while decade <= high {
            for factor in factors {
                let value = factor * 10f64.powf(decade);
                if (low..=high).contains(&value.log10()) {
                    ticks.push((value, number(value)));
                }
            }
            decade += 1.0;
        }
        Self {
            scale: Scale::Log,
            low,
            high,
            ticks,
        }
    }

    fn recall(least: f64, most: f64) -> Self {
        let (low, high) = (nines(least), nines(most));
        let room = (0.3 - (high - low)).max(0.06 * (high - low));
        let (low, high) = (low - room, (high + room).min(nines(1.0) + 0.15));
        let mut ticks: Vec<(f64, String)> = Vec::new();
        let apart = (high - low) / 14.0;
        for value in RECALLS.into_iter().rev() {
            let place = nines(value);
            let crowded = ticks
                .last()
                .is_some_and(|(last, _)| nines(*last) - place < apart);
            if (low..=high).contains(&place) && !crowded {
                ticks.push((value, number(value)));
            }
        }
        Self {
            scale: Scale::Recall,
            low,
            high,
            ticks,
        }
    }

    /// The share of the axis that lies before a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1e-300).log10(),
            Scale::Recall => nines(value),
        };
        ((value - self.low) / (self.high - self.low)).clamp(-0.02, 1.02)
    }
}

/// How many nines a recall has.
fn nines(recall: f64) -> f64 {
    -(1.0 - recall.clamp(0.0, ALL)).log10()
}

/// A value as it is written beside its line.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let text = if size >= 1e9 {
        format!("{}G", short(value / 1e9))
    } else if size >= 1e6 {
        format!("{}M", short(value / 1e6))
    } else if size >= 1e3 {
        format!("{}k", short(value / 1e3))
    } else {
        short(value)
    };
    if text == "-0" { "0".to_owned() } else { text }
}

fn short(value: f64) -> String {
    let text = if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.995, "0.995"),
            (12.5, "12.5"),
            (9_000.0, "9k"),
            (20_000.0, "20k"),
            (3_440_000.0, "3.44M"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn places_grow_with_values_and_stay_on_the_axis() {
        for (scale, values) in [
            (Scale::Linear, vec![0.0, 3.0, 47.0]),
            (Scale::Log, vec![12.0, 900.0, 52_000.0]),
            (Scale::Recall, vec![0.61, 0.95, 0.99, 1.0]),
        ] {
            let layout = Layout::new(scale, values.iter().copied());
            let places: Vec<f64> = values.iter().map(|value| layout.place(*value)).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "{scale:?} {places:?}");
            assert!(places.iter().all(|place| (0.0..=1.0).contains(place)));
            assert!((3..=14).contains(&layout.ticks.len()), "{layout:?}");
        }
    }
}
