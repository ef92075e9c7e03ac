//! A neighbour in one word.

use crate::engine::Neighbor;

/// A neighbour as one integer of the same order: the bits of its score made monotone, its slot, and a bit to mark it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    const MARK: u64 = 1;
    const SIGN: u32 = 1 << 31;
    /// Orders after every neighbour.
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline(always)]
    pub(crate) fn new(score: f32, slot: u32) -> Self {
        // + 0.0 makes -0 and 0 one value. Negative numbers order backwards by their bits: all are flipped.
        let bits = (score + 0.0).to_bits();
        let flip = (bits.cast_signed() >> 31).cast_unsigned() | Self::SIGN;
        Self(u64::from(bits ^ flip) << 32 | u64::from(slot) << 1)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(crate) fn slot(self) -> u32 {
        self.0 as u32 >> 1
    }

    #[inline(always)]
    pub(crate) fn score(self) -> f32 {
        let bits = (self.0 >> 32) as u32;
        let flip = (!bits.cast_signed() >> 31).cast_unsigned() | Self::SIGN;
        f32::from_bits(bits ^ flip)
    }

    /// The score's bits, of the same order.
    #[inline(always)]
    pub(crate) fn score_bits(self) -> u64 {
        self.0 >> 32
    }

    /// The same score for another slot.
    #[inline(always)]
    pub(crate) fn with_slot(self, slot: u32) -> Self {
        Self(self.0 >> 32 << 32 | u64::from(slot) << 1)
    }

    #[inline(always)]
    pub(super) fn marked(self) -> bool {
        self.0 & Self::MARK != 0
    }

    #[inline(always)]
    pub(super) fn mark(&mut self) {
        self.0 |= Self::MARK;
    }

    pub(crate) fn unmarked(self) -> Self {
        Self(self.0 & !Self::MARK)
    }

    pub(crate) fn neighbor(self) -> Neighbor {
        Neighbor {
            score: self.score(),
            slot: self.slot(),
        }
    }
}

impl From<Neighbor> for Key {
    fn from(neighbor: Neighbor) -> Self {
        Self::new(neighbor.score, neighbor.slot)
    }
}
