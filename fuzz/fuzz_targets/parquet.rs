//! A Parquet file: refused, or a collection that keeps its rules. The crates that read it may panic, which the import has to catch; what it does not
//! catch ends up with the fuzzer.
#![no_main]

use std::sync::Once;

use vectorizer::interop::{Existing, parquet};
use vectorizer_fuzz::{as_file, come_in};

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The fuzzer's own hook aborts before anybody can catch anything.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    as_file("rows.parquet", bytes, |path| {
        come_in(|into, go| parquet::import(into, path, Existing::Replace, go));
    });
});
