//! Rows on the device, in chunks.
//!
//! A row is padded with zeros to 16 bytes. A chunk is one buffer and one binding of a power-of-two number of rows, so that a slot's
//! chunk is a shift and its place a mask; it is never larger than the device's binding limit. Growing adds a chunk. Only the
//! last one may be smaller than the others: it is cut close to what it holds and replaced by a larger copy when it is full.

use std::ops::Range;
use std::sync::Arc;

use crate::config::Precision;
use crate::engine::MAX_SLOTS;
use crate::engine::gpu::record::{Recorder, hardware};
use crate::engine::gpu::seal::{Seal, read_pieces};
use crate::engine::gpu::transfer::{staging_bytes, upload_rows};
use crate::error::{Result, VectorizerError};
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
use crate::gpu::memory::Label;
use crate::gpu::metal_buffer_pool::MetalBufferPool;
use crate::kernels::RowsShape;

/// A chunk that is replaced gets room for this share more, so that single appends do not copy it each time.
const SPARE: usize = 32;
/// A chunk is at most this share (one in) of a limit.
const LIMIT_SHARE: u64 = 8;

#[derive(Debug, Clone)]
struct Chunk {
    buffer: Arc<DeviceBuffer>,
    /// Rows it has room for.
    room: usize,
}

/// The rows of an engine.
#[derive(Debug)]
pub(crate) struct Rows {
    device: Device,
    /// What is in them, as far as kernels know.
    form: Precision,
    dimension: usize,
    parts: u32,
    chunk_shift: u32,
    chunks: Vec<Chunk>,
    len: usize,
    /// How many there will be, as far as anybody said.
    expected: usize,
}

/// Rows that are on the device and not yet visible.
#[derive(Debug)]
pub(super) struct StagedRows {
    chunks: Vec<Chunk>,
    len: usize,
}

/// A part of a range of slots that lies in one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Which chunk.
    pub(super) chunk: usize,
    /// The chunk's first slot.
    pub(super) first_slot: u32,
    /// First row of the stretch, counted from there.
    pub(super) first_row: u32,
    /// How many rows.
    pub(super) rows: u32,
}

/// A count that is below 2^31.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rows, parts and chunks are counted below 2^31"
)]
pub(super) fn small(count: usize) -> u32 {
    debug_assert!(count <= MAX_SLOTS, "{count} is not small");
    count as u32
}

impl Rows {
    /// No rows yet, of `dimension` numbers each.
    ///
    /// # Errors
    /// A row is larger than the device's largest binding.
    pub(super) fn new(device: &Device, dimension: usize) -> Result<Self> {
        let tier = device.tier();
        let most = tier.binding_bytes.min(tier.buffer_bytes);
        // A chunk that grows is held twice for a moment: under a limit it must not be most of what may be taken.
        let share = device
            .ledger()
            .lowest_limit()
            .map(|limit| limit / LIMIT_SHARE);
        let row = dimension.div_ceil(4) as u64 * 16;
        let most = share.map_or(most, |share| most.min(share.max(row)));
        Self::with_chunks_of(device, dimension, most)
    }

