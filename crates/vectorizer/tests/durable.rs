//! Collections on disk, as callers see them.
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "tests compare exact values of small data"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use vectorizer::collection::{Collection, Means, OpenOptions, Opening};
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, SearchResult, Vector};
use vectorizer::store::Durability;

const DIMENSION: usize = 8;

fn options() -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 6,
            ef_construction: 40,
            ..HnswConfig::default()
        },
        seed: 77,
        threads: 1,
        ..CollectionOptions::default()
    }
}

fn create(path: &Path, metric: DistanceMetric) -> Collection {
    let context = Context::cpu();
    Collection::create_with(
        path,
        &context,
        DIMENSION,
        metric,
        options(),
        Durability::EveryBatch,
    )
    .unwrap()
}

fn open(path: &Path) -> Result<Collection, VectorizerError> {
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    Collection::open_with(
        path,
        &Context::cpu(),
        options,
        |_| ControlFlow::Continue(()),
    )
}

/// Few values, so that there are ties; not whole, so that Cosine has something to restore.
fn vectors(seed: u64, ids: std::ops::Range<u32>) -> Vec<Vector> {
    let mut random = fastrand::Rng::with_seed(seed);
    ids.map(|id| Vector {
        id: format!("vector {id}"),
        data: (0..DIMENSION)
            .map(|_| f32::from(random.i8(-2..3)) * 0.3)
            .collect(),
        payload: random
            .bool()
            .then(|| json!({ "number": id, "even": id % 2 == 0 }).into()),
    })
    .collect()
}

fn answers(collection: &Collection, path: SearchPath) -> Vec<Vec<SearchResult>> {
    let options = SearchOptions {
        path,
        with_payload: true,
        ..SearchOptions::default()
    };
    let queries: Vec<Vec<f32>> = vectors(9, 0..30)
        .into_iter()
        .map(|vector| vector.data)
        .collect();
    collection
        .search_batch_with(&queries, 12, &options)
        .unwrap()
}

#[test]
fn what_was_put_in_is_there_after_closing_and_after_no_closing_with_ties_in_order() {
    for metric in [
        DistanceMetric::Euclidean,
        DistanceMetric::Cosine,
        DistanceMetric::DotProduct,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("collection");
        let collection = create(&path, metric);
        collection.add_vectors_batch(vectors(1, 0..700)).unwrap();
        for id in 700..720 {
            collection
                .add_vectors_batch(vectors(u64::from(id), id..id + 1))
                .unwrap();
        }
        collection
            .upsert_vectors_batch(vectors(2, 100..160))
            .unwrap();
        collection
            .delete_batch(&["vector 5", "vector 110", "vector 719"])
            .unwrap();
        collection
            .set_payload("vector 6", Some(json!("six").into()))
            .unwrap();
        collection.set_payload("vector 7", None).unwrap();
        collection.optimize().unwrap();
        collection.add_vectors_batch(vectors(3, 720..900)).unwrap();
        collection.delete("vector 800").unwrap();
        let expected = [
            answers(&collection, SearchPath::Graph),
            answers(&collection, SearchPath::Exact),
        ];
        let all: Vec<Vector> = (0..900)
            .filter_map(|id| collection.get_vector(&format!("vector {id}")).ok())
            .collect();
        assert_eq!(all.len(), 896);
        let stats = collection.stats();
        collection.close().unwrap();
        // Opened twice: once as it was closed, once as it was dropped.
        for _ in 0..2 {
            let collection = open(&path).unwrap();
            assert_eq!(collection.options().hnsw, options().hnsw);
            assert_eq!(
                (
                    collection.options().seed,
                    collection.metric(),
                    collection.dimension()
                ),
                (77, metric, DIMENSION)
            );
            assert_eq!(collection.vector_count(), 896);
            let again = collection.stats();
            assert_eq!(
                (again.dead_slots, again.graph.linked),
                (stats.dead_slots, stats.graph.linked)
            );
            assert_eq!(
                answers(&collection, SearchPath::Graph),
                expected[0],
                "{metric}"
            );
            assert_eq!(
                answers(&collection, SearchPath::Exact),
                expected[1],
                "{metric}"
            );
            for vector in &all {
                assert_eq!(&collection.get_vector(&vector.id).unwrap(), vector);
            }
        }
        let report = Collection::check_files(&path).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(
            (report.vectors, report.dead, report.linked),
            (896, 1, Some(717))
        );
    }
}

