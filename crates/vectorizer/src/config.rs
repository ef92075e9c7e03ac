//! What can be set, with its defaults, bounds and where they come from.

use serde::{Deserialize, Serialize};

use crate::error::{Result, VectorizerError};

mod full_rows;
mod precision;
mod search;

pub use full_rows::FullRows;
pub use precision::Precision;
pub use search::{SearchOptions, SearchPath};

/// The largest `max_connections`; hnswlib's own guide calls 48 to 64 enough for the hardest data.
pub const MAX_CONNECTIONS: usize = 64;
/// The widest beam for building and searching. A search that wants more is better served exactly.
pub const MAX_EF: usize = 65_536;
/// The most components a vector can have.
pub const MAX_DIMENSION: usize = 65_536;
/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 65_535;
/// The highest level a graph can have.
pub const MAX_LEVEL: usize = 30;
/// The most threads that a collection can ask for; [`effective_threads`] says how many then work.
pub const MAX_THREADS: usize = 4096;

/// The parameters of the HNSW graph, in the words of its paper (Malkov and Yashunin, arXiv 1603.09320).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HnswConfig {
    /// The paper's M: links a vector makes when it arrives, and the most it holds on the upper levels; level 0 holds twice as many.
    /// 2 to 64; 16 by default, the middle of the paper's range of 5 to 48 and hnswlib's own default.
    pub max_connections: usize,
    /// Beam width while building. 1 to 1024; 200 by default, hnswlib's.
    pub ef_construction: usize,
    /// Beam width of a search that names none; raised to k where k is larger. 1 to 65,536; 64 by default.
    pub ef_search: usize,
    /// Levels above the bottom one. 1 to 30; 16 by default, which a collection of 2^31 vectors at M = 16 does not reach.
    pub max_level: usize,
    /// The paper's mL: a vector's level is floor(-ln(u) * mL). Above 0, up to 4; 1 / ln(M) by default, the paper's choice.
    pub level_multiplier: f32,
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self {
            max_connections: 16,
            ef_construction: 200,
            ef_search: 64,
            max_level: 16,
            level_multiplier: 1.0 / 16f32.ln(),
        }
    }
}

impl HnswConfig {
    /// The defaults with another M, and the paper's level multiplier for it. What is out of bounds is refused where it is used.
    ///
    /// ```
    /// use vectorizer::config::HnswConfig;
    ///
    /// let config = HnswConfig::with_connections(32);
    /// assert_eq!((config.max_connections, config.ef_construction), (32, 200));
    /// assert!(config.level_multiplier < HnswConfig::default().level_multiplier);
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "M is at most 64")]
    pub fn with_connections(max_connections: usize) -> Self {
        Self {
            max_connections,
            level_multiplier: 1.0 / (max_connections as f32).ln(),
            ..Self::default()
        }
    }

    /// Says whether every field is within its bounds.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidConfig`] names the first field that is not.
    pub fn validate(&self) -> Result<()> {
        let bad = |field, actual: String, expected| {
            Err(VectorizerError::InvalidConfig {
                field,
                actual,
                expected,
            })
        };
        if !(2..=MAX_CONNECTIONS).contains(&self.max_connections) {
            return bad(
                "max_connections",
                self.max_connections.to_string(),
                "2 to 64",
            );
        }
        if !(1..=1024).contains(&self.ef_construction) {
            return bad(
                "ef_construction",
                self.ef_construction.to_string(),
                "1 to 1024",
            );
        }
        if !(1..=MAX_EF).contains(&self.ef_search) {
            return bad("ef_search", self.ef_search.to_string(), "1 to 65536");
        }
        if !(1..=MAX_LEVEL).contains(&self.max_level) {
            return bad("max_level", self.max_level.to_string(), "1 to 30");
        }
        // NaN fails the comparison too.
        if !(self.level_multiplier > 0.0 && self.level_multiplier <= 4.0) {
            return bad(
                "level_multiplier",
                self.level_multiplier.to_string(),
                "above 0, up to 4",
            );
        }
        Ok(())
    }
}

/// What a collection does when its device has no room for more, or is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FallbackPolicy {
    /// The call fails with [`VectorizerError::VramFallback`] and nothing has changed: the caller decides. `stats().fallback` holds the
    /// figures behind it. A lost device is [`VectorizerError::DeviceLost`].
    #[default]
    Report,
    /// The collection moves to RAM, where the CPU engine goes on with the same ids and the same graph, and the call is answered from
    /// there. `stats()`, the monitor, a log line and the callback say so;
    /// [`return_to_device`](crate::collection::Collection::return_to_device) goes back. A lost device takes the vectors with it, unless they are in RAM
    /// ([`FullRows::Ram`]) or the collection is kept on disk: then it goes on in RAM, with what is there or what its store has.
    Spill,
    /// No way down: the call fails with what stood in the way, [`VectorizerError::VramLimitExceeded`] with limit and need, or
    /// [`VectorizerError::BufferAllocationFailed`], and nothing has changed.
    Forbid,
    /// As `Spill`, with vectors and graph in RAM as well from the beginning. Single queries are answered from there, without a way to
    /// the device and back; a full or lost device costs nothing. Takes as much RAM as device memory; with [`FullRows::Ram`] the vectors are in
    /// RAM twice.
    Mirror,
}

