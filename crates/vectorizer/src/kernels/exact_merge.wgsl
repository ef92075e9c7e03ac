// The lists of a query's slabs made one, sorted: one workgroup a query.
//
// Bounds: lists past the last slab are not read.

struct Params {
    slabs: u32,
    // The first query of this dispatch.
    first: u32,
    queries: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> candidates: array<vec2<u32>>;
// KEEP neighbours a query: key and slot.
@group(0) @binding(2) var<storage, read_write> merged: array<vec2<u32>>;
// Of each query the bits of the last of its scores, above every score if all rows there are were kept: what was left out is not nearer.
@group(0) @binding(3) var<storage, read_write> bars: array<u32>;

@compute @workgroup_size(256)
fn exact_merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = params.first + group.y * groups.x + group.x;
    if query >= params.queries {
        return;
    }
    for (var entry = thread; entry < KEEP; entry += 256u) {
        sort_key[entry] = NO_KEY;
        sort_slot[entry] = NO_SLOT;
    }
    for (var slab = 0u; slab < params.slabs; slab += SORTED / KEEP - 1u) {
        for (var entry = KEEP + thread; entry < SORTED; entry += 256u) {
            let list = slab + entry / KEEP - 1u;
            var candidate = vec2<u32>(NO_KEY, NO_SLOT);
            if list < params.slabs {
                candidate = candidates[(query * params.slabs + list) * CAPACITY + entry % KEEP];
            }
            sort_key[entry] = candidate.x;
            sort_slot[entry] = candidate.y;
        }
        workgroupBarrier();
        sort_blocks(thread, SORTED);
    }
    for (var entry = thread; entry < KEEP; entry += 256u) {
        merged[query * KEEP + entry] = vec2<u32>(sort_key[entry], sort_slot[entry]);
    }
    if thread == 0u {
        bars[query] = score_bits_of(sort_key[KEEP - 1u]);
    }
}
