// The slots a walk has met: an open-addressing table in workgroup memory.
//
// VISITED: its places, a power of two; the walk resets the table before three quarters of them are taken, so that it is never full.

var<workgroup> visited: array<atomic<u32>, VISITED>;

fn forget_visited(thread: u32) {
    for (var at = thread; at < VISITED; at += THREADS) {
        atomicStore(&visited[at], NO_SLOT);
    }
}

// Whether `slot` had not been met before; it has from now on.
fn visit(slot: u32) -> bool {
    var at = (slot * 2654435769u) >> (32u - VISITED_BITS);
    for (var step = 0u; step < 2u * VISITED; step++) {
        let there = atomicLoad(&visited[at]);
        if there == slot {
            return false;
        }
        if there == NO_SLOT {
            let found = atomicCompareExchangeWeak(&visited[at], NO_SLOT, slot);
            if found.exchanged {
                return true;
            }
            // Lost to another thread or to a weak exchange: look at the same place again.
        } else {
            at = (at + 1u) & (VISITED - 1u);
        }
    }
    // Not reached while the table has room. To score twice is better than to miss.
    return true;
}
