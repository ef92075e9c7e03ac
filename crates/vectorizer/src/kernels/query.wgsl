// The one row that a workgroup compares with many others, kept in workgroup memory where it fits.
//
// QUERY_SHARED: whether it does. QUERY_PARTS: PARTS if so, else 1.

var<workgroup> query_parts: array<vec4<f32>, QUERY_PARTS>;

fn load_query(thread: u32, query: u32) {
    if QUERY_SHARED {
        for (var part = thread; part < PARTS; part += THREADS) {
            query_parts[part] = asked_part(query, part);
        }
    }
    workgroupBarrier();
}

fn query_part(query: u32, part: u32) -> vec4<f32> {
    if QUERY_SHARED {
        return query_parts[part];
    }
    return asked_part(query, part);
}

// The score of the query and a row if `wanted`. Every thread of the workgroup has to call this.
fn score_query(thread: u32, query: u32, slot: u32, wanted: bool) -> f32 {
    var sum = vec4<f32>();
    if wanted {
        var part = thread & 7u;
        // Long rows: enough reads under way to hide what each of them waits for.
        while PARTS >= 128u && part + 56u < PARTS {
            let a0 = row_part(slot, part);
            let a1 = row_part(slot, part + 8u);
            let a2 = row_part(slot, part + 16u);
            let a3 = row_part(slot, part + 24u);
            let a4 = row_part(slot, part + 32u);
            let a5 = row_part(slot, part + 40u);
            let a6 = row_part(slot, part + 48u);
            let a7 = row_part(slot, part + 56u);
            sum = add_part(sum, a0, query_part(query, part));
            sum = add_part(sum, a1, query_part(query, part + 8u));
            sum = add_part(sum, a2, query_part(query, part + 16u));
            sum = add_part(sum, a3, query_part(query, part + 24u));
            sum = add_part(sum, a4, query_part(query, part + 32u));
            sum = add_part(sum, a5, query_part(query, part + 40u));
            sum = add_part(sum, a6, query_part(query, part + 48u));
            sum = add_part(sum, a7, query_part(query, part + 56u));
            part += 64u;
        }
        while part + 24u < PARTS {
            let a0 = row_part(slot, part);
            let a1 = row_part(slot, part + 8u);
            let a2 = row_part(slot, part + 16u);
            let a3 = row_part(slot, part + 24u);
            sum = add_part(sum, a0, query_part(query, part));
            sum = add_part(sum, a1, query_part(query, part + 8u));
            sum = add_part(sum, a2, query_part(query, part + 16u));
            sum = add_part(sum, a3, query_part(query, part + 24u));
            part += 32u;
        }
        while part < PARTS {
            sum = add_part(sum, row_part(slot, part), query_part(query, part));
            part += 8u;
        }
    }
    return finish_score(thread, sum);
}