#[test]
fn one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let in_use = Err(VectorizerError::StoreInUse {
        path: path.display().to_string(),
    });
    let missing = Err(VectorizerError::StoreMissing {
        path: path.display().to_string(),
    });
    assert_eq!(open(&path).map(drop), missing);
    assert_eq!(Collection::check_files(&path).map(drop), missing);
    assert_eq!(Collection::describe(&path).map(drop), missing);
    let first = create(&path, DistanceMetric::Euclidean);
    assert_eq!(open(&path).map(drop), in_use);
    assert_eq!(Collection::check_files(&path).map(drop), in_use);
    first.add_vectors_batch(vectors(1, 0..3)).unwrap();
    first.close().unwrap();
    let again = Collection::create(&path, DIMENSION, DistanceMetric::Euclidean).map(drop);
    assert_eq!(
        again.unwrap_err(),
        VectorizerError::StoreExists {
            path: path.display().to_string()
        }
    );
    assert_eq!(open(&path).unwrap().vector_count(), 3);
}

#[test]
fn an_id_is_unique_across_closings_and_a_refused_batch_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let collection = create(folder.path(), DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..10)).unwrap();
    drop(collection);
    let collection = open(folder.path()).unwrap();
    let mut batch = vectors(2, 10..20);
    batch.extend(vectors(2, 4..5));
    let error = collection.add_vectors_batch(&batch).unwrap_err();
    assert_eq!(
        error,
        VectorizerError::DuplicateId {
            id: "vector 4".to_owned()
        }
    );
    batch.pop();
    batch[3].data[2] = f32::NAN;
    collection.add_vectors_batch(&batch).unwrap_err();
    drop(collection);
    assert_eq!(open(folder.path()).unwrap().vector_count(), 10);
}

#[test]
fn a_copy_is_of_one_moment_and_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("one"), folder.path().join("two"));
    let collection = create(&path, DistanceMetric::Cosine);
    collection.add_vectors_batch(vectors(1, 0..300)).unwrap();
    collection.delete("vector 17").unwrap();
    collection.optimize().unwrap();
    collection.add_vectors_batch(vectors(1, 300..320)).unwrap();
    let expected = answers(&collection, SearchPath::Graph);
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| {
            for id in 320..400 {
                collection
                    .add_vectors_batch(vectors(4, id..id + 1))
                    .unwrap();
            }
        });
        for number in 0..5 {
            collection
                .snapshot(folder.path().join(format!("live {number}")))
                .unwrap();
        }
        adding.join().unwrap();
    });
    for number in 0..5 {
        let copy = open(&folder.path().join(format!("live {number}"))).unwrap();
        // A batch was one vector: whatever the moment, the first so many are there.
        let count = u32::try_from(copy.vector_count()).unwrap() + 1;
        assert!((320..=400).contains(&count) && !copy.contains("vector 17"));
        assert!((18..count).all(|id| copy.contains(&format!("vector {id}"))));
        copy.check().unwrap();
    }
    let moment = open(&folder.path().join("live 0")).unwrap();
    let late: Vec<String> = (320..400).map(|id| format!("vector {id}")).collect();
    moment.delete_present(&late).unwrap();
    assert_eq!(answers(&moment, SearchPath::Graph).len(), expected.len());
    collection.snapshot(&copy).unwrap();
    assert!(matches!(
        collection.snapshot(&copy),
        Err(VectorizerError::StoreExists { .. })
    ));
    // Neither knows of what becomes of the other.
    collection.delete("vector 20").unwrap();
    let copy_opened = open(&copy).unwrap();
    copy_opened.delete("vector 21").unwrap();
    assert!(collection.contains("vector 21") && copy_opened.contains("vector 20"));
    drop((collection, copy_opened));
    for path in [&path, &copy] {
        assert_eq!(
            Collection::check_files(path).unwrap().problems,
            Vec::<String>::new()
        );
    }
    let uuid = |path: &Path| Collection::describe(path).unwrap().uuid;
    assert_ne!(uuid(&path), uuid(&copy));
    let in_memory =
        Collection::with_context(&Context::cpu(), 2, DistanceMetric::Cosine, options()).unwrap();
    assert_eq!(
        in_memory.snapshot(folder.path().join("three")),
        Err(VectorizerError::NotDurable)
    );
    in_memory.flush().unwrap();
    in_memory.close().unwrap();
}

