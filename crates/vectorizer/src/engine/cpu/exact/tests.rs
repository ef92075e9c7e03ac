//! Exact search against every score in f64.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::engine::Scoring;
use crate::engine::cpu::distance::Instructions;
use crate::engine::cpu::pool::Purpose;
use crate::engine::cpu::random::Random;
use crate::gpu::memory::Ledger;

const SCORINGS: [Scoring; 2] = [Scoring::SquaredEuclidean, Scoring::NegativeDot];

fn rows(dimension: usize, values: &[f32]) -> Rows {
    let mut rows = Rows::new(dimension, Ledger::new(None)).unwrap();
    // In two batches, so that the second does not begin a chunk.
    let half = values.len() / dimension / 2 * dimension;
    for part in [&values[..half], &values[half..]] {
        let staged = rows.stage(part).unwrap();
        rows.commit(staged);
    }
    rows
}

/// Every score in f64, sorted; exact on whole numbers.
fn oracle(
    scoring: Scoring,
    dimension: usize,
    values: &[f32],
    query: &[f32],
    k: usize,
    slots: Range<u32>,
) -> Vec<Neighbor> {
    let mut all: Vec<Neighbor> = slots
        .map(|slot| {
            let row = &values[slot as usize * dimension..][..dimension];
            let pairs = query.iter().zip(row);
            let pairs = pairs.map(|(a, b)| (f64::from(*a), f64::from(*b)));
            let score: f64 = match scoring {
                Scoring::SquaredEuclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
                Scoring::NegativeDot => -pairs.map(|(a, b)| a * b).sum::<f64>(),
            };
            Neighbor {
                score: score as f32,
                slot,
            }
        })
        .collect();
    all.sort_unstable();
    all.truncate(k);
    all
}

/// One query after the other, by the scan.
fn scanned(distance: Distance, rows: &Rows, queries: &[f32], k: usize, slots: &Range<u32>) -> Hits {
    let pool = Pool::new(1, Purpose::Search);
    let k = k.min(slots.len());
    let mut all = Vec::new();
    for query in queries.chunks(rows.dimension()) {
        let hits = search(distance, rows, &pool, query, k, slots.clone());
        assert_eq!((hits.width(), hits.queries()), (k, usize::from(k > 0)));
        all.extend(hits.iter().flatten());
    }
    Hits::new(k, all)
}

fn assert_same_bits(found: &Hits, expected: &Hits, what: &str) {
    assert_eq!(found, expected, "{what}");
    let bits = |hits: &Hits| -> Vec<u32> {
        let scores = hits.iter().flatten().map(|n| n.score.to_bits());
        scores.collect()
    };
    assert_eq!(bits(found), bits(expected), "{what}");
}

