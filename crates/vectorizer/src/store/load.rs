//! Everything read back in order. Nothing of it is believed before its seal is seen, and the whole is held against the totals.

use redb::{AccessGuard, Range, ReadTransaction};

use super::blocks::{self, Names};
use super::places::Places;
use super::tables::{
    DEAD, INDEXES, Kind, META, NAMES, PAGE_BYTES, PAGE_ROWS, PAYLOADS, ROWS, Totals, chained,
    unseal,
};
use super::{OrFailed as _, Store, guarded};
use crate::engine::cpu::pool;
use crate::error::Result;
use crate::json;
use crate::models::Payload;

/// Numbers handed on at a time: enough to keep a device busy, little enough to be held twice.
const GROUP_VALUES: usize = 4 << 20;

/// Some blocks: the ids of their rows, and the rows end to end.
#[derive(Debug, Default)]
pub(crate) struct Group {
    names: Vec<Names>,
    rows: Vec<f32>,
}

impl Group {
    /// The ids, in the order of the rows.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .flat_map(|names| names.iter().map(|(_, id)| id))
    }

    /// The rows as they were given.
    pub(crate) fn rows(&self) -> &[f32] {
        &self.rows
    }
}

/// The two tables of rows, side by side.
struct Blocks {
    rows: Range<'static, u64, &'static [u8]>,
    names: Range<'static, u64, &'static [u8]>,
    seen: Totals,
    places: Places,
}

type Entry = (
    AccessGuard<'static, u64>,
    AccessGuard<'static, &'static [u8]>,
);

impl Store {
    /// Reads all rows, the dead ones too, and hands them on in groups: while one is taken, the next is read.
    ///
    /// # Errors
    /// [`VectorizerError::StoreDamaged`](crate::error::VectorizerError::StoreDamaged), those of `take`, or the disk refused.
    pub(crate) fn read_rows(
        &self,
        mut take: impl FnMut(&Group) -> Result<()> + Send,
    ) -> Result<()> {
        let totals = self.totals();
        let mut blocks = self.blocks(&self.read()?)?;
        let (mut current, mut next) = (Group::default(), Group::default());
        self.fill(&mut blocks, &mut current)?;
        while !current.names.is_empty() {
            let (filled, taken) =
                pool::beside(|| self.fill(&mut blocks, &mut next), || take(&current));
            taken?;
            filled?;
            std::mem::swap(&mut current, &mut next);
        }
        let Blocks { seen, places, .. } = blocks;
        let complete =
            seen.blocks == totals.blocks && seen.rows == totals.rows && seen.chain == totals.chain;
        if !complete || seen.next > totals.next {
            return Err(self.damaged(format!(
                "{} rows in {} blocks were read, and {} in {} were written",
                seen.rows, seen.blocks, totals.rows, totals.blocks
            )));
        }
        self.inner.lock().places = places;
        Ok(())
    }

    /// The slots of the dead; to be called after [`Store::read_rows`].
    ///
    /// # Errors
    /// As [`Store::read_rows`].
    pub(crate) fn read_dead(&self) -> Result<Vec<u32>> {
        let path = self.path();
        let read = self.read()?;
        guarded(path, || {
            let inner = self.inner.lock();
            let mut dead = Vec::new();
            let mut seals = 0;
            for entry in read
                .open_table(DEAD)
                .or_failed(path)?
                .range::<u64>(..)
                .or_failed(path)?
            {
                let (page, value) = entry.or_failed(path)?;
                let (mark, sequences) = dead_of(page.value(), value.value())
                    .ok_or_else(|| self.damaged("the checksum of its deletions is wrong"))?;
                seals ^= mark;
                for sequence in sequences {
                    let slot = inner.places.slot(sequence);
                    dead.push(
                        slot.ok_or_else(|| self.damaged("a row is deleted that is not there"))?,
                    );
                }
            }
            if (dead.len() as u64, seals) != (inner.totals.dead, inner.totals.dead_seals) {
                return Err(self.damaged("deletions are missing"));
            }
            Ok(dead)
        })
    }

    /// Hands on every payload with its slot, or why that payload cannot be read; to be called after [`Store::read_rows`].
    ///
    /// # Errors
    /// As [`Store::read_rows`].
    pub(crate) fn read_payloads(
        &self,
        mut take: impl FnMut(u32, Result<Payload, String>),
    ) -> Result<()> {
        let path = self.path();
        let read = self.read()?;
        guarded(path, || {
            let inner = self.inner.lock();
            let (mut count, mut seals) = (0, 0);
            for entry in read
                .open_table(PAYLOADS)
                .or_failed(path)?
                .range::<u64>(..)
                .or_failed(path)?
            {
                let (sequence, value) = entry.or_failed(path)?;
                let (mark, body) = unseal(Kind::Payload, sequence.value(), value.value())
                    .ok_or_else(|| self.damaged("the checksum of a payload is wrong"))?;
                count += 1;
                seals ^= mark;
                let slot = inner
                    .places
                    .slot(sequence.value())
                    .ok_or_else(|| self.damaged("there is a payload of a row that is not there"))?;
                take(slot, payload_of(body));
            }
            if (count, seals) != (inner.totals.payloads, inner.totals.payload_seals) {
                return Err(self.damaged("payloads are missing"));
            }
            Ok(())
        })
    }

