//! The graph's file where it is out of date: that is no damage, and nothing stays of it.

use super::*;

fn clean(path: &Path) {
    let report = Collection::check_files(path).unwrap();
    assert_eq!(
        (report.problems, report.will_be_rebuilt),
        (Vec::<String>::new(), Vec::new())
    );
}

#[test]
fn a_collection_that_was_emptied_has_no_graph_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let graph = path.join("graph.snapshot");
    let collection = create(&path, DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..300)).unwrap();
    collection.optimize().unwrap();
    assert!(graph.exists());
    collection.delete_by(&Filter::default()).unwrap();
    collection.compact().unwrap();
    assert!(!graph.exists());
    collection.close().unwrap();
    clean(&path);
    assert_eq!(Collection::describe(&path).unwrap().linked, None);
    open(&path).unwrap().close().unwrap();
    clean(&path);
}

#[test]
fn a_left_over_graph_goes_when_a_collection_is_made_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, copy) = (
        folder.path().join("old"),
        folder.path().join("new"),
        folder.path().join("copy"),
    );
    let collection = create(&old, DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..300)).unwrap();
    collection.optimize().unwrap();
    collection.close().unwrap();
    for path in [&new, &copy] {
        fs::create_dir(path).unwrap();
        fs::copy(old.join("graph.snapshot"), path.join("graph.snapshot")).unwrap();
    }
    let made = create(&new, DistanceMetric::Euclidean);
    made.snapshot(&copy).unwrap();
    made.close().unwrap();
    clean(&new);
    clean(&copy);
}

#[test]
fn a_graph_from_before_a_compaction_is_built_again_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let graph = path.join("graph.snapshot");
    let collection = create(&path, DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..300)).unwrap();
    collection.optimize().unwrap();
    let before = fs::read(&graph).unwrap();
    collection.delete("vector 7").unwrap();
    collection.compact().unwrap();
    collection.close().unwrap();
    clean(&path);
    fs::write(&graph, &before).unwrap();
    let report = Collection::check_files(&path).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(
        report.will_be_rebuilt[0].contains("from before rows were dropped"),
        "{report:?}"
    );
    assert_eq!(Collection::describe(&path).unwrap().linked, None);
    let opened = open(&path).unwrap();
    assert_eq!(opened.stats().graph.linked, 299);
    opened.close().unwrap();
    clean(&path);
    // Bytes that are not what was written are damage, though they cost nothing else.
    let mut bytes = fs::read(&graph).unwrap();
    bytes[200] ^= 1;
    fs::write(&graph, &bytes).unwrap();
    assert_eq!(Collection::check_files(&path).unwrap().problems.len(), 1);
}

#[test]
fn compacting_vectors_that_came_one_by_one_keeps_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    for size in [1, 2500] {
        let path = folder.path().join(format!("by {size}"));
        let context = Context::cpu();
        let metric = DistanceMetric::Euclidean;
        let durability = Durability::OnFlush;
        let collection =
            Collection::create_with(&path, &context, DIMENSION, metric, options(), durability)
                .unwrap();
        for batch in vectors(1, 0..2500).chunks(size) {
            collection.add_vectors_batch(batch).unwrap();
        }
        collection.compact().unwrap();
        let expected = answers(&collection, SearchPath::Graph);
        collection.close().unwrap();
        clean(&path);
        let stats = Collection::describe(&path).unwrap();
        assert_eq!(stats.linked, Some(2500));
        let opened = open(&path).unwrap();
        assert_eq!(answers(&opened, SearchPath::Graph), expected);
    }
}
