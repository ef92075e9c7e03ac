//! In: vectors, and the graph where the collection can take it.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use hashbrown::HashSet;

use super::{DELETED, Header, length};
use crate::collection::Collection;
use crate::config::{CollectionOptions, MAX_ID_BYTES, MAX_LEVEL};
use crate::engine::{LevelLinks, NO_SLOT, SlotSet, slot};
use crate::error::{Result, VectorizerError};
use crate::gpu::context::Context;
use crate::hnsw::{HnswGraph, Topology};
use crate::interop::{Existing, Moved, batch_size, failed, go_on, refused};
use crate::models::Vector;

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
/// ([`Header::max_connections`]). `ids` is a file with the id of label l in line l. An id that is there already is refused.
///
/// # Errors
/// As [`import_with`].
pub fn import(
    collection: &Collection,
    path: impl AsRef<Path>,
    ids: Option<&Path>,
    progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Imported> {
    import_with(collection, path, ids, Existing::Refuse, progress)
}

/// Adds the vectors of a file as [`import`] does. `existing` is what becomes of those whose ids are taken: one that is replaced keeps its
/// payload, since the file has none.
///
/// The whole file is looked through before anything is added, and read a second time then. What it marks as deleted is never part of
/// the collection; where the graph is taken, such elements are taken out of it first, beside the collection, which takes memory for
/// all vectors of the file.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`FileRefused`](crate::error::VectorizerError::FileRefused) for a file that breaks the format
/// or has a label twice, [`GraphDamaged`](crate::error::VectorizerError::GraphDamaged) for links that lead nowhere,
/// [`InvalidComponent`](crate::error::VectorizerError::InvalidComponent), [`DuplicateId`](crate::error::VectorizerError::DuplicateId): nothing is added then.
/// [`Cancelled`](crate::error::VectorizerError::Cancelled), no room, or the disk or the device failed: what was added before stays, and
/// [`Existing::Replace`] makes a second try go through.
pub fn import_with(
    collection: &Collection,
    path: impl AsRef<Path>,
    ids: Option<&Path>,
    existing: Existing,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Imported> {
    let path = path.as_ref();
    let source = File::open(path).map_err(failed(path))?;
    let header = Header::read(&mut &source, length(&source, path)?, path)?;
    let (expected, actual) = (collection.dimension(), header.dimension);
    if expected != actual {
        let reason =
            format!("has vectors of {actual} components; the collection's have {expected}");
        return Err(refused(path, reason));
    }
    let names = ids.map(read_ids).transpose()?;
    let file = HnswlibFile {
        source: &source,
        header,
        path,
    };
    let before = collection.version();
    let takes_graph = collection.is_untouched()
        && collection.options().hnsw.max_connections == header.max_connections;
    let contents = file.look_through(collection, names.as_deref(), existing, takes_graph)?;
    let living = contents.ids.iter().flatten().count();
    let topology = match contents.topology {
        Some(topology) if living < header.count => {
            Some(file.without_deleted(collection, topology, &contents.ids)?)
        }
        topology => topology,
    };
    file.add(collection, &contents.ids, existing, living, &mut progress)?;
    let graph = match topology {
        Some(topology) if living > 0 => {
            collection.take_topology(topology, before + living as u64)?
        }
        _ => false,
    };
    collection.optimize()?;
    Ok(Imported {
        vectors: living,
        graph,
    })
}

/// A file whose header is known.
#[derive(Debug, Clone, Copy)]
struct HnswlibFile<'f> {
    source: &'f File,
    header: Header,
    path: &'f Path,
}

/// What a file holds beside vectors.
struct Contents {
    /// The id of each element; `None` for deleted ones.
    ids: Vec<Option<String>>,
    topology: Option<Topology>,
}

/// One element of level 0.
struct Element<'e> {
    links: &'e [u8],
    vector: &'e [u8],
    label: u64,
    deleted: bool,
}

