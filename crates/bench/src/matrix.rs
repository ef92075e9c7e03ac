//! Rows of numbers, in a file or in memory, given as `f32` a block at a time.

use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use vectorizer::interop::WholeFile;

use crate::error::{DataError, Result};
use crate::input::Input;
use crate::npy::{Element, Table};
use crate::{npy, vecs};

/// Bytes of a file that are read at a time.
const CHUNK: usize = 1 << 20;

/// A table of vectors: a `.npy` (float32, float16, uint8, int8), `.fvecs` or `.bvecs` file, or rows in memory.
///
/// Nothing is held in memory but the block that is being read: a file of bytes is never there as floats as a whole. A file that becomes
/// shorter meanwhile is an error.
#[derive(Debug)]
pub struct Matrix {
    path: PathBuf,
    rows: usize,
    dimension: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File { input: Input, table: Table },
    Memory(Vec<f32>),
}

/// Opens any file of the known kinds and finds the table in it.
pub(crate) fn open(path: &Path) -> Result<(Input, Table)> {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let element = vecs::element(&extension);
    if element.is_none() && extension != "npy" {
        return Err(DataError::new(
            path,
            "is of an unknown kind: expected .npy, .fvecs, .bvecs or .ivecs",
        ));
    }
    let input = Input::open(path)?;
    let table = match element {
        Some(element) => vecs::table(path, &input, element)?,
        None => npy::table(path, &input)?,
    };
    Ok((input, table))
}

/// Calls `each` with the bytes of each row's numbers, in order; the length that a row announces has been checked. `bytes` is room for them.
pub(crate) fn each_row(
    path: &Path,
    (input, table): (&Input, &Table),
    rows: Range<usize>,
    bytes: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]),
) -> Result<()> {
    let stride = table.stride();
    let step = (CHUNK / stride).max(1);
    for first in rows.clone().step_by(step) {
        let count = step.min(rows.end - first);
        input.read(table.offset + first * stride, count * stride, bytes)?;
        for (row, bytes) in (first..).zip(bytes.chunks_exact(stride)) {
            let (prefix, numbers) = bytes.split_at(table.prefix);
            match vecs::row_length(prefix) {
                Some(length) if usize::try_from(length) != Ok(table.columns) => {
                    return Err(DataError::new(
                        path,
                        format!(
                            "is broken: row {row} announces {length} components, the first row has {}",
                            table.columns
                        ),
                    ));
                }
                _ => each(numbers),
            }
        }
    }
    Ok(())
}

