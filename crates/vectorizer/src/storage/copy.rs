//! The vectors, or some of them, in memory of their own: on the same device or on another.

use super::VectorStorage;
use crate::engine::cpu::pool::{Pool, Purpose};
use crate::engine::{self, SlotSet, slot};
use crate::error::Result;
use crate::gpu::context::Device;

/// How many numbers move in one step.
const MOVE_VALUES: usize = 16 << 20;
/// Bytes of rows that are copied to another device at a time.
const COPY_BYTES: usize = 8 << 20;

impl VectorStorage {
    /// The vectors in the slots that are `alive`, in their order, on the same device, in memory of their own.
    pub(crate) fn only(&self, alive: &SlotSet) -> Result<Self> {
        let layout = self.engine.layout();
        let mut only = Self {
            engine: engine::open(&self.device, layout, self.threads)?,
            device: self.device.clone(),
            metric: self.metric,
            threads: self.threads,
            pool: self.pool.clone(),
            originals: self.originals.as_ref().map(|all| all.only(alive)),
            equal: self.equal.only(alive, self.len()),
        };
        only.engine.reserve(alive.len());
        let count = (MOVE_VALUES / layout.dimension).max(1);
        let mut rows = vec![0.0; count * layout.dimension];
        for first in (0..self.len()).step_by(count) {
            let slots = slot(first)..slot(self.len().min(first + count));
            let rows = &mut rows[..slots.len() * layout.dimension];
            if alive.count_in(slots.clone()) == 0 {
                continue;
            }
            self.engine.read_rows(slots.clone(), rows)?;
            let mut kept = 0;
            for alive in alive.iter_in(slots.clone()) {
                let from = (alive - slots.start) as usize * layout.dimension;
                rows.copy_within(from..from + layout.dimension, kept);
                kept += layout.dimension;
            }
            let staged = only.engine.stage_rows(&rows[..kept])?;
            only.engine.commit_rows(staged);
        }
        Ok(only)
    }

    /// A copy of the vectors on another device, without links.
    ///
    /// # Errors
    /// No room there, or a device failed.
    pub(crate) fn copied_to(&self, device: &Device, threads: usize) -> Result<Self> {
        let mut engine = engine::open(device, self.engine.layout(), threads)?;
        device.admit(engine.room_for_rows(self.len()))?;
        engine.reserve(self.len());
        let dimension = self.dimension();
        let at_once = (COPY_BYTES / (dimension * 4)).max(1);
        let mut block = vec![0.0; at_once.min(self.len()) * dimension];
        for first in (0..self.len()).step_by(at_once) {
            let end = (first + at_once).min(self.len());
            let rows = &mut block[..(end - first) * dimension];
            self.engine.read_rows(slot(first)..slot(end), rows)?;
            let staged = engine.stage_rows(rows)?;
            engine.commit_rows(staged);
        }
        Ok(Self {
            engine,
            device: device.clone(),
            metric: self.metric,
            threads,
            pool: Pool::new(threads, Purpose::Build),
            originals: self.originals.clone(),
            equal: self.equal.clone(),
        })
    }
}
