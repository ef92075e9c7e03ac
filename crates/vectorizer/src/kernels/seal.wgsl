// The last work of a submission: a mark that says that it was carried out. A device can drop a submission without a word; then the
// mark is not there, whatever else lies in the memory that was to be written.
//
// Bounds: one thread writes one mark, whose place the host keeps within the buffer.

struct Params {
    at: u32,
    // The number of the piece of work, and of the submission among its own.
    work: u32,
    submission: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> marks: array<vec2<u32>>;

@compute @workgroup_size(64)
fn seal(@builtin(local_invocation_index) thread: u32) {
    if thread == 0u {
        marks[params.at] = vec2<u32>(params.work, params.submission);
    }
}
