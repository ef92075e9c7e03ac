//! Dead rows dropped, and small runs that lie together made large ones: the store's half of a consolidation.

use redb::{ReadableTable as _, TableDefinition};

use super::blocks::{self, Names, full_run, next_run};
use super::change::Transaction;
use super::places::Places;
use super::tables::{DEAD, NAMES, ROWS, chained};
use super::{Handle, OrFailed as _, Store, guarded};
use crate::engine::slot;
use crate::error::Result;

/// Rows on their way into new runs.
#[derive(Default)]
struct Waiting {
    sequences: Vec<u64>,
    ids: Vec<String>,
    rows: Vec<f32>,
}

impl Store {
    /// Drops the rows of the dead for good: the slots of the living move together, in order. One transaction.
    ///
    /// # Errors
    /// [`VectorizerError::StoreFailed`](crate::error::VectorizerError::StoreFailed): nothing of it is done.
    pub(super) fn drop_dead(&self) -> Result<()> {
        self.rewrite(true)
    }

    /// Brings small runs that lie together into large ones, if that makes fewer of them. Whether it did: the graph's file is then of other runs,
    /// and has to be written again.
    ///
    /// # Errors
    /// As [`Store::drop_dead`].
    pub(crate) fn merge_runs(&self) -> Result<bool> {
        let lengths = self.inner.lock().places.block_lengths();
        if merged_count(&lengths, self.header.dimension) >= lengths.len() {
            return Ok(false);
        }
        self.rewrite(false)?;
        Ok(true)
    }

    /// Writes runs anew, without the dead if they are to be dropped.
    fn rewrite(&self, drop_dead: bool) -> Result<()> {
        let dimension = self.header.dimension;
        let full = full_run(dimension);
        let places = self.transact(self.durability, |change| {
            let firsts = change.firsts()?;
            let mut places = Places::default();
            let mut old_slot = 0;
            let dead = if drop_dead {
                change.dead_slots()?
            } else {
                Vec::new()
            };
            change.totals.blocks = 0;
            change.totals.rows = 0;
            change.totals.chain = 0;
            let mut waiting = Waiting::default();
            for first in firsts {
                let (rows, names) = change.block(first)?;
                let slots = old_slot..old_slot + names.len();
                old_slot = slots.end;
                let is_dead = |place: usize| dead.binary_search(&slot(slots.start + place)).is_ok();
                let whole = !(0..names.len()).any(is_dead);
                if whole && names.len() == full {
                    change.write_out(&mut waiting, &mut places, true)?;
                    change.keep_block(first, &names, &mut places)?;
                    continue;
                }
                change.remove_block(first)?;
                for (place, (step, id)) in names.iter().enumerate() {
                    if !is_dead(place) {
                        waiting.sequences.push(first + u64::from(step));
                        waiting.ids.push(id.to_owned());
                        waiting
                            .rows
                            .extend_from_slice(&rows[place * dimension..(place + 1) * dimension]);
                    }
                }
                change.write_out(&mut waiting, &mut places, false)?;
            }
            change.write_out(&mut waiting, &mut places, true)?;
            if drop_dead {
                change.forget_dead()?;
                change.totals.epoch += 1;
            }
            Ok(places)
        })?;
        self.inner.lock().places = places;
        Ok(())
    }

    /// Gives room that the file no longer needs back to the disk, where nobody reads from it meanwhile. Whether it became smaller.
    ///
    /// # Errors
    /// As [`Store::drop_dead`].
    pub(crate) fn shrink(&self) -> Result<bool> {
        let path = self.path();
        let mut inner = self.inner.lock();
        inner.database(path)?;
        guarded(path, || {
            let Some(Handle::Writing(database)) = inner.handle.as_mut() else {
                return Ok(false);
            };
            match database.compact() {
                Err(redb::CompactionError::TransactionInProgress) => Ok(false),
                done => done.or_failed(path),
            }
        })
    }
}

/// How many runs [`Store::rewrite`] makes of runs of these lengths without dropping anything.
fn merged_count(lengths: &[usize], dimension: usize) -> usize {
    let full = full_run(dimension);
    let (mut count, mut waiting) = (0, 0);
    for length in lengths {
        if *length == full {
            while waiting > 0 {
                waiting -= next_run(waiting, dimension);
                count += 1;
            }
            count += 1;
        } else {
            waiting += length;
            count += waiting / full;
            waiting %= full;
        }
    }
    while waiting > 0 {
        waiting -= next_run(waiting, dimension);
        count += 1;
    }
    count
}

