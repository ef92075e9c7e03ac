// What building has cost since the engine was made: scores, then rows of links read, each a 64-bit number in two words.
@group(0) @binding(7) var<storage, read_write> work: array<atomic<u32>, 4>;

fn add_work(at: u32, amount: u32) {
    let old = atomicAdd(&work[at], amount);
    if old + amount < old {
        atomicAdd(&work[at + 1u], 1u);
    }
}
