//! The first bytes of a file, and what they have to agree on.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::length;
use crate::config::MAX_DIMENSION;
use crate::engine::{Entry, MAX_SLOTS};
use crate::error::Result;
use crate::interop::{failed, refused};

/// hnswlib allows any M; a file that asks for more than this is broken.
const MAX_FILE_M: u64 = 100_000;

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// Elements, deleted ones with them.
    pub count: usize,
    /// Components of a vector.
    pub dimension: usize,
    /// The paper's M.
    pub max_connections: usize,
    /// Beam width while building.
    pub ef_construction: usize,
    /// The paper's mL.
    pub level_multiplier: f64,
    pub(super) highest: Option<Entry>,
    pub(super) element: usize,
    pub(super) degree: usize,
}

impl Header {
    pub(super) const BYTES: usize = 96;

    /// Reads the header of a file and checks it against the file's length.
    ///
    /// # Errors
    /// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`FileRefused`](crate::error::VectorizerError::FileRefused).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(failed(path))?;
        Self::read(&mut &file, length(&file, path)?, path)
    }

    pub(super) fn read(reader: &mut impl Read, length: u64, path: &Path) -> Result<Self> {
        let mut bytes = [0; Self::BYTES];
        reader
            .read_exact(&mut bytes)
            .map_err(|_| refused(path, "is too short for a file of hnswlib's"))?;
        let u64_at = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let u32_at = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let bad =
            |what: &str| refused(path, format!("is no file of hnswlib's for float32: {what}"));
        let (count, element, label, vector) = (u64_at(16), u64_at(24), u64_at(32), u64_at(40));
        let (highest, entry) = (u32_at(48).cast_signed(), u32_at(52));
        let (max_m, max_m0, m, ef) = (u64_at(56), u64_at(64), u64_at(72), u64_at(88));
        if u64_at(0) != 0 || u64_at(8) < count {
            return Err(bad("its first words are wrong"));
        }
        if !(1..=MAX_FILE_M).contains(&m) || max_m != m || max_m0 != 2 * m {
            return Err(bad(&format!("M is {m}, maxM {max_m}, maxM0 {max_m0}")));
        }
        let bytes = label
            .checked_sub(vector)
            .filter(|bytes| bytes % 4 == 0 && *bytes > 0);
        let dimension = bytes.map_or(0, |bytes| bytes / 4);
        if vector != 4 + 4 * max_m0 || label.checked_add(8) != Some(element) || dimension == 0 {
            return Err(bad("vectors and links do not lie where they should"));
        }
        if dimension > MAX_DIMENSION as u64 {
            return Err(bad(&format!("vectors of {dimension} components")));
        }
        // Each element has its part of level 0 and at least the length of what lies above.
        let least = element
            .checked_add(4)
            .and_then(|bytes| bytes.checked_mul(count));
        if count > MAX_SLOTS as u64
            || least.is_none_or(|least| least > length.saturating_sub(Self::BYTES as u64))
        {
            return Err(refused(
                path,
                format!(
                    "is truncated or broken: {count} elements of {element} bytes do not fit in it"
                ),
            ));
        }
        let highest = match u8::try_from(highest) {
            Ok(level) if count > 0 => Some(Entry {
                slot: entry,
                level: level.into(),
            }),
            Err(_) if count == 0 => None,
            _ if count == 0 => None,
            _ => return Err(bad(&format!("its highest level is {highest}"))),
        };
        let level_multiplier = f64::from_bits(u64_at(80));
        let size =
            |number: u64| usize::try_from(number).map_err(|_| bad("too large for this machine"));
        Ok(Self {
            count: size(count)?,
            dimension: size(dimension)?,
            max_connections: size(m)?,
            ef_construction: size(ef)?,
            level_multiplier,
            highest,
            element: size(element)?,
            degree: size(max_m0)?,
        })
    }
}
