// Rows of links as they are to be without the dead: one workgroup a member, which is alive. Links to dead slots are replaced by links to
// slots that the dead led to, three for two, chosen beside those that stay.
//
// VISITED: room for the queue, the member, those that stay and a row, up to three quarters.

struct Params {
    members: u32,
    // The first member of this dispatch.
    first: u32,
    level: u32,
    // Places in a row of links on this level.
    degree: u32,
    // Candidates considered.
    keep: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
// A bit for each slot.
@group(0) @binding(2) var<storage, read> alive: array<u32>;
// The new rows.
@group(0) @binding(3) var<storage, read_write> rows: array<u32>;

var<workgroup> row: array<u32, DEGREE>;
var<workgroup> dead_count: atomic<u32>;
// The links that stay, in their order.
var<workgroup> kept: array<u32, DEGREE>;
var<workgroup> kept_key: array<u32, DEGREE>;
var<workgroup> kept_count: atomic<u32>;
var<workgroup> met: array<u32, DEGREE>;
var<workgroup> met_count: atomic<u32>;

fn is_alive(slot: u32) -> bool {
    return ((alive[slot >> 5u] >> (slot & 31u)) & 1u) != 0u;
}

@compute @workgroup_size(THREADS)
fn reconnect(place: Place) {
    let member = params.first + place.group.y * place.groups.x + place.group.x;
    if member >= params.members {
        return;
    }
    let thread = thread_of(place);
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    let slot = members[member];
    forget_visited(thread);
    if thread == 0u {
        atomicStore(&dead_count, 0u);
        atomicStore(&kept_count, 0u);
        atomicStore(&met_count, 0u);
        atomicStore(&scored, 0u);
    }
    begin_queue(thread);
    if thread == 0u {
        visit(slot);
    }
    if thread < params.degree {
        let there = link_at(params.level, slot, thread);
        row[thread] = there;
        if there != NO_SLOT && !is_alive(there) {
            atomicAdd(&dead_count, 1u);
        }
    }
    workgroupBarrier();
    let to = member * params.degree;
    let lacking = atomicLoad(&dead_count);
    if lacking == 0u {
        if thread < params.degree {
            rows[to + thread] = row[thread];
        }
        return;
    }
    if thread < params.degree {
        let there = row[thread];
        if there != NO_SLOT && is_alive(there) {
            var at = 0u;
            for (var other = 0u; other < thread; other++) {
                at += select(0u, 1u, is_alive(row[other]));
            }
            kept[at] = there;
            atomicAdd(&kept_count, 1u);
            visit(there);
        }
    }
    workgroupBarrier();
    let staying = atomicLoad(&kept_count);
    for (var round = 0u; round < staying; round += teams) {
        let at = round + team;
        var there = NO_SLOT;
        if at < staying {
            there = kept[at];
        }
        let score = score_rows(thread, there, slot, there != NO_SLOT);
        if leads && there != NO_SLOT {
            kept_key[at] = key_of(score);
        }
    }
    workgroupBarrier();

    var held = 0u;
    var remembered = 1u + staying;
    var distances = staying;
    var hops = 1u;
    // The rows of its dead.
    for (var step = 0u; step < params.degree; step++) {
        let source = row[step];
        if source == NO_SLOT {
            break;
        }
        if is_alive(source) {
            continue;
        }
        hops++;
        // Crowded: start again from what is in the queue. What fell out of it can never come back into it.
        if remembered + params.degree > VISITED / 4u * 3u {
            workgroupBarrier();
            forget_visited(thread);
            workgroupBarrier();
            for (var entry = thread; entry < held; entry += THREADS) {
                visit(queue_slot[entry]);
            }
            for (var entry = thread; entry < staying; entry += THREADS) {
                visit(kept[entry]);
            }
            if thread == 0u {
                visit(slot);
            }
            remembered = held + 1u + staying;
            workgroupBarrier();
        }
        if thread < params.degree {
            let there = link_at(params.level, source, thread);
            if there != NO_SLOT && is_alive(there) && visit(there) {
                met[atomicAdd(&met_count, 1u)] = there;
            }
        }
        workgroupBarrier();
        let count = atomicLoad(&met_count);
        let full = held == params.keep;
        let worst = max(held, 1u) - 1u;
        let worst_key = queue_key[worst];
        let worst_slot = queue_slot[worst];
        remembered += count;
        distances += count;
        for (var round = 0u; round < count; round += teams) {
            let at = round + team;
            var there = NO_SLOT;
            if at < count {
                there = met[at];
            }
            let score = score_rows(thread, there, slot, there != NO_SLOT);
            if leads && there != NO_SLOT {
                let key = key_of(score);
                if !full || before(key, there, worst_key, worst_slot) {
                    let free = atomicAdd(&new_count, 1u);
                    new_key[free] = key;
                    new_slot[free] = there;
                }
            }
        }
        workgroupBarrier();
        if thread == 0u {
            atomicStore(&met_count, 0u);
        }
        held = merge_new(thread, held, atomicLoad(&new_count), params.keep, false);
    }

    // Those that stay drop candidates like the chosen.
    var compared = 0u;
    for (var round = 0u; round < held; round += teams) {
        let at = round + team;
        var wanted = at < held;
        var candidate = NO_SLOT;
        var key = NO_KEY;
        if wanted {
            candidate = queue_slot[at];
            key = queue_key[at];
        }
        for (var other = 0u; other < staying; other++) {
            let apart = key_of(score_rows(thread, candidate, kept[other], wanted));
            if wanted {
                compared++;
                if drops(apart, key, kept_key[other]) {
                    wanted = false;
                    if leads {
                        queue_slot[at] = candidate | FLAG;
                    }
                }
            }
        }
    }
    if leads {
        atomicAdd(&scored, compared);
    }
    workgroupBarrier();
    // Three for two, as far as there is room: see the CPU engine.
    let wanted_links = min(lacking + (lacking + 1u) / 2u, params.degree - staying);
    let chosen = choose(thread, held, wanted_links, wanted_links);
    if thread < params.degree {
        var there = NO_SLOT;
        if thread < staying {
            there = kept[thread];
        } else if thread - staying < chosen {
            there = queue_slot[chosen_at[thread - staying]] & ~FLAG;
        }
        rows[to + thread] = there;
    }
    if thread == 0u {
        add_work(0u, atomicLoad(&scored) + distances);
        add_work(2u, hops);
    }
}
