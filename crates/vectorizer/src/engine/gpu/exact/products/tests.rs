//! Products against the scan, which scores every row: by instructions where the device has them, and imitated everywhere.

use super::*;
use crate::engine::gpu::products::{LONGEST, Products, Way};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::tests::{Numbers, SCORINGS, check_integers, engine, layout, with_chunks};
use crate::engine::{Engine, Scoring, SlotSet};
use crate::gpu::testing;
use crate::kernels::exact::products::Multiplier;

/// Every way of this device.
fn ways() -> Vec<Way> {
    let mut ways = vec![Way::Always(Matrices {
        block: 16,
        by: Multiplier::Imitated,
    })];
    if let Way::Worth(matrices) = Way::of(&testing::device()) {
        ways.push(Way::Always(matrices));
    }
    ways
}

/// The answers of the scan, a few queries at a time.
fn scanned(
    engine: &GpuEngine,
    queries: &[f32],
    k: usize,
    allowed: Option<&SlotSet>,
) -> Vec<Neighbor> {
    let few = super::super::FEW * engine.layout.dimension;
    let slots = 0..small(engine.len());
    let mut found = Vec::new();
    for queries in queries.chunks(few) {
        let hits = engine.exact(queries, k, slots.clone(), allowed).unwrap();
        for query in 0..queries.len() / engine.layout.dimension {
            found.extend_from_slice(hits.of(query));
        }
    }
    found
}

/// Holds every way against the scan; how many queries each answered itself.
fn check(mut engine: GpuEngine, queries: &[f32], k: usize, allowed: Option<&SlotSet>) -> Vec<u64> {
    let count = queries.len() / engine.layout.dimension;
    engine.products = Products::by(Way::Never);
    let expected = scanned(&engine, queries, k, allowed);
    assert_eq!(answered(&engine), 0);
    let slots = 0..small(engine.len());
    let mut all = Vec::new();
    for way in ways() {
        engine.products = Products::by(way);
        let hits = engine.exact(queries, k, slots.clone(), allowed).unwrap();
        let width = hits.width();
        for query in 0..count {
            assert_eq!(
                hits.of(query),
                &expected[query * width..][..width],
                "query {query}, k {k}, {way:?}, {} rows, {:?}",
                engine.len(),
                engine.layout
            );
        }
        all.push(answered(&engine));
    }
    all
}

/// Queries that products answered.
fn answered(engine: &GpuEngine) -> u64 {
    engine.products.count()
}

