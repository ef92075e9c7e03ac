//! Copies, and the graph's file, which can be done without.

use super::*;

#[test]
fn a_copy_is_of_one_moment_and_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("one"), folder.path().join("two"));
    let collection = create(&path, DistanceMetric::Cosine);
    collection.add_vectors_batch(vectors(1, 0..300)).unwrap();
    collection.delete("vector 17").unwrap();
    collection.optimize().unwrap();
    collection.add_vectors_batch(vectors(1, 300..320)).unwrap();
    let paths = [SearchPath::Graph, SearchPath::Exact];
    let expected = paths.map(|path| answers(&collection, path));
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
    // The late ones were never linked: without them the copy's graph is the one of then.
    moment.consolidate().unwrap();
    for (path, expected) in paths.into_iter().zip(&expected) {
        assert_eq!(&answers(&moment, path), expected, "{path:?}");
    }
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
