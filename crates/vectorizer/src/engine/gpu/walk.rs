//! Walks through the graph: many queries at once, answers read back in one piece. Where only some slots may be found, their bits and a few of
//! them are taken along.

use crate::config::Precision;
use crate::engine::detour::Detour;
use crate::engine::gpu::record::{Recorder, grid, hardware, read_back};
use crate::engine::gpu::rows::{Rows, small};
use crate::engine::gpu::transfer::{upload_now, upload_queries};
use crate::engine::gpu::{GpuEngine, codes};
use crate::engine::{Engine, Hits, Neighbor, SlotSet, Walk, scored_again};
use crate::error::{Result, VectorizerError};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::kernels::graph::{
    AgainParams, GraphShape, SCORE_AGAIN, WALK_AMONG, WALK_EXTERNAL, WalkParams, constants,
};
use crate::kernels::{Constant, Kernel, Specialised};

/// The most queries of a submission.
const QUERIES: usize = 1 << 14;
/// The most bytes of queries, and of answers, of a submission.
const BYTES: usize = 64 << 20;
/// Buffers that a kernel binds beside rows and the chunks of links: its own, and two for the upper levels.
const OTHER_BUFFERS: u32 = 9;

/// How long a query's lists of neighbours are.
#[derive(Debug, Clone, Copy)]
struct Lists {
    /// What a walk leaves on the device.
    walked: usize,
    /// What of that is read back.
    found: usize,
    /// What is handed on; places behind those that were found are empty.
    width: usize,
}

/// Which slots may be found, on the device.
struct Among {
    detour: Detour,
    allowed: PooledBuffer,
    seeds: PooledBuffer,
}

impl GpuEngine {
    /// A kernel of the graph, for lists of up to `ef` neighbours and many walks at once.
    pub(super) fn graph_kernel(&self, kernel: &'static Kernel, ef: usize) -> Result<Specialised> {
        self.specialised_graph_kernel(kernel, &self.rows, ef, false)
    }

    fn specialised_graph_kernel(
        &self,
        kernel: &'static Kernel,
        rows: &Rows,
        ef: usize,
        few: bool,
    ) -> Result<Specialised> {
        let link_chunks = small(self.graph.chunks()).max(1);
        let rows = rows.shape(OTHER_BUFFERS + link_chunks)?;
        let shape = GraphShape {
            degree: small(self.layout.degree(0)),
            link_chunks,
            link_shift: self.graph.shift(),
            parts: if rows.form.is_full() {
                rows.parts
            } else {
                codes::query_parts(self.layout)
            },
            subgroups: self.exchange,
            few,
            tuning: self.tuning,
        };
        let mut constants = constants(kernel, shape, ef);
        if !rows.form.is_full() {
            let components = small(self.layout.dimension);
            constants.push(("COMPONENTS", Constant::Number(components)));
        }
        Ok(Specialised {
            kernel,
            rows,
            scoring: self.layout.scoring,
            subgroups: shape.subgroups,
            constants,
        })
    }

    /// The nearest slots that a walk finds for each query. Without the rows themselves, these are so many as are to be scored again, by their
    /// small form.
    pub(super) fn walk_graph(
        &self,
        queries: &[f32],
        walk: &Walk,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        let widest = self.max_ef();
        if walk.ef > widest {
            return Err(hardware(&self.device)?.failed(format!(
                "a walk on this device holds at most {widest} slots, {} were asked for: lower ef, or search exactly",
                walk.ef
            )));
        }
        let dimension = self.layout.dimension;
        let linked = self.graph.linked();
        let k = walk.k.min(linked);
        let count = queries.len() / dimension;
        if count == 0 || k == 0 {
            return Ok(Hits::none(count));
        }
        if walk.entry.slot as usize >= linked {
            return Err(VectorizerError::SearchFailed);
        }
        let among = match allowed {
            None => None,
            Some(allowed) => match Detour::new(&self.layout, linked, walk.ef, allowed) {
                Some(detour) => Some(self.take_along(detour, allowed, linked)?),
                None => return Ok(Hits::none(count)),
            },
        };
        let lists = self.lists(walk, k);
        let at_once = QUERIES
            .min(BYTES / (8 * lists.walked))
            .min(BYTES / (16 * dimension.div_ceil(4)))
            .max(1);
        let mut neighbors = Vec::with_capacity(count * lists.width);
        for queries in queries.chunks(at_once * dimension) {
            self.walk_some(queries, walk, among.as_ref(), lists, &mut neighbors)?;
        }
        Ok(Hits::new(lists.width, neighbors))
    }

