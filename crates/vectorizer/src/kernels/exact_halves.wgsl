// Rows, or queries, in half floats, as products of matrices read them, with what has to be known of each to bound the error: a team of
// 32 threads a row.
//
// A row is multiplied by a power of two of its own, so that its largest number lies between 2^14 and 2^15. What would be less than the
// least normal half float becomes zero. Blocks of BLOCK rows by BLOCK numbers lie one after the other, those of the same rows first.
//
// ASKED: whether these are queries. DEPTHS: blocks of a row. BLOCK: 8 or 16. HALVES_ERROR, SQUARE_ERROR: see `exact_products`.
//
// Bounds: rows past the last are read as the last one, written as zeros, and are never near; what is written has room for whole tiles.

struct Params {
    // The rows of this dispatch, and the place of the first among those of the stretch.
    rows: u32,
    first: u32,
    // Where the stretch begins, in the chunk or in the list; row 0 of the chunk is slot first_slot.
    first_row: u32,
    first_slot: u32,
    // Runs of so many rows are taken in an order of their own, the number of the next run being `step` more, so that the first rows
    // are spread over all of them.
    run: u32,
    runs: u32,
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> halves: array<vec2<u32>>;
// Of a row: what a value begins with, the factor of its products, and what the error of a product is made of: how far the halves
// are off, and how far they reach. Of a query: its factor, its reach, how far its halves and sums are off, its squared length.
@group(0) @binding(2) var<storage, read_write> terms: array<vec4<f32>>;
// Of a row its slot, of a query the bits of its limit.
@group(0) @binding(4) var<storage, read_write> marks: array<u32>;

// The largest numbers of rows and queries for which the bound was proven, 2^-40 and 2^40, as bits.
const LEAST: u32 = 0x2b800000u;
const MOST: u32 = 0x53800000u;
// Covers what sums and roots are off, where it does not matter how much.
const AMPLE: f32 = 1.004;
const LEAST_HALF: f32 = 0.00006103515625;

var<workgroup> team_most: array<u32, 256>;
var<workgroup> team_sums: array<vec2<f32>, 256>;

fn most_of_team(thread: u32, mine: u32) -> u32 {
    team_most[thread] = mine;
    workgroupBarrier();
    for (var stride = 16u; stride > 0u; stride >>= 1u) {
        let other = team_most[thread ^ stride];
        workgroupBarrier();
        team_most[thread] = max(team_most[thread], other);
        workgroupBarrier();
    }
    return team_most[thread];
}

fn sums_of_team(thread: u32, mine: vec2<f32>) -> vec2<f32> {
    team_sums[thread] = mine;
    workgroupBarrier();
    for (var stride = 16u; stride > 0u; stride >>= 1u) {
        let other = team_sums[thread ^ stride];
        workgroupBarrier();
        team_sums[thread] = team_sums[thread] + other;
        workgroupBarrier();
    }
    return team_sums[thread];
}

fn spread(place: u32) -> u32 {
    let run = place / params.run;
    if run < params.runs {
        return ((run * params.step) % params.runs) * params.run + place % params.run;
    }
    return place;
}

// Rounded to the 11 bits of a half float. By the bits: compilers take packing and unpacking for nothing, and then nothing seems to be lost.
fn to_halves(v: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>((bitcast<vec4<u32>>(v) + vec4<u32>(0x1000u)) & vec4<u32>(0xffffe000u));
}

fn squared(v: vec4<f32>, sum: f32) -> f32 {
    return fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, sum))));
}

@compute @workgroup_size(256)
fn exact_halves(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (group.y * groups.x + group.x) * 8u;
    if first >= (params.rows + 127u) / 128u * 128u {
        return;
    }
    let at = first + thread / 32u;
    let lane = thread % 32u;
    let within = at < params.rows;
    let row = row_at(params.first_row + spread(params.first + min(at, params.rows - 1u)));
    var mine = 0u;
    for (var part = lane; part < PARTS; part += 32u) {
        let bits = bitcast<vec4<u32>>(row_part(row, part)) & vec4<u32>(0x7fffffffu);
        mine = max(mine, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    let most = most_of_team(thread, mine);
    let plain = most == 0u || (most >= LEAST && most <= MOST);
    let used = within && plain;
    let exponent = select(127u, most >> 23u, plain && most > 0u);
    let up = bitcast<f32>((268u - exponent) << 23u);
    let down = bitcast<f32>((exponent - 14u) << 23u);

    var sums = vec2<f32>();
    for (var part = lane; part < DEPTHS * BLOCK / 4u; part += 32u) {
        var value = vec4<f32>();
        if used && part < PARTS {
            value = row_part(row, part) * up;
        }
        let rounded = to_halves(value);
        let kept = select(vec4<f32>(), rounded, abs(rounded) >= vec4<f32>(LEAST_HALF));
        sums = vec2<f32>(squared(value, sums.x), squared(value - kept, sums.y));
        let number = 4u * part;
        let block = (at / BLOCK) * DEPTHS + number / BLOCK;
        let within_block = (at % BLOCK) * BLOCK + number % BLOCK;
        halves[(block * BLOCK * BLOCK + within_block) / 4u] =
            vec2<u32>(pack2x16float(kept.xy), pack2x16float(kept.zw));
    }
    sums = sums_of_team(thread, sums);
    if lane > 0u {
        return;
    }
    let square = sums.x * down * down;
    let off = sqrt(sums.y) * down * AMPLE;
    let reach = sqrt(sums.x) * down * AMPLE + off;
    if ASKED {
        terms[at] = vec4<f32>(down, reach, off + HALVES_ERROR * reach, square);
        marks[at] = bitcast<u32>(select(GIVEN_UP, NO_LIMIT, used));
    } else {
        let factor = select(1.0, 2.0, EUCLIDEAN);
        var value = vec4<f32>(select(0.0, square * (1.0 - SQUARE_ERROR), EUCLIDEAN), factor * down, factor * off, factor * reach);
        if !plain {
            value = vec4<f32>(ALWAYS, 0.0, 0.0, 0.0);
        }
        if !within {
            value = vec4<f32>(NEVER, 0.0, 0.0, 0.0);
        }
        terms[at] = value;
        marks[at] = params.first_slot + row;
    }
}
