//! Vectors put in, replaced and deleted.

use super::*;

#[test]
fn vectors_come_back_bit_for_bit() {
    for context in contexts() {
        for metric in METRICS {
            let rows = random_rows(5, 300, 37);
            let mut put = vectors(&rows, 37);
            put[3].payload = Some(Payload(json!({"page": 7, "tags": ["a", "b"]})));
            put[4].data = vec![0.0; 37];
            put[5].data = vec![-0.0; 37];
            let collection = empty(&context, 37, metric);
            collection.add_vectors_batch(&put[..200]).unwrap();
            for one in &put[200..] {
                collection.add_vector(one.clone()).unwrap();
            }
            for one in &put {
                let got = collection.get_vector(&one.id).unwrap();
                let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(
                    (bits(&got.data), &got.payload),
                    (bits(&one.data), &one.payload),
                    "{context} {metric} {}",
                    one.id
                );
            }
            assert!(collection.contains("v299") && !collection.contains("v300"));
        }
    }
}

#[test]
fn upsert_replaces_and_the_old_is_never_found() {
    for context in contexts() {
        let collection = empty(&context, 1, DistanceMetric::Euclidean);
        let place = |id: u16, at: f32| Vector {
            id: format!("v{id}"),
            data: vec![at],
            payload: Some(Payload(json!(at))),
        };
        collection
            .add_vectors_batch((0..40).map(|i| place(i, f32::from(i))).collect::<Vec<_>>())
            .unwrap();
        // Everything moves 1000 further, many times over: the dead outnumber the living until they are left behind.
        for round in 1..60u16 {
            let moved = (0..40).map(|i| place(i, f32::from(i) + 1000.0 * f32::from(round)));
            collection
                .upsert_vectors_batch(moved.collect::<Vec<_>>())
                .unwrap();
            let options = SearchOptions {
                with_payload: true,
                ..SearchOptions::default()
            };
            let found = collection.search_with(&[0.0], 50, &options).unwrap();
            assert_eq!(
                ids(&found),
                (0..40).map(|i| format!("v{i}")).collect::<Vec<_>>(),
                "round {round}"
            );
            for (number, one) in (0..40u16).zip(&found) {
                let at = f32::from(number) + 1000.0 * f32::from(round);
                assert_eq!(
                    (one.distance, &one.payload),
                    (at, &Some(Payload(json!(at))))
                );
            }
        }
        let stats = collection.stats();
        assert_eq!(stats.vector_count, 40);
        assert!(stats.dead_slots < 1100, "{stats:?}");
        assert_eq!(collection.get_vector("v7").unwrap().data, [59_007.0]);
    }
}

#[test]
fn rows_that_replace_others_have_their_payloads() {
    for context in contexts() {
        let collection = numbered(&context);
        let before = collection.get_vector("v7").unwrap().payload;
        assert!(before.is_some());
        collection
            .upsert_rows(&["new", "v7", "v8"], &[0.5, 700.0, 800.0])
            .unwrap();
        let replaced = collection.get_vector("v7").unwrap();
        assert_eq!((replaced.data, replaced.payload), (vec![700.0], before));
        assert_eq!(collection.get_vector("new").unwrap().payload, None);
        let even = Filter::must([Condition::equals("even", true)]);
        assert_eq!(collection.count(&even).unwrap(), 50);
    }
}

#[test]
fn what_is_deleted_is_found_by_nobody_and_its_id_is_free() {
    for context in contexts() {
        let collection = empty(&context, 1, DistanceMetric::Euclidean);
        let at = |id: u16| vector(&format!("v{id}"), &[f32::from(id)]);
        collection
            .add_vectors_batch((0..50).map(at).collect::<Vec<_>>())
            .unwrap();
        let unknown = VectorizerError::UnknownId { id: "v50".into() };
        assert_eq!(collection.delete("v50").unwrap_err(), unknown);
        assert_eq!(
            collection.delete_batch(&["v1", "v50"]).unwrap_err(),
            unknown
        );
        assert_eq!(
            collection.delete_batch(&["v1", "v1"]).unwrap_err(),
            VectorizerError::DuplicateIdInBatch { id: "v1".into() }
        );
        assert_eq!(collection.vector_count(), 50);
        collection.delete_batch(&["v0", "v2"]).unwrap();
        assert_eq!(
            collection.delete_present(&["v2", "v3", "v3", "x"]).unwrap(),
            1
        );
        let found = collection.search(&[0.0], 3).unwrap();
        assert_eq!(ids(&found), ["v1", "v4", "v5"]);
        assert_eq!(collection.search(&[0.0], 100).unwrap().len(), 47);
        assert!(!collection.contains("v0"));
        assert!(collection.get_vector("v0").is_err());
        collection.add_vector(vector("v0", &[49.5])).unwrap();
        assert_eq!(ids(&collection.search(&[49.6], 1).unwrap()), ["v0"]);
        // The entry point and everyone else.
        collection.rebuild_hnsw_graph().unwrap();
        let all: Vec<_> = collection.search(&[0.0], 100).unwrap();
        let all: Vec<_> = all.into_iter().map(|result| result.id).collect();
        collection.delete_batch(&all).unwrap();
        assert_eq!(collection.search(&[0.0], 3).unwrap(), []);
        collection.consolidate().unwrap();
        assert_eq!(collection.search(&[0.0], 3).unwrap(), []);
        let stats = collection.stats();
        assert_eq!((stats.dead_slots, stats.graph.count), (0, 0));
        collection.add_vector(vector("v0", &[7.0])).unwrap();
        assert_eq!(ids(&collection.search(&[0.0], 3).unwrap()), ["v0"]);
    }
}

#[test]
fn one_id_deleted_and_added_a_thousand_times_takes_no_more_room() {
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        collection
            .add_vectors_batch(vectors(&integer_rows(1, 100, 2), 2))
            .unwrap();
        collection.rebuild_hnsw_graph().unwrap();
        for round in 0..1200u16 {
            collection.delete("v7").unwrap();
            collection
                .add_vector(vector("v7", &[f32::from(round), 1000.0]))
                .unwrap();
        }
        let found = collection.search(&[1199.0, 1000.0], 2).unwrap();
        assert_eq!((found[0].id.as_str(), found[0].distance), ("v7", 0.0));
        assert_eq!(collection.search(&[0.0, 0.0], 200).unwrap().len(), 100);
        let stats = collection.stats();
        assert!(stats.dead_slots < 1100, "{stats:?}");
        collection.optimize().unwrap();
        collection.check().unwrap();
        let stats = collection.stats();
        assert_eq!((stats.dead_slots, stats.graph.linked), (0, 100));
    }
}
