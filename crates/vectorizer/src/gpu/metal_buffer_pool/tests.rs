//! What is lent again, and what is given up.

use super::shelf::PASSED_OVER;
use super::*;
use crate::gpu::testing;

#[test]
fn classes_waste_at_most_a_sixteenth() {
    for bytes in (1..70_000).chain([1 << 20, (1 << 20) + 1, (1 << 33) + 12_345]) {
        let class = class(bytes);
        assert!(
            class >= bytes && class.is_multiple_of(4),
            "{bytes} got {class}"
        );
        if bytes >= 64 {
            assert!((class - bytes) * 16 <= class, "{bytes} got {class}");
        }
    }
}

#[test]
fn what_comes_back_is_lent_again_and_compact_gives_it_up() {
    let bytes = class(7_654_321);
    let pool = MetalBufferPool::new(testing::fresh_device());
    let first = pool.lend(Purpose::Storage, "first", 7_654_321).unwrap();
    let raw = (*first).clone();
    drop(first);
    let before = pool.get_memory_stats();
    assert!(before.bytes_kept >= bytes);
    let second = pool.lend(Purpose::Storage, "second", bytes).unwrap();
    assert_eq!(*second, raw, "the same buffer is lent again");
    let other = pool.lend(Purpose::Readback, "other", bytes).unwrap();
    assert_ne!(*other, raw, "another purpose is another buffer");
    let after = pool.get_memory_stats();
    assert!(after.hits > before.hits && after.misses > before.misses);
    assert!(after.pool_utilization > 0.0 && after.pool_utilization < 1.0);
    drop(second);
    assert!(pool.compact() >= bytes);
}

#[test]
fn a_spoiled_buffer_is_not_lent_again() {
    let pool = MetalBufferPool::new(testing::fresh_device());
    let mut first = pool.lend(Purpose::Storage, "first", 5_432_109).unwrap();
    first.spoil();
    let raw = (*first).clone();
    drop(first);
    let second = pool.lend(Purpose::Storage, "second", 5_432_109).unwrap();
    assert_ne!(*second, raw);
}

#[test]
fn figures_add_up_and_little_is_padding() {
    let device = testing::fresh_device();
    let pool = MetalBufferPool::new(device.clone());
    let mut dice = fastrand::Rng::with_seed(5);
    let sizes: Vec<u64> = (0..30).map(|_| dice.u64(1_000..900_000)).collect();
    let mut lent = Vec::new();
    for round in 0..600 {
        lent.push(
            pool.lend(Purpose::Storage, "some", sizes[round % 30])
                .unwrap(),
        );
        if lent.len() > 4 {
            lent.swap_remove(dice.usize(0..4));
        }
        let stats = pool.get_memory_stats();
        let account = device.ledger().account(Label::Pool);
        assert_eq!(stats.bytes_in_use + stats.bytes_kept, account.taken);
        assert_eq!(stats.hits + stats.misses, round as u64 + 1);
    }
    let stats = pool.get_memory_stats();
    assert!(stats.pool_utilization > 0.8, "{stats:?}");
    assert!(stats.fragmentation < 0.0625, "{stats:?}");
    lent.clear();
    assert_eq!(
        pool.compact(),
        pool.get_memory_stats()
            .bytes_peak
            .min(stats.bytes_in_use + stats.bytes_kept)
    );
    let empty = pool.get_memory_stats();
    assert_eq!(
        (empty.bytes_in_use, empty.bytes_kept, empty.bytes_padding),
        (0, 0, 0)
    );
    assert_eq!(device.ledger().total().taken, 0);
}

#[test]
fn what_nobody_asks_for_any_more_is_given_up() {
    let pool = MetalBufferPool::new(testing::fresh_device());
    let building = MetalBufferPool::for_building(pool.device().clone());
    drop(pool.lend(Purpose::Storage, "once", 1 << 20).unwrap());
    drop(building.lend(Purpose::Storage, "built", 1 << 16).unwrap());
    for _ in 0..=PASSED_OVER {
        drop(pool.lend(Purpose::Storage, "often", 1_024).unwrap());
    }
    let kept = pool.get_memory_stats().bytes_kept;
    assert_eq!(kept, 1_024, "only what is used is kept");
    drop(building.lend(Purpose::Storage, "built", 1 << 16).unwrap());
    assert_eq!(pool.device().shelf().settle(), 1 << 16);
    assert_eq!(pool.get_memory_stats().bytes_kept, 1_024);
}

#[test]
fn a_pool_with_a_limit_keeps_a_part_of_it_and_no_more() {
    let device = testing::fresh_device();
    let limited = MetalBufferPool::new(device.with_limit(Some(1 << 20)));
    let lent: Vec<_> = (0..8)
        .map(|_| limited.lend(Purpose::Storage, "part", 100_000).unwrap())
        .collect();
    let error = limited.lend(Purpose::Storage, "more", 300_000).unwrap_err();
    assert!(matches!(
        error,
        crate::error::VectorizerError::VramLimitExceeded { .. }
    ));
    drop(lent);
    let kept = limited.get_memory_stats().bytes_kept;
    assert!(kept > 0 && kept <= 1 << 18, "{kept}");
    assert_eq!(device.ledger().account(Label::Pool).taken, kept);
    let own = MetalBufferPool::new(device.clone()).get_memory_stats();
    assert_eq!(own.hits + own.misses, 0, "the device's own pool is another");
}

#[test]
fn what_one_thread_gives_back_another_gets() {
    let pool = MetalBufferPool::new(testing::fresh_device());
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..200 {
                    let bytes = 4_000 * (1 + (thread + round) % 3);
                    drop(pool.lend(Purpose::Storage, "shared", bytes).unwrap());
                }
            });
        }
    });
    let stats = pool.get_memory_stats();
    assert_eq!(stats.hits + stats.misses, 1_600);
    // At worst all threads hold one of each size at once.
    assert!(stats.misses <= 24, "{stats:?}");
    assert_eq!(stats.bytes_in_use, 0);
}
