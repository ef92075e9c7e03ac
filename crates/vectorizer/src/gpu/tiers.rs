//! What a device can do, queried once, so that nobody checks features in the middle of an algorithm.

use std::fmt;

use serde::Serialize;

/// Sizes of a cooperative matrix product the device has an instruction for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MatrixShape {
    /// Rows of the result.
    pub m: u32,
    /// Columns of the result.
    pub n: u32,
    /// The length summed over.
    pub k: u32,
}

/// What a device can do, from its own limits and features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tier {
    /// Smallest and largest number of lanes that run in step, where lanes can exchange values.
    pub subgroups: Option<(u32, u32)>,
    /// Whether kernels can compute with 16-bit floats.
    pub f16: bool,
    /// Whether the device can time its own work.
    pub timestamps: bool,
    /// Cooperative matrix products of 16-bit floats summed in 32 bits.
    pub matrices: Vec<MatrixShape>,
    /// The most bytes a kernel sees through one binding.
    pub binding_bytes: u64,
    /// The most bytes of one buffer.
    pub buffer_bytes: u64,
    /// Bytes the threads of a workgroup share.
    pub workgroup_bytes: u32,
    /// The most threads of a workgroup.
    pub workgroup_threads: u32,
    /// The most workgroups of a dispatch, in each dimension.
    pub workgroups: u32,
    /// The most storage buffers a kernel sees.
    pub storage_buffers: u32,
    /// The multiple at which a storage binding may begin, in bytes.
    pub storage_alignment: u32,
}

impl Tier {
    /// The CPU engine: no limit of a device applies to it.
    pub(crate) fn cpu() -> Self {
        Self {
            subgroups: None,
            f16: false,
            timestamps: false,
            matrices: Vec::new(),
            binding_bytes: u64::MAX,
            buffer_bytes: u64::MAX,
            workgroup_bytes: 0,
            workgroup_threads: 0,
            workgroups: 0,
            storage_buffers: 0,
            storage_alignment: 1,
        }
    }

    /// `cpu`, `basic`, `subgroups` or `matrices`: which kernels run.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.workgroup_threads == 0 {
            "cpu"
        } else if self.subgroups.is_none() {
            "basic"
        } else if self.matrices.is_empty() {
            "subgroups"
        } else {
            "matrices"
        }
    }

    /// What the kernels cannot do without, if this device lacks it.
    #[cfg(feature = "gpu")]
    pub(crate) fn shortcoming(&self) -> Option<String> {
        let least = [
            ("bytes of workgroup memory", self.workgroup_bytes, 16 << 10),
            ("threads in a workgroup", self.workgroup_threads, 256),
            ("storage buffers in a kernel", self.storage_buffers, 8),
            ("workgroups in a dispatch", self.workgroups, 65_535),
        ];
        let (what, has, needs) = least.into_iter().find(|(_, has, needs)| has < needs)?;
        Some(format!("it has {has} {what}, {needs} are needed"))
    }
}

#[cfg(feature = "gpu")]
impl Tier {
    /// The features a device is opened with, where it has them.
    pub(crate) fn wanted_features() -> wgpu::Features {
        wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    }

    /// What the device behind `adapter` can do.
    pub(crate) fn of(adapter: &wgpu::Adapter) -> Self {
        use wgpu::CooperativeScalarType::{F16, F32};

        let (features, limits, info) = (adapter.features(), adapter.limits(), adapter.get_info());
        let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
        let matrices = adapter
            .cooperative_matrix_properties()
            .into_iter()
            .filter(|shape| {
                features.contains(needed) && shape.ab_type == F16 && shape.cr_type == F32
            })
            .map(|shape| MatrixShape {
                m: shape.m_size,
                n: shape.n_size,
                k: shape.k_size,
            })
            .collect();
        Self {
            subgroups: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some((info.subgroup_min_size, info.subgroup_max_size)),
            f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            matrices,
            binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_threads: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            workgroups: limits.max_compute_workgroups_per_dimension,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            storage_alignment: limits.min_storage_buffer_offset_alignment,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if self.workgroup_threads == 0 {
            return Ok(());
        }
        match self.subgroups {
            Some((least, most)) if least == most => write!(f, ", {least} lanes")?,
            Some((least, most)) => write!(f, ", {least} to {most} lanes")?,
            None => {}
        }
        if self.f16 {
            f.write_str(", f16")?;
        }
        for MatrixShape { m, n, k } in &self.matrices {
            write!(f, ", {m}x{n}x{k} products")?;
        }
        Ok(())
    }
}
