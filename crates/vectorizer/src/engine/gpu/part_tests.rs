//! Parts of the graph's kernels through small entries of their own: the queue and the table of visited slots.

use crate::config::Precision;

use super::record::{Recorder, hardware, read_back};
use crate::engine::{NO_SLOT, Scoring};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::gpu::testing;
use crate::kernels::graph::{QUEUE, VISITED};
use crate::kernels::{Constant, Kernel, ORDER, Part, RowsShape, Specialised, params};

params! {
    MergeParams { held, fresh, room, number }
    VisitParams { slots, rounds }
}

/// Merges `fresh` into `held` entries of case `number`, and says what is held then and which entry is the first without a flag.
static MERGE: Kernel = Kernel {
    entry: "merge_test",
    params: MergeParams::FIELDS,
    parts: &[
        ORDER,
        QUEUE,
        Part::Text(
            "
struct Params { held: u32, fresh: u32, room: u32, number: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> merged: array<vec2<u32>>;
@compute @workgroup_size(THREADS)
fn merge_test(@builtin(local_invocation_index) thread: u32) {
    begin_queue(thread);
    let first = params.number * (QUEUE + FRESH);
    for (var at = thread; at < params.held; at += THREADS) {
        queue_key[at] = entries[first + at].x;
        queue_slot[at] = entries[first + at].y;
    }
    if thread < params.fresh {
        new_key[thread] = entries[first + QUEUE + thread].x;
        new_slot[thread] = entries[first + QUEUE + thread].y;
        atomicAdd(&new_count, 1u);
    }
    if thread == 0u {
        atomicStore(&next_at, NO_KEY);
    }
    workgroupBarrier();
    let held = merge_new(thread, params.held, params.fresh, params.room, true);
    let out = params.number * (QUEUE + 1u);
    for (var at = thread; at < held; at += THREADS) {
        merged[out + 1u + at] = vec2<u32>(queue_key[at], queue_slot[at]);
    }
    if thread == 0u {
        merged[out] = vec2<u32>(held, atomicLoad(&next_at) + atomicLoad(&new_count));
    }
}",
        ),
    ],
};

/// Every thread meets slots, each several times over all threads; counts how often each was met for the first time.
static VISIT: Kernel = Kernel {
    entry: "visit_test",
    params: VisitParams::FIELDS,
    parts: &[
        ORDER,
        VISITED,
        Part::Text(
            "
struct Params { slots: u32, rounds: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read_write> firsts: array<atomic<u32>>;
@compute @workgroup_size(THREADS)
fn visit_test(@builtin(local_invocation_index) thread: u32) {
    forget_visited(thread);
    workgroupBarrier();
    for (var at = 0u; at < params.rounds; at++) {
        let which = (thread * 7u + at) % params.slots;
        if visit(slots[which]) {
            atomicAdd(&firsts[which], 1u);
        }
    }
}",
        ),
    ],
};

fn specialised(kernel: &'static Kernel, constants: &[(&'static str, u32)]) -> Specialised {
    Specialised {
        kernel,
        rows: RowsShape {
            parts: 1,
            form: Precision::F32,
            chunks: 1,
            chunk_shift: 0,
        },
        scoring: Scoring::NegativeDot,
        subgroups: false,
        constants: constants
            .iter()
            .map(|(name, number)| (*name, Constant::Number(*number)))
            .collect(),
    }
}

/// Dispatches once for each of `params` over `input`, and reads `words` back.
fn run<P: bytemuck::Pod>(
    kernel: &Specialised,
    input: &[u32],
    params: &[P],
    words: usize,
) -> Vec<u32> {
    let device = testing::device();
    let hardware = hardware(&device).unwrap();
    let program = hardware.program(kernel).unwrap();
    let pool = MetalBufferPool::new(device.clone());
    let bytes = words as u64 * 4;
    let given = pool
        .lend(Purpose::Storage, "given", input.len() as u64 * 4)
        .unwrap();
    let out = pool.lend(Purpose::Storage, "out", bytes).unwrap();
    let mut staging = pool
        .lend(Purpose::Readback, "out, read back", bytes)
        .unwrap();
    hardware
        .guarded(|_| {
            hardware
                .queue()
                .write_buffer(&given, 0, bytemuck::cast_slice(input));
            Ok(())
        })
        .unwrap();
    let mut recorder = Recorder::new(&device);
    recorder.clear(&out);
    for params in params {
        recorder.dispatch(&program, params, &[(1, &given), (2, &out)], &[], [1, 1]);
    }
    recorder.copy(&out, &staging, bytes);
    let submission = recorder.submit().unwrap();
    let mut read = Vec::new();
    read_back(&device, submission, &mut staging, bytes, |bytes| {
        read.extend_from_slice(bytemuck::cast_slice(bytes));
    })
    .unwrap();
    read
}

