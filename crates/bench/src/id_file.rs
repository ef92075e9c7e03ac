//! Files of ids: integers in a `.npy` file, or text, one id a line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use vectorizer::config::MAX_ID_BYTES;

use crate::error::{DataError, Result};
use crate::input::Input;
use crate::npy::{self, Element, Table};
use crate::truth::integer;

/// What some editors and spreadsheets put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Ids, read one after the other; never held in memory as a whole.
#[derive(Debug)]
pub struct IdFile {
    path: PathBuf,
    count: usize,
    next: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Numbers {
        input: Input,
        table: Table,
    },
    /// Whether the first line is still to come.
    Lines {
        reader: BufReader<File>,
        first: bool,
    },
}

impl IdFile {
    /// Opens a file of ids and counts them. The kind is told by the extension: `.npy` is integers, everything else text.
    /// Lines end with a newline or a carriage return and a newline; the last one may end without. A byte order mark before the first is
    /// passed over. A file may hold no ids.
    ///
    /// # Errors
    /// The file is missing, unreadable, broken, of other numbers, not a list; or a line is empty, too long, or no UTF-8.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let is_npy = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("npy"));
        if is_npy {
            return Self::numbers(path);
        }
        // Says what is wrong with something that is no plain file.
        drop(Input::open(path)?);
        let mut file = Self::lines(path)?;
        while file.line()?.is_some() {
            file.count += 1;
        }
        // The same file, whatever has its name by now.
        if let Source::Lines { reader, first } = &mut file.source {
            let back = reader.seek(SeekFrom::Start(0));
            back.map_err(|error| DataError::io(path, "read it", &error))?;
            *first = true;
        }
        Ok(file)
    }

    fn lines(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| DataError::io(path, "read it", &error))?;
        Ok(Self {
            path: path.to_owned(),
            count: 0,
            next: 0,
            source: Source::Lines {
                reader: BufReader::new(file),
                first: true,
            },
        })
    }

    fn numbers(path: &Path) -> Result<Self> {
        let input = Input::open(path)?;
        let table = npy::list(path, &input)?;
        let integers = matches!(table.element, Element::Int(_) | Element::Uint(_));
        if !integers || table.columns != 1 {
            return Err(DataError::new(
                path,
                format!(
                    "holds {} x {} {} numbers; ids are a list of integers",
                    table.rows, table.columns, table.element
                ),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            count: table.rows,
            next: 0,
            source: Source::Numbers { input, table },
        })
    }

    /// How many ids there are in it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The next `most` ids, fewer only at the end.
    ///
    /// # Errors
    /// The file cannot be read, or changed since it was opened.
    pub fn read(&mut self, most: usize) -> Result<Vec<String>> {
        let most = most.min(self.count - self.next);
        let mut ids = Vec::with_capacity(most);
        if let Source::Numbers { input, table } = &self.source {
            let size = table.element.size();
            let mut bytes = Vec::new();
            input.read(table.offset + self.next * size, most * size, &mut bytes)?;
            let numbers = bytes.chunks_exact(size);
            ids.extend(numbers.map(|bytes| integer(table.element, bytes).to_string()));
        } else {
            for _ in 0..most {
                let id = self.line()?;
                let id = id
                    .ok_or_else(|| DataError::new(&self.path, "became shorter while it was read"));
                ids.push(id?);
            }
        }
        self.next += most;
        Ok(ids)
    }

    fn line(&mut self) -> Result<Option<String>> {
        let Source::Lines { reader, first } = &mut self.source else {
            return Ok(None);
        };
        let failed = |error| DataError::io(&self.path, "read it", &error);
        if std::mem::take(first)
            && reader
                .fill_buf()
                .map_err(failed)?
                .starts_with(BYTE_ORDER_MARK)
        {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        let mut line = Vec::new();
        // An id, a carriage return, a newline: what is longer is no line of ids, and is not read to its end.
        let most = MAX_ID_BYTES as u64 + 2;
        let read = reader.by_ref().take(most).read_until(b'\n', &mut line);
        if read.map_err(failed)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        let bad = |reason: &str| {
            DataError::new(
                &self.path,
                format!("has {reason} among its lines; expected one id a line"),
            )
        };
        if line.is_empty() {
            return Err(bad("an empty one"));
        }
        if line.len() > MAX_ID_BYTES {
            return Err(bad("one that is longer than an id can be"));
        }
        String::from_utf8(line)
            .map(Some)
            .map_err(|_| bad("one that is no text"))
    }
}