#[test]
fn compacting_gives_room_back_and_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let collection = create(folder.path(), DistanceMetric::Euclidean);
    let mut wide = vectors(1, 0..3000);
    for vector in &mut wide {
        vector.payload = Some(json!("x".repeat(200)).into());
    }
    for batch in wide.chunks(500) {
        collection.add_vectors_batch(batch).unwrap();
    }
    let gone: Vec<String> = (0..3000)
        .filter(|id| id % 10 != 3)
        .map(|id| format!("vector {id}"))
        .collect();
    collection.delete_batch(&gone[..100]).unwrap();
    collection.close().unwrap();
    let before = Collection::describe(folder.path()).unwrap();
    assert_eq!(
        (before.vectors, before.dead, before.payloads),
        (2900, 100, 2900)
    );
    let collection = open(folder.path()).unwrap();
    collection.delete_batch(&gone[100..]).unwrap();
    let expected = answers(&collection, SearchPath::Exact);
    collection.compact().unwrap();
    assert_eq!(collection.stats().dead_slots, 0);
    assert_eq!(answers(&collection, SearchPath::Exact), expected);
    collection.close().unwrap();
    let after = Collection::describe(folder.path()).unwrap();
    assert_eq!(
        (after.vectors, after.dead, after.linked),
        (300, 0, Some(300))
    );
    assert!(
        after.store_bytes * 2 < before.store_bytes,
        "{} of {}",
        after.store_bytes,
        before.store_bytes
    );
    let collection = open(folder.path()).unwrap();
    assert_eq!(answers(&collection, SearchPath::Exact), expected);
    drop(collection);
    assert_eq!(
        Collection::check_files(folder.path()).unwrap().problems,
        Vec::<String>::new()
    );
}

#[test]
fn progress_is_told_and_can_stop_the_opening() {
    let folder = tempfile::tempdir().unwrap();
    let collection = create(folder.path(), DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..500)).unwrap();
    collection.close().unwrap();
    let mut seen = Vec::new();
    let opened = Collection::open_with(
        folder.path(),
        &Context::cpu(),
        OpenOptions::default(),
        |now| {
            seen.push(now);
            ControlFlow::Continue(())
        },
    );
    drop(opened.unwrap());
    assert_eq!(
        seen.last(),
        Some(&Opening::Reading {
            done: 500,
            total: 500
        })
    );
    let stopped = Collection::open_with(
        folder.path(),
        &Context::cpu(),
        OpenOptions::default(),
        |_| ControlFlow::Break(()),
    );
    assert_eq!(stopped.map(drop), Err(VectorizerError::Cancelled));
    assert_eq!(open(folder.path()).unwrap().vector_count(), 500);
}

#[test]
fn a_lost_graph_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let collection = create(folder.path(), DistanceMetric::Euclidean);
    // Enough for a graph without being asked.
    collection.add_vectors_batch(vectors(1, 0..4200)).unwrap();
    assert_eq!(collection.stats().graph.linked, 4200);
    collection.close().unwrap();
    let graph = folder.path().join("graph.snapshot");
    let kept = fs::read(&graph).unwrap();
    fs::remove_file(&graph).unwrap();
    let mut linked = 0;
    let opened = Collection::open_with(
        folder.path(),
        &Context::cpu(),
        OpenOptions::default(),
        |now| {
            if let Opening::Linking(progress) = now {
                linked = progress.linked;
            }
            ControlFlow::Continue(())
        },
    );
    opened.unwrap().close().unwrap();
    assert_eq!(linked, 4200);
    assert!(
        fs::read(&graph).unwrap() == kept,
        "the same rows gave another graph"
    );
}

