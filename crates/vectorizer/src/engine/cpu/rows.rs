//! Rows in memory: chunks of a power-of-two number of rows. Growing adds a chunk; no row ever moves or is held twice.

use std::ops::Range;

use bytemuck::Pod;

use crate::engine::MAX_SLOTS;
use crate::engine::cpu::pages::Pages;
use crate::engine::prefetch::prefetch;
use crate::error::{Result, VectorizerError};
use crate::gpu::memory::{Label, Lease, Ledger};

/// What a chunk holds at most (unless one row is larger). It bounds what a commit has to copy, and address space that is
/// reserved and not used.
const CHUNK_BYTES: usize = 8 << 20;
/// A chunk that will hold less than this is not put on huge pages: it would take more than it holds.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Memory is counted in whole pages of this size.
const PAGE_BYTES: usize = 4096;
const LINE_BYTES: usize = 64;
/// How much of a row [`Rows::prefetch`] asks for; the hardware sees where it goes on.
const PREFETCH_LINES: usize = 8;

/// The rows of an engine, of floats or of what stands for them.
#[derive(Debug)]
pub(crate) struct Rows<T = f32> {
    dimension: usize,
    /// Values from one row to the next.
    stride: usize,
    /// A chunk has 2 to this many rows.
    chunk_bits: u32,
    len: usize,
    chunks: Vec<Pages<T>>,
    ledger: Ledger,
    lease: Lease,
}

/// Rows that wait to be committed: new chunks, and what goes into the room left in the last one.
#[derive(Debug)]
pub(crate) struct StagedRows<T = f32> {
    /// The number of rows these come after.
    first: usize,
    count: usize,
    /// Without padding.
    head: Vec<T>,
    chunks: Vec<Pages<T>>,
    lease: Lease,
    _head_lease: Lease,
}

/// Rows begin at a cache line where that costs at most a thirtieth, else at 16 bytes where that does, else anywhere.
fn stride<T>(dimension: usize) -> usize {
    [LINE_BYTES, 16]
        .map(|bytes| dimension.next_multiple_of((bytes / size_of::<T>()).max(1)))
        .into_iter()
        .find(|padded| (padded - dimension) * 33 <= dimension)
        .unwrap_or(dimension)
}

/// What so many rows take.
pub(crate) fn bytes_of<T>(count: usize, dimension: usize) -> u64 {
    (count * stride::<T>(dimension) * size_of::<T>()).next_multiple_of(PAGE_BYTES) as u64
}

