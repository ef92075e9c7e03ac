//! What happens to such a collection: changes, moves, limits, a device that is full or lost.

use vectorizer::collection::FallbackKind;
use vectorizer::config::FallbackPolicy;
use vectorizer::filter::Filter;
use vectorizer::models::{Payload, SearchResult, Vector};

use super::*;

fn open(path: &std::path::Path, context: &Context, full_rows: Option<FullRows>) -> Collection {
    let options = OpenOptions {
        full_rows,
        ..OpenOptions::default()
    };
    Collection::open_with(path, context, options, |_| ControlFlow::Continue(())).unwrap()
}

fn with_kinds(rows: &[f32], dimension: usize) -> Vec<Vector> {
    let mut all = vectors(rows, dimension);
    for (at, vector) in all.iter_mut().enumerate() {
        let kind = serde_json::json!({ "kind": at % 4 });
        vector.payload = Some(Payload::from(kind));
    }
    all
}

/// Adds, links, leaves a tail, deletes, replaces, takes the dead out; what is found after each step.
fn live(collection: &Collection, rows: &[f32], dimension: usize) -> Vec<Vec<Vec<SearchResult>>> {
    let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(25).collect();
    let filter = r#"{"must": [{"key": "kind", "match": {"value": 1}}]}"#;
    let filtered = SearchOptions {
        filter: Some(Filter::from_json(filter).unwrap()),
        ..graph(64)
    };
    let find = || {
        let mut found = collection
            .search_batch_with(&queries, 6, &graph(64))
            .unwrap();
        found.extend(
            collection
                .search_batch_with(&queries, 6, &filtered)
                .unwrap(),
        );
        found
    };
    let all = with_kinds(rows, dimension);
    let count = all.len();
    let ids = |remainder| {
        let numbers = (0..count).filter(move |at| at % 3 == remainder);
        numbers.map(|at| format!("v{at}")).collect::<Vec<_>>()
    };
    collection.add_vectors_batch(&all[..1100]).unwrap();
    collection.optimize().unwrap();
    let mut seen = vec![find()];
    collection.add_vectors_batch(&all[1100..]).unwrap();
    seen.push(find());
    collection.optimize().unwrap();
    seen.push(find());
    collection.delete_batch(&ids(2)[..40]).unwrap();
    let replaced = Vector {
        data: all[9].data.clone(),
        ..all[10].clone()
    };
    collection.upsert_vector(replaced).unwrap();
    seen.push(find());
    collection.consolidate().unwrap();
    seen.push(find());
    collection.delete_batch(&ids(2)[40..]).unwrap();
    collection.compact().unwrap();
    seen.push(find());
    collection.rebuild_hnsw_graph().unwrap();
    seen.push(find());
    collection.check().unwrap();
    seen
}

#[test]
fn a_life_is_that_of_the_cpu_engine_and_is_remembered() {
    let (count, dimension) = (1400, 20);
    let rows = integer_rows(9, count, dimension);
    let metric = DistanceMetric::Euclidean;
    for precision in SMALL {
        let cpu = options(precision, FullRows::Device);
        let cpu = Collection::with_context(&Context::cpu(), dimension, metric, cpu).unwrap();
        let expected = live(&cpu, &rows, dimension);
        let last = expected.last().unwrap();
        for context in contexts() {
            let case = format!("{context}, {precision}");
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kept");
            let options = in_ram(precision);
            let durability = Durability::OnFlush;
            let collection =
                Collection::create_with(&path, &context, dimension, metric, options, durability)
                    .unwrap();
            for (at, (found, expected)) in live(&collection, &rows, dimension)
                .iter()
                .zip(&expected)
                .enumerate()
            {
                assert_eq!(found, expected, "{case}, step {at}");
            }
            assert_eq!(collection.stats().full_rows, FullRows::Ram);
            assert!(collection.stats().graph.graph_queries > 0);
            collection.close().unwrap();

            assert_eq!(
                Collection::describe(&path).unwrap().full_rows,
                FullRows::Ram
            );
            let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(25).collect();
            for (asked, is) in [
                (None, FullRows::Ram),
                (Some(FullRows::Device), FullRows::Device),
                (Some(FullRows::Ram), FullRows::Ram),
            ] {
                let opened = open(&path, &context, asked);
                let stats = opened.stats();
                assert_eq!(
                    (stats.full_rows, stats.precision),
                    (is, precision),
                    "{case}"
                );
                let on_gpu = !context.device().is_cpu();
                assert_eq!(stats.ram_bytes > 0, on_gpu && is == FullRows::Ram, "{case}");
                let found = opened.search_batch_with(&queries, 6, &graph(64)).unwrap();
                assert_eq!(found, last[..25], "{case}, {asked:?}");
                assert_eq!(opened.get_vector("v4").unwrap().data, rows[80..100]);
                opened.close().unwrap();
            }
            // What opening says is for once.
            assert_eq!(
                Collection::describe(&path).unwrap().full_rows,
                FullRows::Ram
            );
            assert!(Collection::check_files(&path).unwrap().problems.is_empty());
        }
    }
}

