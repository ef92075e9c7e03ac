// The answer: a query's candidates in their order, cut to k. One workgroup a query. The last kernel of a search: it
// signs with the search's number.
//
// Bounds: k is at most KEEP.

struct Params {
    queries: u32,
    first: u32,
    k: u32,
    epoch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> merged: array<vec2<u32>>;
// Of each query k neighbours, bits of the score and slot, and the signature.
@group(0) @binding(2) var<storage, read_write> found: array<u32>;

@compute @workgroup_size(256)
fn exact_order(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = params.first + group.y * groups.x + group.x;
    if query >= params.queries {
        return;
    }
    for (var entry = thread; entry < SORTED; entry += 256u) {
        var candidate = vec2<u32>(NO_KEY, NO_SLOT);
        if entry < KEEP {
            candidate = merged[query * KEEP + entry];
        }
        sort_key[entry] = candidate.x;
        sort_slot[entry] = candidate.y;
    }
    workgroupBarrier();
    sort_blocks(thread, SORTED);
    let to = query * (2u * params.k + 1u);
    for (var entry = thread; entry < params.k; entry += 256u) {
        found[to + 2u * entry] = score_bits_of(sort_key[entry]);
        found[to + 2u * entry + 1u] = sort_slot[entry];
    }
    if thread == 0u {
        found[to + 2u * params.k] = params.epoch;
    }
}
