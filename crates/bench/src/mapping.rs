//! A file in the address space, read-only.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{DataError, Result};

/// The bytes of a regular file that is not empty.
#[derive(Debug)]
pub(crate) struct Mapping(Mmap);

impl Mapping {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| DataError::io(path, "read it", &error);
        // Asked before opening: opening a pipe would wait for its writer.
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if kind.is_dir() {
            return Err(DataError::new(path, "is a folder, not a file"));
        }
        if !kind.is_file() {
            return Err(DataError::new(
                path,
                "is not a regular file: write the data to a file first",
            ));
        }
        let file = File::open(path).map_err(unreadable)?;
        if kind.len() == 0 {
            return Err(DataError::new(path, "is empty"));
        }
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
        // SAFETY: the mapping is read-only and its bytes are only ever read as integers, for which every value is valid.
        // That nobody shortens or rewrites the file meanwhile is asked of the user, as every program that maps files does.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        Ok(Self(map))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes pages out of this process's memory; they are read again when they are touched again.
    pub(crate) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if !range.is_empty() {
            #[expect(
                unsafe_code,
                reason = "this advice is unsafe on other kinds of mappings"
            )]
            // SAFETY: dropped pages of a read-only mapping of a file come back from the file with the same bytes.
            let released = unsafe {
                self.0.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            // It is advice: where it is not taken, the pages stay until the system wants them.
            drop(released);
        }
        #[cfg(not(unix))]
        drop(range);
    }
}
