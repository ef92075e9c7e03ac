//! Arrow's values as JSON's.

use std::cell::Cell;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

use crate::filter::Time;

/// One value; `None` where there is none, or none that JSON knows: that is counted.
pub(super) fn value(
    array: &dyn Array,
    row: usize,
    left_out: &Cell<usize>,
) -> Result<Option<Value>, String> {
    if array.is_null(row) {
        return Ok(None);
    }
    macro_rules! plain {
        ($kind:ty) => {
            Some(array.as_primitive::<$kind>().value(row).into())
        };
    }
    Ok(match array.data_type() {
        DataType::Null => None,
        DataType::Boolean => Some(array.as_boolean().value(row).into()),
        DataType::Int8 => plain!(Int8Type),
        DataType::Int16 => plain!(Int16Type),
        DataType::Int32 => plain!(Int32Type),
        DataType::Int64 => plain!(Int64Type),
        DataType::UInt8 => plain!(UInt8Type),
        DataType::UInt16 => plain!(UInt16Type),
        DataType::UInt32 => plain!(UInt32Type),
        DataType::UInt64 => plain!(UInt64Type),
        DataType::Float16 => number(
            array.as_primitive::<Float16Type>().value(row).into(),
            left_out,
        ),
        DataType::Float32 => number(
            array.as_primitive::<Float32Type>().value(row).into(),
            left_out,
        ),
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row), left_out),
        DataType::Utf8 => Some(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Some(array.as_string_view().value(row).into()),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let text = moment(i128::from(days) * 86_400_000_000_000)?;
            Some(text.get(..10).unwrap_or(&text).into())
        }
        DataType::Date64 => {
            let at = array.as_primitive::<Date64Type>().value(row);
            Some(moment(i128::from(at) * 1_000_000)?.into())
        }
        DataType::Timestamp(unit, _) => {
            let nanoseconds = match unit {
                TimeUnit::Second => {
                    i128::from(array.as_primitive::<TimestampSecondType>().value(row))
                        * 1_000_000_000
                }
                TimeUnit::Millisecond => {
                    i128::from(array.as_primitive::<TimestampMillisecondType>().value(row))
                        * 1_000_000
                }
                TimeUnit::Microsecond => {
                    i128::from(array.as_primitive::<TimestampMicrosecondType>().value(row)) * 1000
                }
                TimeUnit::Nanosecond => array
                    .as_primitive::<TimestampNanosecondType>()
                    .value(row)
                    .into(),
            };
            Some(moment(nanoseconds)?.into())
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            let elements = elements(array, row)?;
            let values = (0..elements.len())
                .map(|at| Ok(value(&elements, at, left_out)?.unwrap_or(Value::Null)))
                .collect::<Result<_, String>>()?;
            Some(Value::Array(values))
        }
        DataType::Struct(fields) => {
            let members = array.as_struct();
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(members.columns()) {
                let Some(value) = value(column, row, left_out)? else {
                    continue;
                };
                if object.insert(field.name().clone(), value).is_some() {
                    return Err(format!("the member {:?} stands twice", field.name()));
                }
            }
            Some(Value::Object(object))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            // Of this row alone: the keys of all of them would be worked out for each row.
            let key = key(dictionary.keys(), row).ok_or("a row without a key")?;
            value(dictionary.values().as_ref(), key, left_out)?
        }
        other => {
            return Err(format!(
                "{} have no form in JSON; leave the column out (columns)",
                named(other)
            ));
        }
    })
}

/// Bytes of a string; 0 for other things.
pub(super) fn text_bytes(array: &dyn Array, row: usize) -> usize {
    match array.data_type() {
        _ if array.is_null(row) => 0,
        DataType::Utf8 => array.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).len(),
        DataType::Utf8View => array.as_string_view().value(row).len(),
        _ => 0,
    }
}

/// The place of a row's value in its dictionary.
fn key(keys: &dyn Array, row: usize) -> Option<usize> {
    macro_rules! plain {
        ($kind:ty) => {
            usize::try_from(keys.as_primitive::<$kind>().value(row)).ok()
        };
    }
    match keys.data_type() {
        DataType::Int8 => plain!(Int8Type),
        DataType::Int16 => plain!(Int16Type),
        DataType::Int32 => plain!(Int32Type),
        DataType::Int64 => plain!(Int64Type),
        DataType::UInt8 => plain!(UInt8Type),
        DataType::UInt16 => plain!(UInt16Type),
        DataType::UInt32 => plain!(UInt32Type),
        DataType::UInt64 => plain!(UInt64Type),
        _ => None,
    }
}

