//! Kernels compiled for a device: each once, however many searches and threads ask for it.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::Result;
use crate::gpu::hardware::Hardware;
use crate::kernels::Specialised;

/// A compiled kernel.
#[derive(Debug)]
pub(crate) struct Program {
    label: &'static str,
    pipeline: wgpu::ComputePipeline,
    groups: Vec<wgpu::BindGroupLayout>,
}

impl Program {
    /// The kernel's name.
    pub(crate) fn label(&self) -> &'static str {
        self.label
    }

    /// What a pass runs.
    pub(crate) fn pipeline(&self) -> &wgpu::ComputePipeline {
        &self.pipeline
    }

    /// What bind group `index` looks like, read off the kernel's text.
    pub(crate) fn group(&self, index: usize) -> Option<&wgpu::BindGroupLayout> {
        self.groups.get(index)
    }
}

/// A kernel's place: empty until somebody has compiled it, locked while somebody does.
type Place = Arc<Mutex<Option<Arc<Program>>>>;

/// The compiled kernels of a device.
#[derive(Debug, Default)]
pub(crate) struct Programs(Mutex<HashMap<Specialised, Place>>);

impl Hardware {
    /// The kernel, compiled now if nobody has asked for it before. Others wait only for the same kernel.
    ///
    /// # Errors
    /// The device's compiler refuses it.
    pub(crate) fn program(&self, kernel: &Specialised) -> Result<Arc<Program>> {
        let place = {
            let mut places = self.programs().0.lock();
            match places.get(kernel) {
                Some(place) => Arc::clone(place),
                None => Arc::clone(places.entry(kernel.clone()).or_default()),
            }
        };
        let mut program = place.lock();
        if let Some(program) = &*program {
            return Ok(Arc::clone(program));
        }
        let fresh = Arc::new(self.compile(kernel)?);
        *program = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// Whether the kernel is compiled, or being compiled.
    pub(crate) fn has_program(&self, kernel: &Specialised) -> bool {
        self.programs().0.lock().contains_key(kernel)
    }

    fn compile(&self, kernel: &Specialised) -> Result<Program> {
        let label = kernel.kernel.entry;
        let text = kernel.source();
        let count = (0..4)
            .take_while(|group| text.contains(&format!("@group({group})")))
            .count();
        tracing::debug!(kernel = label, "compiling");
        self.guarded(|device| {
            let module = shader(
                device,
                wgpu::ShaderModuleDescriptor {
                    label: Some(label),
                    source: wgpu::ShaderSource::Wgsl(text.into()),
                },
            );
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: None,
                module: &module,
                entry_point: Some(label),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    // On Metal it is a loop of one thread, and every kernel writes before it reads.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            // A refused pipeline has no layouts to ask for; its error is on the way to the guard.
            let groups = (0..count)
                .zip(0u32..)
                .map(|(_, group)| pipeline.get_bind_group_layout(group))
                .collect();
            Ok(Program {
                label,
                pipeline,
                groups,
            })
        })
    }
}

/// The kernel with every access checked, in debug builds and tests.
#[cfg(debug_assertions)]
fn shader(device: &wgpu::Device, text: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    device.create_shader_module(text)
}

/// The kernel as it stands: checks cost 10 to 100 times.
#[cfg(not(debug_assertions))]
#[expect(
    unsafe_code,
    reason = "each kernel's file says why its accesses are in bounds, and tests run the checked form"
)]
fn shader(device: &wgpu::Device, text: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    // SAFETY: the text is ours. Its indices are in bounds and its loops end, as each file says; there are no ray queries or meshes,
    // and every divisor is a constant or a dimension above 0.
    unsafe { device.create_shader_module_trusted(text, wgpu::ShaderRuntimeChecks::unchecked()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Scoring;
    use crate::gpu::testing;
    use crate::kernels::{Kernel, Part, RowsShape};

    fn specialised(kernel: &'static Kernel) -> Specialised {
        Specialised {
            kernel,
            rows: RowsShape {
                parts: 1,
                form: crate::config::Precision::F32,
                chunks: 1,
                chunk_shift: 0,
            },
            scoring: Scoring::NegativeDot,
            subgroups: false,
            constants: Vec::new(),
        }
    }

    #[test]
    fn a_kernel_is_compiled_once() {
        static KERNEL: Kernel = Kernel {
            entry: "nothing",
            params: &[],
            parts: &[Part::Text("@compute @workgroup_size(64) fn nothing() {}")],
        };
        let device = testing::device();
        let hardware = device.hardware().unwrap();
        let first = hardware.program(&specialised(&KERNEL)).unwrap();
        let second = hardware.program(&specialised(&KERNEL)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_kernel_that_does_not_compile_is_an_error_each_time() {
        static KERNEL: Kernel = Kernel {
            entry: "broken",
            params: &[],
            parts: &[Part::Text(
                "@compute @workgroup_size(64) fn broken() { nonsense(); }",
            )],
        };
        let device = testing::fresh_device();
        let hardware = device.hardware().unwrap();
        for _ in 0..2 {
            hardware.program(&specialised(&KERNEL)).unwrap_err();
        }
    }
}
