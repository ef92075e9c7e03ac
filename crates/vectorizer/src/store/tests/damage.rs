//! Every byte of the files changed, and the files cut at every length.

use super::*;
use crate::config::{SearchOptions, SearchPath};
use crate::models::SearchResult;

const COUNT: u32 = 90;

/// The files of a small collection with a graph: the store's, and the graph's in its folder.
struct Small {
    folder: tempfile::TempDir,
    store: Vec<u8>,
    graph: Vec<u8>,
    model: Model,
    answers: Vec<Vec<SearchResult>>,
}

fn queries() -> Vec<Vec<f32>> {
    let mut random = fastrand::Rng::with_seed(8);
    (0..6)
        .map(|_| (0..DIMENSION).map(|_| random.f32() * 18.0 - 9.0).collect())
        .collect()
}

/// Through the graph where there is one: whatever it is, few vectors and a wide beam make the answers exact.
fn answers(collection: &Collection) -> Vec<Vec<SearchResult>> {
    let options = SearchOptions {
        path: SearchPath::Graph,
        ef: Some(2 * COUNT as usize),
        with_payload: true,
        ..SearchOptions::default()
    };
    collection
        .search_batch_with(&queries(), 5, &options)
        .unwrap()
}

fn small() -> Small {
    let folder = folder();
    let mut random = fastrand::Rng::with_seed(4);
    let disk = Disk::new(Vec::new());
    let collection = open(folder.path(), &disk, Durability::EveryBatch).unwrap();
    collection.create_payload_index("value").unwrap();
    let vectors: Vec<Vector> = (0..COUNT).map(|id| vector(&mut random, id)).collect();
    let steps = [
        Step::Add(vectors[..60].to_vec()),
        Step::Delete((3..13).map(|id| format!("id-{id}")).collect()),
        Step::Add(vectors[60..].to_vec()),
    ];
    for step in &steps {
        step.run(&collection).unwrap();
    }
    collection.optimize().unwrap();
    let answers = answers(&collection);
    collection.close().unwrap();
    let graph = std::fs::read(folder.path().join("graph.snapshot")).unwrap();
    Small {
        store: disk.bytes(),
        graph,
        model: model_after(&steps),
        answers,
        folder,
    }
}

impl Small {
    /// With this file as its graph's, the collection opens and answers as ever.
    fn opens_with(&self, graph: &[u8], what: &str) {
        std::fs::write(self.folder.path().join("graph.snapshot"), graph).unwrap();
        let disk = Disk::new(self.store.clone());
        let collection = open(self.folder.path(), &disk, Durability::EveryBatch)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        collection
            .check()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answers(&collection), self.answers, "{what}");
        // What was built anew is written as it was the first time.
        collection.close().unwrap();
        let again = std::fs::read(self.folder.path().join("graph.snapshot")).unwrap();
        assert!(again == self.graph, "{what}: another graph was kept");
    }
}

#[test]
fn every_byte_of_a_graphs_file_changed_one_at_a_time() {
    let small = small();
    small.opens_with(&small.graph, "as it was");
    let mut graph = small.graph.clone();
    for place in 0..graph.len() {
        graph[place] ^= 1 << (place % 8);
        small.opens_with(&graph, &format!("byte {place} changed"));
        graph[place] = small.graph[place];
    }
}

#[test]
fn a_graphs_file_cut_at_every_length() {
    let small = small();
    for length in 0..small.graph.len() {
        small.opens_with(&small.graph[..length], &format!("cut to {length}"));
    }
    let longer = [&small.graph[..], &[0]].concat();
    small.opens_with(&longer, "a byte longer");
}

