//! Answers whose scores are equal but for rounding, and how seldom others are computed twice.

use super::*;
use crate::engine::gpu::products::{Products, Way};
use crate::engine::gpu::tests::{Numbers, SCORINGS, engine, layout};
use crate::engine::{Engine, Scoring};

/// Rows whose distances to [`even`] queries are sums of the same numbers, each in an order of its own.
pub(in crate::engine::gpu) fn nearly_tied(
    numbers: &mut Numbers,
    dimension: usize,
    rows: usize,
) -> Vec<f32> {
    let mut row = numbers.reals(dimension);
    let mut data = Vec::with_capacity(rows * dimension);
    for _ in 0..rows {
        for at in (1..dimension).rev() {
            row.swap(at, (numbers.next() % (at as u64 + 1)) as usize);
        }
        data.extend_from_slice(&row);
    }
    data
}

/// Queries with one number in all components.
pub(in crate::engine::gpu) fn even(
    numbers: &mut Numbers,
    dimension: usize,
    count: usize,
) -> Vec<f32> {
    let each = numbers.reals(count);
    let each = each.iter();
    each.flat_map(|x| std::iter::repeat_n(*x, dimension))
        .collect()
}

/// Holds batches of these sizes against every query by itself.
fn check(engine: &GpuEngine, queries: &[f32], k: usize, sizes: &[usize]) {
    let dimension = engine.layout.dimension;
    let slots = 0..small(engine.len());
    let alone: Vec<Hits> = queries
        .chunks_exact(dimension)
        .map(|query| engine.exact(query, k, slots.clone(), None).unwrap())
        .collect();
    for size in sizes {
        for (batch, queries) in queries.chunks(size * dimension).enumerate() {
            let hits = engine.exact(queries, k, slots.clone(), None).unwrap();
            for at in 0..hits.queries() {
                assert_eq!(
                    hits.of(at),
                    alone[batch * size + at].of(0),
                    "a batch of {size}, k {k}, {:?}",
                    engine.layout
                );
            }
        }
    }
}

fn scanned_again(engine: &GpuEngine) -> u64 {
    engine.scanned_again.load(Ordering::Relaxed)
}

#[test]
fn near_ties_are_answered_as_a_query_alone_is() {
    let mut numbers = Numbers(61);
    let (dimension, rows) = (128, 5_000);
    let data = nearly_tied(&mut numbers, dimension, rows);
    let queries = even(&mut numbers, dimension, 66);
    for scoring in SCORINGS {
        let mut engine = engine(layout(dimension, scoring), &data);
        check(&engine, &queries, 10, &[8, 9, 32, 65]);
        assert!(scanned_again(&engine) > 0, "these are no near ties");
        // What a device without products does, and one whose products leave everything open.
        engine.products = Products::by(Way::Never);
        check(&engine, &queries, 10, &[66]);
    }
}

#[test]
fn what_tiles_get_wrong_is_not_proven() {
    let mut numbers = Numbers(66);
    let (dimension, rows, k) = (128, 2_000, 10);
    let data = nearly_tied(&mut numbers, dimension, rows);
    let queries = even(&mut numbers, dimension, 40);
    for scoring in SCORINGS {
        let engine = engine(layout(dimension, scoring), &data);
        let among = engine.among(0..small(rows), None).unwrap();
        let mut open = Vec::new();
        let found = engine
            .by_slabs(&queries, k, &among, PORTION, &mut open)
            .unwrap();
        let wrong: Vec<usize> = (0..40)
            .filter(|at| {
                let query = &queries[at * dimension..][..dimension];
                let alone = engine.exact(query, k, 0..small(rows), None).unwrap();
                alone.of(0) != &found[at * k..][..k]
            })
            .collect();
        assert!(!wrong.is_empty(), "tiles alone are right: no near ties");
        assert!(wrong.iter().all(|at| open.contains(at)), "{wrong:?}");
    }
}

#[test]
fn near_ties_are_answered_alike_for_every_length_of_answer() {
    let mut numbers = Numbers(62);
    let (dimension, rows) = (64, 1_500);
    let data = nearly_tied(&mut numbers, dimension, rows);
    let queries = even(&mut numbers, dimension, 12);
    for scoring in SCORINGS {
        let engine = engine(layout(dimension, scoring), &data);
        for k in [1, 65, 250, 256, 300] {
            check(&engine, &queries, k, &[12]);
        }
    }
}

#[test]
fn one_long_row_among_products_hides_no_neighbour() {
    let mut numbers = Numbers(63);
    let (dimension, rows) = (128, 1_000);
    let mut data = nearly_tied(&mut numbers, dimension, rows);
    data[..dimension].iter_mut().for_each(|x| *x *= 1e4);
    let queries = even(&mut numbers, dimension, 10);
    let engine = engine(layout(dimension, Scoring::NegativeDot), &data);
    check(&engine, &queries, 10, &[10]);
}

#[test]
fn ordinary_rows_are_not_scanned_again() {
    let mut numbers = Numbers(64);
    for (dimension, rows, k) in [(32, 5_000, 10), (128, 3_000, 58), (256, 2_000, 100)] {
        for scoring in SCORINGS {
            let data = numbers.reals(rows * dimension);
            let queries = numbers.reals(60 * dimension);
            let engine = engine(layout(dimension, scoring), &data);
            engine.exact(&queries, k, 0..small(rows), None).unwrap();
            assert_eq!(scanned_again(&engine), 0, "{:?}", engine.layout);
        }
    }
}

#[test]
fn small_whole_numbers_tie_and_are_not_scanned_again() {
    let mut numbers = Numbers(65);
    let (dimension, rows) = (64, 3_000);
    for scoring in SCORINGS {
        let bits: Vec<f32> = (0..rows * dimension)
            .map(|_| (numbers.next() % 2) as f32)
            .collect();
        let engine = engine(layout(dimension, scoring), &bits);
        let queries = &bits[..20 * dimension];
        check(&engine, queries, 10, &[20]);
        assert_eq!(scanned_again(&engine), 0);
    }
}
