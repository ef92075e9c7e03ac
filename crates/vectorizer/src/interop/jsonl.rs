//! JSON lines: `{"id": "a", "vector": [0.5, 1.0], "payload": {..}}`, one vector a line.
//!
//! `payload` may be absent or null; an `id` may be a whole number, which stands for its decimal digits. Other fields are refused. Empty lines are passed over.
//! Numbers are written with as many digits as bring the same number back.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Batch, Existing, Moved, Output, batch_size, failed, go_on, refused};
use crate::collection::Collection;
use crate::error::Result;
use crate::models::{Payload, Vector};

mod no_number;

/// The longest line: room for the largest vector and a payload of many megabytes.
pub const MAX_LINE: u64 = 64 << 20;

#[derive(Serialize)]
struct LineOut<'a> {
    id: &'a str,
    vector: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Payload>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn {
    id: Id,
    vector: Vec<f32>,
    #[serde(default)]
    payload: Option<Payload>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an id: a string or a whole number")]
enum Id {
    Text(String),
    Number(u64),
}

/// Writes a line for each vector, in the order of insertion; how many there were.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`Cancelled`](crate::error::VectorizerError::Cancelled), or the device failed; there is no file then.
pub fn export(
    collection: &Collection,
    path: impl AsRef<Path>,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let path = path.as_ref();
    let frozen = collection.freeze();
    let mut out = Output::create(path)?;
    let total = frozen.count();
    let mut done = 0;
    for slots in frozen.runs(batch_size(collection.dimension())) {
        let rows = frozen.read(slots.clone())?;
        for (slot, row) in slots.zip(rows.chunks_exact(collection.dimension())) {
            let Some(id) = frozen.id(slot) else { continue };
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
    let mut batch = Batch::new(collection, existing, None);
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
        if line.len() as u64 > MAX_LINE {
            let reason = format!("line {number}: longer than {MAX_LINE} bytes");
            return Err(refused(path, reason));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // serde would take the fields from an array too.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(refused(path, format!("line {number}: expected an object")));
        }
        let parsed: LineIn = serde_json::from_slice(&line).map_err(|error| {
            let reason = no_number::found(&line).unwrap_or_else(|| error.to_string());
            refused(path, format!("line {number}: {reason}"))
        })?;
        let (expected, actual) = (collection.dimension(), parsed.vector.len());
        if expected != actual {
            let reason = format!("line {number}: expected {expected} components, found {actual}");
            return Err(refused(path, reason));
        }
        let vector = Vector {
            id: match parsed.id {
                Id::Text(id) => id,
                Id::Number(id) => id.to_string(),
            },
            data: parsed.vector,
            payload: parsed.payload.filter(|payload| !payload.0.is_null()),
        };
        batch.push(vector, &mut progress)?;
    }
    batch.flush(&mut progress)?;
    Ok(batch.done)
}
