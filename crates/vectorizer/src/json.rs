//! JSON that every reader takes back as it was written: the one check that payloads pass at every door, and the one reader of text.
//!
//! `serde_json` rounds whole numbers past 64 bits, keeps the last of two members of one name, and reads no more than 127 levels. With its
//! feature `arbitrary_precision`, which any crate of a program can turn on, it keeps numbers that are none of ours. Here both are the same.

use std::fmt;
use std::io::{self, Write};

use serde::de::IgnoredAny;
use serde_json::{Map, Number, Value};

use crate::models::{MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH};

/// How deep arrays and objects may stand in each other in text that was written before [`MAX_PAYLOAD_DEPTH`] was asked for. Values of this
/// depth are cloned and dropped by recursion, and a thread's stack has room for that.
pub(crate) const READ_DEPTH: usize = 1024;

const WHOLE: &str = "a whole number from -9223372036854775808 to 18446744073709551615";

/// Why text is not read, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in bytes.
    pub(crate) column: usize,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl Fault {
    /// The fault of `serde_json`, which found no JSON.
    pub(crate) fn syntax(error: &serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
            expected: "JSON".to_owned(),
            found: bare(error),
        }
    }

    fn at(text: &str, place: usize, expected: impl Into<String>, found: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..place).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        Self {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: place - line_start.map_or(0, |at| at + 1) + 1,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// What `serde_json` says, without the place that it adds.
pub(crate) fn bare(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    said.strip_suffix(&place).unwrap_or(&said).to_owned()
}

/// An array or object that is not closed yet.
enum Open {
    Array(Vec<Value>),
    /// With the name whose value is awaited.
    Object(Map<String, Value>, Option<String>),
}

/// Reads JSON text with at most `depth` arrays and objects in each other. Names that stand twice in an object, whole numbers past 64 bits and
/// numbers that are not finite are refused. Takes no stack, however deep the text is.
pub(crate) fn read(text: &str, depth: usize) -> Result<Value, Fault> {
    // From here on it is known to be JSON, except for what escapes in strings stand for.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| Fault::syntax(&error))?;
    let bytes = text.as_bytes();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        let value = match byte {
            b'[' | b'{' if open.len() == depth => {
                let expected = format!("at most {depth} arrays and objects in each other");
                return Err(Fault::at(text, start, expected, "one more"));
            }
            b'[' => {
                open.push(Open::Array(Vec::new()));
                at += 1;
                continue;
            }
            b'{' => {
                open.push(Open::Object(Map::new(), None));
                at += 1;
                continue;
            }
            b']' | b'}' => {
                at += 1;
                match open.pop() {
                    Some(Open::Array(values)) => Value::Array(values),
                    Some(Open::Object(members, _)) => Value::Object(members),
                    None => break,
                }
            }
            b'"' => {
                at = end_of_string(bytes, at);
                let string = string(text, start, at)?;
                if let Some(Open::Object(members, name @ None)) = open.last_mut() {
                    if members.contains_key(&string) {
                        let found = format!("the field {string:?} stands twice");
                        return Err(Fault::at(text, start, "each field once", found));
                    }
                    *name = Some(string);
                    continue;
                }
                Value::String(string)
            }
            b't' => {
                at += 4;
                Value::Bool(true)
            }
            b'f' => {
                at += 5;
                Value::Bool(false)
            }
            b'n' => {
                at += 4;
                Value::Null
            }
            b'-' | b'0'..=b'9' => {
                let of_number =
                    |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                at += bytes[at..].iter().take_while(of_number).count();
                let token = &text[start..at];
                let number = number(token);
                Value::Number(number.map_err(|expected| Fault::at(text, start, expected, token))?)
            }
            // White space, commas, colons.
            _ => {
                at += 1;
                continue;
            }
        };
        match open.last_mut() {
            None => return Ok(value),
            Some(Open::Array(values)) => values.push(value),
            Some(Open::Object(members, name)) => {
                members.insert(name.take().unwrap_or_default(), value);
            }
        }
    }
    Err(Fault::at(text, at, "JSON", "the end"))
}

