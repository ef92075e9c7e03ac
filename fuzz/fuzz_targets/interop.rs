//! Files of hnswlib's and JSON lines: refused, or a collection that keeps its rules.
#![no_main]

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;

use tempfile::TempDir;
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig};
use vectorizer::gpu::context::Context;
use vectorizer::interop::{hnswlib, jsonl};
use vectorizer::models::DistanceMetric;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fn import(kind: u8, path: &Path) {
    let hnsw = HnswConfig {
        max_connections: 2,
        ..HnswConfig::default()
    };
    let options = CollectionOptions {
        hnsw,
        threads: 1,
        ..CollectionOptions::default()
    };
    let metric = DistanceMetric::Euclidean;
    let collection =
        Collection::with_context(&Context::cpu(), 2, metric, options).expect("a collection");
    let go = |_| ControlFlow::Continue(());
    let came = if kind == b'h' {
        hnswlib::import(&collection, path, None, go).map(|imported| imported.vectors)
    } else {
        jsonl::import(&collection, path, true, go)
    };
    if came.is_ok() {
        collection.check().expect("a graph that keeps its rules");
        let all = collection.vectors(None).count();
        assert_eq!(all, collection.vector_count());
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
            made.expect("a folder for the files")
        });
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).expect("the file can be written");
        import(*kind, &path);
    });
});
