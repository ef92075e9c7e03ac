//! hnswlib's own files (`save_index`, `load_index`), with the graph: what was built here is searched there, and the other way round.
//!
//! ```text
//! header    96 bytes, little endian: offset of level 0 (u64, 0), room for elements (u64), elements n (u64), bytes of an element s (u64),
//!           offset of the label (u64), offset of the vector (u64), highest level (i32), entry point (u32), maxM (u64), maxM0 (u64), M (u64),
//!           mult (f64), ef_construction (u64)
//! level 0   n elements of s bytes: links (u16), a byte of flags (1: deleted), a byte, maxM0 slots (u32), the vector (f32), the label (u64)
//! above     for each element: bytes that follow (u32), then for each level from 1: links (u32), maxM slots (u32)
//! ```
//!
//! The file does not say how nearness is measured: whoever loads it does. hnswlib's `l2` is [`Euclidean`], `ip` is [`DotProduct`], and `cosine`
//! is [`Cosine`], for which the file holds unit vectors, so that lengths are lost on the way.
//!
//! **Labels are numbers.** Ids that are all decimal numbers (below 2^64, without a sign or leading zeros) are the labels. Otherwise a vector's label is its
//! place in the order of insertion, and a file of ids lies beside ([`ids_beside`]): line l, counted from 0, is the id of label l. On the way in a label without
//! such a file becomes its decimal digits.
//!
//! **Deleted vectors** that are still part of the graph go out as hnswlib has them, marked, under the highest labels that are free; marked ones come in
//! as part of the graph and are deleted then.
//!
//! [`Euclidean`]: crate::models::DistanceMetric::Euclidean
//! [`DotProduct`]: crate::models::DistanceMetric::DotProduct
//! [`Cosine`]: crate::models::DistanceMetric::Cosine

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Moved, Output, batch_size, failed, go_on, ids_beside, refused, write_ids};
use crate::collection::{Collection, Frozen};
use crate::config::MAX_LEVEL;
use crate::engine::{LevelLinks, NO_SLOT, slot};
use crate::error::Result;
use crate::hnsw::Topology;

mod header;

pub use header::Header;

/// The flag of a deleted element, in the third byte of its links' number.
const DELETED: u8 = 1;

/// What went out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Vectors.
    pub vectors: usize,
    /// The file of ids, if ids are not numbers.
    pub ids: Option<PathBuf>,
}

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Vectors that can be found.
    pub vectors: usize,
    /// Whether the file's graph is used. Else the vectors were linked anew: the collection was not empty, or has another M.
    pub graph: bool,
}

fn length(file: &File, path: &Path) -> Result<u64> {
    Ok(file.metadata().map_err(failed(path))?.len())
}

