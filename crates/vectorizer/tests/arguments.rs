//! Arguments that nobody should pass, and what is said to them: an error or a bounded answer, never a panic.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use std::ops::ControlFlow;

use support::{contexts, random_rows, vectors};
use vectorizer::collection::{Collection, Cursor, OpenOptions};
use vectorizer::config::{
    CollectionOptions, HnswConfig, MAX_CONNECTIONS, MAX_DIMENSION, MAX_THREADS, SearchOptions,
};
use vectorizer::engine::{MAX_SLOTS, NO_SLOT, SlotSet};
use vectorizer::error::VectorizerError;
use vectorizer::filter::Filter;
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;
use vectorizer::storage::VectorStorage;

const DIMENSION: usize = 8;

fn graph(context: &Context, metric: DistanceMetric, rows: &[f32]) -> HnswGraph {
    let mut graph =
        HnswGraph::new(context, DIMENSION, metric, CollectionOptions::default()).unwrap();
    graph.append(rows).unwrap();
    graph.build(|_| ControlFlow::Continue(())).unwrap();
    graph
}

#[test]
fn slots_that_no_vector_has_are_passed_over() {
    let rows = random_rows(1, 300, DIMENSION);
    let odd: SlotSet = (0..300).filter(|slot| slot % 2 == 1).collect();
    let mut beyond = odd.clone();
    beyond.extend([300, 301, 5_000]);
    for context in contexts() {
        for &metric in DistanceMetric::ALL {
            let [mut graph, mut same] = [(); 2].map(|()| graph(&context, metric, &rows));
            let ask = |graph: &HnswGraph, among: &SlotSet| {
                let options = SearchOptions::default();
                graph
                    .search_among(&rows[..4 * DIMENSION], 7, &options, Some(among))
                    .unwrap()
            };
            assert_eq!(ask(&graph, &beyond), ask(&graph, &odd));
            graph.consolidate(&beyond).unwrap();
            same.consolidate(&odd).unwrap();
            assert_eq!(graph.len(), 150);
            assert_eq!(graph.topology().unwrap(), same.topology().unwrap());
            assert_eq!(graph.get(149).unwrap(), same.get(149).unwrap());
        }
    }
}

#[test]
fn what_is_no_slot_is_in_no_set() {
    let mut set = SlotSet::new();
    assert!(!set.insert(NO_SLOT));
    assert!(!set.insert(u32::try_from(MAX_SLOTS).unwrap()));
    assert_eq!((set.len(), set.iter().count()), (0, 0));
    assert!(!set.contains(NO_SLOT) && !set.remove(NO_SLOT));
}

#[test]
fn links_of_levels_that_are_not_there_are_none() {
    let rows = random_rows(2, 200, DIMENSION);
    for context in contexts() {
        let graph = graph(&context, DistanceMetric::Euclidean, &rows);
        let above = graph.stats().top_level + 1;
        for level in [above, 256, usize::MAX] {
            assert_eq!(graph.links(level).unwrap().rows, [0; 0], "{level}");
        }
    }
}

#[test]
fn cursors_that_were_never_given_lead_to_the_end() {
    let collection = Collection::new(DIMENSION, DistanceMetric::Euclidean).unwrap();
    let rows = random_rows(3, 20, DIMENSION);
    collection
        .add_vectors_batch(vectors(&rows, DIMENSION))
        .unwrap();
    collection.delete_batch(&["v3", "v4"]).unwrap();
    collection.consolidate().unwrap();
    // One that is cut to 32 bits would be in the middle.
    for place in [
        20,
        u64::from(u32::MAX),
        (1 << 32) + 7,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let cursor: Cursor = serde_json::from_str(&place.to_string()).unwrap();
        for filter in [None, Some(&Filter::default())] {
            let page = collection.scroll(filter, Some(cursor), 10).unwrap();
            assert_eq!((page.items.len(), page.next), (0, None), "{place}");
        }
    }
}

#[test]
fn estimates_of_what_cannot_be_are_those_of_the_nearest_that_can() {
    let config = |max_connections| HnswConfig {
        max_connections,
        ..HnswConfig::default()
    };
    for context in contexts() {
        let estimate =
            |vectors, dimension, m| context.estimate_memory(vectors, dimension, &config(m));
        assert_eq!(
            estimate(usize::MAX, usize::MAX, usize::MAX),
            estimate(MAX_SLOTS, MAX_DIMENSION, MAX_CONNECTIONS)
        );
        for m in [0, 1] {
            assert_eq!(estimate(1000, 0, m), estimate(1000, 1, 2));
        }
        assert!(estimate(1000, 1, 2).lasting() > 4000);
    }
}

#[test]
fn more_vectors_than_there_can_be_are_not_reserved() {
    for context in contexts() {
        let metric = DistanceMetric::Cosine;
        let options = CollectionOptions::default();
        let collection = Collection::with_context(&context, DIMENSION, metric, options).unwrap();
        let mut storage = VectorStorage::new(&context, DIMENSION, metric).unwrap();
        for requested in [MAX_SLOTS + 1, usize::MAX] {
            let error = VectorizerError::TooManyVectors {
                max: MAX_SLOTS,
                requested,
            };
            assert_eq!(collection.reserve(requested), Err(error.clone()));
            assert_eq!(storage.reserve(requested), Err(error));
        }
        collection.reserve(10).unwrap();
    }
}

#[test]
fn threads_are_bounded() {
    let context = Context::cpu();
    let metric = DistanceMetric::Euclidean;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    Collection::create(&path, DIMENSION, metric)
        .unwrap()
        .close()
        .unwrap();
    let mut graph = graph(&context, metric, &random_rows(4, 20, DIMENSION));
    for threads in [MAX_THREADS + 1, usize::MAX] {
        let options = CollectionOptions {
            threads,
            ..CollectionOptions::default()
        };
        let opening = OpenOptions {
            threads,
            ..OpenOptions::default()
        };
        for refused in [
            options.validate(),
            Collection::with_context(&context, DIMENSION, metric, options).map(drop),
            Collection::open_with(&path, &context, opening, |_| ControlFlow::Continue(()))
                .map(drop),
            graph.move_to(&context, threads),
        ] {
            match refused {
                Err(VectorizerError::InvalidConfig {
                    field: "threads", ..
                }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(graph.len(), 20);
    Collection::open(&path).unwrap();
}

#[test]
fn a_limit_of_nothing_holds_nothing() {
    for context in contexts() {
        for limit in [0, 1, 4096] {
            let options = CollectionOptions {
                vram_limit: Some(limit),
                ..CollectionOptions::default()
            };
            let metric = DistanceMetric::Euclidean;
            let collection = Collection::with_context(&context, DIMENSION, metric, options);
            let added = collection.and_then(|collection| {
                let rows = random_rows(5, 1000, DIMENSION);
                collection.add_vectors_batch(vectors(&rows, DIMENSION))
            });
            let error = added.unwrap_err();
            assert!(error.is_full(), "{limit} bytes on {context}: {error}");
        }
    }
}
