//! The engine against a naive one that does, word for word, what the algorithm says.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::engine::{Entry, NO_SLOT, Scoring, Selection};

/// xorshift: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }
}

/// Small integers, whose scores are exact in any order of summation; every fifth row is a copy of an earlier one.
fn integers(seed: u64, count: usize, dimension: usize) -> Vec<f32> {
    let mut random = Random(seed);
    let mut rows: Vec<f32> = Vec::new();
    for row in 0..count {
        if row % 5 == 4 {
            let from = random.below(row) * dimension;
            rows.extend_from_within(from..from + dimension);
        } else {
            rows.extend((0..dimension).map(|_| random.below(17) as f32 - 8.0));
        }
    }
    rows
}

fn levels(seed: u64, count: usize, m: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let level = |random: &mut Random| (0..4).take_while(|_| random.below(m) == 0).count() as u8;
    (0..count).map(|_| level(&mut random)).collect()
}

/// The batches and entries of a build: a seed, then ever larger ones.
fn batches(levels: &[u8], seed: usize) -> Vec<(Range<usize>, Option<Entry>)> {
    let mut batches = Vec::new();
    let mut entry: Option<Entry> = None;
    let mut first = 0;
    while first < levels.len() {
        let size = if first == 0 { seed } else { 1 + first / 4 };
        let range = first..levels.len().min(first + size);
        batches.push((range.clone(), entry));
        for slot in range.clone() {
            let level = usize::from(levels[slot]);
            if entry.is_none_or(|entry| level > entry.level) {
                entry = Some(Entry {
                    slot: slot as u32,
                    level,
                });
            }
        }
        first = range.end;
    }
    batches
}

fn entry(levels: &[u8]) -> Entry {
    let level = *levels.iter().max().unwrap();
    let slot = levels.iter().position(|l| *l == level).unwrap();
    Entry {
        slot: slot as u32,
        level: level.into(),
    }
}

struct Naive {
    layout: Layout,
    rows: Vec<Vec<f32>>,
    links: BTreeMap<(usize, u32), Vec<u32>>,
}

impl Naive {
    fn score(&self, a: &[f32], b: &[f32]) -> f32 {
        let pairs = a.iter().zip(b);
        match self.layout.scoring {
            Scoring::SquaredEuclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
            Scoring::NegativeDot => 0.0 - pairs.map(|(a, b)| a * b).sum::<f32>(),
        }
    }

    fn between(&self, a: u32, b: u32) -> f32 {
        self.score(&self.rows[a as usize], &self.rows[b as usize])
    }

    fn neighbor(&self, query: &[f32], slot: u32) -> Neighbor {
        let score = self.score(query, &self.rows[slot as usize]);
        Neighbor { score, slot }
    }

    fn walk(&self, query: &[f32], entry: Entry, ef: usize, level: usize) -> Vec<Neighbor> {
        let mut nearest = self.neighbor(query, entry.slot);
        for level in (level + 1..=entry.level).rev() {
            loop {
                let row = self.links[&(level, nearest.slot)].iter();
                let best = row.map(|&slot| self.neighbor(query, slot)).min();
                match best.filter(|best| *best < nearest) {
                    Some(best) => nearest = best,
                    None => break,
                }
            }
        }
        let mut pool = vec![nearest];
        let mut visited = HashSet::from([nearest.slot]);
        let mut expanded = HashSet::new();
        while let Some(next) = pool.iter().find(|n| !expanded.contains(&n.slot)) {
            let slot = next.slot;
            expanded.insert(slot);
            for &other in &self.links[&(level, slot)] {
                if visited.insert(other) {
                    pool.push(self.neighbor(query, other));
                }
            }
            pool.sort();
            pool.truncate(ef);
        }
        pool
    }

    fn select(&self, of: u32, candidates: &[Neighbor], own: usize, fill: usize) -> Vec<u32> {
        let (mut chosen, mut dropped) = (Vec::new(), Vec::new());
        for (at, candidate) in candidates.iter().enumerate() {
            if chosen.len() == own {
                break;
            }
            let tied = at > 0 && candidates[at - 1].score == candidate.score;
            let far = candidate.score;
            let drops = |x: &u32| {
                let between = self.between(candidate.slot, *x);
                between < far || (between == far && self.between(of, *x) == far)
            };
            if chosen.iter().any(drops) {
                dropped.extend((!tied).then_some(candidate.slot));
            } else {
                chosen.push(candidate.slot);
            }
        }
        for slot in dropped {
            if chosen.len() < fill {
                chosen.push(slot);
            }
        }
        chosen
    }

