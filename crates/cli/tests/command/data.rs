//! Rows and queries in files of every kind.

use tempfile::TempDir;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::{IdTable, Matrix, Mixture, truth};

/// A folder with a base of 300 rows and 20 queries.
pub(crate) struct Data {
    pub(crate) folder: TempDir,
    pub(crate) base: Vec<f32>,
    pub(crate) queries: Vec<f32>,
}

pub(crate) const DIMENSION: usize = 17;

impl Data {
    pub(crate) fn new() -> Self {
        let mixture = Mixture {
            dimension: DIMENSION,
            clusters: 7,
            latent: 5,
            spread: 0.5,
            whole: true,
            seed: 11,
        };
        // From -64 to 63: what a signed byte, an unsigned one (after a shift) and a half all hold exactly.
        let small = |rows: Vec<f32>| rows.iter().map(|x| (x / 2.0).floor() - 64.0).collect();
        let data = Self {
            folder: tempfile::tempdir().unwrap(),
            base: small(mixture.rows(0, 300)),
            queries: small(mixture.rows(300, 20)),
        };
        data.npy("base.npy", "<f4", &data.base);
        data.npy("queries.npy", "<f4", &data.queries);
        data
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub(crate) fn npy(&self, name: &str, descr: &str, numbers: &[f32]) -> String {
        self.npy_of(name, descr, numbers, DIMENSION)
    }

    pub(crate) fn npy_of(
        &self,
        name: &str,
        descr: &str,
        numbers: &[f32],
        columns: usize,
    ) -> String {
        let rows = numbers.len() / columns;
        let header = format!(
            "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
        );
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((118u16).to_le_bytes());
        bytes.extend(format!("{header:<117}\n").as_bytes());
        for number in numbers {
            match descr {
                "<f4" => bytes.extend(number.to_le_bytes()),
                "<f2" => bytes.extend(half(*number).to_le_bytes()),
                "|i1" => bytes.extend((*number as i8).to_le_bytes()),
                "|u1" => bytes.push((*number + 64.0) as u8),
                "<i8" => bytes.extend((*number as i64).to_le_bytes()),
                other => unreachable!("{other}"),
            }
        }
        self.write(name, &bytes)
    }

    pub(crate) fn truth(&self, metric: DistanceMetric, k: usize) -> IdTable {
        let matrix =
            |rows: &Vec<f32>| Matrix::from_rows("made up", rows.clone(), DIMENSION).unwrap();
        truth::compute(&matrix(&self.base), &matrix(&self.queries), metric, k).unwrap()
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A whole number from -64 to 63 as IEEE half.
fn half(number: f32) -> u16 {
    if number == 0.0 {
        return 0;
    }
    let bits = number.to_bits();
    let exponent = (bits >> 23 & 0xff) as u16 + 15 - 127;
    (bits >> 16) as u16 & 0x8000 | exponent << 10 | (bits >> 13) as u16 & 0x3ff
}
