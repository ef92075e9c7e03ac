// What was put down for a query looked through: of K rows none is farther than the limit that follows from the K-th nearest of what scores
// are at most, and what is beyond the limit goes. One workgroup a query.
//
// LAST: whether the rows that are left are to be scored. K: how many are asked for. KEEP: how many can be scored. CAPACITY: SORTED.
//
// Bounds: a query that met more rows than were put down is given up.

struct Params {
    queries: u32,
    first: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query_terms: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> limits: array<f32>;
@group(0) @binding(3) var<storage, read_write> met: array<u32>;
@group(0) @binding(4) var<storage, read_write> lists: array<vec4<u32>>;
// KEEP neighbours a query: key and slot.
@group(0) @binding(5) var<storage, read_write> merged: array<vec2<u32>>;

var<workgroup> left: atomic<u32>;

@compute @workgroup_size(256)
fn exact_settle(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = params.first + group.y * groups.x + group.x;
    if query >= params.queries {
        return;
    }
    let before_limit = limits[query];
    let count = met[query];
    let lost = before_limit <= GIVEN_UP || count > CAPACITY;
    let list = query * CAPACITY;
    var one = vec4<u32>(0u, NO_KEY, NO_SLOT, 0u);
    var two = one;
    if thread < count {
        one = lists[list + thread];
    }
    if thread + 256u < count && count <= CAPACITY {
        two = lists[list + thread + 256u];
    }
    sort_key[thread] = one.y;
    sort_slot[thread] = thread;
    sort_key[thread + 256u] = two.y;
    sort_slot[thread + 256u] = thread + 256u;
    if thread == 0u {
        atomicStore(&left, 0u);
    }
    workgroupBarrier();
    sort_blocks(thread, SORTED);

    var limit = before_limit;
    if count >= params.k {
        let bar = bitcast<f32>(score_bits_of(sort_key[params.k - 1u]));
        if bar < NO_LIMIT {
            if EUCLIDEAN {
                limit = bar * (1.0 + 3.0 * SQUARE_ERROR) - query_terms[query].w * (1.0 - 2.0 * SQUARE_ERROR);
            } else {
                limit = bar;
            }
        }
    }
    var stays_one = !lost && thread < count && bitcast<f32>(one.x) <= limit;
    var stays_two = !lost && thread + 256u < count && bitcast<f32>(two.x) <= limit;
    if LAST {
        for (var at = thread; at < KEEP; at += 256u) {
            merged[query * KEEP + at] = vec2<u32>(NO_KEY, NO_SLOT);
        }
        storageBarrier();
        workgroupBarrier();
    }
    if stays_one {
        stay(query, one);
    }
    if stays_two {
        stay(query, two);
    }
    workgroupBarrier();
    if thread == 0u {
        let stayed = atomicLoad(&left);
        met[query] = stayed;
        limits[query] = select(limit, GIVEN_UP, lost || (LAST && stayed > KEEP));
    }
}

fn stay(query: u32, candidate: vec4<u32>) {
    let at = atomicAdd(&left, 1u);
    if !LAST {
        lists[query * CAPACITY + at] = candidate;
    } else if at < KEEP {
        merged[query * KEEP + at] = vec2<u32>(NO_KEY, candidate.z);
    }
}