impl Transaction<'_> {
    fn firsts(&self) -> Result<Vec<u64>> {
        let path = self.store.path();
        let table = self.write.open_table(ROWS).or_failed(path)?;
        let mut firsts = Vec::new();
        for entry in table.iter().or_failed(path)? {
            firsts.push(entry.or_failed(path)?.0.value());
        }
        Ok(firsts)
    }

    fn block(&self, first: u64) -> Result<(Vec<f32>, Names)> {
        let path = self.store.path();
        let wrong = |what| {
            self.store
                .damaged(format!("in the block of row {first}, {what}"))
        };
        let value = |table: TableDefinition<'static, u64, &'static [u8]>| {
            let table = self.write.open_table(table).or_failed(path)?;
            let value = table.get(first).or_failed(path)?;
            let value = value.ok_or_else(|| wrong("something is missing"))?;
            Ok(value.value().to_vec())
        };
        let rows = value(ROWS)?;
        let (_, rows) =
            blocks::read_rows(first, &rows, self.store.header.dimension).map_err(wrong)?;
        let (_, names) = Names::from_value(first, &value(NAMES)?).map_err(wrong)?;
        if names.len() * self.store.header.dimension != rows.len() {
            return Err(wrong("ids and rows do not match"));
        }
        Ok((rows.into_owned(), names))
    }

    fn remove_block(&self, first: u64) -> Result<()> {
        let path = self.store.path();
        for table in [ROWS, NAMES] {
            let mut table = self.write.open_table(table).or_failed(path)?;
            table.remove(first).or_failed(path)?;
        }
        Ok(())
    }

    /// Counts a block that stays as it is.
    fn keep_block(&mut self, first: u64, names: &Names, places: &mut Places) -> Result<()> {
        let path = self.store.path();
        let mut marks = [0; 2];
        for (mark, table) in marks.iter_mut().zip([ROWS, NAMES]) {
            let table = self.write.open_table(table).or_failed(path)?;
            let value = table.get(first).or_failed(path)?;
            *mark = value.map_or(0, |value| super::change::seal_of(value.value()));
        }
        self.totals.blocks += 1;
        self.totals.rows += names.len() as u64;
        self.totals.chain = chained(self.totals.chain, first, marks[0], marks[1]);
        for (step, _) in names.iter() {
            places.push(first + u64::from(step));
        }
        places.end_block(self.totals.chain);
        Ok(())
    }

    /// Writes full runs of what waits; with `all`, the rest too.
    fn write_out(&mut self, waiting: &mut Waiting, places: &mut Places, all: bool) -> Result<()> {
        let dimension = self.store.header.dimension;
        let full = full_run(dimension);
        let mut done = 0;
        while waiting.sequences.len() - done >= if all { 1 } else { full } {
            let sequences = &waiting.sequences[done..];
            let first = sequences[0];
            // A run's steps have 32 bits.
            let near =
                sequences.partition_point(|sequence| sequence - first <= u64::from(u32::MAX));
            let count = next_run(near, dimension);
            let mut names = Names::new();
            for (sequence, id) in sequences[..count].iter().zip(&waiting.ids[done..]) {
                names.push(u32::try_from(sequence - first).unwrap_or(u32::MAX), id);
                places.push(*sequence);
            }
            let rows = done * dimension..(done + count) * dimension;
            self.add_block(first, &waiting.rows[rows], &names)?;
            places.end_block(self.totals.chain);
            done += count;
        }
        waiting.sequences.drain(..done);
        waiting.ids.drain(..done);
        waiting.rows.drain(..done * dimension);
        Ok(())
    }

    fn dead_slots(&self) -> Result<Vec<u32>> {
        let path = self.store.path();
        let table = self.write.open_table(DEAD).or_failed(path)?;
        let mut slots = Vec::new();
        for entry in table.iter().or_failed(path)? {
            let (page, value) = entry.or_failed(path)?;
            let dead = super::load::dead_of(page.value(), value.value());
            let wrong = || self.store.damaged("the checksum of its deletions is wrong");
            for sequence in dead.ok_or_else(wrong)?.1 {
                let slot = self.inner.places.slot(sequence);
                slots.push(
                    slot.ok_or_else(|| self.store.damaged("a row is deleted that is not there"))?,
                );
            }
        }
        Ok(slots)
    }

    fn forget_dead(&mut self) -> Result<()> {
        let path = self.store.path();
        let mut table = self.write.open_table(DEAD).or_failed(path)?;
        table.retain(|_, _| false).or_failed(path)?;
        self.totals.dead = 0;
        self.totals.dead_seals = 0;
        // Payloads go by sequence number: nothing of them moves.
        Ok(())
    }
}
