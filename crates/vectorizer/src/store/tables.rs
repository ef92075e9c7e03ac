//! What lies in which table, and the seal on each value. `docs/file-format.md` says the same for people.
//!
//! A row has a *sequence number* for life, counted up from 0 in the order of insertion. Its slot is its rank among the rows that
//! are stored, so that slots, and with them the order of ties, come back as they were.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::config::{FullRows, HnswConfig, Precision};
use crate::models::DistanceMetric;

/// The latest version of everything described here. A file of a later one is refused by name.
pub(crate) const FORMAT: u32 = 2;
/// The version of a store in which no field was ever indexed. Programs that know only this one read it.
pub(crate) const FIRST_FORMAT: u32 = 1;

/// Records: [`HEADER`], [`STATE`] and, where fields are indexed, [`INDEXES`].
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Runs of rows, by the sequence number of the first.
pub(super) const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
/// The ids of the same rows, by the same keys.
pub(super) const NAMES: TableDefinition<u64, &[u8]> = TableDefinition::new("names");
/// JSON by sequence number, of the living alone.
pub(super) const PAYLOADS: TableDefinition<u64, &[u8]> = TableDefinition::new("payloads");
/// A bit for each dead row; a value covers [`PAGE_ROWS`] sequence numbers.
pub(super) const DEAD: TableDefinition<u64, &[u8]> = TableDefinition::new("dead");

pub(super) const HEADER: &str = "header";
pub(super) const STATE: &str = "state";
pub(super) const INDEXES: &str = "indexes";

/// Sequence numbers of one value of [`DEAD`].
pub(super) const PAGE_ROWS: u64 = 4096;
pub(super) const PAGE_BYTES: usize = 512;

/// Bytes of the seal that begins every value.
pub(super) const SEAL_BYTES: usize = 8;

/// Which table a value is from; a seal of one is none in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Kind {
    Header = 1,
    State = 2,
    Rows = 3,
    Names = 4,
    Payload = 5,
    Dead = 6,
    GraphHeader = 7,
    GraphBlock = 8,
    Indexes = 9,
}

/// The checksum of `body` as the value of `key` in its table: no other place has the same.
pub(super) fn seal(kind: Kind, key: u64, body: &[u8]) -> u64 {
    // A fuzzer would never get past the seals.
    if cfg!(fuzzing) {
        return 0;
    }
    // Keys stay far below 2^56: they count rows and blocks.
    XxHash3_64::oneshot_with_seed((kind as u64) << 56 ^ key, body)
}

/// A value: the seal, then the body.
pub(super) fn sealed(kind: Kind, key: u64, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(SEAL_BYTES + body.len());
    value.extend(seal(kind, key, body).to_le_bytes());
    value.extend_from_slice(body);
    value
}

/// The seal and the body of a value; `None` if they do not belong together.
pub(super) fn unseal(kind: Kind, key: u64, value: &[u8]) -> Option<(u64, &[u8])> {
    let (seal_bytes, body) = value.split_first_chunk::<SEAL_BYTES>()?;
    let said = u64::from_le_bytes(*seal_bytes);
    (said == seal(kind, key, body)).then_some((said, body))
}

/// What a collection is, fixed when it is created. Stored as JSON, so that a later version can read it whatever it adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The first version that reads it: [`FIRST_FORMAT`] to [`FORMAT`].
    pub(crate) format: u32,
    /// Tells this collection from all others, in hexadecimal.
    pub(crate) uuid: String,
    /// Components of a vector.
    pub(crate) dimension: usize,
    /// How nearness is measured.
    pub(crate) metric: DistanceMetric,
    /// The graph's parameters.
    pub(crate) hnsw: HnswConfig,
    /// Seeds the levels.
    pub(crate) seed: u64,
    /// The form of the vectors that walks compare; `f32` where a file does not say.
    #[serde(default, skip_serializing_if = "Precision::is_full")]
    pub(crate) precision: Precision,
    /// Where the vectors themselves are kept, if opening says nothing else; `device` where a file does not say.
    #[serde(default, skip_serializing_if = "FullRows::is_device")]
    pub(crate) full_rows: FullRows,
}

