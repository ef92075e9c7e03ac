//! A set of slots: which may be found, which are dead.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::{MAX_SLOTS, NO_SLOT, slot};

/// A set of slots, a bit for each. Slots beyond the last one that was ever put in are not in it.
///
/// ```
/// use vectorizer::config::{CollectionOptions, SearchOptions};
/// use vectorizer::engine::SlotSet;
/// use vectorizer::gpu::context::Context;
/// use vectorizer::hnsw::HnswGraph;
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let mut graph = HnswGraph::new(&Context::cpu(), 1, DistanceMetric::Euclidean, CollectionOptions::default())?;
/// graph.append(&[0.0, 1.0, 2.0, 3.0])?;
/// let odd: SlotSet = [1, 3].into_iter().collect();
/// let answer = graph.search_among(&[0.0], 2, &SearchOptions::default(), Some(&odd))?;
/// let slots = answer.hits.of(0).iter().map(|hit| hit.slot);
/// assert!(slots.eq([1, 3]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct SlotSet {
    words: Vec<u64>,
    len: usize,
    /// What was last derived from it, and for which version of what else that depends on.
    derived: Mutex<Option<Derived>>,
}

type Derived = (u64, Arc<SlotSet>, bool);

impl Clone for SlotSet {
    fn clone(&self) -> Self {
        Self::of_words(self.words.clone(), self.len)
    }
}

impl SlotSet {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self::of_words(Vec::new(), 0)
    }

    const fn of_words(words: Vec<u64>, len: usize) -> Self {
        Self {
            words,
            len,
            derived: Mutex::new(None),
        }
    }

    /// What `derive` makes of this set, which is remembered for this `version` until the set changes.
    pub(crate) fn derived(
        &self,
        version: u64,
        derive: impl FnOnce() -> (Self, bool),
    ) -> (Arc<Self>, bool) {
        if let Some((of, set, mark)) = &*self.derived.lock()
            && *of == version
        {
            return (Arc::clone(set), *mark);
        }
        let (set, mark) = derive();
        let set = Arc::new(set);
        *self.derived.lock() = Some((version, Arc::clone(&set), mark));
        (set, mark)
    }

    /// Slots `0..count`; of a larger count than [`MAX_SLOTS`] those that there can be.
    #[must_use]
    pub fn full(count: usize) -> Self {
        let count = count.min(MAX_SLOTS);
        let mut words = vec![u64::MAX; count.div_ceil(64)];
        if let (Some(last), rest @ 1..) = (words.last_mut(), count % 64) {
            *last = (1 << rest) - 1;
        }
        Self::of_words(words, count)
    }

    /// Whether `slot` is in it.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        self.words
            .get(slot as usize / 64)
            .is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Puts `slot` in; whether it was not in before. What is no slot ([`MAX_SLOTS`] and above, [`NO_SLOT`] among it) is not put in.
    pub fn insert(&mut self, slot: u32) -> bool {
        if slot as usize >= MAX_SLOTS {
            return false;
        }
        let at = slot as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let bit = 1 << (slot % 64);
        let new = self.words[at] & bit == 0;
        *self.derived.get_mut() = None;
        self.words[at] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Takes `slot` out; whether it was in.
    pub fn remove(&mut self, slot: u32) -> bool {
        let was_in = self.contains(slot);
        if was_in {
            *self.derived.get_mut() = None;
            self.words[slot as usize / 64] &= !(1 << (slot % 64));
            self.len -= 1;
        }
        was_in
    }

    /// How many slots are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of `slots` are in it.
    #[must_use]
    pub fn count_in(&self, slots: Range<u32>) -> usize {
        self.words_in(slots)
            .map(|(_, word)| word.count_ones() as usize)
            .sum()
    }

    /// Keeps what is in `other` too.
    pub fn intersect(&mut self, other: &Self) {
        self.words.truncate(other.words.len());
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self.recount();
    }

    /// Takes out what is in `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
        self.recount();
    }

    fn recount(&mut self) {
        *self.derived.get_mut() = None;
        self.len = self.words.iter().map(|w| w.count_ones() as usize).sum();
    }

    /// The slots in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.iter_in(0..NO_SLOT)
    }

    /// Those of `slots` that are in it, in order.
    pub fn iter_in(&self, slots: Range<u32>) -> impl Iterator<Item = u32> {
        self.words_in(slots).flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                (bit < 64).then(|| {
                    word &= word - 1;
                    first + bit
                })
            })
        })
    }

    /// Of those of `slots` that are in it, in order, the first of each `step`. Costs a look at each word, not at each slot.
    pub(crate) fn every(&self, step: usize, slots: Range<u32>) -> Vec<u32> {
        let (mut every, mut seen, mut next) = (Vec::new(), 0, 0);
        for (first, word) in self.words_in(slots) {
            let ones = word.count_ones() as usize;
            while next < seen + ones {
                let above = (seen..next).fold(word, |word, _| word & (word - 1));
                every.push(first + above.trailing_zeros());
                next += step.max(1);
            }
            seen += ones;
        }
        every
    }

    /// The words that hold `slots`, each with its first slot; bits of other slots are not set.
    fn words_in(&self, slots: Range<u32>) -> impl Iterator<Item = (u32, u64)> {
        let (start, end) = (slots.start as usize, slots.end.max(slots.start) as usize);
        let words = start / 64..end.div_ceil(64).min(self.words.len());
        words.map(move |at| {
            let mut word = self.words[at];
            let first = at * 64;
            if first < start {
                word &= u64::MAX << (start - first);
            }
            if first + 64 > end {
                word &= u64::MAX >> (first + 64 - end);
            }
            (slot(first), word)
        })
    }

    /// The numbers that the slots in it have among one another, for slots `0..count`; [`NO_SLOT`] for the others.
    #[must_use]
    pub(crate) fn numbering(&self, count: usize) -> Vec<u32> {
        let mut numbers = vec![NO_SLOT; count];
        for (number, slot) in self.iter_in(0..slot(count)).enumerate() {
            numbers[slot as usize] = crate::engine::slot(number);
        }
        numbers
    }

    /// The bits of slots `0..count`, 32 in a word, the first slot's lowest.
    #[cfg(feature = "gpu")]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are meant")]
    pub(crate) fn half_words(&self, count: usize) -> Vec<u32> {
        let mut halves: Vec<u32> = self
            .words
            .iter()
            .flat_map(|word| [*word as u32, (*word >> 32) as u32])
            .collect();
        halves.resize(count.div_ceil(32).max(1), 0);
        halves
    }
}

