//! The header of NumPy's `.npy` files: what the numbers are and how they lie.
//!
//! A file is a magic string, a version, the header's length, the header as a Python dictionary, and the numbers.
//! The dictionary is always of the same form, so it is read by a small parser that neither recurses nor allocates by
//! what the file says. (The npyz crate multiplies a header's shape unchecked and allocates the length it announces; a
//! crafted file would take the command down.)

use std::fmt;
use std::path::Path;

use crate::error::{DataError, Result};
use crate::input::Input;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy's own bound on headers it does not know to be safe.
const MAX_HEADER: usize = 10_000;
/// The magic string, the version and the header's length.
const BEFORE_HEADER: usize = 12;

/// The type of the numbers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// A signed integer of so many bytes: 1, 2, 4 or 8.
    Int(usize),
    /// An unsigned integer of so many bytes: 1, 2, 4 or 8.
    Uint(usize),
}

impl Element {
    /// Bytes of one number.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int(bytes) | Self::Uint(bytes) => bytes,
        }
    }

    /// NumPy's name of the type.
    fn parse(descr: &str) -> Option<Self> {
        Some(match descr {
            "<f4" => Self::F32,
            "<f2" => Self::F16,
            "|i1" | "<i1" => Self::Int(1),
            "|u1" | "<u1" => Self::Uint(1),
            "<i2" => Self::Int(2),
            "<u2" => Self::Uint(2),
            "<i4" => Self::Int(4),
            "<u4" => Self::Uint(4),
            "<i8" => Self::Int(8),
            "<u8" => Self::Uint(8),
            _ => return None,
        })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("float32"),
            Self::F16 => f.write_str("float16"),
            Self::Int(bytes) => write!(f, "int{}", 8 * bytes),
            Self::Uint(bytes) => write!(f, "uint{}", 8 * bytes),
        }
    }
}

/// A two-dimensional table of numbers within the bytes of a file, row after row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) element: Element,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Where the first row begins.
    pub(crate) offset: usize,
    /// Bytes before the numbers of each row (the row's own length, in `.fvecs` and its kin).
    pub(crate) prefix: usize,
}

impl Table {
    /// Bytes from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.prefix + self.columns * self.element.size()
    }
}

/// Finds the table in a `.npy` file. It may have no rows.
pub(crate) fn table(path: &Path, input: &Input) -> Result<Table> {
    table_or_list(path, input, false)
}

/// The same, where a list (one dimension) will do as a table of one column.
pub(crate) fn list(path: &Path, input: &Input) -> Result<Table> {
    table_or_list(path, input, true)
}

fn table_or_list(path: &Path, input: &Input, list: bool) -> Result<Table> {
    let bad = |reason: String| DataError::new(path, reason);
    if input.length() == 0 {
        return Err(bad("is empty".to_owned()));
    }
    let bytes = &input.head(MAX_HEADER + BEFORE_HEADER)?;
    let (text, offset) = header(bytes).map_err(|reason| bad(reason.to_owned()))?;
    let header = Dictionary::parse(text)
        .map_err(|reason| bad(format!("broken .npy header: {reason} in {text:?}")))?;
    let element = Element::parse(header.descr).ok_or_else(|| {
        bad(format!(
            "holds numbers of type '{}'; vectors may be float32, float16, uint8 or int8, row numbers any integers, little endian",
            header.descr
        ))
    })?;
    let (rows, columns) = match header.shape[..] {
        [rows, columns] => (rows, columns),
        [rows] if list => (rows, 1),
        _ => {
            return Err(bad(format!(
                "has the shape {}; expected two dimensions, (rows, components)",
                shape(&header.shape)
            )));
        }
    };
    if header.fortran_order && rows > 1 && columns > 1 {
        return Err(bad(
            "is stored column by column (fortran_order); save it with numpy.ascontiguousarray(a)"
                .to_owned(),
        ));
    }
    if columns == 0 {
        return Err(bad(format!(
            "holds no numbers: its shape is {}",
            shape(&header.shape)
        )));
    }
    let there = input.length() - offset;
    let wanted = rows
        .checked_mul(columns)
        .and_then(|count| count.checked_mul(element.size()))
        .ok_or_else(|| {
            bad(format!(
                "announces the impossible shape {}",
                shape(&header.shape)
            ))
        })?;
    if there != wanted {
        let what = if there < wanted {
            "is truncated"
        } else {
            "is broken"
        };
        return Err(bad(format!(
            "{what}: {} of {element} take {wanted} bytes, the file has {there} after its header",
            shape(&header.shape)
        )));
    }
    Ok(Table {
        element,
        rows,
        columns,
        offset,
        prefix: 0,
    })
}

