// The rows that are compared: all of a run of the chunk, or those of a list.
//
// LISTED: whether there is a list; else something has to be bound, and is not read.
@group(0) @binding(3) var<storage, read> listed: array<u32>;

// The row, counted in the chunk, that is at `place` of those that are compared.
fn row_at(place: u32) -> u32 {
    if LISTED {
        return listed[place];
    }
    return place;
}
