//! Limits, policies and the ways down, on every engine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{contexts, random_rows, recall, vectors};
use vectorizer::collection::{Collection, FallbackKind};
use vectorizer::config::{
    CollectionOptions, FallbackPolicy, HnswConfig, SearchOptions, SearchPath,
};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::{Backend, Context};
use vectorizer::gpu::memory::Label;
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;

const METRIC: DistanceMetric = DistanceMetric::Euclidean;

/// For tests in which something spills, which every monitor of the device sees.
static DEVICE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    DEVICE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// All but the CPU; there is one at least.
#[cfg(feature = "gpu")]
fn devices() -> Vec<Context> {
    let mut devices = contexts();
    devices.retain(|context| !context.device().is_cpu());
    assert!(!devices.is_empty());
    devices
}

fn collection(context: &Context, dimension: usize, fallback: FallbackPolicy) -> Collection {
    let options = CollectionOptions {
        fallback,
        ..CollectionOptions::default()
    };
    Collection::with_context(context, dimension, METRIC, options).unwrap()
}

#[test]
fn estimates_are_what_is_then_taken() {
    for context in contexts() {
        for (count, dimension, m) in [(300, 512, 16), (1000, 100, 8), (1500, 7, 24), (400, 785, 5)]
        {
            let own = context.with_limit(None);
            let hnsw = HnswConfig {
                max_connections: m,
                ef_construction: 20,
                level_multiplier: 1.0 / (m as f32).ln(),
                ..HnswConfig::default()
            };
            let options = CollectionOptions {
                hnsw,
                ..CollectionOptions::default()
            };
            let estimate = own.estimate_memory(count, dimension, &hnsw);
            let mut graph = HnswGraph::new(&own, dimension, METRIC, options).unwrap();
            graph.append(&random_rows(1, count, dimension)).unwrap();
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            let device = own.device();
            for (what, estimate, label) in [
                ("rows", estimate.rows, Label::Rows),
                ("graph", estimate.graph, Label::Graph),
            ] {
                let taken = device.ledger().account(label).taken;
                let off = estimate.abs_diff(taken) as f64 / taken as f64;
                assert!(
                    off <= 0.05,
                    "{context}, {count} x {dimension}: {what} were to take {estimate} bytes and took {taken}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_starts() {
    for context in contexts() {
        let limited = context.with_limit(Some(1 << 20));
        let ledger = limited.device().ledger().clone();
        let mut graph = HnswGraph::new(&limited, 64, METRIC, CollectionOptions::default()).unwrap();
        graph.append(&random_rows(1, 1000, 64)).unwrap();
        let before = ledger.total();
        let watch = ledger.watch();
        for rows in [4_000, 100_000] {
            let error = graph.append(&random_rows(2, rows, 64)).unwrap_err();
            let VectorizerError::VramLimitExceeded { limit, requested } = error else {
                panic!("{context}: {error}");
            };
            assert_eq!(limit, 1 << 20);
            assert!(requested > rows as u64 * 256, "{requested}");
        }
        assert!(graph.reserve(100_000).is_err());
        // Not a byte was taken in passing, and nothing is missing.
        assert_eq!(watch.peak(), before.taken, "{context}");
        assert_eq!(graph.len(), 1000);
        graph.append(&random_rows(3, 5, 64)).unwrap();
    }
}

/// Loads some 200 MB into 64 MiB and says how many vectors were acknowledged, and the first error.
fn load(collection: &Collection) -> (usize, Option<VectorizerError>) {
    const BATCH: usize = 100;
    for first in (0..COUNT).step_by(BATCH) {
        let ids: Vec<String> = (first..first + BATCH).map(|at| at.to_string()).collect();
        let rows: Vec<f32> = (first..first + BATCH).flat_map(large_row).collect();
        if let Err(error) = collection.add_rows(&ids, &rows) {
            return (first, Some(error));
        }
    }
    (COUNT, None)
}

const COUNT: usize = 3_200;
const LARGE: usize = 16_384;

/// A row that is nearest to itself.
fn large_row(number: usize) -> Vec<f32> {
    let mut row = vec![1.0; LARGE];
    row[number] = -40.0;
    row
}

fn all_are_found(collection: &Collection, count: usize) {
    assert_eq!(collection.vector_count(), count);
    let sample: Vec<usize> = (0..count).step_by(count / 7).chain([count - 1]).collect();
    let queries: Vec<Vec<f32>> = sample.iter().map(|number| large_row(*number)).collect();
    let found = collection.search_batch(&queries, 1).unwrap();
    for (number, hits) in sample.iter().zip(found) {
        assert_eq!(
            (hits[0].id.clone(), hits[0].distance),
            (number.to_string(), 0.0)
        );
    }
}

#[test]
fn a_load_of_200_mb_into_64_mib_goes_by_the_policy() {
    let _alone = alone();
    const LIMIT: u64 = 64 << 20;
    for context in contexts() {
        let on_cpu = context.device().is_cpu();
        for policy in [
            FallbackPolicy::Report,
            FallbackPolicy::Forbid,
            FallbackPolicy::Spill,
            FallbackPolicy::Mirror,
        ] {
            let limited = context.with_limit(Some(LIMIT));
            let ledger = limited.device().ledger().clone();
            let collection = collection(&limited, LARGE, policy);
            let told = Arc::new(AtomicUsize::new(0));
            let listener = Arc::clone(&told);
            collection.on_fallback(move |_| {
                listener.fetch_add(1, Ordering::SeqCst);
            });
            let (count, error) = load(&collection);
            let case = format!("{context}, {policy:?}: {count} acknowledged, then {error:?}");
            println!("{case}");
            let fallback = collection
                .stats()
                .fallback
                .unwrap_or_else(|| panic!("{case}"));
            assert!(fallback.why.contains("67108864"), "{fallback:?}");
            assert!(told.load(Ordering::SeqCst) > 0, "{case}");
            assert!(ledger.total().peak <= LIMIT, "{case}: {:?}", ledger.total());
            let goes_down = matches!(policy, FallbackPolicy::Spill | FallbackPolicy::Mirror);
            if goes_down && !on_cpu {
                assert_eq!((count, &error), (COUNT, &None), "{case}");
                assert_eq!(fallback.what, FallbackKind::Spilled);
                assert!(collection.is_spilled());
                assert_eq!(collection.stats().backend, Backend::Cpu);
                // Nothing is left on the device, and nothing says that it is there.
                MetalBufferPool::new(limited.device()).compact();
                assert_eq!(ledger.total().taken, 0, "{case}");
                let monitor = VramMonitor::new(limited.device());
                assert!(monitor.get_vram_stats().ram_fallback_detected);
                let error = monitor.validate_all_vram().unwrap_err();
                assert!(
                    matches!(error, VectorizerError::NotInVram { label: "rows", bytes } if bytes > LIMIT),
                    "{error}"
                );
                let error = collection.return_to_device().unwrap_err();
                assert!(
                    matches!(error, VectorizerError::VramLimitExceeded { .. }),
                    "{error}"
                );
            } else {
                // Most of the limit holds vectors.
                let rows = u64::try_from(count * LARGE * 4).unwrap();
                assert!(rows > LIMIT * 5 / 8, "{case}");
                assert_eq!(fallback.what, FallbackKind::Refused);
                let error = error.unwrap_or_else(|| panic!("{case}"));
                if policy == FallbackPolicy::Report {
                    assert_eq!(error, VectorizerError::VramFallback);
                } else {
                    assert!(
                        matches!(error, VectorizerError::VramLimitExceeded { limit: LIMIT, requested } if requested > LIMIT),
                        "{error}"
                    );
                }
            }
            all_are_found(&collection, count);
        }
    }
}

#[test]
fn a_spill_keeps_ids_graph_and_recall_and_there_is_a_way_back() {
    let _alone = alone();
    for context in contexts() {
        if context.device().is_cpu() {
            continue;
        }
        let limited = context.with_limit(Some(1 << 20));
        let ledger = limited.device().ledger().clone();
        let collection = collection(&limited, 64, FallbackPolicy::Spill);
        let rows = random_rows(7, 3_000, 64);
        let all = vectors(&rows, 64);
        collection.add_vectors_batch(&all[..900]).unwrap();
        collection.optimize().unwrap();
        let graph = SearchOptions {
            path: SearchPath::Graph,
            ..SearchOptions::default()
        };
        let queries: Vec<Vec<f32>> = random_rows(8, 60, 64)
            .chunks(64)
            .map(<[f32]>::to_vec)
            .collect();
        let found = || collection.search_batch_with(&queries, 10, &graph).unwrap();
        let before = found();
        // What does not fit moves everything.
        collection.add_vectors_batch(&all[900..]).unwrap();
        assert!(collection.is_spilled());
        collection.check().unwrap();
        let ids: Vec<String> = all[900..].iter().map(|vector| vector.id.clone()).collect();
        collection.delete_batch(&ids).unwrap();
        let spilled = found();
        let mean = |lists: &[Vec<vectorizer::models::SearchResult>]| {
            let each = queries.iter().zip(lists).map(|(query, hits)| {
                let slots: Vec<u32> = hits
                    .iter()
                    .map(|hit| hit.id[1..].parse().unwrap())
                    .collect();
                recall(METRIC, &rows[..900 * 64], query, &slots, 10)
            });
            each.sum::<f64>() / queries.len() as f64
        };
        println!("recall before {}, after {}", mean(&before), mean(&spilled));
        assert!((mean(&before) - mean(&spilled)).abs() <= 0.001);
        collection.compact().unwrap();
        collection.return_to_device().unwrap();
        assert!(!collection.is_spilled());
        assert_eq!(collection.stats().fallback, None);
        assert!(ledger.account(Label::Rows).taken >= 900 * 256);
        assert_eq!(collection.get_vector("v17").unwrap(), all[17]);
        assert!((mean(&before) - mean(&found())).abs() <= 0.001);
        VramMonitor::new(limited.device())
            .validate_all_vram()
            .unwrap();
    }
}

/// On the CPU there is no mirror: it would be compared with itself.
#[cfg(feature = "gpu")]
#[test]
fn a_mirror_answers_as_the_device_does() {
    for context in devices() {
        let own = context.with_limit(Some(64 << 20));
        let collection = collection(&own, 16, FallbackPolicy::Mirror);
        let rows: Vec<f32> = random_rows(3, 600, 16)
            .iter()
            .map(|x| (x * 8.0).round())
            .collect();
        collection.add_vectors_batch(vectors(&rows, 16)).unwrap();
        collection.optimize().unwrap();
        collection
            .upsert_vector(vectorizer::models::Vector {
                id: "v3".to_owned(),
                data: vec![2.0; 16],
                payload: None,
            })
            .unwrap();
        collection.delete("v5").unwrap();
        let options = SearchOptions {
            path: SearchPath::Graph,
            ..SearchOptions::default()
        };
        let queries: Vec<&[f32]> = rows.chunks(16).take(30).collect();
        let batch = collection.search_batch_with(&queries, 5, &options).unwrap();
        for (query, expected) in queries.iter().zip(batch) {
            assert_eq!(
                collection.search_with(query, 5, &options).unwrap(),
                expected,
                "{context}"
            );
        }
    }
}

#[test]
fn compacting_gives_back_what_growing_took() {
    for context in contexts() {
        let own = context.with_limit(None);
        let ledger = own.device().ledger().clone();
        let collection = collection(&own, 32, FallbackPolicy::Report);
        collection.reserve(5_000).unwrap();
        let rows = random_rows(3, 700, 32);
        collection.add_vectors_batch(vectors(&rows, 32)).unwrap();
        collection.optimize().unwrap();
        let found = collection.search(&rows[..32], 20).unwrap();
        let taken = ledger.total().taken;
        let freed = collection.compact().unwrap();
        assert!(taken - ledger.total().taken <= freed);
        let rows_taken = ledger.account(Label::Rows);
        assert!(
            rows_taken.used as f64 >= 0.95 * rows_taken.taken as f64,
            "{context}: {rows_taken:?}"
        );
        if !context.device().is_cpu() {
            assert!(freed >= 4_300 * 128, "{freed}");
        }
        assert_eq!(collection.search(&rows[..32], 20).unwrap(), found);
        collection.check().unwrap();
        // It grows on from there.
        let more: Vec<_> = vectors(&random_rows(4, 800, 32), 32).split_off(700);
        collection.add_vectors_batch(more).unwrap();
        collection.optimize().unwrap();
        collection.check().unwrap();
    }
}

/// On the CPU there is no pool of buffers that could be asked.
#[cfg(feature = "gpu")]
#[test]
fn after_the_warm_up_a_search_allocates_nothing() {
    for context in devices() {
        // With a limit comes a pool of its own, on which nobody else works.
        let own = context.with_limit(Some(256 << 20));
        let mut graph = HnswGraph::new(&own, 48, METRIC, CollectionOptions::default()).unwrap();
        graph.append(&random_rows(1, 800, 48)).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        let queries = random_rows(2, 40, 48);
        let searches = || {
            for (path, count, k) in [
                (SearchPath::Graph, 1, 10),
                (SearchPath::Exact, 1, 10),
                (SearchPath::Graph, 40, 10),
                (SearchPath::Exact, 40, 25),
                (SearchPath::Graph, 7, 100),
            ] {
                let options = SearchOptions {
                    path,
                    ..SearchOptions::default()
                };
                graph.search(&queries[..count * 48], k, &options).unwrap();
            }
        };
        for _ in 0..3 {
            searches();
        }
        let device = own.device();
        let pool = MetalBufferPool::new(device.clone());
        let (warm, watch) = (pool.get_memory_stats(), device.ledger().watch());
        let taken = device.ledger().total().taken;
        for _ in 0..10 {
            searches();
        }
        let after = pool.get_memory_stats();
        assert_eq!(
            (after.misses, watch.peak()),
            (warm.misses, taken),
            "{context}"
        );
        assert!(after.hits >= warm.hits + 150, "{after:?}");
    }
}