    fn lists(&self, walk: &Walk, k: usize) -> Lists {
        // A beam that is narrower than k leaves lists that are not full.
        let found = k.min(walk.ef).max(1);
        if self.codes.is_none() {
            return Lists {
                walked: found,
                found,
                width: k,
            };
        }
        let walked = scored_again(walk.ef, found).max(1);
        let [found, width] = if self.layout.is_coded_alone() {
            [walked; 2]
        } else {
            [found, k]
        };
        Lists {
            walked,
            found,
            width,
        }
    }

    /// Brings to the device which of the first `linked` slots may be found.
    fn take_along(&self, detour: Detour, allowed: &SlotSet, linked: usize) -> Result<Among> {
        let pool = MetalBufferPool::new(self.device.clone());
        let send = |name: &str, words: &[u32]| {
            let buffer = pool.lend(Purpose::Storage, name, words.len() as u64 * 4)?;
            upload_now(&pool, words, &buffer)?;
            Ok(buffer)
        };
        Ok(Among {
            allowed: send("allowed slots", &allowed.half_words(linked))?,
            seeds: send("seeds", &detour.seeds)?,
            detour,
        })
    }

    fn walk_some(
        &self,
        queries: &[f32],
        walk: &Walk,
        among: Option<&Among>,
        lists: Lists,
        out: &mut Vec<Neighbor>,
    ) -> Result<()> {
        let hardware = hardware(&self.device)?;
        let pool = MetalBufferPool::new(self.device.clone());
        let dimension = self.layout.dimension;
        let parts = dimension.div_ceil(4);
        let count = queries.len() / dimension;
        let walked_rows = self.walked();
        let kernel = self.specialised_graph_kernel(
            if among.is_some() {
                &WALK_AMONG
            } else {
                &WALK_EXTERNAL
            },
            walked_rows,
            walk.ef,
            count <= self.tuning.few_walks as usize,
        )?;
        let program = hardware.program(&kernel)?;
        let asked = pool.lend(Purpose::Storage, "queries", (count * parts * 16) as u64)?;
        upload_queries(&pool, queries, dimension, small(parts), &asked)?;
        let coded = if self.layout.precision == Precision::Int8 {
            let coded = codes::of(self.layout, queries);
            let bytes = size_of_val(coded.as_slice()) as u64;
            let buffer = pool.lend(Purpose::Storage, "coded queries", bytes)?;
            let parts = codes::query_parts(self.layout);
            upload_queries(&pool, &coded, parts as usize * 4, parts, &buffer)?;
            Some(buffer)
        } else {
            None
        };
        let again = if self.codes.is_some() && !self.layout.is_coded_alone() {
            let kernel = self.graph_kernel(&SCORE_AGAIN, lists.walked)?;
            let bytes = (count * lists.walked * 8) as u64;
            let walked = pool.lend(Purpose::Storage, "walked", bytes)?;
            Some((hardware.program(&kernel)?, walked))
        } else {
            None
        };
        let found_bytes = (count * lists.found * 8) as u64;
        let tally_bytes = count as u64 * 16;
        let found = pool.lend(Purpose::Storage, "found", found_bytes)?;
        let tallies = pool.lend(Purpose::Storage, "tallies", tally_bytes)?;
        let mut staging = pool.lend(
            Purpose::Readback,
            "found, read back",
            found_bytes + tally_bytes,
        )?;
        let epoch = self.next_epoch();
        let rows = walked_rows.buffers();
        let all_rows = self.rows.buffers();
        let links = self.graph.buffers();
        let mut recorder = Recorder::new(&self.device);
        let per_dispatch = self.walks_at_once(walk.ef, walk.level);
        for first in (0..small(count)).step_by(per_dispatch as usize) {
            let end = (first + per_dispatch).min(small(count));
            let params = WalkParams {
                queries: end,
                entry: walk.entry.slot,
                entry_level: small(walk.entry.level),
                level: small(walk.level),
                ef: small(walk.ef.max(1)),
                k: small(lists.walked),
                slots: small(self.graph.linked()),
                epoch,
                first,
                approach: among.map_or(0, |among| small(among.detour.approach)),
                hops: among.map_or(0, |among| small(among.detour.hops)),
                least: among.map_or(0, |among| among.detour.least()),
                seeds: among.map_or(0, |among| small(among.detour.seeds.len())),
            };
            let asked = coded.as_ref().unwrap_or(&asked);
            let walked = again.as_ref().map_or(&found, |(_, walked)| walked);
            let mut own = vec![(1, &**asked), (2, &**walked), (3, &*tallies)];
            if let Some(among) = among {
                own.extend([(4, &*among.allowed), (5, &*among.seeds)]);
            }
            recorder.dispatch(&program, &params, &own, &[&rows, &links], grid(end - first));
        }
        if let Some((program, walked)) = &again {
            let per_dispatch = self.at_once(lists.walked as u64);
            for first in (0..small(count)).step_by(per_dispatch as usize) {
                let end = (first + per_dispatch).min(small(count));
                let params = AgainParams {
                    queries: end,
                    first,
                    width: small(lists.walked),
                    k: small(lists.found),
                };
                let own = [(1, &*asked), (2, &**walked), (3, &*found), (4, &*tallies)];
                recorder.dispatch(program, &params, &own, &[&all_rows], grid(end - first));
            }
        }
        recorder.copy(&found, &staging, found_bytes);
        recorder.copy_range(&tallies, 0, &staging, found_bytes, tally_bytes);
        let submission = recorder.submit()?;
        let mut signed = true;
        read_back(
            &self.device,
            submission,
            &mut staging,
            found_bytes + tally_bytes,
            |bytes| {
                let (found, tallies) = bytes.split_at(count * lists.found * 8);
                let [mut distances, mut hops, mut scored_again] = [0u64; 3];
                for of in bytemuck::cast_slice::<u8, [u32; 4]>(tallies) {
                    distances += u64::from(of[0]);
                    hops += u64::from(of[1]);
                    signed &= of[2] == epoch && (again.is_none() || of[3] > 0);
                    scored_again += u64::from(of[3].saturating_sub(1));
                }
                let row = walked_rows.row_bytes();
                self.work.walked(distances, row, hops, self.layout);
                self.work.searched(scored_again, dimension);
                let found: &[Neighbor] = bytemuck::cast_slice(found);
                let missing = lists.width - lists.found;
                if missing == 0 {
                    out.extend_from_slice(found);
                } else {
                    for list in found.chunks_exact(lists.found) {
                        out.extend_from_slice(list);
                        out.extend(std::iter::repeat_n(Neighbor::NONE, missing));
                    }
                }
            },
        )?;
        if signed {
            Ok(())
        } else {
            Err(VectorizerError::SearchFailed)
        }
    }

    /// Walks that one dispatch makes.
    pub(super) fn walks_at_once(&self, ef: usize, level: usize) -> u32 {
        self.at_once(ef as u64 * self.layout.degree(level) as u64)
    }

    /// How many slots one dispatch takes, if each needs at most so many scores.
    pub(super) fn at_once(&self, scores: u64) -> u32 {
        let parts = self.layout.dimension.div_ceil(4) as u64;
        u32::try_from(self.tuning.dispatch_parts / (scores * parts).max(1))
            .unwrap_or(u32::MAX)
            .clamp(128, 1 << 20)
    }
}
