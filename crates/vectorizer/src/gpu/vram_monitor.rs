//! Who holds how much of a device's memory.

use std::fmt;

use serde::Serialize;

use crate::error::{Result, VectorizerError};
use crate::gpu::budget::Budget;
use crate::gpu::device::Device;
use crate::gpu::memory::{Account, Label};

/// The figures of one device, in bytes, over everyone in this process who uses it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VramStats {
    /// Taken now.
    pub total_allocated: u64,
    /// Of these, the bytes that hold data.
    pub total_used: u64,
    /// The most ever taken at once.
    pub peak_allocated: u64,
    /// Allocations alive now.
    pub allocations: u64,
    /// The most that may be taken.
    pub limit: Option<u64>,
    /// Used over taken, without what the pool keeps for reuse; 1 where nothing is taken.
    pub efficiency: f64,
    /// What is taken for what.
    pub by_label: Vec<(Label, Account)>,
    /// The device's own figures, where it says.
    pub device: Option<Budget>,
}

/// Watches a device's memory. It reads the device's books, so that it sees what was allocated before it was made.
#[derive(Debug, Clone)]
pub struct VramMonitor {
    device: Device,
}

impl VramMonitor {
    /// A monitor of `device`.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device }
    }

    /// The figures now. Cost: a lock and a few additions, and a question to the driver.
    #[must_use]
    pub fn get_vram_stats(&self) -> VramStats {
        let ledger = self.device.ledger();
        let (total, by_label) = ledger.statement();
        let lasting = by_label
            .iter()
            .filter(|(label, _)| *label != Label::Pool)
            .fold((0, 0), |(taken, used), (_, account)| {
                (taken + account.taken, used + account.used)
            });
        VramStats {
            total_allocated: total.taken,
            total_used: total.used,
            peak_allocated: total.peak,
            allocations: total.count,
            limit: ledger.limit(),
            efficiency: share(lasting.1, lasting.0).unwrap_or(1.0),
            by_label: by_label.to_vec(),
            device: self.device.budget(),
        }
    }

    /// Says whether every byte that belongs on the device is there, and whether the books add up.
    ///
    /// # Errors
    /// [`VectorizerError::DeviceLost`] if the device is gone and its memory with it;
    /// [`VectorizerError::DeviceFailed`] naming the label whose figures are wrong.
    pub fn validate_all_vram(&self) -> Result<()> {
        #[cfg(feature = "gpu")]
        if let Some(hardware) = self.device.hardware() {
            hardware.alive()?;
        }
        let (total, by_label) = self.device.ledger().statement();
        let failed = |reason: String| {
            Err(VectorizerError::DeviceFailed {
                device: self.device.name().to_owned(),
                reason,
            })
        };
        for (label, account) in &by_label {
            if account.used > account.taken || account.peak < account.taken {
                return failed(format!("the books of {label} do not add up: {account:?}"));
            }
        }
        let sum: u64 = by_label.iter().map(|(_, account)| account.taken).sum();
        if sum != total.taken {
            return failed(format!(
                "the labels hold {sum} bytes, the total says {}",
                total.taken
            ));
        }
        Ok(())
    }

    /// The figures as text for a terminal.
    #[must_use]
    pub fn generate_vram_report(&self) -> VramReport {
        VramReport {
            device: self.device.to_string(),
            stats: self.get_vram_stats(),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The figures of a device, to be displayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VramReport {
    /// The device's name and backend.
    pub device: String,
    /// Its figures.
    pub stats: VramStats,
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
        match stats.limit {
            Some(limit) => writeln!(f, "  limit {}", Bytes(limit))?,
            None => writeln!(f, "  no limit set")?,
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

    #[test]
    fn a_later_monitor_sees_earlier_allocations() {
        let device = Context::cpu().device();
        let lease = device.ledger().take(Label::Rows, 4_096).unwrap();
        lease.set_used(4_000);
        let monitor = VramMonitor::new(device);
        let stats = monitor.get_vram_stats();
        assert!(
            stats.total_allocated >= 4_096 && stats.total_used >= 4_000,
            "{stats:?}"
        );
        monitor.validate_all_vram().unwrap();
        let report = monitor.generate_vram_report().to_string();
        assert!(
            report.contains("rows") && report.contains("CPU"),
            "{report}"
        );
    }

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
}
