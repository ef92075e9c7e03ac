//! One collection, many threads: `cargo run --example many_threads`.
#![expect(clippy::print_stdout, reason = "an example speaks")]

use std::sync::Arc;
use std::thread;

use vectorizer::collection::Collection;
use vectorizer::error::VectorizerError;
use vectorizer::models::DistanceMetric;

const DIMENSION: usize = 16;

fn rows(seed: u16, count: u16) -> Vec<f32> {
    let numbers = (0..count * 16).map(|place| place.wrapping_mul(40_503).wrapping_add(seed * 977));
    numbers.map(|number| f32::from(number % 1000)).collect()
}

/// Two threads add, four search; a search sees all of a batch or nothing of it.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // No lock around it: everything takes &self.
    let collection = Arc::new(Collection::new(DIMENSION, DistanceMetric::Euclidean)?);
    let writers = (0..2u16).map(|writer| {
        let collection = Arc::clone(&collection);
        thread::spawn(move || {
            for batch in 0..5 {
                let ids: Vec<String> = (0..100)
                    .map(|row| format!("{writer}/{batch}/{row}"))
                    .collect();
                collection.add_rows(&ids, &rows(writer * 5 + batch, 100))?;
            }
            Ok::<usize, VectorizerError>(0)
        })
    });
    let readers = (0..4u16).map(|reader| {
        let collection = Arc::clone(&collection);
        thread::spawn(move || {
            let mut found = 0;
            for query in rows(reader, 50).chunks_exact(DIMENSION) {
                found += collection.search(query, 3)?.len();
                assert_eq!(collection.vector_count() % 100, 0);
            }
            Ok::<usize, VectorizerError>(found)
        })
    });
    let threads: Vec<_> = writers.chain(readers).collect();
    let mut found = 0;
    for thread in threads {
        found += thread.join().map_err(|_| "a thread panicked")??;
    }
    println!(
        "{} vectors, {found} hits on the way",
        collection.vector_count()
    );
    Ok(())
}
