// Of each query: scores computed, rows of links read, and the epoch as the sign that its answer was written.
@group(0) @binding(3) var<storage, read_write> tallies: array<vec4<u32>>;

// All walk on one level.
fn level_of(query: u32) -> u32 {
    return params.level;
}

@compute @workgroup_size(THREADS)
fn walk_external(place: Place) {
    let query = query_of(place);
    if query >= params.queries {
        return;
    }
    let thread = thread_of(place);
    put_found(thread, query, beam(thread, query, descend(thread, query), params.ef));
    if thread == 0u {
        tallies[query] = vec4<u32>(distances, hops, params.epoch, 0u);
    }
}
