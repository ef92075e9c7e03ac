//! Files of vectors: read right, or refused in one line.
#![allow(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "tests compare exact values of small data"
)]

mod changing;
mod neighbors;
mod numpy;
mod vecs;

use std::path::{Path, PathBuf};

use half::f16;
use proptest::prelude::*;
use tempfile::TempDir;
use vectorizer_bench::{DataError, IdTable, Matrix, truth};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn entries(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A file as NumPy writes it, for the version given.
fn npy_version(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
    let wide = version > 1;
    let before = if wide { 12 } else { 10 };
    let length = (before + header.len() + 1).next_multiple_of(64) - before;
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    if wide {
        bytes.extend((length as u32).to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(format!("{header:<width$}\n", width = length - 1).as_bytes());
    bytes.extend(numbers);
    bytes
}

fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    npy_version(1, &header, numbers)
}

fn vecs(rows: &[&[f32]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        bytes.extend((row.len() as i32).to_le_bytes());
        bytes.extend(le(row.iter().map(|x| x.to_le_bytes())));
    }
    bytes
}

fn all(path: &Path) -> Result<Vec<f32>, DataError> {
    let matrix = Matrix::open(path)?;
    let mut rows = Vec::new();
    matrix.read(0..matrix.rows(), &mut rows)?;
    Ok(rows)
}

fn refused(path: &Path, words: &str) {
    let error = all(path).unwrap_err().to_string();
    assert!(error.contains(words), "{error:?} does not say {words:?}");
    assert!(error.starts_with(&path.display().to_string()), "{error:?}");
    assert_eq!(error.lines().count(), 1, "{error:?}");
}

fn le<const N: usize>(numbers: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    numbers.into_iter().flatten().collect()
}

#[test]
fn cut_anywhere_a_file_is_refused() {
    let folder = Folder::new();
    let whole = npy("<f4", "(2, 3)", &[0; 24]);
    assert!(all(&folder.file("x.npy", &whole)).is_ok());
    for length in 0..whole.len() {
        let path = folder.file("x.npy", &whole[..length]);
        let error = all(&path).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{length}: {error}");
    }
    let whole = vecs(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]]);
    assert!(all(&folder.file("x.fvecs", &whole)).is_ok());
    for length in (0..whole.len()).filter(|length| *length != 16) {
        let path = folder.file("x.fvecs", &whole[..length]);
        assert!(all(&path).is_err(), "{length}");
    }
}

#[test]
fn blocks_cover_all_rows_once() {
    let matrix = Matrix::from_rows("made up", vec![0.0; 33 * 7], 7).unwrap();
    for bytes in [0, 1, 28, 29, 280, 1 << 20] {
        let mut next = 0;
        for block in matrix.blocks(bytes) {
            assert_eq!(block.start, next);
            assert!(block.len() == 1 || block.len() * 28 <= bytes);
            next = block.end;
        }
        assert_eq!(next, 33);
    }
    assert!(Matrix::from_rows("made up", vec![0.0; 5], 2).is_err());
    assert!(Matrix::from_rows("made up", vec![], 2).is_err());
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(rows in 1usize..40, dimension in 1usize..40, seed in any::<u64>(), step in 1usize..50) {
        let folder = Folder::new();
        let numbers: Vec<f32> = (0..rows * dimension)
            .map(|i| (seed.wrapping_mul(i as u64 + 1) >> 40) as f32 - 8e6)
            .collect();
        let bytes = npy("<f4", &format!("({rows}, {dimension})"), &le(numbers.iter().map(|x| x.to_le_bytes())));
        let split: Vec<&[f32]> = numbers.chunks(dimension).collect();
        for path in [folder.file("x.npy", &bytes), folder.file("x.fvecs", &vecs(&split))] {
            let matrix = Matrix::open(&path).unwrap();
            prop_assert_eq!((matrix.rows(), matrix.dimension()), (rows, dimension));
            let (mut read, mut block) = (Vec::new(), Vec::new());
            for range in matrix.blocks(step * 4 * dimension) {
                matrix.read(range, &mut block).unwrap();
                read.extend_from_slice(&block);
            }
            prop_assert_eq!(&read, &numbers);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let folder = Folder::new();
        let mut file = if magic { b"\x93NUMPY\x01\x00\x20\x00".to_vec() } else { Vec::new() };
        file.extend(&bytes);
        for name in ["x.npy", "x.fvecs", "x.bvecs", "x.ivecs"] {
            let path = folder.file(name, &file);
            drop(all(&path));
            drop(truth::read(&path, 1, 1, 100));
        }
    }

    #[test]
    fn a_changed_header_is_read_or_refused(at in 0usize..128, value in any::<u8>()) {
        let folder = Folder::new();
        let mut bytes = npy("<f4", "(2, 3)", &[0; 24]);
        bytes[at] = value;
        drop(all(&folder.file("x.npy", &bytes)));
    }
}
