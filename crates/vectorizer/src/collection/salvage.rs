//! A new collection from what can still be read of a damaged one.

use std::path::Path;

use hashbrown::HashMap;

use super::Collection;
use crate::config::CollectionOptions;
use crate::error::Result;
use crate::gpu::context::Context;
use crate::models::Vector;
use crate::store::{self, Durability, SalvageReport, Wreck};

impl Collection {
    /// Copies what can still be read of the collection in the folder `path`, which nobody has open, into a new collection in the folder `to`:
    /// vectors whose checksums hold, and those of their payloads that can be kept. The report says what was lost. Takes the memory of the
    /// new collection, and about the time of adding its vectors on the CPU.
    ///
    /// The damaged collection stays as it is, but for what redb mends when it opens a file that was not closed: a copy of the folder is the
    /// safer thing to work on. Where a record of deletions is damaged, what it deleted is there again.
    ///
    /// # Errors
    /// [`StoreMissing`](crate::error::VectorizerError::StoreMissing), [`StoreInUse`](crate::error::VectorizerError::StoreInUse),
    /// [`UnsupportedFormat`](crate::error::VectorizerError::UnsupportedFormat), [`StoreDamaged`](crate::error::VectorizerError::StoreDamaged) where not even the
    /// store's header can be read; [`StoreExists`](crate::error::VectorizerError::StoreExists) for `to`, or the disk refused; of what went to `to` nothing is left then.
    pub fn salvage(path: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<SalvageReport> {
        let to = to.as_ref();
        let mut wreck = Wreck::open(path.as_ref())?;
        let header = wreck.header();
        let options = CollectionOptions {
            hnsw: header.hnsw,
            seed: header.seed,
            precision: header.precision,
            full_rows: header.full_rows,
            ..CollectionOptions::default()
        };
        let (dimension, metric) = (header.dimension, header.metric);
        let (context, durability) = (Context::cpu(), Durability::OnFlush);
        let new = Self::create_with(to, &context, dimension, metric, options, durability)?;
        for key in wreck.indexes() {
            new.create_payload_index(&key)?;
        }
        let copied = wreck.vectors(|vectors| new.upsert_stored(&last_of_each(vectors)));
        let vectors = new.vector_count();
        if let Err(error) = copied.and_then(|()| new.close()) {
            // A half collection looks like a whole one.
            store::remove(to)?;
            return Err(error);
        }
        Ok(wreck.report(to, vectors))
    }
}

/// Of vectors with one id the last: the others had been replaced, and the record of that is lost.
fn last_of_each(vectors: Vec<Vector>) -> Vec<Vector> {
    let mut last = HashMap::with_capacity(vectors.len());
    for (place, vector) in vectors.iter().enumerate() {
        last.insert(vector.id.clone(), place);
    }
    let vectors = vectors.into_iter().enumerate();
    let kept = vectors.filter(|(place, vector)| last.get(&vector.id) == Some(place));
    kept.map(|(_, vector)| vector).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::VectorizerError;
    use crate::models::DistanceMetric;

    /// An earlier version took vectors that are refused now: nothing is wrong with a store that holds some.
    #[test]
    fn what_an_earlier_version_took_is_sound_and_can_be_salvaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        let tiny = Vector {
            id: "tiny".to_owned(),
            data: vec![1e-20, 0.0],
            payload: None,
        };
        let large = Vector {
            id: "large".to_owned(),
            data: vec![1.0, 2.0],
            payload: None,
        };
        let collection = Collection::create(&path, 2, DistanceMetric::Euclidean).unwrap();
        collection.upsert_vector(tiny.clone()).unwrap_err();
        collection.upsert_stored(&[tiny, large]).unwrap();
        collection.delete("large").unwrap();
        collection.close().unwrap();
        let report = Collection::check_files(&path).unwrap();
        assert_eq!(
            (report.problems, report.vectors, report.dead),
            (vec![], 1, 1)
        );
        let to = folder.path().join("new");
        let report = Collection::salvage(&path, &to).unwrap();
        assert_eq!(report.vectors, 1);
        let again = Collection::salvage(&path, &to).map(drop);
        assert!(matches!(again, Err(VectorizerError::StoreExists { .. })));
        let new = Collection::open(&to).unwrap();
        assert_eq!(new.get_vector("tiny").unwrap().data, [1e-20, 0.0]);
    }
}
