//! The work behind the clock: scores computed, rows of links read, bytes of both.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::seal::read_sealed;
use crate::engine::{Counters, Layout};
use crate::error::Result;
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
use crate::gpu::memory::Label;
use crate::gpu::metal_buffer_pool::MetalBufferPool;

/// [`Counters`] that many threads add to, and those that the kernels of builds keep on the device.
#[derive(Debug)]
pub(super) struct Work {
    distances: AtomicU64,
    hops: AtomicU64,
    bytes: AtomicU64,
    /// Scores and rows of links of builds, as last read back.
    built: Mutex<[u64; 2]>,
    /// The same on the device: 64 bits each, in two words.
    counting: DeviceBuffer,
}

impl Work {
    /// Nothing done yet.
    ///
    /// # Errors
    /// No room on the device.
    pub(super) fn new(device: &Device) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        Ok(Self {
            distances: AtomicU64::default(),
            hops: AtomicU64::default(),
            bytes: AtomicU64::default(),
            built: Mutex::default(),
            // Fresh memory is zero.
            counting: device.allocate(Label::Kernels, "work of builds", 16, usage)?,
        })
    }

    /// Where kernels that build count.
    pub(super) fn counting(&self) -> &wgpu::Buffer {
        self.counting.raw()
    }

    /// Counts `scores` scores, each of which reads a row.
    pub(super) fn searched(&self, scores: u64, dimension: usize) {
        self.distances.fetch_add(scores, Ordering::Relaxed);
        self.bytes
            .fetch_add(scores * dimension as u64 * 4, Ordering::Relaxed);
    }

    /// Counts scores, each of a row of so many bytes, and rows of links read on walks.
    pub(super) fn walked(&self, scores: u64, row_bytes: u64, hops: u64, layout: Layout) {
        self.distances.fetch_add(scores, Ordering::Relaxed);
        self.hops.fetch_add(hops, Ordering::Relaxed);
        self.bytes.fetch_add(
            scores * row_bytes + hops * layout.degree(0) as u64 * 4,
            Ordering::Relaxed,
        );
    }

    /// Takes over what builds have cost up to now.
    fn built(&self, scores: u64, hops: u64, layout: Layout) {
        let mut before = self.built.lock();
        self.walked(
            scores.saturating_sub(before[0]),
            layout.dimension as u64 * 4,
            hops.saturating_sub(before[1]),
            layout,
        );
        *before = [scores.max(before[0]), hops.max(before[1])];
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            distances: self.distances.load(Ordering::Relaxed),
            hops: self.hops.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl GpuEngine {
    /// The work done so far; without what was built lately if the device does not answer.
    pub(super) fn read_counters(&self) -> Counters {
        if let Ok([scores, hops]) = self.read_built() {
            self.work.built(scores, hops, self.layout);
        }
        self.work.read()
    }

    /// What the kernels counted while building; what was known before if the device does not answer.
    fn read_built(&self) -> Result<[u64; 2]> {
        let pool = MetalBufferPool::new(self.device.clone());
        let mut built = [0; 2];
        read_sealed(&pool, self.work.counting(), 0, 16, |bytes| {
            let words: [u32; 4] = bytemuck::pod_read_unaligned(bytes);
            built = [0, 2].map(|at| u64::from(words[at]) | u64::from(words[at + 1]) << 32);
        })?;
        Ok(built)
    }
}
