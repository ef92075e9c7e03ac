//! Where links lie on the device.
//!
//! Level 0: rows of `2 M` slots in chunks of a power-of-two number of rows, none larger than a binding. The levels above:
//! rows of `M` slots in one buffer, those of a slot together, with a table that says where a slot's begin.
//! Memory is taken when slots are linked, at once for every row the engine then holds. A chunk that is not full is
//! replaced by a larger one when it has to grow; full chunks stay where they are.

use std::ops::Range;

use crate::engine::gpu::record::{Recorder, hardware};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::seal::Seal;
use crate::engine::{Layout, upper_rows};
use crate::error::Result;
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
use crate::gpu::memory::Label;

mod access;
mod compact;

const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// Memory that is replaced by more gets room for this share more, so that single additions do not copy it each time.
const SPARE: usize = 32;

/// A slot that has links above level 0.
#[derive(Debug, Clone, Copy)]
struct Tall {
    slot: u32,
    level: u8,
    /// Its first row among the upper ones: that of level 1.
    base: u32,
}

/// The buffers that kernels see.
#[derive(Debug, Default)]
struct Store {
    chunks: Vec<DeviceBuffer>,
    /// Where each slot's upper rows begin.
    bases: Option<DeviceBuffer>,
    upper: Option<DeviceBuffer>,
}

/// The links of an engine.
#[derive(Debug)]
pub(super) struct Graph {
    layout: Layout,
    /// Rows of a full chunk, as a power of two.
    shift: u32,
    store: Store,
    linked: usize,
    tall: Vec<Tall>,
    upper_rows: usize,
}

/// Memory for a batch of links, and what will be known of its slots.
#[derive(Debug)]
pub(super) struct Growth {
    /// Chunks from this one on are replaced by or joined by `chunks`.
    from_chunk: usize,
    chunks: Vec<DeviceBuffer>,
    bases: Option<DeviceBuffer>,
    upper: Option<DeviceBuffer>,
    first: usize,
    levels: Vec<u8>,
    tall: Vec<Tall>,
    upper_rows: usize,
}

/// Slots whose rows of links have their places, and are not yet known to be linked.
#[derive(Debug)]
pub(super) struct Arrivals {
    slots: usize,
    tall: Vec<Tall>,
    upper_rows: usize,
}

impl Graph {
    /// No links.
    pub(super) fn new(device: &Device, layout: Layout) -> Self {
        let tier = device.tier();
        let most = tier.binding_bytes.min(tier.buffer_bytes) / Self::row_bytes(layout, 0);
        Self::with_chunks_of(layout, most)
    }

    /// With a limit of the caller's on the rows of a chunk.
    pub(super) fn with_chunks_of(layout: Layout, most: u64) -> Self {
        // Kernels count the places of a chunk in 32 bits; bindings may be larger than that.
        let most = most.min(u64::from(u32::MAX) / layout.degree(0) as u64);
        Self {
            layout,
            shift: most.max(1).ilog2().min(30),
            store: Store::default(),
            linked: 0,
            tall: Vec::new(),
            upper_rows: 0,
        }
    }

    fn row_bytes(layout: Layout, level: usize) -> u64 {
        layout.degree(level) as u64 * 4
    }

    /// Slots that have links.
    pub(super) fn linked(&self) -> usize {
        self.linked
    }

    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    /// Chunks of level 0.
    pub(super) fn chunks(&self) -> usize {
        self.store.chunks.len()
    }

    /// The buffers, in the order of their bindings; empty before anything is linked.
    pub(super) fn buffers(&self) -> Vec<&wgpu::Buffer> {
        self.store
            .bases
            .iter()
            .chain(&self.store.upper)
            .chain(&self.store.chunks)
            .map(DeviceBuffer::raw)
            .collect()
    }

