//! Memory that no link needs, given back.

use super::{Graph, USAGE};
use crate::engine::gpu::record::{Recorder, hardware};
use crate::engine::gpu::seal::Seal;
use crate::error::Result;
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
use crate::gpu::memory::Label;
use crate::gpu::metal_buffer_pool::MetalBufferPool;

impl Graph {
    /// Gives back what is taken beyond what the linked slots need.
    pub(in crate::engine::gpu) fn compact(&mut self, device: &Device) -> Result<u64> {
        let row_bytes = Self::row_bytes(self.layout, 0);
        let before = self.taken();
        let per_chunk = 1usize << self.shift;
        let last = self.linked.saturating_sub(1) / per_chunk;
        let held = (self.linked - last * per_chunk) as u64 * row_bytes;
        let smaller = |name, bytes: u64, old: &DeviceBuffer| {
            let bytes = bytes.max(4);
            (old.bytes() > bytes)
                .then(|| device.allocate(Label::Graph, name, bytes, USAGE))
                .transpose()
        };
        let Some(old) = self.store.chunks.get(last) else {
            return Ok(0);
        };
        let chunk = smaller("links", held, old)?;
        let bases = self.store.bases.as_ref();
        let bases = bases.map(|old| smaller("upper bases", self.linked as u64 * 4, old));
        let bases = bases.transpose()?.flatten();
        let upper_bytes = (self.upper_rows as u64 * Self::row_bytes(self.layout, 1)).max(256);
        let upper = self.store.upper.as_ref();
        let upper = upper.map(|old| smaller("upper links", upper_bytes, old));
        let upper = upper.transpose()?.flatten();
        let seal = Seal::of_change(&MetalBufferPool::for_building(device.clone()))?;
        {
            let mut recorder = Recorder::new(device);
            let pairs = [
                (Some(old), &chunk),
                (self.store.bases.as_ref(), &bases),
                (self.store.upper.as_ref(), &upper),
            ];
            for (old, new) in pairs {
                if let (Some(old), Some(new)) = (old, new) {
                    recorder.copy(old.raw(), new.raw(), new.bytes());
                }
            }
            if let Some(seal) = &seal {
                seal.set(&mut recorder);
            }
            let submission = recorder.submit()?;
            hardware(device)?.wait(submission)?;
            seal.as_ref().map_or(Ok(()), Seal::prove)?;
        }
        self.store.chunks.truncate(last + 1);
        if let Some(chunk) = chunk {
            self.store.chunks[last] = chunk;
        }
        self.store.bases = bases.or(self.store.bases.take());
        self.store.upper = upper.or(self.store.upper.take());
        self.count_used();
        Ok(before - self.taken())
    }
}
