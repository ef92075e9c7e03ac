//! The way back to the device.

use super::{Mirror, is_lost_device};
use crate::collection::{Collection, Writing};
use crate::config::{FallbackPolicy, FullRows};
use crate::error::{Result, VectorizerError};
use crate::gpu::device::Device;

impl Collection {
    /// Brings a collection that is in RAM back to its device, or, if that was lost, to a fresh one of its kind. Searches go on
    /// meanwhile. A collection that was lost with its device comes back from RAM if its vectors are there
    /// ([`FullRows::Ram`]), else from its store, if it has one. Does nothing where the collection is where it belongs.
    ///
    /// # Errors
    /// [`VectorizerError::VramLimitExceeded`] or [`VectorizerError::BufferAllocationFailed`] if there is still no room,
    /// [`VectorizerError::DeviceLost`] if there is neither to come back from, or the device failed; the collection stays where it is.
    pub fn return_to_device(&self) -> Result<()> {
        let mut writer = self.writing()?;
        if !self.is_spilled() {
            if self.is_gone() {
                if self.rows_are_in_ram() {
                    self.come_back_from_ram(&mut writer)?;
                } else {
                    self.come_back_from_store(&mut writer)?;
                }
                drop(writer);
                self.tidy_or_warn();
            }
            return Ok(());
        }
        let home = self.home()?;
        let (room, back) = {
            let state = self.state.read();
            let (count, dimension) = (state.graph.len(), self.dimension);
            let mut room = home.estimate_memory(count, dimension, &self.options);
            if state.graph.linked() == 0 {
                room.graph = 0;
            }
            home.admit(room.lasting())?;
            (room, state.graph.copied_to(&home, self.options.threads)?)
        };
        let below = {
            let mut state = self.state.write();
            let below = std::mem::replace(&mut state.graph, back);
            if self.options.fallback == FallbackPolicy::Mirror {
                state.mirror = Some(Mirror::of(below));
                None
            } else {
                Some(below)
            }
        };
        drop(below);
        home.settle();
        let mut standing = self.standing.lock();
        standing.home = home;
        standing.absence = None;
        standing.latest = None;
        drop(standing);
        tracing::info!(
            bytes = room.lasting(),
            "the collection is back on its device"
        );
        Ok(())
    }

    /// Whether the device is lost on which the collection is.
    fn is_gone(&self) -> bool {
        is_lost_device(self.state.read().graph.storage().device())
    }

    /// Whether the vectors are in RAM also while the collection is on its device.
    pub(super) fn rows_are_in_ram(&self) -> bool {
        self.options.full_rows == FullRows::Ram
    }

    /// Puts what is in RAM beside a lost device on a fresh one as well.
    fn come_back_from_ram(&self, writer: &mut Writing<'_>) -> Result<()> {
        let home = self.home()?;
        let threads = self.options.threads;
        let back = self.state.read().graph.copied_to(&home, threads)?;
        let lost = std::mem::replace(&mut self.state.write().graph, back);
        drop(lost);
        let mut standing = self.standing.lock();
        standing.home = home;
        standing.latest = None;
        drop(standing);
        tracing::info!("the collection is on a fresh device, as it was in RAM");
        self.mirror(writer)
    }

    /// Puts what the store has on a fresh device in the place of a lost one.
    fn come_back_from_store(&self, writer: &mut Writing<'_>) -> Result<()> {
        if self.store.is_none() {
            let device = self.standing.lock().home.name().to_owned();
            return Err(VectorizerError::DeviceLost { device });
        }
        let home = self.home()?;
        let back = self.read_from_store(&self.context.moved_to(home.clone()))?;
        writer.mended = false;
        writer.changed = true;
        let lost = {
            let mut state = self.state.write();
            state.mirror = None;
            std::mem::replace(&mut state.graph, back)
        };
        drop(lost);
        let mut standing = self.standing.lock();
        standing.home = home;
        standing.latest = None;
        drop(standing);
        tracing::info!("the collection is on a fresh device, as its store has it");
        self.mirror(writer)
    }

    /// The device the collection belongs on, opened again if it was lost.
    fn home(&self) -> Result<Device> {
        let home = self.standing.lock().home.clone();
        #[cfg(feature = "gpu")]
        if is_lost_device(&home) {
            let limit = self.context.device().ledger().limit();
            let fresh = crate::gpu::adapters::again(&home)?;
            return Ok(fresh.with_limit(limit).with_limit(self.options.vram_limit));
        }
        Ok(home)
    }
}
