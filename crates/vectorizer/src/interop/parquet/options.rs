//! What is read of a file, and what came of it.

use crate::interop::Existing;

/// Which columns are what. Fields come with versions: take those that do not matter from `..ParquetOptions::default()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetOptions {
    /// What becomes of vectors whose ids are taken.
    pub existing: Existing,
    /// The column of ids: `id`.
    pub id_column: String,
    /// The column of vectors: `vector`.
    pub vector_column: String,
    /// The columns that make the payload, `payload` with its JSON text among them. `None`, the default, is all others. Columns that are not
    /// named here are not read.
    pub columns: Option<Vec<String>>,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            existing: Existing::default(),
            id_column: "id".to_owned(),
            vector_column: "vector".to_owned(),
            columns: None,
        }
    }
}

impl ParquetOptions {
    /// The column of payloads as JSON text.
    pub(super) const PAYLOAD: &str = "payload";

    /// Whether a column is read.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.is_own(name) || self.is_payload(name)
    }

    /// Whether a column says which vector it is.
    pub(super) fn is_own(&self, name: &str) -> bool {
        name == self.id_column || name == self.vector_column
    }

    /// Whether a column becomes part of the payload.
    pub(super) fn is_payload(&self, name: &str) -> bool {
        match &self.columns {
            Some(columns) => columns.iter().any(|column| column == name),
            None => !self.is_own(name),
        }
    }

    /// Refuses a file without these columns, and one in which such a name stands twice. `names` are those of the file.
    pub(super) fn check(&self, names: &[&str]) -> Result<(), String> {
        if self.id_column == self.vector_column {
            return Err(format!(
                "the column {:?} cannot be that of the ids and that of the vectors",
                self.id_column
            ));
        }
        let listed = || match names {
            [] => "it has none".to_owned(),
            names => format!("it has {}", names.join(", ")),
        };
        for (what, field, name) in [
            ("ids", "id_column", &self.id_column),
            ("vectors", "vector_column", &self.vector_column),
        ] {
            if !names.contains(&name.as_str()) {
                return Err(format!(
                    "has no column {name:?} for the {what}; {}; say which one it is ({field})",
                    listed()
                ));
            }
        }
        for name in self.columns.iter().flatten() {
            if !names.contains(&name.as_str()) {
                return Err(format!("has no column {name:?}; {}", listed()));
            }
        }
        let twice = names
            .iter()
            .enumerate()
            .find(|(place, name)| self.reads(name) && names[..*place].contains(name));
        match twice {
            Some((_, name)) => Err(format!(
                "has the column {name:?} twice; rename one, or leave both out (columns)"
            )),
            None => Ok(()),
        }
    }
}

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Vectors.
    pub vectors: usize,
    /// Numbers of payloads that were left out because JSON has no NaN and no infinity. pandas writes a missing number so.
    pub left_out: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_by_their_names() {
        let options = ParquetOptions::default();
        assert_eq!(options.check(&["a", "vector", "id"]), Ok(()));
        let error = options.check(&["a", "vector"]).unwrap_err();
        assert!(
            error.contains("no column \"id\" for the ids; it has a, vector"),
            "{error}"
        );
        let error = options.check(&["id", "vector", "a", "a"]).unwrap_err();
        assert!(error.contains("\"a\" twice"), "{error}");
        let some = ParquetOptions {
            columns: Some(vec!["b".to_owned()]),
            ..options.clone()
        };
        assert_eq!(some.check(&["id", "vector", "a", "a", "b"]), Ok(()));
        assert!(some.is_payload("b") && !some.reads("a") && !some.reads("payload"));
        let error = some.check(&["id", "vector"]).unwrap_err();
        assert!(
            error.contains("no column \"b\"; it has id, vector"),
            "{error}"
        );
        let same = ParquetOptions {
            vector_column: "id".to_owned(),
            ..options
        };
        assert!(same.check(&["id"]).is_err());
    }
}
