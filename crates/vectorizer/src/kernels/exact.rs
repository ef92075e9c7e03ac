//! The kernels of exact search.

use crate::kernels::{Constant, Kernel, ORDER, Part};

pub(crate) mod products;

const SORT: Part = Part::Text(include_str!("sort.wgsl"));
/// Which rows are compared.
const LIST: Part = Part::Text(include_str!("list.wgsl"));
const NEAREST: Part = Part::Text(include_str!("nearest.wgsl"));

crate::kernels::params! {
    /// Parameters of `exact_tile` and `exact_scan`.
    SlabParams { queries, first_row, rows, first_slot, slab_rows, first_slab, slabs }
    /// Parameters of `exact_merge`.
    MergeParams { slabs, first, queries }
    /// Parameters of `exact_rescore`.
    RescoreParams { queries, first, first_slot, end_slot }
    /// Parameters of `exact_order`.
    AnswerParams { queries, first, k, epoch }
    /// Parameters of `exact_scores`.
    ScoresParams { queries, first_row, rows, epoch }
}

/// Many queries: tiles.
pub(crate) static TILE: Kernel = Kernel {
    entry: "exact_tile",
    params: SlabParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        LIST,
        Part::Text(include_str!("exact_tile.wgsl")),
        SORT,
        NEAREST,
    ],
};

/// Few queries: teams.
pub(crate) static SCAN: Kernel = Kernel {
    entry: "exact_scan",
    params: SlabParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Team,
        Part::Asked,
        LIST,
        Part::Text(include_str!("exact_scan.wgsl")),
        SORT,
        NEAREST,
    ],
};

/// The lists of all slabs made one.
pub(crate) static MERGE: Kernel = Kernel {
    entry: "exact_merge",
    params: MergeParams::FIELDS,
    parts: &[ORDER, Part::Text(include_str!("exact_merge.wgsl")), SORT],
};

/// Candidates scored again.
pub(crate) static RESCORE: Kernel = Kernel {
    entry: "exact_rescore",
    params: RescoreParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Team,
        Part::Asked,
        Part::Text(include_str!("exact_rescore.wgsl")),
    ],
};

/// The answer, in order.
pub(crate) static ANSWER: Kernel = Kernel {
    entry: "exact_order",
    params: AnswerParams::FIELDS,
    parts: &[ORDER, Part::Text(include_str!("exact_order.wgsl")), SORT],
};

/// Every score.
pub(crate) static SCORES: Kernel = Kernel {
    entry: "exact_scores",
    params: ScoresParams::FIELDS,
    parts: &[
        ORDER,
        Part::Rows,
        Part::Team,
        Part::Asked,
        LIST,
        Part::Text(include_str!("exact_scores.wgsl")),
    ],
};

/// Every kernel of exact search.
pub(crate) static ALL: [&Kernel; 6] = [&TILE, &SCAN, &MERGE, &RESCORE, &ANSWER, &SCORES];

/// The largest query, in vec4, that is kept in workgroup memory: 8 KiB, beside what else the kernels keep there.
const SHARED_PARTS: u32 = 512;

/// Queries of a tile.
pub(crate) const TILE_QUERIES: u32 = 128;

/// The constants of `kernel` for rows of `parts` vec4, lists of `capacity` candidates, tiles that hold `depth` parts at a time, and rows that
/// are `listed` or lie one after the other.
pub(crate) fn constants(
    kernel: &Kernel,
    parts: u32,
    capacity: u32,
    depth: u32,
    listed: bool,
) -> Vec<(&'static str, Constant)> {
    let shared = parts <= SHARED_PARTS;
    let queries = if kernel == &TILE { TILE_QUERIES } else { 1 };
    vec![
        ("CAPACITY", Constant::Number(capacity)),
        ("KEEP", Constant::Number(capacity / 2)),
        ("QUERIES", Constant::Number(queries)),
        ("THREADS", Constant::Number(256)),
        ("DEPTH", Constant::Number(depth)),
        ("LISTED", Constant::Flag(listed)),
        ("QUERY_SHARED", Constant::Flag(shared)),
        (
            "QUERY_PARTS",
            Constant::Number(if shared { parts } else { 1 }),
        ),
    ]
}
