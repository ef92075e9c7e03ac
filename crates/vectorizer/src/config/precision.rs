//! In how many bits vectors are searched.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Result, VectorizerError};

/// The form of the vectors that searches walk over. The graph is the same whatever it is, link for link: it is built on the vectors as
/// they are, which are kept beside the small form. What a walk finds with the small form is scored again with them, so that every
/// similarity is the true one; what is lost is at most a neighbour that the walk passed by. Exact searches compare the vectors as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// The vectors themselves, four bytes a component.
    #[default]
    F32,
    /// Two bytes a component: half floats times a power of two that each vector has of its own, so that no component is too large for a
    /// half float, and only such are lost as are 2^28 times smaller than the vector's largest. A component keeps 11 bits.
    F16,
    /// A byte a component: whole numbers from -128 to 127, times a step, about a middle, both each vector's own, so that nothing has to be
    /// known of other vectors, and none is coded differently for what came before it. Vectors of whole numbers that span 255 or less, such as
    /// pixels and SIFT, lose nothing.
    Int8,
}

impl Precision {
    /// All there are, most precise first.
    pub const ALL: &'static [Self] = &[Self::F32, Self::F16, Self::Int8];

    /// The name, as it is read and written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// Whether this is [`Precision::F32`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        *self == Self::F32
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = VectorizerError;

    /// Reads the names that [`fmt::Display`] writes.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| VectorizerError::InvalidConfig {
                field: "precision",
                actual: name.to_owned(),
                expected: "f32, f16 or int8",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for &precision in Precision::ALL {
            let name = precision.to_string();
            assert_eq!(name.parse::<Precision>().unwrap(), precision);
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Precision>(&json).unwrap(), precision);
        }
        for wrong in ["", "F32", "int4", "i8"] {
            let error = wrong.parse::<Precision>().unwrap_err();
            assert!(
                matches!(&error, VectorizerError::InvalidConfig { field: "precision", actual, .. } if actual == wrong),
                "{wrong}: {error}"
            );
        }
    }
}