/// Writes vectors, labels and the graph. What is not linked yet is linked first.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`FileRefused`](crate::error::VectorizerError::FileRefused) for an id with a line break,
/// [`Cancelled`](crate::error::VectorizerError::Cancelled), no room, or the device failed; there is no file then.
pub fn export(
    collection: &Collection,
    path: impl AsRef<Path>,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Exported> {
    // Others may add between linking and holding still.
    let frozen = loop {
        collection.optimize()?;
        let frozen = collection.freeze();
        if frozen.graph().linked() == frozen.graph().len() {
            break frozen;
        }
    };
    write(&frozen, path.as_ref(), &mut progress)
}

/// What is linked, as it is.
fn write(
    frozen: &Frozen<'_>,
    path: &Path,
    progress: &mut dyn FnMut(Moved) -> ControlFlow<()>,
) -> Result<Exported> {
    let topology = frozen.graph().topology()?;
    let config = frozen.graph().config();
    let (count, dimension) = (topology.levels.len(), frozen.graph().dimension());
    let numbered = frozen.alive().all(|(_, id)| label_of(id).is_some());
    let ids = (!numbered).then(|| ids_beside(path));

    let mut out = Output::create(path)?;
    let degree = 2 * config.max_connections;
    let vector = 4 + 4 * degree;
    let label = vector + 4 * dimension;
    for word in [0, count, count, label + 8, label, vector] {
        out.put(&(word as u64).to_le_bytes())?;
    }
    let entry = topology.entry;
    let level = entry.map_or(-1, |entry| i32::try_from(entry.level).unwrap_or(i32::MAX));
    out.put(&level.to_le_bytes())?;
    out.put(&entry.map_or(NO_SLOT, |entry| entry.slot).to_le_bytes())?;
    for word in [config.max_connections, degree, config.max_connections] {
        out.put(&(word as u64).to_le_bytes())?;
    }
    out.put(&f64::from(config.level_multiplier).to_le_bytes())?;
    out.put(&(config.ef_construction as u64).to_le_bytes())?;

    let mut labels = Labels::new(frozen, numbered);
    let mut bytes = Vec::new();
    for first in (0..count).step_by(batch_size(dimension)) {
        let end = count.min(first + batch_size(dimension));
        let rows = frozen.read_compared(slot(first)..slot(end))?;
        bytes.clear();
        for (at, row) in (first..end).zip(rows.chunks_exact(dimension)) {
            let links = &topology.links[0].rows[at * degree..][..degree];
            let flags = if frozen.id(slot(at)).is_some() {
                0
            } else {
                DELETED
            };
            push_links(&mut bytes, links, flags);
            bytes.extend(row.iter().flat_map(|component| component.to_le_bytes()));
            bytes.extend(labels.next(slot(at)).to_le_bytes());
        }
        out.put(&bytes)?;
        go_on(progress(Moved {
            done: end,
            total: Some(count),
        }))?;
    }
    // Rows of the upper levels lie in the order of slots: each level has its place to go on from.
    let mut next = vec![0; topology.links.len()];
    for level in &topology.levels {
        let upper = 1..=usize::from(*level);
        bytes.clear();
        for level in upper.clone() {
            let LevelLinks { degree, rows } = &topology.links[level];
            push_links(&mut bytes, &rows[next[level] * degree..][..*degree], 0);
            next[level] += 1;
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        out.put(&length.to_le_bytes())?;
        out.put(&bytes)?;
    }
    if let Some(ids) = &ids {
        write_ids(frozen, ids)?;
    }
    out.finish()?;
    Ok(Exported {
        vectors: frozen.count(),
        ids,
    })
}

/// A number of links, flags, the links, and zeros.
fn push_links(bytes: &mut Vec<u8>, links: &[u32], flags: u8) {
    let count = links.iter().take_while(|link| **link != NO_SLOT).count();
    // At most 128.
    bytes.extend(u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend([flags, 0]);
    for link in links {
        let link = if *link == NO_SLOT { 0 } else { *link };
        bytes.extend(link.to_le_bytes());
    }
}

/// The number that an id is the decimal form of.
fn label_of(id: &str) -> Option<u64> {
    let label: u64 = id.parse().ok()?;
    (label.to_string() == id).then_some(label)
}

/// The labels of slots, asked for in their order.
struct Labels<'f> {
    frozen: &'f Frozen<'f>,
    numbered: bool,
    next: u64,
    free: u64,
}

impl<'f> Labels<'f> {
    fn new(frozen: &'f Frozen<'f>, numbered: bool) -> Self {
        Self {
            frozen,
            numbered,
            next: 0,
            free: u64::MAX,
        }
    }

    fn next(&mut self, slot: u32) -> u64 {
        let Some(id) = self.frozen.id(slot) else {
            while self.numbered && self.frozen.slot(&self.free.to_string()).is_some() {
                self.free -= 1;
            }
            self.free -= 1;
            return self.free + 1;
        };
        let place = self.next;
        self.next += 1;
        if self.numbered {
            label_of(id).unwrap_or(place)
        } else {
            place
        }
    }
}

/// Adds the vectors of a file, and takes its graph too if the collection is empty and has the file's M
/// ([`Header::max_connections`]). `ids` is a file with the id of label l in line l.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`FileRefused`](crate::error::VectorizerError::FileRefused) for a file that breaks the format,
/// [`GraphDamaged`](crate::error::VectorizerError::GraphDamaged) for links that lead nowhere, those of
/// [`Collection::add_vectors_batch`], or [`Cancelled`](crate::error::VectorizerError::Cancelled). What was added before stays.
pub fn import(
    collection: &Collection,
    path: impl AsRef<Path>,
    ids: Option<&Path>,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Imported> {
    let path = path.as_ref();
    let file = File::open(path).map_err(failed(path))?;
    let length = length(&file, path)?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let header = Header::read(&mut reader, length, path)?;
    let (expected, actual) = (collection.dimension(), header.dimension);
    if expected != actual {
        let reason =
            format!("has vectors of {actual} components; the collection's have {expected}");
        return Err(refused(path, reason));
    }
    let names = ids.map(read_ids).transpose()?;
    let name = |label: u64, dead: bool| match &names {
        _ if dead => Ok(format!("hnswlib's deleted label {label}")),
        None => Ok(label.to_string()),
        Some(names) => {
            let place = usize::try_from(label).ok();
            let name = place.and_then(|place| names.get(place)).cloned();
            name.ok_or_else(|| {
                refused(
                    path,
                    format!("label {label} has no line in the file of ids"),
                )
            })
        }
    };

    let before = collection.version();
    let takes_graph = collection.is_untouched()
        && collection.options().hnsw.max_connections == header.max_connections;
    let mut links = Vec::with_capacity(if takes_graph {
        header.count * header.degree
    } else {
        0
    });
    let mut dead = Vec::new();
    let mut element = vec![0; header.element];
    let size = batch_size(header.dimension);
    let (mut batch_ids, mut rows) = (Vec::new(), Vec::new());
    for done in 1..=header.count {
        read_exact(&mut reader, &mut element, path)?;
        let (row_of_links, rest) = element.split_at(4 + 4 * header.degree);
        let (vector, label) = rest.split_at(4 * header.dimension);
        let mut word = [0; 8];
        word.copy_from_slice(label);
        let is_dead = row_of_links[2] & DELETED != 0;
        let id = name(u64::from_le_bytes(word), is_dead)?;
        if is_dead {
            dead.push(id.clone());
        }
        batch_ids.push(id);
        rows.extend(words(vector).map(f32::from_bits));
        if takes_graph {
            take_links(row_of_links, &mut links, path)?;
        }
        if batch_ids.len() == size || done == header.count {
            collection.add_rows_unlinked(&batch_ids, &rows)?;
            batch_ids.clear();
            rows.clear();
            go_on(progress(Moved {
                done,
                total: Some(header.count),
            }))?;
        }
    }
    let mut graph = false;
    if takes_graph && header.count > 0 {
        let level_0 = LevelLinks {
            degree: header.degree,
            rows: links,
        };
        let topology = upper_levels(&mut reader, &header, level_0, path)?;
        let version = before + header.count as u64;
        graph = collection.take_topology(topology, version)?;
    }
    if !dead.is_empty() {
        collection.delete_batch(&dead)?;
    }
    collection.optimize()?;
    Ok(Imported {
        vectors: header.count - dead.len(),
        graph,
    })
}

fn read_exact(reader: &mut impl Read, bytes: &mut [u8], path: &Path) -> Result<()> {
    reader.read_exact(bytes).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            refused(path, "is truncated")
        } else {
            failed(path)(error)
        }
    })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

/// A row of links in our form.
fn take_links(bytes: &[u8], links: &mut Vec<u32>, path: &Path) -> Result<()> {
    let (count, slots) = bytes.split_at(4);
    let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
    let degree = slots.len() / 4;
    if count > degree {
        let reason = format!("is broken: {count} links in a row for {degree}");
        return Err(refused(path, reason));
    }
    links.extend(words(slots).take(count));
    links.extend(std::iter::repeat_n(NO_SLOT, degree - count));
    Ok(())
}

fn upper_levels(
    reader: &mut impl Read,
    header: &Header,
    level_0: LevelLinks,
    path: &Path,
) -> Result<Topology> {
    let degree = header.max_connections;
    let row = 4 + 4 * degree;
    let mut levels = Vec::with_capacity(header.count);
    let mut links = vec![level_0];
    for _ in 0..header.count {
        let mut length = [0; 4];
        read_exact(reader, &mut length, path)?;
        let length = u32::from_le_bytes(length) as usize;
        let level = length / row;
        if !length.is_multiple_of(row) || level > MAX_LEVEL {
            let reason = format!("is broken: {length} bytes of upper levels, in rows of {row}");
            return Err(refused(path, reason));
        }
        let mut bytes = vec![0; length];
        read_exact(reader, &mut bytes, path)?;
        for (above, row) in bytes.chunks_exact(row).enumerate() {
            if links.len() <= above + 1 {
                links.push(LevelLinks {
                    degree,
                    rows: Vec::new(),
                });
            }
            take_links(row, &mut links[above + 1].rows, path)?;
        }
        // At most MAX_LEVEL.
        levels.push(u8::try_from(level).unwrap_or(u8::MAX));
    }
    Ok(Topology {
        levels,
        entry: header.highest,
        links,
    })
}

/// A file of ids, one a line.
fn read_ids(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(failed(path))?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CollectionOptions;
    use crate::gpu::context::Context;
    use crate::models::DistanceMetric;

    #[test]
    fn the_deleted_go_out_marked_and_come_in_deleted() {
        let empty = || {
            let metric = DistanceMetric::Euclidean;
            let options = CollectionOptions::default();
            Collection::with_context(&Context::cpu(), 1, metric, options).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.bin");
        let collection = empty();
        // One id is the highest label, which the deleted would have.
        let mut ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();
        ids[7] = u64::MAX.to_string();
        let rows: Vec<f32> = (0..60u8).map(f32::from).collect();
        collection.add_rows(&ids, &rows).unwrap();
        collection.optimize().unwrap();
        collection.delete_batch(&["3", "50"]).unwrap();
        let mut go = |_: Moved| ControlFlow::Continue(());
        let exported = write(&collection.freeze(), &path, &mut go).unwrap();
        assert_eq!((exported.vectors, exported.ids), (58, None));
        let bytes = std::fs::read(&path).unwrap();
        let element = 4 + 4 * 32 + 4 + 8;
        for slot in 0..60 {
            let element = &bytes[Header::BYTES + slot * element..][..element];
            assert_eq!(element[2], u8::from(slot == 3 || slot == 50), "{slot}");
            let label = u64::from_le_bytes(element[element.len() - 8..].try_into().unwrap());
            let expected = match slot {
                3 => u64::MAX - 1,
                50 => u64::MAX - 2,
                7 => u64::MAX,
                slot => slot as u64,
            };
            assert_eq!(label, expected);
        }
        let back = empty();
        let imported = import(&back, &path, None, go).unwrap();
        assert_eq!((imported.vectors, imported.graph), (58, true));
        assert_eq!(back.vector_count(), 58);
        let found = back.search(&[3.1], 2).unwrap();
        assert_eq!((found[0].id.as_str(), found[1].id.as_str()), ("4", "2"));
    }

    #[test]
    fn labels_are_canonical_numbers() {
        assert_eq!(label_of("0"), Some(0));
        assert_eq!(label_of("18446744073709551615"), Some(u64::MAX));
        for id in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            "1.0",
            " 1",
            "18446744073709551616",
            "a",
        ] {
            assert_eq!(label_of(id), None, "{id}");
        }
    }
}
