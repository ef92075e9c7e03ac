// Of a block of scores, the nearest members of each row, merged with what earlier blocks of columns gave: one workgroup a row.

struct Params {
    first_row: u32,
    first_column: u32,
    columns: u32,
    // How many neighbours are kept for each member, and where the lists of all members begin.
    keep: u32,
    lists_at: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> lists: array<vec2<u32>>;

var<workgroup> nearest_of: array<u32, THREADS>;
var<workgroup> bound: u32;
var<workgroup> within: atomic<u32>;

fn column_key(group: u32, column: u32, self_slot: u32) -> u32 {
    if column >= params.columns || members[params.first_column + column] == self_slot {
        return NO_KEY;
    }
    return key_of(scores[group * params.columns + column]);
}

// A key that at least `keep` of the columns do not exceed, if each thread has some: of the threads' nearest, the last that would be kept.
fn bound_of(thread: u32, group: u32, self_slot: u32) -> u32 {
    var mine = NO_KEY;
    for (var column = thread; column < params.columns; column += THREADS) {
        mine = min(mine, column_key(group, column, self_slot));
    }
    nearest_of[thread] = mine;
    workgroupBarrier();
    var rank = 0u;
    for (var other = 0u; other < THREADS; other++) {
        rank += u32(nearest_of[other] < mine || (nearest_of[other] == mine && other < thread));
    }
    if rank + 1u == params.keep {
        bound = mine;
    }
    if thread == 0u {
        atomicStore(&within, 0u);
    }
    workgroupBarrier();
    return bound;
}

@compute @workgroup_size(THREADS)
fn near_top(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = params.first_row + group.x;
    let self_slot = members[row];
    let list = params.lists_at + row * params.keep;
    var held = 0u;
    begin_queue(thread);
    if params.first_column > 0u {
        for (var at = thread; at < params.keep; at += THREADS) {
            let neighbor = lists[list + at];
            queue_key[at] = key_of(bitcast<f32>(neighbor.x));
            queue_slot[at] = neighbor.y & ~FLAG;
            if neighbor.y != NO_SLOT {
                atomicAdd(&next_at, 1u);
            }
        }
        workgroupBarrier();
        held = atomicLoad(&next_at);
        workgroupBarrier();
    }
    var next = 0u;
    if params.keep <= THREADS / 2u && params.columns >= 4u * THREADS && params.columns <= 32u * THREADS {
        // Few are within the bound, as a rule: they are merged at once. Bit i stands for column i * THREADS + thread.
        let most = bound_of(thread, group.x, self_slot);
        var mine = 0u;
        for (var i = 0u; i * THREADS < params.columns; i++) {
            let key = column_key(group.x, i * THREADS + thread, self_slot);
            mine |= select(0u, 1u << i, key <= most && key != NO_KEY);
        }
        atomicAdd(&within, countOneBits(mine));
        workgroupBarrier();
        if atomicLoad(&within) <= FRESH {
            for (var left = mine; left != 0u; left &= left - 1u) {
                let column = firstTrailingBit(left) * THREADS + thread;
                let free = atomicAdd(&new_count, 1u);
                new_key[free] = column_key(group.x, column, self_slot);
                new_slot[free] = members[params.first_column + column];
            }
            workgroupBarrier();
            held = merge_new(thread, held, atomicLoad(&new_count), params.keep, false);
            next = params.columns;
        }
    }
    for (var base = next; base < params.columns; base += THREADS) {
        let column = base + thread;
        if column < params.columns {
            let slot = members[params.first_column + column];
            let key = key_of(scores[group.x * params.columns + column]);
            if slot != self_slot && (held < params.keep || before(key, slot, queue_key[held - 1u], queue_slot[held - 1u])) {
                let free = atomicAdd(&new_count, 1u);
                new_key[free] = key;
                new_slot[free] = slot;
            }
        }
        workgroupBarrier();
        let fresh = atomicLoad(&new_count);
        if fresh > 0u {
            held = merge_new(thread, held, fresh, params.keep, false);
        } else {
            // What was just read must not be counted up by a faster thread's next column.
            workgroupBarrier();
        }
    }
    for (var at = thread; at < params.keep; at += THREADS) {
        var neighbor = vec2<u32>(NO_SCORE_BITS, NO_SLOT);
        if at < held {
            neighbor = vec2<u32>(score_bits_of(queue_key[at]), queue_slot[at]);
        }
        lists[list + at] = neighbor;
    }
}
