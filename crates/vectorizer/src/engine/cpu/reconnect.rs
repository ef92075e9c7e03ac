//! Rows of links without the dead.

use crate::engine::cpu::CpuEngine;
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::link::{Choosing, LinkScratch};
use crate::engine::cpu::select::Quota;
use crate::engine::cpu::walk::{Ground, Key, in_order};
use crate::engine::{LevelLinks, NO_SLOT, Selection, SlotSet};

/// Rows that a thread takes at a time.
const TURN: usize = 64;

/// The rows of `level` of the living: links to dead slots are replaced by links to slots that the dead led to, three for two, chosen beside
/// those that stay.
pub(super) fn rows(
    engine: &CpuEngine,
    level: usize,
    alive: &SlotSet,
    selection: &Selection,
) -> LevelLinks {
    let degree = engine.layout.degree(level);
    let members = engine.graph.members(level);
    let members: Vec<u32> = members.filter(|slot| alive.contains(*slot)).collect();
    let mut rows = vec![NO_SLOT; members.len() * degree];
    let turns = members.chunks(TURN).zip(rows.chunks_mut(TURN * degree));
    engine.build(turns.collect(), |scratch, (members, rows)| {
        engine.distance.run(Reconnect {
            ground: engine.ground(),
            level,
            alive,
            selection,
            members,
            rows,
            scratch,
        });
    });
    LevelLinks { degree, rows }
}

struct Reconnect<'a> {
    ground: Ground<'a>,
    level: usize,
    alive: &'a SlotSet,
    selection: &'a Selection,
    members: &'a [u32],
    rows: &'a mut [u32],
    scratch: &'a mut LinkScratch,
}

impl Task for Reconnect<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Self {
            ground,
            level,
            alive,
            selection,
            members,
            rows,
            scratch,
        } = self;
        let degree = ground.graph.degree(level);
        let links_of = |slot| {
            let row = ground.graph.row(level, slot);
            row.iter().copied().take_while(|slot| *slot != NO_SLOT)
        };
        let Choosing {
            selector,
            candidates,
            kept,
            around,
            marks,
        } = scratch.choosing();
        marks.resize(ground.graph.len().div_ceil(64), 0);
        for (&slot, to) in members.iter().zip(rows.chunks_exact_mut(degree)) {
            let living = links_of(slot).filter(|link| alive.contains(*link));
            let (living, used) = (living.count(), links_of(slot).count());
            if living == used {
                to.copy_from_slice(ground.graph.row(level, slot));
                continue;
            }
            let query = ground.rows.row(slot);
            kept.clear();
            for link in links_of(slot).filter(|link| alive.contains(*link)) {
                kept.push(Key::new(score.one(query, ground.rows.row(link)), link));
            }
            mark(marks, slot);
            for link in kept.iter() {
                mark(marks, link.slot());
            }
            around.clear();
            for dead in links_of(slot).filter(|link| !alive.contains(*link)) {
                let theirs = links_of(dead).filter(|link| alive.contains(*link));
                around.extend(theirs.filter(|link| mark(marks, *link)));
            }
            let marked = kept.iter().map(|link| link.slot()).chain([slot]);
            for slot in marked.chain(around.iter().copied()) {
                marks[slot as usize / 64] = 0;
            }
            in_order(ground.full(score, query), around, candidates);
            selector.distances += (kept.len() + candidates.len()) as u64;
            candidates.truncate(selection.candidates(degree));
            // What is found through the dead is farther off than what they were: three take the place of two, as far as there is room.
            let lost = used - living;
            let quota = Quota::of((lost + lost.div_ceil(2)).min(degree - living));
            let links = selector.select_beside(score, ground.rows, kept, candidates, quota);
            for (to, link) in to.iter_mut().zip(kept.iter().chain(links)) {
                *to = link.slot();
            }
        }
    }
}

/// Marks a slot; whether it was not yet.
#[inline(always)]
fn mark(marks: &mut [u64], slot: u32) -> bool {
    let (word, bit) = (&mut marks[slot as usize / 64], 1 << (slot % 64));
    let new = *word & bit == 0;
    *word |= bit;
    new
}
