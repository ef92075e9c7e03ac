// All scores of a few queries and a block of rows, for answers too long for the other kernels: a team of threads a score.
//
// Bounds: a team without a row neither reads nor writes.

struct Params {
    queries: u32,
    first_row: u32,
    rows: u32,
    epoch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Of each query as many scores as rows, and the search's number.
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(256)
fn exact_scores(place: Place) {
    let thread = thread_of(place);
    let query = place.group.x;
    let to = query * (params.rows + 1u);
    load_query(thread, query);
    for (var base = place.group.y * 32u; base < params.rows; base += place.groups.y * 32u) {
        let row = base + thread / TEAM;
        let within = row < params.rows;
        let at = row_at(params.first_row + min(row, params.rows - 1u));
        let score = score_query(thread, query, at, within);
        if within && (thread & 7u) == 0u {
            scores[to + row] = score;
        }
    }
    if thread == 0u && place.group.y == 0u {
        scores[to + params.rows] = bitcast<f32>(params.epoch);
    }
}