impl<T: Pod> Rows<T> {
    /// No rows, of `dimension` values each.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) fn new(dimension: usize, ledger: Ledger) -> Result<Self> {
        let stride = stride::<T>(dimension);
        let rows = (CHUNK_BYTES / (stride * size_of::<T>()).max(1)).max(1);
        let lease = ledger.take(Label::Rows, 0)?;
        Ok(Self {
            dimension,
            stride,
            chunk_bits: rows.ilog2(),
            len: 0,
            chunks: Vec::new(),
            ledger,
            lease,
        })
    }

    /// Rows of the same dimension on the same ledger: `rows`, which lie end to end.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub(crate) fn of_same_kind(&self, rows: &[T]) -> Result<Self> {
        let mut own = Self::new(self.dimension, self.ledger.clone())?;
        let staged = own.stage(rows)?;
        own.commit(staged);
        Ok(own)
    }

    /// Values of a row.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many rows are visible.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn chunk_rows(&self) -> usize {
        1 << self.chunk_bits
    }

    /// How many bytes more staging so many rows takes at the most.
    pub(crate) fn room_for(&self, count: usize) -> u64 {
        let room = (self.chunks.len() << self.chunk_bits) - self.len;
        let head = room.min(count) * self.dimension * size_of::<T>();
        bytes_of::<T>(self.len + count, self.dimension).saturating_sub(self.lease.bytes())
            + head as u64
    }

    /// Copies whole rows that lie end to end to where they will stay, except for those that fit into the last chunk.
    ///
    /// # Errors
    /// As [`Self::stage_with`].
    pub(crate) fn stage(&self, rows: &[T]) -> Result<StagedRows<T>> {
        debug_assert!(rows.len().is_multiple_of(self.dimension), "ragged rows");
        self.stage_with(rows.len() / self.dimension, |number, to| {
            to.copy_from_slice(&rows[number * self.dimension..][..self.dimension]);
        })
    }

    /// The same for `count` rows, each written by `write`, which is told its number, from 0, and where, in the order of numbers.
    ///
    /// # Errors
    /// Over the ledger's limit, no memory, or more slots than there can be.
    pub(crate) fn stage_with(
        &self,
        count: usize,
        mut write: impl FnMut(usize, &mut [T]),
    ) -> Result<StagedRows<T>> {
        let total = self.len + count;
        if total > MAX_SLOTS {
            return Err(VectorizerError::TooManyVectors {
                max: MAX_SLOTS,
                requested: total,
            });
        }
        let wanted = bytes_of::<T>(total, self.dimension);
        let lease = self
            .ledger
            .take(Label::Rows, wanted.saturating_sub(self.lease.bytes()))?;

        let room = (self.chunks.len() << self.chunk_bits) - self.len;
        let in_head = room.min(count);
        let mut head = vec![T::zeroed(); in_head * self.dimension];
        let head_lease = self
            .ledger
            .take(Label::Pool, size_of_val(head.as_slice()) as u64)?;
        for (number, to) in head.chunks_exact_mut(self.dimension).enumerate() {
            write(number, to);
        }

        let mut chunks = Vec::new();
        for first in (in_head..count).step_by(self.chunk_rows()) {
            let numbers = first..count.min(first + self.chunk_rows());
            let mut chunk = Pages::zeroed(self.chunk_rows() * self.stride)?;
            let bytes = numbers.len() * self.dimension * size_of::<T>();
            if bytes >= HUGE_PAGE_BYTES || !self.chunks.is_empty() {
                chunk.advise_huge();
            }
            for (number, to) in numbers.zip(chunk.chunks_mut(self.stride)) {
                write(number, &mut to[..self.dimension]);
            }
            chunks.push(chunk);
        }
        Ok(StagedRows {
            first: self.len,
            count,
            head,
            chunks,
            lease,
            _head_lease: head_lease,
        })
    }

    /// Makes staged rows visible: copies at most a chunk. Nothing else may have been committed since they were staged.
    pub(crate) fn commit(&mut self, staged: StagedRows<T>) {
        debug_assert_eq!(staged.first, self.len, "another commit came between");
        if let Some(mut chunk) = self.chunks.pop() {
            let start = (self.len - (self.chunks.len() << self.chunk_bits)) * self.stride;
            self.copy(&staged.head, &mut chunk[start..]);
            self.chunks.push(chunk);
        }
        self.chunks.extend(staged.chunks);
        self.len += staged.count;
        self.lease.absorb(staged.lease);
        let used = self.len * self.dimension * size_of::<T>();
        self.lease.set_used(used as u64);
    }

    /// Spreads rows that lie end to end to where rows lie in a chunk.
    fn copy(&self, rows: &[T], to: &mut [T]) {
        if self.stride == self.dimension {
            to[..rows.len()].copy_from_slice(rows);
            return;
        }
        let rows = rows.chunks_exact(self.dimension);
        for (row, to) in rows.zip(to.chunks_mut(self.stride)) {
            to[..self.dimension].copy_from_slice(row);
        }
    }

    /// The values of row `slot`, which is below [`Self::len`].
    #[inline(always)]
    pub(crate) fn row(&self, slot: u32) -> &[T] {
        let slot = slot as usize;
        let chunk = &self.chunks[slot >> self.chunk_bits];
        let place = slot & ((1 << self.chunk_bits) - 1);
        &chunk[place * self.stride..][..self.dimension]
    }

    /// Asks for the beginning of row `slot`, so that it is near when it is read soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: u32) {
        let row = self.row(slot);
        for line in row
            .chunks((LINE_BYTES / size_of::<T>()).max(1))
            .take(PREFETCH_LINES)
        {
            prefetch(line);
        }
    }

    /// Runs of at most `most` rows that lie in one chunk, covering `slots` in order: the first slot of each, and its rows at
    /// distances of [`Self::stride`]; after the last row of a run there may be no padding.
    pub(crate) fn runs(
        &self,
        slots: Range<u32>,
        most: usize,
    ) -> impl Iterator<Item = Run<'_, T>> + Clone {
        let mut next = slots.start as usize;
        let end = slots.end as usize;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let first = next;
                let place = first & (self.chunk_rows() - 1);
                let count = (end - first)
                    .min(self.chunk_rows() - place)
                    .min(most.max(1));
                next += count;
                let values = (count - 1) * self.stride + self.dimension;
                Run {
                    first,
                    count,
                    rows: &self.chunks[first >> self.chunk_bits][place * self.stride..][..values],
                }
            })
        })
    }

    /// Values from one row of a run to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }
}

