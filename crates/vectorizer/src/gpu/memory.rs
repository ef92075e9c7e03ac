//! The ledger of a device's memory: every byte is taken here, under a label, within the limit, and given back on drop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Result, VectorizerError};

/// What memory is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Vectors.
    Rows,
    /// Links between them.
    Graph,
    /// Transient buffers: queries, candidates, results, staging.
    Pool,
    /// What kernels need for themselves: parameters and tables.
    Kernels,
}

impl Label {
    /// Every label, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Rows, Self::Graph, Self::Pool, Self::Kernels];

    /// The label as reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Graph => "graph",
            Self::Pool => "pool",
            Self::Kernels => "kernels",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The figures of one label, or of all together, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Account {
    /// Taken now.
    pub taken: u64,
    /// Of these, the bytes that hold data.
    pub used: u64,
    /// The most ever taken at once.
    pub peak: u64,
    /// Allocations alive now.
    pub count: u64,
}

#[derive(Debug, Default)]
struct Books {
    limit: Option<u64>,
    total: Account,
    labels: [Account; Label::ALL.len()],
}

/// The books of one device, shared by everyone who uses it. A clone is another handle on the same books.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

impl Ledger {
    /// Books with nothing in them; no limit if `None`.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Books {
            limit,
            ..Books::default()
        })))
    }

    /// The most bytes that may be taken at once.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.0.lock().limit
    }

    /// The figures over all labels.
    #[must_use]
    pub fn total(&self) -> Account {
        self.0.lock().total
    }

    /// The figures of one label.
    #[must_use]
    pub fn account(&self, label: Label) -> Account {
        self.0.lock().labels[label as usize]
    }

    /// The figures over all labels and of each, as they stand at one moment.
    #[must_use]
    pub fn statement(&self) -> (Account, [(Label, Account); Label::ALL.len()]) {
        let books = self.0.lock();
        (
            books.total,
            Label::ALL.map(|label| (label, books.labels[label as usize])),
        )
    }

    /// Takes `bytes`, none of them used yet.
    ///
    /// # Errors
    /// [`VectorizerError::VramLimitExceeded`]; nothing is taken.
    pub fn take(&self, label: Label, bytes: u64) -> Result<Lease> {
        let mut books = self.0.lock();
        let requested = books.total.taken.saturating_add(bytes);
        if let Some(limit) = books.limit.filter(|limit| requested > *limit) {
            return Err(VectorizerError::VramLimitExceeded { limit, requested });
        }
        let Books { total, labels, .. } = &mut *books;
        for account in [total, &mut labels[label as usize]] {
            account.taken += bytes;
            account.count += 1;
            account.peak = account.peak.max(account.taken);
        }
        drop(books);
        Ok(Lease {
            ledger: self.clone(),
            label,
            bytes,
            used: AtomicU64::new(0),
        })
    }
}

/// Bytes taken from a device; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    ledger: Ledger,
    label: Label,
    bytes: u64,
    /// Only written under the lock of the books.
    used: AtomicU64,
}

impl Lease {
    /// How many bytes are taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over the bytes of another lease with the same label and ledger, as if both had been taken at once.
    pub fn absorb(&mut self, mut other: Self) {
        debug_assert_eq!(self.label, other.label, "leases of one label");
        self.bytes += std::mem::take(&mut other.bytes);
        *self.used.get_mut() += std::mem::take(other.used.get_mut());
        // Dropping `other` takes the allocation off the books, and no bytes.
    }

    /// States how many of them hold data.
    pub fn set_used(&self, used: u64) {
        debug_assert!(used <= self.bytes, "more used than taken");
        let mut books = self.ledger.0.lock();
        let before = self.used.swap(used, Ordering::Relaxed);
        let Books { total, labels, .. } = &mut *books;
        for account in [total, &mut labels[self.label as usize]] {
            account.used = account.used - before + used;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.set_used(0);
        let mut books = self.ledger.0.lock();
        let Books { total, labels, .. } = &mut *books;
        for account in [total, &mut labels[self.label as usize]] {
            account.taken -= self.bytes;
            account.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_counted_while_it_lives() {
        let ledger = Ledger::new(None);
        let rows = ledger.take(Label::Rows, 100).unwrap();
        rows.set_used(60);
        let pool = ledger.take(Label::Pool, 50).unwrap();
        assert_eq!(
            ledger.total(),
            Account {
                taken: 150,
                used: 60,
                peak: 150,
                count: 2
            }
        );
        drop(rows);
        assert_eq!(
            ledger.total(),
            Account {
                taken: 50,
                used: 0,
                peak: 150,
                count: 1
            }
        );
        assert_eq!(
            ledger.account(Label::Rows),
            Account {
                taken: 0,
                used: 0,
                peak: 100,
                count: 0
            }
        );
        drop(pool);
        assert_eq!(ledger.total().taken, 0);
    }

    #[test]
    fn over_the_limit_nothing_is_taken() {
        let ledger = Ledger::new(Some(100));
        let _half = ledger.take(Label::Rows, 60).unwrap();
        let error = ledger.take(Label::Pool, 41).unwrap_err();
        assert_eq!(
            error,
            VectorizerError::VramLimitExceeded {
                limit: 100,
                requested: 101
            }
        );
        assert_eq!(ledger.total().taken, 60);
        ledger.take(Label::Pool, 40).unwrap();
    }
}
