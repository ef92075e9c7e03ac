//! Transient buffers, kept for reuse: queries, candidates, results, and staging memory on its way up and down.
//!
//! A device has one pool, and so has every context and collection with a limit of its own; every [`MetalBufferPool`] of one is a handle
//! on it, so that the figures are those of the searches that really ran. Sizes are rounded up to classes, sixteen to a doubling, and
//! a kept buffer serves whoever needs at most a sixteenth less. What comes back is kept, up to a bound, the oldest going first; what
//! nobody asked for during some thousand requests goes too, and after a build what only the build needed.

#[cfg(feature = "gpu")]
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

#[cfg(feature = "gpu")]
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
#[cfg(feature = "gpu")]
use crate::gpu::memory::Label;
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
const PASSED_OVER: u64 = 4096;

/// The figures of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Bytes of buffers that are lent out now.
    pub bytes_in_use: u64,
    /// Bytes of buffers that wait for reuse.
    pub bytes_kept: u64,
    /// The most bytes ever lent out and kept at once.
    pub bytes_peak: u64,
    /// Of the bytes in use and kept, those that their borrowers, of kept ones the latest, had not asked for.
    pub bytes_padding: u64,
    /// Requests served by a kept buffer.
    pub hits: u64,
    /// Requests for which the device had to allocate.
    pub misses: u64,
    /// Hits over requests, 0 to 1; 0 before the first request.
    pub pool_utilization: f64,
    /// Padding over the bytes in use and kept, 0 to 1; 0 where there are none. Each buffer is an allocation of its own on the device,
    /// so that nothing is lost between them.
    pub fragmentation: f64,
}

/// A handle on a device's pool of transient buffers.
///
/// ```
/// use vectorizer::gpu::context::Context;
/// use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let pool = MetalBufferPool::new(Context::new()?.device());
/// println!("{:.0} % of requests were served by a kept buffer", pool.get_memory_stats().pool_utilization * 100.0);
/// println!("{} bytes given back", pool.compact());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MetalBufferPool {
    device: Device,
    #[cfg(feature = "gpu")]
    building: bool,
}

impl MetalBufferPool {
    /// A handle on the pool of `device`: the same pool for every handle.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self {
            device,
            #[cfg(feature = "gpu")]
            building: false,
        }
    }

    /// The figures now.
    #[must_use]
    pub fn get_memory_stats(&self) -> PoolStats {
        self.device.shelf().kept.lock().stats()
    }

    /// Gives everything that is kept back to the device; returns how many bytes that were.
    pub fn compact(&self) -> u64 {
        #[cfg(feature = "gpu")]
        return self.device.shelf().clear();
        #[cfg(not(feature = "gpu"))]
        return 0;
    }
}

/// What a transient buffer is for; decides the memory it lies in.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Read and written by kernels, copied from and to, and the source of indirect dispatches.
    Storage,
    /// Parameters of a kernel.
    Uniform,
    /// Written by the host, copied to the device.
    Upload,
    /// Copied from the device, read by the host.
    Readback,
}

#[cfg(feature = "gpu")]
impl Purpose {
    const fn usage(self) -> wgpu::BufferUsages {
        use wgpu::BufferUsages as Usage;
        match self {
            Self::Storage => Usage::STORAGE
                .union(Usage::COPY_SRC)
                .union(Usage::COPY_DST)
                .union(Usage::INDIRECT),
            Self::Uniform => Usage::UNIFORM.union(Usage::COPY_DST),
            Self::Upload => Usage::MAP_WRITE.union(Usage::COPY_SRC),
            Self::Readback => Usage::MAP_READ.union(Usage::COPY_DST),
        }
    }
}

/// The size of the class that holds `bytes`: m * 2^e with m from 16 to 31.
#[cfg(feature = "gpu")]
fn class(bytes: u64) -> u64 {
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
    ledger: Ledger,
    kept: Mutex<Kept>,
}

/// A buffer that waits for its next borrower.
#[cfg(feature = "gpu")]
#[derive(Debug)]
struct Waiting {
    purpose: Purpose,
    buffer: DeviceBuffer,
    /// What its latest borrower did with it.
    loan: Loan,
}

