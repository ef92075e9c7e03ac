//! The CPU engine is the oracle: the same links, and the same answers.

use super::*;

fn oracle(layout: Layout, rows: &[f32]) -> CpuEngine {
    let mut engine = CpuEngine::new(layout, 1, Ledger::new(None)).unwrap();
    add(&mut engine, rows);
    engine
}

fn same_answers(ours: &dyn Engine, theirs: &dyn Engine, entry: Entry, beams: &[(usize, usize)]) {
    let queries = integers(9, ours.layout().dimension, 77);
    for &(ef, k) in beams {
        for level in [0, entry.level] {
            let walk = Walk {
                entry,
                level,
                ef,
                k,
            };
            let [ours, theirs] =
                [ours, theirs].map(|engine| engine.walk(&queries, &walk, None).unwrap());
            assert_eq!(ours.width(), theirs.width());
            for (at, (ours, theirs)) in ours.iter().zip(theirs.iter()).enumerate() {
                assert_eq!(ours, theirs, "query {at}, ef {ef}, k {k}, level {level}");
            }
        }
    }
}

/// Links everything on both engines, compares every level, then some walks.
fn equal(layout: Layout, rows: &[f32], chunk: Option<u64>, selection: Selection) {
    let seed = rows.len() as u64;
    println!("{layout:?}, {} numbers, seed {seed}", rows.len());
    let levels = levels(rows.len() / layout.dimension, layout.max_connections, seed);
    let mut ours = engine(layout, rows, chunk);
    let mut theirs = oracle(layout, rows);
    link(&mut ours, &levels, selection);
    link(&mut theirs, &levels, selection);
    let entry = entry_of(&levels).unwrap();
    same_links(&ours, &theirs, entry.level);
    same_answers(&ours, &theirs, entry, &[(1, 1), (10, 10), (100, 5)]);
}

#[test]
fn small_graphs_are_those_of_the_cpu_engine() {
    let layout = layout(3, Scoring::SquaredEuclidean, 4);
    for count in [1, 2, 31, 32, 33] {
        equal(layout, &integers(count, 3, count as u64), None, SELECTION);
    }
}

#[test]
fn graphs_are_those_of_the_cpu_engine_in_every_dimension_and_scoring() {
    for (dimension, scoring) in [
        (1, Scoring::NegativeDot),
        (17, Scoring::NegativeDot),
        (64, Scoring::SquaredEuclidean),
        (2_100, Scoring::SquaredEuclidean),
    ] {
        let rows = integers(400, dimension, 5);
        equal(layout(dimension, scoring, 8), &rows, None, SELECTION);
    }
}

#[test]
fn a_larger_graph_is_that_of_the_cpu_engine() {
    let rows = integers(5_000, 17, 11);
    equal(
        layout(17, Scoring::SquaredEuclidean, 8),
        &rows,
        None,
        SELECTION,
    );
}

#[test]
fn rows_and_links_may_lie_in_several_chunks() {
    let rows = integers(1_000, 128, 12);
    let layout = layout(128, Scoring::SquaredEuclidean, 16);
    equal(layout, &rows, Some(128), SELECTION);
}

#[test]
fn duplicates_are_linked_as_on_the_cpu_engine() {
    let few = integers(10, 5, 13);
    let mut dice = Dice(14);
    let rows: Vec<f32> = (0..700)
        .flat_map(|_| {
            let at = dice.below(10) * 5;
            few[at..at + 5].to_vec()
        })
        .collect();
    for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
        equal(layout(5, scoring, 4), &rows, None, SELECTION);
    }
}

#[test]
fn wide_rows_crowd_the_table_of_visited_slots() {
    // 128 links a slot and narrow beams: the table is reset over and over.
    let selection = Selection {
        ef_construction: 30,
        near: 30,
        own: 100,
        fill: 60,
        relink_own: 128,
        relink_fill: 100,
    };
    let rows = integers(1_000, 8, 15);
    equal(
        layout(8, Scoring::SquaredEuclidean, 64),
        &rows,
        None,
        selection,
    );
}

#[test]
fn beams_of_every_width_find_what_the_cpu_engine_finds() {
    let layout = layout(6, Scoring::SquaredEuclidean, 8);
    let rows = integers(1_000, 6, 16);
    let levels = levels(1_000, 8, 16);
    let mut ours = engine(layout, &rows, None);
    let mut theirs = oracle(layout, &rows);
    link(&mut ours, &levels, SELECTION);
    link(&mut theirs, &levels, SELECTION);
    let beams = [32, 33, 64, 65, 128, 256, 257, 512, 1024].map(|ef| (ef, ef));
    let entry = entry_of(&levels).unwrap();
    same_answers(&ours, &theirs, entry, &beams);
    // Many walks at once take fewer threads each, and a smaller table.
    let walk = Walk {
        entry,
        level: 0,
        ef: 300,
        k: 100,
    };
    let queries = integers(140, 6, 78);
    let [ours, theirs]: [Hits; 2] =
        [&ours as &dyn Engine, &theirs].map(|engine| engine.walk(&queries, &walk, None).unwrap());
    for (at, (ours, theirs)) in ours.iter().zip(theirs.iter()).enumerate() {
        assert_eq!(ours, theirs, "query {at} of many");
    }
}

#[test]
fn lanes_that_cannot_exchange_values_build_the_same_graph() {
    let layout = layout(50, Scoring::NegativeDot, 8);
    let rows = integers(300, 50, 17);
    let levels = levels(300, 8, 17);
    let mut theirs = engine(layout, &rows, None);
    let mut ours = engine(layout, &rows, None);
    ours.exchange = false;
    link(&mut ours, &levels, SELECTION);
    link(&mut theirs, &levels, SELECTION);
    let entry = entry_of(&levels).unwrap();
    same_links(&ours, &theirs, entry.level);
    same_answers(&ours, &theirs, entry, &[(20, 20)]);
}
