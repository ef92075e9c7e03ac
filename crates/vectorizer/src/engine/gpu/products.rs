//! Products of matrices: whether the device's are used, and for what.
//!
//! `exact_products.wgsl` says what they tell of rows and queries, and proves it. Exact search goes by them ([`exact`](super::exact)).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::gpu::GpuEngine;
use crate::error::VectorizerError;
use crate::gpu::device::{Backend, Device};
use crate::gpu::tiers::MatrixShape;
use crate::kernels::exact::products::{Matrices, Multiplier};

mod trial;

/// The least queries and rows for which tiles of half floats are worth it.
pub(super) const QUERIES: usize = 64;
const ROWS: usize = 2_048;
/// The longest answer; for each of its neighbours some rows more have to be held.
pub(super) const LONGEST: usize = 64;

/// When products are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The device has none.
    Never,
    /// Where it is worth it.
    Worth(Matrices),
    /// Whenever it can be.
    #[cfg(test)]
    Always(Matrices),
}

/// What an engine knows of its device's products.
#[derive(Debug)]
pub(super) struct Products {
    way: Way,
    /// Whether they came out right when they were tried.
    right: OnceLock<bool>,
    /// Queries that were answered by them.
    answered: AtomicU64,
}

impl Products {
    /// What the device can do.
    pub(super) fn of(device: &Device) -> Self {
        Self::by(Way::of(device))
    }

    pub(super) fn by(way: Way) -> Self {
        Self {
            way,
            right: OnceLock::new(),
            answered: AtomicU64::default(),
        }
    }

    /// Notes that so many were answered.
    pub(super) fn answered(&self, count: usize) {
        self.answered.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many were.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn matrices(&self, worth: bool) -> Option<Matrices> {
        match self.way {
            Way::Worth(matrices) if worth => Some(matrices),
            #[cfg(test)]
            Way::Always(matrices) => Some(matrices),
            _ => None,
        }
    }
}

impl Way {
    pub(super) fn of(device: &Device) -> Self {
        let tier = device.tier();
        // The kernel wants eight subgroups of 32. Apple's GPUs have no other; wgpu does not ask them.
        let lanes = device.info().backend == Backend::Metal || tier.subgroups == Some((32, 32));
        let has = |size: u32| {
            let square = |shape: &&MatrixShape| (shape.m, shape.n, shape.k) == (size, size, size);
            tier.matrices.iter().find(square).map(|_| size)
        };
        match has(16).or_else(|| has(8)) {
            Some(block) if lanes && tier.workgroup_bytes >= 32 << 10 => Self::Worth(Matrices {
                block,
                by: Multiplier::Instructions,
            }),
            _ => Self::Never,
        }
    }
}

impl GpuEngine {
    /// The matrices by which so many queries are compared with so many rows; `None` if they are not to be.
    pub(super) fn matrices_to_search(
        &self,
        queries: usize,
        rows: usize,
        k: usize,
    ) -> Option<Matrices> {
        let worth = queries >= QUERIES && rows >= ROWS;
        self.tried((k <= LONGEST).then(|| self.products.matrices(worth))??)
    }

    /// These, if the device multiplies them as it should: no driver is believed to before it has.
    fn tried(&self, matrices: Matrices) -> Option<Matrices> {
        let right = match self.products.right.get() {
            Some(right) => *right,
            None => match self.multiplies_right(matrices) {
                // Perhaps there is room the next time.
                Err(
                    VectorizerError::VramLimitExceeded { .. }
                    | VectorizerError::BufferAllocationFailed,
                ) => false,
                tried => *self.products.right.get_or_init(|| {
                    if !matches!(tried, Ok(true)) {
                        let error = tried.as_ref().err().map(ToString::to_string);
                        tracing::warn!(
                            error,
                            "products of matrices are not used: they came out wrong, or failed"
                        );
                    }
                    tried.unwrap_or(false)
                }),
            },
        };
        right.then_some(matrices)
    }
}
