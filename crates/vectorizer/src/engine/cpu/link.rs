//! New slots and their links: candidates and choice for each, then the links back, one writer for each target.

use crate::engine::cpu::CpuEngine;
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::exact;
use crate::engine::cpu::graph::StagedLinks;
use crate::engine::cpu::select::{Quota, Selector};
use crate::engine::cpu::walk::{Descent, Ground, Key, Scratch};
use crate::engine::{Changes, Counters, Entry, LinkBatch, NO_SLOT, slot};
use crate::error::Result;

/// Sources that a target considers at most, the nearest first.
const MOST_SOURCES: usize = 128;
/// Of at least so many candidates it can be said that they are a crowd of copies.
const CROWD: usize = 16;
/// New slots, or targets, that a thread takes at a time.
const TURN: usize = 32;

/// A link that wants to be answered: `source` and its score to `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    target: u32,
    source: Key,
}

/// A new slot on one level.
#[derive(Debug)]
struct Member {
    slot: u32,
    descent: Descent,
    /// The nearest within the batch, in order.
    near: Vec<Key>,
    /// Its links.
    links: Vec<Key>,
    /// Whether all its candidates are equally far: a crowd of vectors that are alike, though not equal. Its links are not
    /// answered, for they would crowd out those that come to the first copy from elsewhere and lead back there; what is lost by it
    /// is attached at the end.
    crowded: bool,
}

/// What threads need for linking, and use again.
#[derive(Debug, Default)]
pub(crate) struct LinkScratch {
    walk: Scratch,
    selector: Selector,
    candidates: Vec<Key>,
    kept: Vec<Key>,
    present: Vec<u32>,
    marks: Vec<u64>,
}

/// What it takes to choose a part of a row again.
pub(crate) struct Choosing<'a> {
    pub(crate) selector: &'a mut Selector,
    pub(crate) candidates: &'a mut Vec<Key>,
    pub(crate) kept: &'a mut Vec<Key>,
    pub(crate) around: &'a mut Vec<u32>,
    /// A bit for each slot, none of them set.
    pub(crate) marks: &'a mut Vec<u64>,
}

impl LinkScratch {
    pub(crate) fn choosing(&mut self) -> Choosing<'_> {
        Choosing {
            selector: &mut self.selector,
            candidates: &mut self.candidates,
            kept: &mut self.kept,
            around: &mut self.present,
            marks: &mut self.marks,
        }
    }

    /// The work done since the last time.
    pub(crate) fn take_done(&mut self) -> Counters {
        let mut done = std::mem::take(&mut self.walk.done);
        done.distances += std::mem::take(&mut self.selector.distances);
        done
    }
}

/// A batch on one level.
#[derive(Debug, Clone, Copy)]
struct Stage<'a> {
    ground: Ground<'a>,
    batch: &'a LinkBatch<'a>,
    level: usize,
    /// Where walks on this level begin; none on a level above the graph's.
    entry: Option<Entry>,
}

/// Works out all that `batch` changes.
pub(crate) fn stage(engine: &CpuEngine, batch: &LinkBatch<'_>) -> Result<StagedLinks> {
    debug_assert_eq!(
        batch.first as usize,
        engine.graph.len(),
        "batches follow each other"
    );
    let top = batch.levels.iter().copied().max().map_or(0, usize::from);
    let changes = (0..=top)
        .rev()
        .map(|level| {
            let stage = Stage {
                ground: engine.ground(),
                batch,
                level,
                entry: batch.entry.filter(|entry| entry.level >= level),
            };
            stage.changes(engine)
        })
        .collect::<Result<_>>()?;
    engine.graph.stage(batch.levels, changes, engine.rows.len())
}