/// What a collection is made with beyond its dimension and metric. Fields come with versions: name those that matter and take the rest from
/// `..CollectionOptions::default()`.
///
/// ```
/// use vectorizer::config::{CollectionOptions, FallbackPolicy, HnswConfig, Precision};
///
/// let options = CollectionOptions {
///     hnsw: HnswConfig::with_connections(24),
///     fallback: FallbackPolicy::Spill,
///     precision: Precision::F16,
///     ..CollectionOptions::default()
/// };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CollectionOptions {
    /// The graph's parameters.
    pub hnsw: HnswConfig,
    /// Seeds the levels: the same seed and input give the same graph.
    pub seed: u64,
    /// Threads of the CPU engine, up to [`MAX_THREADS`]; 0 is one for each core. However many are asked for, no more work than
    /// [`effective_threads`]: four for each core, and at least 64. They start when there is work for them.
    pub threads: usize,
    /// The most bytes of the device's memory that the collection may take, for vectors, links and whatever it needs in passing.
    /// `None`: what its context allows, and without a limit there, [`DEFAULT_SHARE`](crate::gpu::device::DEFAULT_SHARE) of what the
    /// device recommends. On the CPU engine it is RAM that is counted.
    pub vram_limit: Option<u64>,
    /// What happens when the device has no room, or is lost.
    pub fallback: FallbackPolicy,
    /// The form of the vectors that walks through the graph compare.
    pub precision: Precision,
    /// Where the vectors themselves are kept; anything but the device needs a `precision` other than [`Precision::F32`].
    pub full_rows: FullRows,
}

impl CollectionOptions {
    /// Says whether every field is possible, by itself and beside the others. Whoever takes options checks this.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidConfig`] names the first field that is not.
    pub fn validate(&self) -> Result<()> {
        self.hnsw.validate()?;
        check_threads(self.threads)?;
        if self.precision.is_full() && !self.full_rows.is_device() {
            return Err(VectorizerError::InvalidConfig {
                field: "full_rows",
                actual: self.full_rows.to_string(),
                expected: "device where precision is f32: set precision to f16 or int8 to keep the vectors in RAM",
            });
        }
        Ok(())
    }
}

impl Default for CollectionOptions {
    fn default() -> Self {
        Self {
            hnsw: HnswConfig::default(),
            seed: 0x5eed,
            threads: 0,
            vram_limit: None,
            fallback: FallbackPolicy::Report,
            precision: Precision::F32,
            full_rows: FullRows::Device,
        }
    }
}

/// How many threads of the CPU engine work where a collection asks for `threads`: as many, but no more than four for each core, or 64 where
/// that is more; for 0, one for each core. More would only take memory and each other's time.
#[must_use]
pub fn effective_threads(threads: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match threads {
        0 => cores,
        threads => threads.min((4 * cores).max(64)),
    }
}

pub(crate) fn check_threads(threads: usize) -> Result<()> {
    if threads <= MAX_THREADS {
        return Ok(());
    }
    Err(VectorizerError::InvalidConfig {
        field: "threads",
        actual: threads.to_string(),
        expected: "0 to 4096",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_valid() {
        HnswConfig::default().validate().unwrap();
    }

    #[test]
    fn vectors_are_in_ram_only_where_a_small_form_is_on_the_device() {
        for &precision in Precision::ALL {
            for full_rows in FullRows::ALL {
                let options = CollectionOptions {
                    precision,
                    full_rows,
                    ..CollectionOptions::default()
                };
                let refused = precision.is_full() && full_rows == FullRows::Ram;
                match options.validate() {
                    Ok(()) => assert!(!refused),
                    Err(error) => {
                        assert!(refused, "{precision}, {full_rows}: {error}");
                        assert!(error.to_string().contains("int8"), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_field_is_refused_out_of_bounds() {
        let ok = HnswConfig::default();
        let cases = [
            (
                HnswConfig {
                    max_connections: 0,
                    ..ok
                },
                "max_connections",
            ),
            (
                HnswConfig {
                    max_connections: 1,
                    ..ok
                },
                "max_connections",
            ),
            (
                HnswConfig {
                    max_connections: 65,
                    ..ok
                },
                "max_connections",
            ),
            (
                HnswConfig {
                    ef_construction: 0,
                    ..ok
                },
                "ef_construction",
            ),
            (
                HnswConfig {
                    ef_construction: 1025,
                    ..ok
                },
                "ef_construction",
            ),
            (HnswConfig { ef_search: 0, ..ok }, "ef_search"),
            (
                HnswConfig {
                    ef_search: MAX_EF + 1,
                    ..ok
                },
                "ef_search",
            ),
            (HnswConfig { max_level: 0, ..ok }, "max_level"),
            (
                HnswConfig {
                    max_level: 31,
                    ..ok
                },
                "max_level",
            ),
            (
                HnswConfig {
                    level_multiplier: 0.0,
                    ..ok
                },
                "level_multiplier",
            ),
            (
                HnswConfig {
                    level_multiplier: f32::NAN,
                    ..ok
                },
                "level_multiplier",
            ),
            (
                HnswConfig {
                    level_multiplier: 4.5,
                    ..ok
                },
                "level_multiplier",
            ),
        ];
        for (config, field) in cases {
            let error = config.validate().unwrap_err();
            assert!(
                matches!(&error, VectorizerError::InvalidConfig { field: named, .. } if *named == field),
                "{config:?} gave {error}"
            );
        }
    }
}
