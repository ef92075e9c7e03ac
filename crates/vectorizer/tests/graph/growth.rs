//! Graphs that grow: appended to, with a tail, and stopped in between.

use super::*;

#[test]
fn appending_is_as_good_as_building() {
    let (dimension, seed) = (24, 5);
    let queries = random_rows(seed + 1, 200, dimension);
    for context in contexts() {
        // Walks are slow on a software adapter.
        let count = if context.device().is_cpu() {
            6000
        } else {
            1500
        };
        let rows = random_rows(seed, count, dimension);
        let bulk = graph_recall(
            &built(&context, dimension, DistanceMetric::Euclidean, &rows),
            &rows,
            &queries,
        );
        let options = CollectionOptions::default();
        let mut grown =
            HnswGraph::new(&context, dimension, DistanceMetric::Euclidean, options).unwrap();
        for part in rows.chunks(count / 10 * dimension) {
            grown.append(part).unwrap();
            grown.build(|_| ControlFlow::Continue(())).unwrap();
        }
        grown.check().unwrap();
        let recall = graph_recall(&grown, &rows, &queries);
        assert!(
            recall >= bulk - 0.01,
            "{context} seed {seed}: {recall} grown, {bulk} at once"
        );
    }
}

#[test]
fn the_tail_is_found_before_it_is_linked() {
    for context in contexts() {
        let rows = integer_rows(21, 3000, 12);
        let mut graph = built(&context, 12, DistanceMetric::Euclidean, &rows);
        let far: Vec<f32> = (0..20u8).flat_map(|i| [500.0 + f32::from(i); 12]).collect();
        graph.append(&far).unwrap();
        assert_eq!((graph.linked(), graph.len()), (3000, 3020));
        let hits = graph.search(&[500.0; 12], 25, &GRAPH).unwrap().hits;
        let slots: Vec<_> = hits.of(0).iter().map(|hit| hit.slot).collect();
        assert_eq!(slots[..20], (3000..3020).collect::<Vec<_>>());
        assert!(slots[20..].iter().all(|slot| *slot < 3000));
    }
}

#[test]
fn a_build_can_be_stopped_and_goes_on() {
    for context in contexts() {
        let rows = random_rows(2, 1200, 8);
        let mut graph = HnswGraph::new(
            &context,
            8,
            DistanceMetric::Euclidean,
            CollectionOptions::default(),
        )
        .unwrap();
        graph.append(&rows[..1000 * 8]).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph.append(&rows[1000 * 8..]).unwrap();
        let mut seen = Vec::new();
        let stopped = graph.build(|progress| {
            seen.push(progress.linked);
            if seen.len() == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(stopped.unwrap_err(), VectorizerError::Cancelled);
        assert!(graph.linked() < 1200 && graph.linked() == seen[1]);
        graph.check().unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(graph.linked(), 1200);
        graph.check().unwrap();
    }
}
