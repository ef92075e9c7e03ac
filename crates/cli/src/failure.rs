//! Why the command stops: one line, and an exit status that says whose turn it is.

use std::fmt;
use std::io;
use std::process::ExitCode;

use vectorizer::error::VectorizerError;
use vectorizer_bench::DataError;

/// What ends the command. Its text is one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something about the arguments or the files: exit status 2, as for arguments that do not parse.
    Input(String),
    /// The device has no room: exit status 1. What can go on elsewhere does.
    Full(VectorizerError),
    /// Something about the machine: exit status 1.
    Machine(String),
    /// Our own output cannot be written.
    Output(io::Error),
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
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
            Self::Full(error) => error.to_string(),
            Self::Output(error) => format!("cannot write the output: {error}"),
        };
        // A driver's own words may have several lines.
        f.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Input(error.to_string())
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
            E::DuplicateId { id } => Self::Input(format!(
                "id {id:?} is already in the collection: with --replace its vector is replaced"
            )),
            E::SearchFailed
            | E::DeviceFailed { .. }
            | E::DeviceLost { .. }
            | E::Cancelled
            | E::GraphDamaged { .. }
            | E::StoreInUse { .. }
            | E::StoreDamaged { .. }
            | E::StoreReadOnly { .. }
            | E::StoreNotClosed { .. }
            | E::StoreFailed { .. }
            | E::FileFailed { .. } => Self::Machine(error.to_string()),
            // What is left is about the data, the parameters, or a device that was asked for by name.
            _ => Self::Input(error.to_string()),
        }
    }
}
