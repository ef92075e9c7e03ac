//! In: vectors, and the graph where the collection can take it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use super::{DELETED, Header, length};
use crate::collection::Collection;
use crate::config::MAX_LEVEL;
use crate::engine::{LevelLinks, NO_SLOT};
use crate::error::Result;
use crate::hnsw::Topology;
use crate::interop::{Existing, Moved, batch_size, failed, go_on, refused};

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Vectors that can be found.
    pub vectors: usize,
    /// Whether the file's graph is used. Else the vectors were linked anew: the collection was not empty, or has another M.
    pub graph: bool,
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
    progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Imported> {
    import_with(collection, path, ids, Existing::Refuse, progress)
}

/// Adds the vectors of a file as [`import`] does. `existing` is what becomes of those whose ids are taken: one that is replaced keeps its payload, since
/// the file has none.
///
/// # Errors
/// As [`import`].
pub fn import_with(
    collection: &Collection,
    path: impl AsRef<Path>,
    ids: Option<&Path>,
    existing: Existing,
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
            // In a collection that takes the graph there is nothing to replace.
            match existing {
                Existing::Replace if !takes_graph => collection.upsert_rows(&batch_ids, &rows)?,
                _ => collection.add_rows_unlinked(&batch_ids, &rows)?,
            }
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
