//! The snapshot of a graph: a file that is believed only if every byte of it is what was written, and what it was written for is there.
//!
//! It says which collection it is of, how often rows had been dropped, how many slots it links, and the fingerprint of their
//! rows. Rows that came later do not make it wrong: they are the tail.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;

use memmap2::Mmap;

use super::Store;
use super::tables::{Kind, seal};
use crate::config::MAX_LEVEL;
use crate::engine::cpu::pool::{Pool, Purpose};
use crate::engine::{Entry, Layout, LevelLinks, NO_SLOT};
use crate::error::Result;
use crate::hnsw::Topology;

const MAGIC: &[u8; 8] = b"vz-graph";
/// The version of this file, apart from the store's.
const VERSION: u32 = 1;
/// Each section is sealed in blocks of this size; its last one is shorter.
const BLOCK_BYTES: usize = 1 << 20;
const UUID_BYTES: usize = 32;
/// Before the lengths of the sections.
const HEAD_BYTES: usize = 88;
/// The levels, and the links of each level.
const MOST_SECTIONS: usize = MAX_LEVEL + 2;

/// What a snapshot was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    uuid: String,
    epoch: u64,
    linked: u64,
    chain: u64,
    max_connections: u32,
}

/// What became of the snapshot beside a store.
#[derive(Debug)]
pub(crate) enum GraphFile {
    /// There is none.
    Missing,
    /// It is whole, and not of the rows that are there, and why.
    Stale(String),
    /// Its bytes are not what was written, and why.
    Unusable(String),
    /// The graph over the first rows.
    Good(Topology),
}

impl Store {
    /// The graph, if there is one that fits; to be called after [`Store::read_rows`].
    pub(crate) fn read_graph(&self) -> GraphFile {
        let file = match File::open(self.folder.graph()) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return GraphFile::Missing;
            }
            Err(error) => return GraphFile::Unusable(format!("it cannot be opened: {error}")),
        };
        if !file
            .metadata()
            .is_ok_and(|kind| kind.is_file() && kind.len() > 0)
        {
            return GraphFile::Unusable("it is empty or no file".to_owned());
        }
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
        // SAFETY: the mapping is read-only and read as integers alone, for which every value is valid. Whoever has the store open,
        // and nobody else, replaces this file, and does so by renaming another into its place.
        let map = match unsafe { Mmap::map(&file) } {
            Ok(map) => map,
            Err(error) => return GraphFile::Unusable(format!("it cannot be mapped: {error}")),
        };
        if let Some(version) = other_version(&map) {
            return GraphFile::Stale(format!("it is of format {version}, and {VERSION} is known"));
        }
        match parse(&map) {
            Ok((binding, topology)) => match self.mismatch(&binding) {
                None => GraphFile::Good(topology),
                Some(reason) => GraphFile::Stale(reason.to_owned()),
            },
            Err(reason) => GraphFile::Unusable(reason),
        }
    }

    /// Why a snapshot is not of this store.
    fn mismatch(&self, binding: &Binding) -> Option<&'static str> {
        let inner = self.inner.lock();
        let linked = usize::try_from(binding.linked).unwrap_or(usize::MAX);
        if binding.uuid != self.header.uuid {
            Some("it is of another collection")
        } else if binding.epoch != inner.totals.epoch {
            Some("it is from before rows were dropped")
        } else if linked > inner.places.len() {
            Some("it links rows that are not there")
        } else if inner.places.chain(linked) != Some(binding.chain) {
            Some("it was built over other rows")
        } else if binding.max_connections as usize != self.header.hnsw.max_connections {
            Some("its rows of links are of another width")
        } else {
            None
        }
    }

    /// How many slots the snapshot says that it links; `None` if there is none with a sound header that is of this store. It is not compared
    /// with the rows.
    pub(super) fn graph_file_links(&self) -> Option<u64> {
        let mut file = File::open(self.folder.graph()).ok()?;
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        // A header says how long it is: more than this only where a graph has more than 10^9 links.
        let mut head = Vec::new();
        file.by_ref().take(1 << 16).read_to_end(&mut head).ok()?;
        let binding = parse_head(&head, size).ok()?.binding;
        let ours = binding.uuid == self.header.uuid && binding.epoch == self.totals().epoch;
        ours.then_some(binding.linked)
    }

    /// Takes the snapshot of a graph away that links nothing any more.
    ///
    /// # Errors
    /// The disk refused.
    pub(crate) fn remove_graph(&self) -> Result<()> {
        // See below.
        self.flush()?;
        self.folder.remove_graph()
    }

    /// Writes the graph beside the store, whole or not at all. The store knows all rows that it links.
    ///
    /// # Errors
    /// The disk refused; what was there before is still there.
    pub(crate) fn write_graph(&self, topology: &Topology) -> Result<()> {
        // The file that is there is of rows that are on the disk. It makes room for one of which that is true as well: else a crash would
        // leave neither.
        self.flush()?;
        let binding = {
            let inner = self.inner.lock();
            Binding {
                uuid: self.header.uuid.clone(),
                epoch: inner.totals.epoch,
                linked: topology.levels.len() as u64,
                chain: inner
                    .places
                    .chain(topology.levels.len())
                    .ok_or_else(|| self.damaged("the graph links more rows than it has"))?,
                max_connections: super::blocks::small(self.header.hnsw.max_connections),
            }
        };
        let sections = sections(topology);
        let head = head(&binding, topology.entry, &sections);
        let mut parts = vec![head.as_slice()];
        parts.extend(sections.iter().map(|section| &**section));
        self.folder.write_whole(&self.folder.graph(), &parts)
    }
}

