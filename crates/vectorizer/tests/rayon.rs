//! The library is called from tasks of a work-stealing pool: whatever thread calls, and whatever it would steal while it waits, no call hangs.
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

#[path = "support/watchdog.rs"]
#[allow(unreachable_pub, reason = "each test file uses its part")]
mod watchdog;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::interop::{Existing, jsonl};
use vectorizer::models::{DistanceMetric, Vector};
use vectorizer::storage::VectorStorage;
use vectorizer::store::Durability;
use watchdog::watched;

const DIMENSION: usize = 8;
/// Past what is compared one by one: there is a graph, and every further thousand is linked.
const COUNT: usize = 5_000;

type Outcome = Result<(), VectorizerError>;

/// A method: its name, how often it is called side by side, and one call, the number of which is unlike all others.
type Call = (
    &'static str,
    usize,
    fn(&Collection, usize, &Path) -> Outcome,
);

fn row(number: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    (0..DIMENSION).map(|_| random.f32() - 0.5).collect()
}

fn fresh(number: usize, count: usize) -> Vec<Vector> {
    let vector = |place: usize| Vector {
        id: format!("{number}.{place}"),
        data: row(number * 10_000 + place),
        payload: Some(serde_json::json!({"number": number % 10, "place": place}).into()),
    };
    (0..count).map(vector).collect()
}

fn by_number() -> SearchOptions {
    SearchOptions {
        path: SearchPath::Graph,
        filter: Some(Filter::must([Condition::equals("number", 3)])),
        ..SearchOptions::default()
    }
}

/// An id that is there from the beginning; others may have deleted it.
fn old(number: usize) -> String {
    format!("0.{}", number % COUNT)
}

/// Passes over what another call has brought about: a vector that is gone, or the graph, asked for while it is built anew.
fn unless_gone(outcome: Outcome) -> Outcome {
    match outcome {
        Err(VectorizerError::UnknownId { .. } | VectorizerError::SearchFailed) => Ok(()),
        other => other,
    }
}

