//! What can still be read of a store, value by value: a damaged one costs itself and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hashbrown::HashSet;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, TableDefinition};

use super::blocks::{self, Names};
use super::files::Folder;
use super::load::{dead_of, indexes_of, payload_of};
use super::tables::{
    DEAD, HEADER, Header, INDEXES, Kind, META, NAMES, PAYLOADS, ROWS, STATE, Totals, unseal,
};
use super::{OrFailed as _, builder, damaged, guarded, parse_header, shown};
use crate::error::{Result, VectorizerError};
use crate::models::{Payload, Vector};

const MISSING: &str = "it is missing";

type Values = ReadOnlyTable<u64, &'static [u8]>;

/// What was copied out of a damaged collection, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The folder of the damaged collection.
    pub path: String,
    /// The folder of the new one.
    pub to: String,
    /// Vectors that were copied.
    pub vectors: u64,
    /// Of these, vectors with their payload.
    pub payloads: u64,
    /// How many vectors there were, if the store can still say so.
    pub expected_vectors: Option<u64>,
    /// What was lost, in sentences; nothing if all was copied.
    pub lost: Vec<String>,
    /// Payloads that were read but cannot be kept. Their vectors were copied without them.
    pub lost_payloads: Vec<LostPayload>,
}

/// A payload that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LostPayload {
    /// Whose it was.
    pub id: String,
    /// Why it cannot be kept.
    pub reason: String,
    /// Its text as it was stored; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// A store that is read past its damage.
pub(crate) struct Wreck {
    path: PathBuf,
    /// Held while it is read.
    _database: Database,
    read: ReadTransaction,
    header: Header,
    dead: HashSet<u64>,
    report: SalvageReport,
}

