//! How a search is answered.

use serde::{Deserialize, Serialize};

use crate::error::{Result, VectorizerError};
use crate::filter::Filter;

/// Which way a search is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SearchPath {
    /// The planner chooses by size; `stats()` says what it chose.
    #[default]
    Auto,
    /// Every vector is compared.
    Exact,
    /// The graph is walked; but where fewer than one in twenty may be found, for a filter or because the others are dead, those are all
    /// compared, which is quicker and exact. So are all vectors of a small collection for queries around which everything is about as
    /// far as everything else, if ef is at least 32 and comparing costs no more than four walks: beams miss too many there. `stats()` counts
    /// them as rescued.
    Graph,
}

/// What a search can be told beyond its query and k. Fields come with versions: take those that do not matter from
/// `..SearchOptions::default()`.
///
/// ```
/// use vectorizer::collection::Collection;
/// use vectorizer::config::{SearchOptions, SearchPath};
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let collection = Collection::new(1, DistanceMetric::Euclidean)?;
/// collection.add_rows(&["a", "b", "c", "d"], &[0.0, 1.0, 2.0, 9.0])?;
/// let options = SearchOptions {
///     path: SearchPath::Exact,
///     min_similarity: Some(0.2),
///     offset: 1,
///     ..SearchOptions::default()
/// };
/// let hits = collection.search_with(&[0.0], 10, &options)?;
/// assert_eq!(hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchOptions {
    /// Which way to answer.
    pub path: SearchPath,
    /// Beam width in place of the configuration's `ef_search`; raised to k where k is larger.
    pub ef: Option<usize>,
    /// Whether hits bring their payloads.
    pub with_payload: bool,
    /// Only vectors for which this holds are found: `k` of them, however few of the collection they are, as long as there are that many.
    pub filter: Option<Filter>,
    /// Only hits of at least this similarity, in the metric's own scale (see [`DistanceMetric`](crate::models::DistanceMetric)).
    pub min_similarity: Option<f32>,
    /// How many of the nearest are left out before the `k` begin. Costs as much as asking for `offset + k`.
    pub offset: usize,
}

impl SearchOptions {
    /// Says whether every field is possible.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`], or [`VectorizerError::InvalidConfig`] for a `min_similarity` that is no number.
    pub fn validate(&self) -> Result<()> {
        if self.min_similarity.is_some_and(f32::is_nan) {
            return Err(VectorizerError::InvalidConfig {
                field: "min_similarity",
                actual: f32::NAN.to_string(),
                expected: "a number",
            });
        }
        self.filter.as_ref().map_or(Ok(()), Filter::validate)
    }

    /// What only a collection can do is refused where there are neither ids nor payloads.
    pub(crate) fn without_payloads(&self) -> Result<()> {
        let asked = [
            ("filter", self.filter.is_some()),
            ("min_similarity", self.min_similarity.is_some()),
            ("offset", self.offset > 0),
        ];
        match asked.into_iter().find(|(_, asked)| *asked) {
            Some((option, _)) => Err(VectorizerError::OptionNeedsCollection { option }),
            None => Ok(()),
        }
    }
}
