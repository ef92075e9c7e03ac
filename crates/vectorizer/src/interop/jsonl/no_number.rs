//! Numbers that Python writes and JSON has not.

/// What to say of a line with NaN or an infinity outside of its strings, as Python's `json.dumps` writes them and pandas a missing number.
pub(super) fn found(line: &[u8]) -> Option<String> {
    let mut in_string = false;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            _ => {
                let word = ["NaN", "-Infinity", "Infinity"]
                    .into_iter()
                    .find(|word| line[at..].starts_with(word.as_bytes()));
                if let Some(word) = word {
                    return Some(format!(
                        "column {}: {word} is no JSON; write null, or leave the field out",
                        at + 1
                    ));
                }
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::found;

    #[test]
    fn numbers_that_are_none_are_told_from_text() {
        for (line, column) in [
            (r#"{"price": NaN}"#, Some("column 11: NaN")),
            (r#"[1, -Infinity]"#, Some("column 5: -Infinity")),
            (r#"[Infinity"#, Some("column 2: Infinity")),
            (r#"{"a": "NaN", "\"NaN": "\\"}"#, None),
            ("", None),
        ] {
            let found = found(line.as_bytes());
            match column {
                Some(words) => assert!(found.unwrap().starts_with(words), "{line}"),
                None => assert_eq!(found, None, "{line}"),
            }
        }
    }
}
