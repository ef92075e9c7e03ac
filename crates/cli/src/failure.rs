//! Why the command stops: one line, and an exit status that says whose turn it is.
//!
//! The one place where a status is chosen: 2 if what was asked for cannot be ([`VectorizerError::is_usage`]), else 1.

use std::fmt;
use std::io;
use std::process::ExitCode;

use vectorizer::error::VectorizerError;
use vectorizer_bench::DataError;

/// What the exit status means, as every command's help says it.
pub(crate) const EXIT_STATUS: &str = "\
Exit status: 0 done; 1 a device, memory or the disk failed, the output cannot be written, a collection is damaged (also where check finds that) or open elsewhere;
2 what was asked for cannot be: arguments, files, ids.";

/// What ends the command. Its text is one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for cannot be: exit status 2, as for arguments that do not parse.
    Input(String),
    /// There is no collection: exit status 2.
    Missing(VectorizerError),
    /// The device has no room: exit status 1. What can go on elsewhere does.
    Full(VectorizerError),
    /// Something about the machine, or damage: exit status 1.
    Machine(String),
    /// Our own output cannot be written: exit status 1.
    Output(io::Error),
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Input(_) | Self::Missing(_) => ExitCode::from(2),
            Self::Full(_) | Self::Machine(_) | Self::Output(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Input(text) | Self::Machine(text) => text.clone(),
            // In the words of the command, not of the library.
            Self::Full(VectorizerError::VramFallback) => {
                "there is no room for more: raise --vram-limit, let it go on in RAM with --fallback spill, or take another --device"
                    .to_owned()
            }
            Self::Full(error) | Self::Missing(error) => error.to_string(),
            Self::Output(error) => format!("cannot write the output: {error}"),
        };
        // A driver's own words may have several lines.
        f.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        if error.is_machine() {
            Self::Machine(error.to_string())
        } else {
            Self::Input(error.to_string())
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<VectorizerError> for Failure {
    fn from(error: VectorizerError) -> Self {
        use VectorizerError as E;
        match error {
            full if full.is_full() => Self::Full(full),
            missing @ E::StoreMissing { .. } => Self::Missing(missing),
            E::DuplicateId { id } => Self::Input(format!(
                "id {id:?} is already in the collection: with --replace its vector is replaced"
            )),
            E::InFile { path, place, error } => {
                let wrap = |text: &str| format!("{path}: {place}: {text}");
                match Self::from(*error) {
                    Self::Input(text) => Self::Input(wrap(&text)),
                    other => Self::Machine(wrap(&other.to_string())),
                }
            }
            usage if usage.is_usage() => Self::Input(usage.to_string()),
            other => Self::Machine(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every error of the library with the status that it ends the command with. What is here is what the source of the library has: a new
    /// error without a row fails.
    #[test]
    fn every_error_has_its_status() {
        use VectorizerError as E;
        let text = String::new;
        let rows: Vec<(E, u8)> = vec![
            (E::VramFallback, 1),
            (E::SearchFailed, 1),
            (
                E::DimensionMismatch {
                    expected: 1,
                    actual: 2,
                },
                2,
            ),
            (
                E::VramLimitExceeded {
                    limit: 1,
                    requested: 2,
                },
                1,
            ),
            (E::BufferAllocationFailed, 1),
            (
                E::NotInVram {
                    label: "rows",
                    bytes: 1,
                },
                1,
            ),
            (E::InvalidDimension { actual: 0, max: 1 }, 2),
            (
                E::InvalidComponent {
                    id: text(),
                    index: 0,
                    value: f32::NAN,
                    limit: 1.0,
                },
                2,
            ),
            (
                E::InvalidPayload {
                    id: text(),
                    reason: text(),
                },
                2,
            ),
            (
                E::VectorTooShort {
                    id: text(),
                    squared_length: 0.0,
                    limit: 1.0,
                },
                2,
            ),
            (E::InvalidId { actual: 0 }, 2),
            (E::InsideCallback, 2),
            (
                E::WouldOverwrite {
                    path: text(),
                    holds: "",
                },
                2,
            ),
            (E::Forked { reason: "" }, 2),
            (
                E::InFile {
                    path: text(),
                    place: text(),
                    error: Box::new(E::InvalidK),
                },
                2,
            ),
            (E::DuplicateId { id: text() }, 2),
            (E::DuplicateIdInBatch { id: text() }, 2),
            (E::UnknownId { id: text() }, 2),
            (E::InvalidK, 2),
            (E::InvalidEf { actual: 0, max: 1 }, 2),
            (
                E::InvalidFilter {
                    at: text(),
                    expected: text(),
                    found: text(),
                },
                2,
            ),
            (E::OptionNeedsCollection { option: "filter" }, 2),
            (
                E::InvalidConfig {
                    field: "m",
                    actual: text(),
                    expected: "2",
                },
                2,
            ),
            (
                E::ShapeMismatch {
                    values: 1,
                    dimension: 2,
                },
                2,
            ),
            (E::CountMismatch { ids: 1, vectors: 2 }, 2),
            (
                E::TooManyVectors {
                    max: 1,
                    requested: 2,
                },
                2,
            ),
            (
                E::NoDevice {
                    wanted: text(),
                    advice: text(),
                },
                2,
            ),
            (
                E::DeviceFailed {
                    device: text(),
                    reason: text(),
                },
                1,
            ),
            (E::DeviceLost { device: text() }, 1),
            (E::Cancelled, 1),
            (E::StoreMissing { path: text() }, 2),
            (E::StoreExists { path: text() }, 2),
            (E::StoreInUse { path: text() }, 1),
            (E::StoreReadOnly { path: text() }, 1),
            (E::StoreNotClosed { path: text() }, 1),
            (
                E::UnsupportedFormat {
                    path: text(),
                    found: text(),
                    supported: text(),
                },
                2,
            ),
            (
                E::StoreDamaged {
                    path: text(),
                    reason: text(),
                },
                1,
            ),
            (
                E::StoreFailed {
                    path: text(),
                    reason: text(),
                },
                1,
            ),
            (E::NotDurable, 2),
            (
                E::FileFailed {
                    path: text(),
                    reason: text(),
                },
                1,
            ),
            (
                E::FileRefused {
                    path: text(),
                    reason: text(),
                },
                2,
            ),
            (E::GraphDamaged { reason: text() }, 1),
            (E::NothingToTune { device: text() }, 2),
        ];
        let source = include_str!("../../vectorizer/src/error.rs");
        let (_, body) = source.split_once("pub enum VectorizerError {").unwrap();
        let (body, _) = body.split_once("\n}\n").unwrap();
        let mut known: Vec<String> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with(char::is_uppercase))
            .map(|line| line.trim_end_matches([' ', '{', ',']).to_owned())
            .collect();
        let mut here = Vec::new();
        for (error, status) in rows {
            let shown = format!("{error:?}");
            here.push(shown.split(' ').next().unwrap().to_owned());
            let code = Failure::from(error).exit_code();
            // An exit code cannot be compared.
            let expected = format!("{:?}", ExitCode::from(status));
            assert_eq!(format!("{code:?}"), expected, "{shown}");
        }
        known.sort();
        here.sort();
        assert_eq!(here, known);
    }
}