    fn link(&mut self, batch: &LinkBatch<'_>) {
        let Selection {
            ef_construction: ef,
            near,
            ..
        } = batch.selection;
        let top = usize::from(*batch.levels.iter().max().unwrap());
        let mut new = BTreeMap::new();
        for level in (0..=top).rev() {
            let width = |n: usize| if level == 0 { n } else { n.div_ceil(2) };
            let s = batch.selection;
            let members: Vec<u32> = (0..batch.levels.len())
                .filter(|at| usize::from(batch.levels[*at]) >= level)
                .map(|at| batch.first + at as u32)
                .collect();
            let mut rows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let mut edges: BTreeMap<u32, Vec<Neighbor>> = BTreeMap::new();
            for &member in &members {
                let query = &self.rows[member as usize];
                let others = members.iter().filter(|other| **other != member);
                let mut exact: Vec<_> = others.map(|other| self.neighbor(query, *other)).collect();
                exact.sort();
                let entry = batch.entry.filter(|entry| entry.level >= level);
                exact.truncate(if entry.is_some() { near } else { ef });
                let mut candidates = exact;
                if let Some(entry) = entry {
                    candidates.extend(self.walk(query, entry, ef, level));
                }
                candidates.sort();
                candidates.truncate(ef);
                let row = self.select(member, &candidates, width(s.own), width(s.fill));
                let crowded = ef >= 16
                    && candidates.len() == ef
                    && candidates[0].score == candidates[ef - 1].score;
                for &target in row.iter().filter(|_| !crowded) {
                    let score = self.between(member, target);
                    let edge = Neighbor {
                        score,
                        slot: member,
                    };
                    edges.entry(target).or_default().push(edge);
                }
                rows.insert(member, row);
            }
            for (target, mut sources) in edges {
                let row = rows
                    .get(&target)
                    .or_else(|| self.links.get(&(level, target)));
                let mut row = row.unwrap().clone();
                sources.sort();
                sources.retain(|source| !row.contains(&source.slot));
                sources.truncate(128);
                row.extend(sources.iter().map(|source| source.slot));
                if row.len() > self.layout.degree(level) {
                    let query = &self.rows[target as usize];
                    let mut all: Vec<_> = row.iter().map(|s| self.neighbor(query, *s)).collect();
                    all.sort();
                    let (own, fill) = (width(s.relink_own), width(s.relink_fill));
                    row = self.select(target, &all, own, fill);
                }
                rows.insert(target, row);
            }
            new.extend(rows.into_iter().map(|(slot, row)| ((level, slot), row)));
        }
        self.links.extend(new);
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    count: usize,
    dimension: usize,
    scoring: Scoring,
    m: usize,
    seed: usize,
    selection: Selection,
}

impl Case {
    fn layout(&self) -> Layout {
        Layout {
            dimension: self.dimension,
            scoring: self.scoring,
            max_connections: self.m,
            precision: crate::config::Precision::F32,
            full_rows: crate::config::FullRows::Device,
        }
    }

    fn levels(&self) -> Vec<u8> {
        levels(77, self.count, self.m)
    }

    fn engine(&self, threads: usize) -> CpuEngine {
        let rows = integers(5, self.count, self.dimension);
        let mut engine = CpuEngine::new(self.layout(), threads, Ledger::new(None)).unwrap();
        let staged = engine.stage_rows(&rows).unwrap();
        engine.commit_rows(staged);
        let levels = self.levels();
        for (range, entry) in batches(&levels, self.seed) {
            let staged = engine
                .stage_links(&self.batch(&levels, range, entry))
                .unwrap();
            engine.commit_links(staged).unwrap();
        }
        engine
    }

    fn naive(&self) -> Naive {
        let rows = integers(5, self.count, self.dimension);
        let mut naive = Naive {
            layout: self.layout(),
            rows: rows.chunks(self.dimension).map(<[f32]>::to_vec).collect(),
            links: BTreeMap::new(),
        };
        let levels = self.levels();
        for (range, entry) in batches(&levels, self.seed) {
            naive.link(&self.batch(&levels, range, entry));
        }
        naive
    }

    fn batch<'a>(
        &self,
        levels: &'a [u8],
        range: Range<usize>,
        entry: Option<Entry>,
    ) -> LinkBatch<'a> {
        LinkBatch {
            first: range.start as u32,
            levels: &levels[range],
            entry,
            selection: self.selection,
        }
    }
}

