// The HNSW heuristic over the queue: a candidate is dropped if it is nearer to one already chosen than to the slot whose links these
// are, or if all three are equally near, that is, if they are duplicates of one another.

const WINDOW: u32 = 64u;

// Places in the queue, in the order of the links.
var<workgroup> chosen_at: array<u32, DEGREE>;
// Scores that one thread of each team counted.
var<workgroup> scored: atomic<u32>;

fn drops(apart: u32, candidate: u32, chosen: u32) -> bool {
    return apart < candidate || (apart == candidate && candidate == chosen);
}

// Chooses at most `own` of the first `held` entries of the queue, then fills up to `fill` with the dropped, nearest first, of those
// equally near only the first. Returns how many places of `chosen_at` are set. Candidates are looked at in windows: those of a window are first compared with everything chosen
// before it, unless the caller has flagged them as dropped; then each that is chosen drops others behind it in the window. A candidate is thus compared with the same ones as if
// candidates were taken one by one. A barrier must lie between the writes of the queue and this call; one lies before its return.
fn choose(thread: u32, held: u32, own: u32, fill: u32) -> u32 {
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    var chosen = 0u;
    var considered = held;
    var count = 0u;
    var start = 0u;
    while start < held && chosen < own {
        let end = min(start + WINDOW, held);
        if chosen > 0u {
            for (var round = start; round < end; round += teams) {
                let at = round + team;
                var wanted = at < end;
                var slot = NO_SLOT;
                var key = NO_KEY;
                if wanted {
                    slot = queue_slot[at];
                    key = queue_key[at];
                    wanted = (slot & FLAG) == 0u;
                }
                for (var other = 0u; other < chosen; other++) {
                    let other_at = chosen_at[other];
                    let apart = key_of(score_rows(thread, slot, queue_slot[other_at], wanted));
                    if wanted {
                        count++;
                        if drops(apart, key, queue_key[other_at]) {
                            wanted = false;
                            if leads {
                                queue_slot[at] = slot | FLAG;
                            }
                        }
                    }
                }
            }
            workgroupBarrier();
        }
        var at = start;
        loop {
            while at < end && (queue_slot[at] & FLAG) != 0u {
                at++;
            }
            if at >= end {
                break;
            }
            if thread == 0u {
                chosen_at[chosen] = at;
            }
            chosen++;
            if chosen == own {
                considered = at + 1u;
                break;
            }
            let chosen_slot = queue_slot[at];
            let chosen_key = queue_key[at];
            for (var round = at + 1u; round < end; round += teams) {
                let other_at = round + team;
                var wanted = other_at < end;
                var slot = NO_SLOT;
                if wanted {
                    slot = queue_slot[other_at];
                    wanted = (slot & FLAG) == 0u;
                }
                let apart = key_of(score_rows(thread, slot, chosen_slot, wanted));
                if wanted {
                    count++;
                    if leads && drops(apart, queue_key[other_at], chosen_key) {
                        queue_slot[other_at] = slot | FLAG;
                    }
                }
            }
            workgroupBarrier();
            at++;
        }
        workgroupBarrier();
        start = end;
    }
    if leads {
        atomicAdd(&scored, count);
    }
    if chosen < fill {
        for (var at = 0u; at < considered && chosen < fill; at++) {
            let tied = at > 0u && queue_key[at] == queue_key[max(at, 1u) - 1u];
            if (queue_slot[at] & FLAG) != 0u && !tied {
                if thread == 0u {
                    chosen_at[chosen] = at;
                }
                chosen++;
            }
        }
    }
    workgroupBarrier();
    return chosen;
}
