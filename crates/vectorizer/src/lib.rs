//! Nearest-neighbour search on the GPU you already have: vectors go in by id, an HNSW graph is built over them and searched on the
//! device (Metal, Vulkan, DX12), and on the CPU where there is no GPU.
//!
//! ```
//! use vectorizer::gpu::metal_native::{MetalNativeCollection, MetalNativeContext};
//! use vectorizer::models::{DistanceMetric, Vector};
//!
//! # fn main() -> Result<(), vectorizer::error::VectorizerError> {
//! let context = MetalNativeContext::new()?;
//! println!("on {} because {}", context.device_name(), context.reason());
//!
//! let collection = MetalNativeCollection::new(3, DistanceMetric::Cosine)?;
//! collection.add_vectors_batch([
//!     Vector { id: "red".into(), data: vec![1.0, 0.1, 0.0], payload: None },
//!     Vector { id: "green".into(), data: vec![0.0, 1.0, 0.1], payload: None },
//! ])?;
//! let hits = collection.search(&[0.9, 0.2, 0.0], 1)?;
//! assert_eq!(hits[0].id, "red");
//! # Ok(())
//! # }
//! ```
//!
//! Three layers, each usable on its own:
//!
//! | type | by | what it adds |
//! |---|---|---|
//! | [`Collection`](collection::Collection) | id | payloads, many threads, batches that are all or nothing, a graph that builds itself |
//! | [`HnswGraph`](hnsw::HnswGraph) | slot | links: built when the caller says so, walked or not as sizes suggest |
//! | [`VectorStorage`](storage::VectorStorage) | slot | vectors on a device, compared exactly |
//!
//! [`gpu::metal_native`] has the same types under the names of the Metal document. Features: `gpu` (default) is the GPU engine; `metal-native`
//! is its name in that document; without either the crate is the CPU engine alone. `parquet` adds files of that format. `fault-injection` makes
//! devices fail on order, for tests, and what it adds may change in any version.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact values of small data"
    )
)]

pub mod collection;
pub mod config;
#[cfg(not(feature = "fault-injection"))]
mod disk;
#[cfg(feature = "fault-injection")]
#[doc(hidden)]
pub mod disk;
pub mod engine;
pub mod error;
pub mod filter;
mod fork;
pub mod gpu;
pub mod hnsw;
pub mod interop;
mod json;
#[cfg(feature = "gpu")]
pub(crate) mod kernels;
pub mod models;
pub mod storage;
pub mod store;
pub mod tune;
mod whole_file;

/// The guides and the README: what they show is compiled and run with the documentation's tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/METAL_NATIVE_API_DOCUMENTATION.md")]
    mod api {}
    #[doc = include_str!("../../../docs/METAL_NATIVE_PERFORMANCE_GUIDE.md")]
    mod performance {}
    #[doc = include_str!("../../../docs/METAL_NATIVE_ERROR_HANDLING_GUIDE.md")]
    mod errors {}
    #[doc = include_str!("../../../README.md")]
    mod readme {}
}
