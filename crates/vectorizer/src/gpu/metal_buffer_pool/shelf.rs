//! What a pool keeps for its next borrower, and what it gives up.

use parking_lot::Mutex;

use super::PoolStats;
#[cfg(feature = "gpu")]
use super::Purpose;
#[cfg(feature = "gpu")]
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::memory::Ledger;

/// The most bytes kept for reuse, and the most of a limit (one in).
#[cfg(feature = "gpu")]
const MOST_KEPT: u64 = 256 << 20;
#[cfg(feature = "gpu")]
const LIMIT_SHARE: u64 = 4;
/// The smallest class.
#[cfg(feature = "gpu")]
const SMALLEST: u64 = 64;
/// A kept buffer that so many requests passed over is given up.
#[cfg(feature = "gpu")]
pub(super) const PASSED_OVER: u64 = 4096;

/// The size of the class that holds `bytes`: m * 2^e with m from 16 to 31.
#[cfg(feature = "gpu")]
pub(super) fn class(bytes: u64) -> u64 {
    let bytes = bytes.max(SMALLEST);
    let step = 1u64 << (bytes.ilog2() - 4);
    bytes.next_multiple_of(step)
}

/// What the pool keeps, and its figures.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// The books its buffers stand in.
    #[cfg_attr(
        not(feature = "gpu"),
        expect(dead_code, reason = "the CPU engine keeps its scratch itself")
    )]
    pub(super) ledger: Ledger,
    kept: Mutex<Kept>,
}

/// A buffer that waits for its next borrower.
#[cfg(feature = "gpu")]
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) purpose: Purpose,
    pub(super) buffer: DeviceBuffer,
    /// What its latest borrower did with it.
    pub(super) loan: Loan,
}

/// What a borrower asked for.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Loan {
    /// How many bytes.
    asked: u64,
    /// Which request it was.
    number: u64,
    /// Whether to build or to bring rows to the device, and not to search.
    building: bool,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    #[cfg(feature = "gpu")]
    buffers: Vec<Waiting>,
    stats: PoolStats,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl Kept {
    fn stats(&self) -> PoolStats {
        let PoolStats {
            bytes_in_use,
            bytes_kept,
            bytes_padding,
            hits,
            misses,
            ..
        } = self.stats;
        PoolStats {
            pool_utilization: share(hits, hits + misses),
            fragmentation: share(bytes_padding, bytes_in_use + bytes_kept),
            ..self.stats
        }
    }
}

#[cfg(feature = "gpu")]
impl Kept {
    /// Takes those off the shelf for which `give_up` is true, to be dropped outside the lock: giving memory back may ask the driver.
    fn remove(&mut self, give_up: impl FnMut(&mut Waiting) -> bool) -> Vec<Waiting> {
        let removed: Vec<_> = self.buffers.extract_if(.., give_up).collect();
        for waiting in &removed {
            self.stats.bytes_kept -= waiting.buffer.bytes();
            self.stats.bytes_padding -= waiting.padding();
        }
        removed
    }
}

#[cfg(feature = "gpu")]
impl Waiting {
    fn padding(&self) -> u64 {
        self.buffer.bytes() - self.loan.asked
    }
}

impl Shelf {
    /// An empty one, whose buffers will stand in these books.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            kept: Mutex::default(),
        }
    }

    /// The figures now.
    pub(super) fn stats(&self) -> PoolStats {
        self.kept.lock().stats()
    }
}

#[cfg(feature = "gpu")]
impl Shelf {
    /// Gives up every kept buffer.
    pub(crate) fn clear(&self) -> u64 {
        self.give_up(|_| true)
    }

    /// Gives up what building and adding used last.
    pub(crate) fn settle(&self) -> u64 {
        self.give_up(|waiting| waiting.loan.building)
    }

    fn give_up(&self, which: impl FnMut(&mut Waiting) -> bool) -> u64 {
        let removed = self.kept.lock().remove(which);
        removed.iter().map(|waiting| waiting.buffer.bytes()).sum()
    }

    /// The smallest kept buffer that is large enough and not much larger.
    pub(super) fn take(
        &self,
        purpose: Purpose,
        asked: u64,
        building: bool,
    ) -> Option<(DeviceBuffer, Loan)> {
        let mut kept = self.kept.lock();
        let most = class(asked) + class(asked) / 16;
        let fits = |waiting: &Waiting| {
            waiting.purpose == purpose && (asked..=most).contains(&waiting.buffer.bytes())
        };
        let kept_ones = kept.buffers.iter().enumerate().rev();
        let (found, _) = kept_ones
            .filter(|(_, waiting)| fits(waiting))
            .min_by_key(|(_, waiting)| waiting.buffer.bytes())?;
        let waiting = kept.buffers.remove(found);
        let padding = waiting.padding();
        let stats = &mut kept.stats;
        let bytes = waiting.buffer.bytes();
        stats.bytes_kept -= bytes;
        stats.bytes_in_use += bytes;
        stats.bytes_padding = stats.bytes_padding - padding + (bytes - asked);
        stats.hits += 1;
        let loan = Loan {
            asked,
            number: stats.hits + stats.misses,
            building,
        };
        Some((waiting.buffer, loan))
    }

    pub(super) fn lent(&self, bytes: u64, asked: u64, building: bool) -> Loan {
        let mut kept = self.kept.lock();
        let stats = &mut kept.stats;
        stats.misses += 1;
        stats.bytes_in_use += bytes;
        stats.bytes_padding += bytes - asked;
        stats.bytes_peak = stats.bytes_peak.max(stats.bytes_in_use + stats.bytes_kept);
        Loan {
            asked,
            number: stats.hits + stats.misses,
            building,
        }
    }

    /// Takes a buffer back; what is not kept is returned to be dropped outside the lock.
    pub(super) fn put(&self, waiting: Waiting, keep: bool) -> Vec<Waiting> {
        let most = self
            .ledger
            .limit()
            .map_or(MOST_KEPT, |limit| MOST_KEPT.min(limit / LIMIT_SHARE));
        let mut kept = self.kept.lock();
        let bytes = waiting.buffer.bytes();
        kept.stats.bytes_in_use -= bytes;
        if !keep || bytes > most {
            kept.stats.bytes_padding -= waiting.padding();
            return vec![waiting];
        }
        kept.buffers.push(waiting);
        kept.stats.bytes_kept += bytes;
        let requests = kept.stats.hits + kept.stats.misses;
        let mut over = kept.stats.bytes_kept.saturating_sub(most);
        kept.remove(|oldest| {
            let passed_over = oldest.loan.number + PASSED_OVER < requests;
            let goes = passed_over || over > 0;
            if goes {
                over = over.saturating_sub(oldest.buffer.bytes());
            }
            goes
        })
    }
}