const SELECTION: Selection = Selection {
    ef_construction: 40,
    near: 10,
    own: 12,
    fill: 4,
    relink_own: 14,
    relink_fill: 9,
};

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        let case = Case {
            count: 0,
            dimension: 3,
            scoring,
            m: 8,
            seed: 100,
            selection: SELECTION,
        };
        for count in [1, 2, 31, 32, 33] {
            cases.push(Case {
                count,
                seed: 8,
                ..case
            });
        }
        for dimension in [1, 3, 17, 64] {
            cases.push(Case {
                count: 700,
                dimension,
                ..case
            });
        }
        let wide = Selection {
            near: 0,
            fill: 0,
            relink_fill: 0,
            own: 10,
            relink_own: 10,
            ..SELECTION
        };
        cases.push(Case {
            count: 1500,
            dimension: 17,
            m: 5,
            selection: wide,
            ..case
        });
        let full = Selection {
            fill: 16,
            relink_own: 16,
            relink_fill: 16,
            ..SELECTION
        };
        cases.push(Case {
            count: 1500,
            dimension: 5,
            selection: full,
            ..case
        });
    }
    cases
}

/// Every level's links with the slots they belong to, as the naive engine keeps them.
fn links(engine: &CpuEngine, levels: &[u8]) -> BTreeMap<(usize, u32), Vec<u32>> {
    let mut links = BTreeMap::new();
    for level in 0..=usize::from(levels.iter().copied().max().unwrap_or(0)) {
        let read = engine.links(level).unwrap();
        assert_eq!(read.degree, engine.layout().degree(level));
        let slots = (0..levels.len()).filter(|slot| usize::from(levels[*slot]) >= level);
        let mut rows = read.rows.chunks(read.degree);
        for slot in slots {
            let row = rows.next().unwrap();
            let used = row.iter().take_while(|link| **link != NO_SLOT).count();
            assert!(row[used..].iter().all(|link| *link == NO_SLOT), "{row:?}");
            links.insert((level, slot as u32), row[..used].to_vec());
        }
        assert!(rows.next().is_none());
    }
    links
}

#[test]
fn the_graph_is_the_naive_one_link_for_link() {
    for case in cases() {
        let naive = case.naive();
        for threads in [1, 2] {
            let engine = case.engine(threads);
            let built = links(&engine, &case.levels());
            for (place, row) in &naive.links {
                assert_eq!(&built[place], row, "{case:?}, (level, slot) {place:?}");
            }
            assert_eq!(built.len(), naive.links.len());
        }
    }
}

#[test]
fn links_are_within_their_bounds() {
    for case in cases() {
        let levels = case.levels();
        for ((level, slot), row) in links(&case.engine(2), &levels) {
            assert!(row.len() <= case.layout().degree(level));
            assert!(!row.contains(&slot), "{slot} links to itself");
            assert_eq!(
                row.iter().collect::<HashSet<_>>().len(),
                row.len(),
                "{row:?}"
            );
            let known = |link: &u32| usize::from(levels[*link as usize]) >= level;
            assert!(row.iter().all(known), "{row:?} on level {level}");
        }
    }
}

#[test]
fn a_walk_is_the_naive_one_in_every_batch() {
    for case in cases() {
        let naive = case.naive();
        let engines = [case.engine(1), case.engine(2)];
        let queries = integers(9, 33, case.dimension);
        let entry = entry(&case.levels());
        for (ef, k, level) in [
            (1, 1, 0),
            (10, 10, 0),
            (64, 10, 0),
            (5000, 5000, 0),
            (20, 7, 1),
        ] {
            let level = level.min(entry.level);
            let walk = Walk {
                entry,
                level,
                ef,
                k,
            };
            let expected: Vec<Vec<Neighbor>> = queries
                .chunks(case.dimension)
                .map(|query| {
                    let mut found = naive.walk(query, entry, ef, level);
                    found.truncate(k);
                    found
                })
                .collect();
            for (engine, batch) in engines.iter().flat_map(|e| [(e, 1), (e, 7), (e, 33)]) {
                let mut found = Vec::new();
                for queries in queries.chunks(batch * case.dimension) {
                    let hits = engine.walk(queries, &walk, None).unwrap();
                    found.extend(hits.iter().map(<[Neighbor]>::to_vec));
                }
                assert_eq!(found, expected, "{case:?} {walk:?}, {batch} at a time");
            }
        }
    }
}

