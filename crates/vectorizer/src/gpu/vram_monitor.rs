//! Who holds how much of a device's memory.

use serde::Serialize;

use crate::error::{Result, VectorizerError};
use crate::gpu::budget::{Allocator, Budget};
use crate::gpu::device::{Device, DeviceKind};
use crate::gpu::memory::{Account, Label};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PoolStats};

mod report;

pub use report::VramReport;

/// The figures of one device, in bytes, over everyone in this process who uses it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// Taken through the handle the monitor was made with: the whole device's figures, or those of a context with a limit.
    pub handle: Standing,
    /// The pool of that handle.
    pub pool: PoolStats,
    /// Whether anything that belongs on this device lies in RAM: collections that spilled, or memory that the driver put elsewhere.
    pub ram_fallback_detected: bool,
    /// Bytes that belong on this device and lie in RAM, by what they are for.
    pub in_ram: Vec<(Label, u64)>,
    /// The device's own figures, where it says.
    pub device: Option<Budget>,
    /// What the allocator of the driver's interface holds, for us and for itself, where it says.
    pub allocator: Option<Allocator>,
}

/// How some books stand against their limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// The most that may be taken.
    pub limit: Option<u64>,
    /// Taken now.
    pub taken: u64,
    /// The most ever taken at once.
    pub peak: u64,
}

/// What a device held while an operation ran, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperationStats {
    /// When it began.
    pub before: u64,
    /// The most at once, to the byte: every allocation is seen, not samples.
    pub peak: u64,
    /// When it was over.
    pub after: u64,
}

