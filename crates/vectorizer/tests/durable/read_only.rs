//! Collections that are read and not changed.

use vectorizer::interop::hnswlib;

use super::*;

fn read_only(path: &Path) -> Result<Collection, VectorizerError> {
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    Collection::open_read_only_with(
        path,
        &Context::cpu(),
        options,
        |_| ControlFlow::Continue(()),
    )
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    files.sort_unstable();
    files
}

#[test]
fn many_read_at_once_and_none_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let collection = create(&path, DistanceMetric::Cosine);
    collection.add_vectors_batch(vectors(1, 0..4000)).unwrap();
    collection.optimize().unwrap();
    // Some dead, and a tail.
    let dead: Vec<String> = (0..1000).map(|id| format!("vector {id}")).collect();
    collection
        .add_vectors_batch(vectors(2, 4000..4010))
        .unwrap();
    collection.create_payload_index("even").unwrap();
    collection.close().unwrap();
    let opened = open(&path).unwrap();
    opened.delete_batch(&dead).unwrap();
    opened.close().unwrap();
    let before = files(&path);
    let one = read_only(&path).unwrap();
    let other = read_only(&path).unwrap();
    assert!(one.is_read_only() && one.vector_count() == 3010);
    for path in [SearchPath::Graph, SearchPath::Exact] {
        assert_eq!(answers(&one, path), answers(&other, path));
    }
    let even = Filter::must([Condition::equals("even", true)]);
    assert_eq!(one.count(&even).unwrap(), other.count(&even).unwrap());
    let refused = Err(VectorizerError::StoreReadOnly {
        path: path.display().to_string(),
    });
    assert_eq!(one.add_vectors_batch(vectors(3, 5000..5001)), refused);
    assert_eq!(one.upsert_vectors_batch(vectors(3, 2000..2001)), refused);
    assert_eq!(one.delete("vector 2000"), refused);
    assert_eq!(one.set_payload("vector 2000", None), refused);
    assert_eq!(one.create_payload_index("number"), refused);
    assert_eq!(one.consolidate(), refused);
    assert_eq!(one.compact().map(drop), refused);
    assert!(one.contains("vector 2000") && !one.contains("vector 5000"));
    one.flush().unwrap();
    // What was deleted cannot be taken out here, and goes along as hnswlib marks it.
    let out = folder.path().join("index.bin");
    let go = |_| ControlFlow::Continue(());
    assert_eq!(hnswlib::export(&one, &out, go).unwrap().vectors, 3010);
    let back = Collection::new(DIMENSION, DistanceMetric::Cosine).unwrap();
    assert_eq!(
        hnswlib::import(&back, &out, None, go).unwrap().vectors,
        3010
    );
    assert!(back.vector_count() == 3010);
    one.snapshot(folder.path().join("copy")).unwrap();
    assert_eq!(
        answers(
            &open(&folder.path().join("copy")).unwrap(),
            SearchPath::Exact
        ),
        answers(&other, SearchPath::Exact)
    );
    // Who writes has it alone.
    assert!(matches!(
        open(&path).map(drop),
        Err(VectorizerError::StoreInUse { .. })
    ));
    assert_eq!(Collection::describe(&path).unwrap().vectors, 3010);
    one.close().unwrap();
    drop(other);
    assert!(files(&path) == before, "reading changed a file");
    let writing = open(&path).unwrap();
    assert!(matches!(
        read_only(&path).map(drop),
        Err(VectorizerError::StoreInUse { .. })
    ));
    drop(writing);
}

#[test]
fn a_graph_without_its_file_is_built_for_who_only_reads_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let collection = create(&path, DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..4200)).unwrap();
    collection.delete("vector 9").unwrap();
    collection.close().unwrap();
    fs::remove_file(path.join("graph.snapshot")).unwrap();
    let before = files(&path);
    let opened = read_only(&path).unwrap();
    let stats = opened.stats();
    assert_eq!((stats.graph.linked, stats.dead_slots), (4200, 1));
    opened.close().unwrap();
    assert!(files(&path) == before, "reading changed a file");
}

#[test]
fn what_was_not_closed_is_repaired_by_who_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("one"), folder.path().join("two"));
    let collection = create(&path, DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..10)).unwrap();
    // As after a crash.
    fs::create_dir(&copy).unwrap();
    fs::copy(path.join("collection.redb"), copy.join("collection.redb")).unwrap();
    let not_closed = Err(VectorizerError::StoreNotClosed {
        path: copy.display().to_string(),
    });
    assert_eq!(read_only(&copy).map(drop), not_closed);
    assert_eq!(Collection::describe(&copy).unwrap().vectors, 10);
    assert_eq!(read_only(&copy).unwrap().vector_count(), 10);
}
