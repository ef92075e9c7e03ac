//! Parquet: a column `id`, a column `vector`, and payloads.
//!
//! **Out**: `id` (strings), `vector` (a list of float32 of fixed size), a column for each member of the payloads whose values are all of one kind (boolean,
//! 64-bit integer, float, string), and `payload`, JSON text, for what is left: other members, and payloads that are no objects. Reading it again gives the same.
//!
//! **In**: `id` (strings or integers), `vector` (lists of floats or integers of any width, of the collection's dimension, fixed or not), `payload` (JSON text, if
//! there is such a column), and every other column as a member of the payload: booleans, numbers, strings, lists and structs as JSON has them, dates and
//! timestamps as RFC 3339 in UTC (a timestamp without a zone is taken for UTC). Null is no member; NaN and infinities, which JSON does not know, are none
//! either (null in a list), and are counted ([`Imported::left_out`]). [`ParquetOptions`] names other columns, and leaves some out.
//!
//! Compressed with Snappy, Zstandard, gzip, LZ4 or Brotli, or not at all.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array,
    RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use parquet::arrow::{ArrowWriter, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value};

use super::{Batch, Existing, Moved, Output, batch_size, failed, go_on, refused};
use crate::collection::{Collection, Frozen};
use crate::error::{Result, VectorizerError};
use crate::json::{self, Fault};
use crate::models::{MAX_PAYLOAD_DEPTH, Payload, Vector};

mod delta;
mod layout;
mod options;
mod pages;
mod thrift;
mod values;

pub use options::{Imported, ParquetOptions};

/// Bytes of a group of rows that are held before they are written.
const GROUP_BYTES: usize = 64 << 20;
/// Bytes of payloads in an array of strings, after which no more come: it holds less than 2 GiB.
const TEXT_BYTES: usize = 64 << 20;
/// Bytes of rows that are read at a time, as far as a file says how long its rows are.
const READ_BYTES: u64 = 256 << 20;
/// Members of payloads that get columns of their own; others stay in `payload`.
const MAX_COLUMNS: usize = 256;
const OWN: [&str; 3] = ["id", "vector", "payload"];

/// What all values of a member are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Whole,
    Float,
    Text,
    /// Different things, or such as have members themselves.
    Mixed,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Whole,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::String(_) => Self::Text,
            _ => Self::Mixed,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Whole => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text | Self::Mixed => DataType::Utf8,
        }
    }

    fn array<'v>(self, values: impl Iterator<Item = Option<&'v Value>>) -> ArrayRef {
        match self {
            Self::Bool => {
                let values = values.map(|value| value.and_then(Value::as_bool));
                Arc::new(values.collect::<BooleanArray>())
            }
            Self::Whole => {
                let values = values.map(|value| value.and_then(Value::as_i64));
                Arc::new(values.collect::<Int64Array>())
            }
            Self::Float => {
                let values = values.map(|value| value.and_then(Value::as_f64));
                Arc::new(values.collect::<Float64Array>())
            }
            Self::Text | Self::Mixed => {
                let values = values.map(|value| value.and_then(Value::as_str));
                Arc::new(values.collect::<StringArray>())
            }
        }
    }
}

fn broken(path: &Path) -> impl Fn(ParquetError) -> VectorizerError {
    move |error| {
        refused(
            path,
            match error {
                // In our words, or in such as need nobody else's before them.
                ParquetError::General(reason) => reason,
                other => other.to_string(),
            },
        )
    }
}

