//! Functions of the caller's that the library calls: from each of them the collection can be read, on this thread and on others, also while a writer
//! waits; and what is tried to be written is written or refused, by name. Nothing hangs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;
#[path = "support/watchdog.rs"]
#[allow(unreachable_pub, reason = "each test file uses its part")]
mod watchdog;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use support::contexts;
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, FallbackPolicy, SearchOptions};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
#[cfg(feature = "parquet")]
use vectorizer::interop::parquet;
use vectorizer::interop::{Existing, hnswlib, jsonl, npy};
use vectorizer::models::{DistanceMetric, Vector};
use watchdog::watched;

const COUNT: usize = 200;

fn vector(id: &str, at: f32) -> Vector {
    Vector {
        id: id.to_owned(),
        data: vec![at, 1.0],
        payload: Some(serde_json::json!({"at": at}).into()),
    }
}

fn filled(context: &Context) -> Arc<Collection> {
    let options = CollectionOptions::default();
    let metric = DistanceMetric::Euclidean;
    let collection = Collection::with_context(context, 2, metric, options).unwrap();
    let vectors: Vec<_> = (0..COUNT)
        .map(|number| vector(&number.to_string(), number as f32))
        .collect();
    collection.add_vectors_batch(vectors).unwrap();
    Arc::new(collection)
}

/// Every kind of reading.
fn read(collection: &Collection) {
    let filter = Filter::must([Condition::exists("at")]);
    collection.get_vector("7").unwrap();
    assert!(collection.contains("7"));
    assert!(collection.vector_count() >= COUNT);
    assert_eq!(collection.search(&[7.0, 1.0], 1).unwrap()[0].id, "7");
    assert_eq!(
        collection.search_batch(&[[7.0, 1.0]; 3], 1).unwrap().len(),
        3
    );
    collection.count(&filter).unwrap();
    assert!(collection.count(&Filter::ids(|id| id != "7")).unwrap() >= COUNT - 1);
    collection.explain(&filter).unwrap();
    collection.scroll(Some(&filter), None, 3).unwrap();
    assert!(collection.vectors(None).count() >= COUNT);
    collection.check().unwrap();
    let _ = collection.payload_indexes();
    let stats = collection.stats();
    assert_eq!(stats.fallback, collection.fallback());
}

/// On this thread, and on another that this one waits for.
fn read_everywhere(collection: &Collection) {
    read(collection);
    std::thread::scope(|scope| scope.spawn(|| read(collection)).join().unwrap());
}

/// Every kind of writing; says what the first of them came to. All come to the same.
fn write(collection: &Collection) -> Result<(), VectorizerError> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = format!("new {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let outcomes = [
        collection.add_vector(vector(&id, 0.5)),
        collection.upsert_vector(vector("0", 0.0)),
        collection.set_payload(
            "1",
            vectorizer::models::Payload(serde_json::json!({"at": 1})),
        ),
        collection.delete_present(&["nobody"]).map(drop),
        collection
            .delete_by(&Filter::must([Condition::has_id(["nobody"])]))
            .map(drop),
        collection.create_payload_index("at"),
        collection.drop_payload_index("at").map(drop),
        collection.consolidate(),
        collection.optimize(),
        collection.rebuild_hnsw_graph(),
        collection.reserve(1),
        collection.compact().map(drop),
        collection.return_to_device(),
    ];
    let first = outcomes[0].clone();
    assert!(
        outcomes.iter().all(|outcome| *outcome == first),
        "{outcomes:?}"
    );
    first
}

struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` beside threads that write all the time.
fn beside_writers<R>(what: &str, collection: &Arc<Collection>, work: impl FnOnce() -> R) -> R {
    watched(what, || {
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..2)
            .map(|number| {
                let (collection, over) = (Arc::clone(collection), Arc::clone(&over));
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        collection
                            .upsert_vector(vector(&format!("writer {number}"), -50.0))
                            .unwrap();
                    }
                })
            })
            .collect();
        let stop = Stop(over);
        let result = work();
        drop(stop);
        for writer in writers {
            writer.join().unwrap();
        }
        result
    })
}

/// A filter whose function does something at its first call, and what that came to.
fn filter_that<T: Send + 'static>(
    collection: &Arc<Collection>,
    work: impl Fn(&Collection) -> T + Send + Sync + 'static,
) -> (Filter, Arc<std::sync::Mutex<Vec<T>>>) {
    let (inside, outcomes) = (Arc::clone(collection), Arc::default());
    let told: Arc<std::sync::Mutex<Vec<T>>> = Arc::clone(&outcomes);
    let once = AtomicBool::new(false);
    let filter = Filter::ids(move |id| {
        if !once.swap(true, Ordering::SeqCst) {
            let outcome = work(&inside);
            told.lock().unwrap().push(outcome);
        }
        id == "7" || id == "9"
    });
    (filter, outcomes)
}

#[test]
fn a_predicate_reads_wherever_it_is_asked() {
    for context in contexts() {
        let collection = filled(&context);
        for round in 0..7 {
            let (filter, outcomes) = filter_that(&collection, read_everywhere);
            let options = SearchOptions {
                filter: Some(filter.clone()),
                ..SearchOptions::default()
            };
            beside_writers(
                &format!("a predicate that reads, {round}"),
                &collection,
                || match round {
                    0 => assert_eq!(collection.count(&filter).unwrap(), 2),
                    1 => assert_eq!(
                        collection
                            .search_with(&[0.0, 1.0], 9, &options)
                            .unwrap()
                            .len(),
                        2
                    ),
                    2 => {
                        let found = collection
                            .search_batch_with(&[[0.0, 1.0]; 300], 9, &options)
                            .unwrap();
                        assert!(found.iter().all(|hits| hits.len() == 2));
                    }
                    3 => assert_eq!(
                        collection
                            .scroll(Some(&filter), None, 9)
                            .unwrap()
                            .items
                            .len(),
                        2
                    ),
                    4 => assert_eq!(collection.vectors(Some(filter.clone())).count(), 2),
                    5 => assert_eq!(collection.explain(&filter).unwrap().passed, 2),
                    _ => {
                        assert_eq!(collection.delete_by(&filter).unwrap(), 2);
                        collection.add_vector(vector("7", 7.0)).unwrap();
                        collection.add_vector(vector("9", 9.0)).unwrap();
                    }
                },
            );
            assert_eq!(outcomes.lock().unwrap().len(), 1, "{round}");
        }
    }
}

#[test]
fn a_predicate_that_writes_is_served_or_refused() {
    let collection = filled(&Context::cpu());
    let (filter, outcomes) = filter_that(&collection, write);
    let found = beside_writers(
        "a predicate that writes while it is counted",
        &collection,
        || collection.count(&filter).unwrap(),
    );
    assert_eq!(found, 2);
    assert_eq!(*outcomes.lock().unwrap(), [Ok(())]);
    let (filter, outcomes) = filter_that(&collection, write);
    let gone = beside_writers(
        "a predicate that writes while it is deleted by",
        &collection,
        || collection.delete_by(&filter).unwrap(),
    );
    assert_eq!(gone, 2);
    assert_eq!(
        *outcomes.lock().unwrap(),
        [Err(VectorizerError::InsideCallback)]
    );
    // And that is over now.
    assert_eq!(write(&collection), Ok(()));
}

/// Each vector that is added while a function is asked has to be asked about too: that comes to an end.
#[test]
fn a_predicate_that_adds_at_every_call_ends() {
    let collection = filled(&Context::cpu());
    let inside = Arc::clone(&collection);
    let (next, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&refused);
    let filter = Filter::ids(move |id| {
        let new = format!("more {}", next.fetch_add(1, Ordering::Relaxed));
        if let Err(error) = inside.add_vector(vector(&new, 0.25)) {
            assert_eq!(error, VectorizerError::InsideCallback);
            told.fetch_add(1, Ordering::Relaxed);
        }
        id == "7"
    });
    watched("a predicate that adds", || {
        assert_eq!(collection.count(&filter).unwrap(), 1)
    });
    assert!(refused.load(Ordering::Relaxed) > 0);
}

#[test]
fn progress_of_exports_reads_and_its_writes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let collection = filled(&Context::cpu());
    type Export = fn(&Collection, &Path, &mut dyn FnMut()) -> Result<(), VectorizerError>;
    let exports: [(&str, Export); 5] = [
        ("jsonl", |c, path, told| {
            jsonl::export(c, path, |_| go(told)).map(drop)
        }),
        ("npy", |c, path, told| {
            npy::export(c, path, npy::Form::Npy, |_| go(told)).map(drop)
        }),
        ("fvecs", |c, path, told| {
            npy::export(c, path, npy::Form::Fvecs, |_| go(told)).map(drop)
        }),
        ("hnswlib", |c, path, told| {
            hnswlib::export(c, path, |_| go(told)).map(drop)
        }),
        #[cfg(feature = "parquet")]
        ("parquet", |c, path, told| {
            parquet::export(c, path, |_| go(told)).map(drop)
        }),
        #[cfg(not(feature = "parquet"))]
        ("jsonl again", |c, path, told| {
            jsonl::export(c, path, |_| go(told)).map(drop)
        }),
    ];
    for (name, export) in exports {
        let mut told = 0;
        beside_writers(
            &format!("progress of an export, {name}"),
            &collection,
            || {
                export(&collection, &folder.path().join(name), &mut || {
                    told += 1;
                    read_everywhere(&collection);
                    assert_eq!(write(&collection), Err(VectorizerError::InsideCallback));
                    let again = jsonl::export(&collection, folder.path().join("inner"), |_| {
                        ControlFlow::Continue(())
                    });
                    assert_eq!(again, Err(VectorizerError::InsideCallback));
                })
                .unwrap();
            },
        );
        assert!(told > 0, "{name}");
    }
    assert_eq!(write(&collection), Ok(()));
}

fn go(told: &mut dyn FnMut()) -> ControlFlow<()> {
    told();
    ControlFlow::Continue(())
}

#[test]
fn progress_of_imports_and_of_building_reads_and_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let from = filled(&Context::cpu());
    jsonl::export(&from, path("jsonl"), |_| ControlFlow::Continue(())).unwrap();
    hnswlib::export(&from, path("hnswlib"), |_| ControlFlow::Continue(())).unwrap();
    #[cfg(feature = "parquet")]
    parquet::export(&from, path("parquet"), |_| ControlFlow::Continue(())).unwrap();
    for name in ["jsonl", "hnswlib", "parquet", "optimize", "rebuild"] {
        let collection = if name == "hnswlib" {
            Arc::new(
                Collection::with_context(
                    &Context::cpu(),
                    2,
                    DistanceMetric::Euclidean,
                    CollectionOptions::default(),
                )
                .unwrap(),
            )
        } else {
            filled(&Context::cpu())
        };
        let told = std::cell::Cell::new(0);
        let progress = || {
            // Writing makes more to link: once is enough.
            if told.replace(told.get() + 1) == 0 {
                read_everywhere(&collection);
                assert_eq!(write(&collection), Ok(()));
            }
            ControlFlow::Continue(())
        };
        let go = || {
            match name {
                "jsonl" => drop(
                    jsonl::import(&collection, path("jsonl"), Existing::Replace, |_| {
                        progress()
                    })
                    .unwrap(),
                ),
                "hnswlib" => drop(
                    hnswlib::import(&collection, path("hnswlib"), None, |_| progress()).unwrap(),
                ),
                #[cfg(feature = "parquet")]
                "parquet" => drop(
                    parquet::import(&collection, path("parquet"), Existing::Replace, |_| {
                        progress()
                    })
                    .unwrap(),
                ),
                "optimize" => collection.optimize_with(|_| progress()).unwrap(),
                "rebuild" => collection.rebuild_hnsw_graph_with(|_| progress()).unwrap(),
                _ => drop(progress()),
            };
        };
        if name == "hnswlib" {
            watched(name, go);
        } else {
            beside_writers(name, &collection, go);
        }
        assert!(told.get() > 0, "{name}");
    }
}

#[test]
fn a_listener_reads_and_writes_when_the_device_is_full() {
    for context in contexts() {
        for policy in [
            FallbackPolicy::Report,
            FallbackPolicy::Spill,
            FallbackPolicy::Mirror,
        ] {
            let options = CollectionOptions {
                vram_limit: Some(2 << 20),
                fallback: policy,
                ..CollectionOptions::default()
            };
            let metric = DistanceMetric::Euclidean;
            let collection =
                Arc::new(Collection::with_context(&context, 2, metric, options).unwrap());
            let vectors: Vec<_> = (0..COUNT)
                .map(|number| vector(&number.to_string(), number as f32))
                .collect();
            collection.add_vectors_batch(vectors).unwrap();
            let told = Arc::new(AtomicUsize::new(0));
            let (inside, counts) = (Arc::downgrade(&collection), Arc::clone(&told));
            collection.on_fallback(move |fallback| {
                if counts.fetch_add(1, Ordering::SeqCst) == 0 {
                    let collection = inside.upgrade().unwrap();
                    assert_eq!(collection.fallback().as_ref(), Some(fallback));
                    read_everywhere(&collection);
                    collection.delete("11").unwrap();
                    collection.upsert_vector(vector("12", 12.0)).unwrap();
                }
            });
            let case = format!("a listener, {context}, {policy:?}");
            beside_writers(&case, &collection, || {
                let full = collection.reserve(10_000_000);
                assert!(full.is_err() != collection.is_spilled(), "{case}: {full:?}");
            });
            assert!(told.load(Ordering::SeqCst) > 0, "{case}");
            assert!(!collection.contains("11"));
        }
    }
}
