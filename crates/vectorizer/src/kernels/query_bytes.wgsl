// Queries that came from outside, coded as rows are, held against rows in bytes: see `engine/code`.
//
// PARTS: vec4 of u32 in a coded row; the last holds its terms: middle, step, sum, squares. COMPONENTS: of a row. QUERY_SHARED: whether the
// query is kept in workgroup memory. QUERY_PARTS: PARTS if so, else 1. EUCLIDEAN: squared differences, else minus the products.

const TEAM: u32 = 8u;

@group(0) @binding(1) var<storage, read> queries: array<vec4<u32>>;
var<workgroup> query_parts: array<vec4<u32>, QUERY_PARTS>;

fn load_query(thread: u32, query: u32) {
    if QUERY_SHARED {
        for (var part = thread; part < PARTS; part += THREADS) {
            query_parts[part] = queries[query * PARTS + part];
        }
    }
    workgroupBarrier();
}

fn query_part(query: u32, part: u32) -> vec4<u32> {
    if QUERY_SHARED {
        return query_parts[part];
    }
    return queries[query * PARTS + part];
}

fn products(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return (dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y)) + (dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w));
}

// The score of the query and a row if `wanted`. Every thread of the workgroup has to call this.
fn score_query(thread: u32, query: u32, slot: u32, wanted: bool) -> f32 {
    var sum = 0i;
    var r = vec4<f32>();
    if wanted {
        r = bitcast<vec4<f32>>(row_part(slot, PARTS - 1u));
        var part = thread & 7u;
        while part + 24u < PARTS - 1u {
            let a0 = row_part(slot, part);
            let a1 = row_part(slot, part + 8u);
            let a2 = row_part(slot, part + 16u);
            let a3 = row_part(slot, part + 24u);
            sum += products(a0, query_part(query, part));
            sum += products(a1, query_part(query, part + 8u));
            sum += products(a2, query_part(query, part + 16u));
            sum += products(a3, query_part(query, part + 24u));
            part += 32u;
        }
        while part < PARTS - 1u {
            sum += products(row_part(slot, part), query_part(query, part));
            part += 8u;
        }
    }
    let q = bitcast<vec4<f32>>(query_part(query, PARTS - 1u));
    // Whole numbers, which floats hold exactly up to 2^24; beyond it, the order of the team's sum is always the same.
    let product = q.y * team_sum(thread, f32(sum)) * r.y;
    if EUCLIDEAN {
        let apart = q.x - r.x;
        let middles = apart * (f32(COMPONENTS) * apart + 2.0 * (q.z - r.z));
        return q.w + r.w + middles - 2.0 * product;
    }
    return 0.0 - (product + (r.x * (f32(COMPONENTS) * q.x + q.z) + q.x * r.z));
}
