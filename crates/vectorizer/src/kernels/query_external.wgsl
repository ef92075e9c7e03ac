// Queries that came from outside, whole rows end to end.
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;

fn asked_part(query: u32, part: u32) -> vec4<f32> {
    return queries[query * PARTS + part];
}
