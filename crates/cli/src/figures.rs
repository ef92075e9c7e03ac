//! Numbers as people read them.

use std::time::Duration;

use vectorizer_bench::thousands;

/// "1 query", "2 queries".
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        thousands(number),
        if number == 1 { one } else { many }
    )
}

/// A rate or another number of which only the leading digits matter.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and far below 2^64"
)]
pub(crate) fn rate(number: f64) -> String {
    if number < 100.0 {
        format!("{number:.1}")
    } else {
        thousands(number.round() as usize)
    }
}

/// A time in the unit that suits it.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 120.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

/// Bytes in the unit that suits them.
#[expect(clippy::cast_precision_loss, reason = "two digits of a size are shown")]
pub(crate) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            let digits = usize::from(unit != "B" && size < 100.0);
            return format!("{size:.digits$} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// Milliseconds, for JSON.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(counted(1, "query", "queries"), "1 query");
        assert_eq!(counted(2_000, "query", "queries"), "2,000 queries");
        assert_eq!(
            (rate(12.34), rate(43_210.7)),
            ("12.3".into(), "43,211".into())
        );
        for (micros, text) in [
            (12, "12 us"),
            (1_500, "1.5 ms"),
            (2_500_000, "2.50 s"),
            (180_000_000, "3.0 min"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
        for (size, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (188 << 20, "188 MiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }
}
