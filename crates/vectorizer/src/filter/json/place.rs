//! Where in a filter something stands, and errors that say so.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Result, VectorizerError};

/// Where in the filter something stands.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Top,
    Member(&'a Self, &'a str),
    Element(&'a Self, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("the top"),
            Self::Member(Self::Top, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, place) => write!(f, "{parent}[{place}]"),
        }
    }
}

impl At<'_> {
    pub(super) fn error(
        &self,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> VectorizerError {
        VectorizerError::InvalidFilter {
            at: self.to_string(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(super) fn wrong(&self, expected: impl Into<String>, found: &Value) -> VectorizerError {
        self.error(expected, shown(found))
    }

    pub(super) fn member<'v>(
        &self,
        object: &'v Map<String, Value>,
        name: &str,
    ) -> Result<&'v Value> {
        object
            .get(name)
            .ok_or_else(|| self.error(format!("the field {name:?}"), "none"))
    }

    /// An object of these fields, and of others that `is_unset` passes over.
    pub(super) fn object<'v>(
        &self,
        value: &'v Value,
        what: &str,
        fields: &[&str],
        is_unset: impl Fn(&str, &Value) -> bool,
    ) -> Result<&'v Map<String, Value>> {
        let object = value.as_object().ok_or_else(|| self.wrong(what, value))?;
        let is_known = |name: &str, value: &Value| fields.contains(&name) || is_unset(name, value);
        let unknown = object.iter().find(|(name, value)| !is_known(name, value));
        match unknown.map(|(name, _)| name) {
            Some(unknown) => Err(self.error(
                format!("{what} (fields: {})", fields.join(", ")),
                format!("the field {unknown:?}"),
            )),
            None => Ok(object),
        }
    }

    pub(super) fn array<'v>(&self, value: &'v Value, what: &str) -> Result<&'v [Value]> {
        value
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| self.wrong(what, value))
    }
}

/// A value for an error: what it is, and how it begins.
fn shown(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
    };
    let text = value.to_string();
    if text.chars().count() <= 40 {
        format!("{kind}: {text}")
    } else {
        let beginning: String = text.chars().take(40).collect();
        format!("{kind}: {beginning}...")
    }
}
