//! Files of hnswlib's (alone, and with a file of ids) and JSON lines, by the first byte: refused, or a collection that keeps its rules.
#![no_main]

use vectorizer::interop::{Existing, hnswlib, jsonl};
use vectorizer_fuzz::{as_file, come_in};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind {
        b'h' => as_file("index.bin", bytes, |path| {
            come_in(|into, go| hnswlib::import(into, path, None, go).map(|came| came.vectors));
        }),
        // The ids come first, up to a line that is empty.
        b'i' => {
            let ids = bytes.windows(2).position(|two| two == b"\n\n");
            let (ids, index) = bytes.split_at(ids.map_or(0, |at| at + 1));
            as_file("index.bin", index.strip_prefix(b"\n").unwrap_or(index), |path| {
                let names = path.with_file_name("ids");
                std::fs::write(&names, ids).expect("the file can be written");
                come_in(|into, go| {
                    hnswlib::import(into, path, Some(&names), go).map(|came| came.vectors)
                });
            });
        }
        _ => as_file("lines.jsonl", bytes, |path| {
            come_in(|into, go| jsonl::import(into, path, Existing::Replace, go));
        }),
    }
});