impl Wreck {
    /// The store in `path`.
    ///
    /// # Errors
    /// [`VectorizerError::StoreMissing`], [`VectorizerError::StoreInUse`], [`VectorizerError::UnsupportedFormat`],
    /// [`VectorizerError::StoreDamaged`] where not even its header can be read, or the disk refused.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = Folder::of(path)?;
        if !folder.database().is_file() {
            return Err(VectorizerError::StoreMissing { path: shown(path) });
        }
        let (database, read, header, totals) = guarded(path, || {
            let database = builder().open(folder.database()).or_failed(path)?;
            let read = database.begin_read().or_failed(path)?;
            let meta = read.open_table(META).or_failed(path)?;
            let record = meta.get(HEADER).or_failed(path)?;
            let record = record.ok_or_else(|| damaged(path, "its header is missing"))?;
            let header = parse_header(record.value(), path)?;
            let totals = meta.get(STATE).ok().flatten();
            let totals = totals.and_then(|totals| Totals::from_value(totals.value()));
            drop(record);
            drop(meta);
            Ok((database, read, header, totals))
        })?;
        let mut wreck = Self {
            path: path.to_owned(),
            _database: database,
            read,
            header,
            dead: HashSet::new(),
            report: SalvageReport {
                path: shown(path),
                expected_vectors: totals.map(|totals| totals.rows.saturating_sub(totals.dead)),
                ..SalvageReport::default()
            },
        };
        wreck.read_dead();
        Ok(wreck)
    }

    /// What the collection is.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The fields that were indexed, as far as that can be read.
    pub(crate) fn indexes(&mut self) -> Vec<String> {
        let path = self.path.clone();
        let keys = guarded(&path, || {
            let meta = self.read.open_table(META).or_failed(&path)?;
            let Some(record) = meta.get(INDEXES).or_failed(&path)? else {
                return Ok(Vec::new());
            };
            let keys = indexes_of(record.value()).map(|(_, keys)| keys);
            keys.ok_or_else(|| damaged(&path, "its record of indexes"))
        });
        keys.unwrap_or_else(|_| {
            self.lose("which fields of payloads were indexed");
            Vec::new()
        })
    }

    /// Hands on the vectors of every block that can be read, in the order of insertion; what cannot be read goes into the report.
    ///
    /// # Errors
    /// Those of `take`.
    pub(crate) fn vectors(
        &mut self,
        mut take: impl FnMut(Vec<Vector>) -> Result<()>,
    ) -> Result<()> {
        let mut firsts = self.keys(ROWS, "rows");
        firsts.extend(self.keys(NAMES, "ids"));
        for first in firsts {
            let names = match self.names(first) {
                Ok(names) => names,
                Err(reason) => {
                    self.lose(format!(
                        "the ids, and so the vectors, of the block of row {first}: {reason}"
                    ));
                    continue;
                }
            };
            let rows = match self.rows(first, names.len()) {
                Ok(rows) => rows,
                Err(reason) => {
                    let ids = names.iter().filter(|(step, _)| !self.is_dead(first, *step));
                    let ids: Vec<String> = ids.map(|(_, id)| format!("{id:?}")).collect();
                    self.lose(format!("the vectors of {}: {reason}", ids.join(", ")));
                    continue;
                }
            };
            let mut vectors = Vec::with_capacity(names.len());
            for ((step, id), row) in names.iter().zip(rows.chunks_exact(self.header.dimension)) {
                if self.is_dead(first, step) {
                    continue;
                }
                vectors.push(Vector {
                    id: id.to_owned(),
                    data: row.to_vec(),
                    payload: self.payload(first + u64::from(step), id),
                });
            }
            take(vectors)?;
        }
        Ok(())
    }

    /// What was copied and what was lost.
    pub(crate) fn report(self, to: &Path, vectors: usize) -> SalvageReport {
        SalvageReport {
            to: shown(to),
            vectors: vectors as u64,
            ..self.report
        }
    }

    fn lose(&mut self, what: impl Into<String>) {
        self.report.lost.push(what.into());
    }

    fn is_dead(&self, first: u64, step: u32) -> bool {
        self.dead.contains(&(first + u64::from(step)))
    }

    fn table(&self, table: TableDefinition<'static, u64, &'static [u8]>) -> Result<Values> {
        self.read.open_table(table).or_failed(&self.path)
    }

    /// The keys of a table: from its beginning up to where it is damaged, and from its end down to there.
    fn keys(
        &mut self,
        table: TableDefinition<'static, u64, &'static [u8]>,
        what: &str,
    ) -> BTreeSet<u64> {
        let mut keys = BTreeSet::new();
        let path = self.path.clone();
        for backward in [false, true] {
            let read = guarded(&path, || {
                let table = self.table(table)?;
                let mut range = table.range::<u64>(..).or_failed(&path)?;
                loop {
                    let entry = if backward {
                        range.next_back()
                    } else {
                        range.next()
                    };
                    let Some(entry) = entry else { return Ok(()) };
                    keys.insert(entry.or_failed(&path)?.0.value());
                }
            });
            match read {
                Ok(()) => break,
                Err(error) if backward => self.lose(format!("some {what}: {error}")),
                Err(_) => {}
            }
        }
        keys
    }

    fn value(
        &self,
        table: TableDefinition<'static, u64, &'static [u8]>,
        key: u64,
    ) -> Result<Option<Vec<u8>>, String> {
        let value = guarded(&self.path, || {
            let value = self.table(table)?.get(key).or_failed(&self.path)?;
            Ok(value.map(|value| value.value().to_vec()))
        });
        value.map_err(|error| error.to_string())
    }

    fn names(&self, first: u64) -> Result<Names, String> {
        let value = self.value(NAMES, first)?.ok_or(MISSING)?;
        let (_, names) = Names::from_value(first, &value)?;
        Ok(names)
    }

    fn rows(&self, first: u64, count: usize) -> Result<Vec<f32>, String> {
        let value = self.value(ROWS, first)?.ok_or(MISSING)?;
        let dimension = self.header.dimension;
        let (_, rows) = blocks::read_rows(first, &value, dimension)?;
        if rows.len() == count * dimension {
            Ok(rows.into_owned())
        } else {
            Err("ids and rows do not match".to_owned())
        }
    }

    fn read_dead(&mut self) {
        for page in self.keys(DEAD, "deletions") {
            let value = self.value(DEAD, page).ok().flatten();
            match value.and_then(|value| dead_of(page, &value)) {
                Some((_, sequences)) => self.dead.extend(sequences),
                None => self.lose("some deletions: what they deleted is there again"),
            }
        }
    }

    /// A payload that can be kept.
    fn payload(&mut self, sequence: u64, id: &str) -> Option<Payload> {
        let value = match self.value(PAYLOADS, sequence) {
            Ok(Some(value)) => value,
            Ok(None) => return None,
            Err(reason) => {
                self.lose(format!("the payload of {id:?}: {reason}"));
                return None;
            }
        };
        let Some((_, body)) = unseal(Kind::Payload, sequence, &value) else {
            self.lose(format!("the payload of {id:?}: its checksum is wrong"));
            return None;
        };
        let kept = payload_of(body)
            .and_then(|payload| payload.admit(id).map_err(|error| error.to_string()));
        match kept {
            Ok(payload) => {
                self.report.payloads += 1;
                Some(payload)
            }
            Err(reason) => {
                self.report.lost_payloads.push(LostPayload {
                    id: id.to_owned(),
                    reason,
                    text: String::from_utf8_lossy(body).into_owned(),
                });
                None
            }
        }
    }
}
