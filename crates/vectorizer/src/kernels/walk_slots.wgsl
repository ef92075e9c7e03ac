@compute @workgroup_size(THREADS)
fn walk_slots(place: Place) {
    let query = query_of(place);
    if query >= params.queries {
        return;
    }
    let thread = thread_of(place);
    put_found(thread, query, beam(thread, query, descend(thread, query), params.ef));
    if thread == 0u {
        add_work(0u, distances);
        add_work(2u, hops);
    }
}
