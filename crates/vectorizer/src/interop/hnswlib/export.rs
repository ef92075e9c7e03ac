//! Out: vectors, labels and the graph, as they are.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::DELETED;
use crate::collection::{Collection, Frozen};
use crate::engine::{LevelLinks, NO_SLOT, slot};
use crate::error::Result;
use crate::interop::{Moved, Pair, batch_size, check_ids, go_on, ids_beside, write_ids};

/// What went out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Vectors.
    pub vectors: usize,
    /// The file of ids, if ids are not numbers.
    pub ids: Option<PathBuf>,
}

/// Writes vectors, labels and the graph. What is not linked yet is linked first, and the deleted are taken out; of a collection that was opened to be
/// read they go along, marked as hnswlib marks them. If all ids are numbers, a file of ids of an older export goes away.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`FileRefused`](crate::error::VectorizerError::FileRefused) for a folder or an id with a
/// line break, [`WouldOverwrite`](crate::error::VectorizerError::WouldOverwrite) for a collection's file,
/// [`Cancelled`](crate::error::VectorizerError::Cancelled), no room, or the device failed; what was there before, vectors and ids, is still there.
pub fn export(
    collection: &Collection,
    path: impl AsRef<Path>,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<Exported> {
    // Others may add between linking and holding still.
    let frozen = loop {
        collection.link_all()?;
        let frozen = collection.freeze()?;
        if frozen.graph().linked() == frozen.graph().len() {
            break frozen;
        }
    };
    write(&frozen, path.as_ref(), &mut progress)
}

/// What is linked, as it is.
pub(super) fn write(
    frozen: &Frozen<'_>,
    path: &Path,
    progress: &mut dyn FnMut(Moved) -> ControlFlow<()>,
) -> Result<Exported> {
    let topology = frozen.graph().topology_with_copies()?;
    let config = frozen.graph().config();
    let (count, dimension) = (topology.levels.len(), frozen.graph().dimension());
    let numbered = frozen.alive().all(|(_, id)| label_of(id).is_some());
    let beside = ids_beside(path);
    if !numbered {
        check_ids(frozen, &beside)?;
    }
    let mut pair = Pair::create(path, &beside, !numbered)?;
    let out = pair.main();
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
    let ids = match pair.beside() {
        Some(ids) => {
            write_ids(frozen, ids)?;
            Some(beside)
        }
        None => None,
    };
    pair.finish()?;
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
pub(super) fn label_of(id: &str) -> Option<u64> {
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
