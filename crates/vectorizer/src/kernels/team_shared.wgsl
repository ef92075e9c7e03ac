// Teams of eight threads that share one score, where lanes cannot exchange values: through workgroup memory.

struct Place {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
}

var<workgroup> lane_values: array<f32, THREADS>;

fn thread_of(place: Place) -> u32 {
    return place.thread;
}

// The sum over a team, in every thread of it, in the order in which lanes would exchange.
fn team_sum(thread: u32, value: f32) -> f32 {
    lane_values[thread] = value;
    workgroupBarrier();
    let first = thread & ~7u;
    let sum = ((lane_values[first] + lane_values[first + 1u]) + (lane_values[first + 2u] + lane_values[first + 3u]))
        + ((lane_values[first + 4u] + lane_values[first + 5u]) + (lane_values[first + 6u] + lane_values[first + 7u]));
    workgroupBarrier();
    return sum;
}
