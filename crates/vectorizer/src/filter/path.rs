//! The way from a payload to the values at a key: `a.b[].c`.

use serde_json::Value;

use crate::error::{Result, VectorizerError};

/// A key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// A member of an object.
    Member(String),
    /// Every element of an array.
    Each,
    /// One element of an array.
    At(usize),
}

impl Path {
    /// From its text; `at` says where in the filter it stands.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`].
    pub(crate) fn parse(key: &str, at: impl Fn() -> String) -> Result<Self> {
        steps(key)
            .map(Self)
            .ok_or_else(|| VectorizerError::InvalidFilter {
                at: at(),
                expected: "a key such as a, a.b, a[].b, a[0] or \"a.b\".c".to_owned(),
                found: format!("{key:?}"),
            })
    }

    /// Calls `with` on every value at the path's end, until it returns true; says whether it did.
    pub(crate) fn any(&self, payload: &Value, with: &mut dyn FnMut(&Value) -> bool) -> bool {
        any(&self.0, payload, with)
    }
}

fn any(steps: &[Step], value: &Value, with: &mut dyn FnMut(&Value) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return with(value);
    };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => members
            .get(name)
            .is_some_and(|member| any(rest, member, with)),
        (Step::Each, Value::Array(elements)) => {
            elements.iter().any(|element| any(rest, element, with))
        }
        (Step::At(place), Value::Array(elements)) => elements
            .get(*place)
            .is_some_and(|element| any(rest, element, with)),
        _ => false,
    }
}

fn steps(key: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = key;
    loop {
        let name;
        (name, rest) = name_of(rest)?;
        steps.push(Step::Member(name));
        while let Some(inner) = rest.strip_prefix('[') {
            let (place, after) = inner.split_once(']')?;
            steps.push(if place.is_empty() {
                Step::Each
            } else if place.bytes().all(|digit| digit.is_ascii_digit()) {
                Step::At(place.parse().ok()?)
            } else {
                return None;
            });
            rest = after;
        }
        if rest.is_empty() {
            return Some(steps);
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// A name, bare or in quotes, and what follows it.
fn name_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '[', ']', '"']).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut letters = quoted.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Some((name, &quoted[place + 1..])),
            '\\' => name.push(
                letters
                    .next()
                    .map(|(_, letter)| letter)
                    .filter(|l| matches!(l, '"' | '\\'))?,
            ),
            letter => name.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(key: &str, payload: &Value) -> Vec<Value> {
        let mut found = Vec::new();
        Path::parse(key, String::new)
            .unwrap()
            .any(payload, &mut |value| {
                found.push(value.clone());
                false
            });
        found
    }

    #[test]
    fn members_elements_and_places() {
        let payload = json!({
            "a": {"b": 1, "b.c": 2, "q\"\\": 3},
            "cities": [{"name": "x", "sights": ["p", "q"]}, {"name": "y"}, 5],
            "": 9,
        });
        assert_eq!(values("a.b", &payload), [json!(1)]);
        assert_eq!(values("a.\"b.c\"", &payload), [json!(2)]);
        assert_eq!(values(r#"a."q\"\\""#, &payload), [json!(3)]);
        assert_eq!(values("\"\"", &payload), [json!(9)]);
        assert_eq!(values("cities[].name", &payload), [json!("x"), json!("y")]);
        assert_eq!(values("cities[1].name", &payload), [json!("y")]);
        assert_eq!(
            values("cities[].sights[]", &payload),
            [json!("p"), json!("q")]
        );
        assert_eq!(values("cities[].sights", &payload), [json!(["p", "q"])]);
        for nothing in [
            "cities.name",
            "a[].b",
            "a.b.c",
            "cities[7].name",
            "x",
            "a[0]",
        ] {
            assert!(values(nothing, &payload).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_no_key() {
        for key in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a[",
            "a[x]",
            "a[-1]",
            "a[+1]",
            "a]b",
            "[]",
            "\"a",
            "\"a\\n\"",
            "a\"b\"",
            "a[]b",
            "\"a\"b",
            "a[99999999999999999999999]",
        ] {
            let error = Path::parse(key, || "here".to_owned()).unwrap_err();
            assert!(
                matches!(&error, VectorizerError::InvalidFilter { at, .. } if at == "here"),
                "{key}: {error}"
            );
        }
    }
}