#[test]
fn new_entries_are_merged_in_order_and_the_first_without_a_flag_is_found() {
    const FLAG: u32 = 1 << 31;
    const ROOM: usize = 600;
    const FRESH: usize = 64;
    let kernel = specialised(
        &MERGE,
        &[
            ("THREADS", 64),
            ("QUEUE", ROOM as u32),
            ("FRESH", FRESH as u32),
        ],
    );
    let mut dice = fastrand::Rng::with_seed(3);
    let mut input = Vec::new();
    let mut params = Vec::new();
    let mut expected = Vec::new();
    for held in [0, 1, 63, 64, 65, 255, 256, 257, 512, 600] {
        for fresh in [0, 1, 31, 64] {
            for room in [held.max(1), (held + 5).min(ROOM), ROOM] {
                // Few keys: ties, which slots break. Two thirds of the old ones have a flag.
                let mut old: Vec<(u32, u32)> = (0..held as u32)
                    .map(|at| (dice.u32(..40), 2 * at))
                    .collect();
                old.sort_unstable();
                let old: Vec<_> = old
                    .into_iter()
                    .map(|(key, slot)| (key, if dice.u32(..3) > 0 { slot | FLAG } else { slot }))
                    .collect();
                let new: Vec<(u32, u32)> = (0..fresh as u32)
                    .map(|_| (dice.u32(..40), 2 * dice.u32(..700) + 1))
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .rev()
                    .collect();
                params.push(MergeParams {
                    held: held as u32,
                    fresh: new.len() as u32,
                    room: room as u32,
                    number: params.len() as u32,
                });
                let mut entries = vec![0; 2 * (ROOM + FRESH)];
                for (at, (key, slot)) in old.iter().enumerate() {
                    entries[2 * at..][..2].copy_from_slice(&[*key, *slot]);
                }
                for (at, (key, slot)) in new.iter().enumerate() {
                    entries[2 * (ROOM + at)..][..2].copy_from_slice(&[*key, *slot]);
                }
                input.extend(entries);
                let mut all = [old, new].concat();
                all.sort_unstable_by_key(|(key, slot)| (*key, slot & !FLAG));
                all.truncate(room);
                let next = all.iter().position(|(_, slot)| slot & FLAG == 0);
                let next = next.map_or(u32::MAX, |at| at as u32);
                expected.push((next, all));
            }
        }
    }
    let found = run(&kernel, &input, &params, params.len() * 2 * (ROOM + 1));
    for ((found, (next, expected)), params) in found
        .chunks_exact(2 * (ROOM + 1))
        .zip(expected)
        .zip(&params)
    {
        assert_eq!(found[..2], [expected.len() as u32, next], "{params:?}");
        let found: Vec<_> = found[2..]
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .take(expected.len())
            .collect();
        assert_eq!(found, expected, "{params:?}");
    }
}

#[test]
fn a_crowded_table_of_visited_slots_forgets_nothing_and_invents_nothing() {
    // Three quarters of 256 places, the fullest a walk lets it be; slots that collide among them.
    let slots: Vec<u32> = (0..192u32)
        .map(|at| if at < 96 { at } else { at << 20 })
        .collect();
    assert!(!slots.contains(&NO_SLOT));
    let kernel = specialised(
        &VISIT,
        &[("THREADS", 64), ("VISITED", 256), ("VISITED_BITS", 8)],
    );
    let params = VisitParams {
        slots: 192,
        rounds: 192,
    };
    let firsts = run(&kernel, &slots, &[params], 192);
    assert_eq!(firsts, vec![1; 192]);
}
