//! JSON lines: `{"id": "a", "vector": [0.5, 1.0], "payload": {..}}`, one vector a line.
//!
//! `payload` may be absent or null; an `id` may be a whole number from -2^63 to 2^64 - 1, which stands for its decimal digits. Other fields are refused, and so
//! is a field that stands twice, in the payload too. Empty lines are passed over, and so is a UTF-8 byte order mark.
//! Numbers are written with as many digits as bring the same number back.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Batch, Existing, Moved, Output, batch_size, failed, go_on, refused};
use crate::collection::Collection;
use crate::error::Result;
use crate::json::{self, Fault};
use crate::models::{MAX_PAYLOAD_DEPTH, Payload, Vector};

mod no_number;

/// The longest line: room for the largest vector and the longest payload.
pub const MAX_LINE: u64 = 64 << 20;

#[derive(Serialize)]
struct LineOut<'a> {
    id: &'a str,
    vector: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Payload>,
}

/// A line whose id and payload are text still: serde's own way with them rounds numbers and loses names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    vector: Vec<f32>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl LineIn<'_> {
    /// # Errors
    /// What is wrong, and where in the line.
    fn vector(self, line: &str) -> Result<Vector, String> {
        Ok(Vector {
            id: id(self.id).map_err(|fault| within(line, self.id, "id", &fault))?,
            data: self.vector,
            payload: self
                .payload
                .map(|payload| {
                    json::read(payload.get(), MAX_PAYLOAD_DEPTH)
                        .map_err(|fault| within(line, payload, "payload", &fault))
                })
                .transpose()?
                .filter(|payload| !payload.is_null())
                .map(Payload),
        })
    }
}

fn id(raw: &RawValue) -> Result<String, Fault> {
    const ID: &str =
        "a string, or a whole number from -9223372036854775808 to 18446744073709551615";
    let fault = |found| Fault {
        line: 1,
        column: 1,
        expected: ID.to_owned(),
        found,
    };
    match json::read(raw.get(), 1) {
        Ok(Value::String(id)) => Ok(id),
        Ok(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Err(other) if raw.get().starts_with('"') => Err(other),
        _ => {
            let shown: String = raw.get().chars().take(40).collect();
            Err(fault(shown))
        }
    }
}

/// A fault in a part of a line, said of the line.
fn within(line: &str, part: &RawValue, name: &str, fault: &Fault) -> String {
    // The part is borrowed from the line.
    let start = part
        .get()
        .as_ptr()
        .addr()
        .saturating_sub(line.as_ptr().addr());
    format!("column {}: {name}: {fault}", start + fault.column)
}

/// Writes a line for each vector, in the order of insertion; how many there were.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`Cancelled`](crate::error::VectorizerError::Cancelled), or the device failed;
/// [`InvalidPayload`](crate::error::VectorizerError::InvalidPayload) names a vector whose payload an earlier version took and [`import`] would refuse. There is no file
/// then.
pub fn export(
    collection: &Collection,
    path: impl AsRef<Path>,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let path = path.as_ref();
    let frozen = collection.freeze()?;
    let mut out = Output::create(path)?;
    let total = frozen.count();
    let mut done = 0;
    for slots in frozen.runs(batch_size(collection.dimension())) {
        let rows = frozen.read(slots.clone())?;
        for (slot, row) in slots.zip(rows.chunks_exact(collection.dimension())) {
            let Some(id) = frozen.id(slot) else { continue };
            frozen.check_payload(slot)?;
            let line = LineOut {
                id,
                vector: row,
                payload: frozen.payload(slot),
            };
            let mut line =
                serde_json::to_vec(&line).map_err(|error| refused(path, error.to_string()))?;
            line.push(b'\n');
            out.put(&line)?;
            done += 1;
        }
        go_on(progress(Moved {
            done,
            total: Some(total),
        }))?;
    }
    out.finish()?;
    Ok(total)
}

/// Adds a vector for each line, and says how many there were. `existing` is what becomes of those whose ids are taken.
///
/// # Errors
/// [`FileRefused`](crate::error::VectorizerError::FileRefused) names the line; those of [`Collection::add_vectors_batch`]; what came in the batches before stays.
pub fn import(
    collection: &Collection,
    path: impl AsRef<Path>,
    existing: Existing,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let path = path.as_ref();
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed(path))?);
    let mut batch = Batch::new(collection, path, "line", existing, None);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut line);
        if read.map_err(failed(path))? == 0 {
            break;
        }
        let refused = |reason| refused(path, format!("line {number}: {reason}"));
        if line.len() as u64 > MAX_LINE {
            return Err(refused(format!("longer than {MAX_LINE} bytes")));
        }
        let vector = vector(&line, collection.dimension()).map_err(refused)?;
        if let Some(vector) = vector {
            batch.push(number, vector, line.len(), &mut progress)?;
        }
    }
    batch.flush(&mut progress)?;
    Ok(batch.done)
}

/// The vector of a line; none where it is empty.
///
/// # Errors
/// What is wrong, and where in the line.
fn vector(line: &[u8], dimension: usize) -> Result<Option<Vector>, String> {
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") || line.contains(&0) {
        return Err(
            "expected UTF-8, found UTF-16 or bytes that are no text: write the file as UTF-8"
                .to_owned(),
        );
    }
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = str::from_utf8(line.trim_ascii_end())
        .map_err(|error| format!("column {}: expected UTF-8", error.valid_up_to() + 1))?;
    if line.trim_ascii_start().is_empty() {
        return Ok(None);
    }
    // serde would take the fields from an array too.
    if !line.trim_ascii_start().starts_with('{') {
        return Err("expected an object".to_owned());
    }
    let parsed: LineIn<'_> = serde_json::from_str(line).map_err(|error| {
        if let Some(reason) = no_number::found(line.as_bytes()) {
            return reason;
        }
        let hint = if error.is_eof() {
            "; an object may not be broken into several lines"
        } else {
            ""
        };
        format!("column {}: {}{hint}", error.column(), json::bare(&error))
    })?;
    let actual = parsed.vector.len();
    if dimension != actual {
        return Err(format!("expected {dimension} components, found {actual}"));
    }
    parsed.vector(line).map(Some)
}
