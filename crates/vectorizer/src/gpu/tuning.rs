//! How a device's work is cut up: figures that change how soon an answer comes, and never what it is.
//!
//! There is a default for every device, by what it can do and what sort it is. [`tune`](crate::tune::tune) measures which of the other
//! values a device likes better; what it found is remembered in a file, which is read when the device is opened. The file is bound to
//! the device, its driver and this version of the kernels: any other file is refused, and `info` says why.
//!
//! What is *not* here is what decides an answer. The eight threads that share a score add up in an order of their own, so the width of a team is fixed; exact
//! search by tiles sums in another order than by teams, so the number of queries from which on tiles are taken is fixed too.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::gpu::device::DeviceKind;
use crate::gpu::tiers::Tier;

#[cfg(feature = "gpu")]
pub(crate) mod file;
#[cfg(all(test, feature = "gpu"))]
mod tests;

/// The environment variable that names the file with the tuning; `off` reads none, and every device has its default.
pub const TUNING_VARIABLE: &str = "VECTORIZER_TUNING";

/// Workgroup memory from which on a tile can hold four parts of a row at a time and leave half of it to other workgroups.
const ROOMY: u32 = 32 << 10;

/// How a device's work is cut up. No value changes an answer or a graph; tests hold what can be chosen against the default, bit
/// for bit. (The counters of work may differ: who forgets sooner which slots were met scores some of them twice.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Threads of a walk where many walk at once, vectors have fewer than 256 components, beams are at most 64 wide and slots have at most 64 links.
    pub walk_threads: u32,
    /// Threads of a walk where many walk at once and vectors are longer, beams wider, or links more. Most of a build is such walks.
    pub wide_walk_threads: u32,
    /// Threads of a walk where few walk at once.
    pub few_walk_threads: u32,
    /// How many queries of a call are few, at most.
    pub few_walks: u32,
    /// How much one dispatch of walks or of linking reads at most, in parts of rows (four components each), if every score that may be needed is.
    pub dispatch_parts: u64,
    /// Parts of a row that a tile of exact search holds at a time.
    pub tile_depth: u32,
    /// Among how many workgroups an exact search with many queries is divided.
    pub tile_groups: u32,
    /// Among how many workgroups an exact search with few queries is divided.
    pub scan_groups: u32,
}

impl Tuning {
    /// What a device has of which nothing is remembered.
    #[must_use]
    pub const fn default_for(tier: &Tier, kind: DeviceKind) -> Self {
        Self {
            walk_threads: 64,
            wide_walk_threads: 128,
            few_walk_threads: 256,
            // Up to so many leave most of a device idle if each takes few threads.
            few_walks: 128,
            // A fraction of a tenth of a second's worth, by a cautious guess of what scattered reads allow.
            dispatch_parts: match kind {
                DeviceKind::Discrete => 2_000_000_000,
                DeviceKind::Software | DeviceKind::Cpu => 50_000_000,
                DeviceKind::Integrated | DeviceKind::Virtual | DeviceKind::Unknown => 500_000_000,
            },
            // As many as leave half of the workgroup memory to other workgroups.
            tile_depth: if tier.workgroup_bytes >= ROOMY { 4 } else { 2 },
            // Two for each part of the largest devices keep them busy, and what more find has to be merged: of 200,000 x 128 an H100 scanned 64 queries one
            // by one in 15.4 ms with 256 groups and in 22.5 with 1,024, and held 1,024 at once (k 100) against all in 5.9 and 8.1.
            tile_groups: 256,
            scan_groups: 256,
        }
    }

    /// Says whether every value is among those that the device can have.
    ///
    /// # Errors
    /// [`TuningRefused::OutOfRange`], with the first that is not.
    pub fn validate(&self, tier: &Tier, kind: DeviceKind) -> Result<(), TuningRefused> {
        for knob in Knob::ALL {
            let value = knob.of(self);
            let choices = knob.choices(tier, kind);
            if !choices.contains(&value) {
                return Err(TuningRefused::OutOfRange {
                    knob: knob.name(),
                    value,
                    choices,
                });
            }
        }
        Ok(())
    }
}

/// One of the values of a [`Tuning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Knob {
    /// [`Tuning::walk_threads`].
    WalkThreads,
    /// [`Tuning::wide_walk_threads`].
    WideWalkThreads,
    /// [`Tuning::few_walk_threads`].
    FewWalkThreads,
    /// [`Tuning::few_walks`].
    FewWalks,
    /// [`Tuning::dispatch_parts`].
    DispatchParts,
    /// [`Tuning::tile_depth`].
    TileDepth,
    /// [`Tuning::tile_groups`].
    TileGroups,
    /// [`Tuning::scan_groups`].
    ScanGroups,
}

impl Knob {
    /// All of them, in the order in which they are measured: what is found for one holds for those after it.
    pub const ALL: [Self; 8] = [
        Self::WalkThreads,
        Self::FewWalkThreads,
        Self::FewWalks,
        Self::WideWalkThreads,
        Self::DispatchParts,
        Self::TileDepth,
        Self::TileGroups,
        Self::ScanGroups,
    ];