/// What all tables come to, written with every change: a table from which something is missing is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// How often rows have been dropped, so that the slots behind them moved.
    pub(crate) epoch: u64,
    /// The sequence number of the next row.
    pub(crate) next: u64,
    /// Entries of `rows`, and of `names`.
    pub(crate) blocks: u64,
    /// Rows in them, dead ones too.
    pub(crate) rows: u64,
    /// Dead ones among them.
    pub(crate) dead: u64,
    /// Entries of `payloads`.
    pub(crate) payloads: u64,
    /// [`chained`] over all blocks in order.
    pub(crate) chain: u64,
    /// The seals of all payloads, by exclusive or.
    pub(crate) payload_seals: u64,
    /// The seals of all entries of `dead`, by exclusive or.
    pub(crate) dead_seals: u64,
    /// The seal of the record of indexed fields; 0 where there is none.
    pub(crate) index_seal: u64,
}

impl Totals {
    /// Without the last one, which stands there only if it is not 0: the first version knew no other.
    const FIELDS: usize = 9;

    pub(super) fn to_value(self) -> Vec<u8> {
        let fields: [u64; Self::FIELDS] = [
            self.epoch,
            self.next,
            self.blocks,
            self.rows,
            self.dead,
            self.payloads,
            self.chain,
            self.payload_seals,
            self.dead_seals,
        ];
        let indexed = (self.index_seal != 0).then_some(self.index_seal);
        let fields = fields.into_iter().chain(indexed);
        let body: Vec<u8> = fields.flat_map(u64::to_le_bytes).collect();
        sealed(Kind::State, 0, &body)
    }

    pub(super) fn from_value(value: &[u8]) -> Option<Self> {
        let (_, body) = unseal(Kind::State, 0, value)?;
        let (fields, rest) = body.as_chunks::<8>();
        let fields: Vec<u64> = fields
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes))
            .collect();
        let (fields, indexed) = fields.split_first_chunk::<{ Self::FIELDS }>()?;
        let index_seal = match indexed {
            [] => 0,
            [seal] if *seal != 0 => *seal,
            _ => return None,
        };
        let [
            epoch,
            next,
            blocks,
            rows,
            dead,
            payloads,
            chain,
            payload_seals,
            dead_seals,
        ] = *fields;
        rest.is_empty().then_some(Self {
            epoch,
            next,
            blocks,
            rows,
            dead,
            payloads,
            chain,
            payload_seals,
            dead_seals,
            index_seal,
        })
    }
}

/// The fingerprint of all blocks up to and with this one.
pub(super) fn chained(before: u64, first: u64, rows: u64, names: u64) -> u64 {
    let mut bytes = [0; 32];
    for (place, number) in bytes
        .as_chunks_mut::<8>()
        .0
        .iter_mut()
        .zip([before, first, rows, names])
    {
        *place = number.to_le_bytes();
    }
    XxHash3_64::oneshot(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_one_place_alone() {
        let value = sealed(Kind::Payload, 7, b"{}");
        assert!(unseal(Kind::Payload, 7, &value).is_some());
        assert!(unseal(Kind::Payload, 8, &value).is_none());
        assert!(unseal(Kind::Dead, 7, &value).is_none());
        for byte in 0..value.len() {
            let mut damaged = value.clone();
            damaged[byte] ^= 1;
            assert!(unseal(Kind::Payload, 7, &damaged).is_none(), "byte {byte}");
            assert!(unseal(Kind::Payload, 7, &value[..byte]).is_none());
        }
    }

    #[test]
    fn totals_come_back() {
        let mut totals = Totals {
            epoch: 1,
            next: 2,
            blocks: 3,
            rows: 4,
            dead: 5,
            payloads: 6,
            chain: 7,
            payload_seals: 8,
            dead_seals: u64::MAX,
            index_seal: 0,
        };
        // As the first version wrote them.
        assert_eq!(totals.to_value().len(), 80);
        assert_eq!(Totals::from_value(&totals.to_value()), Some(totals));
        assert_eq!(Totals::from_value(&totals.to_value()[..79]), None);
        totals.index_seal = 9;
        assert_eq!(totals.to_value().len(), 88);
        assert_eq!(Totals::from_value(&totals.to_value()), Some(totals));
    }
}
