// Scores of members against members, a block of them at a time: tiles of 64 x 64, each thread 4 x 4 of them.

struct Params {
    members: u32,
    // The first row and the first column of the block, as numbers of members.
    first_row: u32,
    first_column: u32,
    // Columns of the block; the width of `scores`.
    columns: u32,
    rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

const TILE: u32 = 64u;
// Parts of a row that are in workgroup memory at a time.
const DEPTH: u32 = 4u;
// One more than the tile, against bank conflicts.
const PITCH: u32 = 65u;

var<workgroup> row_tile: array<vec4<f32>, 260>;
var<workgroup> column_tile: array<vec4<f32>, 260>;

@compute @workgroup_size(256)
fn near_score(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row0 = group.y * TILE;
    let column0 = group.x * TILE;
    let my_column = thread & 15u;
    let my_row = thread >> 4u;
    // What this thread loads: one part of one row and of one column.
    let load_part = thread & 3u;
    let load_at = thread >> 2u;
    let row_slot = members[min(params.first_row + row0 + load_at, params.members - 1u)];
    let column_slot = members[min(params.first_column + column0 + load_at, params.members - 1u)];

    var sums: array<vec4<f32>, 4>;
    for (var base = 0u; base < PARTS; base += DEPTH) {
        var a = vec4<f32>();
        var b = vec4<f32>();
        if base + load_part < PARTS {
            a = row_part(row_slot, base + load_part);
            b = row_part(column_slot, base + load_part);
        }
        row_tile[load_part * PITCH + load_at] = a;
        column_tile[load_part * PITCH + load_at] = b;
        workgroupBarrier();
        for (var part = 0u; part < DEPTH; part++) {
            let b0 = column_tile[part * PITCH + my_column];
            let b1 = column_tile[part * PITCH + my_column + 16u];
            let b2 = column_tile[part * PITCH + my_column + 32u];
            let b3 = column_tile[part * PITCH + my_column + 48u];
            let a0 = row_tile[part * PITCH + my_row];
            let a1 = row_tile[part * PITCH + my_row + 16u];
            let a2 = row_tile[part * PITCH + my_row + 32u];
            let a3 = row_tile[part * PITCH + my_row + 48u];
            sums[0] = add_four(sums[0], a0, b0, b1, b2, b3);
            sums[1] = add_four(sums[1], a1, b0, b1, b2, b3);
            sums[2] = add_four(sums[2], a2, b0, b1, b2, b3);
            sums[3] = add_four(sums[3], a3, b0, b1, b2, b3);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + my_row + 16u * i;
        if row < params.rows {
            for (var j = 0u; j < 4u; j++) {
                let column = column0 + my_column + 16u * j;
                if column < params.columns {
                    scores[row * params.columns + column] = select(-sums[i][j], sums[i][j], EUCLIDEAN);
                }
            }
        }
    }
}

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
