// Neighbours sorted by 256 threads in workgroup memory.

const SORTED: u32 = 512u;

var<workgroup> sort_key: array<u32, SORTED>;
var<workgroup> sort_slot: array<u32, SORTED>;

// Sorts `sort_key` and `sort_slot` in blocks of `size`, a power of two.
fn sort_blocks(thread: u32, size: u32) {
    for (var run = 2u; run <= size; run <<= 1u) {
        for (var stride = run >> 1u; stride > 0u; stride >>= 1u) {
            let low = ((thread & ~(stride - 1u)) << 1u) | (thread & (stride - 1u));
            let high = low | stride;
            let low_key = sort_key[low];
            let low_slot = sort_slot[low];
            let high_key = sort_key[high];
            let high_slot = sort_slot[high];
            let ascending = (low & (size - 1u) & run) == 0u;
            if before(high_key, high_slot, low_key, low_slot) == ascending {
                sort_key[low] = high_key;
                sort_slot[low] = high_slot;
                sort_key[high] = low_key;
                sort_slot[high] = low_slot;
            }
            workgroupBarrier();
        }
    }
}
