//! Linked slots without links of their own: copies of an earlier vector. A walk comes to the first of them, and the answer names the rest.
//!
//! Were copies linked like other slots, those of one vector would fill a beam, and what lies beyond them would be lost.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::engine::{Hits, Neighbor, SlotSet};

#[derive(Debug, Clone, Default)]
pub(super) struct Copies {
    all: SlotSet,
    /// The slots that have copies, and these in order.
    of: HashMap<u32, Vec<u32>>,
    firsts: SlotSet,
    first_of: HashMap<u32, u32>,
}

impl Copies {
    /// Takes in that `copy`, which comes after all there are, has the vector of `first`.
    pub(super) fn insert(&mut self, copy: u32, first: u32) {
        self.all.insert(copy);
        self.firsts.insert(first);
        self.first_of.insert(copy, first);
        self.of.entry(first).or_default().push(copy);
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

    /// The slots that a walk has to find so that all that is `allowed` can be named: beside these, those that have an allowed copy.
    ///
    /// Cost: a look at every word of the sets, and at the fewer of allowed copies and of slots with copies that are not allowed.
    pub(super) fn walked<'a>(&self, allowed: &'a SlotSet) -> Cow<'a, SlotSet> {
        if self.is_empty() {
            return Cow::Borrowed(allowed);
        }
        let mut copies = self.all.clone();
        copies.intersect(allowed);
        let mut closed = self.firsts.clone();
        closed.subtract(allowed);
        if copies.is_empty() || closed.is_empty() {
            return Cow::Borrowed(allowed);
        }
        let mut walked = allowed.clone();
        if copies.len() < closed.len() {
            for copy in copies.iter() {
                walked.insert(self.first_of[&copy]);
            }
            return Cow::Owned(walked);
        }
        for first in closed.iter() {
            if self.of[&first].iter().any(|copy| copies.contains(*copy)) {
                walked.insert(first);
            }
        }
        Cow::Owned(walked)
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
