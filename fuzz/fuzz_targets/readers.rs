//! Files of vectors, of true neighbours and of ids: the first byte says of which kind.
#![no_main]

use std::path::Path;

use vectorizer_bench::{IdFile, Matrix, truth};
use vectorizer_fuzz::as_file;

const NAMES: [&str; 5] = ["file.npy", "file.fvecs", "file.bvecs", "file.ivecs", "file.txt"];

fn read(path: &Path) {
    if let Ok(matrix) = Matrix::open(path) {
        let mut rows = Vec::new();
        for block in matrix.blocks(1 << 10).take(64) {
            drop(matrix.read(block, &mut rows));
        }
    }
    for queries in [1, 2, 7] {
        drop(truth::read(path, queries, 3, 100));
    }
    if let Ok(mut ids) = IdFile::open(path) {
        let (count, mut read) = (ids.count(), 0);
        while let Ok(some) = ids.read(100) {
            if some.is_empty() {
                break;
            }
            read += some.len();
        }
        // A file without ids is one too.
        assert!(read <= count);
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    as_file(NAMES[usize::from(*kind) % NAMES.len()], bytes, read);
});
