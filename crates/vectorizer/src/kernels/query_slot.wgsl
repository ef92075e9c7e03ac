// Queries that are rows themselves.
@group(0) @binding(1) var<storage, read> members: array<u32>;

fn asked_part(query: u32, part: u32) -> vec4<f32> {
    return row_part(members[query], part);
}