#[test]
fn integers_are_answered_exactly_at_awkward_sizes() {
    let mut random = Random(1);
    for instructions in Instructions::available() {
        for dimension in [1, 3, 5, 7, 16, 17, 127, 784, 1536] {
            for count in [1, 2, 31, 32, 33, 64, 300] {
                let values = random.integers(4, count * dimension);
                let rows = rows(dimension, &values);
                let queries = random.integers(4, 13 * dimension);
                let n = count as u32;
                for (threads, k, slots) in [
                    (1, 1, 0..n),
                    (1, 10, 0..n),
                    (2, count / 8, n / 3..n),
                    (2, count + 1, 0..n),
                ] {
                    let pool = Pool::new(threads, Purpose::Search);
                    for scoring in SCORINGS {
                        let distance = Distance::with(instructions, scoring);
                        let hits = search(distance, &rows, &pool, &queries, k, slots.clone());
                        assert_eq!(hits.width(), k.min(slots.len()));
                        for (at, query) in queries.chunks(dimension).enumerate() {
                            if hits.width() == 0 {
                                continue;
                            }
                            assert_eq!(
                                hits.of(at),
                                oracle(scoring, dimension, &values, query, k, slots.clone()),
                                "{instructions:?} {scoring:?} {count} x {dimension}, k {k}, {slots:?}, query {at}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn more_than_a_block_and_a_chunk_is_answered_exactly() {
    let mut random = Random(2);
    for (dimension, count) in [(17, 20_000), (5, 70_000), (784, 6_000)] {
        let values = random.integers(4, count * dimension);
        let rows = rows(dimension, &values);
        let queries = random.integers(4, 29 * dimension);
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads, Purpose::Search);
            for scoring in SCORINGS {
                let slots = 7..count as u32 - 3;
                let hits = search(
                    Distance::new(scoring),
                    &rows,
                    &pool,
                    &queries,
                    25,
                    slots.clone(),
                );
                for (at, query) in queries.chunks(dimension).enumerate() {
                    let expected = oracle(scoring, dimension, &values, query, 25, slots.clone());
                    assert_eq!(hits.of(at), expected, "{scoring:?} {dimension} {at}");
                }
            }
        }
    }
}

#[test]
fn nothing_asked_or_nothing_there_gives_nothing() {
    let rows = rows(3, &[1.0; 30]);
    let pool = Pool::new(2, Purpose::Search);
    let distance = Distance::new(Scoring::SquaredEuclidean);
    let ask = |queries: &[f32], k, slots| search(distance, &rows, &pool, queries, k, slots);
    assert_eq!(ask(&[], 5, 0..10).queries(), 0);
    assert_eq!(ask(&[0.0; 30], 0, 0..10).width(), 0);
    assert_eq!(ask(&[0.0; 30], 5, 4..4).width(), 0);
    assert_eq!(ask(&[0.0; 30], 5, 9..10).of(9)[0].slot, 9);
}

#[test]
fn copies_come_in_the_order_of_slots() {
    let dimension = 20;
    let rows = rows(dimension, &vec![0.5; 5000 * dimension]);
    for threads in [1, 2] {
        let pool = Pool::new(threads, Purpose::Search);
        for scoring in SCORINGS {
            let queries = vec![0.25; 40 * dimension];
            let hits = search(
                Distance::new(scoring),
                &rows,
                &pool,
                &queries,
                33,
                100..5000,
            );
            for list in hits.iter() {
                let slots: Vec<u32> = list.iter().map(|n| n.slot).collect();
                assert_eq!(slots, (100..133).collect::<Vec<u32>>());
            }
        }
    }
}

#[test]
fn all_neighbours_of_ten_thousand_come_sorted() {
    let (dimension, count) = (4, 10_000);
    let mut random = Random(3);
    let values = random.reals(count * dimension);
    let rows = rows(dimension, &values);
    let queries = random.reals(5 * dimension);
    let pool = Pool::new(2, Purpose::Search);
    let distance = Distance::new(Scoring::SquaredEuclidean);
    let hits = search(distance, &rows, &pool, &queries, count, 0..count as u32);
    for list in hits.iter() {
        assert_eq!(list.len(), count);
        assert!(list.is_sorted());
        let mut seen = vec![false; count];
        for neighbor in list {
            assert!(!std::mem::replace(&mut seen[neighbor.slot as usize], true));
        }
    }
}

/// Rows whose differences drown in the rounding of a dot product: far from the origin, or of very different lengths, or very small.
#[test]
fn tiles_lose_nothing_to_rounding() {
    let mut random = Random(4);
    let (dimension, count) = (96, 2_000);
    let noise = random.reals(count * dimension);
    type Shape = fn(usize, f32) -> f32;
    let shapes: [(&str, Shape); 6] = [
        ("far away", |_, v| 1000.0 + 0.01 * v),
        ("farther away", |_, v| 1e6 + v),
        ("of many lengths", |row, v| {
            v * ((row % 40) as f32 - 20.0).exp2()
        }),
        ("tiny", |_, v| v * 1e-20),
        ("below all normal numbers", |_, v| v * 1e-41),
        ("huge", |_, v| v * 1e17),
    ];
    for (name, shape) in shapes {
        let shaped = |at: usize, v: &f32| shape(at / dimension, *v);
        let values: Vec<f32> = noise
            .iter()
            .enumerate()
            .map(|(i, v)| shaped(i, v))
            .collect();
        let rows = rows(dimension, &values);
        for stretch in [1.0, 1e-3, 30.0] {
            let queries: Vec<f32> = values[..30 * dimension]
                .iter()
                .map(|v| v * stretch)
                .collect();
            for instructions in Instructions::available() {
                for scoring in SCORINGS {
                    let distance = Distance::with(instructions, scoring);
                    let slots = 5..count as u32;
                    let pool = Pool::new(1, Purpose::Search);
                    let found = search(distance, &rows, &pool, &queries, 10, slots.clone());
                    let expected = scanned(distance, &rows, &queries, 10, &slots);
                    assert_same_bits(&found, &expected, &format!("{name} {distance:?}"));
                }
            }
        }
    }
}

/// Where only rows, or only queries, do not fit into eight bits a component.
#[test]
fn tiles_lose_nothing_to_eight_bits() {
    let mut random = Random(5);
    let (count, asked) = (3_000, 200);
    for dimension in [16, 256] {
        let whole = |values: Vec<f32>| values.iter().map(|v| (v * 100.0).round()).collect();
        let reals = random.reals((count + asked) * dimension);
        let wholes: Vec<f32> = whole(random.reals((count + asked) * dimension));
        let stretched: Vec<f32> = reals.iter().map(|v| v * 100.0).collect();
        for (values, queries) in [(&stretched, &wholes), (&wholes, &stretched)] {
            let rows = rows(dimension, &values[..count * dimension]);
            let queries = &queries[count * dimension..];
            for scoring in SCORINGS {
                let distance = Distance::new(scoring);
                let pool = Pool::new(1, Purpose::Search);
                let slots = 0..count as u32;
                let found = search(distance, &rows, &pool, queries, 5, slots.clone());
                let expected = scanned(distance, &rows, queries, 5, &slots);
                assert_same_bits(&found, &expected, &format!("{distance:?} {dimension}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_way_gives_the_same(
        dimension in 1usize..100,
        count in 1usize..700,
        asked in 0usize..60,
        k in 0usize..100,
        cut in (0.0..1.0, 0.0..1.0),
        threads in 1usize..4,
        scoring in prop::sample::select(SCORINGS.to_vec()),
        whole in any::<bool>(),
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut numbers = |n| if whole { random.integers(4, n) } else { random.reals(n) };
        let values = numbers(count * dimension);
        let queries = numbers(asked * dimension);
        let rows = rows(dimension, &values);
        let (a, b): (f64, f64) = cut;
        let at = |part: f64| (part * count as f64) as u32;
        let slots = at(a.min(b))..at(a.max(b));
        for instructions in Instructions::available() {
            let distance = Distance::with(instructions, scoring);
            let pool = Pool::new(threads, Purpose::Search);
            let found = search(distance, &rows, &pool, &queries, k, slots.clone());
            if found.width() > 0 {
                assert_eq!(found.queries(), asked);
                let expected = scanned(distance, &rows, &queries, k, &slots);
                assert_same_bits(&found, &expected, "tiles and scan");
            }
        }
    }
}