    /// The fields of payloads that are indexed.
    ///
    /// # Errors
    /// As [`Store::read_rows`].
    pub(crate) fn read_indexes(&self) -> Result<Vec<String>> {
        let path = self.path();
        let read = self.read()?;
        guarded(path, || {
            let meta = read.open_table(META).or_failed(path)?;
            let record = meta.get(INDEXES).or_failed(path)?;
            let (mark, keys) = match &record {
                None => (0, Vec::new()),
                Some(record) => indexes_of(record.value())
                    .ok_or_else(|| self.damaged("the checksum of its indexes is wrong"))?,
            };
            if mark == self.inner.lock().totals.index_seal {
                Ok(keys)
            } else {
                Err(self.damaged("its record of indexes is another than was written"))
            }
        })
    }

    /// The sequence numbers that were given and whose rows were dropped; to be called after [`Store::read_rows`].
    pub(crate) fn gaps(&self) -> Vec<std::ops::Range<u64>> {
        let inner = self.inner.lock();
        inner.places.gaps(inner.totals.next)
    }

    /// A view of the store as it is now, whatever is written afterwards.
    pub(super) fn read(&self) -> Result<ReadTransaction> {
        let inner = self.inner.lock();
        let path = self.path();
        guarded(path, || inner.handle(path)?.begin_read(path))
    }

    fn blocks(&self, read: &ReadTransaction) -> Result<Blocks> {
        let path = self.path();
        guarded(path, || {
            Ok(Blocks {
                rows: read
                    .open_table(ROWS)
                    .or_failed(path)?
                    .range::<u64>(..)
                    .or_failed(path)?,
                names: read
                    .open_table(NAMES)
                    .or_failed(path)?
                    .range::<u64>(..)
                    .or_failed(path)?,
                seen: Totals::default(),
                places: Places::default(),
            })
        })
    }

    /// The next blocks, as many as make a group; none if there are no more.
    fn fill(&self, blocks: &mut Blocks, group: &mut Group) -> Result<()> {
        group.names.clear();
        group.rows.clear();
        guarded(self.path(), || {
            while group.rows.len() < GROUP_VALUES {
                if !self.next_block(blocks, group)? {
                    return Ok(());
                }
            }
            Ok(())
        })
    }

    fn next_block(&self, blocks: &mut Blocks, group: &mut Group) -> Result<bool> {
        let path = self.path();
        let next = |range: &mut Range<'static, u64, &'static [u8]>| -> Result<Option<Entry>> {
            range.next().transpose().or_failed(path)
        };
        let (rows, names) = match (next(&mut blocks.rows)?, next(&mut blocks.names)?) {
            (None, None) => return Ok(false),
            (Some(rows), Some(names)) if rows.0.value() == names.0.value() => (rows, names),
            _ => return Err(self.damaged("rows are without ids, or ids without rows")),
        };
        let first = rows.0.value();
        let wrong = |what| self.damaged(format!("in the block of row {first}, {what}"));
        let (rows_mark, numbers) =
            blocks::read_rows(first, rows.1.value(), self.header.dimension).map_err(wrong)?;
        let (names_mark, ids) = Names::from_value(first, names.1.value()).map_err(wrong)?;
        let seen = &mut blocks.seen;
        let count = numbers.len() / self.header.dimension;
        if ids.len() != count || count == 0 || first < seen.next {
            return Err(wrong("ids and rows do not match"));
        }
        for (step, _) in ids.iter() {
            blocks.places.push(first + u64::from(step));
        }
        seen.next = first + u64::from(ids.last_step()) + 1;
        seen.blocks += 1;
        seen.rows += count as u64;
        seen.chain = chained(seen.chain, first, rows_mark, names_mark);
        blocks.places.end_block(seen.chain);
        group.rows.extend_from_slice(&numbers);
        group.names.push(ids);
        Ok(true)
    }
}

/// A payload from its bytes. Earlier versions, and programs with `serde_json`'s `arbitrary_precision`, wrote some that are none: then why.
pub(super) fn payload_of(body: &[u8]) -> Result<Payload, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let value = json::read(text, json::READ_DEPTH).map_err(|fault| fault.to_string())?;
    Ok(Payload(value))
}

/// The seal of the record of indexed fields, and the fields.
pub(super) fn indexes_of(value: &[u8]) -> Option<(u64, Vec<String>)> {
    let (mark, body) = unseal(Kind::Indexes, 0, value)?;
    Some((mark, serde_json::from_slice(body).ok()?))
}

/// The seal of a page of deletions, and the sequence numbers in it.
pub(super) fn dead_of(page: u64, value: &[u8]) -> Option<(u64, Vec<u64>)> {
    let (mark, body) = unseal(Kind::Dead, page, value)
        .filter(|(_, body)| body.len() == PAGE_BYTES && page < u64::MAX / PAGE_ROWS)?;
    let bit = |place: &u64| {
        let byte = usize::try_from(place / 8).unwrap_or_default();
        body[byte] >> (place % 8) & 1 == 1
    };
    let set = (0..PAGE_ROWS).filter(bit);
    Some((mark, set.map(|place| page * PAGE_ROWS + place).collect()))
}