/// Where the string that begins at `start` has ended.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') | None => return bytes.len().min(at + 1),
            Some(_) => at += 1,
        }
    }
}

/// The string whose token, quotes and all, is at these places.
fn string(text: &str, start: usize, end: usize) -> Result<String, Fault> {
    let token = &text[start..end];
    match token.get(1..token.len() - 1) {
        Some(plain) if !plain.contains('\\') => Ok(plain.to_owned()),
        _ => serde_json::from_str(token)
            .map_err(|error| Fault::at(text, start, "a string", bare(&error))),
    }
}

/// A number from its token; else what was expected.
fn number(token: &str) -> Result<Number, &'static str> {
    let finite = |float: f64| Number::from_f64(float).ok_or("a finite number");
    if token.contains(['.', 'e', 'E']) || token == "-0" {
        return token.parse().map_err(|_| "a number").and_then(finite);
    }
    let whole = token.parse::<i64>().map(Number::from);
    let whole = whole.or_else(|_| token.parse::<u64>().map(Number::from));
    whole.map_err(|_| WHOLE)
}

/// The number as text of it is read back; else what was expected. Another form comes only from `arbitrary_precision`, which keeps digits
/// past those of a float, and numbers that are none of ours.
pub(crate) fn exact(number: &Number) -> Result<Number, &'static str> {
    match (number.as_i64(), number.as_u64()) {
        // Minus nought is a float.
        (Some(0), _) if number.to_string() != "0" => self::number(&number.to_string()),
        (Some(whole), _) => Ok(whole.into()),
        (None, Some(whole)) => Ok(whole.into()),
        (None, None) => match number.as_f64() {
            Some(float) if number.is_f64() => Number::from_f64(float).ok_or("a finite number"),
            _ => self::number(&number.to_string()),
        },
    }
}

/// What is known of a payload that every reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Whether all its numbers have the form that they are read back with.
    pub(crate) as_read: bool,
    /// Its text is at most so long.
    pub(crate) bytes: usize,
}

/// Whether a payload can be kept and read back by every reader; else the reason. Takes no stack, however deep the value is.
pub(crate) fn check(value: &Value) -> Result<Checked, String> {
    let mut as_read = true;
    let mut bytes: usize = 0;
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth == MAX_PAYLOAD_DEPTH && matches!(value, Value::Array(_) | Value::Object(_)) {
            return Err(format!(
                "expected at most {MAX_PAYLOAD_DEPTH} arrays and objects in each other, found more: make it flatter"
            ));
        }
        bytes += match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(number) => {
                let exact = exact(number)
                    .map_err(|expected| format!("expected {expected}, found {number}"))?;
                as_read &= exact == *number;
                25
            }
            Value::String(text) => 2 + 6 * text.len(),
            Value::Array(values) => {
                open.extend(values.iter().map(|value| (value, depth + 1)));
                2 + values.len()
            }
            Value::Object(members) => {
                open.extend(members.values().map(|value| (value, depth + 1)));
                let names = members.keys().map(|name| 4 + 6 * name.len());
                2 + names.sum::<usize>()
            }
        };
    }
    if bytes > MAX_PAYLOAD_BYTES {
        let mut length = Length(0);
        // A counter takes everything.
        drop(serde_json::to_writer(&mut length, value));
        if length.0 > MAX_PAYLOAD_BYTES {
            return Err(format!(
                "expected at most {MAX_PAYLOAD_BYTES} bytes of JSON, found {}: keep large data elsewhere, and its name here",
                length.0
            ));
        }
        bytes = length.0;
    }
    Ok(Checked { as_read, bytes })
}

