//! `.fvecs`, `.bvecs` and `.ivecs`: each row is its own length as an int32, then so many float32, uint8 or int32.

use std::path::Path;

use crate::error::{DataError, Result};
use crate::npy::{Element, Table};

/// The type of the numbers, by the file's extension.
pub(crate) fn element(extension: &str) -> Option<Element> {
    match extension {
        "fvecs" => Some(Element::F32),
        "bvecs" => Some(Element::Uint(1)),
        "ivecs" => Some(Element::Int(4)),
        _ => None,
    }
}

/// Finds the table in the bytes of such a file. That every row has the length of the first is checked when rows are read.
pub(crate) fn table(path: &Path, bytes: &[u8], element: Element) -> Result<Table> {
    let columns = row_length(bytes).ok_or_else(|| {
        DataError::new(path, "is truncated: it ends before its first row's length")
    })?;
    let columns = usize::try_from(columns)
        .ok()
        .filter(|columns| *columns > 0)
        .ok_or_else(|| {
            DataError::new(
                path,
                format!("is broken: its first row announces {columns} components"),
            )
        })?;
    let table = Table {
        element,
        rows: 1,
        columns,
        offset: 0,
        prefix: 4,
    };
    let stride = table.stride();
    if !bytes.len().is_multiple_of(stride) {
        return Err(DataError::new(
            path,
            format!(
                "is truncated or broken: rows of {columns} components take {stride} bytes each, the file has {}",
                bytes.len()
            ),
        ));
    }
    Ok(Table {
        rows: bytes.len() / stride,
        ..table
    })
}

/// The length that a row announces.
pub(crate) fn row_length(row: &[u8]) -> Option<i32> {
    row.first_chunk().map(|length| i32::from_le_bytes(*length))
}
