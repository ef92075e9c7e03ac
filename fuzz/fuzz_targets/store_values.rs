//! The values in the tables of a store: the first byte says which.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vectorizer::store::fuzz_value(bytes));