#[test]
fn a_folder_that_is_no_collection_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("collection.redb"),
        b"something else altogether",
    )
    .unwrap();
    assert!(matches!(
        open(folder.path()).map(drop),
        Err(VectorizerError::StoreDamaged { .. })
    ));
    // What an interrupted try left is no obstacle.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("collection.redb.part"), b"half a file").unwrap();
    create(folder.path(), DistanceMetric::Euclidean)
        .close()
        .unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, b"").unwrap();
    let error = Collection::create(&file, 3, DistanceMetric::Euclidean)
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, VectorizerError::StoreFailed { .. }),
        "{error}"
    );
}

#[test]
fn a_graph_that_cannot_be_written_costs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let collection = create(folder.path(), DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..300)).unwrap();
    // A folder stands where the file is written first.
    fs::create_dir(folder.path().join("graph.snapshot.part")).unwrap();
    collection.optimize().unwrap();
    collection.add_vectors_batch(vectors(1, 300..310)).unwrap();
    assert!(matches!(
        collection.flush(),
        Err(VectorizerError::StoreFailed { .. })
    ));
    assert!(matches!(
        collection.close(),
        Err(VectorizerError::StoreFailed { .. })
    ));
    fs::remove_dir(folder.path().join("graph.snapshot.part")).unwrap();
    assert_eq!(open(folder.path()).unwrap().vector_count(), 310);
}

/// By which means a filter on each of two fields is answered, and how many vectors pass.
fn answered(collection: &Collection) -> Vec<(Means, u64)> {
    ["even", "of.three"]
        .iter()
        .map(|key| {
            let explanation = collection
                .explain(&Filter::must([Condition::equals(*key, true)]))
                .unwrap();
            (explanation.steps[0].means, explanation.steps[0].held)
        })
        .collect()
}

#[test]
fn fields_stay_indexed_when_a_collection_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("one"), folder.path().join("two"));
    let collection = create(&path, DistanceMetric::Euclidean);
    let vectors: Vec<Vector> = (0..60u8)
        .map(|number| Vector {
            id: number.to_string(),
            data: vec![f32::from(number); DIMENSION],
            payload: Some(
                json!({"even": number % 2 == 0, "of": {"three": number % 3 == 0}}).into(),
            ),
        })
        .collect();
    collection.add_vectors_batch(&vectors[..30]).unwrap();
    collection.close().unwrap();
    // What no index was ever made in is of the first version, which earlier programs read.
    let stats = Collection::describe(&path).unwrap();
    assert_eq!((stats.format, stats.payload_indexes.len()), (1, 0));

    let collection = open(&path).unwrap();
    let (scan, index) = (Means::Scan, Means::Index);
    assert_eq!(answered(&collection), [(scan, 15), (scan, 10)]);
    collection.create_payload_index("of.three").unwrap();
    collection.create_payload_index("even").unwrap();
    collection.add_vectors_batch(&vectors[30..]).unwrap();
    collection.delete_batch(&["0", "1", "2", "3"]).unwrap();
    assert_eq!(answered(&collection), [(index, 28), (index, 18)]);
    collection.snapshot(&copy).unwrap();
    collection.close().unwrap();
    let stats = Collection::describe(&path).unwrap();
    assert_eq!(stats.format, 2);
    assert_eq!(stats.payload_indexes, ["even", "of.three"]);
    assert_eq!(Collection::check_files(&path).unwrap().problems, [""; 0]);

    for path in [&path, &copy] {
        let collection = open(path).unwrap();
        assert_eq!(collection.payload_indexes(), ["even", "of.three"]);
        assert_eq!(answered(&collection), [(index, 28), (index, 18)]);
        // An index follows what changes after opening, too.
        collection.compact().unwrap();
        collection.delete("6").unwrap();
        assert_eq!(answered(&collection), [(index, 27), (index, 17)]);
        assert!(collection.drop_payload_index("even").unwrap());
        collection.close().unwrap();
        let collection = open(path).unwrap();
        assert_eq!(answered(&collection), [(scan, 27), (index, 17)]);
        assert!(collection.drop_payload_index("of.three").unwrap());
        collection.close().unwrap();
        let collection = open(path).unwrap();
        assert_eq!(collection.payload_indexes(), [""; 0]);
        assert_eq!(answered(&collection), [(scan, 27), (scan, 17)]);
    }
}
