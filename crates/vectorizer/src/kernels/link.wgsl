// Adds the edges of a batch to the rows of their targets: one workgroup a target, which alone writes the target's row.

struct Params {
    level: u32,
    // The first segment of this dispatch.
    first: u32,
    members: u32,
    // The lowest slot of the batch.
    batch_first: u32,
    own: u32,
    fill: u32,
    degree: u32,
    target_count_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
// The rows of the batch's own slots, as selected.
@group(0) @binding(2) var<storage, read> member_rows: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> sources: array<vec2<u32>>;
// The distinct targets' number stands at `target_count_at`.
@group(0) @binding(5) var<storage, read> targets: array<u32>;
// The new rows of the targets, in the order of the segments.
@group(0) @binding(6) var<storage, read_write> target_rows: array<u32>;

// The nearest sources of a target that are considered.
const SOURCES: u32 = 128u;

var<workgroup> present: array<u32, DEGREE>;
var<workgroup> present_count: atomic<u32>;

// The number of a slot of the batch among the members, or `members` if it is none.
fn member_of(slot: u32) -> u32 {
    if slot < params.batch_first {
        return params.members;
    }
    // On level 0 they are consecutive, unless copies are left out.
    let guess = min(slot - params.batch_first, params.members - 1u);
    if members[guess] == slot {
        return guess;
    }
    var low = 0u;
    var high = params.members;
    while low < high {
        let middle = (low + high) >> 1u;
        if members[middle] < slot {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(THREADS)
fn link(place: Place) {
    let segment_at = params.first + place.group.x;
    if segment_at >= targets[params.target_count_at] {
        return;
    }
    let thread = thread_of(place);
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    let segment = segments[segment_at];
    let slot = segment.x;
    let member = member_of(slot);
    if thread == 0u {
        atomicStore(&present_count, 0u);
        atomicStore(&scored, 0u);
    }
    begin_queue(thread);
    if thread < params.degree {
        var there = NO_SLOT;
        if member < params.members {
            there = member_rows[member * params.degree + thread];
        } else {
            there = link_at(params.level, slot, thread);
        }
        present[thread] = there;
        if there != NO_SLOT {
            atomicAdd(&present_count, 1u);
        }
    }
    workgroupBarrier();
    let linked = atomicLoad(&present_count);

    var held = 0u;
    for (var base = 0u; base < segment.z; base += THREADS) {
        let at = base + thread;
        if at < segment.z {
            let source = sources[segment.y + at];
            var wanted = held < SOURCES || before(source.x, source.y, queue_key[held - 1u], queue_slot[held - 1u]);
            for (var other = 0u; other < linked; other++) {
                wanted = wanted && present[other] != source.y;
            }
            if wanted {
                let free = atomicAdd(&new_count, 1u);
                new_key[free] = source.x;
                new_slot[free] = source.y;
            }
        }
        workgroupBarrier();
        held = merge_new(thread, held, atomicLoad(&new_count), SOURCES, false);
    }

    let row = segment_at * params.degree;
    if linked + held <= params.degree {
        if thread < params.degree {
            var there = present[thread];
            if thread >= linked && thread < linked + held {
                there = queue_slot[thread - linked];
            }
            target_rows[row + thread] = there;
        }
        return;
    }
    for (var round = 0u; round < linked; round += teams) {
        let at = round + team;
        var there = NO_SLOT;
        if at < linked {
            there = present[at];
        }
        let score = score_rows(thread, there, slot, there != NO_SLOT);
        if leads && there != NO_SLOT {
            new_key[at] = key_of(score);
            new_slot[at] = there;
        }
    }
    workgroupBarrier();
    held = merge_new(thread, held, linked, QUEUE, false);
    let chosen = choose(thread, held, params.own, params.fill);
    if thread < params.degree {
        var there = NO_SLOT;
        if thread < chosen {
            there = queue_slot[chosen_at[thread]] & ~FLAG;
        }
        target_rows[row + thread] = there;
    }
    if thread == 0u {
        add_work(0u, atomicLoad(&scored) + linked);
        add_work(2u, 1u);
    }
}
