//! The walk where only some slots may be found: two beams, one after the other.

use super::{Ground, Key, Scratch, offer, prefetch};
use crate::engine::cpu::probe::Probe;
use crate::engine::detour::Detour;
use crate::engine::{NO_SLOT, SlotSet};

/// Which slots may be found, and how walks get along with that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Among<'a> {
    pub(crate) allowed: &'a SlotSet,
    pub(crate) detour: &'a Detour,
}

impl Ground<'_> {
    /// The two beams of a [`Detour`] on level 0 from `start`, the second of width `ef`; [`Scratch::found`] has what that found.
    #[inline(always)]
    pub(super) fn beams_among<P: Probe>(
        self,
        probe: P,
        start: Key,
        ef: usize,
        among: Among<'_>,
        scratch: &mut Scratch,
    ) {
        let Among { allowed, detour } = among;
        self.beam(probe, start, 0, detour.approach, scratch);
        let Scratch {
            visited,
            pool,
            near,
            done,
            ..
        } = scratch;
        near.clear();
        near.extend(pool.keys.iter().map(|key| key.slot()));
        visited.start(self.graph.len());
        // How many slots there are around the query, and how many of them are allowed.
        let (mut around, mut welcome) = (near.len(), 0);
        for &slot in near.iter() {
            let row = self.graph.row(0, slot);
            let used = row.iter().take_while(|&&slot| slot != NO_SLOT).count();
            let row = &row[..used];
            around += used;
            welcome += row.iter().filter(|&&slot| allowed.contains(slot)).count();
            done.hops += 1;
            if allowed.contains(slot) {
                welcome += 1;
                visited.note(slot);
            } else {
                visited.pass(slot);
                visited.fresh_among(row, allowed);
            }
        }
        if detour.leads_far(around, welcome) {
            pool.start(ef);
            return;
        }
        visited.fresh_among(&detour.seeds, allowed);
        pool.start(ef);
        done.distances += visited.seen.len() as u64;
        prefetch(probe, &visited.seen);
        offer(probe, &visited.seen, pool);
        while let Some(slot) = pool.expand() {
            let before = visited.seen.len();
            let row = self.graph.row(0, slot);
            done.hops += 1;
            visited.fresh_among(row, allowed);
            if detour.hops > 0 {
                let rejected = row.iter().copied().take_while(|&slot| slot != NO_SLOT);
                let rejected = rejected.filter(|&slot| !allowed.contains(slot));
                near.clear();
                near.extend(
                    rejected
                        .take(detour.hops)
                        .filter(|&slot| visited.pass(slot)),
                );
                for &slot in near.iter() {
                    for line in self.graph.row(0, slot).chunks(16) {
                        crate::engine::prefetch::prefetch(line);
                    }
                }
                done.hops += near.len() as u64;
                for &slot in near.iter() {
                    visited.fresh_among(self.graph.row(0, slot), allowed);
                }
            }
            let fresh = &visited.seen[before..];
            done.distances += fresh.len() as u64;
            prefetch(probe, fresh);
            offer(probe, fresh, pool);
        }
    }
}
