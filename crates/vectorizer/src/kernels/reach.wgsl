// What links lead to, ring by ring: the slots of one ring lead to those of the next.
//
// Bounds: slots are below params.slots, links that are not (none, or broken ones) are passed over; places are below params.degree.
// Loops end: each goes over a range.

struct Params {
    // Slots with links; those that are not on the level are led to by nobody.
    slots: u32,
    start: u32,
    level: u32,
    // Places in a row of links on this level.
    degree: u32,
    // The ring that leads on; ring 0 is the start's alone, and leads to itself.
    ring: u32,
    // Threads of the dispatch.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Of each slot: 0 until it is reached, then all ones minus the ring it is in. Behind them: how many slots each ring has.
@group(0) @binding(1) var<storage, read_write> rings: array<atomic<u32>>;

const EARLIEST: u32 = 0xffffffffu;

var<workgroup> met: atomic<u32>;

// Whether this is the first to reach it. Of two that come at once one is; whoever comes from a later ring changes nothing.
fn reached(slot: u32) -> bool {
    if slot >= params.slots || atomicLoad(&rings[slot]) != 0u {
        return false;
    }
    return atomicMax(&rings[slot], EARLIEST - (params.ring + 1u)) == 0u;
}

@compute @workgroup_size(256)
fn reach(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    if thread == 0u {
        atomicStore(&met, 0u);
    }
    workgroupBarrier();
    var count = 0u;
    for (var slot = global.x; slot < params.slots; slot += params.stride) {
        if params.ring == 0u {
            count += u32(slot == params.start && reached(slot));
        } else if atomicLoad(&rings[slot]) == EARLIEST - params.ring {
            for (var place = 0u; place < params.degree; place++) {
                count += u32(reached(link_at(params.level, slot, place)));
            }
        }
    }
    atomicAdd(&met, count);
    workgroupBarrier();
    if thread == 0u {
        atomicAdd(&rings[params.slots + params.ring], atomicLoad(&met));
    }
}
