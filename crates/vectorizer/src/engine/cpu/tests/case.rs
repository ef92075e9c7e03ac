//! What is built: rows, levels, batches and the parameters of a build.

use super::*;

/// Small integers, whose scores are exact in any order of summation; every fifth row is a copy of an earlier one.
pub(super) fn integers(seed: u64, count: usize, dimension: usize) -> Vec<f32> {
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

pub(super) fn levels(seed: u64, count: usize, m: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let level = |random: &mut Random| (0..4).take_while(|_| random.below(m) == 0).count() as u8;
    (0..count).map(|_| level(&mut random)).collect()
}

/// The batches and entries of a build: a seed, then ever larger ones.
pub(super) fn batches(levels: &[u8], seed: usize) -> Vec<(Range<usize>, Option<Entry>)> {
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

pub(super) fn entry(levels: &[u8]) -> Entry {
    let level = *levels.iter().max().unwrap();
    let slot = levels.iter().position(|l| *l == level).unwrap();
    Entry {
        slot: slot as u32,
        level: level.into(),
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) count: usize,
    pub(super) dimension: usize,
    pub(super) scoring: Scoring,
    pub(super) m: usize,
    pub(super) seed: usize,
    pub(super) selection: Selection,
}

impl Case {
    pub(super) fn layout(&self) -> Layout {
        Layout {
            dimension: self.dimension,
            scoring: self.scoring,
            max_connections: self.m,
            precision: crate::config::Precision::F32,
            full_rows: crate::config::FullRows::Device,
        }
    }

    pub(super) fn levels(&self) -> Vec<u8> {
        levels(77, self.count, self.m)
    }

    pub(super) fn engine(&self, threads: usize) -> CpuEngine {
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

    pub(super) fn naive(&self) -> Naive {
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

    pub(super) fn batch<'a>(
        &self,
        levels: &'a [u8],
        range: Range<usize>,
        entry: Option<Entry>,
    ) -> LinkBatch<'a> {
        LinkBatch {
            first: range.start as u32,
            levels: &levels[range],
            unlinked: {
                static NONE: SlotSet = SlotSet::new();
                &NONE
            },
            entry,
            selection: self.selection,
        }
    }
}

pub(super) const SELECTION: Selection = Selection {
    ef_construction: 40,
    near: 10,
    own: 12,
    fill: 4,
    relink_own: 14,
    relink_fill: 9,
};

pub(super) fn cases() -> Vec<Case> {
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
