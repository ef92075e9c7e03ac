//! The `vectorizer` command.

fn main() {}