/// The levels, then the links of each level.
fn sections(topology: &Topology) -> Vec<Cow<'_, [u8]>> {
    let links = topology.links.iter().map(|level| bytes(&level.rows));
    std::iter::once(Cow::Borrowed(topology.levels.as_slice()))
        .chain(links)
        .collect()
}

fn bytes(numbers: &[u32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(numbers))
    } else {
        Cow::Owned(
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
        )
    }
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    let numbers = bytes.as_chunks::<4>().0.iter();
    numbers.map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

fn head(binding: &Binding, entry: Option<Entry>, sections: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend(super::blocks::small(sections.len()).to_le_bytes());
    head.extend(binding.uuid.as_bytes());
    for number in [binding.epoch, binding.linked, binding.chain] {
        head.extend(number.to_le_bytes());
    }
    let entry = entry.map_or([NO_SLOT, 0], |entry| {
        [entry.slot, super::blocks::small(entry.level)]
    });
    for number in [entry[0], entry[1], binding.max_connections, 0] {
        head.extend(number.to_le_bytes());
    }
    debug_assert_eq!(head.len(), HEAD_BYTES, "the head has another size");
    for section in sections {
        head.extend((section.len() as u64).to_le_bytes());
    }
    let blocks: Vec<&[u8]> = sections
        .iter()
        .flat_map(|section| section.chunks(BLOCK_BYTES))
        .collect();
    for mark in seals_of(&blocks) {
        head.extend(mark.to_le_bytes());
    }
    let mark = seal(Kind::GraphHeader, 0, &head);
    head.extend(mark.to_le_bytes());
    head
}

/// The seal of each block, by all cores.
fn seals_of(blocks: &[&[u8]]) -> Vec<u64> {
    let mut seals = vec![0; blocks.len()];
    let turns = blocks.iter().zip(&mut seals).enumerate().collect();
    Pool::new(0, Purpose::Build).work(
        turns,
        || (),
        |(), (number, (block, to))| *to = seal(Kind::GraphBlock, number as u64, block),
    );
    seals
}

/// Takes numbers from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("it is cut off")?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*taken))
    }

    fn u64(&mut self) -> Result<u64, String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("it is cut off")?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*taken))
    }
}

/// A header that is what was written.
struct Head<'a> {
    binding: Binding,
    entry: Option<Entry>,
    lengths: Vec<usize>,
    /// Of each block of each section.
    seals: &'a [[u8; 8]],
    /// The sections, one after the other.
    rest: &'a [u8],
}

/// The version of a snapshot that this one does not know.
fn other_version(file: &[u8]) -> Option<u32> {
    let mut cursor = Cursor(file);
    let ours = cursor.bytes(MAGIC.len()).ok()? == MAGIC;
    cursor
        .u32()
        .ok()
        .filter(|version| ours && *version != VERSION)
}

