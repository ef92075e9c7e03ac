//! The engine against a naive one that does, word for word, what the algorithm says.

use std::collections::{BTreeMap, HashSet};

use super::random::Random;
use super::*;
use crate::engine::{Entry, NO_SLOT, Scoring, Selection};
use case::{Case, SELECTION, batches, cases, entry, integers, levels};
use naive::Naive;

mod case;
mod naive;

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
    let rows = random.reals(count * dimension);
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
                        unlinked: &SlotSet::new(),
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