/// Rows that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a, T = f32> {
    /// The slot of the first.
    pub(crate) first: usize,
    /// How many.
    pub(crate) count: usize,
    /// Their values, [`Rows::stride`] apart.
    pub(crate) rows: &'a [T],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(slot: usize, i: usize) -> f32 {
        (slot * 31 + i) as f32
    }

    fn make(dimension: usize, slots: Range<usize>) -> Vec<f32> {
        slots
            .flat_map(|s| (0..dimension).map(move |i| value(s, i)))
            .collect()
    }

    #[test]
    fn rows_stay_what_they_were_however_they_came() {
        for dimension in [1, 2, 3, 5, 7, 15, 16, 17, 127, 784, 1536, 65_536] {
            let mut rows = Rows::new(dimension, Ledger::new(None)).unwrap();
            let chunk = rows.chunk_rows();
            let sizes = [0, 1, 2, 31, chunk - 1, 1, chunk, 2 * chunk + 3, 5];
            for size in sizes.map(|size| size.min((4 << 20) / dimension + 3)) {
                let first = rows.len();
                let staged = rows.stage(&make(dimension, first..first + size)).unwrap();
                assert_eq!(rows.len(), first, "staged rows are not visible");
                rows.commit(staged);
                assert_eq!(rows.len(), first + size);
            }
            for slot in 0..rows.len() {
                let row = rows.row(slot as u32);
                assert_eq!(row.len(), dimension);
                for i in [0, dimension / 2, dimension - 1] {
                    assert_eq!(row[i], value(slot, i), "dimension {dimension}, row {slot}");
                }
            }
            let end = rows.len() as u32;
            for (from, most) in [(0, 7), (1, 1000), (end / 2, usize::MAX), (end, 3)] {
                let mut next = from as usize;
                for run in rows.runs(from..end, most) {
                    assert_eq!(run.first, next);
                    assert!(run.count <= most);
                    for place in 0..run.count {
                        let row = &run.rows[place * rows.stride()..][..dimension];
                        assert_eq!(row, rows.row((run.first + place) as u32));
                    }
                    next += run.count;
                }
                assert_eq!(next, end as usize);
            }
        }
    }

    #[test]
    fn the_ledger_says_what_is_held() {
        for count in [1000, 10_000, 20_000] {
            let ledger = Ledger::new(None);
            let mut rows = Rows::new(512, ledger.clone()).unwrap();
            let staged = rows.stage(&vec![1.0f32; count * 512]).unwrap();
            rows.commit(staged);
            let account = ledger.account(Label::Rows);
            assert_eq!(account.used, count as u64 * 2048);
            assert!(account.used as f64 >= 0.99 * account.taken as f64);
            assert_eq!(account.count, 1);
            assert_eq!(ledger.account(Label::Pool).taken, 0);
            drop(rows);
            assert_eq!(ledger.total().taken, 0);
        }
    }

    #[test]
    fn single_rows_take_no_more_than_a_batch() {
        let ledger = Ledger::new(None);
        let mut rows = Rows::new(128, ledger.clone()).unwrap();
        for slot in 0..1000 {
            let staged = rows.stage(&make(128, slot..slot + 1)).unwrap();
            rows.commit(staged);
        }
        let account = ledger.account(Label::Rows);
        assert_eq!(
            (account.used, account.taken, account.count),
            (512_000, 512_000, 1)
        );
        assert_eq!(rows.row(999), make(128, 999..1000));
    }

    #[test]
    fn over_the_limit_nothing_changes() {
        let ledger = Ledger::new(Some(1 << 20));
        let mut rows = Rows::new(256, ledger.clone()).unwrap();
        let staged = rows.stage(&make(256, 0..1000)).unwrap();
        rows.commit(staged);
        let before = ledger.total();
        assert!(matches!(
            rows.stage(&make(256, 1000..1100)),
            Err(VectorizerError::VramLimitExceeded { .. })
        ));
        assert_eq!(ledger.total().taken, before.taken);
        let dropped = rows.stage(&make(256, 1000..1005)).unwrap();
        drop(dropped);
        assert_eq!(ledger.total().taken, before.taken);
        assert_eq!(rows.len(), 1000);
    }

    #[test]
    fn padding_costs_a_thirtieth_at_most() {
        for dimension in 1..5000 {
            let stride = stride::<f32>(dimension);
            assert!(stride >= dimension && stride as f64 <= dimension as f64 * 1.0304);
        }
        assert_eq!(
            [128, 256, 512, 784].map(stride::<f32>),
            [128, 256, 512, 784]
        );
        assert_eq!(
            [127, 1535, 17, 63, 700].map(stride::<f32>),
            [128, 1536, 17, 64, 704]
        );
    }
}
