//! The trait between the algorithm and the machines that run it.
//!
//! An engine keeps rows (vectors) and the links between them on one device and knows both by slot, never by id.
//! There are two: `cpu` is the fallback people run and the oracle the other is checked against; `gpu` runs the
//! kernels; `paired` is one of each, where the rows themselves stay in RAM. The algorithm in [`crate::hnsw`] speaks to this trait alone.
//! Trait and engines are this crate's own: which one
//! runs is a [`Context`](crate::gpu::context::Context)'s to choose. What goes in and comes out by slot is for everybody.
//!
//! **Reading and writing.** Everything that computes takes `&self`, so that searches go on beside it. A change is
//! made in two steps: `stage_*` does the work and reserves the memory and may fail; `commit_*` makes it visible,
//! is short, and takes `&mut self`: a reader sees all of a change or nothing of it.
//!
//! **Scores.** Smaller is nearer: the squared length of the difference for Euclidean, minus the dot product for
//! the dot product, and minus the dot product of unit rows for Cosine (whoever appends makes the rows unit).
//! The total order everywhere is (score, slot).

use std::any::Any;
use std::fmt;
use std::ops::Range;

use crate::config::{FullRows, Precision};
use crate::error::Result;
use crate::gpu::device::Device;
use crate::gpu::tuning::Tuning;
use crate::models::DistanceMetric;

pub(crate) mod code;
pub(crate) mod cpu;
mod detour;
mod estimate;
#[cfg(feature = "gpu")]
mod gpu;
mod hits;
mod links;
#[cfg(feature = "gpu")]
mod paired;
pub(crate) mod prefetch;
mod slot_set;

pub use estimate::MemoryEstimate;
pub(crate) use estimate::estimate_memory;
pub use hits::{Hits, Neighbor};
pub use links::LevelLinks;
pub(crate) use links::{Attachment, Changes, LinkBatch, Selection};
use links::{check_shape, upper_rows};
pub use slot_set::SlotSet;

/// The slot that is none: fills the unused places of a row of links.
pub const NO_SLOT: u32 = u32::MAX;
/// The most slots, and so the most vectors of a collection; the top bit stays free for queue flags.
pub const MAX_SLOTS: usize = (1 << 31) - 1;

/// A slot as an index is always below [`MAX_SLOTS`], so that this never cuts.
#[expect(
    clippy::cast_possible_truncation,
    reason = "slots are numbered below 2^31"
)]
pub(crate) fn slot(index: usize) -> u32 {
    debug_assert!(index <= MAX_SLOTS, "slot {index} is out of range");
    index as u32
}

/// How a device scores two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scoring {
    /// The sum of squared differences.
    SquaredEuclidean,
    /// Minus the sum of products.
    NegativeDot,
}

impl From<DistanceMetric> for Scoring {
    fn from(metric: DistanceMetric) -> Self {
        match metric {
            DistanceMetric::Euclidean => Self::SquaredEuclidean,
            DistanceMetric::Cosine | DistanceMetric::DotProduct => Self::NegativeDot,
        }
    }
}

/// What an engine is made for; fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Components of a row.
    pub dimension: usize,
    /// How rows are scored.
    pub scoring: Scoring,
    /// Links of a slot on the upper levels; level 0 has twice as many.
    pub max_connections: usize,
    /// The form of the rows that walks for queries compare; what they find is scored again by the rows themselves.
    pub precision: Precision,
    /// Where the rows themselves are, where that is another form.
    pub full_rows: FullRows,
}

/// How many of the first of a beam of width `ef` are scored again, where the beam went by a small form of the rows and `k` are wanted: twice
/// as many, and 16 more than `k` at least. Measured on 40,000 texts of 256 components in bytes, k 10, ef 64 to 256: the whole beam scored again
/// gives the recall of f32, 26 of it lose 0.0003 at most and 10 lose up to 0.014; at ef 256, 26 are 1.3 times as fast as the whole beam.
pub(crate) fn scored_again(ef: usize, k: usize) -> usize {
    ef.min((2 * k).max(k + 16)).max(k)
}

impl Layout {
    /// Whether a device has the small form of the rows alone.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_coded_alone(&self) -> bool {
        self.full_rows == FullRows::Ram && !self.precision.is_full()
    }

    /// Places in a row of links on `level`.
    #[must_use]
    pub(crate) const fn degree(&self, level: usize) -> usize {
        if level == 0 {
            2 * self.max_connections
        } else {
            self.max_connections
        }
    }
}

/// Where a walk down the levels begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The slot with the highest level (of several, the lowest slot).
    pub slot: u32,
    /// Its level.
    pub level: usize,
}

/// How to walk the graph for a batch of queries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    /// Where from.
    pub entry: Entry,
    /// Where to: levels above are descended greedily, this one is searched with the beam. At most the entry's.
    pub level: usize,
    /// Beam width; at least `k`.
    pub ef: usize,
    /// How many neighbours to return.
    pub k: usize,
}

/// What an engine has done so far: the work behind the clock. It only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Scores computed, for searching and building.
    pub distances: u64,
    /// Rows of links read.
    pub hops: u64,
    /// Bytes of rows and links that this work had to read.
    pub bytes: u64,
}

impl Counters {
    /// What was done since `earlier` counters of the same graph.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            distances: self.distances.saturating_sub(earlier.distances),
            hops: self.hops.saturating_sub(earlier.hops),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// A change that is worked out and not yet visible.
pub(crate) struct Staged(pub(crate) Box<dyn Any + Send + Sync>);

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Staged")
    }
}

