//! Numbers as a report writes them.

use super::MEBIBYTE;
use crate::summary::{Reached, Spread};
use crate::thousands;

pub(super) fn width(reached: &Reached) -> String {
    reached
        .ef
        .map_or_else(|| "exact".to_owned(), |ef| figure(ef.median))
}

pub(super) fn recall(recall: f64) -> String {
    let text = format!("{recall:.4}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') {
        format!("{text}0")
    } else {
        text.to_owned()
    }
}

pub(super) fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |spread| {
        let (low, high) = (figure(spread.low), figure(spread.high));
        if low == high {
            figure(spread.median)
        } else {
            format!("{} <small>{low}..{high}</small>", figure(spread.median))
        }
    })
}

pub(super) fn seconds(seconds: f64) -> String {
    format!("{} s", figure(seconds))
}

pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", figure(bytes / MEBIBYTE))
}

/// A number with about three leading digits.
pub(super) fn figure(value: f64) -> String {
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
pub(super) fn thousands_of(value: f64) -> String {
    thousands(value as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

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
