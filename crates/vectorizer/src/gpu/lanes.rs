//! Whether a device's lanes are numbered as kernels with exchange between lanes need it, tried once when it is opened.
//!
//! These kernels count threads by `subgroup_id * subgroup_size + subgroup_invocation_id`, which is right if all subgroups of a
//! workgroup are full. Interfaces do not promise that. With a partial one, threads would have the same number or one beyond the last, and
//! what is released does not check accesses. Where the trial fails, the kernels that go through workgroup memory are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::gpu::hardware::Hardware;
use crate::kernels::lanes::{LanesParams, specialised};

/// The sizes of workgroups that kernels have.
const SIZES: [u32; 3] = [64, 128, 256];
/// Workgroups of a trial.
const GROUPS: u32 = 4;

/// Whether every workgroup of the kernels' sizes has full subgroups on this device.
pub(super) fn are_whole(hardware: &Hardware) -> bool {
    let mut why = None;
    let whole = SIZES
        .into_iter()
        .all(|threads| match try_one(hardware, threads) {
            Ok(seats) => all_taken_once(&seats, (threads * GROUPS) as usize),
            Err(error) => {
                why = Some(error.to_string());
                false
            }
        });
    if !whole {
        tracing::warn!(
            error = why,
            "subgroups are partial, or could not be tried: kernels do without exchange between lanes"
        );
    }
    whole
}

fn all_taken_once(seats: &[u32], count: usize) -> bool {
    seats.len() == count && seats.iter().all(|seat| *seat == 1)
}

/// What the kernel writes. In memory of its own: nobody has books for a device that is not open yet.
fn try_one(hardware: &Hardware, threads: u32) -> Result<Vec<u32>> {
    let program = hardware.program(&specialised(threads))?;
    let Some(layout) = program.group(0) else {
        return Err(hardware.failed("the trial of its lanes has no bindings"));
    };
    let bytes = u64::from(threads * GROUPS) * 4;
    let params = LanesParams { groups: GROUPS };
    let staging = hardware.guarded(|device| {
        let buffer = |label, size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let uniform = buffer(
            "parameters of a trial",
            16,
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        );
        // Fresh memory is zero.
        let seats = buffer(
            "lanes",
            bytes,
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        );
        let staging = buffer(
            "lanes, read back",
            bytes,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        );
        hardware
            .queue()
            .write_buffer(&uniform, 0, bytemuck::bytes_of(&params));
        let bound = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("lanes"),
            layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: uniform.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: seats.as_entire_binding(),
                },
            ],
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("lanes"),
        });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(program.pipeline());
            pass.set_bind_group(0, &bound, &[]);
            pass.dispatch_workgroups(GROUPS, 1, 1);
        }
        encoder.copy_buffer_to_buffer(&seats, 0, &staging, 0, bytes);
        hardware.submit(encoder.finish())?;
        Ok(staging)
    })?;
    let mapped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&mapped);
    hardware.map(&staging, wgpu::MapMode::Read, bytes, move |answer| {
        told.store(answer.is_ok(), Ordering::Release);
    })?;
    let submission = hardware.guarded(|_| hardware.flush())?;
    hardware.wait(submission)?;
    if !mapped.load(Ordering::Acquire) {
        return Err(hardware.failed("memory that was to be read back was not mapped"));
    }
    hardware.guarded(|_| {
        let view = staging
            .get_mapped_range(..)
            .map_err(|error| hardware.failed(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;

    /// What a device writes whose subgroups have `lanes` places, `used` of them taken.
    fn partial(threads: u32, lanes: u32, used: u32) -> Vec<u32> {
        let mut seats = vec![0; (threads * GROUPS) as usize];
        for group in 0..GROUPS {
            for thread in 0..threads {
                let number = thread / used * lanes + thread % used;
                if number < threads {
                    seats[(group * threads + number) as usize] += 1;
                }
            }
        }
        seats
    }

    #[test]
    fn subgroups_that_are_partial_are_found_out() {
        for threads in SIZES {
            let count = (threads * GROUPS) as usize;
            for lanes in [8, 16, 32] {
                assert!(all_taken_once(&partial(threads, lanes, lanes), count));
                assert!(!all_taken_once(&partial(threads, lanes, lanes / 2), count));
                assert!(!all_taken_once(&partial(threads, lanes, lanes - 1), count));
            }
            // Two that have one number, and a team whose lanes do not exchange.
            let mut seats = partial(threads, 8, 8);
            seats[5] = 2;
            assert!(!all_taken_once(&seats, count));
            assert!(!all_taken_once(&seats[1..], count));
        }
    }

    #[test]
    fn a_device_whose_lanes_exchange_passes() {
        let device = testing::device();
        if device.tier().subgroups.is_some() {
            assert!(are_whole(device.hardware().unwrap()));
        }
    }
}
