// Edges by target, in two steps: each distinct target takes a segment as long as its edges are many; then edges go to their places.
// Segments lie in no order, and so do the edges within one: whoever reads a segment orders it.

struct Params {
    members: u32,
    degree: u32,
    target_count_at: u32,
    // Of `take_segments` the first segment of the dispatch; of `place_edges` its number of threads.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read> member_rows: array<u32>;
@group(0) @binding(3) var<storage, read> edges: array<vec2<u32>>;
// Of each slot: first how many edges it is the target of, then where they begin.
@group(0) @binding(4) var<storage, read_write> targets: array<atomic<u32>>;
// Of each distinct target: the slot, where its edges begin, how many they are.
@group(0) @binding(5) var<storage, read_write> segments: array<vec4<u32>>;
// Of each edge: the key of its score and its source.
@group(0) @binding(6) var<storage, read_write> sources: array<vec2<u32>>;

var<workgroup> taken: atomic<u32>;
var<workgroup> group_start: atomic<u32>;

@compute @workgroup_size(256)
fn take_segments(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let count = atomicLoad(&targets[params.target_count_at]);
    if thread == 0u {
        atomicStore(&taken, 0u);
    }
    workgroupBarrier();
    var slot = NO_SLOT;
    var edge_count = 0u;
    var start = 0u;
    let at = params.stride + global.x;
    if at < count {
        slot = segments[at].x;
        edge_count = atomicLoad(&targets[slot]);
        start = atomicAdd(&taken, edge_count);
    }
    workgroupBarrier();
    if thread == 0u {
        atomicStore(&group_start, atomicAdd(&targets[params.target_count_at + 1u], atomicLoad(&taken)));
    }
    workgroupBarrier();
    if slot != NO_SLOT {
        start += atomicLoad(&group_start);
        segments[at] = vec4<u32>(slot, start, edge_count, 0u);
        atomicStore(&targets[slot], start);
    }
}

@compute @workgroup_size(256)
fn place_edges(@builtin(global_invocation_id) global: vec3<u32>) {
    let total = params.members * params.degree;
    for (var edge = global.x; edge < total; edge += params.stride) {
        let slot = member_rows[edge];
        if slot != NO_SLOT && edges[edge].y != NO_SLOT {
            let at = atomicLoad(&targets[slot]) + edges[edge].y;
            sources[at] = vec2<u32>(edges[edge].x, members[edge / params.degree]);
        }
    }
}