impl Stage<'_> {
    fn changes(self, engine: &CpuEngine) -> Result<Changes> {
        let members = self.members(engine)?;
        let mut edges: Vec<Edge> = Vec::new();
        for member in members.iter().filter(|member| !member.crowded) {
            edges.extend(member.links.iter().map(|link| Edge {
                target: link.slot(),
                source: link.with_slot(member.slot),
            }));
        }
        edges.sort_unstable();

        // The members by slot, for those that are targets.
        let mut place = vec![NO_SLOT; self.batch.levels.len()];
        for (at, member) in members.iter().enumerate() {
            place[(member.slot - self.batch.first) as usize] = slot(at);
        }
        let segments: Vec<&[Edge]> = edges.chunk_by(|a, b| a.target == b.target).collect();
        let mut slots: Vec<u32> = segments.iter().map(|segment| segment[0].target).collect();
        let mut answered = vec![false; members.len()];
        for target in slots.iter().filter(|&&target| target >= self.batch.first) {
            answered[place[(target - self.batch.first) as usize] as usize] = true;
        }
        let degree = self.ground.graph.degree(self.level);
        let mut rows = vec![NO_SLOT; slots.len() * degree];
        let turns = segments
            .chunks(TURN)
            .zip(rows.chunks_mut(TURN * degree))
            .collect();
        engine.build(turns, |scratch, (segments, rows)| {
            engine.distance.run(Answer {
                stage: self,
                members: &members,
                place: &place,
                segments,
                rows,
                scratch,
            });
        });
        for (member, _) in members
            .iter()
            .zip(answered)
            .filter(|(_, answered)| !answered)
        {
            slots.push(member.slot);
            rows.extend(member.links.iter().map(|link| link.slot()));
            rows.resize(slots.len() * degree, NO_SLOT);
        }
        if self.level == 0 {
            slots.extend(self.batch.unlinked.iter());
            rows.resize(slots.len() * degree, NO_SLOT);
        }
        Ok(Changes {
            level: self.level,
            slots,
            rows,
        })
    }

    /// The new slots of this level with their links, in the order in which they were walked for.
    fn members(self, engine: &CpuEngine) -> Result<Vec<Member>> {
        let mut members: Vec<Member> = self
            .batch
            .members(self.level)
            .map(|slot| Member {
                slot,
                descent: Descent::NONE,
                near: Vec::new(),
                links: Vec::new(),
                crowded: false,
            })
            .collect();

        self.approach(engine, &mut members)?;
        // Walks that begin alike read the same rows: one after the other, they find them in the cache.
        members.sort_unstable_by_key(|member| (member.descent.path, member.slot));
        engine.build(members.chunks_mut(TURN).collect(), |scratch, members| {
            engine.distance.run(Choose {
                stage: self,
                members,
                scratch,
            });
        });
        Ok(members)
    }

    /// Finds the nearest within the batch, and where walks begin.
    fn approach(self, engine: &CpuEngine, members: &mut [Member]) -> Result<()> {
        if self.entry.is_some() {
            engine.build(members.chunks_mut(TURN).collect(), |scratch, members| {
                engine.distance.run(Approach {
                    stage: self,
                    members,
                    scratch,
                });
            });
        }
        let k = match self.entry {
            Some(_) => self.batch.selection.near,
            None => self.batch.selection.ef_construction,
        };
        let k = k.min(members.len().saturating_sub(1));
        if k == 0 {
            return Ok(());
        }
        let rows = self.ground.rows;
        let gathered: Vec<f32> = members
            .iter()
            .flat_map(|member| rows.row(member.slot))
            .copied()
            .collect();
        // On level 0 the members lie one after the other already, if none is missing.
        let (own, base);
        let (base, first) = if members.len() == self.batch.levels.len() {
            (rows, self.batch.first)
        } else {
            own = engine.rows.of_same_kind(&gathered)?;
            base = &own;
            (base, 0)
        };
        let slots = first..first + slot(members.len());
        let work = (members.len() * members.len()) as u64;
        engine.count(&mut Counters {
            distances: work,
            ..Counters::default()
        });
        // One more, in case that the member itself is among them.
        let hits = exact::search(
            engine.distance,
            base,
            &engine.build,
            &gathered,
            k + 1,
            slots,
        );
        for (at, hits) in hits.iter().enumerate() {
            let others = hits
                .iter()
                .map(|hit| (hit.score, (hit.slot - first) as usize));
            let others = others.filter(|&(_, other)| other != at).take(k);
            let near = others.map(|(score, other)| Key::new(score, members[other].slot));
            members[at].near = near.collect();
        }
        Ok(())
    }
}

