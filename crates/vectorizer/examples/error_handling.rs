//! What can go wrong, and what to do then: `cargo run --example error_handling`.
#![expect(clippy::print_stdout, reason = "an example speaks")]

use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, SearchResult, Vector};

fn vector(id: &str, data: &[f32]) -> Vector {
    Vector {
        id: id.to_owned(),
        data: data.to_vec(),
        payload: None,
    }
}

/// Input is refused as a whole, with what was expected; a known id is replaced instead.
fn add(collection: &Collection, vectors: &[Vector]) -> Result<(), VectorizerError> {
    match collection.add_vectors_batch(vectors) {
        Err(VectorizerError::DuplicateId { id }) => {
            println!("{id:?} was there already: replacing");
            collection.upsert_vectors_batch(vectors)
        }
        Err(VectorizerError::DimensionMismatch { expected, actual }) => {
            println!(
                "refused: {actual} components, not {expected}; nothing of the batch was added"
            );
            Ok(())
        }
        other => other,
    }
}

/// The way out of an answer that cannot be trusted: build the graph anew, once.
fn search(collection: &Collection, query: &[f32]) -> Result<Vec<SearchResult>, VectorizerError> {
    let by_graph = SearchOptions {
        path: SearchPath::Graph,
        ..SearchOptions::default()
    };
    match collection.search_with(query, 2, &by_graph) {
        Err(VectorizerError::SearchFailed) => {
            println!("no graph to trust: building it");
            collection.rebuild_hnsw_graph()?;
            collection.search_with(query, 2, &by_graph)
        }
        other => other,
    }
}

/// A device without room is no end: the same collection fits beside it, on the CPU.
fn somewhere(dimension: usize) -> Result<Collection, VectorizerError> {
    let on = |context: &Context| {
        let options = CollectionOptions::default();
        Collection::with_context(context, dimension, DistanceMetric::Cosine, options)
    };
    match Context::new().and_then(|context| on(&context)) {
        Err(
            error @ (VectorizerError::VramFallback
            | VectorizerError::VramLimitExceeded { .. }
            | VectorizerError::BufferAllocationFailed
            | VectorizerError::DeviceLost { .. }
            | VectorizerError::DeviceFailed { .. }),
        ) => {
            println!("{error}");
            on(&Context::cpu())
        }
        other => other,
    }
}

/// Goes wrong in several ways and goes on.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collection = somewhere(2)?;
    add(
        &collection,
        &[vector("a", &[1.0, 0.0]), vector("b", &[0.0, 1.0])],
    )?;
    add(&collection, &[vector("a", &[0.5, 0.5])])?;
    add(
        &collection,
        &[vector("c", &[1.0, 0.0]), vector("d", &[1.0])],
    )?;
    assert_eq!(collection.vector_count(), 2);
    for hit in search(&collection, &[1.0, 0.1])? {
        println!("{} {:.3}", hit.id, hit.similarity);
    }
    if let Err(error) = collection.add_vector(vector("e", &[f32::NAN, 1.0])) {
        println!("refused: {error}");
    }
    if let Err(error) = r#"{"must": [{"key": "price", "range": {"from": 1}}]}"#
        .parse::<vectorizer::filter::Filter>()
    {
        println!("refused: {error}");
    }
    Ok(())
}