fn shape(shape: &[usize]) -> String {
    let sizes: Vec<_> = shape.iter().map(usize::to_string).collect();
    format!("({})", sizes.join(", "))
}

/// The header's text, and where the numbers begin.
fn header(bytes: &[u8]) -> Result<(&str, usize), &'static str> {
    let Some((magic, rest)) = bytes.split_first_chunk::<6>() else {
        return Err("is too short for a .npy file");
    };
    if magic != MAGIC {
        return Err("is not a .npy file: it does not begin with \\x93NUMPY");
    }
    let Some((version, rest)) = rest.split_first_chunk::<2>() else {
        return Err("is truncated in its .npy header");
    };
    let (length, rest) = match version {
        [1, 0] => rest
            .split_first_chunk()
            .map(|(length, rest)| (usize::from(u16::from_le_bytes(*length)), rest)),
        [2 | 3, 0] => rest.split_first_chunk().map(|(length, rest)| {
            let length = u32::from_le_bytes(*length);
            (usize::try_from(length).unwrap_or(usize::MAX), rest)
        }),
        _ => return Err("is of a .npy version other than 1, 2 and 3"),
    }
    .ok_or("is truncated in its .npy header")?;
    if length > MAX_HEADER {
        return Err("is broken: its .npy header would be longer than 10,000 bytes");
    }
    let text = rest
        .get(..length)
        .ok_or("is truncated in its .npy header")?;
    let text = std::str::from_utf8(text).map_err(|_| "is broken: its .npy header is not text")?;
    Ok((text.trim_end(), bytes.len() - rest.len() + length))
}

/// The three entries of a header's dictionary.
#[derive(Debug)]
struct Dictionary<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Dictionary<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut cursor = Cursor(text);
        cursor.expect('{', "no '{'")?;
        while !cursor.skip('}') {
            let key = cursor.string().ok_or("no key")?;
            cursor.expect(':', "no ':' after a key")?;
            match key {
                "descr" => {
                    descr = Some(
                        cursor
                            .string()
                            .ok_or("'descr' is not the name of a plain number type")?,
                    );
                }
                "fortran_order" => {
                    fortran_order = Some(
                        cursor
                            .boolean()
                            .ok_or("'fortran_order' is neither True nor False")?,
                    );
                }
                "shape" => {
                    shape = Some(cursor.sizes().ok_or("'shape' is not a tuple of sizes")?);
                }
                _ => return Err("an unknown key"),
            }
            if !cursor.skip(',') {
                cursor.expect('}', "no '}'")?;
                break;
            }
        }
        if !cursor.rest().is_empty() {
            return Err("something after the '}'");
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Self {
                descr,
                fortran_order,
                shape,
            }),
            _ => Err("'descr', 'fortran_order' or 'shape' is missing"),
        }
    }
}

/// What is left to parse of a dictionary.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn rest(&mut self) -> &'a str {
        self.0 = self.0.trim_start();
        self.0
    }

    fn skip(&mut self, token: char) -> bool {
        let after = self.rest().strip_prefix(token);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    fn expect(&mut self, token: char, otherwise: &'static str) -> Result<(), &'static str> {
        if self.skip(token) {
            Ok(())
        } else {
            Err(otherwise)
        }
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = self.rest().chars().next().filter(|c| "'\"".contains(*c))?;
        let (inside, after) = self.0[1..].split_once(quote)?;
        self.0 = after;
        Some(inside)
    }

    fn boolean(&mut self) -> Option<bool> {
        let rest = self.rest();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(after) = rest.strip_prefix(word) {
                self.0 = after;
                return Some(value);
            }
        }
        None
    }

    fn sizes(&mut self) -> Option<Vec<usize>> {
        let (inside, after) = self.rest().strip_prefix('(')?.split_once(')')?;
        self.0 = after;
        let inside = inside.trim();
        let inside = inside.strip_suffix(',').unwrap_or(inside).trim();
        if inside.is_empty() {
            return Some(Vec::new());
        }
        // Python 2 wrote its long integers with an L.
        let size = |text: &str| text.trim().trim_end_matches('L').parse().ok();
        inside.split(',').map(size).collect()
    }
}

/// The bytes before the numbers of a `.npy` file of `rows` x `columns` numbers of type `descr`.
pub(crate) fn preamble(descr: &str, rows: usize, columns: usize) -> Vec<u8> {
    let text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // The numbers begin at a multiple of 64 bytes; the header ends with a newline.
    let length = (MAGIC.len() + 4 + text.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).into_bytes());
    bytes
}
