// Teams of eight lanes that share one score, where lanes can exchange values.

struct Place {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}

// Numbered so that a team's threads are lanes of one subgroup, whatever the device's own numbering.
fn thread_of(place: Place) -> u32 {
    return place.subgroup * place.lanes + place.lane;
}

// The sum over a team, in every lane of it.
fn team_sum(thread: u32, value: f32) -> f32 {
    var sum = value + subgroupShuffleXor(value, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}
