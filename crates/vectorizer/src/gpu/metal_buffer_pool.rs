//! Transient buffers, kept for reuse: queries, candidates, results, and staging memory on its way up and down.
//!
//! A device has one pool, and every [`MetalBufferPool`] of the device is a handle on it, so that the figures are
//! those of the searches that really ran. Sizes are rounded up to classes, eight to a doubling, so that at most
//! 12.5 % of a buffer over 2 KiB is padding. What comes back is kept, up to a bound; the oldest goes first.

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

/// The most bytes kept for reuse.
#[cfg(feature = "gpu")]
const MOST_KEPT: u64 = 256 << 20;
/// The smallest class.
#[cfg(feature = "gpu")]
const SMALLEST: u64 = 256;

/// The figures of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PoolStats {
    /// Bytes of buffers that are lent out now.
    pub bytes_in_use: u64,
    /// Bytes of buffers that wait for reuse.
    pub bytes_kept: u64,
    /// The most bytes ever lent out and kept at once.
    pub bytes_peak: u64,
    /// Requests served by a kept buffer.
    pub hits: u64,
    /// Requests for which the device had to allocate.
    pub misses: u64,
    /// Hits over requests, 0 to 1; 0 before the first request.
    pub pool_utilization: f64,
}

/// A handle on a device's pool of transient buffers.
#[derive(Debug, Clone)]
pub struct MetalBufferPool {
    device: Device,
}

impl MetalBufferPool {
    /// A handle on the pool of `device`: the same pool for every handle.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device }
    }

    /// The figures now.
    #[must_use]
    pub fn get_memory_stats(&self) -> PoolStats {
        self.device.shelf().0.lock().stats()
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

/// The size of the class that holds `bytes`: m * 2^e with m from 8 to 15.
#[cfg(feature = "gpu")]
fn class(bytes: u64) -> u64 {
    let bytes = bytes.max(SMALLEST);
    let step = 1u64 << (bytes.ilog2() - 3);
    bytes.next_multiple_of(step)
}

/// What the pool keeps, and its figures.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    #[cfg(feature = "gpu")]
    buffers: Vec<(Purpose, DeviceBuffer)>,
    stats: PoolStats,
}

impl Kept {
    fn stats(&self) -> PoolStats {
        let requests = self.stats.hits + self.stats.misses;
        PoolStats {
            pool_utilization: if requests == 0 {
                0.0
            } else {
                self.stats.hits as f64 / requests as f64
            },
            ..self.stats
        }
    }
}

#[cfg(feature = "gpu")]
impl Shelf {
    /// Gives up every kept buffer.
    pub(crate) fn clear(&self) -> u64 {
        let (buffers, bytes) = {
            let mut kept = self.0.lock();
            let bytes = std::mem::take(&mut kept.stats.bytes_kept);
            (std::mem::take(&mut kept.buffers), bytes)
        };
        // Outside the lock: giving memory back may ask the driver.
        drop(buffers);
        bytes
    }

    fn take(&self, purpose: Purpose, class: u64) -> Option<DeviceBuffer> {
        let mut kept = self.0.lock();
        let found = kept
            .buffers
            .iter()
            .rposition(|(of, buffer)| *of == purpose && buffer.bytes() == class)?;
        let (_, buffer) = kept.buffers.remove(found);
        kept.stats.bytes_kept -= class;
        kept.stats.bytes_in_use += class;
        kept.stats.hits += 1;
        Some(buffer)
    }

    fn lent(&self, class: u64) {
        let mut kept = self.0.lock();
        let stats = &mut kept.stats;
        stats.misses += 1;
        stats.bytes_in_use += class;
        stats.bytes_peak = stats.bytes_peak.max(stats.bytes_in_use + stats.bytes_kept);
    }

    /// Takes a buffer back; what is over the bound is returned to be dropped outside the lock.
    fn put(&self, purpose: Purpose, buffer: DeviceBuffer, keep: bool) -> Vec<DeviceBuffer> {
        let mut kept = self.0.lock();
        let bytes = buffer.bytes();
        kept.stats.bytes_in_use -= bytes;
        if !keep || bytes > MOST_KEPT {
            return vec![buffer];
        }
        kept.buffers.push((purpose, buffer));
        kept.stats.bytes_kept += bytes;
        let mut over = Vec::new();
        while kept.stats.bytes_kept > MOST_KEPT {
            let (_, oldest) = kept.buffers.remove(0);
            kept.stats.bytes_kept -= oldest.bytes();
            over.push(oldest);
        }
        over
    }
}

#[cfg(feature = "gpu")]
impl MetalBufferPool {
    /// Lends a buffer of at least `bytes`. Its contents are whatever the last borrower left.
    pub(crate) fn lend(&self, purpose: Purpose, name: &str, bytes: u64) -> Result<PooledBuffer> {
        let class = class(bytes);
        let shelf = self.device.shelf();
        let buffer = match shelf.take(purpose, class) {
            Some(buffer) => buffer,
            None => {
                let fresh = self
                    .device
                    .allocate(Label::Pool, name, class, purpose.usage())?;
                shelf.lent(class);
                fresh
            }
        };
        buffer.set_used(bytes);
        Ok(PooledBuffer {
            shelf: Arc::clone(shelf),
            purpose,
            buffer: Some(buffer),
            reusable: true,
        })
    }
}

/// A lent buffer; goes back to its pool when dropped.
#[cfg(feature = "gpu")]
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    shelf: Arc<Shelf>,
    purpose: Purpose,
    /// `None` only while being dropped.
    buffer: Option<DeviceBuffer>,
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
        self.buffer.as_ref().expect("a lent buffer").raw()
    }
}

#[cfg(feature = "gpu")]
impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            buffer.set_used(0);
            drop(self.shelf.put(self.purpose, buffer, self.reusable));
        }
    }
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;
    use crate::gpu::testing;

    #[test]
    fn classes_waste_at_most_an_eighth() {
        for bytes in (1..70_000).chain([1 << 20, (1 << 20) + 1, (1 << 33) + 12_345]) {
            let class = class(bytes);
            assert!(
                class >= bytes && class.is_multiple_of(4),
                "{bytes} got {class}"
            );
            if bytes > 2_048 {
                assert!((class - bytes) * 8 <= class, "{bytes} got {class}");
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
}
