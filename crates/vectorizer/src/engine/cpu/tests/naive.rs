//! The algorithm word for word, over vectors of vectors.

use super::*;

pub(super) struct Naive {
    pub(super) layout: Layout,
    pub(super) rows: Vec<Vec<f32>>,
    pub(super) links: BTreeMap<(usize, u32), Vec<u32>>,
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

    pub(super) fn walk(
        &self,
        query: &[f32],
        entry: Entry,
        ef: usize,
        level: usize,
    ) -> Vec<Neighbor> {
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

    pub(super) fn link(&mut self, batch: &LinkBatch<'_>) {
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
