//! The snapshot of a graph. While fuzzing, every checksum is 0, so that what lies behind them is reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vectorizer::store::fuzz_graph_file(bytes));
