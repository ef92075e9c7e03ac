//! `.fvecs`, `.bvecs` and `.ivecs`: each row is its own length as an int32, then so many float32, uint8 or int32.

use std::path::Path;

use crate::error::{DataError, Result};
use crate::input::Input;
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

/// Finds the table in such a file. That every row has the length of the first is checked when rows are read. A file without rows, which
/// does not say how long they would be, is a table of no columns.
pub(crate) fn table(path: &Path, input: &Input, element: Element) -> Result<Table> {
    if input.length() == 0 {
        return Ok(Table {
            element,
            rows: 0,
            columns: 0,
            offset: 0,
            prefix: 4,
        });
    }
    let columns = row_length(&input.head(4)?).ok_or_else(|| {
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
    if !input.length().is_multiple_of(stride) {
        return Err(DataError::new(
            path,
            format!(
                "is truncated or broken: rows of {columns} components take {stride} bytes each, the file has {}",
                input.length()
            ),
        ));
    }
    Ok(Table {
        rows: input.length() / stride,
        ..table
    })
}

/// The length that a row announces.
pub(crate) fn row_length(row: &[u8]) -> Option<i32> {
    row.first_chunk().map(|length| i32::from_le_bytes(*length))
}
