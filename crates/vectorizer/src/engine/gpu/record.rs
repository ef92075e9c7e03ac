//! A run of kernels recorded into one submission, and its results read back.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::error::{Result, VectorizerError};
use crate::gpu::device::Device;
use crate::gpu::hardware::Hardware;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::gpu::programs::Program;

/// The most workgroups put in one dimension of a dispatch; every device allows 65,535.
const ACROSS: u32 = 32_768;

/// The hardware of a device that has some.
pub(super) fn hardware(device: &Device) -> Result<&Hardware> {
    device.hardware().ok_or(VectorizerError::DeviceLost {
        device: device.name().to_owned(),
    })
}

/// `count` workgroups, one dimension if they fit.
pub(super) fn grid(count: u32) -> [u32; 2] {
    [count.min(ACROSS), count.div_ceil(ACROSS)]
}

enum Step<'a> {
    Dispatch {
        program: Arc<Program>,
        params: Vec<u8>,
        groups: Vec<Vec<(u32, &'a wgpu::Buffer)>>,
        grid: [u32; 2],
    },
    Copy {
        from: &'a wgpu::Buffer,
        from_at: u64,
        to: &'a wgpu::Buffer,
        to_at: u64,
        bytes: u64,
    },
    Clear(&'a wgpu::Buffer),
}

/// What one submission will do, in order.
pub(super) struct Recorder<'a> {
    device: &'a Device,
    steps: Vec<Step<'a>>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(device: &'a Device) -> Self {
        Self {
            device,
            steps: Vec::new(),
        }
    }

    /// Runs a kernel. Its parameters are binding 0 of group 0; `own` are the others there, by number; the buffers of `shared`
    /// are the bindings of the groups that follow, from 0.
    pub(super) fn dispatch(
        &mut self,
        program: &Arc<Program>,
        params: &impl bytemuck::Pod,
        own: &[(u32, &'a wgpu::Buffer)],
        shared: &[&[&'a wgpu::Buffer]],
        grid: [u32; 2],
    ) {
        if grid.contains(&0) {
            return;
        }
        self.steps.push(Step::Dispatch {
            program: Arc::clone(program),
            params: bytemuck::bytes_of(params).to_vec(),
            groups: std::iter::once(own.to_vec())
                .chain(
                    shared
                        .iter()
                        .map(|group| (0u32..).zip(group.iter().copied()).collect()),
                )
                .collect(),
            grid,
        });
    }

    /// Copies the first `bytes`.
    pub(super) fn copy(&mut self, from: &'a wgpu::Buffer, to: &'a wgpu::Buffer, bytes: u64) {
        self.copy_range(from, 0, to, 0, bytes);
    }

    /// Copies `bytes` from one place to another.
    pub(super) fn copy_range(
        &mut self,
        from: &'a wgpu::Buffer,
        from_at: u64,
        to: &'a wgpu::Buffer,
        to_at: u64,
        bytes: u64,
    ) {
        if bytes > 0 {
            self.steps.push(Step::Copy {
                from,
                from_at,
                to,
                to_at,
                bytes,
            });
        }
    }

    /// Sets a buffer to zero.
    pub(super) fn clear(&mut self, buffer: &'a wgpu::Buffer) {
        self.steps.push(Step::Clear(buffer));
    }

    /// Submits it.
    pub(super) fn submit(self) -> Result<wgpu::SubmissionIndex> {
        let hardware = hardware(self.device)?;
        let dispatches = self
            .steps
            .iter()
            .filter(|step| matches!(step, Step::Dispatch { .. }))
            .count();
        let pitch = self.device.tier().storage_alignment.max(256) as usize;
        let uniforms = MetalBufferPool::new(self.device.clone()).lend(
            Purpose::Uniform,
            "parameters",
            (dispatches * pitch) as u64,
        )?;
        let mut values = vec![0u8; dispatches * pitch];
        let mut next = 0usize;
        for step in &self.steps {
            if let Step::Dispatch { params, .. } = step {
                values[next..][..params.len()].copy_from_slice(params);
                next += pitch;
            }
        }
        hardware.guarded(|device| {
            hardware.queue().write_buffer(&uniforms, 0, &values);
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("vectorizer"),
            });
            let mut steps = self.steps.into_iter().peekable();
            let mut at = 0u64;
            while let Some(step) = steps.next() {
                match step {
                    Step::Copy {
                        from,
                        from_at,
                        to,
                        to_at,
                        bytes,
                    } => encoder.copy_buffer_to_buffer(from, from_at, to, to_at, bytes),
                    Step::Clear(buffer) => encoder.clear_buffer(buffer, 0, None),
                    first => {
                        // Consecutive dispatches share a pass.
                        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                            label: None,
                            timestamp_writes: None,
                        });
                        let mut step = Some(first);
                        while let Some(Step::Dispatch {
                            program,
                            params,
                            groups,
                            grid,
                        }) = step
                        {
                            pass.set_pipeline(program.pipeline());
                            for (index, buffers) in (0u32..).zip(&groups) {
                                let Some(layout) = program.group(index as usize) else {
                                    continue;
                                };
                                let group = bind(
                                    device,
                                    program.label(),
                                    layout,
                                    (index == 0).then_some((&*uniforms, at, params.len() as u64)),
                                    buffers,
                                );
                                pass.set_bind_group(index, &group, &[]);
                            }
                            pass.dispatch_workgroups(grid[0], grid[1], 1);
                            at += pitch as u64;
                            step = steps.next_if(|step| matches!(step, Step::Dispatch { .. }));
                        }
                    }
                }
            }
            hardware.submit(encoder.finish())
        })
    }
}

fn bind(
    device: &wgpu::Device,
    label: &str,
    layout: &wgpu::BindGroupLayout,
    params: Option<(&wgpu::Buffer, u64, u64)>,
    buffers: &[(u32, &wgpu::Buffer)],
) -> wgpu::BindGroup {
    let params = params.map(|(buffer, offset, bytes)| wgpu::BindGroupEntry {
        binding: 0,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: NonZeroU64::new(bytes.next_multiple_of(16)),
        }),
    });
    let others = buffers
        .iter()
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: buffer.as_entire_binding(),
        });
    let entries: Vec<_> = params.into_iter().chain(others).collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(label),
        layout,
        entries: &entries,
    })
}

/// Waits for a submission that copied to `buffer`, and reads its first `bytes`.
pub(super) fn read_back(
    device: &Device,
    submission: wgpu::SubmissionIndex,
    buffer: &mut PooledBuffer,
    bytes: u64,
    take: impl FnOnce(&[u8]),
) -> Result<()> {
    let hardware = hardware(device)?;
    let (sender, answer) = std::sync::mpsc::channel();
    hardware.map(buffer, wgpu::MapMode::Read, bytes, move |mapped| {
        // The receiver is gone only after an error of its own.
        let _ = sender.send(mapped);
    })?;
    let read = hardware.wait(submission).and_then(|()| {
        answer
            .recv_timeout(crate::gpu::hardware::PATIENCE)
            .map_err(|_| hardware.failed("a result was not handed over"))?
            .map_err(|error| hardware.failed(error.to_string()))?;
        let view = buffer
            .get_mapped_range(0..bytes)
            .map_err(|error| hardware.failed(error.to_string()))?;
        take(&view);
        Ok(())
    });
    match read {
        Ok(()) => buffer.unmap(),
        Err(_) => buffer.spoil(),
    }
    read
}
