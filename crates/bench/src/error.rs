//! What can be wrong with a file.

use std::io;
use std::path::Path;

use vectorizer::error::VectorizerError;

/// A file that cannot be used, and why, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct DataError {
    path: String,
    reason: String,
    machine: bool,
}

/// What every fallible call of this crate returns.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

impl From<VectorizerError> for DataError {
    fn from(error: VectorizerError) -> Self {
        let machine = !error.is_usage();
        let (path, reason) = match error {
            VectorizerError::FileFailed { path, reason }
            | VectorizerError::FileRefused { path, reason } => (path, reason),
            VectorizerError::WouldOverwrite { path, holds } => (
                path,
                format!("writing there would overwrite {holds}; choose another file"),
            ),
            other => ("a file".to_owned(), other.to_string()),
        };
        Self {
            path,
            reason,
            machine,
        }
    }
}

impl DataError {
    /// Something is wrong with the file at `path`.
    pub fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            reason: reason.into(),
            machine: false,
        }
    }

    /// Whether the disk or the system failed, rather than that the file is not there, not allowed, or not what it should be.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        self.machine
    }

    /// The operating system refused `action` (say, "read it").
    #[must_use]
    pub fn io(path: &Path, action: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => format!("no permission to {action}"),
            io::ErrorKind::StorageFull => format!("cannot {action}: the disk is full"),
            _ => format!("cannot {action}: {error}"),
        };
        // Whoever named the file can name another; anything else no other arguments would mend.
        let machine = !matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::ReadOnlyFilesystem
        );
        Self {
            machine,
            ..Self::new(path, reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_arguments_would_mend_is_not_the_machines() {
        for (kind, machine) in [
            (io::ErrorKind::NotFound, false),
            (io::ErrorKind::PermissionDenied, false),
            (io::ErrorKind::IsADirectory, false),
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::Other, true),
        ] {
            let error = DataError::io(Path::new("a"), "read it", &kind.into());
            assert_eq!(error.is_machine(), machine, "{kind:?}");
        }
        assert!(!DataError::new(Path::new("a"), "is broken").is_machine());
    }
}
