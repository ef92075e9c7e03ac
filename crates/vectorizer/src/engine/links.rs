//! Links between slots: how they are chosen, a batch of slots that get some, and what changes in those that are there.

use crate::engine::{Entry, Layout, SlotSet};
use crate::error::{Result, VectorizerError};

/// How links are chosen among candidates. The same for both engines, so that their graphs are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Candidates considered for a new slot.
    pub ef_construction: usize,
    /// How many of the nearest within the batch are candidates beside those the walk found.
    pub near: usize,
    /// A new slot takes at most this many links by the heuristic on level 0.
    pub own: usize,
    /// If fewer were taken on level 0, the nearest of the dropped fill up to this many.
    pub fill: usize,
    /// The same two when a full row is chosen again, on level 0.
    pub relink_own: usize,
    /// See `relink_own`.
    pub relink_fill: usize,
}

impl Selection {
    /// How many candidates are considered when a row of `degree` places is chosen again without the dead.
    pub(crate) fn candidates(&self, degree: usize) -> usize {
        self.ef_construction.max(degree).min(256)
    }
}

/// A run of new slots to be linked into the graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkBatch<'a> {
    /// First of the new slots; everything below it is linked already.
    pub first: u32,
    /// The levels of the new slots, in order; its length is the batch's.
    pub levels: &'a [u8],
    /// Those of the new slots whose rows stay empty, and that nothing is linked to: copies of an earlier slot's vector. Their level is 0.
    pub unlinked: &'a SlotSet,
    /// Where walks begin; `None` makes this the seed: candidates are the exact neighbours within the batch.
    pub entry: Option<Entry>,
    /// How links are chosen. On the levels above 0, whose rows are half as wide, every number of links is halved, rounding up.
    pub selection: Selection,
}

impl LinkBatch<'_> {
    /// The new slots that are linked on `level`, in order.
    pub(crate) fn members(&self, level: usize) -> impl Iterator<Item = u32> {
        (self.first..)
            .zip(self.levels)
            .filter(move |(slot, of)| usize::from(**of) >= level && !self.unlinked.contains(*slot))
            .map(|(slot, _)| slot)
    }
}

/// The links of one level, read back: for `check`, for reachability, for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelLinks {
    /// Places in a row; unused ones, at the end, hold [`NO_SLOT`](crate::engine::NO_SLOT).
    pub degree: usize,
    /// One row for each slot of at least this level, in the order of slots.
    pub rows: Vec<u32>,
}

/// About how many rows above level 0 so many slots have, at the usual share of one in M on each level.
pub(super) fn upper_rows(slots: usize, layout: &Layout) -> usize {
    slots.div_ceil(layout.max_connections - 1)
}

/// Says whether `links` are as many rows as slots of these levels have, in an engine of `rows` rows.
pub(super) fn check_shape(
    layout: Layout,
    rows: usize,
    levels: &[u8],
    links: &[LevelLinks],
) -> Result<()> {
    let damaged = |reason: String| Err(VectorizerError::GraphDamaged { reason });
    if levels.len() > rows {
        return damaged(format!(
            "{} slots have links, there are {rows}",
            levels.len()
        ));
    }
    let there = levels.iter().max().map_or(0, |top| usize::from(*top) + 1);
    if links.len() != there {
        return damaged(format!(
            "{there} levels have slots, {} have links",
            links.len()
        ));
    }
    for (level, links) in links.iter().enumerate() {
        let members = levels
            .iter()
            .filter(|of| usize::from(**of) >= level)
            .count();
        let degree = layout.degree(level);
        if links.degree != degree || links.rows.len() != members * degree {
            return damaged(format!(
                "level {level} has {} places in rows of {}, expected {members} rows of {degree}",
                links.rows.len(),
                links.degree
            ));
        }
    }
    Ok(())
}

/// New contents of rows of links on one level.
#[derive(Debug)]
pub(crate) struct Changes {
    /// On which level.
    pub(crate) level: usize,
    /// Whose rows; none stands here twice.
    pub(crate) slots: Vec<u32>,
    /// The rows, end to end.
    pub(crate) rows: Vec<u32>,
}

/// A link to be added where a slot would be unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// On which level.
    pub level: usize,
    /// Whose row changes.
    pub from: u32,
    /// Which place of the row.
    pub place: usize,
    /// What it then holds.
    pub to: u32,
}
