//! Build and search an HNSW index on the GPU you already have.
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact values of small data"
    )
)]

pub mod config;
pub mod engine;
pub mod error;
pub mod gpu;
#[cfg(feature = "gpu")]
pub(crate) mod kernels;
pub mod models;
