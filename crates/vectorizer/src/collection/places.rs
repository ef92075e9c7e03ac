//! Where in the order of insertion a slot stands: places stay what they are when slots are numbered anew.

use std::ops::Range;

use roaring::RoaringTreemap;

use crate::engine::{NO_SLOT, slot};

/// Places of slots. A place is given once, and never again after its vector is gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    gone: RoaringTreemap,
}

impl Places {
    /// Of a collection from a disk: these places were given, and their vectors are gone.
    pub(super) fn begin_with(&mut self, gone: Vec<Range<u64>>) {
        for gap in gone {
            self.gone.insert_range(gap);
        }
    }

    /// The place of a slot.
    pub(super) fn of(&self, slot: u32) -> u64 {
        // The first place that has this many slots before it.
        let (mut low, mut high) = (u64::from(slot), u64::from(slot) + self.gone.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.after(middle) > u64::from(slot) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The first slot after a place, whether or not the place is still taken. Places come back from callers, who may make them up: after one that
    /// was never given there is none.
    pub(super) fn slot_after(&self, place: u64) -> u32 {
        u32::try_from(self.after(place)).unwrap_or(NO_SLOT)
    }

    /// How many slots stand at this place or before it.
    fn after(&self, place: u64) -> u64 {
        place.saturating_add(1) - self.gone.rank(place)
    }

    /// Each slot is `numbers[slot]` from now on, or gone where that is [`NO_SLOT`]; the order stays.
    pub(super) fn renumber(&mut self, numbers: &[u32]) {
        let gone = numbers.iter().enumerate();
        let gone = gone.filter(|(_, number)| **number == NO_SLOT);
        let gone: Vec<u64> = gone.map(|(old, _)| self.of(slot(old))).collect();
        self.gone.extend(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_while_slots_move() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut places = Places::default();
        // What a slot's place should be, kept the long way.
        let mut model: Vec<u64> = (0..50).collect();
        let mut next = 50;
        for round in 0..40 {
            let numbers: Vec<u32> = {
                let mut left = 0;
                let number = |_| {
                    if random.u8(..4) == 0 || round == 20 {
                        return NO_SLOT;
                    }
                    left += 1;
                    left - 1
                };
                (0..model.len()).map(number).collect()
            };
            places.renumber(&numbers);
            let mut kept = numbers.iter().map(|number| *number != NO_SLOT);
            model.retain(|_| kept.next().unwrap());
            model.extend(next..next + 13);
            next += 13;
            for (slot, place) in model.iter().enumerate() {
                assert_eq!(places.of(slot as u32), *place, "round {round}");
            }
            for place in 0..next {
                let after = model.iter().filter(|other| **other <= place).count();
                assert_eq!(places.slot_after(place) as usize, after, "round {round}");
            }
        }
    }
}
