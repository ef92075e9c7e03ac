//! Whether everything can be reached, found out on the device: ring by ring from the entry point on.

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, hardware, read_back};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::seal::Seal;
use crate::error::Result;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::kernels::graph::{REACH, ReachParams};

/// Threads of a dispatch, at most.
const STRIDE: u32 = 256 * 4096;
/// Rings of a submission. A graph of a million slots has about ten.
const RINGS_AT_ONCE: u32 = 12;
/// Rings after which the host is asked: each costs a look at every slot, and a graph that is a chain has as many rings as slots.
pub(super) const MOST_RINGS: u32 = 4 * RINGS_AT_ONCE;

impl GpuEngine {
    /// Whether so many slots of `level` are reached from `start`, if that is found out in a few rings; `false` says nothing.
    pub(super) fn reaches(&self, level: usize, start: u32, members: u64) -> Result<bool> {
        let linked = self.graph.linked();
        if linked == 0 || members == 0 {
            return Ok(true);
        }
        let device = &self.device;
        let hardware = hardware(device)?;
        let program = hardware.program(&self.graph_kernel(&REACH, 1)?)?;
        let pool = MetalBufferPool::for_building(device.clone());
        let counts_bytes = u64::from(MOST_RINGS) * 4;
        let marks_bytes = linked as u64 * 4;
        let rings = pool.lend(Purpose::Storage, "rings", marks_bytes + counts_bytes)?;
        let links = self.graph.buffers();
        let seal = Seal::of(&pool)?;
        let stride = small(linked).next_multiple_of(256).min(STRIDE);
        for first in (0..MOST_RINGS).step_by(RINGS_AT_ONCE as usize) {
            let mut staging = pool.lend(
                Purpose::Readback,
                "counts, read back",
                counts_bytes + Seal::BYTES,
            )?;
            let submission = {
                let mut recorder = Recorder::new(device);
                if first == 0 {
                    recorder.clear(&rings);
                }
                for ring in first..first + RINGS_AT_ONCE {
                    let params = ReachParams {
                        slots: small(linked),
                        start,
                        level: small(level),
                        degree: small(self.layout.degree(level)),
                        ring,
                        stride,
                    };
                    let own = [(1, &*rings)];
                    recorder.dispatch(&program, &params, &own, &[&links], [stride / 256, 1]);
                }
                recorder.copy_range(&rings, marks_bytes, &staging, 0, counts_bytes);
                seal.set(&mut recorder);
                seal.bring(&mut recorder, &staging, counts_bytes);
                recorder.submit()?
            };
            let mut counts = [0u32; MOST_RINGS as usize];
            let mut holds = false;
            let bytes = counts_bytes + Seal::BYTES;
            read_back(device, submission, &mut staging, bytes, |view| {
                let (own, marks) = view.split_at(size_of_val(&counts));
                bytemuck::bytes_of_mut(&mut counts).copy_from_slice(own);
                holds = seal.holds(marks);
            })?;
            if !holds {
                return Err(seal.broken());
            }
            let reached: u64 = counts.iter().copied().map(u64::from).sum();
            let latest = counts[(first + RINGS_AT_ONCE - 1) as usize];
            if reached == members || latest == 0 {
                return Ok(reached == members);
            }
        }
        Ok(false)
    }
}
