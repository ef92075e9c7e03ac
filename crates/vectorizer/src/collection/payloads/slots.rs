//! The slots that have one value: most values of a field like a price have one slot, and a bitmap is not made for that.

use roaring::RoaringBitmap;

use super::renumbered;

/// A set of at least one slot.
#[derive(Debug)]
pub(super) enum Slots {
    One(u32),
    Many(Box<RoaringBitmap>),
}

impl Slots {
    pub(super) fn insert(&mut self, slot: u32) {
        match self {
            Self::One(one) if *one == slot => {}
            Self::One(one) => *self = Self::Many(Box::new([*one, slot].into_iter().collect())),
            Self::Many(many) => {
                many.insert(slot);
            }
        }
    }

    /// Takes a slot out; whether none is left.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        match self {
            Self::One(one) => *one == slot,
            Self::Many(many) => {
                many.remove(slot);
                many.is_empty()
            }
        }
    }

    pub(super) fn renumber(&self, numbers: &[u32]) -> Option<Self> {
        match self {
            Self::One(one) => renumbered(numbers, *one).map(Self::One),
            Self::Many(many) => {
                let many = renumber(many, numbers);
                (!many.is_empty()).then(|| Self::Many(Box::new(many)))
            }
        }
    }
}

pub(super) fn renumber(slots: &RoaringBitmap, numbers: &[u32]) -> RoaringBitmap {
    let numbers = slots.iter().filter_map(|slot| renumbered(numbers, slot));
    numbers.collect()
}

/// All slots of some sets.
pub(super) fn union<'s>(sets: impl IntoIterator<Item = &'s Slots>) -> RoaringBitmap {
    let mut ones = Vec::new();
    let mut all = RoaringBitmap::new();
    for set in sets {
        match set {
            Slots::One(one) => ones.push(*one),
            Slots::Many(many) => all |= &**many,
        }
    }
    // In order, a bitmap is filled from its end.
    ones.sort_unstable();
    all | ones.into_iter().collect::<RoaringBitmap>()
}
