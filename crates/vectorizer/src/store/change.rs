//! Changes: each is one transaction, so that a crash leaves all of it or nothing.

use std::sync::Arc;

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::blocks::{self, Names, next_run, rows_bytes, small};
use super::tables::{
    DEAD, FORMAT, HEADER, Header, INDEXES, Kind, META, NAMES, PAGE_BYTES, PAGE_ROWS, PAYLOADS,
    ROWS, SEAL_BYTES, STATE, Totals, chained, sealed, unseal,
};
use super::{Durability, Inner, OrFailed as _, Store, guarded};
use crate::collection::journal::{Change, Journal};
use crate::error::{Result, VectorizerError};
use crate::models::Payload;

impl Journal for Arc<Store> {
    fn record(&self, change: &Change<'_>) -> Result<()> {
        match *change {
            Change::Put {
                ids,
                rows,
                payloads,
                replaced,
            } => self.put(ids, rows, payloads, replaced),
            Change::Delete { slots } => self.delete(slots),
            Change::SetPayload { slot, payload } => self.set_payload(slot, payload),
            Change::DropDead => self.drop_dead(),
            Change::SetIndexes { keys } => self.set_indexes(keys),
        }
    }
}

impl Store {
    /// New rows (as they were given, end to end) with their ids and, by place, payloads; the rows in the slots of `replaced` die.
    ///
    /// # Errors
    /// [`VectorizerError::StoreFailed`]: nothing of it is done.
    fn put(
        &self,
        ids: &[&str],
        rows: &[f32],
        payloads: &[(usize, Payload)],
        replaced: &[u32],
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let dimension = self.header.dimension;
        let mut ends = Vec::new();
        let first = self.totals().next;
        self.transact(self.durability, |change| {
            let mut at = 0;
            while at < ids.len() {
                let count = next_run(ids.len() - at, dimension);
                change.add_block(
                    first + at as u64,
                    &rows[at * dimension..(at + count) * dimension],
                    &names(&ids[at..at + count]),
                )?;
                at += count;
                ends.push((at, change.totals.chain));
            }
            change.totals.next = first + ids.len() as u64;
            change.kill(replaced)?;
            for (place, payload) in payloads {
                change.set_payload(first + *place as u64, Some(payload))?;
            }
            Ok(())
        })?;
        let mut inner = self.inner.lock();
        let mut start = 0;
        for (end, chain) in ends {
            for place in start..end {
                inner.places.push(first + place as u64);
            }
            inner.places.end_block(chain);
            start = end;
        }
        Ok(())
    }

    /// The rows in these slots die.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn delete(&self, slots: &[u32]) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        self.transact(self.durability, |change| change.kill(slots))
    }

    /// Another payload for the row in `slot`, or none.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn set_payload(&self, slot: u32, payload: Option<&Payload>) -> Result<()> {
        self.transact(self.durability, |change| {
            let sequence = change.sequence(slot)?;
            change.set_payload(sequence, payload)
        })
    }

    /// These fields are indexed from now on, and no others.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn set_indexes(&self, keys: &[String]) -> Result<()> {
        let path = self.path();
        self.transact(self.durability, |change| {
            let json = |error: serde_json::Error| super::failed(path, error.to_string());
            let mut meta = change.write.open_table(META).or_failed(path)?;
            if keys.is_empty() {
                meta.remove(INDEXES).or_failed(path)?;
                change.totals.index_seal = 0;
                return Ok(());
            }
            let body = serde_json::to_vec(keys).map_err(json)?;
            let value = sealed(Kind::Indexes, 0, &body);
            meta.insert(INDEXES, value.as_slice()).or_failed(path)?;
            change.totals.index_seal = seal_of(&value);
            // Programs that do not know of this record are not to lose it.
            let header = Header {
                format: FORMAT,
                ..self.header.clone()
            };
            let body = serde_json::to_vec(&header).map_err(json)?;
            meta.insert(HEADER, sealed(Kind::Header, 0, &body).as_slice())
                .or_failed(path)?;
            Ok(())
        })
    }

    /// Makes what waits durable.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub(crate) fn flush(&self) -> Result<()> {
        if !self.inner.lock().unsynced {
            return Ok(());
        }
        self.transact(Durability::EveryBatch, |_| Ok(()))
    }

    /// One transaction: what `work` does, and the totals that come of it.
    pub(super) fn transact<R>(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R>,
    ) -> Result<R> {
        let path = self.path();
        let mut inner = self.inner.lock();
        let done = guarded(path, || {
            let mut write = inner.database(path)?.begin_write().or_failed(path)?;
            if durability == Durability::OnFlush {
                write
                    .set_durability(redb::Durability::None)
                    .or_failed(path)?;
            }
            let mut change = Transaction {
                store: self,
                inner: &inner,
                write: &write,
                totals: inner.totals,
            };
            let done = work(&mut change);
            let totals = change.totals;
            // What failed half way is taken back as a whole.
            let done = done?;
            write
                .open_table(META)
                .or_failed(path)?
                .insert(STATE, totals.to_value().as_slice())
                .or_failed(path)?;
            write.commit().or_failed(path)?;
            Ok((done, totals))
        });
        match done {
            Ok((done, totals)) => {
                inner.totals = totals;
                inner.unsynced = durability == Durability::OnFlush;
                Ok(done)
            }
            Err(error) => {
                // A disk that failed is redb's to judge. On a file found damaged nothing more is written.
                inner.broken |= matches!(error, VectorizerError::StoreDamaged { .. });
                Err(error)
            }
        }
    }
}

