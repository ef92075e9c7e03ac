//! The kernel that tries how lanes are numbered.

use crate::config::Precision;
use crate::engine::Scoring;
use crate::kernels::{Constant, Kernel, Part, RowsShape, Specialised};

crate::kernels::params! {
    /// Parameters of `lanes`.
    LanesParams { groups }
}

/// Writes who is there.
pub(crate) static LANES: Kernel = Kernel {
    entry: "lanes",
    params: LanesParams::FIELDS,
    parts: &[Part::Team, Part::Text(include_str!("lanes.wgsl"))],
};

/// For workgroups of so many threads.
pub(crate) fn specialised(threads: u32) -> Specialised {
    Specialised {
        kernel: &LANES,
        rows: RowsShape {
            parts: 1,
            form: Precision::F32,
            chunks: 1,
            chunk_shift: 0,
        },
        scoring: Scoring::NegativeDot,
        subgroups: true,
        constants: vec![("THREADS", Constant::Number(threads))],
    }
}
