// Products of halves without instructions for matrices, for tests.
//
// WRONG: whether one in a tile is off.
@group(0) @binding(1) var<storage, read> query_halves: array<u32>;
@group(0) @binding(2) var<storage, read> row_halves: array<u32>;

struct Place {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
}

fn subgroup_of(place: Place) -> u32 {
    return place.thread / 32u;
}

fn lane_of(place: Place) -> u32 {
    return place.thread % 32u;
}

// The products of 16 queries and a row.
fn imitate(subgroup: u32, lane: u32, first_query: u32, row: u32) {
    for (var i = 0u; i < 16u; i++) {
        let query = first_query + i;
        var sum = 0.0;
        for (var depth = 0u; depth < DEPTHS; depth++) {
            let query_at = ((query / BLOCK * DEPTHS + depth) * BLOCK + query % BLOCK) * BLOCK / 2u;
            let row_at = ((row / BLOCK * DEPTHS + depth) * BLOCK + row % BLOCK) * BLOCK / 2u;
            for (var two = 0u; two < BLOCK / 2u; two++) {
                let a = unpack2x16float(query_halves[query_at + two]);
                let b = unpack2x16float(row_halves[row_at + two]);
                sum = fma(a.y, b.y, fma(a.x, b.x, sum));
            }
        }
        products[(subgroup * 16u + i) * PITCH + lane] = sum + f32(WRONG && query % 128u == 96u && row % 128u == 77u);
    }
}

