// The score of two rows.
//
// PARTS: vec4 in a row.

// The score of rows a and b if `wanted`. Every thread of the workgroup has to call this.
fn score_rows(thread: u32, a: u32, b: u32, wanted: bool) -> f32 {
    var sum = vec4<f32>();
    if wanted {
        var part = thread & 7u;
        while part + 24u < PARTS {
            let a0 = row_part(a, part);
            let a1 = row_part(a, part + 8u);
            let a2 = row_part(a, part + 16u);
            let a3 = row_part(a, part + 24u);
            let b0 = row_part(b, part);
            let b1 = row_part(b, part + 8u);
            let b2 = row_part(b, part + 16u);
            let b3 = row_part(b, part + 24u);
            sum = add_part(sum, a0, b0);
            sum = add_part(sum, a1, b1);
            sum = add_part(sum, a2, b2);
            sum = add_part(sum, a3, b3);
            part += 32u;
        }
        while part < PARTS {
            sum = add_part(sum, row_part(a, part), row_part(b, part));
            part += 8u;
        }
    }
    return finish_score(thread, sum);
}