/// Writes a row for each vector, in the order of insertion; how many there were.
///
/// # Errors
/// [`FileFailed`](VectorizerError::FileFailed), [`FileRefused`](VectorizerError::FileRefused), [`Cancelled`](VectorizerError::Cancelled), or the device failed;
/// [`InvalidPayload`](VectorizerError::InvalidPayload) names a vector whose payload an earlier version took and [`import`] would refuse. There is no file then.
pub fn export(
    collection: &Collection,
    path: impl AsRef<Path>,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let path = path.as_ref();
    let frozen = collection.freeze()?;
    for (slot, _) in frozen.alive() {
        frozen.check_payload(slot)?;
    }
    let columns = columns(&frozen);
    let element = Arc::new(Field::new("element", DataType::Float32, false));
    let dimension = i32::try_from(collection.dimension()).unwrap_or(i32::MAX);
    let vector_type = DataType::FixedSizeList(Arc::clone(&element), dimension);
    let mut fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("vector", vector_type, false),
        Field::new("payload", DataType::Utf8, true),
    ];
    let of_columns = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.data_type(), true));
    fields.extend(of_columns);
    let schema = Arc::new(Schema::new(fields));
    // Components hardly ever repeat: a dictionary of them is work for nothing.
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_column_dictionary_enabled(ColumnPath::from("vector.list.element"), false)
        .build();
    let out = Output::create(path)?;
    let mut writer =
        ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(broken(path))?;
    let total = frozen.count();
    let mut done = 0;
    let runs = frozen.runs(batch_size(collection.dimension()));
    for slots in runs.flat_map(|run| cut(&frozen, run)) {
        let rows = Float32Array::from(frozen.read(slots.clone())?);
        let ids = StringArray::from_iter_values(slots.clone().filter_map(|slot| frozen.id(slot)));
        let payloads: Vec<Option<&Value>> = slots
            .clone()
            .map(|slot| frozen.payload(slot).map(|payload| &payload.0))
            .collect();
        let rest: StringArray = payloads.iter().map(|one| rest(*one, &columns)).collect();
        let vectors =
            FixedSizeListArray::try_new(Arc::clone(&element), dimension, Arc::new(rows), None)
                .map_err(|error| refused(path, error.to_string()))?;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(vectors), Arc::new(rest)];
        for (name, kind) in &columns {
            let values = payloads
                .iter()
                .map(|one| one.and_then(|one| one.get(*name)));
            arrays.push(kind.array(values));
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
            .map_err(|error| refused(path, error.to_string()))?;
        writer.write(&batch).map_err(broken(path))?;
        if writer.in_progress_size() > GROUP_BYTES {
            writer.flush().map_err(broken(path))?;
        }
        done += slots.len();
        go_on(progress(Moved {
            done,
            total: Some(total),
        }))?;
    }
    writer.into_inner().map_err(broken(path))?.finish()?;
    Ok(total)
}

/// A run of slots, cut where the text of their payloads becomes long.
fn cut(frozen: &Frozen<'_>, run: Range<u32>) -> Vec<Range<u32>> {
    let mut cuts = Vec::new();
    let (mut first, mut bytes) = (run.start, 0);
    for slot in run.clone() {
        // They were all looked at before.
        bytes += frozen.check_payload(slot).unwrap_or_default();
        if bytes >= TEXT_BYTES {
            cuts.push(first..slot + 1);
            (first, bytes) = (slot + 1, 0);
        }
    }
    if first < run.end {
        cuts.push(first..run.end);
    }
    cuts
}

/// The members of payloads that are of one kind everywhere.
fn columns<'f>(frozen: &'f Frozen<'_>) -> BTreeMap<&'f str, Kind> {
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for (slot, _) in frozen.alive() {
        let payload = frozen
            .payload(slot)
            .and_then(|payload| payload.0.as_object());
        for (name, value) in payload.into_iter().flatten() {
            let kind = Kind::of(value);
            kinds
                .entry(name)
                .and_modify(|known| {
                    if *known != kind {
                        *known = Kind::Mixed;
                    }
                })
                .or_insert(kind);
        }
    }
    kinds.retain(|name, kind| *kind != Kind::Mixed && !OWN.contains(name));
    kinds.into_iter().take(MAX_COLUMNS).collect()
}

