//! Rows on their way to the device, through pooled staging memory that is counted like all other.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::engine::gpu::record::hardware;
use crate::error::Result;
use crate::gpu::device::Device;
use crate::gpu::hardware::{Hardware, PATIENCE};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};

/// Bytes of a piece. Two pieces are on their way while a third is being filled.
const PIECE: usize = 8 << 20;
const IN_FLIGHT: usize = 2;
/// Up to this many bytes go with the next submission, without staging memory of ours.
const SMALL: usize = 64 << 10;

/// Writes rows of `dimension` numbers to `to`, each padded with zeros to `parts` * 4, from row `first` of the buffer on.
/// Work that is submitted later sees them.
///
/// # Errors
/// No room for staging memory, or the device failed.
pub(super) fn upload_rows(
    device: &Device,
    rows: &[f32],
    dimension: usize,
    parts: u32,
    to: &wgpu::Buffer,
    first: usize,
) -> Result<()> {
    let width = parts as usize * 16;
    upload_padded(device, rows, dimension, width, to, (first * width) as u64)
}

/// Writes `words` to the beginning of `to`. Work that is submitted later sees them.
///
/// # Errors
/// As [`upload_rows`].
pub(super) fn upload(device: &Device, words: &[u32], to: &wgpu::Buffer) -> Result<()> {
    upload_padded(device, bytemuck::cast_slice(words), 1, 4, to, 0)
}

fn upload_padded(
    device: &Device,
    rows: &[f32],
    dimension: usize,
    width: usize,
    to: &wgpu::Buffer,
    mut at: u64,
) -> Result<()> {
    let hardware = hardware(device)?;
    if rows.len() / dimension * width <= SMALL {
        let bytes = padded(rows, dimension, width);
        return hardware.guarded(|_| {
            hardware.queue().write_buffer(to, at, &bytes);
            Ok(())
        });
    }
    let pool = MetalBufferPool::new(device.clone());
    let mut under_way: VecDeque<(PooledBuffer, wgpu::SubmissionIndex)> = VecDeque::new();
    for piece in rows.chunks((PIECE / width).max(1) * dimension) {
        if under_way.len() >= IN_FLIGHT
            && let Some((done, submission)) = under_way.pop_front()
        {
            finish(hardware, done, submission)?;
        }
        let bytes = (piece.len() / dimension * width) as u64;
        let mut staging = pool.lend(Purpose::Upload, "upload", bytes)?;
        if let Err(error) = fill(hardware, &staging, piece, dimension, width) {
            staging.spoil();
            return Err(error);
        }
        let submission = hardware.guarded(|device| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("upload"),
            });
            encoder.copy_buffer_to_buffer(&staging, 0, to, at, bytes);
            Ok(hardware.queue().submit([encoder.finish()]))
        })?;
        under_way.push_back((staging, submission));
        at += bytes;
    }
    for (done, submission) in under_way {
        finish(hardware, done, submission)?;
    }
    Ok(())
}

/// Waits until a piece has left its staging memory; what may still be in use is not lent again.
fn finish(
    hardware: &Hardware,
    mut staging: PooledBuffer,
    submission: wgpu::SubmissionIndex,
) -> Result<()> {
    hardware.wait(submission).inspect_err(|_| staging.spoil())
}

/// Writes a piece into staging memory that the device is not using.
fn fill(
    hardware: &Hardware,
    staging: &wgpu::Buffer,
    piece: &[f32],
    dimension: usize,
    width: usize,
) -> Result<()> {
    let bytes = (piece.len() / dimension * width) as u64;
    let (sender, answer) = mpsc::channel();
    hardware.guarded(|_| {
        staging.map_async(wgpu::MapMode::Write, 0..bytes, move |mapped| {
            // The receiver is gone only after an error of its own.
            let _ = sender.send(mapped);
        });
        Ok(())
    })?;
    let begun = Instant::now();
    let mapped = loop {
        hardware.tend()?;
        // Another thread may be the one that runs the callback.
        match answer.recv_timeout(Duration::from_millis(1)) {
            Ok(mapped) => break mapped,
            Err(_) if begun.elapsed() < PATIENCE => {}
            Err(error) => return Err(hardware.failed(error.to_string())),
        }
    };
    mapped.map_err(|error| hardware.failed(error.to_string()))?;
    let mut view = staging
        .get_mapped_range_mut(0..bytes)
        .map_err(|error| hardware.failed(error.to_string()))?;
    if width == dimension * 4 {
        view.copy_from_slice(bytemuck::cast_slice(piece));
    } else {
        view.copy_from_slice(&padded(piece, dimension, width));
    }
    drop(view);
    staging.unmap();
    Ok(())
}

/// Rows with zeros behind each.
fn padded(rows: &[f32], dimension: usize, width: usize) -> Vec<u8> {
    let mut bytes = vec![0; rows.len() / dimension * width];
    for (row, to) in rows
        .chunks_exact(dimension)
        .zip(bytes.chunks_exact_mut(width))
    {
        to[..dimension * 4].copy_from_slice(bytemuck::cast_slice(row));
    }
    bytes
}
