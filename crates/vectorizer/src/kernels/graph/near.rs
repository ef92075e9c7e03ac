//! The kernels that find the nearest members of a batch.

use super::QUEUE;
use crate::kernels::{Kernel, ORDER, Part};

crate::kernels::params! {
    /// Of [`SCORE`].
    ScoreParams { members, first_row, first_column, columns, rows }
    /// Of [`TOP`].
    TopParams { first_row, first_column, columns, keep, lists_at }
}

/// Scores of a block of members.
pub(crate) static SCORE: Kernel = Kernel {
    entry: "near_score",
    params: ScoreParams::FIELDS,
    parts: &[Part::Rows, Part::Text(include_str!("../near_score.wgsl"))],
};

/// The nearest of a block.
pub(crate) static TOP: Kernel = Kernel {
    entry: "near_top",
    params: TopParams::FIELDS,
    parts: &[ORDER, QUEUE, Part::Text(include_str!("../near_top.wgsl"))],
};
