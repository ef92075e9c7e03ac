//! A program may change its folder: a collection stays where it was. Alone in its process, since the folder is of the whole process.
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

use std::fs;
use std::ops::ControlFlow;

use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::CollectionOptions;
use vectorizer::gpu::context::Context;
use vectorizer::models::DistanceMetric;
use vectorizer::store::Durability;

#[test]
fn a_collection_stays_where_it_was_when_the_program_goes_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (here, there) = (root.join("here"), root.join("there"));
    let rows: Vec<f32> = (0..400u16).map(f32::from).collect();
    let ids: Vec<String> = (0..400).map(|id| id.to_string()).collect();
    for place in [&here, &there] {
        fs::create_dir(place).unwrap();
        std::env::set_current_dir(place).unwrap();
        let collection = Collection::create_with(
            "words",
            &Context::cpu(),
            1,
            DistanceMetric::Euclidean,
            CollectionOptions::default(),
            Durability::EveryBatch,
        )
        .unwrap();
        assert_eq!(collection.path(), Some(place.join("words").as_path()));
        collection.add_rows(&ids, &rows).unwrap();
        collection.optimize().unwrap();
        collection.close().unwrap();
    }
    let other = fs::read(there.join("words/graph.snapshot")).unwrap();
    std::env::set_current_dir(&here).unwrap();
    let options = OpenOptions::default();
    let collection = Collection::open_with("words", &Context::cpu(), options, |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    std::env::set_current_dir(&there).unwrap();
    collection.delete_batch(&ids[..100]).unwrap();
    collection.compact().unwrap();
    // A snapshot's path is of where the program is when it is called.
    collection.snapshot("copy").unwrap();
    collection.close().unwrap();
    assert!(fs::read(there.join("words/graph.snapshot")).unwrap() == other);
    assert!(there.join("copy/collection.redb").is_file());
    for (path, vectors) in [(&here, 300), (&there, 400)] {
        let report = Collection::check_files(path.join("words")).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!((report.vectors, report.linked), (vectors, Some(vectors)));
    }
    std::env::set_current_dir(&root).unwrap();
}