/// Finds where walks begin.
struct Approach<'a> {
    stage: Stage<'a>,
    members: &'a mut [Member],
    scratch: &'a mut LinkScratch,
}

impl Task for Approach<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Stage {
            ground,
            level,
            entry,
            ..
        } = self.stage;
        let Some(entry) = entry else { return };
        for member in self.members {
            let query = ground.rows.row(member.slot);
            let done = &mut self.scratch.walk.done;
            member.descent = ground.descend(ground.full(score, query), entry, level, done);
        }
    }
}

/// Chooses the links of new slots.
struct Choose<'a> {
    stage: Stage<'a>,
    members: &'a mut [Member],
    scratch: &'a mut LinkScratch,
}

impl Task for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Stage {
            ground,
            batch,
            level,
            entry,
        } = self.stage;
        let ef = batch.selection.ef_construction;
        let quota = Quota::of_new(&batch.selection, level);
        let LinkScratch {
            walk,
            selector,
            candidates,
            ..
        } = self.scratch;
        for member in self.members {
            candidates.clear();
            candidates.append(&mut member.near);
            if entry.is_some() {
                let query = ground.rows.row(member.slot);
                let probe = ground.full(score, query);
                ground.beam(probe, member.descent.nearest, level, ef, walk);
                candidates.extend(walk.found().iter().map(|key| key.unmarked()));
                candidates.sort_unstable();
                candidates.truncate(ef);
            }
            member.crowded = ef >= CROWD
                && candidates.len() == ef
                && candidates[0].score_bits() == candidates[ef - 1].score_bits();
            let links = selector.select(score, ground.rows, candidates, quota);
            member.links.extend_from_slice(links);
        }
    }
}

/// Writes the new rows of targets.
struct Answer<'a> {
    stage: Stage<'a>,
    members: &'a [Member],
    /// Where a slot of the batch stands among the members.
    place: &'a [u32],
    /// Each one target's, in order.
    segments: &'a [&'a [Edge]],
    rows: &'a mut [u32],
    scratch: &'a mut LinkScratch,
}

impl Task for Answer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Stage {
            ground,
            batch,
            level,
            ..
        } = self.stage;
        let degree = ground.graph.degree(level);
        let quota = Quota::of_full(&batch.selection, level);
        let LinkScratch {
            selector,
            candidates,
            present,
            ..
        } = self.scratch;
        for (segment, row) in self.segments.iter().zip(self.rows.chunks_exact_mut(degree)) {
            let target = segment[0].target;
            present.clear();
            if target < batch.first {
                let row = ground.graph.row(level, target);
                present.extend(row.iter().take_while(|&&slot| slot != NO_SLOT));
            } else {
                let at = self.place[(target - batch.first) as usize];
                let links = &self.members[at as usize].links;
                present.extend(links.iter().map(|link| link.slot()));
            }
            candidates.clear();
            for edge in *segment {
                if candidates.len() < MOST_SOURCES && !present.contains(&edge.source.slot()) {
                    candidates.push(edge.source);
                }
            }
            if present.len() + candidates.len() <= degree {
                let links = present.iter().copied();
                let links = links.chain(candidates.iter().map(|source| source.slot()));
                for (to, link) in row.iter_mut().zip(links) {
                    *to = link;
                }
                continue;
            }
            let query = ground.rows.row(target);
            selector.distances += present.len() as u64;
            let (fours, rest) = present.as_chunks::<4>();
            for &four in fours {
                let [a, b, c, d] = four;
                let these = [
                    ground.rows.row(a),
                    ground.rows.row(b),
                    ground.rows.row(c),
                    ground.rows.row(d),
                ];
                let scores = score.four(query, these);
                for i in 0..4 {
                    candidates.push(Key::new(scores[i], four[i]));
                }
            }
            for &slot in rest {
                candidates.push(Key::new(score.one(query, ground.rows.row(slot)), slot));
            }
            candidates.sort_unstable();
            let links = selector.select(score, ground.rows, candidates, quota);
            for (to, link) in row.iter_mut().zip(links) {
                *to = link.slot();
            }
        }
    }
}
