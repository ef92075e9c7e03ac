//! A device's figures as people and machines read them.

use std::fmt;

use serde::Serialize;

use super::VramStats;

/// The figures of a device: `Display` for a terminal, [`VramReport::to_json`] and [`VramReport::to_prometheus`] for machines.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VramReport {
    /// The device's name and backend.
    pub device: String,
    /// Its figures.
    pub stats: VramStats,
}

impl VramReport {
    /// One JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Names and numbers alone: there is nothing in it that JSON could not hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The figures in Prometheus's text format, version 0.0.4.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let stats = &self.stats;
        let device = self
            .device
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', " ");
        let mut text = Prometheus {
            text: String::new(),
            device,
        };
        let labels = |figure: fn(&crate::gpu::memory::Account) -> u64| {
            let each = stats.by_label.iter();
            each.map(move |(label, account)| {
                (Some(("label", label.name())), figure(account) as f64)
            })
        };
        let one = |figure: f64| std::iter::once((None, figure));
        text.family(
            "allocated_bytes",
            "gauge",
            "Bytes taken.",
            labels(|account| account.taken),
        );
        text.family(
            "used_bytes",
            "gauge",
            "Bytes that hold data.",
            labels(|account| account.used),
        );
        text.family(
            "peak_bytes",
            "gauge",
            "The most bytes ever taken at once.",
            labels(|account| account.peak),
        );
        text.family(
            "allocations",
            "gauge",
            "Allocations alive.",
            labels(|account| account.count),
        );
        text.family(
            "total_peak_bytes",
            "gauge",
            "The most bytes ever taken at once, over all labels.",
            one(stats.peak_allocated as f64),
        );
        text.family(
            "efficiency",
            "gauge",
            "Bytes that hold data over bytes taken, without the pool.",
            one(stats.efficiency),
        );
        text.family(
            "limit_bytes",
            "gauge",
            "The most bytes that may be taken.",
            stats.limit.map(|limit| (None, limit as f64)).into_iter(),
        );
        let in_ram = stats
            .in_ram
            .iter()
            .map(|(label, bytes)| (Some(("label", label.name())), *bytes as f64));
        text.family(
            "in_ram_bytes",
            "gauge",
            "Bytes that belong on the device and lie in RAM.",
            in_ram,
        );
        text.family(
            "pool_kept_bytes",
            "gauge",
            "Bytes that the pool keeps for reuse.",
            one(stats.pool.bytes_kept as f64),
        );
        text.family(
            "pool_hits_total",
            "counter",
            "Requests served by a kept buffer.",
            one(stats.pool.hits as f64),
        );
        text.family(
            "pool_misses_total",
            "counter",
            "Requests for which the device had to allocate.",
            one(stats.pool.misses as f64),
        );
        text.family(
            "pool_fragmentation",
            "gauge",
            "Padding over the pool's bytes.",
            one(stats.pool.fragmentation),
        );
        if let Some(budget) = stats.device {
            text.family(
                "device_recommended_bytes",
                "gauge",
                "What the device recommends to use at most.",
                one(budget.recommended as f64),
            );
            let used = budget.used.map(|used| (None, used as f64));
            text.family(
                "device_used_bytes",
                "gauge",
                "What the device says is in use.",
                used.into_iter(),
            );
        }
        text.text
    }
}

struct Prometheus {
    text: String,
    device: String,
}

impl Prometheus {
    fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl Iterator<Item = (Option<(&'a str, &'a str)>, f64)>,
    ) {
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
            return;
        }
        let name = format!("vectorizer_vram_{name}");
        self.text
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (label, value) in samples {
            let label =
                label.map_or_else(String::new, |(key, value)| format!(",{key}=\"{value}\""));
            let line = format!("{name}{{device=\"{}\"{label}}} {value}\n", self.device);
            self.text.push_str(&line);
        }
    }
}

/// Bytes as people read them.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let text = match self.0 {
            0..0x400 => format!("{} B", self.0),
            0x400..0x10_0000 => format!("{:.1} KiB", bytes / 1024.0),
            0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes / 1_048_576.0),
            _ => format!("{:.2} GiB", bytes / 1_073_741_824.0),
        };
        f.pad(&text)
    }
}

impl fmt::Display for VramReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.stats;
        writeln!(f, "Memory of {}", self.device)?;
        writeln!(
            f,
            "  taken {}, peak {}, {} allocations, efficiency {:.1} %",
            Bytes(stats.total_allocated),
            Bytes(stats.peak_allocated),
            stats.allocations,
            stats.efficiency * 100.0
        )?;
        for (label, account) in &stats.by_label {
            writeln!(
                f,
                "  {:<8} {:>12} taken {:>12} used {:>12} peak",
                label.name(),
                Bytes(account.taken),
                Bytes(account.used),
                Bytes(account.peak)
            )?;
        }
        let pool = &stats.pool;
        if pool.hits + pool.misses > 0 {
            writeln!(
                f,
                "  of {} transient buffers {:.1} % were reused; {:.1} % of the pool is padding",
                pool.hits + pool.misses,
                pool.pool_utilization * 100.0,
                pool.fragmentation * 100.0
            )?;
        }
        match stats.limit {
            Some(limit) => writeln!(f, "  limit {}", Bytes(limit))?,
            None => writeln!(f, "  no limit set")?,
        }
        if stats.handle.limit != stats.limit
            && let Some(limit) = stats.handle.limit
        {
            writeln!(
                f,
                "  limit here {}, {} taken, peak {}",
                Bytes(limit),
                Bytes(stats.handle.taken),
                Bytes(stats.handle.peak)
            )?;
        }
        for (label, bytes) in &stats.in_ram {
            writeln!(f, "  IN RAM: {} of {label}", Bytes(*bytes))?;
        }
        match stats.device {
            Some(budget) => {
                write!(
                    f,
                    "  the device recommends at most {}",
                    Bytes(budget.recommended)
                )?;
                if let Some(used) = budget.used {
                    write!(f, ", says {} are in use", Bytes(used))?;
                }
                f.write_str(if budget.unified {
                    ", shared with the host"
                } else {
                    ""
                })
            }
            None => f.write_str("  the device gives no figures of its own"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::context::Context;
    use crate::gpu::memory::Label;
    use crate::gpu::vram_monitor::VramMonitor;

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 30, "3.00 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_report_reads_well_in_three_ways() {
        let device = Context::cpu().device().with_limit(Some(64 << 20));
        let lease = device.ledger().take(Label::Rows, 3 << 20).unwrap();
        lease.set_used(3 << 20);
        let report = VramMonitor::new(device).generate_vram_report();
        let text = report.to_string();
        for part in ["CPU", "rows", "limit here 64.0 MiB, 3.0 MiB taken"] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["stats"]["handle"]["taken"], 3 << 20);
        assert!(json["stats"]["efficiency"].as_f64().unwrap() <= 1.0);
        let metrics = report.to_prometheus();
        let mut families = std::collections::BTreeSet::new();
        let mut typed = std::collections::BTreeSet::new();
        for line in metrics.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                typed.insert(kind.split(' ').next().unwrap());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                let (family, labels) = series.split_once('{').unwrap();
                assert!(labels.starts_with("device=\"CPU (cpu)\"") && labels.ends_with('}'));
                families.insert(family);
            }
        }
        assert_eq!(families, typed, "every sample has its type:\n{metrics}");
        assert!(
            metrics
                .contains("vectorizer_vram_allocated_bytes{device=\"CPU (cpu)\",label=\"rows\"}")
        );
    }
}
