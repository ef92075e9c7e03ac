//! Pages that are what they say, before anything is made of them.
//!
//! The readers of the Arrow project take memory for as many values as a page's header counts, and for as many bytes as it says it unpacks to. Both are
//! numbers that anybody can write, so they are held against the bytes that are there. The layout is that of
//! <https://github.com/apache/parquet-format>.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FilePageIterator, FileReader};
use parquet::schema::types::ColumnDescPtr;

use super::delta;
use super::thrift::{Compact, PageSizes};

/// Bytes that any page may unpack to.
const UNPACKED: u64 = 1 << 20;
/// Values in a page for each of its bytes, beside the first million of them: a list of a thousand equal ones takes four bytes for its length and its end.
const VALUES_PER_BYTE: usize = 1024;
const VALUES: usize = 1 << 20;
/// As [`UNPACKED`], of pages that so few bytes unpack to so much that a bound by their number would refuse pages that mean it.
const UNPACKED_BROTLI: u64 = 16 << 20;

fn refused(what: String) -> ParquetError {
    ParquetError::General(what)
}

/// A file's groups of rows.
pub(super) struct CheckedRowGroups(pub(super) Arc<dyn FileReader>);

impl RowGroups for CheckedRowGroups {
    fn num_rows(&self) -> usize {
        RowGroups::num_rows(&self.0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let pages = FilePageIterator::new(column, Arc::clone(&self.0))?;
        let descriptor = self
            .metadata()
            .file_metadata()
            .schema_descr()
            .column(column);
        Ok(Box::new(Chunks { pages, descriptor }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        RowGroups::row_groups(&self.0)
    }

    fn metadata(&self) -> &ParquetMetaData {
        RowGroups::metadata(&self.0)
    }
}

/// A column, group by group.
struct Chunks {
    pages: FilePageIterator,
    descriptor: ColumnDescPtr,
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let pages = self.pages.next()?;
        let descriptor = Arc::clone(&self.descriptor);
        Some(pages.map(|pages| Box::new(Checked { pages, descriptor }) as Box<dyn PageReader>))
    }
}

impl PageIterator for Chunks {}

struct Checked {
    pages: Box<dyn PageReader>,
    descriptor: ColumnDescPtr,
}

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            plausible(page, &self.descriptor)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// Whether a page can hold as many values as it counts, where memory is taken for all of them at once.
fn plausible(page: &Page, descriptor: &ColumnDescPtr) -> Result<()> {
    let bytes: &[u8] = page.buffer();
    let count = page.num_values() as usize;
    let most = match page {
        // Each takes a byte at least: truth values, the only ones that would not, have no dictionaries.
        Page::DictionaryPage { .. } => bytes.len(),
        _ if descriptor.max_rep_level() > 0 || streams(page.encoding()) > 0 => {
            bytes.len().saturating_mul(VALUES_PER_BYTE).max(VALUES)
        }
        _ => return Ok(()),
    };
    if count > most {
        return Err(refused(format!(
            "column {}: a page of {} bytes says that it has {count} values",
            descriptor.path(),
            bytes.len()
        )));
    }
    let mut rest = values(page, descriptor, count).unwrap_or_default();
    for _ in 0..streams(page.encoding()) {
        let Some(stream) = delta::Stream::of(rest) else {
            break;
        };
        if stream.count > count as u64 {
            return Err(refused(format!(
                "column {}: a page of {count} values says that it has {} of them",
                descriptor.path(),
                stream.count
            )));
        }
        rest = stream.after();
    }
    Ok(())
}

/// Lists of lengths that the values of an encoding begin with.
fn streams(encoding: Encoding) -> usize {
    match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => 0,
    }
}

/// A data page without the levels that it begins with; `None` where they do not end in it.
fn values<'p>(page: &'p Page, descriptor: &ColumnDescPtr, count: usize) -> Option<&'p [u8]> {
    let bytes: &[u8] = page.buffer();
    match page {
        Page::DataPage {
            def_level_encoding,
            rep_level_encoding,
            ..
        } => {
            let levels = [
                (descriptor.max_rep_level(), rep_level_encoding),
                (descriptor.max_def_level(), def_level_encoding),
            ];
            let mut levels = levels.into_iter().filter(|(max, _)| *max > 0);
            levels.try_fold(bytes, |rest, (max, encoding)| {
                let length = if *encoding == Encoding::RLE {
                    let (length, _) = rest.split_first_chunk()?;
                    usize::try_from(u32::from_le_bytes(*length))
                        .ok()?
                        .checked_add(4)?
                } else {
                    let bits = (i16::BITS - max.leading_zeros()) as usize;
                    count.checked_mul(bits)?.div_ceil(8)
                };
                rest.get(length..)
            })
        }
        Page::DataPageV2 {
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            bytes.get(usize::try_from(levels).ok()?..)
        }
        Page::DictionaryPage { .. } => Some(bytes),
    }
}

/// Refuses a footer that does not end, or lists more than there is. One without the format's marks is left to the reader.
pub(super) fn check_footer(mut file: &File) -> Result<()> {
    const MARKS: usize = 8;
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(MARKS as u64) else {
        return Ok(());
    };
    let mut marks = [0; MARKS];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut marks)?;
    let [a, b, c, d, b'P', b'A', b'R', b'1'] = marks else {
        return Ok(());
    };
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(start) = end.checked_sub(size) else {
        return Ok(());
    };
    file.seek(SeekFrom::Start(start))?;
    let footer = Compact::of(BufReader::new(file.take(size))).footer();
    footer.map_err(|reason| refused(format!("the footer: {reason}")))
}

