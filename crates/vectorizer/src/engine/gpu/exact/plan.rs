//! How an exact search is cut up.

use super::FEW;
use crate::engine::gpu::rows::{Stretch, small};
use crate::gpu::tuning::Tuning;
use crate::kernels::exact::TILE_QUERIES;

/// The most bytes of a portion's candidates.
const CANDIDATE_BYTES: usize = 128 << 20;
/// The longest list of candidates that is sorted in workgroup memory.
const LONGEST: usize = 512;
/// Candidates kept beyond k where they are scored again: tiles sum in another order, which may swap neighbours at the end.
const MARGIN: usize = 6;

/// How a search is cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether queries are taken in tiles.
    pub(super) tiles: bool,
    /// Places in a list of candidates.
    pub(super) capacity: u32,
    /// Rows of a slab.
    pub(super) slab_rows: u32,
    /// Slabs over all stretches.
    pub(super) slabs: u32,
}

impl Plan {
    /// For `queries` queries against `stretches`; `None` where k is too long for the kernels.
    pub(super) fn new(
        queries: usize,
        k: usize,
        stretches: &[Stretch],
        tuning: &Tuning,
    ) -> Option<Self> {
        let tiles = queries > FEW;
        let keep = if tiles { k + MARGIN } else { k };
        let capacity = 2 * keep.next_power_of_two().max(16);
        if capacity > LONGEST {
            return None;
        }
        let rows: usize = stretches.iter().map(|stretch| stretch.rows as usize).sum();
        let groups = if tiles {
            queries.div_ceil(TILE_QUERIES as usize)
        } else {
            queries
        };
        let lists = if tiles {
            groups * TILE_QUERIES as usize
        } else {
            groups
        };
        let affordable = CANDIDATE_BYTES / (lists * capacity * 8);
        let busy = if tiles {
            tuning.tile_groups
        } else {
            tuning.scan_groups
        };
        let wanted = (busy as usize / groups).min(affordable).max(1);
        // Not so short that beginning and merging outweigh the scan.
        let slab_rows = rows.div_ceil(wanted).max(256).next_multiple_of(64);
        let slabs: usize = stretches
            .iter()
            .map(|stretch| (stretch.rows as usize).div_ceil(slab_rows))
            .sum();
        Some(Self {
            tiles,
            capacity: small(capacity),
            slab_rows: small(slab_rows),
            slabs: small(slabs),
        })
    }
}
