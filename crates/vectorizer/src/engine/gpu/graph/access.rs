//! Links read back, written one by one, and put in the place of all there are.

use super::Graph;
use crate::engine::gpu::record::hardware;
use crate::engine::gpu::seal::{Seal, read_pieces};
use crate::engine::gpu::transfer::upload;
use crate::engine::{Attachment, LevelLinks};
use crate::error::{Result, VectorizerError};
use crate::gpu::buffer::DeviceBuffer;
use crate::gpu::device::Device;
use crate::gpu::metal_buffer_pool::MetalBufferPool;

impl Graph {
    /// The rows of `level`, read back.
    pub(in crate::engine::gpu) fn read(&self, device: &Device, level: usize) -> Result<LevelLinks> {
        let degree = self.layout.degree(level);
        let mut rows = Vec::new();
        if level == 0 {
            rows.reserve_exact(self.linked * degree);
            let mut left = self.linked as u64 * Self::row_bytes(self.layout, 0);
            for chunk in &self.store.chunks {
                let bytes = left.min(chunk.bytes());
                read(device, chunk, bytes, &mut rows)?;
                left -= bytes;
            }
        } else if let Some(upper) = &self.store.upper {
            let mut all = Vec::new();
            read(
                device,
                upper,
                self.upper_rows as u64 * Self::row_bytes(self.layout, 1),
                &mut all,
            )?;
            for tall in self
                .tall
                .iter()
                .filter(|tall| usize::from(tall.level) >= level)
            {
                let row = tall.base as usize + level - 1;
                rows.extend_from_slice(&all[row * degree..][..degree]);
            }
        }
        Ok(LevelLinks { degree, rows })
    }

    /// Writes single links.
    pub(in crate::engine::gpu) fn attach(
        &mut self,
        device: &Device,
        attachments: &[Attachment],
    ) -> Result<()> {
        let hardware = hardware(device)?;
        let places: Vec<_> = attachments
            .iter()
            .map(|attachment| self.place(attachment))
            .collect::<Option<_>>()
            .ok_or_else(|| VectorizerError::GraphDamaged {
                reason: "a link was to be written where no row is".to_owned(),
            })?;
        hardware.guarded(|_| {
            for ((buffer, at), attachment) in places.iter().zip(attachments) {
                hardware
                    .queue()
                    .write_buffer(buffer, *at, bytemuck::bytes_of(&attachment.to));
            }
            hardware.flush().map(drop)
        })
    }

    /// The buffer and byte in which a link stands.
    fn place(&self, attachment: &Attachment) -> Option<(&wgpu::Buffer, u64)> {
        let Attachment {
            level, from, place, ..
        } = *attachment;
        let degree = self.layout.degree(level);
        if place >= degree {
            return None;
        }
        let (buffer, row) = if level == 0 {
            let from = from as usize;
            let chunk = self.store.chunks.get(from >> self.shift)?;
            (from < self.linked).then_some((chunk, from & ((1 << self.shift) - 1)))?
        } else {
            let at = self
                .tall
                .binary_search_by_key(&from, |tall| tall.slot)
                .ok()?;
            let tall = self
                .tall
                .get(at)
                .filter(|tall| usize::from(tall.level) >= level)?;
            (self.store.upper.as_ref()?, tall.base as usize + level - 1)
        };
        Some((buffer.raw(), (row * degree + place) as u64 * 4))
    }

    /// Takes over links that were read back, in place of all there are.
    pub(in crate::engine::gpu) fn put(
        &mut self,
        device: &Device,
        rows: usize,
        levels: &[u8],
        links: &[LevelLinks],
    ) -> Result<()> {
        let mut fresh = Self::with_chunks_of(self.layout, 1 << self.shift);
        let Some((bottom, above)) = links.split_first() else {
            *self = fresh;
            return Ok(());
        };
        let growth = fresh.stage_growth(device, rows, levels)?;
        let arrivals = fresh.make_room(device, growth, None)?;
        let per_chunk = bottom.degree << self.shift;
        let pool = MetalBufferPool::for_building(device.clone());
        let seal = Seal::of_change(&pool)?;
        for (chunk, links) in fresh.store.chunks.iter().zip(bottom.rows.chunks(per_chunk)) {
            upload(&pool, seal.as_ref(), links, chunk.raw())?;
        }
        if let Some(upper) = &fresh.store.upper {
            let mut rows: Vec<_> = above
                .iter()
                .map(|level| level.rows.chunks_exact(level.degree))
                .collect();
            let mut together = Vec::with_capacity(above.iter().map(|level| level.rows.len()).sum());
            for tall in &arrivals.tall {
                for row in rows
                    .iter_mut()
                    .take(tall.level.into())
                    .filter_map(Iterator::next)
                {
                    together.extend_from_slice(row);
                }
            }
            upload(&pool, seal.as_ref(), &together, upper.raw())?;
        }
        seal.map_or(Ok(()), |seal| seal.prove())?;
        fresh.arrive(arrivals);
        *self = fresh;
        Ok(())
    }
}

/// Appends the first `bytes` of a buffer to `out`, in pieces that staging memory holds easily.
fn read(device: &Device, from: &DeviceBuffer, bytes: u64, out: &mut Vec<u32>) -> Result<()> {
    let pool = MetalBufferPool::for_building(device.clone());
    read_pieces(&pool, from.raw(), 0, bytes, 4, |view| {
        out.extend(
            view.chunks_exact(4)
                .map(bytemuck::pod_read_unaligned::<u32>),
        );
    })
}
