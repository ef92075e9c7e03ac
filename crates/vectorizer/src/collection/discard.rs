//! An empty collection taken off the disk again.

use super::Collection;
use crate::error::{Result, VectorizerError};
use crate::store;

impl Collection {
    /// Takes a collection that nothing was ever put into off the disk; whether it did. One that holds vectors, or ever held some, is closed and stays.
    /// The folder stays too, since other things may lie in it. For a caller who made the collection and found nothing to put into it.
    ///
    /// # Errors
    /// [`VectorizerError::NotDurable`] for a collection in memory, [`VectorizerError::StoreReadOnly`] for one that was opened to be read,
    /// [`VectorizerError::Forked`] in a forked child, [`VectorizerError::StoreFailed`], and those of [`Collection::close`].
    pub fn discard_if_empty(mut self) -> Result<bool> {
        let path = self.path().ok_or(VectorizerError::NotDurable)?.to_owned();
        let writing = self.changing()?;
        let store = self.store.as_ref().ok_or(VectorizerError::NotDurable)?;
        store.writable()?;
        let never_held_any = store.totals().next == 0;
        drop(writing);
        if !never_held_any {
            return self.close().map(|()| false);
        }
        // Where an open file can be removed, nobody else gets hold of it in between.
        if cfg!(unix) {
            store::remove(&path)?;
        }
        if let Some(store) = self.store.take() {
            // Errors of closing do not matter: the files are gone.
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
        // Nothing of them is left, and still they were there.
        collection.compact().unwrap();
        assert!(!collection.discard_if_empty().unwrap());
        let read_only = || VectorizerError::StoreReadOnly {
            path: path.display().to_string(),
        };
        let reader = Collection::open_read_only(&path).unwrap();
        assert_eq!(reader.discard_if_empty(), Err(read_only()));
        Collection::open(&path).unwrap();
        let other = folder.path().join("other");
        Collection::create(&other, 1, DistanceMetric::Euclidean).unwrap();
        let reader = Collection::open_read_only(&other).unwrap();
        reader.discard_if_empty().unwrap_err();
        Collection::open(&other).unwrap();
        let memory = Collection::new(1, DistanceMetric::Euclidean).unwrap();
        assert_eq!(memory.discard_if_empty(), Err(VectorizerError::NotDurable));
    }
}
