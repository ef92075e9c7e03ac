//! What the fuzz targets share: bytes as a file, and a collection that takes what is in it.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;

use tempfile::TempDir;
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig};
use vectorizer::error::Result;
use vectorizer::gpu::context::Context;
use vectorizer::interop::Moved;
use vectorizer::models::DistanceMetric;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Calls `read` with a file of these bytes, in memory where there is such a place.
pub fn as_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
            made.expect("a folder for the files")
        });
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("the file can be written");
        read(&path);
    });
}

/// A file comes into a collection of two dimensions: refused, or the collection keeps its rules and has what it counts.
pub fn come_in(import: impl FnOnce(&Collection, fn(Moved) -> ControlFlow<()>) -> Result<usize>) {
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
    let came = import(&collection, |_| ControlFlow::Continue(()));
    let all = collection.vectors(None).count();
    assert_eq!(all, collection.vector_count());
    if came.is_ok() {
        collection.check().expect("a graph that keeps its rules");
        collection
            .search(&[0.5, -1.0], 3)
            .expect("what came in can be searched");
    }
}
