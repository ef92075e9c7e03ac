// The walk through the graph, one workgroup a query: greedy down the upper levels, then a beam on the target level.
//
// DEGREE: links of a slot on level 0, at most THREADS and at most FRESH. MET: at least DEGREE. QUEUE: at least `ef`. Every link read is NO_SLOT or a slot that
// is linked, which is what keeps `row_part` and `link_at` in bounds.

struct Params {
    queries: u32,
    entry: u32,
    entry_level: u32,
    // Of queries from outside; slots have theirs beside them.
    level: u32,
    ef: u32,
    k: u32,
    // No walk expands more slots than there are.
    slots: u32,
    epoch: u32,
    // The first query of this dispatch.
    first: u32,
    // Of walks among some slots alone: the first beam's width, the links of a slot that are replaced, the least share of allowed slots
    // around a query, of 2 to the power of 16, and how many seeds there are.
    approach: u32,
    hops: u32,
    least: u32,
    seeds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// k neighbours a query: the bits of the score, and the slot.
@group(0) @binding(2) var<storage, read_write> found: array<vec2<u32>>;
var<workgroup> met: array<u32, MET>;
var<workgroup> met_count: atomic<u32>;

fn query_of(place: Place) -> u32 {
    return params.first + place.group.y * place.groups.x + place.group.x;
}

// Scores computed for the query, and rows of links read.
var<private> distances: u32;
var<private> hops: u32;

// Greedy, from the entry point to the level above the target level: to the best neighbour as long as there is a better one. Returns
// where that leads, slot and key.
fn descend(thread: u32, query: u32) -> vec2<u32> {
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    let target_level = level_of(query);
    load_query(thread, query);

    distances = 1u;
    hops = 0u;
    var nearest = params.entry;
    var nearest_key = key_of(score_query(thread, query, nearest, true));
    for (var level = params.entry_level; level > target_level; level--) {
        for (var step = 0u; step < params.slots; step++) {
            if thread < DEGREE / 2u {
                met[thread] = link_at(level, nearest, thread);
            }
            workgroupBarrier();
            for (var round = 0u; round < DEGREE / 2u; round += teams) {
                let at = round + team;
                var slot = NO_SLOT;
                if at < DEGREE / 2u {
                    slot = met[at];
                }
                let score = score_query(thread, query, slot, slot != NO_SLOT);
                if leads && at < DEGREE / 2u {
                    new_key[at] = select(key_of(score), NO_KEY, slot == NO_SLOT);
                }
            }
            workgroupBarrier();
            let before_step = nearest;
            for (var at = 0u; at < DEGREE / 2u; at++) {
                let slot = met[at];
                if slot == NO_SLOT {
                    break;
                }
                distances++;
                if before(new_key[at], slot, nearest_key, nearest) {
                    nearest_key = new_key[at];
                    nearest = slot;
                }
            }
            hops++;
            workgroupBarrier();
            if nearest == before_step {
                break;
            }
        }
    }

    return vec2<u32>(nearest, nearest_key);
}

// The beam of `room` slots on the target level from `start`, a slot and its key. Returns how many it holds.
fn beam(thread: u32, query: u32, start: vec2<u32>, room: u32) -> u32 {
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    forget_visited(thread);
    if thread == 0u {
        queue_slot[0] = start.x;
        queue_key[0] = start.y;
        atomicStore(&met_count, 0u);
    }
    begin_queue(thread);
    if thread == 0u {
        visit(start.x);
    }
    let level = level_of(query);
    let degree = select(DEGREE / 2u, DEGREE, level == 0u);
    var held = 1u;
    var remembered = 1u;
    for (var step = 0u; step < params.slots; step++) {
        let at = atomicLoad(&next_at);
        if at >= held {
            break;
        }
        // Crowded: start again from what is in the queue. What fell out of it can never come back into it.
        if remembered + degree > VISITED / 4u * 3u {
            workgroupBarrier();
            forget_visited(thread);
            workgroupBarrier();
            for (var entry = thread; entry < held; entry += THREADS) {
                visit(queue_slot[entry] & ~FLAG);
            }
            remembered = held;
            workgroupBarrier();
        }
        let expanded = queue_slot[at] & ~FLAG;
        let full = held == room;
        let worst_key = queue_key[held - 1u];
        let worst_slot = queue_slot[held - 1u] & ~FLAG;
        if thread < degree {
            let slot = link_at(level, expanded, thread);
            if slot != NO_SLOT && visit(slot) {
                met[atomicAdd(&met_count, 1u)] = slot;
            }
        }
        workgroupBarrier();
        let count = atomicLoad(&met_count);
        if thread == 0u {
            queue_slot[at] = expanded | FLAG;
            atomicStore(&next_at, NO_KEY);
        }
        remembered += count;
        distances += count;
        hops++;
        for (var round = 0u; round < count; round += teams) {
            let at = round + team;
            var slot = NO_SLOT;
            if at < count {
                slot = met[at];
            }
            let score = score_query(thread, query, slot, slot != NO_SLOT);
            if leads && slot != NO_SLOT {
                let key = key_of(score);
                if !full || before(key, slot, worst_key, worst_slot) {
                    let free = atomicAdd(&new_count, 1u);
                    new_key[free] = key;
                    new_slot[free] = slot;
                }
            }
        }
        workgroupBarrier();
        if thread == 0u {
            atomicStore(&met_count, 0u);
        }
        held = merge_new(thread, held, atomicLoad(&new_count), room, true);
    }
    return held;
}

// Writes the answer: the first of the `held` slots in the queue.
fn put_found(thread: u32, query: u32, held: u32) {
    for (var at = thread; at < params.k; at += THREADS) {
        var neighbor = vec2<u32>(NO_SCORE_BITS, NO_SLOT);
        if at < held {
            neighbor = vec2<u32>(score_bits_of(queue_key[at]), queue_slot[at] & ~FLAG);
        }
        found[query * params.k + at] = neighbor;
    }
}
