// The nearest rows that a workgroup has met, for each of its queries: candidates are put down in any order, in a list of
// CAPACITY in a buffer, and when one of the lists is full, all are sorted and cut to their first half. The last that stays is
// the bar for what comes.
//
// QUERIES: queries of a workgroup, 1 or a multiple of 16. CAPACITY: a power of two, 32 to 512. KEEP: half of it. Workgroups have 256 threads.

// Lists that are sorted at a time.
const AT_ONCE: u32 = SORTED / CAPACITY;

var<workgroup> bar_key: array<u32, QUERIES>;
var<workgroup> bar_slot: array<u32, QUERIES>;
var<workgroup> met: array<atomic<u32>, QUERIES>;
var<workgroup> crowded: atomic<u32>;

fn begin_nearest(thread: u32) {
    for (var query = thread; query < QUERIES; query += 256u) {
        bar_key[query] = NO_KEY;
        bar_slot[query] = NO_SLOT;
        atomicStore(&met[query], 0u);
    }
    if thread == 0u {
        atomicStore(&crowded, 0u);
    }
    workgroupBarrier();
}

// Whether a row is nearer than the bar.
fn is_near(query: u32, key: u32, slot: u32) -> bool {
    return before(key, slot, bar_key[query], bar_slot[query]);
}

// Puts a candidate down; false if the list is full, and then it has to be offered again after `settle`.
fn put_down(query: u32, list: u32, key: u32, slot: u32) -> bool {
    let at = atomicAdd(&met[query], 1u);
    if at >= CAPACITY {
        atomicStore(&crowded, 1u);
        return false;
    }
    candidates[list * CAPACITY + at] = vec2<u32>(key, slot);
    return true;
}

// Sorts and cuts the lists of all queries. `first_list` is that of query 0, `pitch` from one to the next.
fn cut(thread: u32, first_list: u32, pitch: u32, queries: u32) {
    storageBarrier();
    workgroupBarrier();
    for (var first = 0u; first < queries; first += AT_ONCE) {
        for (var entry = thread; entry < SORTED; entry += 256u) {
            let query = first + entry / CAPACITY;
            let at = entry % CAPACITY;
            var key = NO_KEY;
            var slot = NO_SLOT;
            if query < queries && at < atomicLoad(&met[min(query, QUERIES - 1u)]) {
                let candidate = candidates[(first_list + query * pitch) * CAPACITY + at];
                key = candidate.x;
                slot = candidate.y;
            }
            sort_key[entry] = key;
            sort_slot[entry] = slot;
        }
        workgroupBarrier();
        sort_blocks(thread, CAPACITY);
        let query = first + thread / KEEP;
        let at = thread % KEEP;
        if query < queries {
            let entry = (thread / KEEP) * CAPACITY + at;
            candidates[(first_list + query * pitch) * CAPACITY + at] = vec2<u32>(sort_key[entry], sort_slot[entry]);
            if at == KEEP - 1u {
                bar_key[query] = sort_key[entry];
                bar_slot[query] = sort_slot[entry];
            }
            if at == 0u {
                atomicStore(&met[query], min(KEEP, atomicLoad(&met[query])));
            }
        }
        storageBarrier();
        workgroupBarrier();
    }
}
