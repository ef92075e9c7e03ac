// The walk where only some slots may be found: two beams, see `engine/detour`.
//
// FRESH and MET: THREADS. Seeds are at most THREADS.

// The first beam's width at most.
const WIDEST: u32 = 16u;
// Rows of links that are read at a time.
const DETOURS: u32 = THREADS / DEGREE;

// Of each query: scores computed, rows of links read, and the epoch as the sign that its answer was written.
@group(0) @binding(3) var<storage, read_write> tallies: array<vec4<u32>>;
// A bit for each slot.
@group(0) @binding(4) var<storage, read> allowed: array<u32>;
@group(0) @binding(5) var<storage, read> seeds: array<u32>;

var<workgroup> near: array<u32, WIDEST>;
var<workgroup> row: array<u32, DEGREE>;
// Slots whose links are followed in place of those that lead to them.
var<workgroup> passed: array<u32, DEGREE>;
var<workgroup> passed_count: atomic<u32>;
var<workgroup> around: atomic<u32>;
var<workgroup> welcome: atomic<u32>;

// All walk on one level.
fn level_of(query: u32) -> u32 {
    return params.level;
}

fn is_allowed(slot: u32) -> bool {
    return ((allowed[slot >> 5u] >> (slot & 31u)) & 1u) != 0u;
}

// Notes a slot that may be found and had not been met.
fn meet(slot: u32) {
    if slot != NO_SLOT && is_allowed(slot) && visit(slot) {
        met[atomicAdd(&met_count, 1u)] = slot;
    }
}

// Makes sure that the table has room for what one round may meet. `remembered` is how many are in it; returns how many are then.
fn make_room(thread: u32, held: u32, remembered: u32) -> u32 {
    if remembered + THREADS <= VISITED / 4u * 3u {
        return remembered;
    }
    workgroupBarrier();
    forget_visited(thread);
    workgroupBarrier();
    for (var entry = thread; entry < held; entry += THREADS) {
        visit(queue_slot[entry] & ~FLAG);
    }
    workgroupBarrier();
    return held;
}

// Scores what was met and merges it into the queue. A barrier must lie between the meeting and this call. Returns how many are held.
fn merge_met(thread: u32, query: u32, held: u32) -> u32 {
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    let count = atomicLoad(&met_count);
    let full = held == params.ef;
    let worst = max(held, 1u) - 1u;
    let worst_key = queue_key[worst];
    let worst_slot = queue_slot[worst] & ~FLAG;
    distances += count;
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
    return merge_new(thread, held, atomicLoad(&new_count), params.ef, true);
}

@compute @workgroup_size(THREADS)
fn walk_among(place: Place) {
    let query = query_of(place);
    if query >= params.queries {
        return;
    }
    let thread = thread_of(place);
    let approached = beam(thread, query, descend(thread, query), min(params.approach, WIDEST));
    if thread < approached {
        near[thread] = queue_slot[thread] & ~FLAG;
    }
    if thread == 0u {
        atomicStore(&around, approached);
        atomicStore(&welcome, 0u);
        atomicStore(&met_count, 0u);
    }
    workgroupBarrier();
    // Who lives around the query?
    if thread < approached && is_allowed(near[thread]) {
        atomicAdd(&welcome, 1u);
    }
    for (var at = thread; at < approached * DEGREE; at += THREADS) {
        let slot = link_at(0u, near[at / DEGREE], at % DEGREE);
        if slot != NO_SLOT {
            atomicAdd(&around, 1u);
            if is_allowed(slot) {
                atomicAdd(&welcome, 1u);
            }
        }
    }
    workgroupBarrier();
    hops += approached;
    var held = 0u;
    // At most WIDEST * (DEGREE + 1) times 2 to the power of 16.
    if (atomicLoad(&welcome) << 16u) >= atomicLoad(&around) * params.least {
        forget_visited(thread);
        begin_queue(thread);
        if thread < approached {
            meet(near[thread]);
        }
        var remembered = THREADS;
        workgroupBarrier();
        held = merge_met(thread, query, held);
        for (var first = 0u; first < approached; first += DETOURS) {
            remembered = make_room(thread, held, remembered);
            let at = first + thread / DEGREE;
            if thread / DEGREE < DETOURS && at < approached && !is_allowed(near[at]) {
                meet(link_at(0u, near[at], thread % DEGREE));
            }
            workgroupBarrier();
            remembered += atomicLoad(&met_count);
            held = merge_met(thread, query, held);
        }
        remembered = make_room(thread, held, remembered);
        if thread < params.seeds {
            meet(seeds[thread]);
        }
        workgroupBarrier();
        remembered += atomicLoad(&met_count);
        held = merge_met(thread, query, held);
        held = beam_among(thread, query, held, remembered);
    }
    put_found(thread, query, held);
    if thread == 0u {
        tallies[query] = vec4<u32>(distances, hops, params.epoch, 0u);
    }
}

// Goes on from what is in the queue, over allowed slots alone. Returns how many are held.
fn beam_among(thread: u32, query: u32, begun: u32, noted: u32) -> u32 {
    var held = begun;
    var remembered = noted;
    for (var step = 0u; step < params.slots; step++) {
        let at = atomicLoad(&next_at);
        if at >= held {
            break;
        }
        remembered = make_room(thread, held, remembered);
        let expanded = queue_slot[at] & ~FLAG;
        if thread < DEGREE {
            let slot = link_at(0u, expanded, thread);
            row[thread] = slot;
            meet(slot);
        }
        workgroupBarrier();
        if thread == 0u {
            queue_slot[at] = expanded | FLAG;
            atomicStore(&next_at, NO_KEY);
            atomicStore(&passed_count, 0u);
        }
        hops++;
        remembered += atomicLoad(&met_count);
        held = merge_met(thread, query, held);
        if params.hops == 0u {
            continue;
        }
        if thread < DEGREE && row[thread] != NO_SLOT && !is_allowed(row[thread]) {
            var rank = 0u;
            for (var other = 0u; other < thread; other++) {
                rank += select(1u, 0u, is_allowed(row[other]));
            }
            if rank < params.hops {
                passed[rank] = row[thread];
                atomicAdd(&passed_count, 1u);
            }
        }
        workgroupBarrier();
        let count = atomicLoad(&passed_count);
        hops += count;
        for (var first = 0u; first < count; first += DETOURS) {
            remembered = make_room(thread, held, remembered);
            let other = first + thread / DEGREE;
            if thread / DEGREE < DETOURS && other < count {
                meet(link_at(0u, passed[other], thread % DEGREE));
            }
            workgroupBarrier();
            remembered += atomicLoad(&met_count);
            held = merge_met(thread, query, held);
        }
    }
    return held;
}
