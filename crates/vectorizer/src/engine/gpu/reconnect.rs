//! Rows of links without the dead.

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, grid, hardware};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::seal::{Seal, read_pieces};
use crate::engine::gpu::transfer::upload_now;
use crate::engine::{LevelLinks, Selection, SlotSet};
use crate::error::Result;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::kernels::graph::{RECONNECT, ReconnectParams};

/// The most bytes of rows that are worked out and read back at a time.
const BYTES: usize = 16 << 20;

impl GpuEngine {
    /// The rows of `level` of the living, their links to dead slots replaced.
    pub(super) fn reconnect(
        &self,
        level: usize,
        alive: &SlotSet,
        selection: &Selection,
    ) -> Result<LevelLinks> {
        let degree = self.layout.degree(level);
        let members = self.graph.members_of(level);
        let members: Vec<u32> = members.filter(|slot| alive.contains(*slot)).collect();
        let mut rows = Vec::with_capacity(members.len() * degree);
        if members.is_empty() {
            return Ok(LevelLinks { degree, rows });
        }
        let hardware = hardware(&self.device)?;
        let pool = MetalBufferPool::for_building(self.device.clone());
        let bits = alive.half_words(self.graph.linked());
        let living = pool.lend(Purpose::Storage, "living slots", bits.len() as u64 * 4)?;
        upload_now(&pool, &bits, &living)?;
        let keep = selection.candidates(degree);
        let program = hardware.program(&self.graph_kernel(&RECONNECT, keep)?)?;
        let [rows_of, links] = [self.rows.buffers(), self.graph.buffers()];
        // A row may see the rows of all its links, and compares what it finds there with those that stay and the chosen.
        let at_once = self.at_once((degree * degree + keep * degree) as u64);
        for members in members.chunks(BYTES / (degree * 4)) {
            let count = small(members.len());
            let bytes = members.len() as u64 * degree as u64 * 4;
            let list = pool.lend(Purpose::Storage, "members", u64::from(count) * 4)?;
            upload_now(&pool, members, &list)?;
            let chosen = pool.lend(Purpose::Storage, "members' rows", bytes)?;
            let seal = Seal::of_change(&pool)?;
            for first in (0..count).step_by(at_once as usize) {
                let end = (first + at_once).min(count);
                let params = ReconnectParams {
                    members: end,
                    first,
                    level: small(level),
                    degree: small(degree),
                    keep: small(keep),
                };
                let mut recorder = Recorder::new(&self.device);
                recorder.dispatch(
                    &program,
                    &params,
                    &[
                        (1, &list),
                        (2, &living),
                        (3, &chosen),
                        (7, self.work.counting()),
                    ],
                    &[&rows_of, &links],
                    grid(end - first),
                );
                self.submit_build(recorder, seal.as_ref())?;
            }
            seal.map_or(Ok(()), |seal| seal.prove())?;
            read_pieces(&pool, &chosen, 0, bytes, 4, |view| {
                let words = view.chunks_exact(4);
                rows.extend(words.map(bytemuck::pod_read_unaligned::<u32>));
            })?;
        }
        Ok(LevelLinks { degree, rows })
    }
}
