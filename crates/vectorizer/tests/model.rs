//! A collection's life at random, against a plain list and brute force, on every engine, in memory and on disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use support::{contexts, distance};
use tempfile::TempDir;
use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter, Range};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Payload, SearchResult, Vector};
use vectorizer::store::Durability;

const DIMENSION: usize = 3;
const METRIC: DistanceMetric = DistanceMetric::Euclidean;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<(u8, [i8; 3])>),
    Upsert(Vec<(u8, [i8; 3])>),
    Delete(Vec<u8>),
    DeletePresent(Vec<u8>),
    SetPayload(u8, Option<u8>),
    Search([i8; 3], usize),
    Optimize,
    Consolidate,
    Rebuild,
    /// All are deleted, and what is left of them is dropped.
    Empty,
    /// Whether payloads are indexed.
    Index(bool),
    Reopen(Ending),
}

/// How a collection on disk comes to its end before it is opened again. In memory it just goes on.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Closed,
    Dropped,
    /// A copy is opened in its place.
    Copied,
    /// Without the file of its graph.
    GraphLost,
}

fn step() -> impl Strategy<Value = Step> {
    let at = prop::array::uniform3(-3i8..=3);
    let vectors = prop::collection::vec((any::<u8>(), at.clone()), 0..40);
    let few = prop::collection::vec(any::<u8>(), 1..30);
    prop_oneof![
        4 => vectors.clone().prop_map(Step::Add),
        3 => vectors.prop_map(Step::Upsert),
        1 => few.clone().prop_map(Step::Delete),
        3 => few.prop_map(Step::DeletePresent),
        2 => (any::<u8>(), prop::option::of(any::<u8>())).prop_map(|(id, p)| Step::SetPayload(id, p)),
        4 => (at, 1usize..30).prop_map(|(at, k)| Step::Search(at, k)),
        1 => Just(Step::Optimize),
        1 => Just(Step::Consolidate),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Empty),
        1 => any::<bool>().prop_map(Step::Index),
        2 => prop::sample::select(vec![Ending::Closed, Ending::Dropped, Ending::Copied, Ending::GraphLost]).prop_map(Step::Reopen),
    ]
}

/// What a collection is to do, in the order of insertion.
#[derive(Debug, Default)]
struct Model(Vec<Vector>);

impl Model {
    fn place(&self, id: &str) -> Option<usize> {
        self.0.iter().position(|vector| vector.id == id)
    }

    fn put(&mut self, vectors: &[Vector], replace: bool) -> Result<(), VectorizerError> {
        let mut ids: Vec<&str> = vectors.iter().map(|v| v.id.as_str()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(VectorizerError::DuplicateIdInBatch { id: String::new() });
        }
        if !replace && vectors.iter().any(|v| self.place(&v.id).is_some()) {
            return Err(VectorizerError::DuplicateId { id: String::new() });
        }
        self.0
            .retain(|old| vectors.iter().all(|new| new.id != old.id));
        self.0.extend_from_slice(vectors);
        Ok(())
    }

    fn delete(&mut self, ids: &[String]) -> Result<(), VectorizerError> {
        let twice = ids
            .iter()
            .enumerate()
            .any(|(at, id)| ids[..at].contains(id));
        if twice {
            return Err(VectorizerError::DuplicateIdInBatch { id: String::new() });
        }
        if ids.iter().any(|id| self.place(id).is_none()) {
            return Err(VectorizerError::UnknownId { id: String::new() });
        }
        self.0.retain(|old| !ids.contains(&old.id));
        Ok(())
    }

    fn nearest(
        &self,
        query: &[f32],
        k: usize,
        keep: impl Fn(&Vector) -> bool,
    ) -> Vec<(f64, &Vector)> {
        let kept = self.0.iter().filter(|vector| keep(vector));
        let mut all: Vec<_> = kept
            .map(|v| (distance(METRIC, &v.data, query), v))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.truncate(k);
        all
    }
}

fn vector((id, at): &(u8, [i8; 3])) -> Vector {
    Vector {
        id: id.to_string(),
        data: at.iter().map(|x| f32::from(*x)).collect(),
        payload: (id % 3 != 0).then(|| Payload(json!({"n": id % 10}))),
    }
}

