//! The names under which the Metal document knows this crate's types. They are the same types, not copies: on macOS
//! their device is Metal, elsewhere whatever device is there.

pub use crate::collection::Collection as MetalNativeCollection;
pub use crate::config::HnswConfig;
pub use crate::gpu::context::Context as MetalNativeContext;
pub use crate::hnsw::HnswGraph as MetalNativeHnswGraph;
pub use crate::storage::VectorStorage as MetalNativeVectorStorage;
