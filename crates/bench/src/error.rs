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
}

/// What every fallible call of this crate returns.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

impl From<VectorizerError> for DataError {
    fn from(error: VectorizerError) -> Self {
        match error {
            VectorizerError::FileFailed { path, reason }
            | VectorizerError::FileRefused { path, reason } => Self { path, reason },
            VectorizerError::WouldOverwrite { path, holds } => Self {
                path,
                reason: format!("writing there would overwrite {holds}; choose another file"),
            },
            other => Self {
                path: "a file".to_owned(),
                reason: other.to_string(),
            },
        }
    }
}

impl DataError {
    /// Something is wrong with the file at `path`.
    pub fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            reason: reason.into(),
        }
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
        Self::new(path, reason)
    }
}
