//! Transient buffers, kept for reuse: queries, candidates, results, and staging memory on its way up and down.
//!
//! A device has one pool, and so has every context and collection with a limit of its own; every [`MetalBufferPool`] of one is a handle
//! on it, so that the figures are those of the searches that really ran. Sizes are rounded up to classes, sixteen to a doubling, and
//! a kept buffer serves whoever needs at most a sixteenth less. What comes back is kept, up to a bound, the oldest going first; what
//! nobody asked for during some thousand requests goes too, and after a build what only the build needed.

#[cfg(feature = "gpu")]
use std::sync::Arc;

use serde::Serialize;

#[cfg(feature = "gpu")]
use crate::error::Result;
use crate::gpu::device::Device;
#[cfg(feature = "gpu")]
use crate::gpu::memory::Label;
pub(crate) use shelf::Shelf;
#[cfg(feature = "gpu")]
use shelf::{Waiting, class};

mod shelf;
#[cfg(all(test, feature = "gpu"))]
mod tests;

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
        self.device.shelf().stats()
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
