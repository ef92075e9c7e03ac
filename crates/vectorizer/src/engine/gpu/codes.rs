//! The small form of the rows, on its way to the device: coded here, so that both engines have the same.

use crate::config::Precision;
use crate::engine::Layout;
use crate::engine::code::{self, Unit};
use crate::engine::gpu::rows::{Rows, small};
use crate::error::Result;
use crate::gpu::device::Device;

/// Numbers that stand in the place of a unit.
const UNIT_NUMBERS: usize = size_of::<Unit>() / size_of::<f32>();

/// Bytes of a coded row; 0 if rows are not coded.
pub(super) fn row_bytes(layout: Layout) -> u64 {
    (code::units(layout.precision, layout.dimension) * size_of::<Unit>()) as u64
}

/// No coded rows yet; `None` if rows are not coded.
///
/// # Errors
/// As [`Rows::new`].
pub(super) fn empty(device: &Device, layout: Layout) -> Result<Option<Rows>> {
    let units = code::units(layout.precision, layout.dimension);
    (units > 0)
        .then(|| Rows::coded(device, layout.precision, units))
        .transpose()
}

/// Rows that lie end to end, coded: their bytes in the place of numbers, of which they are none. Bytes are signed, as kernels multiply them.
pub(super) fn of(layout: Layout, rows: &[f32]) -> Vec<f32> {
    let units = code::units(layout.precision, layout.dimension);
    let width = units * UNIT_NUMBERS;
    let mut coded = vec![0.0; rows.len() / layout.dimension * width];
    let rows = rows.chunks_exact(layout.dimension);
    for (row, to) in rows.zip(coded.chunks_exact_mut(width)) {
        let to: &mut [Unit] = bytemuck::cast_slice_mut(to);
        code::write(layout.precision, row, to);
        if layout.precision == Precision::Int8 {
            code::make_signed(to, layout.dimension);
        }
    }
    coded
}

/// vec4 of a query as walks by this form read it.
pub(super) fn query_parts(layout: Layout) -> u32 {
    let units = code::units(layout.precision, layout.dimension);
    small(match layout.precision {
        Precision::F32 => layout.dimension.div_ceil(4),
        Precision::F16 => 2 * (units - 1),
        Precision::Int8 => units,
    })
}
