//! The figures of the contract: efficiency, reuse, fragmentation, and that the device agrees.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "what helps a test fails as the test does, and its numbers are small"
)]

mod support;

use std::ops::ControlFlow;

use support::{contexts, random_rows};
use vectorizer::config::{CollectionOptions, SearchOptions, SearchPath};
use vectorizer::engine::{Entry, LevelLinks, NO_SLOT};
use vectorizer::gpu::memory::Label;
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::hnsw::{HnswGraph, Topology};
use vectorizer::models::DistanceMetric;

/// One test after the other: what the device says is compared with what we say.
static DEVICE: std::sync::Mutex<()> = std::sync::Mutex::new(());

const DIMENSION: usize = 512;
const DEGREE: usize = 32;

/// A graph over so many slots that takes what a built one takes, without the time to build it: a ring with chords.
fn ring(count: usize) -> Topology {
    let mut random = fastrand::Rng::with_seed(9);
    let mut rows = vec![NO_SLOT; count * DEGREE];
    for (slot, row) in rows.chunks_exact_mut(DEGREE).enumerate() {
        row[0] = ((slot + 1) % count) as u32;
        let mut used = 1;
        while used < 12 {
            let to = random.usize(0..count) as u32;
            if to as usize != slot && !row[..used].contains(&to) {
                row[used] = to;
                used += 1;
            }
        }
    }
    Topology {
        levels: vec![0; count],
        entry: Some(Entry { slot: 0, level: 0 }),
        links: vec![LevelLinks {
            degree: DEGREE,
            rows,
        }],
    }
}

#[test]
fn memory_is_used_well_at_the_contracts_sizes() {
    let _alone = DEVICE.lock().unwrap();
    for context in contexts() {
        for count in [1_000, 10_000, 20_000] {
            let own = context.with_limit(Some(4 << 30));
            let device = own.device();
            let monitor = VramMonitor::new(device.clone());
            let metric = DistanceMetric::Euclidean;
            let mut graph =
                HnswGraph::new(&own, DIMENSION, metric, CollectionOptions::default()).unwrap();
            graph.reserve(count).unwrap();
            let rows = random_rows(1, count, DIMENSION);
            for rows in rows.chunks(1_000 * DIMENSION) {
                graph.append(rows).unwrap();
            }
            graph.restore_topology(ring(count)).unwrap();
            let mut random = fastrand::Rng::with_seed(4);
            for search in 0..1_000 {
                let queries = if search % 50 == 0 {
                    24
                } else {
                    random.usize(1..4)
                };
                let options = SearchOptions {
                    // Never with many queries: a software adapter is slow.
                    path: if search % 100 == 99 {
                        SearchPath::Exact
                    } else {
                        SearchPath::Graph
                    },
                    ef: Some(random.usize(8..24)),
                    ..SearchOptions::default()
                };
                let first = random.usize(0..count - 24) * DIMENSION;
                let k = random.usize(1..20);
                graph
                    .search(&rows[first..][..queries * DIMENSION], k, &options)
                    .unwrap();
            }
            let (stats, pool) = (
                monitor.get_vram_stats(),
                MetalBufferPool::new(device.clone()).get_memory_stats(),
            );
            println!(
                "{context}, {count} x {DIMENSION}: efficiency {:.4}, reuse {:.4}, fragmentation {:.4}, peak over rows and links {:.3}, device {:?} {:?}",
                device.ledger().efficiency(),
                pool.pool_utilization,
                pool.fragmentation,
                stats.handle.peak as f64 / (count * (DIMENSION + DEGREE) * 4) as f64,
                stats.device,
                stats.allocator
            );
            assert!(device.ledger().efficiency() >= 0.95);
            assert!(pool.fragmentation < 0.05, "{pool:?}");
            assert!(
                stats.handle.peak as f64 <= 1.2 * (count * (DIMENSION + DEGREE) * 4) as f64 + 1e6
            );
            if device.is_cpu() {
                continue;
            }
            assert!(pool.pool_utilization >= 0.90, "{pool:?}");
            if let (Some(allocator), true) = (stats.allocator, count == 20_000) {
                let off = allocator.allocated.abs_diff(stats.total_allocated) as f64;
                assert!(
                    off <= 0.05 * stats.total_allocated as f64,
                    "{allocator:?}, we say {}",
                    stats.total_allocated
                );
            }
        }
    }
}

/// `60000x784,20000x512` in this variable builds graphs of these sizes whole; without it, only the last and largest batch is linked
/// into a graph that was not built.
const PEAK_VARIABLE: &str = "VECTORIZER_PEAK";

#[test]
fn a_build_takes_little_more_than_rows_and_links() {
    let _alone = DEVICE.lock().unwrap();
    let sizes = std::env::var(PEAK_VARIABLE).unwrap_or_default();
    let mut cases: Vec<(usize, usize, usize)> = sizes
        .split(',')
        .filter_map(|size| {
            let (count, dimension) = size.split_once('x')?;
            Some((count.parse().ok()?, dimension.parse().ok()?, 0))
        })
        .collect();
    if cases.is_empty() {
        cases.push((20_000, DIMENSION, 18_824));
    }
    for context in contexts() {
        for (count, dimension, linked) in cases.clone() {
            let own = context.with_limit(Some(8 << 30));
            let device = own.device();
            let metric = DistanceMetric::Euclidean;
            let mut graph =
                HnswGraph::new(&own, dimension, metric, CollectionOptions::default()).unwrap();
            graph.reserve(count).unwrap();
            for first in (0..count).step_by(10_000) {
                let rows = random_rows(first as u64, (count - first).min(10_000), dimension);
                graph.append(&rows).unwrap();
            }
            let added = device.ledger().total().peak;
            if linked > 0 {
                graph.restore_topology(ring(linked)).unwrap();
            }
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            assert_eq!(graph.linked(), count);
            let total = device.ledger().total();
            let lasting =
                [Label::Rows, Label::Graph].map(|label| device.ledger().account(label).taken);
            let share = total.peak as f64 / lasting.iter().sum::<u64>() as f64;
            println!(
                "{context}, {count} x {dimension}: rows {}, links {}, peak {} ({share:.3} of both; {added} while adding), {} kept",
                lasting[0], lasting[1], total.peak, total.taken
            );
            assert!(share <= 1.2, "{share}");
            // What only the build needed is given back.
            assert!(
                total.taken as f64 <= 1.03 * lasting.iter().sum::<u64>() as f64,
                "{total:?}"
            );
        }
    }
}
