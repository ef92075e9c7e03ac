//! Every seal and every rule of a collection on disk, without changing anything that callers see.

use std::path::Path;

use hashbrown::HashSet;

use super::files::Folder;
use super::{Durability, GraphFile, Handle, OrFailed as _, Store, backend, guarded, shown};
use crate::config::{CollectionOptions, FullRows, HnswConfig, Precision};
use crate::error::{Result, VectorizerError};
use crate::gpu::context::Context;
use crate::hnsw::HnswGraph;
use crate::models::DistanceMetric;

/// What a check of a collection's files found.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// The folder.
    pub path: String,
    /// Vectors that can be found.
    pub vectors: u64,
    /// Deleted and replaced ones that still take room.
    pub dead: u64,
    /// Vectors with a payload.
    pub payloads: u64,
    /// How many vectors the graph's file links; `None` if there is no such file: opening builds the graph.
    pub linked: Option<u64>,
    /// Damage, in sentences; nothing if all is well.
    pub problems: Vec<String>,
    /// What is no damage: what the next opening for writing builds again, in sentences.
    pub will_be_rebuilt: Vec<String>,
}

/// What a collection on disk is and holds, by what its store says of itself.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// The folder.
    pub path: String,
    /// The version of the store's format.
    pub format: u32,
    /// Tells this collection from all others.
    pub uuid: String,
    /// Components of a vector.
    pub dimension: usize,
    /// How nearness is measured.
    pub metric: DistanceMetric,
    /// The graph's parameters.
    pub hnsw: HnswConfig,
    /// Seeds the levels.
    pub seed: u64,
    /// The form of the vectors that walks through the graph compare.
    pub precision: Precision,
    /// Where the vectors themselves are kept, on a GPU, if opening says nothing else.
    pub full_rows: FullRows,
    /// Vectors that can be found.
    pub vectors: u64,
    /// Deleted and replaced ones that still take room.
    pub dead: u64,
    /// Vectors with a payload.
    pub payloads: u64,
    /// The fields of payloads that are indexed.
    pub payload_indexes: Vec<String>,
    /// How often dead vectors have been dropped.
    pub epoch: u64,
    /// How many vectors the graph's file links; `None` without one.
    pub linked: Option<u64>,
    /// Bytes of the store's file.
    pub store_bytes: u64,
    /// Bytes of the graph's file.
    pub graph_bytes: u64,
}

/// Reads what the store in `path` says of itself, and no vectors.
pub(crate) fn describe(path: &Path) -> Result<StoreStats> {
    let store = match Store::open_read_only(path) {
        // To be read it has to be repaired first.
        Err(not_closed @ VectorizerError::StoreNotClosed { .. }) => {
            match Store::open(path, Durability::EveryBatch) {
                Err(VectorizerError::StoreReadOnly { .. }) => return Err(not_closed),
                opened => opened?,
            }
        }
        opened => opened?,
    };
    let (header, totals) = (store.header().clone(), store.totals());
    let (store_bytes, graph_bytes) = store.file_bytes();
    let linked = store.graph_file_links();
    let payload_indexes = store.read_indexes()?;
    store.close()?;
    Ok(StoreStats {
        path: shown(path),
        format: header.format,
        uuid: header.uuid,
        dimension: header.dimension,
        metric: header.metric,
        hnsw: header.hnsw,
        seed: header.seed,
        precision: header.precision,
        full_rows: header.full_rows,
        vectors: totals.rows.saturating_sub(totals.dead),
        dead: totals.dead,
        payloads: totals.payloads,
        payload_indexes,
        epoch: totals.epoch,
        linked,
        store_bytes,
        graph_bytes,
    })
}

