//! Taking the dead out of a graph.
//!
//! What remains is a graph of its own beside the old one, so that searches go on in that until readers change over: the rows of the living
//! in their order, their levels, and their links, of which those to the dead are replaced by links to whom the dead led. The highest of the
//! living is the new entry point. Memory of the dead is given back with the old graph.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Copies, HnswGraph, Topology, plan};
use crate::engine::{Counters, Entry, LevelLinks, NO_SLOT, SlotSet, slot};
use crate::error::Result;

/// Where less than this share is left of what was linked (those taken out earlier among it), the rest is linked anew. Half taken out of 60,000
/// texts at random cost 0.014 of recall where links were brought together, and linking anew took 1.7 times as long (docs/bench/life-2026-11-25.md); of
/// 10,000 in clusters, 2,000 left had a recall of 0.89 brought together and 1.0 linked anew.
const KEPT: f64 = 2.0 / 3.0;
/// The same for collections that are linked by their exact neighbours, where linking anew costs little. One in six of 5,000 x 16 taken out and as
/// many added cost 0.010 of recall at M 8 and ef 16 where links were brought together one for one, and twenty such rounds up to 0.017.
const KEPT_OF_SMALL: f64 = 7.0 / 8.0;

impl HnswGraph {
    /// Takes the slots out that are not `alive`: what was linked to them is linked to whom they led, and the others move together, in
    /// their order. Where less than two thirds of what was built are left (seven eighths where a collection is small enough to be linked by exact
    /// neighbours: 16,384 vectors, fewer if they are wide), those are linked anew. Slots that no vector has are passed over.
    ///
    /// Cost: a few hundred scores for each slot that was linked to a dead one, or a build of the living; and memory for these until it is done.
    ///
    /// # Errors
    /// No room, or the device failed; the graph is as before.
    pub fn consolidate(&mut self, alive: &SlotSet) -> Result<()> {
        let mut there = SlotSet::full(self.len());
        there.intersect(alive);
        *self = self.without_dead(&there)?;
        Ok(())
    }

    /// What [`HnswGraph::consolidate`] leaves, beside this graph. All that are `alive` have a vector.
    pub(crate) fn without_dead(&self, alive: &SlotSet) -> Result<Self> {
        let count = |counter: &AtomicU64| AtomicU64::new(counter.load(Ordering::Relaxed));
        let mut fresh = Self {
            storage: self.storage.only(alive)?,
            config: self.config,
            seed: self.seed,
            levels: Vec::new(),
            entry: None,
            copies: Copies::default(),
            taken_out: 0,
            unmended: 0,
            exact_queries: count(&self.exact_queries),
            graph_queries: count(&self.graph_queries),
            filtered_queries: count(&self.filtered_queries),
            rescued_queries: count(&self.rescued_queries),
            last_path: count(&self.last_path),
            earlier: self.counters(),
        };
        // A copy whose vector's first is dead takes that one's place, with its links.
        let heirs = self.copies.heirs(alive);
        let linked = SlotSet::full(self.linked());
        let mut rows = alive.clone();
        rows.intersect(&linked);
        rows.subtract(self.copies.all());
        for first in heirs.keys() {
            rows.insert(*first);
        }
        let with_links = self.linked() - self.copies.all().len();
        let taken_out = self.taken_out + with_links - rows.len();
        let small = fresh.len() <= plan::all_seed(self.dimension(), &self.config);
        let kept = if small { KEPT_OF_SMALL } else { KEPT };
        if (rows.len() as f64) < kept * (rows.len() + taken_out) as f64 {
            fresh.build(|_| ControlFlow::Continue(()))?;
            return Ok(fresh);
        }
        let mut numbers = alive.numbering(self.linked());
        for (first, copy) in &heirs {
            numbers[*first as usize] = numbers[*copy as usize];
        }
        let mut levels = vec![0; alive.count_in(0..slot(self.linked()))];
        for slot in rows.iter() {
            levels[numbers[slot as usize] as usize] = self.levels[slot as usize];
        }
        let Some(top) = levels.iter().copied().max() else {
            return Ok(fresh);
        };
        let links = (0..=usize::from(top)).map(|level| {
            let places = levels.iter().map(|of| usize::from(*of) >= level).collect();
            self.links_among(level, &rows, &numbers, places)
        });
        let links = links.collect::<Result<_>>()?;
        let entry = levels.iter().position(|level| *level == top);
        fresh.restore_topology(Topology {
            entry: entry.map(|number| Entry {
                slot: slot(number),
                level: top.into(),
            }),
            levels,
            links,
        })?;
        fresh.taken_out = taken_out;
        // What bringing links together took is work that was done, too.
        fresh.earlier = self.counters();
        fresh.mend()?;
        Ok(fresh)
    }

    /// The links that the slots of `rows` have on a level among themselves, in new numbers: a row for each number that is there, in order. The rows of
    /// copies are empty.
    fn links_among(
        &self,
        level: usize,
        rows: &SlotSet,
        numbers: &[u32],
        there: Vec<bool>,
    ) -> Result<LevelLinks> {
        let engine = self.storage.engine();
        let selection = plan::selection(&self.config);
        let old = engine.links_without_dead(level, rows, &selection)?;
        let mut places = Vec::with_capacity(there.len());
        let mut count = 0;
        for there in there {
            places.push(count);
            count += usize::from(there);
        }
        let mut links = LevelLinks {
            degree: old.degree,
            rows: vec![NO_SLOT; count * old.degree],
        };
        let of_level = |slot: &u32| usize::from(self.levels[*slot as usize]) >= level;
        let slots = rows.iter().filter(of_level);
        for (slot, row) in slots.zip(old.rows.chunks_exact(old.degree)) {
            let place = places[numbers[slot as usize] as usize];
            let to = &mut links.rows[place * old.degree..][..old.degree];
            for (to, link) in to.iter_mut().zip(row).filter(|(_, link)| **link != NO_SLOT) {
                *to = numbers[*link as usize];
            }
        }
        Ok(links)
    }

    /// The work done so far, also in the memory of graphs that this one came from.
    pub(super) fn counters(&self) -> Counters {
        let now = self.storage.engine().counters();
        Counters {
            distances: self.earlier.distances + now.distances,
            hops: self.earlier.hops + now.hops,
            bytes: self.earlier.bytes + now.bytes,
        }
    }
}
