// What scores are summed up from, by a team of eight threads: thread t of the team takes parts t, t + 8, t + 16, ... in this order.
// Every kernel scores floats by these functions, so that a pair has the same bits wherever it is scored, and in either order.
//
// EUCLIDEAN: squared differences, else minus the products.

const TEAM: u32 = 8u;

fn add_part(sum: vec4<f32>, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    if EUCLIDEAN {
        let difference = a - b;
        return fma(difference, difference, sum);
    }
    return fma(a, b, sum);
}

// Every thread of the workgroup has to call this.
fn finish_score(thread: u32, sum: vec4<f32>) -> f32 {
    let total = team_sum(thread, (sum.x + sum.y) + (sum.z + sum.w));
    return select(-total, total, EUCLIDEAN);
}
