//! The shortest way to an answer: `cargo run --example quick_start`.
#![expect(clippy::print_stdout, reason = "an example speaks")]

use vectorizer::gpu::metal_native::{MetalNativeCollection, MetalNativeContext};
use vectorizer::models::{DistanceMetric, Vector};

/// Adds three vectors and searches them.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = MetalNativeContext::new()?;
    println!("on {} because {}", context.device_name(), context.reason());

    let collection = MetalNativeCollection::new(3, DistanceMetric::Cosine)?;
    let named = |id: &str, data: [f32; 3]| Vector {
        id: id.to_owned(),
        data: data.to_vec(),
        payload: None,
    };
    collection.add_vectors_batch([
        named("red", [1.0, 0.1, 0.0]),
        named("green", [0.0, 1.0, 0.1]),
        named("orange", [0.9, 0.5, 0.0]),
    ])?;
    for hit in collection.search(&[1.0, 0.4, 0.0], 2)? {
        println!("{} {:.3}", hit.id, hit.similarity);
    }
    Ok(())
}
