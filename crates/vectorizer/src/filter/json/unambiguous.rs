//! JSON in which no field stands twice, out of any of serde's formats.

use std::fmt;

use serde::Deserialize as _;
use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use serde_json::{Map, Number, Value};

/// A JSON value in which no object has a field twice: taking the last of two would silently drop a condition.
pub(in crate::filter) fn unambiguous<'de, D: Deserializer<'de>>(
    reader: D,
) -> Result<Value, D::Error> {
    struct Strict(Value);

    impl<'de> serde::Deserialize<'de> for Strict {
        fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
            unambiguous(reader).map(Self)
        }
    }

    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = Value;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }

        fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_str<E>(self, text: &str) -> Result<Value, E> {
            Ok(text.into())
        }

        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
            let mut values = Vec::new();
            while let Some(Strict(value)) = list.next_element()? {
                values.push(value);
            }
            Ok(Value::Array(values))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
            let mut object = Map::new();
            while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
                if object.contains_key(&name) {
                    return Err(A::Error::custom(format!("the field {name:?} stands twice")));
                }
                object.insert(name, value);
            }
            Ok(number_of(&object).map_or(Value::Object(object), Value::Number))
        }
    }

    reader.deserialize_any(Reader)
}

/// The number that an object stands for: with `arbitrary_precision` on anywhere in the program, `serde_json` hands numbers over as objects of
/// one member, of which its own numbers alone know the name.
fn number_of(object: &Map<String, Value>) -> Option<Number> {
    let mut members = object.iter();
    let (Some((name, Value::String(digits))), None) = (members.next(), members.next()) else {
        return None;
    };
    let member = [(name.as_str(), digits.as_str())];
    Number::deserialize(MapDeserializer::<_, value::Error>::new(member.into_iter())).ok()
}
