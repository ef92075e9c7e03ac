//! What a collection holds and does: `cargo run --example monitoring`.
#![expect(clippy::print_stdout, reason = "an example speaks")]

use vectorizer::collection::Collection;
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::models::DistanceMetric;

/// Watches the memory of a device and the work of a collection.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collection = Collection::new(32, DistanceMetric::Euclidean)?;
    let device = collection.context().device();
    let monitor = VramMonitor::new(device.clone());
    let pool = MetalBufferPool::new(device);

    let ids: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let rows: Vec<f32> = (0..2000 * 32u32)
        .map(|place| f32::from((place * 7919 % 1009) as u16))
        .collect();
    collection.add_rows(&ids, &rows)?;
    collection.optimize()?;
    for query in rows.chunks_exact(32).take(50) {
        collection.search(query, 5)?;
    }

    let stats = monitor.get_vram_stats();
    println!(
        "taken on the device, by all its collections: {} bytes",
        stats.total_allocated
    );
    println!("at most: {} bytes", stats.peak_allocated);
    println!(
        "buffers used again: {:.0} %",
        100.0 * pool.get_memory_stats().pool_utilization
    );
    // Every byte is accounted for, and within the limit.
    monitor.validate_all_vram()?;

    let stats = collection.stats();
    println!(
        "{} vectors, {} linked",
        stats.vector_count, stats.graph.linked
    );
    println!(
        "{} queries by the graph, {} exactly",
        stats.graph.graph_queries, stats.graph.exact_queries
    );
    println!("{} distances computed", stats.graph.counters.distances);
    println!("as JSON: {}", serde_json::to_string(&stats)?);
    Ok(())
}