fn same_error(ours: Result<(), VectorizerError>, model: Result<(), VectorizerError>) {
    let kind =
        |result: &Result<(), VectorizerError>| result.as_ref().err().map(std::mem::discriminant);
    assert_eq!(kind(&ours), kind(&model), "{ours:?}, not {model:?}");
}

/// Exact answers are the model's; those of the graph are of the living, right in themselves, and none lack.
fn compare(
    found: &[SearchResult],
    truth: &[(f64, &Vector)],
    path: SearchPath,
    model: &Model,
    query: &[f32],
) {
    assert_eq!(found.len(), truth.len(), "{path:?}");
    let mut seen = std::collections::HashSet::new();
    for result in found {
        assert!(seen.insert(&result.id), "{} twice", result.id);
        let there = &model.0[model.place(&result.id).unwrap()];
        let right = distance(METRIC, &there.data, query);
        assert!(
            (f64::from(result.distance) - right).abs() < 1e-5,
            "{result:?}, not {right}"
        );
        assert_eq!(result.payload, there.payload);
    }
    assert!(found.is_sorted_by(|a, b| a.distance <= b.distance));
    if path == SearchPath::Exact {
        let ids = found.iter().map(|result| &result.id);
        assert!(
            ids.eq(truth.iter().map(|(_, vector)| &vector.id)),
            "{found:?}, not {truth:?}"
        );
    }
}

fn search(collection: &Collection, model: &Model, query: &[f32], k: usize) {
    let some = Filter::must([Condition::range("n", Range::default().lt(5))]);
    let odd = |id: &str| id.parse::<u8>().unwrap() % 2 == 1;
    let low = |vector: &Vector| {
        let n = vector
            .payload
            .as_ref()
            .and_then(|payload| payload.0["n"].as_u64());
        n.is_some_and(|n| n < 5)
    };
    for path in [SearchPath::Exact, SearchPath::Graph, SearchPath::Auto] {
        if path == SearchPath::Graph && collection.stats().graph.linked == 0 {
            continue;
        }
        let options = SearchOptions {
            path,
            with_payload: true,
            ..SearchOptions::default()
        };
        let ask = |filter: Option<Filter>| {
            let options = SearchOptions {
                filter,
                ..options.clone()
            };
            collection.search_with(query, k, &options).unwrap()
        };
        compare(
            &ask(None),
            &model.nearest(query, k, |_| true),
            path,
            model,
            query,
        );
        compare(
            &ask(Some(some.clone())),
            &model.nearest(query, k, low),
            path,
            model,
            query,
        );
        let odd_ones = model.nearest(query, k, |vector| odd(&vector.id));
        compare(&ask(Some(Filter::ids(odd))), &odd_ones, path, model, query);
    }
}

/// Opens a collection anew, by way of an end.
fn reopen(
    context: &Context,
    collection: Collection,
    ending: Ending,
    folder: &TempDir,
) -> Collection {
    let Some(mut path) = collection.path().map(Path::to_owned) else {
        return collection;
    };
    let stats = collection.stats();
    match ending {
        Ending::Closed => collection.close().unwrap(),
        Ending::Dropped => drop(collection),
        Ending::Copied => {
            let number = std::fs::read_dir(folder.path()).unwrap().count();
            let copy = folder.path().join(number.to_string());
            collection.snapshot(&copy).unwrap();
            drop(collection);
            path = copy;
        }
        Ending::GraphLost => {
            collection.close().unwrap();
            // There may have been no graph yet.
            drop(std::fs::remove_file(path.join("graph.snapshot")));
        }
    }
    let report = Collection::check_files(&path).unwrap();
    assert_eq!(
        (report.problems, report.will_be_rebuilt),
        (Vec::<String>::new(), Vec::new())
    );
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    let opened =
        Collection::open_with(&path, context, options, |_| ControlFlow::Continue(())).unwrap();
    let again = opened.stats();
    assert_eq!(
        (again.vector_count, again.dead_slots, again.payload_indexes),
        (stats.vector_count, stats.dead_slots, stats.payload_indexes)
    );
    if !matches!(ending, Ending::GraphLost) {
        assert_eq!(again.graph.linked, stats.graph.linked);
    }
    opened
}