/// A value, or none, as a person says it.
pub(super) fn shown(value: Option<&Value>) -> String {
    const SHOWN: usize = 40;
    let kind = match value {
        None | Some(Value::Null) => return "null".to_owned(),
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "a struct",
        Some(Value::String(_)) => "a string",
        Some(Value::Number(_)) => "a number",
        Some(Value::Bool(_)) => "a boolean",
    };
    let text = value.map(ToString::to_string).unwrap_or_default();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{kind}: {}...", &text[..end]),
        None => format!("{kind}: {text}"),
    }
}

/// What a column is of, as a person says it.
fn named(kind: &DataType) -> String {
    match kind {
        DataType::Null => "nulls",
        DataType::Boolean => "booleans",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "strings",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytes",
        DataType::Date32 | DataType::Date64 => "dates",
        DataType::Timestamp(..) => "timestamps",
        DataType::Time32(_) | DataType::Time64(_) => "times of day",
        DataType::Duration(_) | DataType::Interval(_) => "lengths of time",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "decimals",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "lists",
        DataType::Struct(_) => "structs",
        DataType::Map(..) => "maps",
        DataType::Dictionary(_, values) => return named(values),
        other => return other.to_string().to_lowercase(),
    }
    .to_owned()
}

/// The components of a vector.
pub(super) fn components(array: &dyn Array, row: usize) -> Result<Vec<f32>, String> {
    if array.is_null(row) {
        return Err("null".to_owned());
    }
    let elements = elements(array, row)?;
    if elements.null_count() > 0 {
        return Err("a component is null".to_owned());
    }
    let row = match floats(elements.as_ref()) {
        Some(row) => row,
        None => {
            return Err(format!(
                "expected a list of numbers, found one of {}",
                named(elements.data_type())
            ));
        }
    };
    match row.iter().position(|component| !component.is_finite()) {
        None => Ok(row),
        Some(place) => Err(format!(
            "component {place} is {}, expected finite numbers",
            row[place]
        )),
    }
}

/// The nearest floats to numbers of any type; `None` for what is no number.
fn floats(elements: &dyn Array) -> Option<Vec<f32>> {
    macro_rules! exact {
        ($kind:ty) => {{
            let numbers = elements.as_primitive::<$kind>().values().iter();
            numbers.map(|number| f32::from(*number)).collect()
        }};
    }
    macro_rules! nearest {
        ($kind:ty) => {{
            let numbers = elements.as_primitive::<$kind>().values().iter();
            numbers.map(|number| *number as f32).collect()
        }};
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "rounding is what is wanted"
    )]
    Some(match elements.data_type() {
        DataType::Float16 => exact!(Float16Type),
        DataType::Float32 => exact!(Float32Type),
        DataType::Float64 => nearest!(Float64Type),
        DataType::Int8 => exact!(Int8Type),
        DataType::Int16 => exact!(Int16Type),
        DataType::Int32 => nearest!(Int32Type),
        DataType::Int64 => nearest!(Int64Type),
        DataType::UInt8 => exact!(UInt8Type),
        DataType::UInt16 => exact!(UInt16Type),
        DataType::UInt32 => nearest!(UInt32Type),
        DataType::UInt64 => nearest!(UInt64Type),
        _ => return None,
    })
}

fn elements(array: &dyn Array, row: usize) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Ok(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Ok(array.as_fixed_size_list().value(row)),
        other => Err(format!("expected a list, found {}", named(other))),
    }
}

fn number(float: f64, left_out: &Cell<usize>) -> Option<Value> {
    let number = serde_json::Number::from_f64(float).map(Value::Number);
    left_out.set(left_out.get() + usize::from(number.is_none()));
    number
}

fn moment(nanoseconds: i128) -> Result<String, String> {
    Time::of(nanoseconds)
        .to_text()
        .ok_or_else(|| "a time outside the years 0 to 9999".to_owned())
}
