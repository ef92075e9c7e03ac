//! Rows on the device, in chunks.
//!
//! A row is padded with zeros to 16 bytes. A chunk is one buffer and one binding of a power-of-two number of rows, so that a slot's
//! chunk is a shift and its place a mask; it is never larger than the device's binding limit. Growing adds a chunk. Only the
//! last one may be smaller than the others: it is cut close to what it holds and replaced by a larger copy when it is full.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::MAX_SLOTS;
use crate::engine::gpu::record::{Recorder, hardware, read_back};
use crate::engine::gpu::transfer::upload_rows;
use crate::error::{Result, VectorizerError};
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
use crate::gpu::memory::Label;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::kernels::RowsShape;

/// The most bytes that one readback takes.
const READ: usize = 16 << 20;
/// A chunk that is replaced gets room for this share more, so that single appends do not copy it each time.
const SPARE: usize = 32;

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
    dimension: usize,
    parts: u32,
    chunk_shift: u32,
    chunks: Vec<Chunk>,
    len: usize,
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
        Self::with_chunks_of(device, dimension, tier.binding_bytes.min(tier.buffer_bytes))
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
            dimension,
            parts,
            chunk_shift: chunk_shift.min(30),
            chunks: Vec::new(),
            len: 0,
        })
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

    fn row_bytes(&self) -> u64 {
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
        while !rest.is_empty() {
            let (chunk, first) = (at >> self.chunk_shift, at & (size - 1));
            let count = (rest.len() / self.dimension).min(size - first);
            let need = first + count;
            if chunk == chunks.len() {
                chunks.push(self.allocate(need)?);
            } else if chunks[chunk].room < need {
                let larger = self.allocate((need + need / SPARE).min(size))?;
                self.copy(&chunks[chunk], &larger, first)?;
                chunks[chunk] = larger;
            }
            let (now, later) = rest.split_at(count * self.dimension);
            upload_rows(
                &self.device,
                now,
                self.dimension,
                self.parts,
                chunks[chunk].buffer.raw(),
                first,
            )?;
            rest = later;
            at += count;
        }
        Ok(StagedRows { chunks, len })
    }

    fn copy(&self, from: &Chunk, to: &Chunk, rows: usize) -> Result<()> {
        let bytes = rows as u64 * self.row_bytes();
        let mut recorder = Recorder::new(&self.device);
        recorder.copy(from.buffer.raw(), to.buffer.raw(), bytes);
        let submission = recorder.submit()?;
        hardware(&self.device)?.wait(submission)
    }

    /// Makes staged rows visible.
    pub(super) fn commit(&mut self, staged: StagedRows) {
        self.chunks = staged.chunks;
        self.len = staged.len;
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
        let at_once = small(READ / (width * 4)).max(1);
        let pool = MetalBufferPool::new(self.device.clone());
        let mut out = out.chunks_exact_mut(self.dimension);
        for stretch in self.stretches(slots) {
            let end = stretch.first_row + stretch.rows;
            for first in (stretch.first_row..end).step_by(at_once as usize) {
                let count = at_once.min(end - first);
                let bytes = u64::from(count) * self.row_bytes();
                let mut staging = pool.lend(Purpose::Readback, "rows read back", bytes)?;
                let hardware = hardware(&self.device)?;
                let submission = hardware.guarded(|device| {
                    let mut encoder =
                        device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                            label: Some("read rows"),
                        });
                    let from = u64::from(first) * self.row_bytes();
                    let chunk = self.chunk(stretch.chunk);
                    encoder.copy_buffer_to_buffer(chunk, from, &staging, 0, bytes);
                    Ok(hardware.queue().submit([encoder.finish()]))
                })?;
                read_back(&self.device, submission, &mut staging, bytes, |bytes| {
                    let numbers: &[f32] = bytemuck::cast_slice(bytes);
                    for (row, to) in numbers.chunks_exact(width).zip(&mut out) {
                        to.copy_from_slice(&row[..self.dimension]);
                    }
                })?;
            }
        }
        Ok(())
    }
}
