//! A second collection from a moment of this one, while this one goes on.

use std::path::Path;

use redb::{Database, ReadTransaction, ReadableTable as _};

use super::files::{Folder, random_uuid};
use super::places::Places;
use super::tables::{
    DEAD, FORMAT, HEADER, Header, INDEXES, Kind, META, NAMES, PAYLOADS, ROWS, STATE, Totals, sealed,
};
use super::{Durability, Handle, OrFailed as _, Store, failed, guarded};
use crate::error::Result;
use crate::hnsw::Topology;

/// The store as it was when this was made. What is written afterwards is not in it.
pub(crate) struct Moment {
    read: ReadTransaction,
    header: Header,
    totals: Totals,
    places: Places,
}

impl Store {
    /// The store as it is now. While it lives, the file keeps room for it.
    ///
    /// # Errors
    /// [`StoreFailed`](crate::error::VectorizerError::StoreFailed)
    pub(crate) fn moment(&self) -> Result<Moment> {
        let read = self.read()?;
        let inner = self.inner.lock();
        let mut header = self.header.clone();
        if inner.totals.index_seal != 0 {
            header.format = FORMAT;
        }
        Ok(Moment {
            read,
            header,
            totals: inner.totals,
            places: inner.places.clone(),
        })
    }
}

impl Moment {
    /// Writes a collection to `path`, with the graph over its first rows. It appears there whole or not at all.
    ///
    /// # Errors
    /// [`StoreExists`](crate::error::VectorizerError::StoreExists), or the disk refused.
    pub(crate) fn write_to(self, path: &Path, topology: &Topology) -> Result<()> {
        let folder = Folder::make(path)?;
        let path = folder.path();
        let header = Header {
            uuid: random_uuid(path)?,
            ..self.header.clone()
        };
        let database = guarded(path, || folder.begin_unfinished())?;
        let handle = match guarded(path, || self.fill(&database, &header, path)) {
            Ok(()) => Handle::Writing(database),
            Err(error) => {
                drop(folder.guard_unfinished());
                return Err(error);
            }
        };
        let copy = Store::with_handle(folder.clone(), handle, Durability::EveryBatch)?;
        copy.inner.lock().places = self.places;
        let unfinished = folder.guard_unfinished();
        if topology.levels.is_empty() {
            folder.remove_graph()?;
        } else {
            copy.write_graph(topology)?;
        }
        // Locked until it has its name: of two who copy to one folder one does.
        unfinished.finish()?;
        copy.close()
    }

    fn fill(&self, database: &Database, header: &Header, path: &Path) -> Result<()> {
        let write = database.begin_write().or_failed(path)?;
        {
            let mut meta = write.open_table(META).or_failed(path)?;
            let body =
                serde_json::to_vec(header).map_err(|error| failed(path, error.to_string()))?;
            meta.insert(HEADER, sealed(Kind::Header, 0, &body).as_slice())
                .or_failed(path)?;
            meta.insert(STATE, self.totals.to_value().as_slice())
                .or_failed(path)?;
            let original = self.read.open_table(META).or_failed(path)?;
            if let Some(indexes) = original.get(INDEXES).or_failed(path)? {
                meta.insert(INDEXES, indexes.value()).or_failed(path)?;
            }
            for name in [ROWS, NAMES, PAYLOADS, DEAD] {
                let mut table = write.open_table(name).or_failed(path)?;
                for entry in self
                    .read
                    .open_table(name)
                    .or_failed(path)?
                    .iter()
                    .or_failed(path)?
                {
                    let (key, value) = entry.or_failed(path)?;
                    table.insert(key.value(), value.value()).or_failed(path)?;
                }
            }
        }
        write.commit().or_failed(path)
    }
}