    /// Coded rows, of so many units each. What a row holds is no number, but as long as four of them for each unit.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn coded(device: &Device, form: Precision, units: usize) -> Result<Self> {
        let rows = Self::new(device, units * 4)?;
        Ok(Self { form, ..rows })
    }

    /// With a limit of the caller's on the bytes of a chunk.
    pub(super) fn with_chunks_of(device: &Device, dimension: usize, most: u64) -> Result<Self> {
        let parts = small(dimension.div_ceil(4));
        let row = u64::from(parts) * 16;
        let Some(chunk_shift) = (most / row).min(1 << 31).checked_ilog2() else {
            return Err(VectorizerError::VramLimitExceeded {
                limit: most,
                requested: row,
            });
        };
        Ok(Self {
            device: device.clone(),
            form: Precision::F32,
            dimension,
            parts,
            chunk_shift: chunk_shift.min(30),
            chunks: Vec::new(),
            len: 0,
            expected: 0,
        })
    }

    /// Says how many rows there will be in all.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.expected = rows;
    }

    /// How many bytes more staging so many rows takes at the most.
    pub(super) fn room_for(&self, rows: usize) -> u64 {
        let size = 1usize << self.chunk_shift;
        let total = self.len + rows;
        let first = self.len >> self.chunk_shift;
        let last = total.saturating_sub(1) >> self.chunk_shift;
        let taken = (first..=last).map(|chunk| {
            let need = (total - (chunk << self.chunk_shift)).min(size);
            let room = self.chunks.get(chunk).map_or(0, |chunk| chunk.room);
            // A chunk that grows is copied: the old one stays until the new rows are shown.
            if room < need {
                self.room_of(chunk, need)
            } else {
                0
            }
        });
        taken.sum::<usize>() as u64 * self.row_bytes()
            + staging_bytes(rows as u64 * self.row_bytes())
    }

    /// The room of a new chunk that is to hold `need` rows, without any for rows that nobody spoke of.
    fn room_of(&self, chunk: usize, need: usize) -> usize {
        let expected = self.expected.saturating_sub(chunk << self.chunk_shift);
        need.max(expected).min(1 << self.chunk_shift)
    }

    /// Replaces the last chunk by one that is no larger than its rows.
    pub(super) fn compact(&mut self) -> Result<u64> {
        self.expected = 0;
        let Some(last) = self.chunks.last() else {
            return Ok(0);
        };
        let held = self.len - ((self.chunks.len() - 1) << self.chunk_shift);
        if last.room == held {
            return Ok(0);
        }
        let before = last.buffer.bytes();
        let smaller = self.allocate(held)?;
        let seal = Seal::of_change(&MetalBufferPool::for_building(self.device.clone()))?;
        self.copy(last, &smaller, held, seal.as_ref())?;
        seal.map_or(Ok(()), |seal| seal.prove())?;
        let saved = before - smaller.buffer.bytes();
        let chunks = self.chunks.len();
        self.chunks[chunks - 1] = smaller;
        self.count_used();
        Ok(saved)
    }

    /// Rows that are visible.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What kernels are specialised for that see all chunks.
    ///
    /// # Errors
    /// The device cannot bind as many beside `others` buffers of the kernel's own.
    pub(crate) fn shape(&self, others: u32) -> Result<RowsShape> {
        let chunks = small(self.chunks.len()).max(1);
        let most = self.device.tier().storage_buffers;
        if chunks + others > most {
            return Err(hardware(&self.device)?.failed(format!(
                "a graph over {} vectors of dimension {} needs {} buffers in one kernel, the device binds {most}: \
                 search exactly, or use a collection on the CPU (VECTORIZER_DEVICE=cpu)",
                self.len,
                self.dimension,
                chunks + others
            )));
        }
        Ok(RowsShape {
            chunks,
            ..self.chunk_shape()
        })
    }

    /// What kernels are specialised for that see one chunk at a time.
    pub(super) fn chunk_shape(&self) -> RowsShape {
        RowsShape {
            parts: self.parts,
            form: self.form,
            chunks: 1,
            chunk_shift: self.chunk_shift,
        }
    }

    /// The buffers of all chunks, in order.
    pub(crate) fn buffers(&self) -> Vec<&wgpu::Buffer> {
        self.chunks.iter().map(|chunk| chunk.buffer.raw()).collect()
    }

    /// The buffer of one chunk.
    pub(super) fn chunk(&self, chunk: usize) -> &wgpu::Buffer {
        self.chunks[chunk].buffer.raw()
    }

    /// Rows of a full chunk.
    pub(super) fn per_chunk(&self) -> u32 {
        1 << self.chunk_shift
    }

    /// A range of slots, chunk by chunk.
    pub(super) fn stretches(&self, slots: Range<u32>) -> Vec<Stretch> {
        let size = self.per_chunk();
        let end = slots.end.min(small(self.len));
        let mut at = slots.start;
        let mut stretches = Vec::new();
        while at < end {
            let chunk = at >> self.chunk_shift;
            let first_slot = chunk << self.chunk_shift;
            let rows = (end - at).min(size - (at - first_slot));
            stretches.push(Stretch {
                chunk: chunk as usize,
                first_slot,
                first_row: at - first_slot,
                rows,
            });
            at += rows;
        }
        stretches
    }

    /// Bytes from one row to the next.
    pub(super) fn row_bytes(&self) -> u64 {
        u64::from(self.parts) * 16
    }

    fn allocate(&self, room: usize) -> Result<Chunk> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let bytes = room as u64 * self.row_bytes();
        Ok(Chunk {
            buffer: Arc::new(self.device.allocate(Label::Rows, "rows", bytes, usage)?),
            room,
        })
    }

    /// Puts rows on the device, where nobody sees them yet.
    pub(super) fn stage(&self, rows: &[f32]) -> Result<StagedRows> {
        let size = 1usize << self.chunk_shift;
        let len = self.len + rows.len() / self.dimension;
        let mut chunks = self.chunks.clone();
        let mut rest = rows;
        let mut at = self.len;
        let pool = MetalBufferPool::for_building(self.device.clone());
        let seal = Seal::of_change(&pool)?;
        while !rest.is_empty() {
            let (chunk, first) = (at >> self.chunk_shift, at & (size - 1));
            let count = (rest.len() / self.dimension).min(size - first);
            let need = first + count;
            if chunk == chunks.len() {
                let fresh = self.allocate(self.room_of(chunk, need))?;
                self.clear(&fresh, seal.as_ref())?;
                chunks.push(fresh);
            } else if chunks[chunk].room < need {
                let least = self.room_of(chunk, need);
                let larger = self
                    .allocate((need + need / SPARE).min(size).max(least))
                    .or_else(|error| match error {
                        VectorizerError::VramLimitExceeded { .. } => self.allocate(least),
                        other => Err(other),
                    })?;
                self.clear(&larger, seal.as_ref())?;
                self.copy(&chunks[chunk], &larger, first, seal.as_ref())?;
                chunks[chunk] = larger;
            }
            let (now, later) = rest.split_at(count * self.dimension);
            upload_rows(
                &pool,
                seal.as_ref(),
                now,
                self.dimension,
                self.parts,
                chunks[chunk].buffer.raw(),
                first,
            )?;
            rest = later;
            at += count;
        }
        seal.map_or(Ok(()), |seal| seal.prove())?;
        Ok(StagedRows { chunks, len })
    }

    /// Writes zeros to all of a chunk before anything else is there. What was never written wgpu would clear when a search first binds
    /// the chunk, perhaps just after a row was written there beside it: the row would be gone.
    fn clear(&self, chunk: &Chunk, seal: Option<&Seal>) -> Result<()> {
        let mut recorder = Recorder::new(&self.device);
        recorder.clear(chunk.buffer.raw());
        if let Some(seal) = seal {
            seal.set(&mut recorder);
        }
        recorder.submit().map(drop)
    }

    fn copy(&self, from: &Chunk, to: &Chunk, rows: usize, seal: Option<&Seal>) -> Result<()> {
        let bytes = rows as u64 * self.row_bytes();
        let mut recorder = Recorder::new(&self.device);
        recorder.copy(from.buffer.raw(), to.buffer.raw(), bytes);
        if let Some(seal) = seal {
            seal.set(&mut recorder);
        }
        let submission = recorder.submit()?;
        hardware(&self.device)?.wait(submission)
    }

    /// Makes staged rows visible.
    pub(super) fn commit(&mut self, staged: StagedRows) {
        self.chunks = staged.chunks;
        self.len = staged.len;
        self.count_used();
    }

    fn count_used(&self) {
        let size = 1usize << self.chunk_shift;
        for (index, chunk) in self.chunks.iter().enumerate() {
            let held = self.len.saturating_sub(index << self.chunk_shift).min(size);
            // Padding is taken and holds no data.
            chunk.buffer.set_used((held * self.dimension * 4) as u64);
        }
    }

    /// Copies rows `slots` to `out`, one after the other.
    pub(super) fn read(&self, slots: Range<u32>, out: &mut [f32]) -> Result<()> {
        let width = self.parts as usize * 4;
        let pool = MetalBufferPool::new(self.device.clone());
        let mut out = out.chunks_exact_mut(self.dimension);
        for stretch in self.stretches(slots) {
            let from = u64::from(stretch.first_row) * self.row_bytes();
            let bytes = u64::from(stretch.rows) * self.row_bytes();
            let chunk = self.chunk(stretch.chunk);
            read_pieces(&pool, chunk, from, bytes, self.row_bytes(), |bytes| {
                let numbers: &[f32] = bytemuck::cast_slice(bytes);
                for (row, to) in numbers.chunks_exact(width).zip(&mut out) {
                    to.copy_from_slice(&row[..self.dimension]);
                }
            })?;
        }
        Ok(())
    }
}
