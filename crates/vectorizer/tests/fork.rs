//! A process that forks, as Python's multiprocessing does: the child works, or gets an error that says why not. Nothing hangs, and no file of the
//! parent's is written by the child.
#![cfg(unix)]
#![expect(unsafe_code, reason = "forking is unsafe by nature")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use support::{contexts, random_rows, vectors};
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::interop::jsonl;
use vectorizer::models::{DistanceMetric, Vector};
use vectorizer::store::Durability;

const DIMENSION: usize = 8;
const COUNT: usize = 5_000;
/// A child that lives longer hangs: the system ends it.
const SECONDS: u32 = 120;

/// One test at a time: a fork takes along whatever lock another thread holds.
static TURN: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` in a forked child and waits for its end.
fn forked(what: &str, work: impl FnOnce()) {
    // SAFETY: the child runs what a fork of a program with threads may fail at, which is what is tested: it ends by `_exit` or by a signal, and touches
    // no memory of the parent's.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{what}: there is no child");
    if child == 0 {
        // SAFETY: ends the process after a time, whatever it waits for.
        unsafe { libc::alarm(SECONDS) };
        let ended = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the child is this process's own, and `status` lives.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    assert!(
        !libc::WIFSIGNALED(status),
        "{what}: the child was ended by signal {}: it hung",
        libc::WTERMSIG(status)
    );
    assert_eq!(
        libc::WEXITSTATUS(status),
        0,
        "{what}: the child's assertions failed"
    );
}

fn is_forked<T: std::fmt::Debug>(answer: Result<T, VectorizerError>) {
    assert!(
        matches!(answer, Err(VectorizerError::Forked { .. })),
        "{answer:?}"
    );
}

fn fresh(id: &str) -> Vector {
    Vector {
        id: id.to_owned(),
        data: vec![0.5; DIMENSION],
        payload: None,
    }
}

fn options() -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig {
            ef_construction: 12,
            ..HnswConfig::with_connections(4)
        },
        threads: 4,
        ..CollectionOptions::default()
    }
}

#[test]
fn a_child_searches_and_adds_in_memory_and_leaves_the_files_alone() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, context) = (folder.path().join("parent"), Context::cpu());
    let metric = DistanceMetric::Cosine;
    let rows = random_rows(1, COUNT, DIMENSION);
    let in_memory = Collection::with_context(&context, DIMENSION, metric, options()).unwrap();
    let on_disk = Collection::create_with(
        &path,
        &context,
        DIMENSION,
        metric,
        options(),
        Durability::OnFlush,
    )
    .unwrap();
    for collection in [&in_memory, &on_disk] {
        collection
            .add_vectors_batch(vectors(&rows, DIMENSION))
            .unwrap();
    }
    let queries: Vec<&[f32]> = rows.chunks(DIMENSION).take(100).collect();
    // The threads are there now.
    let expected = in_memory.search_batch(&queries, 5).unwrap();
    let mut both = Some((in_memory, on_disk));
    forked("a child that searches and adds", || {
        let (in_memory, on_disk) = both.take().unwrap();
        for collection in [&in_memory, &on_disk] {
            assert_eq!(collection.search_batch(&queries, 5).unwrap(), expected);
            assert_eq!(collection.search(queries[0], 5).unwrap(), expected[0]);
            assert_eq!(collection.vector_count(), COUNT);
        }
        let more: Vec<_> =
            vectors(&random_rows(2, 2 * COUNT, DIMENSION), DIMENSION).split_off(COUNT);
        in_memory.add_vectors_batch(more).unwrap();
        in_memory.optimize().unwrap();
        in_memory.check().unwrap();
        in_memory.delete("v0").unwrap();
        is_forked(on_disk.add_vector(fresh("child")));
        is_forked(on_disk.delete("v0"));
        is_forked(on_disk.set_payload("v0", None));
        is_forked(on_disk.create_payload_index("key"));
        is_forked(on_disk.optimize());
        is_forked(on_disk.compact());
        is_forked(on_disk.flush());
        is_forked(on_disk.snapshot(folder.path().join("snapshot")));
        // What was opened here belongs here.
        let own = folder.path().join("child");
        let collection = Collection::create_with(
            &own,
            &Context::cpu(),
            DIMENSION,
            metric,
            options(),
            Durability::EveryBatch,
        )
        .unwrap();
        collection.add_vector(fresh("own")).unwrap();
        collection.close().unwrap();
        assert!(Collection::open(&path).is_err());
        is_forked(on_disk.close());
    });
    forked("a child that drops a collection on disk", || {
        drop(both.take())
    });
    // Here it is as it was: it goes on, and nobody else can open it.
    let (in_memory, on_disk) = both.unwrap();
    let open = Collection::open(&path).unwrap_err();
    assert!(matches!(open, VectorizerError::StoreInUse { .. }), "{open}");
    for collection in [&in_memory, &on_disk] {
        assert_eq!(collection.search_batch(&queries, 5).unwrap(), expected);
        collection.add_vector(fresh("parent")).unwrap();
    }
    on_disk.close().unwrap();
    let report = Collection::check_files(&path).unwrap();
    assert_eq!(
        (report.vectors, report.problems),
        (COUNT as u64 + 1, Vec::new())
    );
    let own = Collection::open(folder.path().join("child")).unwrap();
    assert_eq!(own.vector_count(), 1);
}

#[test]
fn a_child_says_so_where_a_thread_that_is_not_there_holds_a_lock() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let options = CollectionOptions::default();
    let metric = DistanceMetric::Euclidean;
    let collection = Collection::with_context(&Context::cpu(), DIMENSION, metric, options).unwrap();
    collection
        .add_vectors_batch(vectors(&random_rows(1, 10, DIMENSION), DIMENSION))
        .unwrap();
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let collection = &collection;
        let path = folder.path().join("export");
        scope.spawn(move || {
            jsonl::export(collection, path, |_| {
                entered.send(()).unwrap();
                released.recv().unwrap();
                ControlFlow::Continue(())
            })
            .unwrap();
        });
        inside.recv().unwrap();
        forked("a child beside an export", || {
            is_forked(collection.add_vector(fresh("child")));
            is_forked(collection.search(&[0.0; DIMENSION], 1));
            is_forked(collection.get_vector("v0"));
        });
        release.send(()).unwrap();
    });
    forked("a child after it", || {
        collection.add_vector(fresh("child")).unwrap();
    });
}

#[test]
fn a_device_stays_with_its_process() {
    let _turn = alone();
    let metric = DistanceMetric::Euclidean;
    for context in contexts() {
        let collection = Collection::with_context(&context, DIMENSION, metric, options()).unwrap();
        collection
            .add_vectors_batch(vectors(&random_rows(1, 10, DIMENSION), DIMENSION))
            .unwrap();
        let storage = vectorizer::storage::VectorStorage::new(&context, DIMENSION, metric).unwrap();
        let on_cpu = context.device().is_cpu();
        forked(&context.to_string(), || {
            let outcomes = [
                collection.search(&[0.0; DIMENSION], 1).map(drop),
                collection.add_vector(fresh("child")),
                collection.get_vector("v0").map(drop),
            ];
            for outcome in outcomes {
                assert_eq!(outcome.is_ok(), on_cpu, "{outcome:?}");
                if !on_cpu {
                    is_forked(outcome);
                }
            }
            let mut storage = storage;
            let outcome = storage.append(&[0.5; DIMENSION]).map(drop);
            std::mem::forget(storage);
            assert_eq!(outcome.is_ok(), on_cpu, "{outcome:?}");
        });
        collection.add_vector(fresh("parent")).unwrap();
    }
}