#[test]
fn reals_give_one_graph_and_one_answer_whatever_the_threads() {
    let (count, dimension) = (3000, 33);
    let mut random = Random(3);
    let rows: Vec<f32> = (0..count * dimension)
        .map(|_| (random.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
        .collect();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        let layout = Layout {
            dimension,
            scoring,
            max_connections: 8,
            precision: crate::config::Precision::F32,
            full_rows: crate::config::FullRows::Device,
        };
        let levels = levels(1, count, 8);
        let built: Vec<_> = [1, 2, 2]
            .map(|threads| {
                let mut engine = CpuEngine::new(layout, threads, Ledger::new(None)).unwrap();
                let staged = engine.stage_rows(&rows).unwrap();
                engine.commit_rows(staged);
                for (range, entry) in batches(&levels, 500) {
                    let batch = LinkBatch {
                        first: range.start as u32,
                        levels: &levels[range],
                        entry,
                        selection: SELECTION,
                    };
                    let staged = engine.stage_links(&batch).unwrap();
                    engine.commit_links(staged).unwrap();
                }
                let walk = Walk {
                    entry: entry(&levels),
                    level: 0,
                    ef: 50,
                    k: 10,
                };
                let hits = engine.walk(&rows[..500 * dimension], &walk, None).unwrap();
                (links(&engine, &levels), hits, engine.counters())
            })
            .into();
        assert!(built[0] == built[1] && built[1] == built[2], "{scoring:?}");
        let first = built[0].1.iter().zip(0..);
        let own = first.filter(|(hits, slot)| hits[0].slot == *slot).count();
        // Minus the dot product is not least for a row and itself.
        assert!(
            own >= 495 || scoring == Scoring::NegativeDot,
            "{own} of 500 found themselves"
        );
    }
}

#[test]
fn links_can_be_written_and_forgotten() {
    let case = Case {
        count: 300,
        ..cases()[0]
    };
    let mut engine = case.engine(1);
    let before = engine.links(0).unwrap();
    let free = before
        .rows
        .iter()
        .position(|link| *link == NO_SLOT)
        .unwrap();
    let (from, place) = ((free / before.degree) as u32, free % before.degree);
    engine
        .attach(&[Attachment {
            level: 0,
            from,
            place,
            to: 7,
        }])
        .unwrap();
    let mut expected = before.clone();
    expected.rows[free] = 7;
    assert_eq!(engine.links(0).unwrap(), expected);

    engine.clear_links().unwrap();
    assert!(engine.links(0).unwrap().rows.is_empty());
    assert_eq!(engine.len(), 300);
    let levels = case.levels();
    for (range, entry) in batches(&levels, case.seed) {
        let staged = engine
            .stage_links(&case.batch(&levels, range, entry))
            .unwrap();
        engine.commit_links(staged).unwrap();
    }
    assert_eq!(engine.links(0).unwrap(), before);
}

#[test]
fn links_are_on_the_ledger_and_within_its_limit() {
    let case = Case {
        count: 20_000,
        dimension: 1,
        m: 16,
        seed: 1000,
        ..cases()[0]
    };
    let ledger = Ledger::new(Some(4 << 20));
    let mut engine = CpuEngine::new(case.layout(), 2, ledger.clone()).unwrap();
    let staged = engine.stage_rows(&integers(5, case.count, 1)).unwrap();
    engine.commit_rows(staged);
    let levels = case.levels();
    let mut linked = 0;
    for (range, entry) in batches(&levels, case.seed) {
        if range.end > 10_000 {
            break;
        }
        linked = range.end;
        let staged = engine
            .stage_links(&case.batch(&levels, range, entry))
            .unwrap();
        engine.commit_links(staged).unwrap();
    }
    let taken = ledger.account(crate::gpu::memory::Label::Graph).taken as usize;
    let needed = linked * 32 * 4;
    assert!(
        taken >= needed && taken <= needed + needed / 10,
        "{taken} for {needed}"
    );

    let before = engine.links(0).unwrap();
    let all = case.batch(&levels, linked..case.count, Some(entry(&levels[..linked])));
    let total = ledger.total().taken;
    let _rest = ledger
        .take(crate::gpu::memory::Label::Rows, (4 << 20) - total)
        .unwrap();
    assert!(engine.stage_links(&all).is_err());
    assert_eq!(engine.links(0).unwrap(), before);
}
