//! Rows and exact search against a naive oracle in f64, on the device of [`testing`].

use std::ops::Range;

use super::*;
use crate::engine::gpu::exact::tests::{even, nearly_tied};
use crate::engine::{Neighbor, Scoring};
use crate::gpu::testing;

/// Reproducible numbers: splitmix64.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Small integers: sums of their products are exact in f32, in any order.
    pub(super) fn integers(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.next() % 17) as f32 - 8.0)
            .collect()
    }

    pub(super) fn reals(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.next() >> 40) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }
}

fn naive(
    layout: Layout,
    rows: &[f32],
    query: &[f32],
    k: usize,
    slots: Range<u32>,
) -> Vec<(f64, u32)> {
    let mut all: Vec<(f64, u32)> = slots
        .map(|slot| {
            let row = &rows[slot as usize * layout.dimension..][..layout.dimension];
            let pairs = row
                .iter()
                .zip(query)
                .map(|(a, b)| (f64::from(*a), f64::from(*b)));
            let score: f64 = match layout.scoring {
                Scoring::SquaredEuclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
                Scoring::NegativeDot => 0.0 - pairs.map(|(a, b)| a * b).sum::<f64>(),
            };
            (score, slot)
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

pub(super) fn engine(layout: Layout, rows: &[f32]) -> GpuEngine {
    let mut engine = GpuEngine::new(&testing::device(), layout).unwrap();
    let staged = engine.stage_rows(rows).unwrap();
    engine.commit_rows(staged);
    engine
}

/// With chunks of `rows` rows, to have several without much data.
pub(super) fn with_chunks(mut engine: GpuEngine, rows: u64) -> GpuEngine {
    let row = engine.layout.dimension.div_ceil(4) as u64 * 16;
    engine.rows =
        Rows::with_chunks_of(&engine.device, engine.layout.dimension, rows * row).unwrap();
    engine
}

pub(super) fn layout(dimension: usize, scoring: Scoring) -> Layout {
    Layout {
        dimension,
        scoring,
        max_connections: 16,
        precision: crate::config::Precision::F32,
        full_rows: FullRows::Device,
    }
}

pub(super) const SCORINGS: [Scoring; 2] = [Scoring::SquaredEuclidean, Scoring::NegativeDot];

pub(super) fn check_integers(
    engine: &GpuEngine,
    rows: &[f32],
    queries: &[f32],
    k: usize,
    slots: Range<u32>,
) {
    let dimension = engine.layout.dimension;
    let hits = engine.exact(queries, k, slots.clone(), None).unwrap();
    for (index, query) in queries.chunks_exact(dimension).enumerate() {
        let expected = naive(engine.layout, rows, query, k, slots.clone());
        let found: Vec<(f64, u32)> = hits
            .of(index)
            .iter()
            .map(|hit| (f64::from(hit.score), hit.slot))
            .collect();
        assert_eq!(
            found, expected,
            "query {index}, {slots:?}, k {k}, {:?}",
            engine.layout
        );
    }
}

#[test]
fn integers_give_the_oracles_answer_id_for_id() {
    let mut numbers = Numbers(1);
    for (dimension, rows) in [
        (1, 1),
        (1, 1_000),
        (3, 2),
        (5, 31),
        (7, 32),
        (17, 33),
        (127, 1_000),
        (784, 333),
        (1_536, 100),
        (64, 10_000),
        (2_500, 40),
    ] {
        for scoring in SCORINGS {
            let layout = layout(dimension, scoring);
            let data = numbers.integers(rows * dimension);
            let engine = engine(layout, &data);
            assert_eq!(engine.len(), rows);
            for (queries, k) in [
                (1, 1),
                (1, 10),
                (7, rows),
                (8, rows + 1),
                (9, 10),
                (130, 1),
                (40, 100),
            ] {
                // The oracle is slow: long answers for few queries.
                let queries = if rows * k > 1_000_000 { 1 } else { queries };
                let queries = if rows * dimension > 100_000 {
                    queries.min(40)
                } else {
                    queries
                };
                let queries = numbers.integers(queries * dimension);
                check_integers(&engine, &data, &queries, k, 0..rows as u32);
            }
        }
    }
}

#[test]
fn every_length_of_answer_takes_the_right_way() {
    let mut numbers = Numbers(2);
    let (dimension, rows) = (12, 1_500);
    let layout = layout(dimension, Scoring::SquaredEuclidean);
    let data = numbers.integers(rows * dimension);
    let engine = engine(layout, &data);
    for k in [
        1, 2, 10, 11, 16, 17, 26, 27, 32, 58, 59, 122, 123, 128, 129, 250, 251, 256, 257, 1_499,
        1_500, 1_501,
    ] {
        for count in [1, 8, 9, 129] {
            let queries = numbers.integers(count * dimension);
            check_integers(&engine, &data, &queries, k, 0..rows as u32);
        }
    }
}

#[test]
fn a_device_with_less_gives_the_same() {
    let mut numbers = Numbers(9);
    for (dimension, rows) in [(17, 700), (90, 300)] {
        for scoring in SCORINGS {
            let layout = layout(dimension, scoring);
            let data = numbers.reals(rows * dimension);
            let queries = numbers.reals(20 * dimension);
            let mut engine = engine(layout, &data);
            let slots = 0..rows as u32;
            let answers = |engine: &GpuEngine| {
                [
                    engine.exact(&queries, 10, slots.clone(), None).unwrap(),
                    engine
                        .exact(&queries[..dimension], 10, slots.clone(), None)
                        .unwrap(),
                    engine.exact(&queries, 290, slots.clone(), None).unwrap(),
                ]
            };
            let with_all = answers(&engine);
            engine.exchange = false;
            engine.tier.workgroup_bytes = 16 << 10;
            assert_eq!(answers(&engine), with_all);
        }
    }
}

#[test]
fn nothing_asked_or_nothing_there_is_an_empty_answer() {
    let layout = layout(4, Scoring::NegativeDot);
    let empty = engine(layout, &[]);
    assert_eq!(empty.exact(&[1.0; 4], 3, 0..0, None).unwrap().width(), 0);
    let one = engine(layout, &[1.0; 4]);
    assert_eq!(one.exact(&[1.0; 4], 0, 0..1, None).unwrap().width(), 0);
    assert_eq!(one.exact(&[], 3, 0..1, None).unwrap().queries(), 0);
    assert_eq!(one.exact(&[1.0; 4], 3, 1..1, None).unwrap().width(), 0);
}

#[test]
fn copies_come_in_the_order_of_their_slots() {
    let layout = layout(8, Scoring::SquaredEuclidean);
    let mut data = vec![3.0; 3_000 * 8];
    data[1_234 * 8] = 4.0;
    let engine = engine(layout, &data);
    for count in [1, 200] {
        // Lists shorter than a tile of rows, and longer.
        for k in [10, 20] {
            for number in [3.0, 9.0] {
                check_integers(&engine, &data, &vec![number; count * 8], k, 0..3_000);
            }
        }
    }
}

#[test]
fn parts_of_the_slots_and_many_chunks() {
    let mut numbers = Numbers(3);
    for dimension in [3, 20] {
        for scoring in SCORINGS {
            let layout = layout(dimension, scoring);
            let rows = 1_000;
            let data = numbers.integers(rows * dimension);
            // More chunks than any kernel can bind at a time.
            let mut engine = with_chunks(engine(layout, &[]), 16);
            let staged = engine.stage_rows(&data).unwrap();
            engine.commit_rows(staged);
            assert_eq!(engine.rows.buffers().len(), rows.div_ceil(16));
            for count in [2, 30] {
                let queries = numbers.integers(count * dimension);
                for slots in [0..1_000, 5..6, 15..17, 16..32, 37..900, 999..1_000] {
                    check_integers(&engine, &data, &queries, 10, slots);
                }
            }
            check_integers(
                &engine,
                &data,
                &numbers.integers(2 * dimension),
                600,
                100..900,
            );
        }
    }
}

#[test]
fn rows_come_back_as_they_went_in() {
    let mut numbers = Numbers(4);
    for dimension in [1, 5, 8, 127] {
        let layout = layout(dimension, Scoring::NegativeDot);
        let mut engine = with_chunks(engine(layout, &[]), 64);
        let mut data = Vec::new();
        for count in [1, 1, 30, 31, 33, 200, 1] {
            let more = numbers.reals(count * dimension);
            let before = engine.len();
            let staged = engine.stage_rows(&more).unwrap();
            assert_eq!(engine.len(), before, "staged rows are not visible");
            engine.commit_rows(staged);
            data.extend(more);
        }
        let rows = data.len() / dimension;
        assert_eq!(engine.len(), rows);
        for slots in [0..rows, 63..65, 100..100, rows - 1..rows] {
            let mut out = vec![0.0; slots.len() * dimension];
            engine
                .read_rows(slots.start as u32..slots.end as u32, &mut out)
                .unwrap();
            assert_eq!(out, data[slots.start * dimension..slots.end * dimension]);
        }
    }
}

#[test]
fn staged_rows_that_are_dropped_leave_nothing() {
    let device = testing::fresh_device();
    let layout = layout(16, Scoring::NegativeDot);
    let engine = GpuEngine::new(&device, layout).unwrap();
    let staged = engine.stage_rows(&vec![1.0; 16 * 1_000]).unwrap();
    assert!(
        device
            .ledger()
            .account(crate::gpu::memory::Label::Rows)
            .taken
            >= 64_000
    );
    drop(staged);
    assert_eq!(
        device
            .ledger()
            .account(crate::gpu::memory::Label::Rows)
            .taken,
        0
    );
    assert!(engine.is_empty());
}

#[test]
fn batches_leave_little_memory_idle() {
    for (total, batch) in [
        (1_000, 1_000),
        (10_000, 10_000),
        (20_000, 20_000),
        (10_000, 1_000),
        (10_000, 700),
    ] {
        let device = testing::fresh_device();
        let mut engine = GpuEngine::new(&device, layout(512, Scoring::NegativeDot)).unwrap();
        let mut left: usize = total;
        while left > 0 {
            let now = batch.min(left);
            let staged = engine.stage_rows(&vec![0.5; now * 512]).unwrap();
            engine.commit_rows(staged);
            left -= now;
        }
        let rows = device.ledger().account(crate::gpu::memory::Label::Rows);
        assert_eq!(rows.used, total as u64 * 2_048);
        let efficiency = rows.used as f64 / rows.taken as f64;
        assert!(
            efficiency >= 0.95,
            "{total} in batches of {batch}: {efficiency}"
        );
    }
}

#[test]
fn reals_are_close_to_the_oracle_and_a_score_has_one_value() {
    let mut numbers = Numbers(5);
    for scoring in SCORINGS {
        let (dimension, rows, k) = (100, 5_000, 10);
        let layout = layout(dimension, scoring);
        let data = numbers.reals(rows * dimension);
        let queries = numbers.reals(20 * dimension);
        let engine = engine(layout, &data);
        let tiles = engine.exact(&queries, k, 0..rows as u32, None).unwrap();
        let long = engine.exact(&queries, 300, 0..rows as u32, None).unwrap();
        for (index, query) in queries.chunks_exact(dimension).enumerate() {
            let expected = naive(layout, &data, query, k, 0..rows as u32);
            let scan = engine.exact(query, k, 0..rows as u32, None).unwrap();
            assert_eq!(scan.of(0), tiles.of(index), "tiles and teams");
            assert_eq!(scan.of(0), &long.of(index)[..k], "teams and long answers");
            for (hit, (score, _)) in scan.of(0).iter().zip(&expected) {
                assert!(
                    (f64::from(hit.score) - score).abs() < 1e-4,
                    "{hit:?} {score}"
                );
            }
        }
    }
}

#[test]
fn an_answer_does_not_depend_on_the_batch() {
    let mut numbers = Numbers(6);
    let (dimension, rows) = (33, 2_000);
    let layout = layout(dimension, Scoring::SquaredEuclidean);
    // Random reals never tie: half of the rows do, but for rounding, and half of the queries are near those.
    let mut data = numbers.reals(rows / 2 * dimension);
    data.extend(nearly_tied(&mut numbers, dimension, rows / 2));
    let mut queries = Vec::new();
    for _ in 0..500 {
        queries.extend(numbers.reals(dimension));
        queries.extend(even(&mut numbers, dimension, 1));
    }
    let engine = engine(layout, &data);
    let all = engine.exact(&queries, 10, 0..rows as u32, None).unwrap();
    for size in [1, 7, 64] {
        for (batch, queries) in queries.chunks(size * dimension).enumerate().take(9) {
            let hits = engine.exact(queries, 10, 0..rows as u32, None).unwrap();
            for index in 0..hits.queries() {
                assert_eq!(
                    hits.of(index),
                    all.of(batch * size + index),
                    "batches of {size}"
                );
            }
        }
    }
}

#[test]
fn data_over_the_binding_limit() {
    let device = testing::device();
    let limit = device.tier().binding_bytes;
    if limit > 256 << 20 {
        // Covered by `parts_of_the_slots_and_many_chunks` with a limit of its own.
        return;
    }
    let dimension = 1_024;
    let rows = limit as usize / (dimension * 4) + 1_000;
    let layout = layout(dimension, Scoring::SquaredEuclidean);
    let mut numbers = Numbers(7);
    let mut engine = GpuEngine::new(&device, layout).unwrap();
    // Each row is one number over and over, so that the oracle is quick.
    let of = |row: usize| ((row as u64).wrapping_mul(2_654_435_761) % 4_001) as f32;
    let data: Vec<f32> = (0..rows)
        .flat_map(|row| std::iter::repeat_n(of(row), dimension))
        .collect();
    let staged = engine.stage_rows(&data).unwrap();
    engine.commit_rows(staged);
    drop(data);
    assert!(engine.rows.buffers().len() > 1);
    let asked: Vec<f32> = (0..4).map(|_| (numbers.next() % 4_001) as f32).collect();
    let queries: Vec<f32> = asked
        .iter()
        .flat_map(|asked| std::iter::repeat_n(*asked, dimension))
        .collect();
    let hits = engine.exact(&queries, 10, 0..rows as u32, None).unwrap();
    for (index, asked) in asked.iter().enumerate() {
        let mut expected: Vec<Neighbor> = (0..rows)
            .map(|row| Neighbor {
                score: (of(row) - asked) * (of(row) - asked) * dimension as f32,
                slot: row as u32,
            })
            .collect();
        expected.sort_unstable();
        assert_eq!(hits.of(index), &expected[..10]);
    }
    let last = rows as u32 - 1;
    let mut row = vec![0.0; dimension];
    engine.read_rows(last..last + 1, &mut row).unwrap();
    assert_eq!(row, vec![of(rows - 1); dimension]);
}

#[test]
fn searches_on_many_threads_do_not_disturb_each_other() {
    let mut numbers = Numbers(8);
    let (dimension, rows) = (24, 3_000);
    let layout = layout(dimension, Scoring::NegativeDot);
    let data = numbers.integers(rows * dimension);
    let engine = engine(layout, &data);
    let asked: Vec<Vec<f32>> = (0..4)
        .map(|thread| numbers.integers((thread * 5 + 1) * dimension))
        .collect();
    std::thread::scope(|scope| {
        for queries in &asked {
            scope.spawn(|| {
                for _ in 0..5 {
                    check_integers(&engine, &data, queries, 10, 0..rows as u32);
                }
            });
        }
    });
}

#[test]
fn after_the_first_search_nothing_is_allocated() {
    let device = testing::fresh_device();
    let mut engine = GpuEngine::new(&device, layout(32, Scoring::NegativeDot)).unwrap();
    let staged = engine.stage_rows(&vec![1.0; 32 * 500]).unwrap();
    engine.commit_rows(staged);
    let pool = crate::gpu::metal_buffer_pool::MetalBufferPool::new(device);
    engine.exact(&[1.0; 32], 10, 0..500, None).unwrap();
    let before = pool.get_memory_stats();
    for _ in 0..100 {
        engine.exact(&[1.0; 32], 10, 0..500, None).unwrap();
    }
    let after = pool.get_memory_stats();
    assert_eq!(after.misses, before.misses);
    assert!(after.pool_utilization >= 0.9, "{after:?}");
}

#[test]
fn a_lost_device_is_an_error() {
    let device = testing::fresh_device();
    let engine = GpuEngine::new(&device, layout(4, Scoring::NegativeDot)).unwrap();
    device.hardware().unwrap().destroy();
    let error = engine.stage_rows(&[1.0; 4]).unwrap_err();
    assert!(
        matches!(error, crate::error::VectorizerError::DeviceLost { .. }),
        "{error}"
    );
}

#[test]
fn where_subgroups_are_partial_lanes_do_not_exchange() {
    let device = testing::fresh_device();
    let layout = layout(24, Scoring::SquaredEuclidean);
    let data = Numbers(10).reals(300 * 24);
    let answer = || {
        let mut engine = GpuEngine::new(&device, layout).unwrap();
        let staged = engine.stage_rows(&data).unwrap();
        engine.commit_rows(staged);
        let hits = engine.exact(&data[..24 * 20], 10, 0..300, None).unwrap();
        (engine.exchange, hits)
    };
    let (exchange, whole) = answer();
    assert_eq!(
        exchange,
        device.tier().subgroups.is_some_and(|(least, _)| least >= 8)
    );
    device.hardware().unwrap().pretend_lanes(false);
    assert_eq!(answer(), (false, whole));
}

#[test]
fn a_device_with_little_workgroup_memory_takes_narrower_beams() {
    let mut engine = engine(layout(4, Scoring::NegativeDot), &[]);
    for (bytes, beam) in [(16 << 10, 256), ((32 << 10) - 1, 256), (32 << 10, 1024)] {
        engine.tier.workgroup_bytes = bytes;
        assert_eq!(engine.max_ef(), beam);
    }
}