#[test]
fn a_graph_of_something_else_is_built_anew() {
    let small = small();
    // The same rows under another name.
    let other = small.graph.clone();
    let disk = Disk::new(Vec::new());
    let folder = folder();
    let header = Header {
        uuid: "f".repeat(32),
        ..header()
    };
    let store = Store::on(folder.path(), disk, &header, Durability::EveryBatch).unwrap();
    std::fs::write(folder.path().join("graph.snapshot"), &other).unwrap();
    assert!(
        matches!(store.read_graph(), GraphFile::Stale(reason) if reason.contains("another collection"))
    );
    drop(store);
    // An old one: rows were dropped since.
    let disk = Disk::new(small.store.clone());
    let collection = open(small.folder.path(), &disk, Durability::EveryBatch).unwrap();
    collection.delete("id-20").unwrap();
    collection.compact().unwrap();
    collection.close().unwrap();
    let store = || {
        Store::on(
            small.folder.path(),
            disk.clone(),
            &self::header(),
            Durability::EveryBatch,
        )
        .unwrap()
    };
    let says = |expected: &str| {
        let store = store();
        store.read_rows(|_| Ok(())).unwrap();
        let said = format!("{:?}", store.read_graph());
        assert!(said.contains(expected), "{said}");
    };
    says("Good");
    std::fs::write(small.folder.path().join("graph.snapshot"), &small.graph).unwrap();
    says("before rows were dropped");
    // Of another future of the same collection: as many rows, and others.
    let grow = |seed: u64| {
        let disk = Disk::new(small.store.clone());
        std::fs::write(small.folder.path().join("graph.snapshot"), &small.graph).unwrap();
        let collection = open(small.folder.path(), &disk, Durability::EveryBatch).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let more: Vec<Vector> = (COUNT..COUNT + 5)
            .map(|id| vector(&mut random, id))
            .collect();
        collection.add_vectors_batch(more).unwrap();
        collection.optimize().unwrap();
        collection.close().unwrap();
        disk
    };
    let one = grow(1);
    let graph_of_one = std::fs::read(small.folder.path().join("graph.snapshot")).unwrap();
    let two = grow(2);
    std::fs::write(small.folder.path().join("graph.snapshot"), &graph_of_one).unwrap();
    for (disk, expected) in [(one, "Good"), (two, "other rows")] {
        let store = Store::on(
            small.folder.path(),
            disk,
            &self::header(),
            Durability::EveryBatch,
        )
        .unwrap();
        store.read_rows(|_| Ok(())).unwrap();
        let said = format!("{:?}", store.read_graph());
        assert!(said.contains(expected), "{said}");
    }
}

/// Bytes of the store are changed at places this far apart; `VECTORIZER_DAMAGE=1` changes every one.
fn stride() -> usize {
    match std::env::var("VECTORIZER_DAMAGE") {
        Ok(every) => every.parse().unwrap(),
        Err(_) => 61,
    }
}

#[test]
fn a_changed_byte_of_the_store_is_seen_or_does_no_harm() {
    let small = small();
    let (mut seen, mut harmless) = (0, 0);
    for place in (0..small.store.len()).step_by(stride()) {
        let mut bytes = small.store.clone();
        bytes[place] ^= 1 << (place % 8);
        let opened = open(
            small.folder.path(),
            &Disk::new(bytes),
            Durability::EveryBatch,
        );
        match opened {
            Err(
                VectorizerError::StoreDamaged { .. }
                | VectorizerError::UnsupportedFormat { .. }
                | VectorizerError::StoreFailed { .. },
            ) => seen += 1,
            Err(error) => panic!("byte {place}: {error}"),
            Ok(collection) => {
                assert!(
                    contents(&collection, &[&small.model]) == small.model,
                    "byte {place}: other contents"
                );
                assert_eq!(collection.payload_indexes(), ["value"], "byte {place}");
                harmless += 1;
            }
        }
    }
    assert!(seen > 0 && harmless > 0, "{seen} seen, {harmless} harmless");
}

#[test]
fn a_store_cut_short_is_seen() {
    let small = small();
    for length in (0..small.store.len()).step_by(stride() * 8) {
        let disk = Disk::new(small.store[..length].to_vec());
        match open(small.folder.path(), &disk, Durability::EveryBatch) {
            // An empty file is an empty disk.
            Ok(collection) => assert!(
                length == 0 && collection.vector_count() == 0,
                "cut to {length}"
            ),
            Err(VectorizerError::StoreDamaged { .. } | VectorizerError::StoreFailed { .. }) => {}
            Err(error) => panic!("cut to {length}: {error}"),
        }
    }
}