/// What of a payload no column holds, as JSON.
fn rest(payload: Option<&Value>, columns: &BTreeMap<&str, Kind>) -> Option<String> {
    let payload = payload?;
    let Value::Object(members) = payload else {
        return Some(payload.to_string());
    };
    let rest: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| !columns.contains_key(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // An object all of whose members have columns leaves nothing; one without members has to stay.
    (!rest.is_empty() || members.is_empty()).then(|| Value::Object(rest).to_string())
}

/// Adds a vector for each row, and says how many there were. `existing` is what becomes of those whose ids are taken.
///
/// # Errors
/// [`FileFailed`](VectorizerError::FileFailed), [`FileRefused`](VectorizerError::FileRefused) names the row or the column; those of [`Collection::add_vectors_batch`]; what came in the
/// batches before stays.
pub fn import(
    collection: &Collection,
    path: impl AsRef<Path>,
    existing: Existing,
    progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let options = ParquetOptions {
        existing,
        ..ParquetOptions::default()
    };
    import_with(collection, path, &options, progress).map(|imported| imported.vectors)
}

/// Adds a vector for each row, from columns of the caller's choice.
///
/// # Errors
/// As [`import`].
pub fn import_with(
    collection: &Collection,
    path: impl AsRef<Path>,
    options: &ParquetOptions,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Imported> {
    let path = path.as_ref();
    let existing = options.existing;
    let file = File::open(path).map_err(failed(path))?;
    let (total, mut reader) = guarded(path, || {
        rows(file, batch_size(collection.dimension()), options).map_err(broken(path))
    })?;
    let mut left_out = 0;
    let mut next = || {
        let refused = |error: arrow_schema::ArrowError| refused(path, error.to_string());
        guarded(path, || reader.next().transpose().map_err(refused))
    };
    let mut batch = Batch::new(collection, path, "row", existing, total);
    let mut row = 0;
    while let Some(rows) = next()? {
        let columns = Columns::of(&rows, options).map_err(|reason| refused(path, reason))?;
        for at in 0..rows.num_rows() {
            let vector = columns.vector(at, collection.dimension());
            let vector = vector.map_err(|reason| refused(path, format!("row {row}: {reason}")))?;
            batch.push(row, vector, columns.text_bytes(at), &mut progress)?;
            row += 1;
        }
        left_out += columns.left_out.get();
    }
    batch.flush(&mut progress)?;
    Ok(Imported {
        vectors: batch.done,
        left_out,
    })
}

/// How many rows there are, and a reader of them that looks at each page before it trusts it.
fn rows(
    file: File,
    batch: usize,
    options: &ParquetOptions,
) -> parquet::errors::Result<(Option<usize>, ParquetRecordBatchReader)> {
    pages::check_footer(&file)?;
    let reader = SerializedFileReader::new(file.try_clone()?)?;
    // What follows goes by recursion. A level of a payload takes at most two names of a path: those of a list and of its element.
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let names = 2 * MAX_PAYLOAD_DEPTH + 2;
    if let Some(deep) = columns.iter().find(|one| one.path().parts().len() > names) {
        let name = deep.path().parts().first().map_or("", String::as_str);
        return Err(ParquetError::General(format!(
            "column {name:?}: expected at most {MAX_PAYLOAD_DEPTH} lists and structs in each other, found more"
        )));
    }
    let metadata = Arc::new(reader.metadata().clone());
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new())?;
    let schema = metadata.parquet_schema();
    let columns = schema.root_schema().get_fields();
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    options.check(&names).map_err(ParquetError::General)?;
    let read = (0..names.len()).filter(|place| options.reads(names[*place]));
    let read = ProjectionMask::roots(schema, read);
    pages::check_sizes(&file, metadata.metadata(), &read)?;
    let levels = parquet_to_arrow_field_levels(schema, read, Some(metadata.schema().fields()))?;
    // An array of strings holds less than 2 GiB: long rows come few at a time.
    let fitting = metadata.metadata().row_groups().iter().filter_map(|group| {
        let rows = u64::try_from(group.num_rows()).ok()?;
        let bytes = u64::try_from(group.total_byte_size()).ok()?;
        usize::try_from(rows.saturating_mul(READ_BYTES).checked_div(bytes)?).ok()
    });
    let batch = fitting.fold(batch, usize::min).max(1);
    let groups = pages::CheckedRowGroups(Arc::new(reader));
    let total = metadata.metadata().file_metadata().num_rows();
    let rows = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, batch, None)?;
    Ok((usize::try_from(total).ok(), rows))
}

