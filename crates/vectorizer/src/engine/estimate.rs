//! How much memory a collection will take.

use crate::config::{CollectionOptions, MAX_CONNECTIONS, MAX_DIMENSION};
use crate::engine::{Layout, MAX_SLOTS, Scoring, cpu};
#[cfg(feature = "gpu")]
use crate::engine::{gpu, paired};
use crate::gpu::device::Device;

/// What vectors and their graph will take on a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// The vectors, and the small form of them that walks compare, if there is one; that form alone where the vectors stay in RAM.
    pub rows: u64,
    /// The links between them.
    pub graph: u64,
    /// RAM beside that, for the vectors and the same links, where the vectors stay there; else 0.
    pub ram: u64,
}

impl MemoryEstimate {
    /// What is on the device: vectors and links.
    #[must_use]
    pub const fn lasting(&self) -> u64 {
        self.rows + self.graph
    }
}

pub(crate) fn estimate_memory(
    device: &Device,
    vectors: usize,
    dimension: usize,
    options: &CollectionOptions,
) -> MemoryEstimate {
    // There is no error to refuse by: what cannot be counts as the nearest that can.
    let layout = Layout {
        dimension: dimension.clamp(1, MAX_DIMENSION),
        scoring: Scoring::SquaredEuclidean,
        max_connections: options.hnsw.max_connections.clamp(2, MAX_CONNECTIONS),
        precision: options.precision,
        full_rows: options.full_rows,
    };
    let vectors = vectors.min(MAX_SLOTS);
    #[cfg(feature = "gpu")]
    if !device.is_cpu() {
        if layout.is_coded_alone() {
            return paired::estimate(layout, vectors);
        }
        return gpu::estimate(layout, vectors);
    }
    debug_assert!(device.is_cpu(), "a device of another engine");
    cpu::estimate(layout, vectors)
}
