// One query against a slab of rows, a team of threads for each row: where queries are few, reading the rows is what costs.
//
// Bounds: a team without a row does not read; a workgroup's list is its own.

struct Params {
    queries: u32,
    // The rows of this dispatch: from first_row in the chunk or in the list; row 0 of the chunk is slot first_slot.
    first_row: u32,
    rows: u32,
    first_slot: u32,
    // Rows of a slab; the number of the first slab among all of them.
    slab_rows: u32,
    first_slab: u32,
    slabs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> candidates: array<vec2<u32>>;

@compute @workgroup_size(256)
fn exact_scan(place: Place) {
    let thread = thread_of(place);
    let query = place.group.x;
    let list = query * params.slabs + params.first_slab + place.group.y;
    let start = place.group.y * params.slab_rows;
    let end = min(params.rows, start + params.slab_rows);
    load_query(thread, query);
    begin_nearest(thread);
    for (var base = start; base < end; base += 32u) {
        let row = base + thread / TEAM;
        let within = row < end;
        let at = row_at(params.first_row + min(row, params.rows - 1u));
        let slot = params.first_slot + at;
        let key = key_of(score_query(thread, query, at, within));
        var pending = within && (thread & 7u) == 0u && is_near(0u, key, slot);
        // Each cut makes room for KEEP, at least 16, of 32 rows: 3 rounds at most.
        for (var round = 0u; round < 4u; round++) {
            if pending && (!is_near(0u, key, slot) || put_down(0u, list, key, slot)) {
                pending = false;
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
            cut(thread, list, 0u, 1u);
        }
    }
    cut(thread, list, 0u, 1u);
}