    /// The name of the field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WalkThreads => "walk_threads",
            Self::WideWalkThreads => "wide_walk_threads",
            Self::FewWalkThreads => "few_walk_threads",
            Self::FewWalks => "few_walks",
            Self::DispatchParts => "dispatch_parts",
            Self::TileDepth => "tile_depth",
            Self::TileGroups => "tile_groups",
            Self::ScanGroups => "scan_groups",
        }
    }

    /// What can be chosen on such a device, ascending; the default is among it.
    #[must_use]
    pub fn choices(self, tier: &Tier, kind: DeviceKind) -> Vec<u64> {
        let default = Tuning::default_for(tier, kind);
        match self {
            // Every device has 256 threads in a workgroup, and none has more than 64 in step on which kernels were tried.
            Self::WalkThreads | Self::WideWalkThreads | Self::FewWalkThreads => vec![64, 128, 256],
            Self::FewWalks => vec![16, 32, 64, 128, 256, 512, 1_024],
            // No more than twice the cautious guess: a dispatch must not look as if the device hung.
            Self::DispatchParts => {
                let parts = default.dispatch_parts;
                vec![parts / 4, parts / 2, parts, 2 * parts]
            }
            Self::TileDepth if tier.workgroup_bytes >= ROOMY => vec![2, 4],
            Self::TileDepth => vec![2],
            // Lists of candidates grow with the number of groups: never beyond what the default takes, so that what fits into a limit fits
            // under every tuning.
            Self::TileGroups | Self::ScanGroups => vec![64, 128, 256],
        }
    }

    /// The value.
    #[must_use]
    pub fn of(self, tuning: &Tuning) -> u64 {
        u64::from(match self {
            Self::DispatchParts => return tuning.dispatch_parts,
            Self::WalkThreads => tuning.walk_threads,
            Self::WideWalkThreads => tuning.wide_walk_threads,
            Self::FewWalkThreads => tuning.few_walk_threads,
            Self::FewWalks => tuning.few_walks,
            Self::TileDepth => tuning.tile_depth,
            Self::TileGroups => tuning.tile_groups,
            Self::ScanGroups => tuning.scan_groups,
        })
    }

    /// The same tuning with another value; one that is too large for its field becomes the largest there is.
    #[must_use]
    pub fn set(self, tuning: Tuning, value: u64) -> Tuning {
        let mut tuning = tuning;
        let field = match self {
            Self::DispatchParts => {
                tuning.dispatch_parts = value;
                return tuning;
            }
            Self::WalkThreads => &mut tuning.walk_threads,
            Self::WideWalkThreads => &mut tuning.wide_walk_threads,
            Self::FewWalkThreads => &mut tuning.few_walk_threads,
            Self::FewWalks => &mut tuning.few_walks,
            Self::TileDepth => &mut tuning.tile_depth,
            Self::TileGroups => &mut tuning.tile_groups,
            Self::ScanGroups => &mut tuning.scan_groups,
        };
        *field = u32::try_from(value).unwrap_or(u32::MAX);
        tuning
    }
}

/// Why a file with a tuning is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TuningRefused {
    /// It is there and cannot be read.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// The system's own words.
        reason: String,
    },
    /// It is no such file, or not whole.
    #[error("it is no tuning: {reason}")]
    Malformed {
        /// What was expected, and where.
        reason: String,
    },
    /// It is of another device, another driver or other kernels.
    #[error("its {field} is {found:?}, here it is {expected:?}: run `vectorizer tune` again")]
    OfAnother {
        /// What differs.
        field: &'static str,
        /// What the file says.
        found: String,
        /// What is here.
        expected: String,
    },
    /// A value that the device cannot have.
    #[error("{knob} is {value}; expected one of {choices:?}")]
    OutOfRange {
        /// Which.
        knob: &'static str,
        /// What the file says.
        value: u64,
        /// What is possible.
        choices: Vec<u64>,
    },
}

/// Where a device's tuning is from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TuningSource {
    /// Nothing is remembered of this device: its default.
    Default,
    /// [`TUNING_VARIABLE`] is `off`: its default.
    Off,
    /// What was measured and remembered here.
    File(PathBuf),
    /// There is a file, it is not used, and this is why: its default.
    Refused(PathBuf, TuningRefused),
}

impl fmt::Display for TuningSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Off => write!(f, "default, as {TUNING_VARIABLE} is off"),
            Self::File(path) => write!(f, "measured, from {}", path.display()),
            Self::Refused(path, why) => {
                write!(f, "default, as {} is refused: {why}", path.display())
            }
        }
    }
}

/// A device's tuning, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TuningInUse {
    /// The values.
    pub values: Tuning,
    /// Where they are from.
    pub source: TuningSource,
}

impl Serialize for TuningInUse {
    /// `source` (default, off, file or refused), `path` and `reason` (null where there is none), `values`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let (source, path, reason) = match &self.source {
            TuningSource::Default => ("default", None, None),
            TuningSource::Off => ("off", None, None),
            TuningSource::File(path) => ("file", Some(path), None),
            TuningSource::Refused(path, why) => ("refused", Some(path), Some(why.to_string())),
        };
        let mut fields = serializer.serialize_struct("TuningInUse", 4)?;
        fields.serialize_field("source", source)?;
        // A path need not be Unicode.
        fields.serialize_field("path", &path.map(|path| path.display().to_string()))?;
        fields.serialize_field("reason", &reason)?;
        fields.serialize_field("values", &self.values)?;
        fields.end()
    }
}
