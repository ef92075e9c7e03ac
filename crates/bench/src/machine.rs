//! What the machine says of itself and of this process. On systems without these files the answers are `None`.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Where a bench ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Threads that it can run at once, for this process.
    pub cores: usize,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The operating system and the kind of processor.
    pub system: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn here() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal"))?;
            let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kilobytes * 1024)
        });
        Self {
            processor: processor.unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory,
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// Work waiting on the machine, on average over the last minute.
#[must_use]
pub fn load_average() -> Option<f64> {
    read_number("/proc/loadavg", 0)
}

/// Memory of this process, in bytes (pages of 4 KiB).
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// CPU seconds that others have spent since the machine began (100 ticks a second).
#[must_use]
pub fn other_cpu_seconds() -> Option<f64> {
    let all: Option<f64> = [1, 2, 3, 6, 7, 8]
        .into_iter()
        .map(|place| read_number("/proc/stat", place))
        .sum();
    // The program's name, the second field, may hold spaces; what follows its bracket is counted.
    let own = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = own.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    // Its own, and those of programs it started and waited for.
    let own: Option<f64> = [11, 12, 13, 14].into_iter().map(ticks).sum();
    Some(all? / 100.0 - own? / 100.0)
}

/// A number of a file of the kernel's, by its place.
fn read_number(path: &str, place: usize) -> Option<f64> {
    fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .nth(place)?
        .parse()
        .ok()
}

/// The time in UTC, as `2026-11-23T18:31:00Z`.
#[must_use]
pub fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    date(seconds)
}

/// Seconds since 1970 as a date, by Howard Hinnant's way of counting days from the first of March.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hours, minutes) = (rest / 3600, rest / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}Z",
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_458_660, "2026-11-23T18:31:00Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