impl PartialEq for SlotSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for SlotSet {}

impl FromIterator<u32> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u32>>(slots: I) -> Self {
        let mut set = Self::new();
        set.extend(slots);
        set
    }
}

impl Extend<u32> for SlotSet {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_sets_end_where_they_should() {
        for count in [0, 1, 63, 64, 65, 128, 1000] {
            let set = SlotSet::full(count);
            assert_eq!(set.len(), count);
            assert!(set.iter().eq(0..count as u32));
            assert!(!set.contains(count as u32));
            assert_eq!(set, (0..count as u32).collect());
        }
    }

    proptest! {
        #[test]
        fn a_set_is_a_set(
            steps in prop::collection::vec((any::<bool>(), 0u32..300), 0..400),
            other in prop::collection::btree_set(0u32..400, 0..100),
            start in 0u32..320,
            length in 0u32..320,
        ) {
            let (mut set, mut model) = (SlotSet::new(), BTreeSet::new());
            for (put, slot) in steps {
                if put {
                    prop_assert_eq!(set.insert(slot), model.insert(slot));
                } else {
                    prop_assert_eq!(set.remove(slot), model.remove(&slot));
                }
            }
            let range = start..start + length;
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert_eq!(set.count_in(range.clone()), model.range(range.clone()).count());
            prop_assert!(set.iter_in(range.clone()).eq(model.range(range.clone()).copied()));
            for step in [1, 2, 7, 100] {
                let every: Vec<u32> = model.range(range.clone()).copied().step_by(step).collect();
                prop_assert_eq!(set.every(step, range.clone()), every);
            }
            prop_assert!((0..400).all(|slot| set.contains(slot) == model.contains(&slot)));
            let numbers = set.numbering(320);
            for (number, slot) in model.iter().enumerate() {
                prop_assert_eq!(numbers[*slot as usize], number as u32);
            }
            prop_assert_eq!(numbers.iter().filter(|n| **n == NO_SLOT).count(), 320 - model.len());
            let others: SlotSet = other.iter().copied().collect();
            let mut both = set.clone();
            both.intersect(&others);
            prop_assert_eq!(both.len(), model.intersection(&other).count());
            prop_assert!(both.iter().eq(model.intersection(&other).copied()));
            set.subtract(&others);
            prop_assert_eq!(set.len(), model.difference(&other).count());
            prop_assert!(set.iter().eq(model.difference(&other).copied()));
        }
    }
}
