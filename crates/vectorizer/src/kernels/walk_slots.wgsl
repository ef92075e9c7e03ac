@compute @workgroup_size(THREADS)
fn walk_slots(place: Place) {
    let query = query_of(place);
    if query >= params.queries {
        return;
    }
    let cost = answer(place, query);
    if thread_of(place) == 0u {
        add_work(0u, cost.x);
        add_work(2u, cost.y);
    }
}
