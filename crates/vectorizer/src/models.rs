//! What callers put in and get out: vectors with their ids and payloads, the metric, and hits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Result, VectorizerError};
use crate::json;

/// A vector with the name its owner gave it and, if wanted, data that travels with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vector {
    /// The caller's name for this vector: unique within a collection, 1 to 65,535 bytes of UTF-8.
    pub id: String,
    /// The components; as many as the collection's dimension, all finite.
    pub data: Vec<f32>,
    /// Anything that should come back with the hit.
    pub payload: Option<Payload>,
}

/// How deep arrays and objects may stand in each other in a [`Payload`]: `[]` is 1 deep, `{"a": []}` 2. Common readers of JSON stop at 128
/// levels and more, and a payload stands in other JSON where it goes.
pub const MAX_PAYLOAD_DEPTH: usize = 64;
/// The longest [`Payload`], in bytes of its shortest JSON text.
pub const MAX_PAYLOAD_BYTES: usize = 32 << 20;

/// JSON that is kept beside a vector and handed back with it.
///
/// A payload comes back as it was added from every place that it goes to: the disk, a snapshot, JSON lines, Parquet. So every way in refuses what
/// a reader would not take: more than [`MAX_PAYLOAD_DEPTH`] levels, more than [`MAX_PAYLOAD_BYTES`], whole numbers outside -2^63 to 2^64 - 1 and numbers
/// that are not finite. The error is [`VectorizerError::InvalidPayload`]. Ways in that read text also refuse a name that stands twice in an object.
///
/// Null is no payload: a vector that is added with it has none. Other numbers are 64-bit floats. Digits past those, which the feature `arbitrary_precision` of `serde_json` keeps, are rounded on the way in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(pub serde_json::Value);

impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Self(value)
    }
}

impl Payload {
    /// A copy to be kept with the vector `id`, in the form in which it is read back.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidPayload`].
    pub(crate) fn admitted(&self, id: &str) -> Result<Self> {
        // Before it is cloned, which goes by recursion.
        let as_read = self.check(id)?.as_read;
        let mut copy = self.clone();
        if !as_read {
            json::normalize(&mut copy.0);
        }
        Ok(copy)
    }

    /// The same with what is handed over.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidPayload`].
    pub(crate) fn admit(mut self, id: &str) -> Result<Self> {
        if !self.check(id)?.as_read {
            json::normalize(&mut self.0);
        }
        Ok(self)
    }

    /// Whether every reader takes it back.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidPayload`].
    pub(crate) fn check(&self, id: &str) -> Result<json::Checked> {
        json::check(&self.0).map_err(|reason| VectorizerError::InvalidPayload {
            id: id.to_owned(),
            reason,
        })
    }
}

impl From<Payload> for serde_json::Value {
    fn from(payload: Payload) -> Self {
        payload.0
    }
}

/// How nearness is measured.
///
/// | metric | `distance` (smaller is nearer) | `similarity` (larger is nearer) |
/// |---|---|---|
/// | `Cosine` | 1 - cos(a, b), 0 to 2 | cos(a, b), -1 to 1; 0 if either vector is zero |
/// | `Euclidean` | the length of a - b | 1 / (1 + distance), 0 to 1 |
/// | `DotProduct` | minus the dot product | the dot product |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistanceMetric {
    /// The angle between two vectors, whatever their lengths.
    Cosine,
    /// The straight line between two points.
    Euclidean,
    /// The inner product; longer vectors count for more.
    #[serde(rename = "dot")]
    DotProduct,
}

impl DistanceMetric {
    /// All there are.
    pub const ALL: &'static [Self] = &[Self::Cosine, Self::Euclidean, Self::DotProduct];

    /// The metric's name as the command spells it: `cosine`, `euclidean` or `dot`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Euclidean => "euclidean",
            Self::DotProduct => "dot",
        }
    }

    /// From an engine's score (smaller is nearer: squared length for `Euclidean`, minus the dot product
    /// of unit rows for `Cosine`, minus the dot product) to what callers see: `(distance, similarity)`.
    #[must_use]
    pub fn outward(self, score: f32) -> (f32, f32) {
        match self {
            Self::Cosine => {
                let cosine = (-score).clamp(-1.0, 1.0);
                (1.0 - cosine, cosine)
            }
            Self::Euclidean => {
                let length = score.max(0.0).sqrt();
                (length, 1.0 / (1.0 + length))
            }
            // 0.0 - x rather than -x: a score of zero reads 0, not -0.
            Self::DotProduct => (0.0 + score, 0.0 - score),
        }
    }
}

impl fmt::Display for DistanceMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DistanceMetric {
    type Err = VectorizerError;

    /// Reads the names that [`fmt::Display`] writes.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|metric| metric.name() == name)
            .ok_or_else(|| VectorizerError::InvalidConfig {
                field: "metric",
                actual: name.to_owned(),
                expected: "cosine, euclidean or dot",
            })
    }
}

/// One hit of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchResult {
    /// The id the vector was added under.
    pub id: String,
    /// Larger is nearer; see [`DistanceMetric`] for the scale.
    pub similarity: f32,
    /// Smaller is nearer, in the metric's own terms; see [`DistanceMetric`].
    pub distance: f32,
    /// The vector's payload, if the search asked for payloads and it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<Payload>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outward_scales_are_the_documented_ones() {
        assert_eq!(DistanceMetric::Euclidean.outward(9.0), (3.0, 0.25));
        assert_eq!(DistanceMetric::DotProduct.outward(-6.0), (-6.0, 6.0));
        assert_eq!(DistanceMetric::Cosine.outward(-0.25), (0.75, 0.25));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for &metric in DistanceMetric::ALL {
            let name = metric.to_string();
            assert_eq!(name.parse::<DistanceMetric>().unwrap(), metric);
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json, format!("\"{name}\""));
        }
        for wrong in ["", "Cosine", "l2"] {
            assert_eq!(
                wrong.parse::<DistanceMetric>().unwrap_err().to_string(),
                format!("metric is {wrong}; expected cosine, euclidean or dot")
            );
        }
    }

    #[test]
    fn rounding_never_leaves_the_scale() {
        assert_eq!(DistanceMetric::Cosine.outward(-1.000_000_1), (0.0, 1.0));
        assert_eq!(DistanceMetric::Cosine.outward(1.000_000_1), (2.0, -1.0));
        assert_eq!(DistanceMetric::Euclidean.outward(-1e-9), (0.0, 1.0));
        let (distance, similarity) = DistanceMetric::DotProduct.outward(-0.0);
        assert!(distance.is_sign_positive() && similarity.is_sign_positive());
    }
}
