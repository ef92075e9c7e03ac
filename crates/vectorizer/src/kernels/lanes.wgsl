// Whether lanes are numbered as the kernels take them to be: each number below THREADS is one thread's, and eight in a row exchange
// values where a subgroup has as many.
//
// Bounds: a thread whose number is too large writes nothing.

struct Params {
    groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// 1 where it is so, for each thread of each workgroup.
@group(0) @binding(1) var<storage, read_write> seats: array<atomic<u32>>;

@compute @workgroup_size(THREADS)
fn lanes(place: Place) {
    let thread = thread_of(place);
    // Every lane of a team adds a bit of its own.
    let sum = team_sum(thread, f32(1u << (thread & 7u)));
    let exchanged = sum == 255.0 || place.lanes < 8u;
    if thread < THREADS && place.group.x < params.groups {
        atomicAdd(&seats[place.group.x * THREADS + thread], select(2u, 1u, exchanged));
    }
}
