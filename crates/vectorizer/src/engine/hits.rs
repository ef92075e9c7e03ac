//! What a search finds.

use std::cmp::Ordering;

use crate::engine::NO_SLOT;

/// A slot and how near it is. Ordered by score, then slot.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Neighbor {
    /// Smaller is nearer. Never NaN: rows and queries are finite and bounded.
    pub score: f32,
    /// Which row.
    pub slot: u32,
}

impl Neighbor {
    /// What fills a list that is shorter than its width; orders after every real neighbour.
    pub(crate) const NONE: Self = Self {
        score: f32::MAX,
        slot: NO_SLOT,
    };
}

impl PartialEq for Neighbor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Neighbor {}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Neighbor {
    fn cmp(&self, other: &Self) -> Ordering {
        // + 0.0 makes -0 and 0 one value, as they are for the kernels.
        (self.score + 0.0)
            .total_cmp(&(other.score + 0.0))
            .then(self.slot.cmp(&other.slot))
    }
}

/// Lists of neighbours of one width, one a query, each nearest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hits {
    queries: usize,
    width: usize,
    neighbors: Vec<Neighbor>,
}

impl Hits {
    /// From lists laid end to end; `neighbors` holds a multiple of `width`, short lists filled with [`Neighbor::NONE`].
    pub(crate) fn new(width: usize, neighbors: Vec<Neighbor>) -> Self {
        debug_assert!(
            width == 0 || neighbors.len().is_multiple_of(width),
            "ragged hits"
        );
        let queries = neighbors.len().checked_div(width).unwrap_or(0);
        Self {
            queries,
            width,
            neighbors,
        }
    }

    /// Empty lists: what queries find where nothing is.
    pub(crate) fn none(queries: usize) -> Self {
        Self {
            queries,
            width: 0,
            neighbors: Vec::new(),
        }
    }

    /// How many neighbours a list has room for.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many queries were answered.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.queries
    }

    /// The neighbours of query `query`, nearest first, ties by slot.
    ///
    /// # Panics
    /// If there are not that many queries.
    #[must_use]
    pub fn of(&self, query: usize) -> &[Neighbor] {
        let list = &self.neighbors[query * self.width..][..self.width];
        let found = list
            .iter()
            .rposition(|n| n.slot != NO_SLOT)
            .map_or(0, |last| last + 1);
        &list[..found]
    }

    /// The lists, query by query.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Neighbor]> + DoubleEndedIterator {
        (0..self.queries()).map(|query| self.of(query))
    }
}
