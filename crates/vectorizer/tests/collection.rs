//! Collections, on every engine: what goes in comes out, nothing half, nothing wrong goes in.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use serde_json::json;
use support::{contexts, exact, integer_rows, random_rows, vectors};
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Payload, Vector};

const METRICS: [DistanceMetric; 3] = [
    DistanceMetric::Cosine,
    DistanceMetric::Euclidean,
    DistanceMetric::DotProduct,
];

fn empty(context: &Context, dimension: usize, metric: DistanceMetric) -> Collection {
    Collection::with_context(context, dimension, metric, CollectionOptions::default()).unwrap()
}

fn vector(id: &str, data: &[f32]) -> Vector {
    Vector {
        id: id.to_owned(),
        data: data.to_vec(),
        payload: None,
    }
}

fn ids(results: &[vectorizer::models::SearchResult]) -> Vec<&str> {
    results.iter().map(|result| result.id.as_str()).collect()
}

#[test]
fn exact_search_is_the_oracles_at_awkward_sizes() {
    for context in contexts() {
        for metric in METRICS {
            for (dimension, count) in [
                (1, 33),
                (3, 1),
                (3, 2),
                (5, 31),
                (7, 32),
                (17, 1000),
                (127, 33),
                (784, 100),
                (1536, 33),
            ] {
                let seed = 31 * dimension as u64 + count as u64;
                let rows = integer_rows(seed, count, dimension);
                let collection = empty(&context, dimension, metric);
                collection
                    .add_vectors_batch(vectors(&rows, dimension))
                    .unwrap();
                let query = &integer_rows(seed + 1, 1, dimension);
                for k in [1, 2, count.saturating_sub(1).max(1), count, count + 1] {
                    let found = collection.search(query, k).unwrap();
                    let truth = exact(metric, &rows, query);
                    assert_eq!(
                        found.len(),
                        k.min(count),
                        "{context} {metric} {dimension}x{count} k {k}"
                    );
                    for (result, (distance, number)) in found.iter().zip(&truth) {
                        let told = format!(
                            "{context} {metric} {dimension}x{count} k {k} seed {seed}: {result:?}, not {distance} {number}"
                        );
                        assert!(
                            (f64::from(result.distance) - distance).abs()
                                <= 2e-6 * distance.abs().max(1.0),
                            "{told}"
                        );
                        // Unit rows round; whole numbers do not, and there ties must fall as documented.
                        if metric != DistanceMetric::Cosine {
                            assert_eq!(result.id, format!("v{number}"), "{told}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn an_empty_collection_finds_nothing() {
    for context in contexts() {
        let collection = empty(&context, 4, DistanceMetric::Cosine);
        assert_eq!(collection.search(&[1.0; 4], 3).unwrap(), []);
        assert_eq!(
            collection.search_batch(&[[1.0; 4], [2.0; 4]], 3).unwrap(),
            [[], []]
        );
        assert_eq!(
            collection.search_batch(&[] as &[Vec<f32>], 3).unwrap(),
            [] as [Vec<_>; 0]
        );
        collection.add_vectors_batch(Vec::new()).unwrap();
        collection.rebuild_hnsw_graph().unwrap();
        collection.check().unwrap();
        assert_eq!(collection.vector_count(), 0);
    }
}

#[test]
fn vectors_come_back_bit_for_bit() {
    for context in contexts() {
        for metric in METRICS {
            let rows = random_rows(5, 300, 37);
            let mut put = vectors(&rows, 37);
            put[3].payload = Some(Payload(json!({"page": 7, "tags": ["a", "b"]})));
            put[4].data = vec![0.0; 37];
            put[5].data = vec![-0.0; 37];
            let collection = empty(&context, 37, metric);
            collection.add_vectors_batch(&put[..200]).unwrap();
            for one in &put[200..] {
                collection.add_vector(one.clone()).unwrap();
            }
            for one in &put {
                let got = collection.get_vector(&one.id).unwrap();
                let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(
                    (bits(&got.data), &got.payload),
                    (bits(&one.data), &one.payload),
                    "{context} {metric} {}",
                    one.id
                );
            }
            assert!(collection.contains("v299") && !collection.contains("v300"));
        }
    }
}

#[test]
fn wrong_input_is_named_and_changes_nothing() {
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        collection.add_vector(vector("a", &[1.0, 2.0])).unwrap();
        let refused = |batch: &[Vector], expected: VectorizerError| {
            assert_eq!(collection.add_vectors_batch(batch).unwrap_err(), expected);
            assert_eq!(collection.vector_count(), 1, "{expected}");
        };
        let good = vector("good", &[0.0, 0.0]);
        let with = |bad: Vector| [good.clone(), bad];
        refused(
            &with(vector("b", &[1.0])),
            VectorizerError::DimensionMismatch {
                expected: 2,
                actual: 1,
            },
        );
        refused(
            &with(vector("b", &[])),
            VectorizerError::DimensionMismatch {
                expected: 2,
                actual: 0,
            },
        );
        refused(
            &with(vector("a", &[0.0, 1.0])),
            VectorizerError::DuplicateId { id: "a".into() },
        );
        refused(
            &with(vector("good", &[0.0, 1.0])),
            VectorizerError::DuplicateIdInBatch { id: "good".into() },
        );
        refused(
            &with(vector("", &[0.0, 1.0])),
            VectorizerError::InvalidId { actual: 0 },
        );
        refused(
            &with(vector(&"x".repeat(65_536), &[0.0, 1.0])),
            VectorizerError::InvalidId { actual: 65_536 },
        );
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30] {
            let error = collection
                .add_vectors_batch(with(vector("b", &[0.0, bad])))
                .unwrap_err();
            assert!(
                matches!(&error, VectorizerError::InvalidComponent { id, index: 1, .. } if id == "b"),
                "{error}"
            );
            let error = collection.search(&[bad, 0.0], 1).unwrap_err();
            assert!(
                matches!(error, VectorizerError::InvalidComponent { index: 0, .. }),
                "{error}"
            );
        }
        assert_eq!(
            collection.search(&[0.0], 1).unwrap_err(),
            VectorizerError::DimensionMismatch {
                expected: 2,
                actual: 1
            }
        );
        assert_eq!(
            collection.search(&[0.0; 2], 0).unwrap_err(),
            VectorizerError::InvalidK
        );
        assert_eq!(
            collection.get_vector("b").unwrap_err(),
            VectorizerError::UnknownId { id: "b".into() }
        );
        let zero = Collection::with_context(
            &context,
            0,
            DistanceMetric::Cosine,
            CollectionOptions::default(),
        );
        assert!(matches!(
            zero.unwrap_err(),
            VectorizerError::InvalidDimension { actual: 0, .. }
        ));
        let ids: [&str; 2] = ["x", "y"];
        let error = collection.add_rows(&ids, &[0.0; 6]).unwrap_err();
        assert_eq!(error, VectorizerError::CountMismatch { ids: 2, vectors: 3 });
        let error = collection.add_rows(&ids, &[0.0; 5]).unwrap_err();
        assert_eq!(
            error,
            VectorizerError::ShapeMismatch {
                values: 5,
                dimension: 2
            }
        );
        collection
            .add_vector(vector(&"x".repeat(65_535), &[0.0, 1.0]))
            .unwrap();
    }
}

#[test]
fn zero_and_collinear_vectors_under_cosine_tie_in_the_order_they_came() {
    for context in contexts() {
        let collection = empty(&context, 512, DistanceMetric::Cosine);
        let lines = (0..1000u16).map(|i| vector(&format!("vector_{i}"), &[f32::from(i); 512]));
        collection
            .add_vectors_batch(lines.collect::<Vec<_>>())
            .unwrap();
        let found = collection.search(&[500.0; 512], 1200).unwrap();
        assert_eq!(found.len(), 1000);
        let order: Vec<_> = (1..1000)
            .chain([0])
            .map(|i| format!("vector_{i}"))
            .collect();
        assert_eq!(ids(&found), order);
        assert!(
            found[..999]
                .iter()
                .all(|one| (0.999_999..=1.0).contains(&one.similarity))
        );
        assert_eq!((found[999].similarity, found[999].distance), (0.0, 1.0));
        let nothing = collection.search(&[0.0; 512], 5).unwrap();
        assert!(nothing.iter().all(|one| one.similarity == 0.0));
    }
}

#[test]
fn upsert_replaces_and_the_old_is_never_found() {
    for context in contexts() {
        let collection = empty(&context, 1, DistanceMetric::Euclidean);
        let place = |id: u16, at: f32| Vector {
            id: format!("v{id}"),
            data: vec![at],
            payload: Some(Payload(json!(at))),
        };
        collection
            .add_vectors_batch((0..40).map(|i| place(i, f32::from(i))).collect::<Vec<_>>())
            .unwrap();
        // Everything moves 1000 further, many times over: the dead outnumber the living until they are left behind.
        for round in 1..60u16 {
            let moved = (0..40).map(|i| place(i, f32::from(i) + 1000.0 * f32::from(round)));
            collection
                .upsert_vectors_batch(moved.collect::<Vec<_>>())
                .unwrap();
            let options = SearchOptions {
                with_payload: true,
                ..SearchOptions::default()
            };
            let found = collection.search_with(&[0.0], 50, &options).unwrap();
            assert_eq!(
                ids(&found),
                (0..40).map(|i| format!("v{i}")).collect::<Vec<_>>(),
                "round {round}"
            );
            for (number, one) in (0..40u16).zip(&found) {
                let at = f32::from(number) + 1000.0 * f32::from(round);
                assert_eq!(
                    (one.distance, &one.payload),
                    (at, &Some(Payload(json!(at))))
                );
            }
        }
        let stats = collection.stats();
        assert_eq!(stats.vector_count, 40);
        assert!(stats.dead_slots < 1100, "{stats:?}");
        assert_eq!(collection.get_vector("v7").unwrap().data, [59_007.0]);
    }
}

#[test]
fn a_batch_of_queries_is_answered_like_each_alone() {
    for context in contexts() {
        // On the CPU as many as are linked by themselves; a software adapter is slow.
        let count = if context.device().is_cpu() { 6000 } else { 600 };
        let rows = integer_rows(3, count, 16);
        let collection = empty(&context, 16, DistanceMetric::Euclidean);
        collection.add_vectors_batch(vectors(&rows, 16)).unwrap();
        if count < 4096 {
            collection.optimize().unwrap();
        }
        assert!(collection.stats().graph.linked >= count.min(4096));
        let queries: Vec<Vec<f32>> = integer_rows(4, 70, 16)
            .chunks_exact(16)
            .map(<[f32]>::to_vec)
            .collect();
        for path in [SearchPath::Exact, SearchPath::Graph] {
            let options = SearchOptions {
                path,
                ..SearchOptions::default()
            };
            let together = collection
                .search_batch_with(&queries, 10, &options)
                .unwrap();
            for (query, results) in queries.iter().zip(&together) {
                assert_eq!(
                    &collection.search_with(query, 10, &options).unwrap(),
                    results,
                    "{path:?}"
                );
            }
            let stats = collection.stats().graph;
            assert_eq!(stats.last_path, Some(path));
        }
    }
}

#[test]
fn the_graph_is_refused_where_there_is_none_and_rebuild_is_the_way_out() {
    for context in contexts() {
        let collection = empty(&context, 8, DistanceMetric::Euclidean);
        collection
            .add_vectors_batch(vectors(&integer_rows(1, 100, 8), 8))
            .unwrap();
        let graph = SearchOptions {
            path: SearchPath::Graph,
            ..SearchOptions::default()
        };
        assert_eq!(
            collection.search_with(&[0.0; 8], 3, &graph).unwrap_err(),
            VectorizerError::SearchFailed
        );
        collection.rebuild_hnsw_graph().unwrap();
        collection.check().unwrap();
        assert_eq!(
            collection.search_with(&[0.0; 8], 3, &graph).unwrap().len(),
            3
        );
        assert_eq!(collection.stats().graph.last_path, Some(SearchPath::Graph));
        assert_eq!(
            collection
                .search_with(&[0.0; 8], 101, &graph)
                .unwrap()
                .len(),
            100
        );
    }
}

#[test]
fn a_bad_configuration_is_refused() {
    let config = HnswConfig {
        max_connections: 1,
        ..HnswConfig::default()
    };
    let error = Collection::new_with_config(4, DistanceMetric::Cosine, config).unwrap_err();
    assert!(matches!(
        error,
        VectorizerError::InvalidConfig {
            field: "max_connections",
            ..
        }
    ));
}

#[test]
fn searches_beside_adding_see_whole_batches() {
    const BATCH: usize = 50;
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        // On the CPU past the size at which they are linked by themselves.
        let batches = if context.device().is_cpu() { 100 } else { 12 };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut before = 0;
                    while !done.load(std::sync::atomic::Ordering::Acquire) {
                        // k beyond everything: the whole collection comes back.
                        let found = collection.search(&[0.0, 0.0], 100_000).unwrap().len();
                        assert!(
                            found.is_multiple_of(BATCH) && found >= before,
                            "{found} after {before}"
                        );
                        before = found;
                    }
                });
            }
            for batch in 0..batches {
                let rows = integer_rows(batch, BATCH, 2);
                let named = vectors(&rows, 2).into_iter();
                let named = named
                    .map(|v| Vector {
                        id: format!("{batch}-{}", v.id),
                        ..v
                    })
                    .collect::<Vec<_>>();
                collection.add_vectors_batch(named).unwrap();
                if batch == 7 {
                    collection.optimize().unwrap();
                }
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        assert_eq!(collection.vector_count() as u64, batches * BATCH as u64);
    }
}

/// A hundred vectors on a line, each with its number and its parity as payload.
fn numbered(context: &Context) -> Collection {
    let collection = empty(context, 1, DistanceMetric::Euclidean);
    let vectors: Vec<_> = (0..100u8)
        .map(|number| Vector {
            payload: Some(json!({"number": number, "even": number.is_multiple_of(2)}).into()),
            ..vector(&format!("v{number}"), &[f32::from(number)])
        })
        .collect();
    collection.add_vectors_batch(vectors).unwrap();
    collection
}

#[test]
fn filter_offset_and_least_similarity_go_together() {
    for context in contexts() {
        let collection = numbered(&context);
        let odd: Filter = r#"{"must_not": [{"key": "even", "match": {"value": true}}]}"#
            .parse()
            .unwrap();
        let options = |offset, min_similarity| SearchOptions {
            filter: Some(odd.clone()),
            min_similarity,
            offset,
            ..SearchOptions::default()
        };
        let found = |k, options: &SearchOptions| {
            let found = collection.search_with(&[10.2], k, options).unwrap();
            found.into_iter().map(|hit| hit.id).collect::<Vec<_>>()
        };
        assert_eq!(found(3, &options(0, None)), ["v11", "v9", "v13"]);
        assert_eq!(found(3, &options(2, None)), ["v13", "v7", "v15"]);
        // Similarities 1 / (1 + distance): distances 0.8, 1.2, 2.8.
        assert_eq!(found(3, &options(0, Some(0.3))), ["v11", "v9"]);
        assert_eq!(found(3, &options(1, Some(0.3))), ["v9"]);
        assert_eq!(found(3, &options(0, Some(2.0))), [""; 0]);
        assert_eq!(found(100, &options(0, None)).len(), 50);
        assert_eq!(found(100, &options(49, None)).len(), 1);
        assert_eq!(found(1, &options(50, None)), [""; 0]);
        assert_eq!(found(usize::MAX, &options(usize::MAX, None)), [""; 0]);
        let batch = collection
            .search_batch_with(&[[10.2], [99.0]], 1, &options(0, None))
            .unwrap();
        assert_eq!(ids(&batch[1]), ["v99"]);
        let five = SearchOptions {
            filter: Some(Filter::ids(|id| id.ends_with('5'))),
            ..SearchOptions::default()
        };
        assert_eq!(found(2, &five), ["v15", "v5"]);
    }
}

#[test]
fn impossible_options_are_refused() {
    let collection = numbered(&Context::cpu());
    let refused = |options: &SearchOptions| collection.search_with(&[1.0], 1, options).unwrap_err();
    let no_number = SearchOptions {
        min_similarity: Some(f32::NAN),
        ..SearchOptions::default()
    };
    assert!(matches!(
        refused(&no_number),
        VectorizerError::InvalidConfig {
            field: "min_similarity",
            ..
        }
    ));
    let no_key = SearchOptions {
        filter: Some(Filter::must([Condition::is_null("")])),
        ..SearchOptions::default()
    };
    assert!(matches!(
        refused(&no_key),
        VectorizerError::InvalidFilter { .. }
    ));
    let mut graph = vectorizer::hnsw::HnswGraph::new(
        &Context::cpu(),
        1,
        DistanceMetric::Euclidean,
        CollectionOptions::default(),
    )
    .unwrap();
    graph.append(&[1.0]).unwrap();
    let offset = SearchOptions {
        offset: 1,
        ..SearchOptions::default()
    };
    assert_eq!(
        graph.search(&[1.0], 1, &offset).unwrap_err(),
        VectorizerError::OptionNeedsCollection { option: "offset" }
    );
}

#[test]
fn what_is_deleted_is_found_by_nobody_and_its_id_is_free() {
    for context in contexts() {
        let collection = empty(&context, 1, DistanceMetric::Euclidean);
        let at = |id: u16| vector(&format!("v{id}"), &[f32::from(id)]);
        collection
            .add_vectors_batch((0..50).map(at).collect::<Vec<_>>())
            .unwrap();
        let unknown = VectorizerError::UnknownId { id: "v50".into() };
        assert_eq!(collection.delete("v50").unwrap_err(), unknown);
        assert_eq!(
            collection.delete_batch(&["v1", "v50"]).unwrap_err(),
            unknown
        );
        assert_eq!(
            collection.delete_batch(&["v1", "v1"]).unwrap_err(),
            VectorizerError::DuplicateIdInBatch { id: "v1".into() }
        );
        assert_eq!(collection.vector_count(), 50);
        collection.delete_batch(&["v0", "v2"]).unwrap();
        assert_eq!(
            collection.delete_present(&["v2", "v3", "v3", "x"]).unwrap(),
            1
        );
        let found = collection.search(&[0.0], 3).unwrap();
        assert_eq!(ids(&found), ["v1", "v4", "v5"]);
        assert_eq!(collection.search(&[0.0], 100).unwrap().len(), 47);
        assert!(!collection.contains("v0"));
        assert!(collection.get_vector("v0").is_err());
        collection.add_vector(vector("v0", &[49.5])).unwrap();
        assert_eq!(ids(&collection.search(&[49.6], 1).unwrap()), ["v0"]);
        // The entry point and everyone else.
        collection.rebuild_hnsw_graph().unwrap();
        let all: Vec<_> = collection.search(&[0.0], 100).unwrap();
        let all: Vec<_> = all.into_iter().map(|result| result.id).collect();
        collection.delete_batch(&all).unwrap();
        assert_eq!(collection.search(&[0.0], 3).unwrap(), []);
        collection.consolidate().unwrap();
        assert_eq!(collection.search(&[0.0], 3).unwrap(), []);
        let stats = collection.stats();
        assert_eq!((stats.dead_slots, stats.graph.count), (0, 0));
        collection.add_vector(vector("v0", &[7.0])).unwrap();
        assert_eq!(ids(&collection.search(&[0.0], 3).unwrap()), ["v0"]);
    }
}

#[test]
fn one_id_deleted_and_added_a_thousand_times_takes_no_more_room() {
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        collection
            .add_vectors_batch(vectors(&integer_rows(1, 100, 2), 2))
            .unwrap();
        collection.rebuild_hnsw_graph().unwrap();
        for round in 0..1200u16 {
            collection.delete("v7").unwrap();
            collection
                .add_vector(vector("v7", &[f32::from(round), 1000.0]))
                .unwrap();
        }
        let found = collection.search(&[1199.0, 1000.0], 2).unwrap();
        assert_eq!((found[0].id.as_str(), found[0].distance), ("v7", 0.0));
        assert_eq!(collection.search(&[0.0, 0.0], 200).unwrap().len(), 100);
        let stats = collection.stats();
        assert!(stats.dead_slots < 1100, "{stats:?}");
        collection.optimize().unwrap();
        collection.check().unwrap();
        let stats = collection.stats();
        assert_eq!((stats.dead_slots, stats.graph.linked), (0, 100));
    }
}

#[test]
fn searches_beside_deleting_see_whole_batches_and_never_the_dead() {
    const BATCH: usize = 40;
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        let rows = integer_rows(3, 30 * BATCH, 2);
        let all = vectors(&rows, 2);
        collection.add_vectors_batch(&all).unwrap();
        collection.rebuild_hnsw_graph().unwrap();
        let gone = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut left = usize::MAX;
                    while left > 0 {
                        let dead = gone.load(std::sync::atomic::Ordering::Acquire);
                        let found = collection.search(&[0.0, 0.0], 100_000).unwrap();
                        let number = |id: &str| id[1..].parse::<usize>().unwrap();
                        assert!(found.iter().all(|result| number(&result.id) >= dead));
                        assert!(found.len().is_multiple_of(BATCH) && found.len() <= left);
                        left = found.len();
                    }
                });
            }
            for (number, batch) in all.chunks(BATCH).enumerate() {
                let ids: Vec<_> = batch.iter().map(|vector| &vector.id).collect();
                collection.delete_batch(&ids).unwrap();
                gone.store((number + 1) * BATCH, std::sync::atomic::Ordering::Release);
                if number % 10 == 5 {
                    collection.consolidate().unwrap();
                }
            }
        });
        assert_eq!(collection.vector_count(), 0);
    }
}
