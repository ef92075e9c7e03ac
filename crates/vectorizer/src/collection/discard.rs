//! An empty collection taken off the disk again.

use super::Collection;
use crate::error::{Result, VectorizerError};
use crate::store;

impl Collection {
    /// Takes a collection that nothing was ever put into off the disk; whether it did. One that holds vectors, or held some, is closed and stays. The
    /// folder stays too, since other things may lie in it. For a caller who made the collection and found nothing to put into it.
    ///
    /// # Errors
    /// [`VectorizerError::NotDurable`] for a collection in memory, [`VectorizerError::StoreFailed`], and those of [`Collection::close`].
    pub fn discard_if_empty(mut self) -> Result<bool> {
        let path = self.path().ok_or(VectorizerError::NotDurable)?.to_owned();
        if !self.is_untouched() {
            return self.close().map(|()| false);
        }
        // Where an open file can be removed, nobody else gets hold of it in between.
        if cfg!(unix) {
            store::remove(&path)?;
        }
        if let Some(store) = self.store.take() {
            // Nobody is told of an end that has no file any more.
            drop(store.close());
        }
        if !cfg!(unix) {
            store::remove(&path)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::DistanceMetric;

    #[test]
    fn only_what_never_held_anything_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let create = || Collection::create(&path, 1, DistanceMetric::Euclidean).unwrap();
        assert!(create().discard_if_empty().unwrap());
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        let collection = create();
        collection.add_rows(&["a"], &[1.0]).unwrap();
        assert!(!collection.discard_if_empty().unwrap());
        let collection = Collection::open(&path).unwrap();
        assert_eq!(collection.vector_count(), 1);
        collection.delete("a").unwrap();
        assert!(!collection.discard_if_empty().unwrap());
        Collection::open(&path).unwrap();
        let memory = Collection::new(1, DistanceMetric::Euclidean).unwrap();
        assert_eq!(memory.discard_if_empty(), Err(VectorizerError::NotDurable));
    }
}