/// Every method that takes `&self`.
const CALLS: &[Call] = &[
    ("get_vector", 64, |c, n, _| {
        unless_gone(c.get_vector(&old(n)).map(drop))
    }),
    ("contains", 64, |c, n, _| {
        let _ = c.contains(&old(n));
        Ok(())
    }),
    ("vector_count", 64, |c, _, _| {
        assert!(c.vector_count() > 0);
        Ok(())
    }),
    ("dimension", 8, |c, _, _| {
        assert_eq!(c.dimension(), DIMENSION);
        Ok(())
    }),
    ("metric", 8, |c, _, _| {
        assert_eq!(c.metric(), DistanceMetric::Cosine);
        Ok(())
    }),
    ("context", 8, |c, _, _| {
        let _ = c.context();
        Ok(())
    }),
    ("options", 8, |c, _, _| {
        let _ = c.options();
        Ok(())
    }),
    ("path", 8, |c, _, _| {
        let _ = c.path();
        Ok(())
    }),
    ("check", 8, |c, _, _| c.check()),
    ("stats", 64, |c, _, _| {
        let _ = c.stats();
        Ok(())
    }),
    ("search", 64, |c, n, _| {
        unless_gone(c.search(&row(n), 10).map(drop))
    }),
    ("search_with", 64, |c, n, _| {
        unless_gone(c.search_with(&row(n), 10, &by_number()).map(drop))
    }),
    ("search_batch", 32, |c, n, _| {
        let queries: Vec<_> = (0..20).map(|place| row(n * 100 + place)).collect();
        unless_gone(c.search_batch(&queries, 10).map(drop))
    }),
    ("search_batch_with", 32, |c, n, _| {
        let queries: Vec<_> = (0..20).map(|place| row(n * 100 + place)).collect();
        unless_gone(c.search_batch_with(&queries, 10, &by_number()).map(drop))
    }),
    ("return_to_device", 8, |c, _, _| c.return_to_device()),
    ("add_vector", 64, |c, n, _| {
        c.add_vector(fresh(n, 1).remove(0))
    }),
    ("add_vectors_batch", 16, |c, n, _| {
        c.add_vectors_batch(fresh(n, 200))
    }),
    ("upsert_vector", 64, |c, n, _| {
        c.upsert_vector(fresh(n, 1).remove(0))
    }),
    ("upsert_vectors_batch", 16, |c, n, _| {
        c.upsert_vectors_batch(fresh(n, 200))
    }),
    ("add_rows", 16, |c, n, _| {
        let ids: Vec<_> = (0..200).map(|place| format!("{n}.{place}")).collect();
        let rows: Vec<f32> = (0..200).flat_map(|place| row(n * 10_000 + place)).collect();
        c.add_rows(&ids, &rows)
    }),
    ("upsert_rows", 16, |c, n, _| {
        let ids: Vec<_> = (0..200).map(|place| format!("{n}.{place}")).collect();
        let rows: Vec<f32> = (0..200).flat_map(|place| row(n * 10_000 + place)).collect();
        c.upsert_rows(&ids, &rows)
    }),
    ("on_fallback", 8, |c, _, _| {
        c.on_fallback(|_| ());
        Ok(())
    }),
    ("fallback", 8, |c, _, _| {
        assert_eq!(c.fallback(), None);
        Ok(())
    }),
    ("is_spilled", 8, |c, _, _| {
        assert!(!c.is_spilled());
        Ok(())
    }),
    ("is_read_only", 8, |c, _, _| {
        assert!(!c.is_read_only());
        Ok(())
    }),
    ("reserve", 8, |c, _, _| c.reserve(COUNT)),
    ("flush", 8, |c, _, _| c.flush()),
    ("snapshot", 4, |c, n, folder| {
        match c.snapshot(folder.join(format!("snapshot {n}"))) {
            Err(VectorizerError::NotDurable) if c.path().is_none() => Ok(()),
            other => other,
        }
    }),
    ("compact", 4, |c, _, _| c.compact().map(drop)),
    ("delete", 64, |c, n, _| unless_gone(c.delete(&old(n)))),
    ("delete_batch", 16, |c, n, _| {
        unless_gone(c.delete_batch(&[old(n), old(n + 7)]))
    }),
    ("delete_present", 16, |c, n, _| {
        c.delete_present(&[old(n), old(n + 11)]).map(drop)
    }),
    ("set_payload", 64, |c, n, _| {
        unless_gone(c.set_payload(&old(n), None))
    }),
    ("create_payload_index", 8, |c, n, _| {
        c.create_payload_index(["number", "place"][n % 2])
    }),
    ("drop_payload_index", 8, |c, n, _| {
        c.drop_payload_index(["number", "place"][n % 2]).map(drop)
    }),
    ("payload_indexes", 8, |c, _, _| {
        let _ = c.payload_indexes();
        Ok(())
    }),
    ("explain", 16, |c, _, _| {
        c.explain(&Filter::ids(|id| id.ends_with('7'))).map(drop)
    }),
    ("count", 32, |c, _, _| {
        c.count(&Filter::ids(|id| id.ends_with('7'))).map(drop)
    }),
    ("delete_by", 8, |c, n, _| {
        let gone = old(n);
        c.delete_by(&Filter::ids(move |id| id == gone)).map(drop)
    }),
    ("scroll", 32, |c, _, _| {
        c.scroll(by_number().filter.as_ref(), None, 10).map(drop)
    }),
    ("scroll_vectors", 32, |c, _, _| {
        c.scroll_vectors(None, None, 100).map(drop)
    }),
    ("vectors", 8, |c, _, _| {
        c.vectors(by_number().filter)
            .try_for_each(|vector| vector.map(drop))
    }),
    ("optimize", 4, |c, _, _| c.optimize()),
    ("optimize_with", 4, |c, _, _| {
        c.optimize_with(|_| ControlFlow::Continue(()))
    }),
    ("rebuild_hnsw_graph", 2, |c, _, _| c.rebuild_hnsw_graph()),
    ("rebuild_hnsw_graph_with", 2, |c, _, _| {
        c.rebuild_hnsw_graph_with(|_| ControlFlow::Continue(()))
    }),
    ("consolidate", 8, |c, _, _| c.consolidate()),
];

/// What is called on a collection and does not belong to it.
const FILES: &[Call] = &[
    ("jsonl::export", 4, |c, n, folder| {
        jsonl::export(c, folder.join(format!("{n}.jsonl")), |_| {
            ControlFlow::Continue(())
        })
        .map(drop)
    }),
    ("jsonl::import", 4, |c, n, folder| {
        let path = folder.join(format!("in {n}.jsonl"));
        let line = format!("{{\"id\": \"in {n}\", \"vector\": {:?}}}\n", row(n));
        std::fs::write(&path, line).unwrap();
        jsonl::import(c, path, Existing::Refuse, |_| ControlFlow::Continue(())).map(drop)
    }),
];

/// A graph that costs little, and more threads than there may be cores: helpers have to be there.
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

/// Numbers that no two calls have in common; those from 1 to `COUNT` are the first vectors'.
fn next() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// In memory under the cosine, and on disk: unit rows and files go through threads too.
fn collections(folder: &Path) -> Vec<(&'static str, Collection)> {
    let options = options();
    let context = Context::cpu();
    let metric = DistanceMetric::Cosine;
    let in_memory = Collection::with_context(&context, DIMENSION, metric, options).unwrap();
    let path = folder.join("collection");
    let durability = Durability::OnFlush;
    let on_disk =
        Collection::create_with(path, &context, DIMENSION, metric, options, durability).unwrap();
    let both = [("in memory", in_memory), ("on disk", on_disk)];
    for (_, collection) in &both {
        collection.add_vectors_batch(fresh(0, COUNT)).unwrap();
    }
    both.into()
}