/// Gives every number the form that it is read back with. For what [`check`] has passed.
pub(crate) fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Ok(exact) = exact(number) {
                *number = exact;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whether it is taken as it is.
    fn taken(value: &Value) -> bool {
        check(value).is_ok_and(|checked| checked.as_read)
    }

    fn fault(text: &str) -> String {
        let fault = read(text, 64).unwrap_err();
        format!("{}:{}: {fault}", fault.line, fault.column)
    }

    #[test]
    fn text_is_read_as_serde_json_reads_it() {
        for text in [
            "null",
            " true ",
            "false",
            "0",
            "-7",
            "-0",
            "1.5e-3",
            "1e22",
            "\"\"",
            "[]",
            "{}",
            "[[], {}, [1]]",
            r#"{"a": {"b": [1, "x\"y\\", null]}, "": -0.0, "\u00e9\n\ud83d\ude00": "\\"}"#,
            "18446744073709551615",
            "-9223372036854775808",
            "5e-324",
            "1e-400",
            "\r\n\t[ 1 , 2 ]\n",
        ] {
            let mut expected: Value = serde_json::from_str(text).unwrap();
            normalize(&mut expected);
            assert_eq!(read(text, 64).unwrap(), expected, "{text}");
            assert!(taken(&expected), "{text}");
        }
        assert!(read("-0", 0).unwrap().as_f64().unwrap().is_sign_negative());
    }

    #[test]
    fn what_no_reader_takes_back_is_refused_where_it_stands() {
        for (text, expected) in [
            ("", "1:0: expected JSON, found EOF while parsing a value"),
            ("[1,", "1:3: expected JSON, found EOF while parsing a value"),
            ("[1] 2", "1:5: expected JSON, found trailing characters"),
            ("[01]", "1:3: expected JSON, found invalid number"),
            (
                "\"\\ud800\"",
                "1:1: expected a string, found unexpected end of hex escape",
            ),
            (
                "{\"a\": 1,\n \"\\u0061\": 2}",
                "2:2: expected each field once, found the field \"a\" stands twice",
            ),
            (
                "[{\"b\": {\"k\": 1, \"k\": 1}}]",
                "1:17: expected each field once, found the field \"k\" stands twice",
            ),
            ("[1e400]", "1:2: expected a finite number, found 1e400"),
        ] {
            assert_eq!(fault(text), expected, "{text}");
        }
        for whole in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
        ] {
            assert_eq!(
                fault(whole),
                format!("1:1: expected {WHOLE}, found {whole}")
            );
        }
    }

    #[test]
    fn depth_is_counted_in_text_and_in_values_alike() {
        let text = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deepest = read(&text(MAX_PAYLOAD_DEPTH), MAX_PAYLOAD_DEPTH).unwrap();
        assert!(taken(&deepest));
        assert!(fault(&text(MAX_PAYLOAD_DEPTH + 1)).starts_with("1:65: expected at most 64 "));
        let mut deeper = json!([deepest]);
        assert!(check(&deeper).unwrap_err().contains("at most 64 arrays"));
        assert!(check(&json!({"a": deeper})).is_err());
        // Checked without recursion, and taken apart without it too.
        for _ in 0..200_000 {
            deeper = Value::Array(vec![deeper]);
        }
        assert!(check(&deeper).is_err());
        while let Value::Array(mut values) = deeper {
            deeper = values.pop().unwrap_or_default();
        }
        assert!(fault(&text(1_000_000)).starts_with("1:65: "));
        assert!(read(&text(READ_DEPTH), READ_DEPTH).is_ok());
        assert!(read(&text(READ_DEPTH + 1), READ_DEPTH).is_err());
    }

    #[test]
    fn size_is_that_of_the_text() {
        let text = |bytes: usize| Value::String("x".repeat(bytes - 2));
        assert!(taken(&text(MAX_PAYLOAD_BYTES)));
        let error = check(&text(MAX_PAYLOAD_BYTES + 1)).unwrap_err();
        assert!(
            error.contains("at most 33554432 bytes of JSON, found 33554433"),
            "{error}"
        );
        // Six bytes each as text.
        assert!(check(&Value::String("\u{1}".repeat(MAX_PAYLOAD_BYTES / 6 + 1))).is_err());
        assert!(taken(&Value::String(
            "\u{1}".repeat(MAX_PAYLOAD_BYTES / 6 - 1)
        )));
    }
}
