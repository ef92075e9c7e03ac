//! Closed and opened again: what is there then, and what cannot be opened.

use super::*;

#[test]
fn what_was_put_in_is_there_after_closing_and_after_no_closing_with_ties_in_order() {
    for metric in METRICS {
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
    // Below a file there is no collection, which is no failure of the disk.
    assert!(matches!(
        open(&file.join("below")).map(drop),
        Err(VectorizerError::StoreMissing { .. })
    ));
}

#[test]
fn a_graph_with_copies_is_read_and_not_built_again() {
    for metric in METRICS {
        let folder = tempfile::tempdir().unwrap();
        let collection = create(folder.path(), metric);
        let mut all = vectors(1, 0..600);
        let copied: Vec<_> = all.iter().step_by(7).map(|of| of.data.clone()).collect();
        for (number, vector) in all.iter_mut().enumerate().filter(|(n, _)| n % 2 == 1) {
            vector.data.clone_from(&copied[number % copied.len()]);
        }
        collection.add_vectors_batch(&all).unwrap();
        collection.optimize().unwrap();
        // The first of some are gone, and their copies stay.
        collection
            .delete_batch(&["vector 0", "vector 7", "vector 14"])
            .unwrap();
        let wide = SearchOptions {
            path: SearchPath::Graph,
            ef: Some(200),
            ..SearchOptions::default()
        };
        let answers = |collection: &Collection| {
            let asked = copied.iter().take(20);
            let asked = asked.map(|query| collection.search_with(query, 9, &wide).unwrap());
            asked.collect::<Vec<_>>()
        };
        let expected = answers(&collection);
        for hits in &expected {
            assert_eq!(hits.len(), 9);
        }
        let linked = collection.stats().graph.linked;
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
        )
        .unwrap();
        assert!(
            !seen.iter().any(|now| matches!(now, Opening::Linking(_))),
            "{metric}: {seen:?}"
        );
        assert_eq!(opened.stats().graph.linked, linked);
        opened.check().unwrap();
        assert_eq!(answers(&opened), expected, "{metric}");
        opened.optimize().unwrap();
        opened.check().unwrap();
        let exact = SearchOptions {
            path: SearchPath::Exact,
            ..wide.clone()
        };
        for query in copied.iter().take(20) {
            assert_eq!(
                opened.search_with(query, 9, &wide).unwrap(),
                opened.search_with(query, 9, &exact).unwrap(),
                "{metric}"
            );
        }
        drop(opened);
        let report = Collection::check_files(folder.path()).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}