/// What a borrower asked for.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Copy)]
struct Loan {
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
    fn take(&self, purpose: Purpose, asked: u64, building: bool) -> Option<(DeviceBuffer, Loan)> {
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

    fn lent(&self, bytes: u64, asked: u64, building: bool) -> Loan {
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
    fn put(&self, waiting: Waiting, keep: bool) -> Vec<Waiting> {
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

#[cfg(feature = "gpu")]
impl MetalBufferPool {
    /// A handle for building and for bringing rows to the device: what it uses is given up when that is over.
    pub(crate) fn for_building(device: Device) -> Self {
        Self {
            device,
            building: true,
        }
    }

    /// The device whose pool this is.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Lends a buffer of at least `bytes`. Its contents are whatever the last borrower left.
    pub(crate) fn lend(&self, purpose: Purpose, name: &str, bytes: u64) -> Result<PooledBuffer> {
        let asked = bytes.max(4).next_multiple_of(4);
        let shelf = self.device.shelf();
        let (buffer, loan) = match shelf.take(purpose, asked, self.building) {
            Some(found) => found,
            None => {
                let fresh = self.device.allocate_from(
                    &shelf.ledger,
                    Label::Pool,
                    name,
                    class(asked),
                    purpose.usage(),
                )?;
                let loan = shelf.lent(fresh.bytes(), asked, self.building);
                (fresh, loan)
            }
        };
        buffer.set_used(asked);
        Ok(PooledBuffer {
            shelf: Arc::clone(shelf),
            lent: Some(Waiting {
                purpose,
                buffer,
                loan,
            }),
            reusable: true,
        })
    }
}

/// A lent buffer; goes back to its pool when dropped.
#[cfg(feature = "gpu")]
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    shelf: Arc<Shelf>,
    /// `None` only while being dropped.
    lent: Option<Waiting>,
    reusable: bool,
}

#[cfg(feature = "gpu")]
impl PooledBuffer {
    /// Says that this buffer must not be lent again: the device may still be using it, or it is mapped.
    pub(crate) fn spoil(&mut self) {
        self.reusable = false;
    }
}

#[cfg(feature = "gpu")]
impl std::ops::Deref for PooledBuffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        #[expect(clippy::expect_used, reason = "the buffer is only taken by drop")]
        self.lent.as_ref().expect("a lent buffer").buffer.raw()
    }
}

#[cfg(feature = "gpu")]
impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.buffer.set_used(0);
            drop(self.shelf.put(lent, self.reusable));
        }
    }
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;
    use crate::gpu::testing;

    #[test]
    fn classes_waste_at_most_a_sixteenth() {
        for bytes in (1..70_000).chain([1 << 20, (1 << 20) + 1, (1 << 33) + 12_345]) {
            let class = class(bytes);
            assert!(
                class >= bytes && class.is_multiple_of(4),
                "{bytes} got {class}"
            );
            if bytes >= 64 {
                assert!((class - bytes) * 16 <= class, "{bytes} got {class}");
            }
        }
    }

    #[test]
    fn what_comes_back_is_lent_again_and_compact_gives_it_up() {
        let bytes = class(7_654_321);
        let pool = MetalBufferPool::new(testing::fresh_device());
        let first = pool.lend(Purpose::Storage, "first", 7_654_321).unwrap();
        let raw = (*first).clone();
        drop(first);
        let before = pool.get_memory_stats();
        assert!(before.bytes_kept >= bytes);
        let second = pool.lend(Purpose::Storage, "second", bytes).unwrap();
        assert_eq!(*second, raw, "the same buffer is lent again");
        let other = pool.lend(Purpose::Readback, "other", bytes).unwrap();
        assert_ne!(*other, raw, "another purpose is another buffer");
        let after = pool.get_memory_stats();
        assert!(after.hits > before.hits && after.misses > before.misses);
        assert!(after.pool_utilization > 0.0 && after.pool_utilization < 1.0);
        drop(second);
        assert!(pool.compact() >= bytes);
    }

    #[test]
    fn a_spoiled_buffer_is_not_lent_again() {
        let pool = MetalBufferPool::new(testing::fresh_device());
        let mut first = pool.lend(Purpose::Storage, "first", 5_432_109).unwrap();
        first.spoil();
        let raw = (*first).clone();
        drop(first);
        let second = pool.lend(Purpose::Storage, "second", 5_432_109).unwrap();
        assert_ne!(*second, raw);
    }

    #[test]
    fn figures_add_up_and_little_is_padding() {
        let device = testing::fresh_device();
        let pool = MetalBufferPool::new(device.clone());
        let mut dice = fastrand::Rng::with_seed(5);
        let sizes: Vec<u64> = (0..30).map(|_| dice.u64(1_000..900_000)).collect();
        let mut lent = Vec::new();
        for round in 0..600 {
            lent.push(
                pool.lend(Purpose::Storage, "some", sizes[round % 30])
                    .unwrap(),
            );
            if lent.len() > 4 {
                lent.swap_remove(dice.usize(0..4));
            }
            let stats = pool.get_memory_stats();
            let account = device.ledger().account(Label::Pool);
            assert_eq!(stats.bytes_in_use + stats.bytes_kept, account.taken);
            assert_eq!(stats.hits + stats.misses, round as u64 + 1);
        }
        let stats = pool.get_memory_stats();
        assert!(stats.pool_utilization > 0.8, "{stats:?}");
        assert!(stats.fragmentation < 0.0625, "{stats:?}");
        lent.clear();
        assert_eq!(
            pool.compact(),
            pool.get_memory_stats()
                .bytes_peak
                .min(stats.bytes_in_use + stats.bytes_kept)
        );
        let empty = pool.get_memory_stats();
        assert_eq!(
            (empty.bytes_in_use, empty.bytes_kept, empty.bytes_padding),
            (0, 0, 0)
        );
        assert_eq!(device.ledger().total().taken, 0);
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_given_up() {
        let pool = MetalBufferPool::new(testing::fresh_device());
        let building = MetalBufferPool::for_building(pool.device().clone());
        drop(pool.lend(Purpose::Storage, "once", 1 << 20).unwrap());
        drop(building.lend(Purpose::Storage, "built", 1 << 16).unwrap());
        for _ in 0..=PASSED_OVER {
            drop(pool.lend(Purpose::Storage, "often", 1_024).unwrap());
        }
        let kept = pool.get_memory_stats().bytes_kept;
        assert_eq!(kept, 1_024, "only what is used is kept");
        drop(building.lend(Purpose::Storage, "built", 1 << 16).unwrap());
        assert_eq!(pool.device().shelf().settle(), 1 << 16);
        assert_eq!(pool.get_memory_stats().bytes_kept, 1_024);
    }

    #[test]
    fn a_pool_with_a_limit_keeps_a_part_of_it_and_no_more() {
        let device = testing::fresh_device();
        let limited = MetalBufferPool::new(device.with_limit(Some(1 << 20)));
        let lent: Vec<_> = (0..8)
            .map(|_| limited.lend(Purpose::Storage, "part", 100_000).unwrap())
            .collect();
        let error = limited.lend(Purpose::Storage, "more", 300_000).unwrap_err();
        assert!(matches!(
            error,
            crate::error::VectorizerError::VramLimitExceeded { .. }
        ));
        drop(lent);
        let kept = limited.get_memory_stats().bytes_kept;
        assert!(kept > 0 && kept <= 1 << 18, "{kept}");
        assert_eq!(device.ledger().account(Label::Pool).taken, kept);
        let own = MetalBufferPool::new(device.clone()).get_memory_stats();
        assert_eq!(own.hits + own.misses, 0, "the device's own pool is another");
    }

    #[test]
    fn what_one_thread_gives_back_another_gets() {
        let pool = MetalBufferPool::new(testing::fresh_device());
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = 4_000 * (1 + (thread + round) % 3);
                        drop(pool.lend(Purpose::Storage, "shared", bytes).unwrap());
                    }
                });
            }
        });
        let stats = pool.get_memory_stats();
        assert_eq!(stats.hits + stats.misses, 1_600);
        // At worst all threads hold one of each size at once.
        assert!(stats.misses <= 24, "{stats:?}");
        assert_eq!(stats.bytes_in_use, 0);
    }
}