/// Checks the files in `path`: redb's pages, every seal, the totals, that ids are unique and payloads are of the living, the graph's
/// file, and that the graph keeps its rules. Takes the memory and about the time of opening the collection on the CPU.
pub(crate) fn check(path: &Path) -> Result<CheckReport> {
    let mut report = CheckReport {
        path: shown(path),
        ..CheckReport::default()
    };
    match examine(path, &mut report) {
        Ok(()) => {}
        // What stops a check without being found by it.
        Err(
            error @ (VectorizerError::StoreMissing { .. }
            | VectorizerError::StoreInUse { .. }
            | VectorizerError::StoreFailed { .. }
            | VectorizerError::StoreReadOnly { .. }
            | VectorizerError::StoreNotClosed { .. }
            | VectorizerError::UnsupportedFormat { .. }
            | VectorizerError::BufferAllocationFailed),
        ) => return Err(error),
        Err(error) => report.problems.push(error.to_string()),
    }
    Ok(report)
}

fn examine(path: &Path, report: &mut CheckReport) -> Result<()> {
    let folder = Folder::with_a_store(path)?;
    let path = folder.path();
    let opened = guarded(path, || {
        let mut database = backend::open(&folder.database(), path)?;
        let sound = database.check_integrity().or_failed(path)?;
        Ok((database, sound))
    });
    let store = match opened {
        Ok((database, sound)) => {
            if !sound {
                let mended = "the store's pages were damaged, and redb has mended what it could";
                report.problems.push(mended.to_owned());
            }
            let handle = Handle::Writing(database);
            Store::with_handle(folder, handle, Durability::EveryBatch)?
        }
        // redb's check mends what it finds. Every value is held against its checksum all the same.
        Err(VectorizerError::StoreReadOnly { .. }) => Store::open_read_only(path)?,
        Err(error) => return Err(error),
    };
    let header = store.header();
    let options = CollectionOptions {
        hnsw: header.hnsw,
        seed: header.seed,
        precision: header.precision,
        ..CollectionOptions::default()
    };
    let mut graph = HnswGraph::new(&Context::cpu(), header.dimension, header.metric, options)?;
    let mut ids: Vec<String> = Vec::new();
    store.read_rows(|group| {
        graph.append_stored(group.rows())?;
        ids.extend(group.ids().map(str::to_owned));
        Ok(())
    })?;
    let mut alive = vec![true; ids.len()];
    for slot in store.read_dead()? {
        alive[slot as usize] = false;
    }
    let mut seen = HashSet::with_capacity(ids.len());
    let living = ids.iter().zip(&alive).filter(|(_, alive)| **alive);
    for (id, _) in living {
        if !seen.insert(id.as_str()) {
            report.problems.push(format!("id {id:?} is there twice"));
        }
    }
    report.vectors = seen.len() as u64;
    report.dead = (ids.len() - alive.iter().filter(|alive| **alive).count()) as u64;
    store.read_payloads(|slot, payload| {
        report.payloads += 1;
        if let Err(reason) = payload {
            let problem = format!(
                "the payload of {:?} cannot be read: {reason}; the vector is found without it: set another, or salvage the collection",
                ids[slot as usize]
            );
            report.problems.push(problem);
        }
        if !alive[slot as usize] {
            let problem = format!(
                "the payload of {:?}, which was deleted, is still there",
                ids[slot as usize]
            );
            report.problems.push(problem);
        }
    })?;
    store.read_indexes()?;
    match store.read_graph() {
        GraphFile::Missing => {}
        GraphFile::Stale(reason) => report
            .will_be_rebuilt
            .push(format!("the graph: its file is out of date, {reason}")),
        GraphFile::Unusable(reason) => report
            .problems
            .push(format!("the graph's file cannot be used: {reason}")),
        GraphFile::Good(topology) => {
            report.linked = Some(topology.levels.len() as u64);
            let restored = graph
                .restore_topology(topology)
                .and_then(|()| graph.check());
            if let Err(error) = restored {
                report
                    .problems
                    .push(format!("in the graph's file, {error}"));
            }
        }
    }
    store.close()
}
