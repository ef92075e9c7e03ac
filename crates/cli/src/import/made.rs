//! A collection that was made for a file, and is taken back if nothing came of it.

use std::path::{Path, PathBuf};

use vectorizer::collection::Collection;

/// What making a collection adds to the disk.
#[derive(Debug)]
pub(super) struct Made {
    /// The folders that were not there before, the innermost first.
    folders: Vec<PathBuf>,
}

impl Made {
    /// To be called before the collection is made.
    pub(super) fn at(folder: &Path) -> Self {
        let missing = folder
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        Self {
            folders: missing.map(Path::to_owned).collect(),
        }
    }

    /// Takes the collection away if it holds nothing, with the folders that were made for it. The error that led here is the one to tell: one on the
    /// way back adds nothing to it.
    pub(super) fn take_back(self, collection: Collection) {
        if let Ok(true) = collection.discard_if_empty() {
            self.remove_folders();
        }
    }

    /// Takes the folders away, as far as nothing is in them.
    pub(super) fn remove_folders(self) {
        for folder in self.folders {
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}