/// Says that it is over, also where a panic comes this way.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes until `work` is done, so that readers meet a waiting writer.
fn beside_a_writer<R>(collection: &Collection, work: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let payload = vectorizer::models::Payload(serde_json::json!({"number": 3}));
                unless_gone(collection.set_payload(&old(next()), payload)).unwrap();
            }
        });
        let _stop = Stop(&over);
        work()
    })
}

#[test]
fn every_method_returns_when_called_from_tasks_that_may_be_stolen() {
    let folder = tempfile::tempdir().unwrap();
    for (place, collection) in collections(folder.path()) {
        for (name, times, call) in CALLS.iter().chain(FILES) {
            watched(&format!("{name} from par_iter, {place}"), || {
                beside_a_writer(&collection, || {
                    (0..*times).into_par_iter().for_each(|_| {
                        call(&collection, next(), folder.path())
                            .unwrap_or_else(|error| panic!("{name}: {error}"));
                    });
                });
            });
        }
        collection.optimize().unwrap();
        collection.check().unwrap();
    }
}

#[test]
fn all_methods_at_once_and_tasks_within_tasks() {
    let folder = tempfile::tempdir().unwrap();
    for (place, collection) in collections(folder.path()) {
        watched(&format!("everything at once, {place}"), || {
            let calls: Vec<_> = CALLS.iter().chain(FILES).collect();
            (0..3usize).into_par_iter().for_each(|_| {
                calls.par_iter().for_each(|(name, times, call)| {
                    (0..times / 8 + 1).into_par_iter().for_each(|_| {
                        call(&collection, next(), folder.path())
                            .unwrap_or_else(|error| panic!("{name}: {error}"));
                    });
                });
            });
        });
        collection.optimize().unwrap();
        collection.check().unwrap();
        collection.close().unwrap();
    }
}

#[test]
fn opening_and_the_layers_below_a_collection_too() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::cpu();
    let options = options();
    let rows: Vec<f32> = (0..COUNT).flat_map(row).collect();
    watched("graphs, storages and opening", || {
        (0..8usize).into_par_iter().for_each(|number| {
            let metric = DistanceMetric::Cosine;
            let mut storage = VectorStorage::new(&context, DIMENSION, metric).unwrap();
            storage.append(&rows).unwrap();
            let mut graph = HnswGraph::new(&context, DIMENSION, metric, options).unwrap();
            graph.append(&rows[..3_000 * DIMENSION]).unwrap();
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            let search = SearchOptions::default();
            rows.par_chunks(20 * DIMENSION)
                .take(20)
                .for_each(|queries| {
                    storage.search(queries, 3).unwrap();
                    graph.search(queries, 3, &search).unwrap();
                });
            let path = folder.path().join(number.to_string());
            let durability = Durability::OnFlush;
            let collection =
                Collection::create_with(&path, &context, DIMENSION, metric, options, durability)
                    .unwrap();
            collection.add_vectors_batch(fresh(0, COUNT)).unwrap();
            collection.close().unwrap();
            assert_eq!(Collection::open(&path).unwrap().vector_count(), COUNT);
        });
    });
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => vec![path],
            _ => Vec::new(),
        })
        .collect()
}

/// Names of the public methods of collections that take `&self`, as the sources have them.
fn methods(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = source;
    while let Some((_, after)) = rest.split_once("\nimpl Collection {\n") {
        let (body, after) = after.split_once("\n}\n").unwrap();
        rest = after;
        for item in body.split("\n    pub fn ").skip(1) {
            let (name, more) = item.split_once(['(', '<']).unwrap();
            if more.split_once('{').unwrap().0.contains("&self") {
                names.push(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn the_list_of_methods_is_whole() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts = sources(&source.join("collection"))
        .into_iter()
        .chain([source.join("collection.rs")])
        .map(|path| std::fs::read_to_string(path).unwrap());
    let written: BTreeSet<String> = texts.flat_map(|text| methods(&text)).collect();
    let called: BTreeSet<String> = CALLS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert!(written.len() > 30, "{written:?}");
    assert_eq!(written, called);
}

/// A wait of rayon's runs other tasks of its pool, with whatever locks are held: the library has none, and threads of its own.
#[test]
fn no_source_names_a_pool_that_steals() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in sources(&root.join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("rayon"), "{}", path.display());
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (dependencies, _) = manifest.split_once("[dev-dependencies]").unwrap();
    assert!(!dependencies.contains("rayon"));
}
