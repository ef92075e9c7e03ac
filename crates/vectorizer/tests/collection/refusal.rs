//! What is refused, by which name, and that nothing has changed then.

use super::*;

#[test]
fn wrong_input_is_named_and_changes_nothing() {
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        collection.add_vector(vector("a", &[1.0, 2.0])).unwrap();
        let refused = |batch: &[Vector], expected: VectorizerError| {
            assert_eq!(collection.add_vectors_batch(batch).unwrap_err(), expected);
            assert_eq!(collection.vector_count(), 1, "{expected}");
        };
        let good = vector("good", &[0.0, 0.0]);
        let with = |bad: Vector| [good.clone(), bad];
        refused(
            &with(vector("b", &[1.0])),
            VectorizerError::DimensionMismatch {
                expected: 2,
                actual: 1,
            },
        );
        refused(
            &with(vector("b", &[])),
            VectorizerError::DimensionMismatch {
                expected: 2,
                actual: 0,
            },
        );
        refused(
            &with(vector("a", &[0.0, 1.0])),
            VectorizerError::DuplicateId { id: "a".into() },
        );
        refused(
            &with(vector("good", &[0.0, 1.0])),
            VectorizerError::DuplicateIdInBatch { id: "good".into() },
        );
        refused(
            &with(vector("", &[0.0, 1.0])),
            VectorizerError::InvalidId { actual: 0 },
        );
        refused(
            &with(vector(&"x".repeat(65_536), &[0.0, 1.0])),
            VectorizerError::InvalidId { actual: 65_536 },
        );
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30] {
            let error = collection
                .add_vectors_batch(with(vector("b", &[0.0, bad])))
                .unwrap_err();
            assert!(
                matches!(&error, VectorizerError::InvalidComponent { id, index: 1, .. } if id == "b"),
                "{error}"
            );
            let error = collection.search(&[bad, 0.0], 1).unwrap_err();
            assert!(
                matches!(error, VectorizerError::InvalidComponent { index: 0, .. }),
                "{error}"
            );
        }
        assert_eq!(
            collection.search(&[0.0], 1).unwrap_err(),
            VectorizerError::DimensionMismatch {
                expected: 2,
                actual: 1
            }
        );
        assert_eq!(
            collection.search(&[0.0; 2], 0).unwrap_err(),
            VectorizerError::InvalidK
        );
        assert_eq!(
            collection.get_vector("b").unwrap_err(),
            VectorizerError::UnknownId { id: "b".into() }
        );
        let zero = Collection::with_context(
            &context,
            0,
            DistanceMetric::Cosine,
            CollectionOptions::default(),
        );
        assert!(matches!(
            zero.unwrap_err(),
            VectorizerError::InvalidDimension { actual: 0, .. }
        ));
        let ids: [&str; 2] = ["x", "y"];
        let error = collection.add_rows(&ids, &[0.0; 6]).unwrap_err();
        assert_eq!(error, VectorizerError::CountMismatch { ids: 2, vectors: 3 });
        let error = collection.add_rows(&ids, &[0.0; 5]).unwrap_err();
        assert_eq!(
            error,
            VectorizerError::ShapeMismatch {
                values: 5,
                dimension: 2
            }
        );
        collection
            .add_vector(vector(&"x".repeat(65_535), &[0.0, 1.0]))
            .unwrap();
    }
}

#[test]
fn a_bad_configuration_is_refused() {
    let config = HnswConfig {
        max_connections: 1,
        ..HnswConfig::default()
    };
    let error = Collection::new_with_config(4, DistanceMetric::Cosine, config).unwrap_err();
    assert!(matches!(
        error,
        VectorizerError::InvalidConfig {
            field: "max_connections",
            ..
        }
    ));
}

#[test]
fn impossible_options_are_refused() {
    let collection = numbered(&Context::cpu());
    let refused = |options: &SearchOptions| collection.search_with(&[1.0], 1, options).unwrap_err();
    let no_number = SearchOptions {
        min_similarity: Some(f32::NAN),
        ..SearchOptions::default()
    };
    assert!(matches!(
        refused(&no_number),
        VectorizerError::InvalidConfig {
            field: "min_similarity",
            ..
        }
    ));
    let no_key = SearchOptions {
        filter: Some(Filter::must([Condition::is_null("")])),
        ..SearchOptions::default()
    };
    assert!(matches!(
        refused(&no_key),
        VectorizerError::InvalidFilter { .. }
    ));
    let mut graph = vectorizer::hnsw::HnswGraph::new(
        &Context::cpu(),
        1,
        DistanceMetric::Euclidean,
        CollectionOptions::default(),
    )
    .unwrap();
    graph.append(&[1.0]).unwrap();
    let offset = SearchOptions {
        offset: 1,
        ..SearchOptions::default()
    };
    assert_eq!(
        graph.search(&[1.0], 1, &offset).unwrap_err(),
        VectorizerError::OptionNeedsCollection { option: "offset" }
    );
}
