//! Rows on their way to the device, through pooled staging memory that is counted like all other.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::engine::gpu::record::{Recorder, hardware};
use crate::engine::gpu::seal::Seal;
use crate::error::Result;
use crate::gpu::hardware::{Hardware, PATIENCE};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};

/// The least and the most bytes of a piece, and the share (one in) of what is brought up. Two pieces are on their way while a third
/// is being filled.
const PIECES: std::ops::RangeInclusive<usize> = 256 << 10..=8 << 20;
const PIECE_SHARE: usize = 64;
const IN_FLIGHT: usize = 2;
/// Up to this many bytes go with the next submission, without staging memory of ours.
const SMALL: usize = 64 << 10;

/// How many bytes a piece has, of so many in all.
fn piece(bytes: usize) -> usize {
    (bytes / PIECE_SHARE).clamp(*PIECES.start(), *PIECES.end())
}

/// How many bytes of staging memory it takes to bring up so many.
pub(super) fn staging_bytes(bytes: u64) -> u64 {
    if bytes <= SMALL as u64 {
        return 0;
    }
    let piece = piece(usize::try_from(bytes).unwrap_or(usize::MAX)) as u64;
    // A piece in a buffer of its class.
    bytes.min((IN_FLIGHT as u64 + 1) * (piece + piece / 8))
}

/// Writes rows of `dimension` numbers to `to`, each padded with zeros to `parts` * 4, from row `first` of the buffer on.
/// Work that is submitted later sees them; `seal` will say whether they got there.
///
/// # Errors
/// No room for staging memory, or the device failed.
pub(super) fn upload_rows(
    pool: &MetalBufferPool,
    seal: Option<&Seal>,
    rows: &[f32],
    dimension: usize,
    parts: u32,
    to: &wgpu::Buffer,
    first: usize,
) -> Result<()> {
    let width = parts as usize * 16;
    upload_padded(
        pool,
        seal,
        rows,
        dimension,
        width,
        to,
        (first * width) as u64,
    )
}

/// The same for queries, which a search needs at once: where the driver does not tell of submissions that failed, those that bring many
/// queries are proved here.
///
/// # Errors
/// As [`upload_rows`], or the device did not do the work.
pub(super) fn upload_queries(
    pool: &MetalBufferPool,
    queries: &[f32],
    dimension: usize,
    parts: u32,
    to: &wgpu::Buffer,
) -> Result<()> {
    let many = queries.len() / dimension * parts as usize * 16 > SMALL;
    let seal = if many { Seal::of_change(pool)? } else { None };
    upload_rows(pool, seal.as_ref(), queries, dimension, parts, to, 0)?;
    seal.map_or(Ok(()), |seal| seal.prove())
}

/// Writes `words` to the beginning of `to`. Work that is submitted later sees them.
///
/// # Errors
/// As [`upload_rows`].
pub(super) fn upload(
    pool: &MetalBufferPool,
    seal: Option<&Seal>,
    words: &[u32],
    to: &wgpu::Buffer,
) -> Result<()> {
    upload_padded(pool, seal, bytemuck::cast_slice(words), 1, 4, to, 0)
}

/// The same for what is needed at once, proved as [`upload_queries`] does.
///
/// # Errors
/// As there.
pub(super) fn upload_now(pool: &MetalBufferPool, words: &[u32], to: &wgpu::Buffer) -> Result<()> {
    let many = size_of_val(words) > SMALL;
    let seal = if many { Seal::of_change(pool)? } else { None };
    upload(pool, seal.as_ref(), words, to)?;
    seal.map_or(Ok(()), |seal| seal.prove())
}

fn upload_padded(
    pool: &MetalBufferPool,
    seal: Option<&Seal>,
    rows: &[f32],
    dimension: usize,
    width: usize,
    to: &wgpu::Buffer,
    mut at: u64,
) -> Result<()> {
    let hardware = hardware(pool.device())?;
    if rows.len() / dimension * width <= SMALL {
        let bytes = padded(rows, dimension, width);
        hardware.guarded(|_| {
            hardware.queue().write_buffer(to, at, &bytes);
            Ok(())
        })?;
        if let Some(seal) = seal {
            let mut recorder = Recorder::new(pool.device());
            seal.set(&mut recorder);
            recorder.submit()?;
        }
        return Ok(());
    }
    let mut under_way: VecDeque<(PooledBuffer, wgpu::SubmissionIndex)> = VecDeque::new();
    let at_once = piece(rows.len() / dimension * width) / width;
    for piece in rows.chunks(at_once.max(1) * dimension) {
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
        let submission = {
            let mut recorder = Recorder::new(pool.device());
            recorder.copy_range(&staging, 0, to, at, bytes);
            if let Some(seal) = seal {
                if seal.is_full() {
                    seal.prove()?;
                }
                seal.set(&mut recorder);
            }
            recorder.submit()?
        };
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
    hardware.map(staging, wgpu::MapMode::Write, bytes, move |mapped| {
        // The receiver is gone only after an error of its own.
        let _ = sender.send(mapped);
    })?;
    let begun = Instant::now();
    let mapped = loop {
        hardware.tend()?;
        // Another thread may be the one that runs the callback.
        match answer.recv_timeout(Duration::from_millis(1)) {
            Ok(mapped) => break mapped,
            Err(_) if begun.elapsed() < PATIENCE => {}
            Err(_) => return Err(hardware.lose("it does not open memory to be written")),
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