impl<'f> HnswlibFile<'f> {
    /// A reader that stands behind the header.
    fn reader(&self) -> Result<BufReader<&'f File>> {
        let mut reader = BufReader::with_capacity(1 << 18, self.source);
        reader
            .seek(SeekFrom::Start(Header::BYTES as u64))
            .map_err(failed(self.path))?;
        Ok(reader)
    }

    fn next<'e>(&self, reader: &mut impl Read, bytes: &'e mut Vec<u8>) -> Result<Element<'e>> {
        let header = &self.header;
        bytes.resize(header.element, 0);
        read_exact(reader, bytes, self.path)?;
        let (links, rest) = bytes.split_at(4 + 4 * header.degree);
        let (vector, label) = rest.split_at(4 * header.dimension);
        let mut word = [0; 8];
        word.copy_from_slice(label);
        Ok(Element {
            deleted: links[2] & DELETED != 0,
            links,
            vector,
            label: u64::from_le_bytes(word),
        })
    }

    /// Reads everything once and checks it; nothing is added.
    fn look_through(
        &self,
        collection: &Collection,
        names: Option<&[String]>,
        existing: Existing,
        takes_graph: bool,
    ) -> Result<Contents> {
        let Self { header, path, .. } = self;
        let mut reader = self.reader()?;
        let mut bytes = Vec::new();
        let mut labels = HashSet::with_capacity(header.count);
        let mut ids = Vec::with_capacity(header.count);
        let mut links = Vec::new();
        let mut row = Vec::with_capacity(header.dimension);
        for _ in 0..header.count {
            let element = self.next(&mut reader, &mut bytes)?;
            let label = element.label;
            row.clear();
            row.extend(words(element.vector).map(f32::from_bits));
            collection.check_rows(&row, &|_| format!("label {label}"))?;
            // Links are looked at even where nobody takes them.
            let start = links.len();
            take_links(element.links, &mut links, path)?;
            if !takes_graph {
                links.truncate(start);
            }
            let id = if element.deleted {
                None
            } else if labels.insert(label) {
                Some(self.id(label, names)?)
            } else {
                return Err(refused(path, format!("label {label} stands in it twice")));
            };
            ids.push(id);
        }
        let level_0 = LevelLinks {
            degree: header.degree,
            rows: links,
        };
        let topology = upper_levels(&mut reader, header, level_0, takes_graph, path)?;
        let rest = reader.read(&mut [0]).map_err(failed(path))?;
        if rest != 0 {
            return Err(refused(
                path,
                "is broken: something follows its last element",
            ));
        }
        // Of no elements there is no graph.
        let topology = (takes_graph && !labels.is_empty()).then_some(topology);
        if let Some(topology) = &topology {
            collection.check_topology(topology)?;
        }
        let mut seen = HashSet::with_capacity(if names.is_some() { labels.len() } else { 0 });
        for id in ids.iter().flatten() {
            if names.is_some() && !seen.insert(id.as_str()) {
                let reason = format!("the file of ids has {id:?} for two labels");
                return Err(refused(path, reason));
            }
            if existing == Existing::Refuse && collection.contains(id) {
                return Err(VectorizerError::DuplicateId { id: id.clone() });
            }
        }
        drop(seen);
        Ok(Contents { ids, topology })
    }

    fn id(&self, label: u64, names: Option<&[String]>) -> Result<String> {
        let Some(names) = names else {
            return Ok(label.to_string());
        };
        let place = usize::try_from(label).ok();
        let name = place.and_then(|place| names.get(place)).ok_or_else(|| {
            let reason = format!("label {label} has no line in the file of ids");
            refused(self.path, reason)
        })?;
        if (1..=MAX_ID_BYTES).contains(&name.len()) {
            Ok(name.clone())
        } else {
            let length = name.len();
            let reason =
                format!("the id of label {label} has {length} bytes; expected 1 to {MAX_ID_BYTES}");
            Err(refused(self.path, reason))
        }
    }

    /// The graph of the living alone: worked out beside the collection, so that nothing deleted is ever in it.
    fn without_deleted(
        &self,
        collection: &Collection,
        topology: Topology,
        ids: &[Option<String>],
    ) -> Result<Topology> {
        let options = CollectionOptions {
            hnsw: collection.options().hnsw,
            seed: collection.options().seed,
            threads: collection.options().threads,
            ..CollectionOptions::default()
        };
        let dimension = self.header.dimension;
        let context = Context::cpu();
        let mut graph = HnswGraph::new(&context, dimension, collection.metric(), options)?;
        let mut reader = self.reader()?;
        let mut bytes = Vec::new();
        let mut rows = Vec::new();
        let mut alive = SlotSet::new();
        let size = batch_size(dimension);
        for (place, id) in ids.iter().enumerate() {
            let element = self.next(&mut reader, &mut bytes)?;
            rows.extend(words(element.vector).map(f32::from_bits));
            if id.is_some() {
                alive.insert(slot(place));
            }
            if (place + 1).is_multiple_of(size) || place + 1 == ids.len() {
                graph.append(&rows)?;
                rows.clear();
            }
        }
        graph.restore_topology(topology)?;
        graph.consolidate(&alive)?;
        graph.topology()
    }

    /// Adds the living, batch by batch.
    fn add(
        &self,
        collection: &Collection,
        ids: &[Option<String>],
        existing: Existing,
        living: usize,
        progress: &mut dyn FnMut(Moved) -> ControlFlow<()>,
    ) -> Result<()> {
        let size = batch_size(self.header.dimension);
        let mut reader = self.reader()?;
        let mut bytes = Vec::new();
        let (mut names, mut rows): (Vec<&str>, Vec<f32>) = (Vec::new(), Vec::new());
        let mut done = 0;
        for id in ids {
            let element = self.next(&mut reader, &mut bytes)?;
            if element.deleted == id.is_some() {
                return Err(refused(self.path, "changed while it was read"));
            }
            let Some(id) = id else { continue };
            names.push(id);
            rows.extend(words(element.vector).map(f32::from_bits));
            done += 1;
            if names.len() == size || done == living {
                put(collection, &names, &rows, existing)?;
                names.clear();
                rows.clear();
                go_on(progress(Moved {
                    done,
                    total: Some(living),
                }))?;
            }
        }
        Ok(())
    }
}

/// Adds rows; those that take the place of others keep their payloads.
fn put(collection: &Collection, ids: &[&str], rows: &[f32], existing: Existing) -> Result<()> {
    let is_new = existing == Existing::Refuse || ids.iter().all(|id| !collection.contains(id));
    if is_new {
        return collection.add_rows_unlinked(ids, rows);
    }
    let rows = rows.chunks_exact(collection.dimension());
    let vectors: Vec<Vector> = ids
        .iter()
        .zip(rows)
        .map(|(id, row)| Vector {
            id: (*id).to_owned(),
            data: row.to_vec(),
            payload: collection.get_vector(id).ok().and_then(|old| old.payload),
        })
        .collect();
    collection.upsert_vectors_batch(&vectors)
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
    keep: bool,
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
            let rows = &mut links[above + 1].rows;
            let start = rows.len();
            take_links(row, rows, path)?;
            if !keep {
                rows.truncate(start);
            }
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

/// A file of ids, one a line; a byte order mark before the first is none of it.
fn read_ids(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(failed(path))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let place = error.valid_up_to();
        refused(path, format!("is no text: byte {place} is not UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(text.lines().map(str::to_owned).collect())
}