/// Watches a device's memory. It reads the device's books, so that it sees what was allocated before it was made, and costs those who
/// allocate nothing.
///
/// ```
/// use vectorizer::collection::Collection;
/// use vectorizer::gpu::vram_monitor::VramMonitor;
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let collection = Collection::new(4, DistanceMetric::Cosine)?;
/// collection.add_rows(&["a", "b"], &[1.0; 8])?;
/// let monitor = VramMonitor::new(collection.context().device());
/// assert!(monitor.get_vram_stats().total_allocated >= 32);
/// monitor.validate_all_vram()?;
/// println!("{}", monitor.generate_vram_report());
/// # Ok(())
/// # }
/// ```
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

    /// The figures now. Cost: some locks and additions, and a question to the driver.
    #[must_use]
    pub fn get_vram_stats(&self) -> VramStats {
        let ledger = self.device.whole_ledger();
        let (total, by_label) = ledger.statement();
        let device = self.device.budget();
        let in_ram = self.in_ram(device, &by_label);
        let own = self.device.ledger();
        let own_total = own.total();
        VramStats {
            total_allocated: total.taken,
            total_used: total.used,
            peak_allocated: total.peak,
            allocations: total.count,
            limit: ledger.limit(),
            efficiency: ledger.efficiency(),
            by_label,
            handle: Standing {
                limit: own.limit(),
                taken: own_total.taken,
                peak: own_total.peak,
            },
            pool: MetalBufferPool::new(self.device.clone()).get_memory_stats(),
            ram_fallback_detected: !in_ram.is_empty(),
            in_ram,
            device,
            allocator: self.device.allocator(),
        }
    }

    /// What belongs on this device and lies in RAM: collections that spilled say so themselves; memory that a driver put into the host's
    /// heaps is what our rows and links take beyond all that the device says is in use.
    fn in_ram(&self, device: Option<Budget>, by_label: &[(Label, Account)]) -> Vec<(Label, u64)> {
        let mut in_ram = self.device.in_ram();
        let separate = self.device.info().kind == DeviceKind::Discrete;
        if let Some(used) = device
            .filter(|device| separate && !device.unified)
            .and_then(|d| d.used)
        {
            let taken = |label: &Label| matches!(label, Label::Rows | Label::Graph);
            let lasting = by_label.iter().filter(|(label, _)| taken(label));
            let mut beyond = lasting
                .clone()
                .map(|(_, account)| account.taken)
                .sum::<u64>()
                .saturating_sub(used);
            for (label, account) in lasting {
                let here = beyond.min(account.taken);
                if here > 0 {
                    in_ram.push((*label, here));
                }
                beyond -= here;
            }
        }
        in_ram
    }

    /// Says whether every byte that belongs on the device is there, and whether the books add up.
    ///
    /// # Errors
    /// [`VectorizerError::NotInVram`] names what is in RAM, and how much of it; [`VectorizerError::DeviceLost`] if the device is gone
    /// and its memory with it; [`VectorizerError::DeviceFailed`] naming the label whose figures are wrong.
    pub fn validate_all_vram(&self) -> Result<()> {
        #[cfg(feature = "gpu")]
        if let Some(hardware) = self.device.hardware() {
            hardware.alive()?;
        }
        let (total, by_label) = self.device.whole_ledger().statement();
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
        match self.in_ram(self.device.budget(), &by_label).first() {
            Some((label, bytes)) => Err(VectorizerError::NotInVram {
                label: label.name(),
                bytes: *bytes,
            }),
            None => Ok(()),
        }
    }

    /// Runs `operation` and says what the device held before, at the most, and after. What others do meanwhile is seen too.
    pub fn monitor_operation<T>(&self, operation: impl FnOnce() -> T) -> (T, OperationStats) {
        let ledger = self.device.whole_ledger();
        let watch = ledger.watch();
        let before = ledger.total().taken;
        let answer = operation();
        let after = ledger.total().taken;
        let peak = watch.peak();
        (
            answer,
            OperationStats {
                before,
                peak,
                after,
            },
        )
    }

    /// The figures as text for a terminal, as JSON, or for Prometheus.
    #[must_use]
    pub fn generate_vram_report(&self) -> VramReport {
        VramReport {
            device: self.device.to_string(),
            stats: self.get_vram_stats(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::context::Context;

    /// The CPU with books of the test's own above which nobody looks.
    fn books() -> Device {
        Context::cpu().device().with_limit(Some(1 << 30))
    }

    #[test]
    fn a_later_monitor_sees_earlier_allocations_through_any_handle() {
        let device = books();
        let lease = device.ledger().take(Label::Rows, 4_096).unwrap();
        lease.set_used(4_000);
        for handle in [device.clone(), Context::cpu().device()] {
            let stats = VramMonitor::new(handle).get_vram_stats();
            assert!(
                stats.total_allocated >= 4_096 && stats.total_used >= 4_000,
                "{stats:?}"
            );
        }
        let stats = VramMonitor::new(device).get_vram_stats();
        let standing = Standing {
            limit: Some(1 << 30),
            taken: 4_096,
            peak: 4_096,
        };
        assert_eq!(stats.handle, standing);
    }

    #[test]
    fn an_operation_has_a_peak() {
        let device = books();
        let ledger = device.ledger();
        let kept = ledger.take(Label::Rows, 1 << 20).unwrap();
        let monitor = VramMonitor::new(device.clone());
        let (answer, stats) = monitor.monitor_operation(|| {
            drop(ledger.take(Label::Pool, 1 << 29).unwrap());
            7
        });
        drop(kept);
        // Other tests take from the same device meanwhile, and far less.
        assert_eq!(answer, 7);
        assert!(stats.peak >= (1 << 29) + (1 << 20), "{stats:?}");
        assert!(stats.peak > stats.before.max(stats.after), "{stats:?}");
    }

    #[test]
    #[cfg(feature = "gpu")]
    fn what_lies_in_ram_is_named() {
        let device = crate::gpu::testing::fresh_device();
        let monitor = VramMonitor::new(device.clone());
        monitor.validate_all_vram().unwrap();
        let books = crate::gpu::memory::Ledger::new(None);
        let spilled = books.take(Label::Graph, 999).unwrap();
        let absence = device.note_absence(books.clone());
        let error = monitor.validate_all_vram().unwrap_err();
        let named = VectorizerError::NotInVram {
            label: "graph",
            bytes: 999,
        };
        assert_eq!(error, named);
        assert!(monitor.get_vram_stats().ram_fallback_detected);
        drop(absence);
        monitor.validate_all_vram().unwrap();
        assert!(!monitor.get_vram_stats().ram_fallback_detected);
        drop(spilled);
    }
}