/// Refuses what lies outside of the file, and pages whose headers do not end or say that the page unpacks to more than it can, in all columns that are
/// read. Reads every page's header: one seek for each. Where a codec does not stop at the size in the header, the page is unpacked, to nowhere.
pub(super) fn check_sizes(
    file: &File,
    metadata: &ParquetMetaData,
    read: &ProjectionMask,
) -> Result<()> {
    let length = file.metadata()?.len();
    for (_, chunk) in metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns().iter().enumerate())
        .filter(|(leaf, _)| read.leaf_included(*leaf))
    {
        check_chunk(file, length, chunk)
            .map_err(|reason| refused(format!("column {}: {reason}", chunk.column_path())))?;
    }
    Ok(())
}

fn check_chunk(file: &File, length: u64, chunk: &ColumnChunkMetaData) -> Result<(), String> {
    let start = chunk
        .dictionary_page_offset()
        .unwrap_or(chunk.data_page_offset());
    let sizes = (u64::try_from(start), u64::try_from(chunk.compressed_size()));
    let (Ok(mut at), Ok(mut left)) = sizes else {
        return Err("its place in the file is below zero".to_owned());
    };
    if at.checked_add(left).is_none_or(|end| end > length) {
        return Err(format!(
            "{left} bytes from {at} are outside of the file, which has {length}"
        ));
    }
    let codec = chunk.compression();
    // The most that a byte becomes, and what any page may unpack to. Zstandard repeats one 128 KiB long in a block of four (RFC 8878, 3.1.1.2); Snappy copies
    // 64 with three at least; Deflate 258 with two bits; LZ4 255 with a byte. Brotli repeats 16 MiB with a few bytes.
    let (factor, any) = match codec {
        Compression::ZSTD(_) => (32 << 10, UNPACKED),
        Compression::SNAPPY => (22, UNPACKED),
        Compression::GZIP(_) => (1032, UNPACKED),
        Compression::LZ4 | Compression::LZ4_RAW => (256, UNPACKED),
        Compression::BROTLI(_) => (32 << 10, UNPACKED_BROTLI),
        // Nothing is unpacked.
        Compression::UNCOMPRESSED => (u64::MAX, UNPACKED),
        Compression::LZO => {
            return Err(
                "is compressed with LZO, which is not read here; write it with snappy, zstd or gzip"
                    .to_owned(),
            );
        }
    };
    let mut reader = BufReader::with_capacity(1 << 10, file);
    while left > 0 {
        reader
            .seek(SeekFrom::Start(at))
            .map_err(|error| error.to_string())?;
        let mut header = Compact::of(reader.by_ref().take(left));
        let sizes = header
            .page_sizes()
            .map_err(|reason| format!("the header of a page at {at}: {reason}"))?;
        let packed = sizes.compressed;
        if sizes.uncompressed > packed.saturating_mul(factor).max(any) {
            return Err(format!(
                "a page of {packed} bytes at {at} says that it unpacks to {}",
                sizes.uncompressed
            ));
        }
        let whole = header.read + packed;
        if whole > left {
            return Err(format!(
                "a page of {packed} bytes at {at} has only {left} to be in"
            ));
        }
        let begin = header.read;
        check_stream(&mut reader, codec, at + begin, &sizes)
            .map_err(|reason| format!("a page at {at} {reason}"))?;
        at += whole;
        left -= whole;
    }
    Ok(())
}

/// Unpacks a page whose codec goes on past the size in its header, and keeps nothing of it: what is longer than it says is refused.
fn check_stream(
    reader: &mut BufReader<&File>,
    codec: Compression,
    start: u64,
    sizes: &PageSizes,
) -> Result<(), String> {
    if !matches!(codec, Compression::GZIP(_) | Compression::BROTLI(_)) || !sizes.packed {
        return Ok(());
    }
    let (Some(packed), Some(unpacked)) = (
        sizes.compressed.checked_sub(sizes.plain),
        sizes.uncompressed.checked_sub(sizes.plain),
    ) else {
        return Err(format!(
            "has only {} bytes for its levels",
            sizes.compressed
        ));
    };
    if packed == 0 {
        return Ok(());
    }
    reader
        .seek(SeekFrom::Start(start + sizes.plain))
        .map_err(|error| error.to_string())?;
    let packed = reader.by_ref().take(packed);
    let most = unpacked.saturating_add(1);
    let counted = if matches!(codec, Compression::GZIP(_)) {
        let stream = flate2::read::MultiGzDecoder::new(packed);
        std::io::copy(&mut stream.take(most), &mut std::io::sink())
    } else {
        let stream = brotli::Decompressor::new(packed, 4096);
        std::io::copy(&mut stream.take(most), &mut std::io::sink())
    };
    match counted {
        Ok(bytes) if bytes > unpacked => Err(format!(
            "says that it unpacks to {}, and goes on after that",
            sizes.uncompressed
        )),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot be unpacked: {error}")),
    }
}
