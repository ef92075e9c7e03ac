// Scores the candidates of one chunk as every other kernel scores: tiles sum in another order. One workgroup a query.
//
// Bounds: only slots of the bound chunk are read.

struct Params {
    queries: u32,
    first: u32,
    // The slots of the chunk.
    first_slot: u32,
    end_slot: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> merged: array<vec2<u32>>;

@compute @workgroup_size(256)
fn exact_rescore(place: Place) {
    let query = params.first + place.group.y * place.groups.x + place.group.x;
    if query >= params.queries {
        return;
    }
    let thread = thread_of(place);
    load_query(thread, query);
    for (var base = 0u; base < KEEP; base += 32u) {
        let at = base + thread / TEAM;
        var slot = NO_SLOT;
        if at < KEEP {
            slot = merged[query * KEEP + at].y;
        }
        let here = slot >= params.first_slot && slot < params.end_slot;
        let score = score_query(thread, query, slot - params.first_slot, here);
        if here && (thread & 7u) == 0u {
            merged[query * KEEP + at].x = key_of(score);
        }
    }
}