    /// The slots with links on `level`, in order.
    pub(super) fn members_of(&self, level: usize) -> Box<dyn Iterator<Item = u32> + '_> {
        if level == 0 {
            return Box::new(0..small(self.linked));
        }
        let there = move |tall: &&Tall| usize::from(tall.level) >= level;
        Box::new(self.tall.iter().filter(there).map(|tall| tall.slot))
    }

    /// Takes the memory for the links of the next slots, in an engine of `rows` rows.
    pub(super) fn stage_growth(
        &self,
        device: &Device,
        rows: usize,
        levels: &[u8],
    ) -> Result<Growth> {
        let needed = self.linked + levels.len();
        let tall: Vec<_> = (self.linked..)
            .zip(levels)
            .filter(|(_, level)| **level > 0)
            .scan(self.upper_rows, |base, (at, level)| {
                let tall = Tall {
                    slot: small(at),
                    level: *level,
                    base: small(*base),
                };
                *base += usize::from(*level);
                Some(tall)
            })
            .collect();
        let upper_rows = self.upper_rows + levels.iter().map(|l| usize::from(*l)).sum::<usize>();
        let mut growth = Growth {
            from_chunk: self.store.chunks.len(),
            chunks: Vec::new(),
            bases: None,
            upper: None,
            first: self.linked,
            levels: levels.to_vec(),
            tall,
            upper_rows,
        };
        let row_bytes = Self::row_bytes(self.layout, 0);
        let per_chunk = 1usize << self.shift;
        let capacity = self.capacity();
        if needed > capacity {
            // Rows that are there will be linked; beyond them a little more, so that single additions do not copy every time.
            let wanted = (needed + needed / SPARE).max(rows).max(64);
            let last_full = capacity / per_chunk;
            growth.from_chunk = last_full;
            let mut start = last_full * per_chunk;
            while start < needed {
                let here = (wanted - start).min(per_chunk);
                growth.chunks.push(device.allocate(
                    Label::Graph,
                    "links",
                    here as u64 * row_bytes,
                    USAGE,
                )?);
                start += here;
            }
            let slots = start as u64;
            growth.bases = Some(device.allocate(Label::Graph, "upper bases", slots * 4, USAGE)?);
        }
        let upper_bytes = upper_rows as u64 * Self::row_bytes(self.layout, 1);
        if self
            .store
            .upper
            .as_ref()
            .is_none_or(|upper| upper.bytes() < upper_bytes)
        {
            // The slots that are not linked yet will have about as many upper rows as those that are.
            let row = Self::row_bytes(self.layout, 1);
            let expected =
                (upper_rows as u64).saturating_mul(rows.max(needed) as u64) / needed as u64;
            let bytes = ((expected + expected / SPARE as u64).saturating_mul(row)).max(256);
            let bytes = if bytes > device.tier().binding_bytes {
                upper_bytes
            } else {
                bytes
            };
            growth.upper = Some(device.allocate(Label::Graph, "upper links", bytes, USAGE)?);
        }
        Ok(growth)
    }

    /// How many bytes more the links of so many new slots take at the most, in an engine of `rows` rows. The old chunk stays until the
    /// new one is shown.
    pub(super) fn room_for(&self, rows: usize, slots: usize) -> u64 {
        let needed = self.linked + slots;
        let row = Self::row_bytes(self.layout, 1);
        let upper = (self.upper_rows + upper_rows(slots, &self.layout)) as u64;
        let upper = upper * rows.max(needed) as u64 / needed.max(1) as u64 * row;
        let there = self.store.upper.as_ref().map_or(0, DeviceBuffer::bytes);
        let upper = if upper > there { upper } else { 0 };
        if needed <= self.capacity() {
            return upper;
        }
        let per_chunk = 1usize << self.shift;
        let stay = self.capacity() / per_chunk * per_chunk;
        let wanted = needed.max(rows).max(64);
        let places = (wanted - stay) as u64 * Self::row_bytes(self.layout, 0);
        places + wanted as u64 * 4 + upper
    }

    /// What the links of so many slots take that are linked at once.
    pub(super) fn bytes_of(layout: Layout, slots: usize) -> u64 {
        let slots = slots.max(64);
        let upper = upper_rows(slots, &layout) as u64 * Self::row_bytes(layout, 1);
        slots as u64 * (Self::row_bytes(layout, 0) + 4) + upper.max(256)
    }

    /// Level-0 rows there is memory for.
    fn capacity(&self) -> usize {
        let bytes: u64 = self.store.chunks.iter().map(DeviceBuffer::bytes).sum();
        usize::try_from(bytes / Self::row_bytes(self.layout, 0)).unwrap_or(usize::MAX)
    }

    /// Puts the new memory in place, with what lies in the old one copied over. The graph is as before until
    /// [`Graph::arrive`], before which the caller writes the new slots' rows.
    pub(super) fn make_room(
        &mut self,
        device: &Device,
        growth: Growth,
        seal: Option<&Seal>,
    ) -> Result<Arrivals> {
        let hardware = hardware(device)?;
        {
            let mut recorder = Recorder::new(device);
            for (old, new) in self.store.chunks[growth.from_chunk.min(self.store.chunks.len())..]
                .iter()
                .zip(&growth.chunks)
            {
                recorder.copy(old.raw(), new.raw(), old.bytes().min(new.bytes()));
            }
            for (old, new) in [
                (&self.store.bases, &growth.bases),
                (&self.store.upper, &growth.upper),
            ] {
                if let (Some(old), Some(new)) = (old, new) {
                    recorder.copy(old.raw(), new.raw(), old.bytes().min(new.bytes()));
                }
            }
            if let Some(seal) = seal {
                seal.set(&mut recorder);
            }
            recorder.submit()?;
        }
        // What lies in the old memory is given up only when it is known to lie in the new.
        seal.map_or(Ok(()), Seal::prove)?;
        let Growth {
            from_chunk,
            chunks,
            bases,
            upper,
            first,
            levels,
            tall,
            upper_rows,
        } = growth;
        if !chunks.is_empty() {
            self.store.chunks.truncate(from_chunk);
            self.store.chunks.extend(chunks);
        }
        self.store.bases = bases.or(self.store.bases.take());
        self.store.upper = upper.or(self.store.upper.take());
        // The places of the new slots; nobody reads those of slots that are not linked yet.
        let mut bases = vec![0u32; levels.len()];
        for tall in &tall {
            bases[tall.slot as usize - first] = tall.base;
        }
        if let Some(buffer) = &self.store.bases {
            hardware.guarded(|_| {
                hardware.queue().write_buffer(
                    buffer.raw(),
                    first as u64 * 4,
                    bytemuck::cast_slice(&bases),
                );
                Ok(())
            })?;
        }
        Ok(Arrivals {
            slots: levels.len(),
            tall,
            upper_rows,
        })
    }

    /// Knows the new slots from now on.
    pub(super) fn arrive(&mut self, arrivals: Arrivals) {
        self.linked += arrivals.slots;
        self.tall.extend(arrivals.tall);
        self.upper_rows = arrivals.upper_rows;
        self.count_used();
    }

    fn count_used(&mut self) {
        let row_bytes = Self::row_bytes(self.layout, 0);
        let mut left = self.linked as u64 * row_bytes;
        for chunk in &mut self.store.chunks {
            let here = left.min(chunk.bytes());
            chunk.set_used(here);
            left -= here;
        }
        if let Some(bases) = &mut self.store.bases {
            bases.set_used(self.linked as u64 * 4);
        }
        if let Some(upper) = &mut self.store.upper {
            upper.set_used(self.upper_rows as u64 * Self::row_bytes(self.layout, 1));
        }
    }

    /// Bytes taken for links.
    pub(super) fn taken(&self) -> u64 {
        let Store {
            chunks,
            bases,
            upper,
        } = &self.store;
        let buffers = chunks.iter().chain(bases).chain(upper);
        buffers.map(DeviceBuffer::bytes).sum()
    }

    /// Forgets every link and gives the memory back.
    pub(super) fn clear(&mut self) {
        self.store = Store::default();
        self.linked = 0;
        self.tall.clear();
        self.upper_rows = 0;
    }
}

/// The levels of a batch, highest first.
pub(super) fn levels_of(levels: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let top = levels.iter().copied().max().map_or(0, usize::from);
    let range: Range<usize> = 0..top + usize::from(!levels.is_empty());
    range.rev()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Scoring;
    use crate::engine::gpu::tests::layout;

    #[test]
    fn places_of_a_chunk_are_counted_in_32_bits() {
        for max_connections in [2, 16, 17, 32, 48, 64] {
            let layout = Layout {
                max_connections,
                ..layout(4, Scoring::NegativeDot)
            };
            let degree = layout.degree(0) as u64;
            // More than any binding has, what a Mac's have, and less than fits.
            for most in [u64::MAX, (36 << 30) / (4 * degree), 1_000, 1, 0] {
                let rows = 1 << Graph::with_chunks_of(layout, most).shift();
                assert!(rows * degree <= u64::from(u32::MAX), "{rows} rows");
                assert!(rows <= most.max(1));
            }
            let rows = 1 << Graph::with_chunks_of(layout, u64::MAX).shift();
            assert!(
                rows * degree * 2 > u64::from(u32::MAX),
                "not larger than need be"
            );
        }
    }
}
