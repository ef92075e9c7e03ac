//! The kernel that says that a submission was carried out.

use crate::kernels::{Kernel, Part};

crate::kernels::params! {
    /// Parameters of `seal`.
    SealParams { at, work, submission }
}

/// Writes a mark.
pub(crate) static SEAL: Kernel = Kernel {
    entry: "seal",
    params: SealParams::FIELDS,
    parts: &[Part::Text(include_str!("seal.wgsl"))],
};
