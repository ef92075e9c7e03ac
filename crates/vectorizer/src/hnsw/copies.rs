//! Linked slots without links of their own: copies of an earlier vector. A walk comes to the first of them, and the answer names the rest.
//!
//! Were copies linked like other slots, those of one vector would fill a beam, and what lies beyond them would be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use crate::engine::{Hits, Neighbor, SlotSet};

static NEXT_VERSION: AtomicU64 = AtomicU64::new(1);

#[derive(Debug, Clone, Default)]
pub(super) struct Copies {
    all: SlotSet,
    /// Of each slot that has copies, these in order.
    of: HashMap<u32, Vec<u32>>,
    firsts: SlotSet,
    first_of: HashMap<u32, u32>,
    /// Another one for each state of any graph's copies; 0 where there are none.
    version: u64,
}

/// What a walk may find.
#[derive(Debug)]
pub(super) struct Walkable {
    /// `None` where that is what is allowed.
    pub(super) slots: Option<Arc<SlotSet>>,
    /// Whether there are slots among it that are not allowed themselves.
    pub(super) stand_ins: bool,
}

impl Copies {
    /// Takes in that `copy`, which comes after all there are, has the vector of `first`.
    pub(super) fn insert(&mut self, copy: u32, first: u32) {
        self.all.insert(copy);
        self.firsts.insert(first);
        self.first_of.insert(copy, first);
        self.of.entry(first).or_default().push(copy);
        self.version = NEXT_VERSION.fetch_add(1, Ordering::Relaxed);
    }

    /// The copies.
    pub(super) fn all(&self) -> &SlotSet {
        &self.all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Each copy with the slot that has its vector, those of one slot together.
    pub(super) fn pairs(&self) -> Vec<(u32, u32)> {
        let mut pairs = Vec::with_capacity(self.all.len());
        for first in self.firsts.iter() {
            pairs.extend(self.of[&first].iter().map(|copy| (*copy, first)));
        }
        pairs
    }

    /// Of each slot that is not in `alive` and has copies that are, the first of these.
    pub(super) fn heirs(&self, alive: &SlotSet) -> HashMap<u32, u32> {
        let mut gone = self.firsts.clone();
        gone.subtract(alive);
        let heir = |first| {
            let mut living = self.of[&first].iter().filter(|copy| alive.contains(**copy));
            Some((first, *living.next()?))
        };
        gone.iter().filter_map(heir).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What a walk may find so that all that is `allowed` can be named: allowed slots with links, and those that have an allowed copy.
    ///
    /// Cost: the first time for a set, a look at every word and at the fewer of allowed copies and of slots with copies that are not allowed; then
    /// none, until one of the two changes.
    pub(super) fn walkable(&self, allowed: &SlotSet) -> Walkable {
        if self.is_empty() {
            return Walkable {
                slots: None,
                stand_ins: false,
            };
        }
        let derive = || {
            let mut copies = self.all.clone();
            copies.intersect(allowed);
            let mut closed = self.firsts.clone();
            closed.subtract(allowed);
            let mut slots = allowed.clone();
            slots.subtract(&self.all);
            let before = slots.len();
            if copies.len() < closed.len() {
                for copy in copies.iter() {
                    slots.insert(self.first_of[&copy]);
                }
            } else {
                let has_allowed = |first: &u32| {
                    let mut copies_of = self.of[first].iter();
                    copies_of.any(|copy| copies.contains(*copy))
                };
                for first in closed.iter().filter(has_allowed) {
                    slots.insert(first);
                }
            }
            let stand_ins = slots.len() > before;
            (slots, stand_ins)
        };
        let (slots, stand_ins) = allowed.derived(self.version, derive);
        Walkable {
            slots: Some(slots),
            stand_ins,
        }
    }

    /// The first `k` of each list with the copies of what stands there, but for what is not `allowed`.
    pub(super) fn named(&self, walked: Hits, k: usize, allowed: Option<&SlotSet>) -> Hits {
        let has_more = |hit: &Neighbor| self.firsts.contains(hit.slot);
        if self.is_empty() || !walked.iter().flatten().any(has_more) {
            return walked;
        }
        let may = |slot: u32| allowed.is_none_or(|allowed| allowed.contains(slot));
        let mut lists = Vec::with_capacity(k * walked.queries());
        let mut list = Vec::new();
        for found in walked.iter() {
            list.clear();
            for hit in found {
                if may(hit.slot) {
                    list.push(*hit);
                }
                if has_more(hit) {
                    let copies = self.of[&hit.slot].iter().copied();
                    let copies = copies.filter(|copy| may(*copy)).take(k);
                    list.extend(copies.map(|slot| Neighbor { slot, ..*hit }));
                }
            }
            list.sort_unstable();
            list.dedup();
            let start = lists.len();
            lists.extend(list.iter().copied().take(k));
            lists.resize(start + k, Neighbor::NONE);
        }
        Hits::new(k, lists)
    }
}
