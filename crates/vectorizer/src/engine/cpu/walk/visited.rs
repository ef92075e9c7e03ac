//! The slots that a walk has been to.

use crate::engine::{NO_SLOT, SlotSet};

/// Which slots a walk has seen: a bit for each, and the list of those that are set, to clear them.
#[derive(Debug, Default)]
pub(super) struct Visited {
    bits: Vec<u64>,
    pub(super) seen: Vec<u32>,
    /// Those that are set and may not be found.
    passed: Vec<u32>,
}

impl Visited {
    pub(super) fn start(&mut self, slots: usize) {
        for slot in self.seen.drain(..).chain(self.passed.drain(..)) {
            self.bits[slot as usize / 64] = 0;
        }
        self.bits.resize(slots.div_ceil(64), 0);
    }

    /// Notes the slots of a row that were not seen before, and gives them.
    #[inline(always)]
    pub(super) fn fresh(&mut self, row: &[u32]) -> &[u32] {
        let before = self.seen.len();
        self.seen.resize(before + row.len(), 0);
        let mut end = before;
        for &slot in row {
            if slot == NO_SLOT {
                break;
            }
            let word = &mut self.bits[slot as usize / 64];
            let bit = 1 << (slot % 64);
            // Written in any case, kept if it is new: no branch to mispredict.
            self.seen[end] = slot;
            end += usize::from(*word & bit == 0);
            *word |= bit;
        }
        self.seen.truncate(end);
        &self.seen[before..]
    }

    /// Notes the slots of a row that are allowed and were not seen before.
    #[inline(always)]
    pub(super) fn fresh_among(&mut self, row: &[u32], allowed: &SlotSet) {
        for &slot in row {
            if slot == NO_SLOT {
                break;
            }
            if allowed.contains(slot) {
                self.note(slot);
            }
        }
    }

    /// Notes a slot if it was not seen before.
    #[inline(always)]
    pub(super) fn note(&mut self, slot: u32) {
        let word = &mut self.bits[slot as usize / 64];
        let bit = 1 << (slot % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.seen.push(slot);
        }
    }

    /// Notes a slot that will not be found; whether it was not seen before.
    #[inline(always)]
    pub(super) fn pass(&mut self, slot: u32) -> bool {
        let word = &mut self.bits[slot as usize / 64];
        let bit = 1 << (slot % 64);
        let new = *word & bit == 0;
        if new {
            *word |= bit;
            self.passed.push(slot);
        }
        new
    }
}
