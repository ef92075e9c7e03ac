// Many queries against many rows by products of matrices of half floats: tiles of 128 queries x 128 rows, each of eight subgroups
// of 32 threads 32 x 64 of them. What cannot be ruled out is put down: nothing is lost to rounding.
//
// Let q and r be a query and a row, q' and r' what their halves stand for, p the product that was computed of these. The halves of q are off
// by |q - q'|, and reach to |q| + |q - q'|, which is not less than |q| or |q'|; likewise of r. Then
//   |q r - p| <= |q' (r - r')| + |(q - q') r| + |q' r' - p| <= reach(q) off(r) + off(q) reach(r) + e reach(q) reach(r)
// where e is what a sum of n terms may be off. Devices sum products of matrices in an order and with a rounding of their own; we take them to lose
// no more than two units in the last place (of 24 bits) of the largest partial sum for each term. HALVES_ERROR is 5 (n + 64) 2^-24: that, what
// f32 loses in the score itself, and the roundings below. SQUARE_ERROR is (n + 64) 2^-24: the same for squared lengths.
//
// - Dot product: the score is at least v = -p - the bound.
// - Euclidean: it is at least (|q|² + v) (1 - SQUARE_ERROR), where v = |r|² - 2 p - twice the bound.
//
// A row is put down if v is not above the query's limit, which `exact_settle` takes from what was put down before.
//
// Bounds: queries and rows are padded to whole tiles; a list's places are counted.

struct Params {
    // The first tile of rows of this dispatch.
    first_tile: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> query_terms: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> limits: array<f32>;
@group(0) @binding(5) var<storage, read> row_terms: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> slots: array<u32>;
// How many rows were put down for each query, and for each CAPACITY of them: the value, the key of what the score is at most, the slot.
@group(0) @binding(7) var<storage, read_write> met: array<atomic<u32>>;
@group(0) @binding(8) var<storage, read_write> lists: array<vec4<u32>>;

// A subgroup looks at 16 x 32 products at a time; eight more columns put neighbouring rows into different banks.
const PITCH: u32 = 40u;
var<workgroup> products: array<f32, 5120>;
// The terms of the tile's queries, the last of them replaced by the limit.
var<workgroup> asked: array<vec4<f32>, 128>;

fn value_of(query: u32, product: f32, terms: vec4<f32>) -> f32 {
    let known = asked[query];
    return fma(-known.z, terms.w, fma(-known.y, terms.z, fma(-(known.x * terms.y), product, terms.x)));
}

fn offer(subgroup: u32, lane: u32, first_query: u32, row: u32) {
    let terms = row_terms[row];
    let at = subgroup * 16u * PITCH + lane;
    let first = first_query % 128u;
    // Most are not near: without a branch for each.
    var near = 0u;
    for (var i = 0u; i < 16u; i++) {
        let value = value_of(first + i, products[at + i * PITCH], terms);
        near |= select(0u, 1u << i, value <= asked[first + i].w);
    }
    for (; near != 0u; near &= near - 1u) {
        let i = firstTrailingBit(near);
        put_down(first_query + i, row, value_of(first + i, products[at + i * PITCH], terms), terms);
    }
}

fn put_down(query: u32, row: u32, value: f32, terms: vec4<f32>) {
    let at = atomicAdd(&met[query], 1u);
    if at >= CAPACITY {
        return;
    }
    var most = NEVER;
    if terms.x > 0.5 * ALWAYS {
        let known = query_terms[query];
        most = value + 2.04 * fma(known.z, terms.w, known.y * terms.z);
        if EUCLIDEAN {
            most = max(most + known.w + 3.0 * SQUARE_ERROR * (terms.x + known.w), 0.0) * (1.0 + SQUARE_ERROR);
        }
    }
    lists[query * CAPACITY + at] = vec4<u32>(bitcast<u32>(value), key_of(most), slots[row], 0u);
}

@compute @workgroup_size(256)
fn exact_products(place: Place) {
    let first_query = place.group.x * 128u;
    if place.thread < 128u {
        let known = query_terms[first_query + place.thread];
        asked[place.thread] = vec4<f32>(known.xyz, limits[first_query + place.thread]);
    }
    let subgroup = subgroup_of(place);
    multiply(
        subgroup,
        lane_of(place),
        first_query + (subgroup / 2u) * 32u,
        (params.first_tile + place.group.y) * 128u + (subgroup % 2u) * 64u,
    );
}
