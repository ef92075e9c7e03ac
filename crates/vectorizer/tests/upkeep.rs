//! When the graph is linked, cleared of the dead and written to its file: at the sizes that the documentation names, not before and not after.
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

use std::fs;
use std::ops::Range;
use std::path::Path;

use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig};
use vectorizer::gpu::context::Context;
use vectorizer::models::DistanceMetric;
use vectorizer::store::Durability;

const METRIC: DistanceMetric = DistanceMetric::Euclidean;

/// A graph that costs little.
fn options() -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig {
            ef_construction: 8,
            ..HnswConfig::with_connections(2)
        },
        threads: 1,
        ..CollectionOptions::default()
    }
}

fn in_memory() -> Collection {
    Collection::with_context(&Context::cpu(), 1, METRIC, options()).unwrap()
}

fn on_disk(path: &Path) -> Collection {
    let durability = Durability::OnFlush;
    Collection::create_with(path, &Context::cpu(), 1, METRIC, options(), durability).unwrap()
}

fn ids(numbers: Range<u16>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

fn add(collection: &Collection, numbers: Range<u16>) {
    let rows: Vec<f32> = numbers.clone().map(f32::from).collect();
    collection.add_rows(&ids(numbers), &rows).unwrap();
}

/// Nothing is wrong with the files, and nothing has to be built when they are opened; how many the graph's file links.
fn linked_in(path: &Path) -> Option<u64> {
    let report = Collection::check_files(path).unwrap();
    assert_eq!(
        (report.problems, report.will_be_rebuilt),
        (Vec::<String>::new(), Vec::new())
    );
    Collection::describe(path).unwrap().linked
}

#[test]
fn the_dead_are_taken_out_when_they_are_many_and_a_quarter() {
    let few = in_memory();
    add(&few, 0..400);
    few.optimize().unwrap();
    few.delete_batch(&ids(0..300)).unwrap();
    assert_eq!(few.stats().dead_slots, 300);

    let many = in_memory();
    add(&many, 0..6000);
    for (numbers, dead) in [(0..1023, 1023), (1023..1024, 1024), (1024..1499, 1499)] {
        many.delete_batch(&ids(numbers)).unwrap();
        assert_eq!(many.stats().dead_slots, dead);
    }
    many.delete("1499").unwrap();
    let stats = many.stats();
    assert_eq!((stats.dead_slots, stats.graph.count), (0, 4500));
    many.check().unwrap();
}

#[test]
fn a_long_tail_is_linked_and_a_graph_twice_as_large_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let graph = path.join("graph.snapshot");
    let collection = on_disk(&path);
    let linked = || collection.stats().graph.linked;
    add(&collection, 0..4095);
    assert_eq!((linked(), graph.exists()), (0, false));
    add(&collection, 4095..4096);
    assert_eq!(linked(), 4096);
    let first = fs::read(&graph).unwrap();
    add(&collection, 4096..5119);
    assert_eq!(linked(), 4096);
    add(&collection, 5119..5120);
    assert_eq!(linked(), 5120);
    assert!(fs::read(&graph).unwrap() == first, "written too often");
    add(&collection, 5120..8192);
    assert_eq!(linked(), 8192);
    assert!(fs::read(&graph).unwrap() != first, "not written");
    collection.close().unwrap();
    assert_eq!(linked_in(&path), Some(8192));
}

#[test]
fn a_graph_of_as_many_vectors_as_that_in_its_file_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let graph = path.join("graph.snapshot");
    let collection = on_disk(&path);
    // In an order of their own and in two parts, so that a graph of all at once is another.
    let rows = |numbers: Range<u16>| -> Vec<f32> {
        let mixed = numbers.map(|number| f32::from(number * 77 % 1009));
        mixed.collect()
    };
    collection.add_rows(&ids(0..300), &rows(0..300)).unwrap();
    collection.optimize().unwrap();
    collection
        .add_rows(&ids(300..600), &rows(300..600))
        .unwrap();
    collection.optimize().unwrap();
    let grown = fs::read(&graph).unwrap();
    collection.rebuild_hnsw_graph().unwrap();
    assert!(fs::read(&graph).unwrap() != grown, "the old one is there");
    // Only vectors that were not linked go: it links as many as before, of other rows.
    add(&collection, 2000..2005);
    collection.delete_batch(&ids(2001..2003)).unwrap();
    collection.consolidate().unwrap();
    collection.close().unwrap();
    assert_eq!(linked_in(&path), Some(600));
}

#[test]
fn what_a_killed_program_left_of_a_graphs_file_is_no_part_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let collection = on_disk(&path);
    add(&collection, 0..300);
    fs::write(path.join("graph.snapshot.part"), vec![7; 1 << 20]).unwrap();
    collection.optimize().unwrap();
    collection.close().unwrap();
    assert_eq!(linked_in(&path), Some(300));
    assert!(!path.join("graph.snapshot.part").exists());
}

#[test]
fn a_flush_is_of_the_vectors_where_there_is_no_graph_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("collection"), folder.path().join("copy"));
    let collection = on_disk(&path);
    add(&collection, 0..10);
    collection.flush().unwrap();
    // What a crash would leave: nobody has closed it.
    fs::create_dir(&copy).unwrap();
    let store = "collection.redb";
    fs::copy(path.join(store), copy.join(store)).unwrap();
    assert_eq!(Collection::open(&copy).unwrap().vector_count(), 10);
}
