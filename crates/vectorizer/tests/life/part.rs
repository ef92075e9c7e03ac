//! Graphs of which only a part may be found.

use super::*;

#[test]
fn every_engine_finds_the_same_among_some_and_alone_as_in_company() {
    for (count, dimension, share, ks) in [
        (40, 3, 0.5, &[1, 100][..]),
        (600, 16, 0.9, &[10]),
        (600, 70, 0.4, &[10, 100]),
        (600, 16, 0.1, &[10]),
        (600, 16, 0.03, &[10]),
    ] {
        let seed = count as u64 + dimension as u64;
        let rows = integer_rows(seed, count, dimension);
        let queries = integer_rows(seed + 1, 80, dimension);
        let graphs: Vec<_> = contexts()
            .iter()
            .map(|context| plain(context, dimension, &rows))
            .collect();
        let random = some(seed + 2, count, share);
        let corner = slots(count)
            .filter(|slot| rows[*slot as usize * dimension] > 4.0)
            .collect();
        for (allowed, told) in [(random, "random"), (corner, "a corner")] {
            let told = format!(
                "{count} x {dimension}, {told}, {} allowed, seed {seed}",
                allowed.len()
            );
            for path in [SearchPath::Graph, SearchPath::Exact] {
                for &k in ks {
                    let all: Vec<_> = graphs
                        .iter()
                        .map(|graph| {
                            graph
                                .search_among(&queries, k, &by(path), Some(&allowed))
                                .unwrap()
                        })
                        .collect();
                    for found in &all {
                        assert_eq!(found, &all[0], "{told}, k {k}");
                    }
                    if path == SearchPath::Exact {
                        let query = &queries[..dimension];
                        let truth = nearest(&rows, query, k, &allowed);
                        let slots =
                            |hits: &[Neighbor]| hits.iter().map(|hit| hit.slot).collect::<Vec<_>>();
                        assert_eq!(
                            slots(all[0].hits.of(0)),
                            truth.iter().map(|t| t.1).collect::<Vec<_>>(),
                            "{told}, k {k}"
                        );
                    }
                    for graph in &graphs {
                        let at = 77;
                        let query = &queries[at * dimension..][..dimension];
                        let alone = graph
                            .search_among(query, k, &by(path), Some(&allowed))
                            .unwrap();
                        assert_eq!(
                            alone.hits.of(0),
                            all[0].hits.of(at),
                            "{told}, query {at} alone, k {k}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn recall_holds_however_few_may_be_found_and_wherever_they_live() {
    let (seed, dimension) = (31, 24);
    for context in contexts() {
        // A software adapter is slow.
        let (count, asked, alone) = if !context.device().is_cpu() {
            (1200, 40, 8)
        } else {
            (10_000, 100, 20)
        };
        let rows = clusters(seed, count, dimension, 50);
        let queries = clusters(seed, count + asked, dimension, 50)[count * dimension..].to_vec();
        let graph = plain(&context, dimension, &rows);
        let sets = [0.01, 0.1, 0.5, 0.9].map(|share| some(7, count, share));
        for allowed in &sets {
            for path in [SearchPath::Auto, SearchPath::Graph] {
                let recall = recall(&graph, &rows, &queries, allowed, path);
                let told = format!(
                    "{context}: {} of {count}, {path:?}, seed {seed}",
                    allowed.len()
                );
                assert!(recall >= 0.95, "{told}: recall {recall}");
            }
        }
        // Half of the space, asked about from both halves; and one ball, asked about from everywhere.
        let value = |slot: u32| rows[slot as usize * dimension];
        let half: SlotSet = slots(count).filter(|slot| value(*slot) > 0.0).collect();
        let ball = nearest(&rows, &rows[..dimension], count / 10, &SlotSet::full(count));
        let ball: SlotSet = ball.into_iter().map(|(_, slot)| slot).collect();
        for (allowed, told) in [(&half, "half of the space"), (&ball, "a ball")] {
            let recall = recall(&graph, &rows, &queries, allowed, SearchPath::Graph);
            assert!(
                recall >= 0.95,
                "{context}: {told}, seed {seed}: recall {recall}"
            );
        }
        // What is near or far of each query itself.
        let mut far = [0.0; 4];
        let some_queries = queries.chunks_exact(dimension).take(alone);
        for query in some_queries {
            let order = nearest(&rows, query, count, &SlotSet::full(count));
            let set = |range: std::ops::Range<usize>| {
                order[range]
                    .iter()
                    .map(|(_, slot)| *slot)
                    .collect::<SlotSet>()
            };
            let sets = [
                set(0..count / 10),
                set(0..count / 2),
                set(count / 2..count),
                set(count / 10 * 9..count),
            ];
            for (sum, allowed) in far.iter_mut().zip(&sets) {
                *sum += recall(&graph, &rows, query, allowed, SearchPath::Graph) / alone as f64;
            }
        }
        assert!(
            far.iter().all(|recall| *recall >= 0.95),
            "{context}, seed {seed}: {far:?}"
        );
        let stats = graph.stats();
        assert!(
            stats.rescued_queries > 0 && stats.filtered_queries > stats.rescued_queries,
            "{stats:?}"
        );
    }
}

#[test]
fn filters_that_allow_only_copies_or_only_what_lies_far_off_find_it() {
    let (seed, dimension) = (57, 12);
    for context in contexts() {
        let count = if context.device().is_cpu() { 6000 } else { 700 };
        let mut rows = clusters(seed, count, dimension, 20);
        let copy: Vec<f32> = rows[..dimension].to_vec();
        let is_copy = |slot: u32| slot.is_multiple_of(10);
        let is_far = |slot: u32| !is_copy(slot) && slot % 9 == 4;
        for (slot, row) in (0u32..).zip(rows.chunks_exact_mut(dimension)) {
            if is_copy(slot) {
                row.copy_from_slice(&copy);
            } else if is_far(slot) {
                row.iter_mut().for_each(|component| *component += 20.0);
            }
        }
        let graph = plain(&context, dimension, &rows);
        let mut queries = random_rows(seed, 20, dimension);
        queries.extend(&copy);
        queries.extend(copy.iter().map(|component| component + 20.0));
        let some: SlotSet = slots(count)
            .filter(|slot| is_copy(*slot) && slot % 3 == 1)
            .collect();
        for (allowed, told) in [
            (
                slots(count).filter(|slot| is_copy(*slot)).collect(),
                "copies",
            ),
            (some, "few of the copies"),
            (
                slots(count).filter(|slot| is_far(*slot)).collect(),
                "a far cluster",
            ),
            (
                slots(count).filter(|slot| !is_far(*slot)).collect(),
                "all but it",
            ),
            (SlotSet::from_iter([4]), "one slot"),
        ] {
            for path in [SearchPath::Auto, SearchPath::Graph] {
                let recall = recall(&graph, &rows, &queries, &allowed, path);
                assert!(
                    recall >= 0.95,
                    "{context}: {told}, {path:?}, seed {seed}: recall {recall}"
                );
            }
        }
    }
}