impl Matrix {
    /// Opens a file of vectors. The kind is told by the extension.
    ///
    /// # Errors
    /// The file is missing, unreadable, broken, truncated, without rows, of numbers of another type, or not two-dimensional.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let matrix = Self::open_with_or_without_rows(path)?;
        if matrix.rows > 0 {
            Ok(matrix)
        } else {
            Err(DataError::new(
                &matrix.path,
                "is empty: it holds no numbers; expected at least one row",
            ))
        }
    }

    /// Opens a file of vectors that may have no rows. Where such a file does not say how long rows would be, as `.fvecs` does not,
    /// their dimension is 0.
    ///
    /// # Errors
    /// As [`Matrix::open`], but for a file without rows.
    pub fn open_with_or_without_rows(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (input, table) = open(path)?;
        match table.element {
            Element::F32 | Element::F16 | Element::Int(1) | Element::Uint(1) => {}
            other => {
                return Err(DataError::new(
                    path,
                    format!(
                        "holds {other} numbers; vectors may be float32, float16, uint8 or int8"
                    ),
                ));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            rows: table.rows,
            dimension: table.columns,
            source: Source::File { input, table },
        })
    }

    /// Rows in memory, end to end, under a name that errors will use.
    ///
    /// # Errors
    /// The numbers do not fill whole rows, or there are none.
    pub fn from_rows(name: &str, numbers: Vec<f32>, dimension: usize) -> Result<Self> {
        if dimension == 0 || numbers.is_empty() || !numbers.len().is_multiple_of(dimension) {
            return Err(DataError::new(
                Path::new(name),
                format!(
                    "{} numbers do not make rows of {dimension} components",
                    numbers.len()
                ),
            ));
        }
        Ok(Self {
            path: PathBuf::from(name),
            rows: numbers.len() / dimension,
            dimension,
            source: Source::Memory(numbers),
        })
    }

    /// Where the rows come from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row; 0 for a file without rows that does not say.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Whether the rows, if there are any, can be vectors of this dimension.
    #[must_use]
    pub fn fits(&self, dimension: usize) -> bool {
        self.dimension == dimension || (self.rows == 0 && self.dimension == 0)
    }

    /// What the numbers are stored as.
    #[must_use]
    pub fn element(&self) -> Element {
        match &self.source {
            Source::File { table, .. } => table.element,
            Source::Memory(_) => Element::F32,
        }
    }

    /// The ranges of rows that together cover all, each of at most `bytes` bytes as `f32` (but at least one row).
    pub fn blocks(&self, bytes: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, step) = (self.rows, (bytes / (4 * self.dimension.max(1))).max(1));
        (0..rows)
            .step_by(step)
            .map(move |first| first..rows.min(first + step))
    }

    /// Puts rows into `out`, end to end, in place of what was there.
    ///
    /// # Errors
    /// A number is not finite, a row of the file is broken, or the file cannot be read or became shorter.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn read(&self, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        assert!(
            rows.end <= self.rows,
            "rows {rows:?} of {} were asked for",
            self.rows
        );
        out.clear();
        out.reserve(rows.len() * self.dimension);
        match &self.source {
            Source::Memory(numbers) => {
                out.extend_from_slice(
                    &numbers[rows.start * self.dimension..rows.end * self.dimension],
                );
            }
            Source::File { input, table } => {
                let widen = |bytes: &[u8]| widen(table.element, bytes, out);
                each_row(
                    &self.path,
                    (input, table),
                    rows.clone(),
                    &mut Vec::new(),
                    widen,
                )?;
            }
        }
        match out.iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(at) => Err(DataError::new(
                &self.path,
                format!(
                    "component {} of row {} is {}: vectors have to be finite",
                    at % self.dimension,
                    rows.start + at / self.dimension,
                    out[at]
                ),
            )),
        }
    }

    /// One row in double precision, for ground truth.
    ///
    /// # Errors
    /// As [`Matrix::read_exact_rows`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn read_exact(&self, row: usize, out: &mut Vec<f64>) -> Result<()> {
        self.read_exact_rows(row..row.saturating_add(1), out)
    }

    /// Rows in double precision, end to end, for ground truth.
    ///
    /// # Errors
    /// A row is broken, or the file cannot be read or became shorter.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn read_exact_rows(&self, rows: Range<usize>, out: &mut Vec<f64>) -> Result<()> {
        assert!(
            rows.end <= self.rows,
            "rows {rows:?} of {} were asked for",
            self.rows
        );
        out.clear();
        match &self.source {
            Source::Memory(numbers) => {
                let rows = &numbers[rows.start * self.dimension..rows.end * self.dimension];
                out.extend(rows.iter().copied().map(f64::from));
                Ok(())
            }
            Source::File { input, table } => {
                let widen = |bytes: &[u8]| match table.element {
                    Element::F32 => each(bytes, out, |b| f64::from(f32::from_le_bytes(b))),
                    Element::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f64()),
                    Element::Int(_) => each(bytes, out, |[b]: [u8; 1]| f64::from(b.cast_signed())),
                    Element::Uint(_) => each(bytes, out, |[b]: [u8; 1]| f64::from(b)),
                };
                each_row(&self.path, (input, table), rows, &mut Vec::new(), widen)
            }
        }
    }

    /// Writes all rows to a float32 `.npy` file, whole or not at all.
    ///
    /// # Errors
    /// As [`Matrix::read`], or the file cannot be written.
    pub fn write_npy(&self, path: &Path) -> Result<()> {
        let failed = |error| DataError::io(path, "write it", &error);
        let mut out = WholeFile::create(path)?;
        out.write_all(&npy::preamble("<f4", self.rows, self.dimension))
            .map_err(failed)?;
        let mut block = Vec::new();
        for rows in self.blocks(1 << 24) {
            self.read(rows, &mut block)?;
            for number in &block {
                out.write_all(&number.to_le_bytes()).map_err(failed)?;
            }
        }
        Ok(out.finish()?)
    }
}

fn widen(element: Element, bytes: &[u8], out: &mut Vec<f32>) {
    match element {
        Element::F32 => each(bytes, out, f32::from_le_bytes),
        Element::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        Element::Int(_) => each(bytes, out, |[b]: [u8; 1]| f32::from(b.cast_signed())),
        Element::Uint(_) => each(bytes, out, |[b]: [u8; 1]| f32::from(b)),
    }
}

fn each<const N: usize, T>(bytes: &[u8], out: &mut Vec<T>, number: impl Fn([u8; N]) -> T) {
    let (numbers, _) = bytes.as_chunks();
    out.extend(numbers.iter().map(|bytes| number(*bytes)));
}
