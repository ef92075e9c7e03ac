//! Arrow's values as JSON's.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

use crate::filter::Time;

/// One value; `None` where there is none, or none that JSON knows.
pub(super) fn value(array: &dyn Array, row: usize) -> Result<Option<Value>, String> {
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
        DataType::Float32 => number(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
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
                .map(|at| Ok(value(&elements, at)?.unwrap_or(Value::Null)))
                .collect::<Result<_, String>>()?;
            Some(Value::Array(values))
        }
        DataType::Struct(fields) => {
            let members = array.as_struct();
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(members.columns()) {
                let Some(value) = value(column, row)? else {
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
            let keys = dictionary.normalized_keys();
            let key = keys.get(row).ok_or("a row without a key")?;
            value(dictionary.values().as_ref(), *key)?
        }
        other => return Err(format!("values of the type {other} have no form in JSON")),
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

/// The components of a vector.
pub(super) fn components(array: &dyn Array, row: usize) -> Result<Vec<f32>, String> {
    if array.is_null(row) {
        return Err("null".to_owned());
    }
    let elements = elements(array, row)?;
    if elements.null_count() > 0 {
        return Err("a component is null".to_owned());
    }
    match elements.data_type() {
        DataType::Float32 => Ok(elements.as_primitive::<Float32Type>().values().to_vec()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding is what is wanted"
        )]
        DataType::Float64 => {
            let elements = elements.as_primitive::<Float64Type>().values();
            Ok(elements.iter().map(|component| *component as f32).collect())
        }
        other => Err(format!(
            "expected a list of float32 or float64, found one of {other}"
        )),
    }
}

fn elements(array: &dyn Array, row: usize) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Ok(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Ok(array.as_fixed_size_list().value(row)),
        other => Err(format!("expected a list, found {other}")),
    }
}

fn number(float: f64) -> Option<Value> {
    serde_json::Number::from_f64(float).map(Value::Number)
}

fn moment(nanoseconds: i128) -> Result<String, String> {
    Time::of(nanoseconds)
        .to_text()
        .ok_or_else(|| "a time outside the years 0 to 9999".to_owned())
}
