// Where the halves are and where a thread stands, for products by instructions.
@group(0) @binding(1) var<storage, read> query_halves: array<f16>;
@group(0) @binding(2) var<storage, read> row_halves: array<f16>;

struct Place {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}

fn subgroup_of(place: Place) -> u32 {
    return place.subgroup;
}

fn lane_of(place: Place) -> u32 {
    return place.lane;
}

