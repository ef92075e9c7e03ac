//! Every allocation, every submission, every wait and every mapping fails once, through the whole life of a collection.

#![allow(clippy::panic, reason = "what helps a test fails as the test does")]

use super::*;
use crate::config::SearchOptions;
use crate::error::VectorizerError as E;
use crate::gpu::device::Device;
use crate::gpu::faults::{Fault, Point};
use crate::gpu::metal_buffer_pool::MetalBufferPool;

const COUNT: usize = 33;
const DIMENSION: usize = 8;

fn rows(seed: u64, count: usize) -> Vec<Vec<f32>> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|_| (0..DIMENSION).map(|_| f32::from(random.u8(..))).collect())
        .collect()
}

fn vectors(prefix: &str, seed: u64, count: usize) -> Vec<Vector> {
    let numbered = rows(seed, count).into_iter().enumerate();
    numbered
        .map(|(number, data)| Vector {
            id: format!("{prefix}{number}"),
            data,
            payload: None,
        })
        .collect()
}

fn policy(fallback: FallbackPolicy) -> CollectionOptions {
    CollectionOptions {
        fallback,
        threads: 1,
        ..CollectionOptions::default()
    }
}

fn create(device: &Device, options: CollectionOptions) -> Result<Collection> {
    let context = Context::of_device(device.clone());
    Collection::with_context(&context, DIMENSION, DistanceMetric::Euclidean, options)
}

