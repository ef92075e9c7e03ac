//! The graph's kernels against the CPU engine, link for link and answer for answer, on vectors of integers.

use super::*;
use crate::engine::cpu::CpuEngine;
use crate::engine::{Entry, NO_SLOT, Neighbor, Scoring, Selection};
use crate::error::VectorizerError;
use crate::gpu::memory::Ledger;
use crate::gpu::testing;
use data::{Dice, entry_of, integers, levels, reals};

pub(super) mod data;
mod oracle;

pub(super) fn layout(dimension: usize, scoring: Scoring, max_connections: usize) -> Layout {
    Layout {
        dimension,
        scoring,
        max_connections,
        precision: crate::config::Precision::F32,
        full_rows: FullRows::Device,
    }
}

const SELECTION: Selection = Selection {
    ef_construction: 40,
    near: 8,
    own: 8,
    fill: 4,
    relink_own: 12,
    relink_fill: 10,
};

/// An engine that holds `rows`, in chunks of at most so many rows, of vectors and of links.
fn engine(layout: Layout, rows: &[f32], chunk: Option<u64>) -> GpuEngine {
    let device = testing::device();
    let mut engine = GpuEngine::new(&device, layout).unwrap();
    if let Some(chunk) = chunk {
        let row = layout.dimension.div_ceil(4) as u64 * 16;
        engine.rows = Rows::with_chunks_of(&device, layout.dimension, chunk * row).unwrap();
        engine.graph = Graph::with_chunks_of(layout, chunk);
    }
    add(&mut engine, rows);
    engine
}

pub(super) fn add(engine: &mut dyn Engine, rows: &[f32]) {
    let staged = engine.stage_rows(rows).unwrap();
    engine.commit_rows(staged);
}

pub(super) fn link(engine: &mut dyn Engine, levels: &[u8], selection: Selection) {
    let mut first = 0;
    let mut size = 40;
    while first < levels.len() {
        let end = (first + size).min(levels.len());
        let batch = LinkBatch {
            first: first as u32,
            levels: &levels[first..end],
            unlinked: &SlotSet::new(),
            entry: entry_of(&levels[..first]),
            selection,
        };
        let staged = engine.stage_links(&batch).unwrap();
        engine.commit_links(staged).unwrap();
        first = end;
        size = (size * 3).min(1500);
    }
}

fn same_links(ours: &dyn Engine, theirs: &dyn Engine, top: usize) {
    for level in 0..=top {
        let [ours, theirs] = [ours, theirs].map(|engine| engine.links(level).unwrap());
        assert_eq!(ours.degree, theirs.degree);
        assert_eq!(ours.rows.len(), theirs.rows.len(), "level {level}");
        let rows = ours.rows.chunks_exact(ours.degree);
        for (at, (ours, theirs)) in rows.zip(theirs.rows.chunks_exact(ours.degree)).enumerate() {
            assert_eq!(ours, theirs, "row {at} of level {level}");
        }
    }
}

#[test]
fn answers_do_not_depend_on_the_batch_and_graphs_do_not_change_between_runs() {
    let layout = layout(24, Scoring::SquaredEuclidean, 8);
    let rows = reals(1_000, 24, 18);
    let levels = levels(1_000, 8, 18);
    let entry = entry_of(&levels).unwrap();
    let [first, second] = [(); 2].map(|()| {
        let mut engine = engine(layout, &rows, None);
        link(&mut engine, &levels, SELECTION);
        engine
    });
    same_links(&first, &second, entry.level);
    let walk = Walk {
        entry,
        level: 0,
        ef: 20,
        k: 10,
    };
    let whole = first.walk(&rows, &walk, None).unwrap();
    for batch in [1, 7, 64] {
        let parts: Vec<_> = rows
            .chunks(batch * 24)
            .take(if batch == 1 { 40 } else { 1_000 })
            .map(|queries| first.walk(queries, &walk, None).unwrap())
            .collect();
        for (at, (one, other)) in parts
            .iter()
            .flat_map(Hits::iter)
            .zip(whole.iter())
            .enumerate()
        {
            assert_eq!(one, other, "query {at} in batches of {batch}");
        }
    }
    // A row finds itself, with the score that exact search gives.
    let exact = first.exact(&rows[..24 * 100], 3, 0..1_000, None).unwrap();
    let mut found = 0;
    for at in 0..100 {
        let ours = whole.of(at);
        found += exact.of(at).iter().filter(|n| ours.contains(n)).count();
        for hit in exact.of(at) {
            assert!(
                ours.iter()
                    .all(|n| n.slot != hit.slot || n.score == hit.score)
            );
        }
    }
    assert!(found >= 285, "{found} of 300");
}

