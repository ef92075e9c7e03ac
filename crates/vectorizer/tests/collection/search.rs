//! What is found, and in which order.

use super::*;

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
