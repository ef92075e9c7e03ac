//! How an exact search is cut up.

use super::FEW;
use crate::engine::gpu::rows::{Stretch, small};
use crate::gpu::tuning::Tuning;
use crate::kernels::exact::TILE_QUERIES;

/// The most bytes of a portion's candidates.
const CANDIDATE_BYTES: usize = 128 << 20;
/// The longest list of candidates that is sorted in workgroup memory.
const LONGEST: usize = 512;
/// Candidates kept beyond k where they are scored again, at least this many and one for so many of k: tiles sum in another order. What they
/// leave out has to be farther away by more than that changes, else the query is scanned.
const MARGIN: usize = 6;
const MARGIN_SHARE: usize = 8;

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
        Self::by(queries > FEW, queries, k, stretches, tuning)
    }

    /// As [`Self::new`], without tiles.
    pub(super) fn scan(
        queries: usize,
        k: usize,
        stretches: &[Stretch],
        tuning: &Tuning,
    ) -> Option<Self> {
        Self::by(false, queries, k, stretches, tuning)
    }

    /// What a slab's row costs for each group, in scores: a tile has them all computed, and many scans read more than the caches hold.
    pub(super) fn weight(&self, queries: usize) -> u64 {
        if self.tiles {
            u64::from(TILE_QUERIES)
        } else if queries > FEW {
            4
        } else {
            1
        }
    }

    fn by(
        tiles: bool,
        queries: usize,
        k: usize,
        stretches: &[Stretch],
        tuning: &Tuning,
    ) -> Option<Self> {
        let keep = if tiles {
            // A larger margin is no reason to leave the kernels.
            let wanted = k + MARGIN.max(k / MARGIN_SHARE);
            wanted.min(LONGEST / 2).max(k + MARGIN)
        } else {
            k
        };
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
