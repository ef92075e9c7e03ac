// A sorted queue in workgroup memory, and the way new entries get into it: every thread finds out where its entries
// belong by counting, then all that have to move do so at once.
//
// QUEUE: room of the queue. FRESH: room for new entries, at most THREADS.

var<workgroup> queue_key: array<u32, QUEUE>;
var<workgroup> queue_slot: array<u32, QUEUE>;
var<workgroup> new_key: array<u32, FRESH>;
var<workgroup> new_slot: array<u32, FRESH>;
var<workgroup> new_count: atomic<u32>;
// The lowest place of a new entry.
var<workgroup> lowest: atomic<u32>;
// Lowered to the first entry of the queue without a flag by a merge that seeks it.
var<workgroup> next_at: atomic<u32>;

fn begin_queue(thread: u32) {
    if thread == 0u {
        atomicStore(&new_count, 0u);
        atomicStore(&lowest, NO_KEY);
        atomicStore(&next_at, 0u);
    }
    workgroupBarrier();
}

// How many of the new entries stand before a neighbour.
fn new_before(fresh: u32, key: u32, slot: u32) -> u32 {
    var count = 0u;
    for (var other = 0u; other < fresh; other++) {
        count += select(0u, 1u, before(new_key[other], new_slot[other], key, slot));
    }
    return count;
}

// Where the entry at `at` goes; itself, if it is not among those that move.
fn moved(at: u32, low: u32, held: u32, fresh: u32) -> u32 {
    if at < low || at >= held {
        return at;
    }
    return at + new_before(fresh, queue_key[at], queue_slot[at] & ~FLAG);
}

// Puts an entry in its new place, if it has one; lowers `first` to it if it has no flag.
fn put_moved(at: u32, to: u32, key: u32, slot: u32, room: u32, first: u32) -> u32 {
    if to == at || to >= room {
        return first;
    }
    queue_key[to] = key;
    queue_slot[to] = slot;
    return select(first, min(first, to), (slot & FLAG) == 0u);
}

// Merges `fresh` new entries, in any order and none of them in the queue, into its first `held` entries and keeps the
// first `room`. Returns how many are held then. A barrier must lie between the writes of the new entries and this call; one
// lies between its own writes and its return. Leaves `new_count` at zero.
fn merge_new(thread: u32, held: u32, fresh: u32, room: u32, seek: bool) -> u32 {
    var low = held;
    var first = NO_KEY;
    if fresh > 0u {
        var place = room;
        var key = NO_KEY;
        var slot = NO_SLOT;
        if thread < fresh {
            key = new_key[thread];
            slot = new_slot[thread];
            place = 0u;
            var high = held;
            while place < high {
                let middle = (place + high) >> 1u;
                if before(queue_key[middle], queue_slot[middle] & ~FLAG, key, slot) {
                    place = middle + 1u;
                } else {
                    high = middle;
                }
            }
            atomicMin(&lowest, place);
            place += new_before(fresh, key, slot);
        }
        workgroupBarrier();
        low = min(held, atomicLoad(&lowest));
        // From the last block to that of the lowest new entry: entries only move towards the end, and what a block overwrites
        // beyond itself has been moved already. Four entries a thread share a barrier.
        var end = (held + 4u * THREADS - 1u) / (4u * THREADS) * (4u * THREADS);
        while end > low {
            let at0 = end - 4u * THREADS + thread;
            let at1 = at0 + THREADS;
            let at2 = at1 + THREADS;
            let at3 = at2 + THREADS;
            let to0 = moved(at0, low, held, fresh);
            let to1 = moved(at1, low, held, fresh);
            let to2 = moved(at2, low, held, fresh);
            let to3 = moved(at3, low, held, fresh);
            let key0 = queue_key[min(at0, QUEUE - 1u)];
            let key1 = queue_key[min(at1, QUEUE - 1u)];
            let key2 = queue_key[min(at2, QUEUE - 1u)];
            let key3 = queue_key[min(at3, QUEUE - 1u)];
            let slot0 = queue_slot[min(at0, QUEUE - 1u)];
            let slot1 = queue_slot[min(at1, QUEUE - 1u)];
            let slot2 = queue_slot[min(at2, QUEUE - 1u)];
            let slot3 = queue_slot[min(at3, QUEUE - 1u)];
            workgroupBarrier();
            first = put_moved(at0, to0, key0, slot0, room, first);
            first = put_moved(at1, to1, key1, slot1, room, first);
            first = put_moved(at2, to2, key2, slot2, room, first);
            first = put_moved(at3, to3, key3, slot3, room, first);
            end -= 4u * THREADS;
        }
        if place < room {
            queue_key[place] = key;
            queue_slot[place] = slot;
            first = min(first, place);
        }
        // All have passed a barrier since they read it.
        if thread == 0u {
            atomicStore(&new_count, 0u);
        }
    }
    if seek {
        for (var at = thread; at < min(low, first); at += THREADS) {
            if (queue_slot[at] & FLAG) == 0u {
                first = at;
            }
        }
        if first != NO_KEY {
            atomicMin(&next_at, first);
        }
    }
    workgroupBarrier();
    if thread == 0u {
        atomicStore(&lowest, NO_KEY);
    }
    return min(room, held + fresh);
}