#[test]
fn a_graph_moves_between_engines() {
    let dimension = 21;
    let rows = integer_rows(2, 500, dimension);
    for from in contexts() {
        for to in contexts() {
            for precision in SMALL {
                let metric = DistanceMetric::Euclidean;
                let mut of = built(&from, dimension, metric, in_ram(precision), &rows);
                let before = seen(&of, &rows[..210], &[(16, 5)]);
                of.move_to(&to, 1).unwrap();
                assert_eq!(of.storage().full_rows(), FullRows::Ram);
                let held = of.storage().ram_bytes() > 0;
                assert_eq!(held, !to.device().is_cpu());
                assert_eq!(
                    seen(&of, &rows[..210], &[(16, 5)]),
                    before,
                    "{from} to {to}"
                );
            }
        }
    }
}

#[test]
fn a_limit_holds_for_the_device_alone() {
    let (count, dimension) = (3000, 256);
    let rows = integer_rows(4, count, dimension);
    for context in contexts() {
        if context.device().is_cpu() {
            continue;
        }
        // Less than the vectors take, and several chunks of their small form.
        let limited = context.with_limit(Some(2 << 20));
        let ledger = limited.device().ledger().clone();
        let metric = DistanceMetric::Euclidean;
        let whole = options(Precision::Int8, FullRows::Device);
        let whole = Collection::with_context(&limited, dimension, metric, whole).unwrap();
        let error = whole
            .add_vectors_batch(vectors(&rows, dimension))
            .unwrap_err();
        assert_eq!(error, VectorizerError::VramFallback);
        drop(whole);

        let in_ram = CollectionOptions {
            fallback: FallbackPolicy::Spill,
            ..in_ram(Precision::Int8)
        };
        let collection = Collection::with_context(&limited, dimension, metric, in_ram).unwrap();
        collection
            .add_vectors_batch(vectors(&rows, dimension))
            .unwrap();
        collection.optimize().unwrap();
        assert!(!collection.is_spilled());
        let stats = collection.stats();
        assert!(
            stats.row_bytes < 1 << 20 && stats.ram_bytes > 3 << 20,
            "{stats:?}"
        );
        assert!(ledger.total().peak <= 2 << 20);
        let queries: Vec<&[f32]> = rows.chunks_exact(dimension).take(20).collect();
        let find = || {
            collection
                .search_batch_with(&queries, 4, &graph(50))
                .unwrap()
        };
        let before = find();

        // What does not fit moves everything to RAM, and there is a way back.
        let more: Vec<Vector> = vectors(&integer_rows(5, 4500, dimension), dimension)
            .into_iter()
            .map(|vector| Vector {
                id: format!("w{}", vector.id),
                ..vector
            })
            .collect();
        let ids: Vec<String> = more.iter().map(|vector| vector.id.clone()).collect();
        collection.add_vectors_batch(more).unwrap();
        assert!(collection.is_spilled());
        assert_eq!(
            collection.stats().ram_bytes,
            0,
            "it is all on the CPU's books"
        );
        collection.delete_batch(&ids).unwrap();
        collection.compact().unwrap();
        collection.return_to_device().unwrap();
        assert_eq!(
            (collection.is_spilled(), collection.fallback()),
            (false, None)
        );
        assert_eq!(collection.stats().full_rows, FullRows::Ram);
        let after = find();
        let nearest = |found: &[Vec<SearchResult>]| -> Vec<String> {
            found.iter().map(|hits| hits[0].id.clone()).collect()
        };
        assert_eq!(nearest(&after), nearest(&before));
        collection.check().unwrap();
    }
}

#[test]
fn a_mirror_answers_as_the_device_does() {
    for context in contexts() {
        for precision in SMALL {
            let options = CollectionOptions {
                fallback: FallbackPolicy::Mirror,
                ..in_ram(precision)
            };
            let metric = DistanceMetric::Euclidean;
            let collection = Collection::with_context(&context, 16, metric, options).unwrap();
            let rows = integer_rows(3, 600, 16);
            collection.add_vectors_batch(vectors(&rows, 16)).unwrap();
            collection.optimize().unwrap();
            collection.delete("v5").unwrap();
            let queries: Vec<&[f32]> = rows.chunks(16).take(30).collect();
            let batch = collection
                .search_batch_with(&queries, 5, &graph(32))
                .unwrap();
            for (query, expected) in queries.iter().zip(batch) {
                let alone = collection.search_with(query, 5, &graph(32)).unwrap();
                assert_eq!(alone, expected, "{context}");
            }
        }
    }
}

#[test]
fn a_policy_without_a_way_down_says_what_was_in_the_way() {
    for context in contexts() {
        if context.device().is_cpu() {
            continue;
        }
        let limited = context.with_limit(Some(1 << 18));
        let options = CollectionOptions {
            fallback: FallbackPolicy::Forbid,
            ..in_ram(Precision::Int8)
        };
        let metric = DistanceMetric::DotProduct;
        let collection = Collection::with_context(&limited, 64, metric, options).unwrap();
        let error = collection
            .add_vectors_batch(vectors(&random_rows(1, 9000, 64), 64))
            .unwrap_err();
        assert!(
            matches!(error, VectorizerError::VramLimitExceeded { limit, .. } if limit == 1 << 18),
            "{error}"
        );
        assert_eq!(collection.fallback().unwrap().what, FallbackKind::Refused);
        assert_eq!(collection.stats().ram_bytes, 0);
        // A call that fails has changed nothing.
        collection
            .add_vectors_batch(vectors(&random_rows(1, 50, 64), 64))
            .unwrap();
        assert_eq!(collection.vector_count(), 50);
    }
}