/// The engine for a device: `threads` (0: all cores) are the CPU engine's.
pub(crate) fn open(device: &Device, layout: Layout, threads: usize) -> Result<Box<dyn Engine>> {
    #[cfg(feature = "gpu")]
    if !device.is_cpu() {
        if layout.is_coded_alone() {
            return Ok(Box::new(paired::PairedEngine::new(
                device, layout, threads,
            )?));
        }
        return Ok(Box::new(gpu::GpuEngine::new(device, layout)?));
    }
    Ok(Box::new(cpu::CpuEngine::new(
        layout,
        threads,
        device.ledger().clone(),
    )?))
}

/// Rows and links on one device.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// What this engine was made for.
    fn layout(&self) -> Layout;

    /// Rows that are visible.
    fn len(&self) -> usize;

    /// Whether no row is visible.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts rows on the device, to become the next slots. Rows that are never linked take no memory for links.
    ///
    /// # Errors
    /// No room, or the device failed.
    fn stage_rows(&self, rows: &[f32]) -> Result<Staged>;

    /// Makes staged rows visible. Nothing else may have been committed since they were staged.
    fn commit_rows(&mut self, staged: Staged);

    /// How many bytes more staging so many rows takes at the most, those that are given back when they are shown included.
    fn room_for_rows(&self, rows: usize) -> u64;

    /// Says that there will be so many rows in all: memory is then taken for all of them at once, when the first come.
    fn reserve(&mut self, rows: usize);

    /// Copies rows `slots` to `out`, one after the other.
    ///
    /// # Errors
    /// The device failed.
    fn read_rows(&self, slots: Range<u32>, out: &mut [f32]) -> Result<()>;

    /// The nearest of `slots` for each query, exactly: `k` of them or, if there are fewer, all; with `allowed`, only of those
    /// that are in it. `queries` holds whole rows end to end. Cost: one score for each query and slot that may be found.
    ///
    /// # Errors
    /// No room for the transient buffers, or the device failed.
    fn exact(
        &self,
        queries: &[f32],
        k: usize,
        slots: Range<u32>,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits>;

    /// The nearest slots that a walk through the graph finds for each query; with `allowed`, only such as are in it, and the
    /// others are walked through. There may be fewer than `k`, or none, where few are allowed.
    /// An answer depends on its query, what is allowed and the graph alone, never on the rest of the batch.
    ///
    /// # Errors
    /// No room for the transient buffers, or the device failed.
    fn walk(&self, queries: &[f32], walk: &Walk, allowed: Option<&SlotSet>) -> Result<Hits>;

    /// The widest beam of a walk.
    fn max_ef(&self) -> usize;

    /// How many scores of a scan cost as much as one of a walk: a stored figure, from which the planner chooses.
    fn scan_gain(&self) -> usize;

    /// How many bytes more it takes at the most to stage a batch of so many new slots: for links and for working them out.
    fn room_for_links(&self, slots: usize, selection: &Selection) -> u64;

    /// Works out the links of a batch of new slots, and what they change in the rows of others, and takes the memory for them.
    /// The batch begins where the last one ended.
    ///
    /// # Errors
    /// No room for the transient buffers, or the device failed.
    fn stage_links(&self, batch: &LinkBatch<'_>) -> Result<Staged>;

    /// Makes staged links visible.
    ///
    /// # Errors
    /// The device failed; the graph is as before.
    fn commit_links(&mut self, staged: Staged) -> Result<()>;

    /// All links of `level`, read back.
    ///
    /// # Errors
    /// The device failed.
    fn links(&self, level: usize) -> Result<LevelLinks>;

    /// Whether links on `level` lead from `start` to `slots` slots, all there are to be reached, where the device finds that out quickly; `false` says nothing,
    /// and whoever has to know reads the links.
    ///
    /// # Errors
    /// No room for the transient buffers, or the device failed.
    fn reaches_all(&self, _level: usize, _start: u32, _slots: usize) -> Result<bool> {
        Ok(false)
    }

    /// Writes single links.
    ///
    /// # Errors
    /// The device failed.
    fn attach(&mut self, attachments: &[Attachment]) -> Result<()>;

    /// The links of `level` as they are to be without the slots that are not `alive`: a row for each of the others, in the order of
    /// slots. Links to dead ones are replaced by links to slots that the dead lead to, three for two as far as there is room. Nothing changes.
    ///
    /// # Errors
    /// No room for the transient buffers, or the device failed.
    fn links_without_dead(
        &self,
        level: usize,
        alive: &SlotSet,
        selection: &Selection,
    ) -> Result<LevelLinks>;

    /// Puts links that were read back in the place of all there are, for the first `levels.len()` slots: of every level from 0 to the highest.
    /// The caller has checked the rows' contents; their number and width are checked here.
    ///
    /// # Errors
    /// [`VectorizerError::GraphDamaged`] if they do not fit `levels`, no room, or the device failed; the graph is as before.
    fn put_links(&mut self, levels: &[u8], links: &[LevelLinks]) -> Result<()>;

    /// Forgets every link; the rows stay.
    ///
    /// # Errors
    /// The device failed; the graph is as before.
    fn clear_links(&mut self) -> Result<()>;

    /// Gives back what is taken beyond what rows and links need, and says how many bytes those were. Searches wait meanwhile.
    ///
    /// # Errors
    /// No room for the smaller copies, or the device failed; everything is as before.
    fn compact(&mut self) -> Result<u64>;

    /// The work done so far.
    fn counters(&self) -> Counters;

    /// Bytes of RAM taken for rows and links that are kept there beside those on the device.
    fn ram_bytes(&self) -> u64 {
        0
    }

    /// Cuts its work up in another way from now on, one that its device can do. Answers and graphs stay what they are. Engines whose work is not cut up do nothing.
    fn set_tuning(&mut self, _tuning: Tuning) {}
}