#[test]
fn every_size_is_answered_by_products_alone() {
    let mut numbers = Numbers(31);
    for dimension in [1, 3, 5, 7, 17, 127, 784] {
        for rows in [1, 2, 31, 32, 33, 1_000, 10_000] {
            // The rest of the sizes with dimensions that are quick.
            if dimension != 17 && rows > 1_000 || dimension > 17 && [2, 31, 33].contains(&rows) {
                continue;
            }
            for scoring in SCORINGS {
                let layout = layout(dimension, scoring);
                let data = numbers.reals(rows * dimension);
                // More than the 128 of a tile where that is quick.
                let queries = match rows * dimension {
                    ..=2_000 => 130,
                    2_001..=100_000 => 37,
                    _ => 11,
                };
                let queries = numbers.reals(queries * dimension);
                let lengths: &[usize] = if rows <= 33 {
                    &[0, 1, 10, rows, rows + 1]
                } else {
                    &[1, LONGEST, LONGEST + 1]
                };
                for &k in lengths {
                    let by_products = k > 0 && k.min(rows) <= LONGEST;
                    // Longer answers are not theirs, and cost much where a processor imitates a GPU.
                    let few = queries.len().min(9 * dimension);
                    let queries = &queries[..if by_products { queries.len() } else { few }];
                    let answered = check(engine(layout, &data), queries, k, None);
                    let expected = if by_products {
                        (queries.len() / dimension) as u64
                    } else {
                        0
                    };
                    // Of one component in 1,000 rows many are as near as halves can tell.
                    if dimension > 1 || rows < 1_000 {
                        assert!(
                            answered.iter().all(|answered| *answered == expected),
                            "{answered:?}, {rows} rows, k {k}, {layout:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn integers_give_the_oracles_answer_by_products() {
    let mut numbers = Numbers(32);
    for (dimension, rows) in [(17, 1_000), (64, 5_000)] {
        for scoring in SCORINGS {
            let layout = layout(dimension, scoring);
            let data = numbers.integers(rows * dimension);
            let queries = numbers.integers(70 * dimension);
            for way in ways() {
                let mut engine = engine(layout, &data);
                engine.products = Products::by(way);
                check_integers(&engine, &data, &queries, 10, 0..small(rows));
                check_integers(&engine, &data, &queries, 64, 3..small(rows) - 5);
                assert!(answered(&engine) >= 130);
            }
        }
    }
}

#[test]
fn lists_and_chunks_are_gone_through_whole() {
    let mut numbers = Numbers(33);
    let (dimension, rows) = (20, 3_000);
    for scoring in SCORINGS {
        let layout = layout(dimension, scoring);
        let data = numbers.reals(rows * dimension);
        let queries = numbers.reals(40 * dimension);
        let mut allowed = SlotSet::new();
        for slot in (0..small(rows)).filter(|_| numbers.next().is_multiple_of(3)) {
            allowed.insert(slot);
        }
        for allowed in [None, Some(&allowed)] {
            let mut engine = with_chunks(engine(layout, &[]), 1_024);
            let staged = engine.stage_rows(&data).unwrap();
            engine.commit_rows(staged);
            assert!(engine.rows.stretches(0..small(rows)).len() >= 3);
            let answered = check(engine, &queries, 10, allowed);
            assert!(
                answered.iter().all(|answered| *answered == 40),
                "{answered:?}"
            );
        }
    }
}

#[test]
fn numbers_that_halves_cannot_hold() {
    let mut numbers = Numbers(34);
    let (dimension, rows) = (24, 900);
    for scoring in SCORINGS {
        let mut data: Vec<f32> = numbers
            .reals(rows * dimension)
            .iter()
            .map(|x| x.abs())
            .collect();
        for (at, factor) in [
            (5, 1e30),
            (6, 1e30),
            (100, 1e-30),
            (101, 0.0),
            (300, 1e-42),
            (899, 1e12),
        ] {
            data[at * dimension..][..dimension]
                .iter_mut()
                .for_each(|x| *x *= factor);
        }
        // Large and small in one row, and components that vanish beside the largest.
        data[200 * dimension] = 60_000.0;
        data[201 * dimension] = 1e-7;
        data[202 * dimension] = 3e9;
        let mut queries: Vec<f32> = numbers
            .reals(40 * dimension)
            .iter()
            .map(|x| x.abs())
            .collect();
        for (at, factor) in [(3, 1e-30), (4, 0.0), (5, 1e15), (6, 1e-9), (7, 1e9)] {
            queries[at * dimension..][..dimension]
                .iter_mut()
                .for_each(|x| *x *= factor);
        }
        let layout = layout(dimension, scoring);
        let answered = check(engine(layout, &data), &queries, 10, None);
        // Not the three whose own numbers are too small or too large, nor those to which everything is the same.
        assert!(
            answered.iter().all(|answered| (34..=38).contains(answered)),
            "{answered:?}"
        );
    }
}

#[test]
fn what_halves_cannot_tell_apart_is_told_apart() {
    let mut numbers = Numbers(35);
    let (dimension, rows) = (48, 2_500);
    for scoring in SCORINGS {
        let base = numbers.reals(dimension);
        let mut data: Vec<f32> = numbers
            .reals(rows * dimension)
            .iter()
            .map(|x| x * 0.5)
            .collect();
        // Two hundred: half of them differ in the last bits of one component, each twice; the others by about what halves lose, so that halves
        // alone would put them into another order.
        for copy in 0..200 {
            let at = (copy * 12 + 7) * dimension;
            data[at..][..dimension].copy_from_slice(&base);
            if copy < 100 {
                data[at + copy % dimension] *= 1.0 + (copy / 2) as f32 * 2e-7;
            } else {
                let lost = numbers.reals(dimension);
                for (x, lost) in data[at..].iter_mut().zip(lost) {
                    *x *= 1.0 + 4e-4 * lost;
                }
            }
        }
        let mut queries: Vec<f32> = base.iter().map(|x| x * 1.5).collect();
        for at in 0..30 {
            queries.extend(base.iter().map(|x| x * 1.2));
            queries[(at + 1) * dimension + at] += 1e-4;
        }
        let answered = check(
            engine(layout(dimension, scoring), &data),
            &queries,
            20,
            None,
        );
        assert!(
            answered.iter().all(|answered| *answered == 31),
            "{answered:?}"
        );
    }
}

#[test]
fn more_ties_than_can_be_held_are_left_to_the_other_kernels() {
    let mut numbers = Numbers(36);
    let (dimension, rows) = (16, 2_000);
    let one = numbers.reals(dimension);
    let data: Vec<f32> = (0..rows).flat_map(|_| one.clone()).collect();
    let queries = numbers.reals(20 * dimension);
    let layout = layout(dimension, Scoring::SquaredEuclidean);
    let answered = check(engine(layout, &data), &queries, 10, None);
    assert!(
        answered.iter().all(|answered| *answered == 0),
        "{answered:?}"
    );
}
