// Queries that came from outside, held against rows in half floats times a power of two of each row: see `engine/code`.
//
// PARTS: vec4 of u32 in a coded row; the last holds the row's power of two. COMPONENTS: of a row. QUERY_SHARED: whether the query is kept in
// workgroup memory. QUERY_PARTS: vec4 in a query, two for each of a row, if so, else 1.

// vec4 in a query, and in a row.
const ASKED: u32 = (COMPONENTS + 3u) / 4u;
const HALVES: u32 = 2u * (PARTS - 1u);

@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;
var<workgroup> query_parts: array<vec4<f32>, QUERY_PARTS>;

// Zero beyond the last component, as rows are.
fn asked_part(query: u32, part: u32) -> vec4<f32> {
    if part < ASKED {
        return queries[query * ASKED + part];
    }
    return vec4<f32>();
}

fn load_query(thread: u32, query: u32) {
    if QUERY_SHARED {
        for (var part = thread; part < HALVES; part += THREADS) {
            query_parts[part] = asked_part(query, part);
        }
    }
    workgroupBarrier();
}

fn query_part(query: u32, part: u32) -> vec4<f32> {
    if QUERY_SHARED {
        return query_parts[part];
    }
    return asked_part(query, part);
}

fn add_halves(query: u32, part: u32, halves: vec4<u32>, step: f32, before: vec4<f32>) -> vec4<f32> {
    let low = vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));
    let high = vec4<f32>(unpack2x16float(halves.z), unpack2x16float(halves.w));
    let sum = add_part(before, low * step, query_part(query, 2u * part));
    return add_part(sum, high * step, query_part(query, 2u * part + 1u));
}

// The score of the query and a row if `wanted`. Every thread of the workgroup has to call this.
fn score_query(thread: u32, query: u32, slot: u32, wanted: bool) -> f32 {
    var sum = vec4<f32>();
    if wanted {
        let step = bitcast<vec4<f32>>(row_part(slot, PARTS - 1u)).y;
        var part = thread & 7u;
        while part + 24u < PARTS - 1u {
            let a0 = row_part(slot, part);
            let a1 = row_part(slot, part + 8u);
            let a2 = row_part(slot, part + 16u);
            let a3 = row_part(slot, part + 24u);
            sum = add_halves(query, part, a0, step, sum);
            sum = add_halves(query, part + 8u, a1, step, sum);
            sum = add_halves(query, part + 16u, a2, step, sum);
            sum = add_halves(query, part + 24u, a3, step, sum);
            part += 32u;
        }
        while part < PARTS - 1u {
            sum = add_halves(query, part, row_part(slot, part), step, sum);
            part += 8u;
        }
    }
    return finish_score(thread, sum);
}
