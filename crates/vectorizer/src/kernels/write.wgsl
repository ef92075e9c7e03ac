// Makes a batch's rows of links visible: those of its own slots, then those of its targets.

struct Params {
    level: u32,
    members: u32,
    degree: u32,
    // Where the number of targets stands.
    target_count_at: u32,
    // Threads of the dispatch.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read> member_rows: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> targets: array<u32>;
@group(0) @binding(5) var<storage, read> target_rows: array<u32>;

@compute @workgroup_size(256)
fn write_members(@builtin(global_invocation_id) global: vec3<u32>) {
    let total = params.members * params.degree;
    for (var at = global.x; at < total; at += params.stride) {
        set_link(params.level, members[at / params.degree], at % params.degree, member_rows[at]);
    }
}

@compute @workgroup_size(256)
fn write_targets(@builtin(global_invocation_id) global: vec3<u32>) {
    let total = targets[params.target_count_at] * params.degree;
    for (var at = global.x; at < total; at += params.stride) {
        set_link(params.level, segments[at / params.degree].x, at % params.degree, target_rows[at]);
    }
}
