//! The items of the contract, used as an outside program uses them.

use std::sync::Arc;

use vectorizer::error::VectorizerError;
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::gpu::metal_native::{
    HnswConfig, MetalNativeCollection, MetalNativeContext, MetalNativeHnswGraph,
    MetalNativeVectorStorage,
};
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::models::{DistanceMetric, Payload, Vector};

fn shared<T: Send + Sync + 'static>() {}
fn cloned<T: Clone + Send + Sync + 'static>() {}

#[test]
fn types_can_be_shared() {
    shared::<MetalNativeCollection>();
    shared::<MetalNativeHnswGraph>();
    shared::<MetalNativeVectorStorage>();
    shared::<VramMonitor>();
    shared::<MetalBufferPool>();
    cloned::<MetalNativeContext>();
    cloned::<HnswConfig>();
    fn error<E: std::error::Error + Send + Sync + 'static>() {}
    error::<VectorizerError>();
}

#[test]
fn a_program_from_end_to_end() -> Result<(), Box<dyn std::error::Error>> {
    let context = MetalNativeContext::new()?;
    assert!(!context.device_name().to_string().is_empty());
    let device = context.device();
    let collection = Arc::new(MetalNativeCollection::new(8, DistanceMetric::Cosine)?);
    let monitor = VramMonitor::new(device.clone());
    let pool = MetalBufferPool::new(device);
    let named = |i: u16| Vector {
        id: format!("v{i}"),
        data: vec![f32::from(i), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        payload: None::<Payload>,
    };
    collection.add_vector(named(0))?;
    collection.add_vectors_batch((1..100).map(named).collect::<Vec<_>>())?;
    let slice = [named(100), named(101)];
    collection.add_vectors_batch(&slice)?;
    collection.add_vectors_batch(&slice[..0])?;

    let found = std::thread::spawn({
        let collection = Arc::clone(&collection);
        move || collection.search(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 10)
    });
    let found = found.join().expect("the searching thread")?;
    assert_eq!(found.len(), 10);
    let (id, similarity): (&String, f32) = (&found[0].id, found[0].similarity);
    assert_eq!(id, "v0");
    assert!(similarity > 0.999);
    assert!(found.is_sorted_by(|a, b| a.similarity >= b.similarity));

    match collection.search(&[0.0; 3], 10) {
        Err(VectorizerError::DimensionMismatch {
            expected: 8,
            actual: 3,
        }) => {}
        other => panic!("{other:?}"),
    }
    collection.rebuild_hnsw_graph()?;
    assert_eq!(
        (collection.vector_count(), collection.dimension()),
        (102, 8)
    );

    let stats = monitor.get_vram_stats();
    let total: u64 = stats.total_allocated;
    assert!(total >= 102 * 8 * 4, "the monitor sees {total} bytes");
    monitor.validate_all_vram()?;
    assert!(!monitor.generate_vram_report().to_string().is_empty());
    assert!((0.0..=1.0).contains(&pool.get_memory_stats().pool_utilization));
    Ok(())
}

#[test]
fn errors_have_the_documented_shapes() {
    let limit = VectorizerError::VramLimitExceeded {
        limit: 1,
        requested: 2,
    };
    for error in [
        limit,
        VectorizerError::VramFallback,
        VectorizerError::SearchFailed,
        VectorizerError::BufferAllocationFailed,
    ] {
        assert!(!error.to_string().is_empty());
    }
    let config = HnswConfig {
        max_connections: 32,
        ef_search: 50,
        ..Default::default()
    };
    assert!(
        MetalNativeCollection::new_with_config(512, DistanceMetric::DotProduct, config).is_ok()
    );
    let full = HnswConfig {
        max_connections: 32,
        ef_construction: 200,
        ef_search: 50,
        max_level: 8,
        level_multiplier: 0.5,
    };
    full.validate().expect("the document's own example");
}