#[test]
fn single_links_are_written_and_all_are_forgotten() {
    let layout = layout(3, Scoring::SquaredEuclidean, 4);
    let rows = integers(200, 3, 19);
    let levels = levels(200, 4, 19);
    let mut engine = engine(layout, &rows, Some(64));
    link(&mut engine, &levels, SELECTION);
    let before = [0, 1].map(|level| engine.links(level).unwrap());
    let tall: Vec<u32> = (0..200).filter(|slot| levels[*slot as usize] > 0).collect();
    let attach = |level, from, place, to| Attachment {
        level,
        from,
        place,
        to,
    };
    engine
        .attach(&[attach(0, 150, 7, 3), attach(1, tall[5], 2, tall[0])])
        .unwrap();
    let after = [0, 1].map(|level| engine.links(level).unwrap());
    let mut expected = before.clone();
    expected[0].rows[150 * 8 + 7] = 3;
    expected[1].rows[5 * 4 + 2] = tall[0];
    assert_eq!(after, expected);
    for wrong in [attach(0, 200, 0, 1), attach(0, 1, 8, 1), attach(7, 1, 0, 1)] {
        engine.attach(&[wrong]).unwrap_err();
    }
    engine.clear_links().unwrap();
    assert!(engine.links(0).unwrap().rows.is_empty());
    assert_eq!(engine.graph.taken(), 0);
    link(&mut engine, &levels, SELECTION);
    assert_eq!([0, 1].map(|level| engine.links(level).unwrap()), before);
    assert!(engine.graph.taken() >= 200 * 8 * 4);
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    let layout = layout(3, Scoring::SquaredEuclidean, 4);
    let rows = integers(50, 3, 20);
    let mut engine = engine(layout, &rows, None);
    let entry = Entry { slot: 0, level: 0 };
    let walk = Walk {
        entry,
        level: 0,
        ef: 10,
        k: 10,
    };
    assert_eq!(engine.walk(&rows[..3], &walk, None).unwrap().width(), 0);
    link(&mut engine, &[0; 50], SELECTION);
    engine.walk(&rows[..3], &walk, None).unwrap();
    let beyond = Walk {
        entry: Entry { slot: 50, level: 0 },
        ..walk
    };
    assert_eq!(
        engine.walk(&rows[..3], &beyond, None).unwrap_err(),
        VectorizerError::SearchFailed
    );
    engine
        .walk(&rows[..3], &Walk { ef: 1025, ..walk }, None)
        .unwrap_err();
    let again = LinkBatch {
        first: 0,
        levels: &[0; 50],
        unlinked: &SlotSet::new(),
        entry: None,
        selection: SELECTION,
    };
    engine.stage_links(&again).unwrap_err();
    let wide = LinkBatch {
        first: 50,
        levels: &[0],
        unlinked: &SlotSet::new(),
        entry: Some(entry),
        selection: SELECTION,
    };
    engine.stage_links(&wide).unwrap_err();
    // Fewer than k there: the rest of the list is empty.
    let hits = engine
        .walk(
            &rows[..6],
            &Walk {
                ef: 100,
                k: 100,
                ..walk
            },
            None,
        )
        .unwrap();
    assert_eq!((hits.width(), hits.queries()), (50, 2));
    assert!(
        hits.of(0).len() <= 50
            && hits.of(0).contains(&Neighbor {
                score: 0.0,
                slot: 0
            })
    );
    assert!(hits.of(0).iter().all(|n| n.slot != NO_SLOT));
    assert!(engine.walk(&[], &walk, None).unwrap().queries() == 0);
}

#[test]
fn the_work_of_walks_and_builds_is_counted() {
    let layout = layout(8, Scoring::SquaredEuclidean, 8);
    let rows = integers(300, 8, 21);
    let levels = levels(300, 8, 21);
    let mut engine = engine(layout, &rows, None);
    assert_eq!(engine.counters(), Counters::default());
    link(&mut engine, &levels, SELECTION);
    let built = engine.counters();
    assert!(built.distances > 300 * 40 && built.hops > 300, "{built:?}");
    assert_eq!(engine.counters(), built);
    // Recorded: 55,029 scores and 12,277 rows of links. A change that adds to them has to say what for.
    assert!(built.distances < 58_000 && built.hops < 13_000, "{built:?}");
    let walk = Walk {
        entry: entry_of(&levels).unwrap(),
        level: 0,
        ef: 16,
        k: 1,
    };
    engine.walk(&rows[..8 * 100], &walk, None).unwrap();
    let searched = engine.counters();
    assert!(searched.hops >= built.hops + 100 * 16, "{searched:?}");
    assert!(searched.distances > built.distances && searched.bytes > built.bytes);
    // Recorded: 10,257 scores and 2,149 rows of links.
    assert!(
        searched.distances - built.distances < 10_800,
        "{searched:?}"
    );
    assert!(searched.hops - built.hops < 2_300, "{searched:?}");
}
