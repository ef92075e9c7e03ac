//! Changes on their way into a collection: told to whoever keeps them before anybody sees them.

use std::fmt;

use crate::error::Result;
use crate::models::Payload;

/// A change that has been checked and for which there is room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// Vectors are added.
    Put {
        /// Their ids; none stands here twice.
        ids: &'a [&'a str],
        /// The vectors as they were handed in, end to end.
        rows: &'a [f32],
        /// Payloads, each with the place of its vector, in order.
        payloads: &'a [(usize, Payload)],
        /// The slots of those that were under such an id and die by this.
        replaced: &'a [u32],
    },
    /// Vectors are deleted.
    Delete {
        /// Their slots, all of which are alive; none stands here twice.
        slots: &'a [u32],
    },
    /// A payload is set.
    SetPayload {
        /// Whose; it is alive.
        slot: u32,
        /// `None` takes it away.
        payload: Option<&'a Payload>,
    },
    /// Other fields of payloads are indexed.
    SetIndexes {
        /// All that are from now on, in order.
        keys: &'a [String],
    },
    /// The slots of the dead are dropped: those of the living move together, in their order.
    DropDead,
}

/// Keeps changes.
pub(crate) trait Journal: fmt::Debug + Send + Sync {
    /// Keeps a change before anybody sees it. Changes come one after the other, in the order in which they are seen.
    ///
    /// # Errors
    /// It could not be kept: then it is not made.
    fn record(&self, change: &Change<'_>) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::collection::Collection;
    use crate::config::CollectionOptions;
    use crate::error::VectorizerError;
    use crate::gpu::context::Context;
    use crate::models::{DistanceMetric, Vector};

    #[derive(Debug, Default, Clone)]
    struct Notes(Arc<Mutex<(Vec<String>, bool)>>);

    impl Journal for Notes {
        fn record(&self, change: &Change<'_>) -> Result<()> {
            let mut notes = self.0.lock();
            if notes.1 {
                return Err(VectorizerError::BufferAllocationFailed);
            }
            notes.0.push(format!("{change:?}"));
            Ok(())
        }
    }

    fn vector(id: &str, at: f32) -> Vector {
        Vector {
            id: id.to_owned(),
            data: vec![at],
            payload: Some(json!(at).into()),
        }
    }

    #[test]
    fn what_cannot_be_kept_is_not_done_and_what_is_refused_is_not_kept() {
        let notes = Notes::default();
        let options = CollectionOptions::default();
        let metric = DistanceMetric::Euclidean;
        let mut collection = Collection::with_context(&Context::cpu(), 1, metric, options).unwrap();
        collection.keep_changes(Box::new(notes.clone()));
        collection.add_vector(vector("a", 1.0)).unwrap();
        collection.add_vector(vector("a", 2.0)).unwrap_err();
        collection.delete("b").unwrap_err();
        collection.set_payload("b", None).unwrap_err();
        collection.upsert_vector(vector("a", 3.0)).unwrap();
        collection.upsert_vector(vector("b", 4.0)).unwrap();
        assert_eq!(collection.delete_present(&["c"]).unwrap(), 0);
        notes.0.lock().1 = true;
        let error = Err(VectorizerError::BufferAllocationFailed);
        assert_eq!(collection.upsert_vector(vector("a", 5.0)), error);
        assert_eq!(collection.add_vector(vector("c", 5.0)), error);
        assert_eq!(collection.delete("a"), error);
        assert_eq!(collection.set_payload("a", None), error);
        assert_eq!(collection.get_vector("a").unwrap(), vector("a", 3.0));
        assert_eq!(
            (collection.vector_count(), collection.contains("c")),
            (2, false)
        );
        notes.0.lock().1 = false;
        collection.set_payload("b", None).unwrap();
        collection.delete("a").unwrap();
        assert_eq!(collection.get_vector("b").unwrap().payload, None);
        assert_eq!(
            notes.0.lock().0,
            [
                r#"Put { ids: ["a"], rows: [1.0], payloads: [(0, Payload(Number(1.0)))], replaced: [] }"#,
                r#"Put { ids: ["a"], rows: [3.0], payloads: [(0, Payload(Number(3.0)))], replaced: [0] }"#,
                r#"Put { ids: ["b"], rows: [4.0], payloads: [(0, Payload(Number(4.0)))], replaced: [] }"#,
                r#"SetPayload { slot: 2, payload: None }"#,
                r#"Delete { slots: [1] }"#,
            ]
        );
    }
}
