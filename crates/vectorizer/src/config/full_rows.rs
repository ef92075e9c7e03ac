//! Where vectors are kept that walks do not compare.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Result, VectorizerError};

/// Where the vectors themselves are kept in a collection on a GPU whose walks compare a small form of them ([`Precision::F16`] or
/// [`Precision::Int8`]). The graph, similarities and their order are the same either way. On the CPU engine everything is in RAM anyway, and
/// this changes nothing.
///
/// [`Precision::F16`]: crate::config::Precision::F16
/// [`Precision::Int8`]: crate::config::Precision::Int8
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FullRows {
    /// On the device, beside their small form: everything is done there.
    #[default]
    Device,
    /// In RAM, with the small form alone on the device: with bytes that takes about a fifth of the device memory, and as much RAM as the CPU
    /// engine takes for vectors and links. The device walks the graph; the CPU scores again what walks found, links new vectors, compares
    /// exactly, and walks with beams wider than the device holds (1,024), over the vectors themselves. Adding, building and exact search
    /// are then as fast as the CPU engine. A lost device takes no vectors with it.
    Ram,
}

impl FullRows {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Device, Self::Ram];

    /// The name, as it is read and written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Ram => "ram",
        }
    }

    /// Whether this is [`FullRows::Device`].
    #[must_use]
    pub fn is_device(&self) -> bool {
        *self == Self::Device
    }
}

impl fmt::Display for FullRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FullRows {
    type Err = VectorizerError;

    /// Reads the names that [`fmt::Display`] writes.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|place| place.name() == name)
            .ok_or_else(|| VectorizerError::InvalidConfig {
                field: "full_rows",
                actual: name.to_owned(),
                expected: "device or ram",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for place in FullRows::ALL {
            let name = place.to_string();
            assert_eq!(name.parse::<FullRows>().unwrap(), place);
            let json = serde_json::to_string(&place).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<FullRows>(&json).unwrap(), place);
        }
        for wrong in ["", "RAM", "disk"] {
            let error = wrong.parse::<FullRows>().unwrap_err();
            assert!(
                matches!(&error, VectorizerError::InvalidConfig { field: "full_rows", actual, .. } if actual == wrong),
                "{wrong}: {error}"
            );
        }
    }
}
