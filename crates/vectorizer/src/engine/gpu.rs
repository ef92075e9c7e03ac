//! The GPU engine: rows and links in device memory, worked on by the kernels.
//!
//! `rows` keeps the vectors, and the small form of them that `codes` makes, in chunks, `transfer` brings them there, `exact` plans exact search; `graph` keeps the links, `walk` goes
//! along them, `near` and `link` add new slots to them, `reconnect` does without the dead, `reach` says whether all can be reached; `walker` is an
//! engine without the vectors themselves, for walks alone; `record` puts kernels into a submission and reads
//! results back, `seal` proves that they ran. Every wait has a
//! bound, and every answer carries the number of its search: an old answer in its place is an error, never a result.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::config::FullRows;
use crate::engine::{
    Attachment, Counters, Engine, Hits, Layout, LevelLinks, LinkBatch, MemoryEstimate, Selection,
    SlotSet, Staged, Walk, check_shape,
};
use crate::error::Result;
use crate::gpu::device::{Device, DeviceKind};
use crate::gpu::tiers::Tier;
use crate::gpu::tuning::Tuning;
use crate::kernels::graph::{LIGHT, LIGHT_BEAM, MAX_BEAM};
use exact::Measured;
use graph::Graph;
use products::Products;
use rows::Rows;
pub(super) use walker::{StagedCodes, StagedWrites, Walker};
use work::Work;

mod codes;
mod exact;
mod graph;
#[cfg(test)]
mod graph_tests;
mod link;
mod near;
#[cfg(test)]
mod part_tests;
mod products;
mod reach;
#[cfg(test)]
mod reach_tests;
mod reconnect;
mod record;
mod rows;
mod seal;
#[cfg(test)]
mod tests;
mod transfer;
#[cfg(test)]
mod tuning_tests;
mod walk;
mod walker;
mod work;

/// Rows and links on a GPU.
#[derive(Debug)]
pub(crate) struct GpuEngine {
    device: Device,
    /// What exact search may use: the device's, or less of it in tests.
    tier: Tier,
    /// How work is cut up: the device's, or another one that is tried.
    tuning: Tuning,
    layout: Layout,
    /// None where the layout wants them elsewhere, as a [`Walker`] does.
    rows: Rows,
    /// The small form of the rows, where walks go by that.
    codes: Option<Rows>,
    graph: Graph,
    work: Work,
    epoch: AtomicU32,
    /// Whether teams of eight threads exchange values between lanes.
    exchange: bool,
    /// Whether the device's products of matrices are used.
    products: Products,
    /// What builds have submitted and nobody has waited for yet.
    building: Mutex<VecDeque<wgpu::SubmissionIndex>>,
    /// How many slots the latest batch of links had.
    latest_batch: AtomicUsize,
    /// What the bound of exact search knows of the rows.
    measured: Measured,
    /// Queries of exact searches that tiles did not answer for sure.
    scanned_again: AtomicU64,
}

/// Rows that wait to be shown, with their small form.
#[derive(Debug)]
struct StagedRows {
    measured: Measured,
    rows: rows::StagedRows,
    codes: Option<rows::StagedRows>,
}

impl GpuEngine {
    /// An engine on `device`, which has no rows yet. All will be there, also where the layout would have the rows themselves in RAM.
    ///
    /// # Errors
    /// The device is the CPU, or cannot hold a single row of this dimension.
    pub(crate) fn new(device: &Device, layout: Layout) -> Result<Self> {
        // Whoever has one by itself has the rows in it.
        let layout = Layout {
            full_rows: FullRows::Device,
            ..layout
        };
        Self::with_layout(device, layout)
    }

    fn with_layout(device: &Device, layout: Layout) -> Result<Self> {
        let hardware = record::hardware(device)?;
        hardware.alive()?;
        let whole = hardware.has_whole_subgroups();
        Ok(Self {
            device: device.clone(),
            tier: device.tier().clone(),
            tuning: device.tuning().map_or_else(
                || Tuning::default_for(device.tier(), device.info().kind),
                |tuning| tuning.values,
            ),
            layout,
            rows: Rows::new(device, layout.dimension)?,
            codes: codes::empty(device, layout)?,
            graph: Graph::new(device, layout),
            work: Work::new(device)?,
            epoch: AtomicU32::new(1),
            // All of a team must be in one subgroup.
            exchange: whole && device.tier().subgroups.is_some_and(|(least, _)| least >= 8),
            products: if whole {
                Products::of(device)
            } else {
                Products::by(products::Way::Never)
            },
            building: Mutex::default(),
            latest_batch: AtomicUsize::new(0),
            measured: Measured::NONE,
            scanned_again: AtomicU64::new(0),
        })
    }

    /// What walks for queries compare.
    fn walked(&self) -> &Rows {
        self.codes.as_ref().unwrap_or(&self.rows)
    }

    /// A number that signs the answers of one search; never 0, which fresh memory holds.
    fn next_epoch(&self) -> u32 {
        match self.epoch.fetch_add(1, Ordering::Relaxed) {
            0 => self.next_epoch(),
            epoch => epoch,
        }
    }
}

