// Many queries against a slab of rows: tiles of 128 queries x 64 rows, each thread 8 x 4 of them. The scores never leave the
// workgroup: what is near is put down as a candidate.
//
// Bounds: queries and rows past the end are read as the last one and not put down; a workgroup's lists are its own.
// DEPTH: parts of a row that are in workgroup memory at a time, 2 or 4.

struct Params {
    queries: u32,
    // The rows of this dispatch: from first_row in the chunk or in the list; row 0 of the chunk is slot first_slot.
    first_row: u32,
    rows: u32,
    first_slot: u32,
    // Rows of a slab, a multiple of 64; the number of the first slab among all of them.
    slab_rows: u32,
    first_slab: u32,
    slabs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> candidates: array<vec2<u32>>;

const TILE_ROWS: u32 = 64u;
// Two more than the tile, so that neighbours in a column of it lie in different banks.
const QUERY_PITCH: u32 = QUERIES + 2u;
const ROW_PITCH: u32 = TILE_ROWS + 2u;

var<workgroup> query_tile: array<vec4<f32>, DEPTH * QUERY_PITCH>;
var<workgroup> row_tile: array<vec4<f32>, DEPTH * ROW_PITCH>;

fn add_one(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    if EUCLIDEAN {
        let d = a - b;
        return fma(d.w, d.w, fma(d.z, d.z, fma(d.y, d.y, fma(d.x, d.x, sum))));
    }
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn add_four(sum: vec4<f32>, a: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(add_one(sum.x, a, b0), add_one(sum.y, a, b1), add_one(sum.z, a, b2), add_one(sum.w, a, b3));
}

fn fetch_query(first_query: u32, at: u32, part: u32) -> vec4<f32> {
    if part < PARTS {
        return queries[min(first_query + at, params.queries - 1u) * PARTS + part];
    }
    return vec4<f32>();
}

@compute @workgroup_size(256)
fn exact_tile(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first_query = group.x * QUERIES;
    let queries_here = min(QUERIES, params.queries - first_query);
    let slab = params.first_slab + group.y;
    let first_list = first_query * params.slabs + slab;
    let slab_start = group.y * params.slab_rows;
    let slab_end = min(params.rows, slab_start + params.slab_rows);
    let my_row = thread & 15u;
    let my_query = thread >> 4u;
    // Of each tile, this thread fetches one part of one row and of one or two queries.
    let fetch_part = thread % DEPTH;
    let fetch_at = thread / DEPTH;
    begin_nearest(thread);

    for (var tile = slab_start; tile < slab_end; tile += TILE_ROWS) {
        var sum0 = vec4<f32>();
        var sum1 = vec4<f32>();
        var sum2 = vec4<f32>();
        var sum3 = vec4<f32>();
        var sum4 = vec4<f32>();
        var sum5 = vec4<f32>();
        var sum6 = vec4<f32>();
        var sum7 = vec4<f32>();
        // What goes into workgroup memory next is fetched while what is there is computed with.
        let fetch_row = row_at(min(tile + fetch_at, params.rows - 1u) + params.first_row);
        var next_query = fetch_query(first_query, fetch_at, fetch_part);
        var next_query_2 = vec4<f32>();
        if DEPTH == 4u {
            next_query_2 = fetch_query(first_query, fetch_at + 64u, fetch_part);
        }
        var next_row = vec4<f32>();
        if fetch_at < TILE_ROWS && fetch_part < PARTS {
            next_row = row_part(fetch_row, fetch_part);
        }
        for (var base = 0u; base < PARTS; base += DEPTH) {
            query_tile[fetch_part * QUERY_PITCH + fetch_at] = next_query;
            if DEPTH == 4u {
                query_tile[fetch_part * QUERY_PITCH + fetch_at + 64u] = next_query_2;
            }
            if fetch_at < TILE_ROWS {
                row_tile[fetch_part * ROW_PITCH + fetch_at] = next_row;
            }
            workgroupBarrier();
            let next_part = base + DEPTH + fetch_part;
            next_query = fetch_query(first_query, fetch_at, next_part);
            if DEPTH == 4u {
                next_query_2 = fetch_query(first_query, fetch_at + 64u, next_part);
            }
            next_row = vec4<f32>();
            if fetch_at < TILE_ROWS && next_part < PARTS {
                next_row = row_part(fetch_row, next_part);
            }
            for (var part = 0u; part < DEPTH; part++) {
                let row_at = part * ROW_PITCH + my_row;
                let b0 = row_tile[row_at];
                let b1 = row_tile[row_at + 16u];
                let b2 = row_tile[row_at + 32u];
                let b3 = row_tile[row_at + 48u];
                let query_at = part * QUERY_PITCH + my_query;
                sum0 = add_four(sum0, query_tile[query_at], b0, b1, b2, b3);
                sum1 = add_four(sum1, query_tile[query_at + 16u], b0, b1, b2, b3);
                sum2 = add_four(sum2, query_tile[query_at + 32u], b0, b1, b2, b3);
                sum3 = add_four(sum3, query_tile[query_at + 48u], b0, b1, b2, b3);
                sum4 = add_four(sum4, query_tile[query_at + 64u], b0, b1, b2, b3);
                sum5 = add_four(sum5, query_tile[query_at + 80u], b0, b1, b2, b3);
                sum6 = add_four(sum6, query_tile[query_at + 96u], b0, b1, b2, b3);
                sum7 = add_four(sum7, query_tile[query_at + 112u], b0, b1, b2, b3);
            }
            workgroupBarrier();
        }

        // A copy that may be indexed, so that the sums themselves stay in registers.
        var scores = array<vec4<f32>, 8>(sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7);
        var pending = 0u;
        for (var i = 0u; i < 8u; i++) {
            let query = my_query + 16u * i;
            for (var j = 0u; j < 4u; j++) {
                let row = tile + my_row + 16u * j;
                let slot = params.first_slot + row_at(params.first_row + min(row, params.rows - 1u));
                let score = select(-scores[i][j], scores[i][j], EUCLIDEAN);
                if query < queries_here && row < slab_end
                    && is_near(query, key_of(score), slot) {
                    pending |= 1u << (4u * i + j);
                }
            }
        }
        // Each cut makes room for KEEP, at least 16, of a tile's 64 rows: 5 rounds at most.
        for (var round = 0u; round < 6u; round++) {
            for (var left = pending; left != 0u; left &= left - 1u) {
                let bit = firstTrailingBit(left);
                let query = my_query + 16u * (bit >> 2u);
                let row = tile + my_row + 16u * (bit & 3u);
                let slot = params.first_slot + row_at(params.first_row + row);
                let sum = scores[bit >> 2u][bit & 3u];
                let key = key_of(select(-sum, sum, EUCLIDEAN));
                if !is_near(query, key, slot) || put_down(query, first_list + query * params.slabs, key, slot) {
                    pending &= ~(1u << bit);
                }
            }
            workgroupBarrier();
            let again = atomicLoad(&crowded);
            workgroupBarrier();
            if again == 0u {
                break;
            }
            if thread == 0u {
                atomicStore(&crowded, 0u);
            }
            cut(thread, first_list, params.slabs, queries_here);
        }
    }
    cut(thread, first_list, params.slabs, queries_here);
}
