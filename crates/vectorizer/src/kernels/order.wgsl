// Scores as integers in the same order, so that neither fast math nor a negative zero can disturb it; slots break ties.

const NO_SLOT: u32 = 0xffffffffu;
// Orders after every score there is.
const NO_KEY: u32 = 0xffffffffu;
// The top bit of a slot in a queue: expanded already by a walk, dropped already by a selection.
const FLAG: u32 = 0x80000000u;
// The score beside NO_SLOT in lists: the largest finite float.
const NO_SCORE_BITS: u32 = 0x7f7fffffu;

fn key_of(score: f32) -> u32 {
    var bits = bitcast<u32>(score);
    if bits == 0x80000000u {
        bits = 0u;
    }
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn score_bits_of(key: u32) -> u32 {
    return select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u);
}

// Whether neighbour a stands before neighbour b. Flags must be masked off.
fn before(a_key: u32, a_slot: u32, b_key: u32, b_slot: u32) -> bool {
    return a_key < b_key || (a_key == b_key && a_slot < b_slot);
}
