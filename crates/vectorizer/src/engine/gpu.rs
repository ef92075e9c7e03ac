//! The GPU engine: rows and links in device memory, worked on by the [kernels](crate::kernels).
//!
//! `rows` keeps the vectors in chunks, `transfer` brings them there, `exact` plans exact search; `record` puts kernels into a
//! submission and reads results back. Every wait has a bound, and every answer carries the number of its search: an old answer in
//! its place is an error, never a result.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::engine::{Counters, Hits, Layout, Staged};
use crate::error::Result;
use crate::gpu::device::Device;
use rows::{Rows, StagedRows};

mod exact;
mod record;
mod rows;
#[cfg(test)]
mod tests;
mod transfer;

/// Rows and links on a GPU.
#[derive(Debug)]
pub struct GpuEngine {
    device: Device,
    layout: Layout,
    rows: Rows,
    work: Work,
    epoch: AtomicU32,
}

/// [`Counters`] that many threads add to.
#[derive(Debug, Default)]
struct Work {
    distances: AtomicU64,
    hops: AtomicU64,
    bytes: AtomicU64,
}

impl Work {
    /// Counts `scores` scores, each of which reads a row.
    fn searched(&self, scores: usize, dimension: usize) {
        let scores = scores as u64;
        self.distances.fetch_add(scores, Ordering::Relaxed);
        self.bytes
            .fetch_add(scores * dimension as u64 * 4, Ordering::Relaxed);
    }

    fn read(&self) -> Counters {
        Counters {
            distances: self.distances.load(Ordering::Relaxed),
            hops: self.hops.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl GpuEngine {
    /// An engine without rows on `device`.
    ///
    /// # Errors
    /// The device is the CPU, or cannot hold a single row of this dimension.
    pub fn new(device: &Device, layout: Layout) -> Result<Self> {
        record::hardware(device)?.alive()?;
        Ok(Self {
            device: device.clone(),
            layout,
            rows: Rows::new(device, layout.dimension)?,
            work: Work::default(),
            epoch: AtomicU32::new(1),
        })
    }

    /// A number that signs the answers of one search; never 0, which fresh memory holds.
    fn next_epoch(&self) -> u32 {
        match self.epoch.fetch_add(1, Ordering::Relaxed) {
            0 => self.next_epoch(),
            epoch => epoch,
        }
    }

    /// Whether teams of eight threads exchange values between lanes: all of a team must be in one subgroup.
    fn teams_exchange(&self) -> bool {
        self.device
            .tier()
            .subgroups
            .is_some_and(|(least, _)| least >= 8)
    }

    /// What this engine was made for.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Rows that are visible.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is visible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts rows on the device, where nobody sees them yet.
    ///
    /// # Errors
    /// No room, or the device failed.
    pub fn stage_rows(&self, rows: &[f32]) -> Result<Staged> {
        Ok(Staged(Box::new(self.rows.stage(rows)?)))
    }

    /// Makes staged rows visible.
    pub fn commit_rows(&mut self, staged: Staged) {
        match staged.0.downcast::<StagedRows>() {
            Ok(rows) => self.rows.commit(*rows),
            Err(_) => debug_assert!(false, "these are no rows staged by a GPU engine"),
        }
    }

    /// Copies rows `slots` to `out`, one after the other.
    ///
    /// # Errors
    /// The device failed.
    pub fn read_rows(&self, slots: Range<u32>, out: &mut [f32]) -> Result<()> {
        self.rows.read(slots, out)
    }

    /// The `min(k, slots.len())` nearest of `slots` for each query, exactly.
    ///
    /// # Errors
    /// No room for the transient buffers, the device failed, or its answer is not this search's.
    pub fn exact(&self, queries: &[f32], k: usize, slots: Range<u32>) -> Result<Hits> {
        self.exact_search(queries, k, slots)
    }

    /// The work done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.work.read()
    }
}

/// Rows and exact search; the graph's kernels are the next commit's.
impl crate::engine::Engine for GpuEngine {
    fn layout(&self) -> Layout {
        Self::layout(self)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }

    fn stage_rows(&self, rows: &[f32]) -> Result<Staged> {
        Self::stage_rows(self, rows)
    }

    fn commit_rows(&mut self, staged: Staged) {
        Self::commit_rows(self, staged);
    }

    fn read_rows(&self, slots: Range<u32>, out: &mut [f32]) -> Result<()> {
        Self::read_rows(self, slots, out)
    }

    fn exact(&self, queries: &[f32], k: usize, slots: Range<u32>) -> Result<Hits> {
        Self::exact(self, queries, k, slots)
    }

    fn walk(&self, _: &[f32], _: &crate::engine::Walk) -> Result<Hits> {
        Err(crate::error::VectorizerError::SearchFailed)
    }

    fn max_ef(&self) -> usize {
        1024
    }

    fn stage_links(&self, _: &crate::engine::LinkBatch<'_>) -> Result<Staged> {
        Err(crate::error::VectorizerError::SearchFailed)
    }

    fn commit_links(&mut self, _: Staged) -> Result<()> {
        Err(crate::error::VectorizerError::SearchFailed)
    }

    fn links(&self, _: usize) -> Result<crate::engine::LevelLinks> {
        Err(crate::error::VectorizerError::SearchFailed)
    }

    fn attach(&mut self, _: &[crate::engine::Attachment]) -> Result<()> {
        Err(crate::error::VectorizerError::SearchFailed)
    }

    fn clear_links(&mut self) -> Result<()> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }
}
