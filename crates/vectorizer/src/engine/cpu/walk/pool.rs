//! The beam.

use super::Key;

/// The nearest seen so far, in order; those that were expanded are marked.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) keys: Vec<Key>,
    ef: usize,
    /// All before this place are expanded.
    next: usize,
    /// No score above this one can enter.
    bound: f32,
}

impl Pool {
    pub(super) fn start(&mut self, ef: usize) {
        self.keys.clear();
        self.keys.reserve(ef);
        self.ef = ef;
        self.next = 0;
        self.bound = f32::INFINITY;
    }

    /// Marks the nearest that is not yet, and gives its slot.
    #[inline(always)]
    pub(super) fn expand(&mut self) -> Option<u32> {
        while let Some(key) = self.keys.get_mut(self.next) {
            self.next += 1;
            if !key.marked() {
                key.mark();
                return Some(key.slot());
            }
        }
        None
    }

    /// What [`Self::expand`] will give if nothing nearer comes.
    #[inline(always)]
    pub(super) fn upcoming(&self) -> Option<u32> {
        let waiting = self
            .keys
            .get(self.next..)?
            .iter()
            .find(|key| !key.marked())?;
        Some(waiting.slot())
    }

    #[inline(always)]
    pub(super) fn offer(&mut self, key: Key) {
        if key.score() <= self.bound {
            self.insert(key);
        }
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, key: Key) {
        let place = self.keys.partition_point(|&other| other < key);
        if self.keys.len() < self.ef {
            self.keys.insert(place, key);
        } else if let Some(moved) = self.keys.get_mut(place..)
            && !moved.is_empty()
        {
            moved.copy_within(..moved.len() - 1, 1);
            moved[0] = key;
        } else {
            return;
        }
        self.next = self.next.min(place);
        if self.keys.len() == self.ef
            && let Some(last) = self.keys.last()
        {
            self.bound = last.score();
        }
    }
}
