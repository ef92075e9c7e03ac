//! Rows of links without the dead.

use crate::engine::cpu::CpuEngine;
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::link::LinkScratch;
use crate::engine::cpu::select::Quota;
use crate::engine::cpu::walk::{Ground, Key};
use crate::engine::{LevelLinks, NO_SLOT, Selection, SlotSet};

/// Rows that a thread takes at a time.
const TURN: usize = 64;

/// The rows of `level` of the living, those with links to the dead chosen again.
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
        let quota = Quota::of_full(selection, level);
        let links_of = |slot| {
            let row = ground.graph.row(level, slot);
            row.iter().copied().take_while(|slot| *slot != NO_SLOT)
        };
        let (selector, candidates, around) = scratch.choosing();
        for (&slot, to) in members.iter().zip(rows.chunks_exact_mut(degree)) {
            around.clear();
            around.extend(links_of(slot).filter(|link| alive.contains(*link)));
            if around.len() == links_of(slot).count() {
                to.copy_from_slice(ground.graph.row(level, slot));
                continue;
            }
            for dead in links_of(slot).filter(|link| !alive.contains(*link)) {
                let theirs = links_of(dead).filter(|link| alive.contains(*link) && *link != slot);
                around.extend(theirs);
            }
            around.sort_unstable();
            around.dedup();
            let query = ground.rows.row(slot);
            candidates.clear();
            candidates.extend(around.iter().map(|&other| {
                let score = score.one(query, ground.rows.row(other));
                Key::new(score, other)
            }));
            selector.distances += candidates.len() as u64;
            candidates.sort_unstable();
            candidates.truncate(selection.candidates(degree));
            let links = selector.select(score, ground.rows, candidates, quota);
            for (to, link) in to.iter_mut().zip(links) {
                *to = link.slot();
            }
        }
    }
}
