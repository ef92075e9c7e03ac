//! Lists in conditions: long ones are shared by clones, and clones are equal at a glance.

use std::ops::Deref;
use std::sync::Arc;

/// A list of ids or values in a condition. Cloning it costs nothing, however long it is, and neither does comparing it with a clone: a search by a
/// filter whose answer is still known takes no longer for a long list than for a short one.
///
/// ```
/// use vectorizer::filter::{Condition, List};
///
/// let ids: List<String> = vec!["a".to_owned(), "b".to_owned()].into();
/// assert_eq!(Condition::HasId(ids.clone()), Condition::has_id(["a", "b"]));
/// assert_eq!(ids.len(), 2);
/// ```
#[derive(Debug)]
pub struct List<T>(Arc<[T]>);

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::from_iter([])
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(list: Vec<T>) -> Self {
        Self(list.into())
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(list: I) -> Self {
        Self(list.into_iter().collect())
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