type Step = (&'static str, fn(&Collection) -> Result<()>);

const LIFE: [Step; 12] = [
    ("add", |c| c.add_vector(vectors("one", 1, 1).remove(0))),
    ("batch", |c| c.add_vectors_batch(vectors("v", 2, COUNT))),
    ("build", Collection::optimize),
    ("more", |c| c.add_vectors_batch(vectors("w", 3, 4))),
    ("build on", Collection::optimize),
    ("check", Collection::check),
    ("search", |c| c.search(&rows(4, 1)[0], 5).map(drop)),
    ("graph", |c| {
        let options = SearchOptions {
            path: crate::config::SearchPath::Graph,
            ..SearchOptions::default()
        };
        c.search_batch_with(&rows(5, 6), 5, &options).map(drop)
    }),
    ("delete", |c| c.delete("v7")),
    ("replace", |c| c.upsert_vector(vectors("v", 6, 1).remove(0))),
    ("rebuild", Collection::rebuild_hnsw_graph),
    ("compact", |c| c.compact().map(drop)),
];

/// How many vectors there are, and what some queries find.
type Seen = (usize, Vec<Vec<(String, f32)>>);

/// What callers see of a collection.
fn seen(collection: &Collection) -> Seen {
    let found = collection.search_batch(&rows(9, 6), 7).unwrap();
    let found = found
        .into_iter()
        .map(|hits| hits.into_iter().map(|hit| (hit.id, hit.distance)).collect());
    (collection.vector_count(), found.collect())
}

/// Steps that a life goes on for after its fault; each of so many is lived to its end.
const AFTER: usize = 2;
const TO_THE_END: u64 = 5;

fn typed(error: &E) -> bool {
    matches!(
        error,
        E::VramFallback
            | E::VramLimitExceeded { .. }
            | E::BufferAllocationFailed
            | E::DeviceFailed { .. }
            | E::SearchFailed
    )
}

/// Lives once with this fault at call number `number` of `point`, and `count` more. False if the life has no such call.
fn live(
    device: &Device,
    options: CollectionOptions,
    order: (Point, u64, u64, Fault),
    expected: &[Seen],
) -> bool {
    let (point, number, count, fault) = order;
    let faults = device.faults();
    MetalBufferPool::new(device.clone()).compact();
    let before = device.ledger().total();
    assert_eq!((before.taken, before.count), (0, 0), "{order:?}");
    faults.order(point, number, count, fault);
    let (mut met, mut looked) = (0, false);
    let collection = match create(device, options) {
        Ok(collection) => collection,
        Err(error) => {
            assert!(typed(&error), "{order:?} in create: {error}");
            met = faults.met(point);
            faults.clear();
            assert_eq!(device.ledger().total().taken, 0, "{order:?} in create");
            create(device, options).unwrap()
        }
    };
    let mut end = LIFE.len();
    for (at, (name, step)) in LIFE.iter().enumerate() {
        if at == end {
            break;
        }
        if let Err(error) = step(&collection) {
            assert!(typed(&error), "{order:?} in {name}: {error}");
            met = met.max(faults.met(point));
            faults.clear();
            assert_eq!(seen(&collection), expected[at], "{order:?} in {name}");
            step(&collection).unwrap_or_else(|error| panic!("{order:?}, {name} again: {error}"));
        }
        // Right after the fault, and once more when the life is over: looking costs more than living.
        if !looked && met > number {
            looked = true;
            assert_eq!(
                seen(&collection),
                expected[at + 1],
                "{order:?} after {name}"
            );
            if !number.is_multiple_of(TO_THE_END) {
                end = end.min(at + 1 + AFTER);
            }
        }
    }
    met = met.max(faults.met(point));
    faults.clear();
    assert_eq!(seen(&collection), expected[end], "{order:?}");
    collection.check().unwrap();
    drop(collection);
    MetalBufferPool::new(device.clone()).compact();
    let after = device.ledger().total();
    assert_eq!(
        (after.taken, after.count, after.used),
        (0, 0, 0),
        "{order:?}"
    );
    met > number
}

/// What is seen after each step of a life without faults.
fn undisturbed(device: &Device) -> Vec<Seen> {
    let collection = create(device, policy(FallbackPolicy::Report)).unwrap();
    let mut all = vec![seen(&collection)];
    for (name, step) in LIFE {
        step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
        all.push(seen(&collection));
    }
    all
}

fn every(device: &Device, point: Point, count: u64, fault: Fault) -> u64 {
    every_of(device, policy(FallbackPolicy::Report), point, count, fault)
}

fn every_of(
    device: &Device,
    options: CollectionOptions,
    point: Point,
    count: u64,
    fault: Fault,
) -> u64 {
    let expected = undisturbed(device);
    let mut number = 0;
    while live(device, options, (point, number, count, fault), &expected) {
        number += 1;
    }
    number
}

#[test]
fn the_cpu_engine_survives_every_refused_allocation() {
    // A device of its own kind of books: the CPU's are shared by all tests.
    let device = Device::lone_cpu();
    assert!(every(&device, Point::Allocate, u64::MAX, Fault::Fail) > 10);
}

#[cfg(feature = "gpu")]
mod in_ram;

#[cfg(feature = "gpu")]
mod gpu {
    use super::*;
    use std::sync::Arc;

    use crate::collection::OpenOptions;
    use crate::gpu::testing;
    use crate::gpu::vram_monitor::VramMonitor;
    use crate::store::Durability;

    #[test]
    fn every_allocation_fails_once() {
        let device = testing::fresh_device();
        assert!(every(&device, Point::Allocate, u64::MAX, Fault::Fail) > 20);
    }

    #[test]
    fn every_submission_fails_once() {
        let device = testing::fresh_device();
        assert!(every(&device, Point::Submit, 1, Fault::Fail) > 20);
    }

    #[test]
    fn every_wait_and_every_mapping_fails_once() {
        let device = testing::fresh_device();
        assert!(every(&device, Point::Wait, 1, Fault::Fail) > 8);
        assert!(every(&device, Point::Map, 1, Fault::Fail) > 8);
    }

    #[test]
    fn work_that_is_silently_not_done_is_noticed() {
        let device = testing::fresh_device();
        assert!(every(&device, Point::Submit, 1, Fault::Stale) > 20);
    }

    #[test]
    fn a_lost_device_answers_with_an_error_and_a_mirror_with_results() {
        let whole = undisturbed(&testing::device());
        for (fallback, fault) in [
            (FallbackPolicy::Report, Fault::Lose),
            (FallbackPolicy::Mirror, Fault::Hang),
        ] {
            let device = testing::fresh_device();
            let collection = create(&device, policy(fallback)).unwrap();
            for (name, step) in &LIFE[..6] {
                step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            let told = Arc::new(Mutex::new(Vec::new()));
            let listener = Arc::clone(&told);
            collection.on_fallback(move |fallback| listener.lock().push(fallback.clone()));
            device.faults().order(Point::Wait, 0, 1, fault);
            let found = collection.search_batch(&rows(9, 6), 7);
            device.faults().clear();
            let fallback_now = collection.stats().fallback.unwrap();
            assert_eq!(fallback_now.what, FallbackKind::Lost);
            assert_eq!(told.lock().first(), Some(&fallback_now));
            if fallback == FallbackPolicy::Report {
                let lost = |error: E| assert!(matches!(error, E::DeviceLost { .. }), "{error}");
                lost(found.unwrap_err());
                let no_input_error = ["check", "search", "graph", "replace", "compact"];
                let steps = LIFE
                    .iter()
                    .filter(|(name, _)| no_input_error.contains(name));
                for (_, step) in steps {
                    lost(step(&collection).unwrap_err());
                }
                lost(
                    VramMonitor::new(device.clone())
                        .validate_all_vram()
                        .unwrap_err(),
                );
                continue;
            }
            found.unwrap();
            assert_eq!(seen(&collection), whole[6]);
            assert_eq!(collection.stats().backend, Backend::Cpu);
            for (at, (name, step)) in LIFE.iter().enumerate().skip(6) {
                step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(seen(&collection), whole[at + 1], "{name}");
            }
            // A fresh device takes the place of the lost one.
            collection.return_to_device().unwrap();
            assert_eq!(collection.stats().fallback, None);
            assert_ne!(collection.stats().backend, Backend::Cpu);
            assert_eq!(seen(&collection), whole[LIFE.len()]);
            collection.check().unwrap();
        }
    }

    fn on_disk(path: &std::path::Path, device: &Device, fallback: FallbackPolicy) -> Collection {
        let options = policy(fallback);
        let context = Context::of_device(device.clone());
        let metric = DistanceMetric::Euclidean;
        let durability = Durability::EveryBatch;
        Collection::create_with(path, &context, DIMENSION, metric, options, durability).unwrap()
    }

    fn opened(path: &std::path::Path) -> Collection {
        let context = Context::of_device(testing::device());
        let go_on = |_| std::ops::ControlFlow::Continue(());
        Collection::open_with(path, &context, OpenOptions::default(), go_on).unwrap()
    }

    /// Steps of a life before the device is lost: some vectors are deleted and replaced then.
    const BEFORE: usize = 10;

    #[test]
    fn what_is_on_disk_outlives_its_device() {
        let whole = undisturbed(&testing::device());
        let end = whole.last().unwrap();
        for (fallback, fault) in [
            (FallbackPolicy::Report, Fault::Lose),
            (FallbackPolicy::Forbid, Fault::Hang),
            (FallbackPolicy::Spill, Fault::Lose),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kept");
            let device = testing::fresh_device();
            let collection = on_disk(&path, &device, fallback);
            for (name, step) in &LIFE[..BEFORE] {
                step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            device.faults().order(Point::Wait, 0, 1, fault);
            let found = collection.search_batch(&rows(9, 6), 7);
            device.faults().clear();
            let stats = collection.stats();
            assert_eq!(stats.fallback.unwrap().what, FallbackKind::Lost);
            if fallback == FallbackPolicy::Spill {
                // It goes on with what the disk has.
                found.unwrap();
                assert_eq!(stats.backend, Backend::Cpu);
            } else {
                let error = found.unwrap_err();
                assert!(matches!(error, E::DeviceLost { .. }), "{error}");
                // What needs no device goes on.
                collection.delete("v8").unwrap();
                collection.return_to_device().unwrap();
                assert_eq!(collection.stats().fallback, None);
                assert!(!collection.contains("v8"));
                let put_back = vectors("v", 2, 9).remove(8);
                collection.upsert_vector(put_back).unwrap();
            }
            assert_eq!(seen(&collection).0, whole[BEFORE].0);
            for (name, step) in &LIFE[BEFORE..] {
                step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            assert_eq!(&seen(&collection), end, "{fallback:?}");
            collection.check().unwrap();
            collection.return_to_device().unwrap();
            assert_ne!(collection.stats().backend, Backend::Cpu);
            assert_eq!(&seen(&collection), end, "{fallback:?}");
            collection.close().unwrap();
            assert_eq!(Collection::check_files(&path).unwrap().problems, [""; 0]);
            assert_eq!(&seen(&opened(&path)), end, "{fallback:?}");
        }
    }

    #[test]
    fn a_device_lost_in_the_middle_of_a_change_costs_no_change() {
        let whole = undisturbed(&testing::device());
        for (at, (name, step)) in LIFE.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kept");
            let device = testing::fresh_device();
            let collection = on_disk(&path, &device, FallbackPolicy::Spill);
            for (_, step) in &LIFE[..at] {
                step(&collection).unwrap();
            }
            device.faults().order(Point::Submit, 0, 1, Fault::Lose);
            step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
            device.faults().clear();
            assert_eq!(seen(&collection), whole[at + 1], "{name}");
            collection.check().unwrap();
            collection.close().unwrap();
            assert_eq!(seen(&opened(&path)), whole[at + 1], "{name}");
        }
    }

    #[test]
    fn a_lost_collection_can_be_closed_and_opened_again() {
        let whole = undisturbed(&testing::device());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let device = testing::fresh_device();
        let collection = on_disk(&path, &device, FallbackPolicy::Report);
        for (_, step) in &LIFE[..BEFORE] {
            step(&collection).unwrap();
        }
        device.faults().order(Point::Wait, 0, 1, Fault::Lose);
        collection.search(&rows(4, 1)[0], 5).unwrap_err();
        device.faults().clear();
        // The graph cannot be read back any more; what was acknowledged is there.
        let closed = collection.close();
        assert!(
            matches!(closed, Ok(()) | Err(E::DeviceLost { .. })),
            "{closed:?}"
        );
        assert_eq!(seen(&opened(&path)), whole[BEFORE]);
    }
}
