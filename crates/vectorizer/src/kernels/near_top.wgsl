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
    for (var base = 0u; base < params.columns; base += THREADS) {
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
