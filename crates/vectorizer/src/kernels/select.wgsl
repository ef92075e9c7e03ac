// Chooses the links of new slots among their candidates and lists each link as an edge for its target: one workgroup a member.

// Of at least so many candidates it can be said that they are a crowd of copies.
const CROWD: u32 = 16u;

struct Params {
    members: u32,
    // The first member of this dispatch.
    first: u32,
    // Entries of a list of the walk's results, 0 if there was no walk; lists begin at `walked_at`.
    walked: u32,
    walked_at: u32,
    // Entries of a list of near members; lists begin at `near_at`.
    near: u32,
    near_at: u32,
    // Candidates considered.
    keep: u32,
    own: u32,
    fill: u32,
    // Places in a row of links on this level.
    degree: u32,
    // Where in `targets` the number of distinct targets stands.
    target_count_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read> lists: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> member_rows: array<u32>;
// Beside each link: the key of its score, and its number among the edges of its target; none if it is no edge.
@group(0) @binding(4) var<storage, read_write> edges: array<vec2<u32>>;
// Of each slot: how many edges it is the target of.
@group(0) @binding(5) var<storage, read_write> targets: array<atomic<u32>>;
// The distinct targets, in no order, in the first component.
@group(0) @binding(6) var<storage, read_write> segments: array<vec4<u32>>;

@compute @workgroup_size(THREADS)
fn choose_links(place: Place) {
    let member = params.first + place.group.y * place.groups.x + place.group.x;
    if member >= params.members {
        return;
    }
    let thread = thread_of(place);
    let team = thread / TEAM;
    let teams = THREADS / TEAM;
    let leads = (thread & 7u) == 0u;
    let slot = members[member];
    if thread == 0u {
        atomicStore(&scored, 0u);
    }
    begin_queue(thread);
    var held = 0u;
    if params.walked > 0u {
        for (var at = thread; at < params.walked; at += THREADS) {
            let neighbor = lists[params.walked_at + member * params.walked + at];
            queue_key[at] = key_of(bitcast<f32>(neighbor.x));
            queue_slot[at] = neighbor.y;
            if neighbor.y != NO_SLOT {
                atomicAdd(&next_at, 1u);
            }
        }
        workgroupBarrier();
        held = atomicLoad(&next_at);
        workgroupBarrier();
    }
    // The near ones are scored again: tiles sum in another order than teams.
    for (var base = 0u; base < params.near; base += THREADS) {
        let count = min(THREADS, params.near - base);
        for (var round = 0u; round < count; round += teams) {
            let at = round + team;
            var near = NO_SLOT;
            if at < count {
                near = lists[params.near_at + member * params.near + base + at].y;
            }
            let score = score_rows(thread, near, slot, near != NO_SLOT);
            if leads && near != NO_SLOT {
                let free = atomicAdd(&new_count, 1u);
                new_key[free] = key_of(score);
                new_slot[free] = near;
                atomicAdd(&scored, 1u);
            }
        }
        workgroupBarrier();
        held = merge_new(thread, held, atomicLoad(&new_count), params.keep, false);
    }
    // One of more copies of a vector than are looked at: see the CPU engine's `crowded`.
    let crowded = params.keep >= CROWD && held == params.keep && queue_key[0] == queue_key[max(held, 1u) - 1u];
    let chosen = choose(thread, held, params.own, params.fill);
    for (var at = thread; at < params.degree; at += THREADS) {
        let edge = member * params.degree + at;
        var target_slot = NO_SLOT;
        if at < chosen {
            target_slot = queue_slot[chosen_at[at]] & ~FLAG;
            var number = NO_SLOT;
            if !crowded {
                number = atomicAdd(&targets[target_slot], 1u);
                if number == 0u {
                    segments[atomicAdd(&targets[params.target_count_at], 1u)].x = target_slot;
                }
            }
            edges[edge] = vec2<u32>(queue_key[chosen_at[at]], number);
        }
        member_rows[edge] = target_slot;
    }
    if thread == 0u {
        add_work(0u, atomicLoad(&scored));
    }
}