/// Reads the header of a file of `size` bytes from its beginning.
fn parse_head(file: &[u8], size: usize) -> Result<Head<'_>, String> {
    let mut cursor = Cursor(file);
    if cursor.bytes(MAGIC.len())? != MAGIC {
        return Err("it is no graph's file".to_owned());
    }
    let version = cursor.u32()?;
    if version != VERSION {
        return Err(format!("it is of format {version}, and {VERSION} is known"));
    }
    let count = cursor.u32()? as usize;
    if !(1..=MOST_SECTIONS).contains(&count) {
        return Err(format!("it has {count} sections"));
    }
    let uuid = String::from_utf8_lossy(cursor.bytes(UUID_BYTES)?).into_owned();
    let [epoch, linked, chain] = [cursor.u64()?, cursor.u64()?, cursor.u64()?];
    let [slot, level, max_connections, _] =
        [cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?];
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(cursor.u64()?).ok();
        lengths.push(
            length
                .filter(|length| *length <= size)
                .ok_or("it is cut off")?,
        );
    }
    let blocks: usize = lengths
        .iter()
        .map(|length| length.div_ceil(BLOCK_BYTES))
        .sum();
    let seals = cursor.bytes(8 * blocks)?;
    let head = &file[..file.len() - cursor.0.len()];
    if cursor.u64()? != seal(Kind::GraphHeader, 0, head) {
        return Err("the checksum of its header is wrong".to_owned());
    }
    Ok(Head {
        binding: Binding {
            uuid,
            epoch,
            linked,
            chain,
            max_connections,
        },
        entry: (slot != NO_SLOT).then_some(Entry {
            slot,
            level: level as usize,
        }),
        lengths,
        seals: seals.as_chunks().0,
        rest: cursor.0,
    })
}

/// The graph in the bytes of a snapshot, and what it was made for. Takes no more memory than the file has bytes.
fn parse(file: &[u8]) -> Result<(Binding, Topology), String> {
    let head = parse_head(file, file.len())?;
    let mut cursor = Cursor(head.rest);
    let mut sections = Vec::with_capacity(head.lengths.len());
    for length in &head.lengths {
        sections.push(cursor.bytes(*length)?);
    }
    if !cursor.0.is_empty() {
        return Err("something stands behind its end".to_owned());
    }
    let blocks: Vec<&[u8]> = sections
        .iter()
        .flat_map(|section| section.chunks(BLOCK_BYTES))
        .collect();
    let said = head.seals.iter().map(|said| u64::from_le_bytes(*said));
    if !seals_of(&blocks).into_iter().eq(said) {
        return Err("the checksum of a block is wrong".to_owned());
    }
    if sections[0].len() as u64 != head.binding.linked {
        return Err("its levels are not those of its slots".to_owned());
    }
    let layout = Layout {
        dimension: 1,
        scoring: crate::engine::Scoring::NegativeDot,
        max_connections: head.binding.max_connections as usize,
        precision: crate::config::Precision::F32,
        full_rows: crate::config::FullRows::Device,
    };
    let links = sections[1..]
        .iter()
        .enumerate()
        .map(|(level, section)| LevelLinks {
            degree: layout.degree(level),
            rows: numbers(section),
        });
    let topology = Topology {
        levels: sections[0].to_vec(),
        entry: head.entry,
        links: links.collect(),
    };
    Ok((head.binding, topology))
}

/// No bytes may make reading a snapshot do anything but say that they are none, or give a graph that can be checked and walked.
#[cfg(fuzzing)]
#[expect(clippy::panic, reason = "this is how a fuzzer is told")]
pub(super) fn fuzz(bytes: &[u8]) {
    use crate::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};

    const MOST: usize = 64;
    let Ok((binding, topology)) = parse(bytes) else {
        return;
    };
    let count = topology.levels.len();
    if !(1..=MOST).contains(&count) {
        return;
    }
    let hnsw = HnswConfig {
        max_connections: binding.max_connections as usize,
        ..HnswConfig::default()
    };
    let options = CollectionOptions {
        hnsw,
        threads: 1,
        ..CollectionOptions::default()
    };
    let metric = crate::models::DistanceMetric::Euclidean;
    let context = crate::gpu::context::Context::cpu();
    let Ok(mut graph) = crate::hnsw::HnswGraph::new(&context, 1, metric, options) else {
        return;
    };
    let rows: Vec<f32> = (0..MOST).map(|row| row as f32).collect();
    let search = SearchOptions {
        path: SearchPath::Graph,
        ..SearchOptions::default()
    };
    if graph.append(&rows[..count]).is_err() || graph.restore_topology(topology).is_err() {
        return;
    }
    // Whoever writes good seals can write a graph in which not all can be reached; it is walked all the same.
    drop(graph.check());
    if graph.search(&[3.0], 2, &search).is_err() {
        panic!("a graph was taken that cannot be searched");
    }
}
