//! As much of Thrift's compact protocol as it takes to know that what is written in it ends, and the sizes in a page's header
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

use std::io::Read;

use super::layout::{FOOTER, PAGE_HEADER, Shape};

/// How deep anything may be nested; a file's footer goes eleven deep.
const DEPTH: usize = 32;
/// What a struct is written as.
const STRUCT: u8 = 12;

pub(super) struct PageSizes {
    pub(super) uncompressed: u64,
    pub(super) compressed: u64,
    /// Bytes at the beginning that are never packed.
    pub(super) plain: u64,
    /// Whether the rest is.
    pub(super) packed: bool,
}

pub(super) struct Compact<R> {
    from: R,
    /// Bytes so far.
    pub(super) read: u64,
}

impl<R: Read> Compact<R> {
    pub(super) fn of(from: R) -> Self {
        Self { from, read: 0 }
    }

    /// Reads a file's footer to its end.
    pub(super) fn footer(&mut self) -> Result<(), String> {
        self.value(STRUCT, Some(FOOTER), DEPTH)
    }

    /// Reads a page's header from its first byte to its last.
    pub(super) fn page_sizes(&mut self) -> Result<PageSizes, String> {
        let mut sizes = [None; 2];
        let (mut plain, mut packed) = (0, true);
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (2 | 3, 5) => {
                    let size = self.zigzag()?;
                    let size = u64::try_from(size).map_err(|_| format!("a size of {size}"))?;
                    sizes[usize::from(field == 3)] = Some(size);
                }
                (8, STRUCT) => (plain, packed) = self.levels()?,
                _ => self.value(kind, member(PAGE_HEADER, field), DEPTH)?,
            }
        }
        let [Some(uncompressed), Some(compressed)] = sizes else {
            return Err("it lacks a size".to_owned());
        };
        Ok(PageSizes {
            uncompressed,
            compressed,
            plain,
            packed,
        })
    }

    /// Reads the header of a page of the second version: the bytes of its levels, and whether what follows them is packed.
    fn levels(&mut self) -> Result<(u64, bool), String> {
        let (mut plain, mut packed) = (0u64, true);
        let shape = member(PAGE_HEADER, 8);
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (5 | 6, 5) => {
                    let size = self.zigzag()?;
                    let size = u64::try_from(size).map_err(|_| format!("a size of {size}"))?;
                    plain = plain.saturating_add(size);
                }
                (7, 1 | 2) => packed = kind == 1,
                _ => self.value(kind, shape.and_then(|shape| member(shape, field)), DEPTH)?,
            }
        }
        Ok((plain, packed))
    }

    /// The kind of the next field, whose number is put in the place of the last one's; `None` at the end.
    fn field(&mut self, last: &mut i64) -> Result<Option<u8>, String> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => self.zigzag()?,
            further => last.wrapping_add(further.into()),
        };
        Ok(Some(head & 0xf))
    }

    /// Passes a value. What has a shape has to be of it: the reader takes it for that, whatever it says of itself, and would go on somewhere else than this.
    fn value(&mut self, kind: u8, shape: Option<Shape>, depth: usize) -> Result<(), String> {
        if let Some(shape) = shape
            && !shape.is(kind)
        {
            return Err(format!(
                "a value of the kind {kind} is none that belongs there"
            ));
        }
        let depth = depth.checked_sub(1).ok_or("it is nested too deep")?;
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => drop(self.varint()?),
            7 => self.pass(8)?,
            8 => {
                let length = self.varint()?;
                self.pass(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    count => count.into(),
                };
                for _ in 0..count {
                    self.element(head & 0xf, element(shape), depth)?;
                }
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                for _ in 0..count {
                    self.element(kinds >> 4, None, depth)?;
                    self.element(kinds & 0xf, None, depth)?;
                }
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    let inner = shape.and_then(|shape| member(shape, field));
                    self.value(kind, inner, depth)?;
                }
            }
            13 => self.pass(16)?,
            other => return Err(format!("a field of the unknown kind {other}")),
        }
        Ok(())
    }

    /// One of a list or a map. Neither footers nor pages' headers have lists of truth values, and readers differ in whether those take a byte.
    fn element(&mut self, kind: u8, shape: Option<Shape>, depth: usize) -> Result<(), String> {
        match kind {
            1 | 2 => Err("a list of truth values".to_owned()),
            _ => self.value(kind, shape, depth),
        }
    }

    fn zigzag(&mut self) -> Result<i64, String> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number that does not end".to_owned())
    }

    fn pass(&mut self, bytes: u64) -> Result<(), String> {
        let passed = std::io::copy(&mut self.from.by_ref().take(bytes), &mut std::io::sink());
        let passed = passed.map_err(|error| error.to_string())?;
        self.read += passed;
        if passed < bytes {
            return Err("it does not end where it has to".to_owned());
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let mut byte = [0];
        self.from
            .read_exact(&mut byte)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => "it does not end where it has to".to_owned(),
                _ => error.to_string(),
            })?;
        self.read += 1;
        Ok(byte[0])
    }
}

/// What a struct has in a field.
fn member(shape: Shape, field: i64) -> Option<Shape> {
    let Shape::Struct(fields) = shape else {
        return None;
    };
    let named = fields.iter().find(|(number, _)| *number == field);
    named.map(|(_, shape)| *shape)
}

/// What a list has in it.
fn element(shape: Option<Shape>) -> Option<Shape> {
    match shape? {
        Shape::List(element) => Some(*element),
        _ => None,
    }
}