/// Runs what reads with the Arrow project's crates, and turns a panic of theirs into an error: on a damaged file they may give up so.
fn guarded<R>(path: &Path, work: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(refused(path, "it is damaged: the reader gave up")))
}

/// The columns of a batch.
struct Columns<'b> {
    id: &'b ArrayRef,
    vector: &'b ArrayRef,
    payload: Option<&'b ArrayRef>,
    members: Vec<(&'b str, &'b ArrayRef)>,
    id_name: &'b str,
    vector_name: &'b str,
    /// Numbers of payloads so far that have no form in JSON.
    left_out: Cell<usize>,
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch, options: &'b ParquetOptions) -> Result<Self, String> {
        let required = |name: &str| {
            let column = batch.column_by_name(name);
            // Looked for before anything was read.
            column.ok_or_else(|| format!("has no column {name:?}"))
        };
        let schema = batch.schema_ref();
        let members = schema.fields().iter().zip(batch.columns());
        let members = members
            .map(|(field, column)| (field.name().as_str(), column))
            .filter(|(name, _)| options.is_payload(name) && *name != ParquetOptions::PAYLOAD);
        let payload = options.is_payload(ParquetOptions::PAYLOAD);
        Ok(Self {
            id: required(&options.id_column)?,
            vector: required(&options.vector_column)?,
            payload: batch
                .column_by_name(ParquetOptions::PAYLOAD)
                .filter(|_| payload),
            members: members.collect(),
            id_name: &options.id_column,
            vector_name: &options.vector_column,
            left_out: Cell::new(0),
        })
    }

    /// Bytes of JSON text in a row.
    fn text_bytes(&self, row: usize) -> usize {
        self.payload
            .map_or(0, |column| values::text_bytes(column, row))
    }

    /// A value as JSON has it. What JSON has not is counted and left out.
    fn value(&self, column: &ArrayRef, row: usize) -> Result<Option<Value>, String> {
        values::value(column, row, &self.left_out)
    }

    fn vector(&self, row: usize, dimension: usize) -> Result<Vector, String> {
        let of = |name: &str| {
            let name = name.to_owned();
            move |reason: String| format!("column {name:?}: {reason}")
        };
        let id = match self.value(self.id, row).map_err(of(self.id_name))? {
            Some(Value::String(id)) => id,
            Some(Value::Number(id)) if !id.is_f64() => id.to_string(),
            other => {
                return Err(of(self.id_name)(format!(
                    "expected a string or an integer, found {}",
                    values::shown(other.as_ref())
                )));
            }
        };
        let data = values::components(self.vector, row).map_err(of(self.vector_name))?;
        if data.len() != dimension {
            return Err(of(self.vector_name)(format!(
                "expected {dimension} components, found {}",
                data.len()
            )));
        }
        let mut payload = match self.payload {
            None => None,
            Some(column) => match self.value(column, row).map_err(of("payload"))? {
                Some(Value::String(text)) => {
                    let value = json::read(&text, MAX_PAYLOAD_DEPTH).map_err(|fault| {
                        let Fault { line, column, .. } = fault;
                        format!(
                            "column \"payload\": at line {line}, column {column} of it, {fault}"
                        )
                    });
                    Some(value?).filter(|value| !value.is_null())
                }
                other => other,
            },
        };
        for (name, column) in &self.members {
            let Some(value) = self.value(column, row).map_err(of(name))? else {
                continue;
            };
            match payload.get_or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(members) if members.contains_key(*name) => {
                    return Err(format!(
                        "column {name:?}: \"payload\", or a column before, has a member of that name already"
                    ));
                }
                Value::Object(members) => {
                    members.insert((*name).to_owned(), value);
                }
                _ => {
                    return Err(format!(
                        "column {name:?}: \"payload\" is no object that it could be a member of"
                    ));
                }
            }
        }
        Ok(Vector {
            id,
            data,
            payload: payload.map(Payload),
        })
    }
}