/// A change under way.
pub(super) struct Transaction<'t> {
    pub(super) store: &'t Store,
    pub(super) inner: &'t Inner,
    pub(super) write: &'t WriteTransaction,
    pub(super) totals: Totals,
}

impl Transaction<'_> {
    fn sequence(&self, slot: u32) -> Result<u64> {
        let sequence = self.inner.places.sequence(slot);
        sequence.ok_or_else(|| self.store.damaged(format!("it has no row for slot {slot}")))
    }

    /// A run of rows behind all others.
    pub(super) fn add_block(&mut self, first: u64, rows: &[f32], names: &Names) -> Result<()> {
        let path = self.store.path();
        let dimension = self.store.header.dimension;
        let mut table = self.write.open_table(ROWS).or_failed(path)?;
        let mark = {
            let mut value = table
                .insert_reserve(first, rows_bytes(names.len(), dimension))
                .or_failed(path)?;
            blocks::write_rows(first, rows, dimension, value.as_mut())
        };
        let (names_mark, value) = names.to_value(first);
        self.write
            .open_table(NAMES)
            .or_failed(path)?
            .insert(first, value.as_slice())
            .or_failed(path)?;
        self.totals.blocks += 1;
        self.totals.rows += names.len() as u64;
        self.totals.chain = chained(self.totals.chain, first, mark, names_mark);
        Ok(())
    }

    /// Marks rows as dead, and drops their payloads.
    fn kill(&mut self, slots: &[u32]) -> Result<()> {
        let path = self.store.path();
        let mut sequences = slots
            .iter()
            .map(|slot| self.sequence(*slot))
            .collect::<Result<Vec<u64>>>()?;
        sequences.sort_unstable();
        let mut table = self.write.open_table(DEAD).or_failed(path)?;
        for page in sequences.chunk_by(|a, b| a / PAGE_ROWS == b / PAGE_ROWS) {
            let number = page[0] / PAGE_ROWS;
            let mut bits = self.take_page(&mut table, number)?;
            for sequence in page {
                let place = usize::try_from(sequence % PAGE_ROWS).unwrap_or_default();
                let bit = 1u8 << (place % 8);
                self.totals.dead += u64::from(bits[place / 8] & bit == 0);
                bits[place / 8] |= bit;
            }
            let value = sealed(Kind::Dead, number, &bits);
            self.totals.dead_seals ^= seal_of(&value);
            table.insert(number, value.as_slice()).or_failed(path)?;
        }
        for sequence in sequences {
            self.set_payload(sequence, None)?;
        }
        Ok(())
    }

    /// The bits of a page of dead rows as they were, taken out of the totals.
    fn take_page(
        &mut self,
        table: &mut Table<'_, u64, &'static [u8]>,
        number: u64,
    ) -> Result<[u8; PAGE_BYTES]> {
        let Some(old) = table.get(number).or_failed(self.store.path())? else {
            return Ok([0; PAGE_BYTES]);
        };
        let (mark, body) = unseal(Kind::Dead, number, old.value())
            .ok_or_else(|| self.store.damaged("the checksum of its deletions is wrong"))?;
        self.totals.dead_seals ^= mark;
        body.try_into()
            .map_err(|_| self.store.damaged("its deletions are cut off"))
    }

    fn set_payload(&mut self, sequence: u64, payload: Option<&Payload>) -> Result<()> {
        let path = self.store.path();
        let mut table = self.write.open_table(PAYLOADS).or_failed(path)?;
        let old = match payload {
            Some(payload) => {
                let body = serde_json::to_vec(payload)
                    .map_err(|error| super::failed(path, error.to_string()))?;
                let value = sealed(Kind::Payload, sequence, &body);
                self.totals.payloads += 1;
                self.totals.payload_seals ^= seal_of(&value);
                table.insert(sequence, value.as_slice()).or_failed(path)?
            }
            None => table.remove(sequence).or_failed(path)?,
        };
        if let Some(old) = old {
            self.totals.payloads -= 1;
            self.totals.payload_seals ^= seal_of(old.value());
        }
        Ok(())
    }
}

/// The seal that stands before a value.
pub(super) fn seal_of(value: &[u8]) -> u64 {
    value
        .first_chunk::<SEAL_BYTES>()
        .map_or(0, |seal| u64::from_le_bytes(*seal))
}

fn names(ids: &[&str]) -> Names {
    let mut names = Names::new();
    for (step, id) in ids.iter().enumerate() {
        names.push(small(step), id);
    }
    names
}
