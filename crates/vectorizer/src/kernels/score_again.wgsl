// What walks by a small form of the rows found, scored by the rows themselves, as every other kernel scores, and put into order by that. One
// workgroup a query.
//
// WIDTH: at least the neighbours that a walk left for each query.
//
// Bounds: slots that were found are there.

struct Params {
    queries: u32,
    first: u32,
    // Neighbours of a walk, and of an answer.
    width: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The bits of a score, and the slot; those that are none come last.
@group(0) @binding(2) var<storage, read> walked: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> found: array<vec2<u32>>;
// Of each query, in the last word: one more than the scores computed, as the sign that its answer was written; its walk left zero.
@group(0) @binding(4) var<storage, read_write> tallies: array<vec4<u32>>;

var<workgroup> again_key: array<u32, WIDTH>;
var<workgroup> again_slot: array<u32, WIDTH>;

@compute @workgroup_size(THREADS)
fn score_again(place: Place) {
    let query = params.first + place.group.y * place.groups.x + place.group.x;
    if query >= params.queries {
        return;
    }
    let thread = thread_of(place);
    load_query(thread, query);
    for (var base = 0u; base < params.width; base += THREADS / TEAM) {
        let at = base + thread / TEAM;
        var slot = NO_SLOT;
        if at < params.width {
            slot = walked[query * params.width + at].y;
        }
        let score = score_query(thread, query, slot, slot != NO_SLOT);
        if at < params.width && (thread & 7u) == 0u {
            again_key[at] = select(key_of(score), NO_KEY, slot == NO_SLOT);
            again_slot[at] = slot;
        }
    }
    workgroupBarrier();
    if thread == 0u {
        var count = 0u;
        while count < params.width && again_slot[count] != NO_SLOT {
            count++;
        }
        tallies[query].w = count + 1u;
    }
    for (var at = thread; at < params.width; at += THREADS) {
        let key = again_key[at];
        let slot = again_slot[at];
        var rank = at;
        var neighbor = vec2<u32>(NO_SCORE_BITS, NO_SLOT);
        if slot != NO_SLOT {
            rank = 0u;
            for (var other = 0u; other < params.width; other++) {
                rank += select(0u, 1u, before(again_key[other], again_slot[other], key, slot));
            }
            neighbor = vec2<u32>(score_bits_of(key), slot);
        }
        if rank < params.k {
            found[query * params.k + rank] = neighbor;
        }
    }
}