/// What so many rows and their links will take.
pub(super) fn estimate(layout: Layout, rows: usize) -> MemoryEstimate {
    let full = if layout.is_coded_alone() {
        0
    } else {
        layout.dimension.div_ceil(4) as u64 * 16
    };
    MemoryEstimate {
        rows: rows as u64 * (full + codes::row_bytes(layout)),
        graph: Graph::bytes_of(layout, rows),
        ram: 0,
    }
}

impl Engine for GpuEngine {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn stage_rows(&self, rows: &[f32]) -> Result<Staged> {
        let codes = self.codes.as_ref().map(|codes| {
            let coded = codes::of(self.layout, rows);
            codes.stage(&coded)
        });
        Ok(Staged(Box::new(StagedRows {
            measured: Measured::NONE.with(self.layout, rows),
            rows: self.rows.stage(rows)?,
            codes: codes.transpose()?,
        })))
    }

    fn commit_rows(&mut self, staged: Staged) {
        match staged.0.downcast::<StagedRows>() {
            Ok(staged) => {
                self.rows.commit(staged.rows);
                self.measured = self.measured.and(staged.measured);
                if let (Some(codes), Some(staged)) = (&mut self.codes, staged.codes) {
                    codes.commit(staged);
                }
            }
            Err(_) => debug_assert!(false, "these are no rows staged by a GPU engine"),
        }
    }

    fn room_for_rows(&self, rows: usize) -> u64 {
        let codes = self.codes.as_ref().map_or(0, |codes| codes.room_for(rows));
        self.rows.room_for(rows) + codes
    }

    fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
        if let Some(codes) = &mut self.codes {
            codes.reserve(rows);
        }
    }

    fn read_rows(&self, slots: Range<u32>, out: &mut [f32]) -> Result<()> {
        self.rows.read(slots, out)
    }

    fn exact(
        &self,
        queries: &[f32],
        k: usize,
        slots: Range<u32>,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        self.exact_search(queries, k, slots, allowed)
    }

    fn walk(&self, queries: &[f32], walk: &Walk, allowed: Option<&SlotSet>) -> Result<Hits> {
        self.walk_graph(queries, walk, allowed)
    }

    /// Wider beams than [`LIGHT_BEAM`] need what a device need not have.
    fn max_ef(&self) -> usize {
        if self.tier.workgroup_bytes >= 2 * LIGHT {
            MAX_BEAM
        } else {
            LIGHT_BEAM
        }
    }

    /// On an H200 a lone query scans 20,000 x 512 in 155 us and walks them in 594, a batch of 10,000 scans 60,000 x 784 at a quarter
    /// of a walk's speed: about here neither loses much. A software adapter is a CPU.
    fn scan_gain(&self) -> usize {
        if self.device.info().kind == DeviceKind::Software {
            4
        } else {
            32
        }
    }

    fn room_for_links(&self, slots: usize, selection: &Selection) -> u64 {
        self.graph.room_for(self.rows.len(), slots) + self.link_room(slots, selection)
    }

    fn stage_links(&self, batch: &LinkBatch<'_>) -> Result<Staged> {
        let mut selection = batch.selection;
        // What no device can do is an error; what this one cannot is done as well as it can.
        if selection.ef_construction <= MAX_BEAM {
            selection.ef_construction = selection.ef_construction.min(self.max_ef());
        }
        let batch = LinkBatch {
            selection,
            ..*batch
        };
        Ok(Staged(Box::new(self.stage_batch(&batch)?)))
    }

    fn commit_links(&mut self, staged: Staged) -> Result<()> {
        self.commit_staged(staged)
    }

    fn links(&self, level: usize) -> Result<LevelLinks> {
        self.graph.read(&self.device, level)
    }

    fn reaches_all(&self, level: usize, start: u32, slots: usize) -> Result<bool> {
        self.reaches(level, start, slots as u64)
    }

    fn attach(&mut self, attachments: &[Attachment]) -> Result<()> {
        self.graph.attach(&self.device, attachments)
    }

    fn links_without_dead(
        &self,
        level: usize,
        alive: &SlotSet,
        selection: &Selection,
    ) -> Result<LevelLinks> {
        self.reconnect(level, alive, selection)
    }

    fn put_links(&mut self, levels: &[u8], links: &[LevelLinks]) -> Result<()> {
        check_shape(self.layout, self.len(), levels, links)?;
        self.graph.put(&self.device, self.rows.len(), levels, links)
    }

    fn clear_links(&mut self) -> Result<()> {
        self.graph.clear();
        Ok(())
    }

    fn compact(&mut self) -> Result<u64> {
        let codes = self.codes.as_mut().map_or(Ok(0), Rows::compact)?;
        Ok(self.rows.compact()? + codes + self.graph.compact(&self.device)?)
    }

    fn counters(&self) -> Counters {
        self.read_counters()
    }

    fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = tuning;
    }
}
