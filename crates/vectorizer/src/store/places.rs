//! Which sequence number a slot has, and which fingerprint the rows up to a slot have.

use std::ops::Range;

use crate::engine::slot;

/// Rows whose sequence numbers follow each other, beginning at a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    slot: usize,
    sequence: u64,
}

/// Slots are counted; sequence numbers have gaps where rows were dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    len: usize,
    stretches: Vec<Stretch>,
    /// For each block: the slot after its last row, and the chain up to it.
    chains: Vec<(usize, u64)>,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The next slot has this sequence number, larger than all before.
    pub(super) fn push(&mut self, sequence: u64) {
        let follows = self
            .stretches
            .last()
            .is_some_and(|last| sequence - last.sequence == (self.len - last.slot) as u64);
        if !follows {
            self.stretches.push(Stretch {
                slot: self.len,
                sequence,
            });
        }
        self.len += 1;
    }

    /// A block ends here, and this is the chain with it.
    pub(super) fn end_block(&mut self, chain: u64) {
        self.chains.push((self.len, chain));
    }

    /// The rows of each block, in order.
    pub(super) fn block_lengths(&self) -> Vec<usize> {
        let starts = std::iter::once(0).chain(self.chains.iter().map(|(end, _)| *end));
        let ends = self.chains.iter().map(|(end, _)| *end);
        starts.zip(ends).map(|(start, end)| end - start).collect()
    }

    /// The sequence numbers below `next` that no slot has.
    pub(super) fn gaps(&self, next: u64) -> Vec<Range<u64>> {
        let mut free = 0;
        let mut gaps = Vec::new();
        for (number, stretch) in self.stretches.iter().enumerate() {
            let after = self.stretches.get(number + 1);
            let end = after.map_or(self.len, |after| after.slot);
            gaps.push(free..stretch.sequence);
            free = stretch.sequence + (end - stretch.slot) as u64;
        }
        gaps.push(free..next);
        gaps.retain(|gap| !gap.is_empty());
        gaps
    }

    pub(super) fn sequence(&self, slot: u32) -> Option<u64> {
        let slot = slot as usize;
        if slot >= self.len {
            return None;
        }
        let after = self
            .stretches
            .partition_point(|stretch| stretch.slot <= slot);
        let stretch = self.stretches[after.checked_sub(1)?];
        Some(stretch.sequence + (slot - stretch.slot) as u64)
    }

    pub(super) fn slot(&self, sequence: u64) -> Option<u32> {
        let after = self
            .stretches
            .partition_point(|stretch| stretch.sequence <= sequence);
        let stretch = self.stretches[after.checked_sub(1)?];
        let end = self.stretches.get(after).map_or(self.len, |next| next.slot);
        let found = usize::try_from(sequence - stretch.sequence)
            .ok()?
            .checked_add(stretch.slot)?;
        (found < end).then(|| slot(found))
    }

    /// The chain of the blocks that hold the first `rows` rows; 0 of none.
    pub(super) fn chain(&self, rows: usize) -> Option<u64> {
        if rows == 0 {
            return Some(0);
        }
        let block = self.chains.partition_point(|(end, _)| *end < rows);
        self.chains.get(block).map(|(_, chain)| *chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_sequence_numbers_find_each_other() {
        let mut places = Places::default();
        let sequences = [0, 1, 2, 5, 6, 9, 100, 101];
        for (block, three) in sequences.chunks(3).enumerate() {
            for sequence in three {
                places.push(*sequence);
            }
            places.end_block(10 + block as u64);
        }
        assert_eq!(places.len(), 8);
        assert_eq!(places.stretches.len(), 4);
        for (expected, sequence) in sequences.iter().enumerate() {
            assert_eq!(places.sequence(slot(expected)), Some(*sequence));
            assert_eq!(places.slot(*sequence), Some(slot(expected)));
        }
        for gap in [3, 4, 7, 8, 10, 99, 102, u64::MAX] {
            assert_eq!(places.slot(gap), None, "{gap}");
        }
        assert_eq!(places.sequence(8), None);
        assert_eq!(places.gaps(104), [3..5, 7..9, 10..100, 102..104]);
        assert_eq!(places.block_lengths(), [3, 3, 2]);
        let chains: Vec<_> = (0..=9).map(|rows| places.chain(rows)).collect();
        let (a, b, c) = (Some(10), Some(11), Some(12));
        assert_eq!(chains, [Some(0), a, a, a, b, b, b, c, c, None]);
    }
}
