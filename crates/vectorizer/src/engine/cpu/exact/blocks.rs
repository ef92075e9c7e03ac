//! Which rows are compared: those of a run of slots, or of a list of them, which are brought together block by block.

use std::ops::Range;

use crate::engine::cpu::rows::{Rows, Run};
use crate::engine::slot;

/// Slots in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slots<'a> {
    /// From the first up to the second.
    Run(u32, u32),
    /// These.
    Listed(&'a [u32]),
}

impl From<Range<u32>> for Slots<'_> {
    fn from(slots: Range<u32>) -> Self {
        Self::Run(slots.start, slots.end.max(slots.start))
    }
}

/// Rows that lie one after the other, and whose they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) rows: Run<'a>,
    listed: Option<&'a [u32]>,
}

impl Block<'_> {
    /// The slot of the row at `place`.
    #[inline(always)]
    pub(super) fn slot(&self, place: usize) -> u32 {
        match self.listed {
            Some(listed) => listed[place],
            None => slot(self.rows.first + place),
        }
    }
}

impl<'a> Slots<'a> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Run(start, end) => (end - start) as usize,
            Self::Listed(listed) => listed.len(),
        }
    }

    /// The slot at `place`.
    pub(super) fn at(&self, place: usize) -> u32 {
        match self {
            Self::Run(start, _) => start + slot(place),
            Self::Listed(listed) => listed[place],
        }
    }

    /// Those at `places`.
    pub(super) fn part(&self, places: Range<usize>) -> Self {
        match self {
            Self::Run(start, _) => Self::Run(start + slot(places.start), start + slot(places.end)),
            Self::Listed(listed) => Self::Listed(&listed[places]),
        }
    }

    /// At most `most` rows from that of the slot at `place` on; `None` past the last. Listed rows are copied to `gathered`.
    pub(super) fn block<'b>(
        &self,
        rows: &'b Rows,
        place: usize,
        most: usize,
        gathered: &'b mut Vec<f32>,
    ) -> Option<Block<'b>>
    where
        'a: 'b,
    {
        match *self {
            Self::Run(start, end) => {
                let rows = rows.runs(start + slot(place)..end, most).next()?;
                Some(Block { rows, listed: None })
            }
            Self::Listed(listed) => {
                let listed = &listed[place..listed.len().min(place + most.max(1))];
                if listed.is_empty() {
                    return None;
                }
                gathered.clear();
                for (at, slot) in listed.iter().enumerate() {
                    if let Some(soon) = listed.get(at + 8) {
                        rows.prefetch(*soon);
                    }
                    gathered.extend_from_slice(rows.row(*slot));
                    gathered.resize((at + 1) * rows.stride(), 0.0);
                }
                let rows = Run {
                    first: 0,
                    count: listed.len(),
                    rows: gathered,
                };
                Some(Block {
                    rows,
                    listed: Some(listed),
                })
            }
        }
    }
}