fn live(context: &Context, steps: &[Step], durable: bool) {
    let hnsw = HnswConfig {
        max_connections: 4,
        ef_construction: 16,
        ef_search: 16,
        ..HnswConfig::default()
    };
    let options = CollectionOptions {
        hnsw,
        ..CollectionOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut collection = if durable {
        let (path, kept) = (folder.path().join("0"), Durability::OnFlush);
        Collection::create_with(path, context, DIMENSION, METRIC, options, kept).unwrap()
    } else {
        Collection::with_context(context, DIMENSION, METRIC, options).unwrap()
    };
    let mut model = Model::default();
    for step in steps {
        let names = |ids: &[u8]| ids.iter().map(u8::to_string).collect::<Vec<_>>();
        match step {
            Step::Add(vectors) | Step::Upsert(vectors) => {
                let replace = matches!(step, Step::Upsert(_));
                let vectors: Vec<_> = vectors.iter().map(vector).collect();
                let ours = if replace {
                    collection.upsert_vectors_batch(&vectors)
                } else {
                    collection.add_vectors_batch(&vectors)
                };
                same_error(ours, model.put(&vectors, replace));
            }
            Step::Delete(ids) => same_error(
                collection.delete_batch(&names(ids)),
                model.delete(&names(ids)),
            ),
            Step::DeletePresent(ids) => {
                let mut there = names(ids);
                there.sort_unstable();
                there.dedup();
                there.retain(|id| model.place(id).is_some());
                assert_eq!(collection.delete_present(&names(ids)).unwrap(), there.len());
                model.delete(&there).unwrap();
            }
            Step::SetPayload(id, payload) => {
                let payload = payload.map(|n| Payload(json!({"n": n % 10})));
                let ours = collection.set_payload(&id.to_string(), payload.clone());
                match model.place(&id.to_string()) {
                    Some(place) => {
                        ours.unwrap();
                        model.0[place].payload = payload;
                    }
                    None => assert!(
                        matches!(ours, Err(VectorizerError::UnknownId { .. })),
                        "{ours:?}"
                    ),
                }
            }
            Step::Search(at, k) => {
                let query: Vec<f32> = at.iter().map(|x| f32::from(*x)).collect();
                search(&collection, &model, &query, *k);
            }
            Step::Optimize => {
                collection.optimize().unwrap();
                collection.check().unwrap();
                let stats = collection.stats();
                assert_eq!((stats.dead_slots, stats.graph.linked), (0, model.0.len()));
            }
            Step::Consolidate => {
                collection.consolidate().unwrap();
                assert_eq!(collection.stats().dead_slots, 0);
            }
            Step::Rebuild => {
                collection.rebuild_hnsw_graph().unwrap();
                collection.check().unwrap();
            }
            Step::Empty => {
                collection.delete_by(&Filter::default()).unwrap();
                collection.compact().unwrap();
                model.0.clear();
                let stats = collection.stats();
                assert_eq!((stats.dead_slots, stats.graph.linked), (0, 0));
            }
            Step::Index(true) => collection.create_payload_index("n").unwrap(),
            Step::Index(false) => drop(collection.drop_payload_index("n").unwrap()),
            Step::Reopen(ending) => collection = reopen(context, collection, *ending, &folder),
        }
        assert_eq!(collection.vector_count(), model.0.len());
    }
    search(&collection, &model, &[0.0; 3], 300);
    for there in &model.0 {
        assert_eq!(&collection.get_vector(&there.id).unwrap(), there);
    }
}

fn lives_are_the_models(cases: [u32; 2], durable: bool) {
    for context in contexts() {
        let cases = cases[usize::from(!context.device().is_cpu())];
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases,
            max_shrink_iters: 200,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let lives = prop::collection::vec(step(), 5..40);
        runner
            .run(&lives, |steps| {
                live(&context, &steps, durable);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_life_at_random_is_the_models() {
    lives_are_the_models([48, 8], false);
}

#[test]
fn a_life_on_disk_at_random_is_the_models() {
    lives_are_the_models([24, 4], true);
}
