// Queries that are rows themselves: of each its slot, and the level it is to be linked on.
@group(0) @binding(1) var<storage, read> members: array<vec2<u32>>;

fn asked_part(query: u32, part: u32) -> vec4<f32> {
    return row_part(members[query].x, part);
}

fn level_of(query: u32) -> u32 {
    return members[query].y;
}
