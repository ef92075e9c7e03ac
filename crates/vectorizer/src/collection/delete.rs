//! Deleting, and changing payloads.
//!
//! A deleted vector's slot is dead: it is found by nobody from the moment of the call's return, and walked through until
//! enough of them have come to be taken out of the graph; see [`Collection::consolidate`].

use super::write::check_distinct;
use super::{Change, Collection};
use crate::error::{Result, VectorizerError};
use crate::models::Payload;

impl Collection {
    /// Deletes the vector with this id, and its payload.
    ///
    /// # Errors
    /// As [`Collection::delete_batch`].
    pub fn delete(&self, id: &str) -> Result<()> {
        self.delete_batch(&[id])
    }

    /// Deletes vectors, all or none: no search sees some of them gone and others not. When many slots are dead, this call also takes
    /// them out of the graph ([`Collection::consolidate`]).
    ///
    /// # Errors
    /// [`VectorizerError::UnknownId`] for an id that is not there ([`Collection::delete_present`] passes over those),
    /// [`VectorizerError::DuplicateIdInBatch`]. Nothing is deleted then.
    pub fn delete_batch(&self, ids: &[impl AsRef<str>]) -> Result<()> {
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        check_distinct(&ids)?;
        self.delete_chosen(|| {
            let state = self.state.read();
            let slot_of = |id: &str| {
                let unknown = || VectorizerError::UnknownId { id: id.to_owned() };
                state.ids.slot(id).ok_or_else(unknown)
            };
            ids.iter().map(|id| slot_of(id)).collect()
        })
        .map(drop)
    }

    /// Deletes those of the ids that are there, and says how many were. An id may stand there more than once.
    ///
    /// # Errors
    /// None but those of whoever keeps the changes; nothing is deleted then.
    pub fn delete_present(&self, ids: &[impl AsRef<str>]) -> Result<usize> {
        // The caller's code, before there is a lock.
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        self.delete_chosen(|| {
            let state = self.state.read();
            let mut slots: Vec<u32> = ids.iter().filter_map(|id| state.ids.slot(id)).collect();
            slots.sort_unstable();
            slots.dedup();
            Ok(slots)
        })
    }

    /// Deletes the vectors in the slots that `choose` names, each once and alive; it is called while writers are held back, and nothing is
    /// written between its choice and the deletion. How many they were.
    pub(super) fn delete_chosen(&self, choose: impl FnOnce() -> Result<Vec<u32>>) -> Result<usize> {
        let writer = self.changing()?;
        let slots = choose()?;
        if slots.is_empty() {
            return Ok(0);
        }
        self.record(&Change::Delete { slots: &slots })?;
        {
            let mut state = self.state.write();
            for slot in &slots {
                state.delete(*slot);
            }
        }
        drop(writer);
        self.tidy_or_warn();
        Ok(slots.len())
    }

    /// Gives the vector with this id another payload, or with `None` takes its payload away.
    ///
    /// # Errors
    /// [`VectorizerError::UnknownId`], [`VectorizerError::InvalidPayload`]; nothing is changed then.
    pub fn set_payload(&self, id: &str, payload: impl Into<Option<Payload>>) -> Result<()> {
        let payload = payload.into().filter(|payload| !payload.0.is_null());
        let payload = payload.map(|payload| payload.admit(id)).transpose()?;
        let writer = self.changing()?;
        let slot = {
            let state = self.state.read();
            let unknown = || VectorizerError::UnknownId { id: id.to_owned() };
            let slot = state.ids.slot(id).ok_or_else(unknown)?;
            self.record(&Change::SetPayload {
                slot,
                payload: payload.as_ref(),
            })?;
            slot
        };
        self.state.write().set_payload(slot, payload);
        drop(writer);
        Ok(())
    }
}
