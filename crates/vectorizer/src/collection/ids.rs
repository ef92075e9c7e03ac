//! The callers' ids and the slots they stand for, compact: the text lies end to end, the table holds slots alone.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::engine::{NO_SLOT, SlotSet, slot};

/// Ids by slot and slots by id. A slot without an id is dead: its vector was deleted or replaced.
#[derive(Debug, Default)]
pub(super) struct Ids {
    text: String,
    /// Where the id of each slot ends in `text`.
    ends: Vec<usize>,
    /// Slots of the living, by the hash of their id.
    table: HashTable<u32>,
    /// The slots of the living.
    alive: SlotSet,
    hasher: DefaultHashBuilder,
}

impl Ids {
    /// The slot of an id that is alive.
    pub(super) fn slot(&self, id: &str) -> Option<u32> {
        self.table
            .find(self.hasher.hash_one(id), |slot| self.text(*slot) == id)
            .copied()
    }

    /// The id of a slot that is alive.
    pub(super) fn id(&self, slot: u32) -> Option<&str> {
        self.alive.contains(slot).then(|| self.text(slot))
    }

    fn text(&self, slot: u32) -> &str {
        let slot = slot as usize;
        let start = slot.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[slot]]
    }

    /// Gives the next slot this id. The slot that had it before, if there is one, is dead.
    pub(super) fn push(&mut self, id: &str) -> Option<u32> {
        let new = slot(self.ends.len());
        self.text.push_str(id);
        self.ends.push(self.text.len());
        self.alive.insert(new);
        let hash = self.hasher.hash_one(id);
        let Self {
            text,
            ends,
            table,
            hasher,
            ..
        } = self;
        let of = |slot: u32| {
            let slot = slot as usize;
            &text[slot.checked_sub(1).map_or(0, |before| ends[before])..ends[slot]]
        };
        match table.entry(
            hash,
            |slot| of(*slot) == id,
            |slot| hasher.hash_one(of(*slot)),
        ) {
            hashbrown::hash_table::Entry::Occupied(mut taken) => {
                let old = std::mem::replace(taken.get_mut(), new);
                self.alive.remove(old);
                Some(old)
            }
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(new);
                None
            }
        }
    }

    /// The slot is dead from now on.
    pub(super) fn delete(&mut self, slot: u32) {
        if !self.alive.remove(slot) {
            return;
        }
        let hash = self.hasher.hash_one(self.text(slot));
        if let Ok(taken) = self.table.find_entry(hash, |other| *other == slot) {
            taken.remove();
        }
    }

    /// The slots of the living from `first` on.
    pub(super) fn alive_from(&self, first: u32) -> impl Iterator<Item = u32> {
        self.alive.iter_in(first..NO_SLOT)
    }

    /// The slots of the living; `None` where all are alive.
    pub(super) fn alive(&self) -> Option<&SlotSet> {
        (self.dead() > 0).then_some(&self.alive)
    }

    /// The living alone, under new slots in their order.
    pub(super) fn only_living(&self) -> Self {
        let mut only = Self::default();
        for (_, id) in self.iter() {
            only.push(id);
        }
        only
    }

    /// How many are alive.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many slots are dead.
    pub(super) fn dead(&self) -> usize {
        self.ends.len() - self.table.len()
    }

    /// The living, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.alive.iter().map(|slot| (slot, self.text(slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_slots_find_each_other() {
        let mut ids = Ids::default();
        for number in 0..10_000 {
            ids.push(&format!("id-{number}"));
        }
        assert_eq!(ids.len(), 10_000);
        assert_eq!(ids.slot("id-0"), Some(0));
        assert_eq!(ids.slot("id-9999"), Some(9999));
        assert_eq!(ids.slot("id-10000"), None);
        assert_eq!(ids.id(77), Some("id-77"));
        assert_eq!(ids.alive(), None);
    }

    #[test]
    fn a_second_push_replaces_the_first() {
        let mut ids = Ids::default();
        for id in ["a", "b", "a"] {
            ids.push(id);
        }
        assert_eq!((ids.len(), ids.dead()), (2, 1));
        assert_eq!(ids.slot("a"), Some(2));
        assert_eq!(ids.id(0), None);
        assert_eq!(ids.iter().collect::<Vec<_>>(), [(1, "b"), (2, "a")]);
        assert_eq!(ids.alive(), Some(&[1, 2].into_iter().collect()));
    }

    #[test]
    fn what_is_deleted_is_gone_and_its_id_free() {
        let mut ids = Ids::default();
        for number in 0..1000 {
            ids.push(&format!("id-{number}"));
        }
        for slot in (0..1000).step_by(3) {
            ids.delete(slot);
            ids.delete(slot);
        }
        assert_eq!((ids.len(), ids.dead()), (666, 334));
        assert_eq!((ids.slot("id-3"), ids.id(3)), (None, None));
        assert_eq!(ids.slot("id-4"), Some(4));
        assert_eq!(ids.push("id-3"), None);
        assert_eq!(ids.push("id-4"), Some(4));
        assert_eq!(
            (ids.slot("id-3"), ids.slot("id-4")),
            (Some(1000), Some(1001))
        );
        assert_eq!((ids.len(), ids.dead()), (667, 335));
    }
}
