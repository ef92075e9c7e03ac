//! The ledger of a device's memory: every byte is taken here, under a label, within the limit, and given back on drop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Result, VectorizerError};
use crate::gpu::faults::{Fault, Faults, Point};

#[cfg(test)]
mod tests;

/// What memory is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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
    pub const ALL: &'static [Self] = &[Self::Rows, Self::Graph, Self::Pool, Self::Kernels];

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
#[non_exhaustive]
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
    /// The most taken since each of the watches began, by its number.
    watches: Vec<(u64, u64)>,
    next_watch: u64,
}

impl Books {
    fn check(&self, bytes: u64) -> Result<()> {
        let requested = self.total.taken.saturating_add(bytes);
        match self.limit.filter(|limit| requested > *limit) {
            Some(limit) => Err(VectorizerError::VramLimitExceeded { limit, requested }),
            None => Ok(()),
        }
    }

    fn both(&mut self, label: Label) -> [&mut Account; 2] {
        [&mut self.total, &mut self.labels[label as usize]]
    }
}

#[derive(Debug, Default)]
struct Inner {
    books: Mutex<Books>,
    /// The books in which everything here stands too. Locked after these, never before.
    parent: Option<Ledger>,
    faults: Faults,
}

/// The books of a device, of a context with a limit of its own, or of a collection. What is taken from one stands in its parent's
/// books too, up to the device's, and has to be within the limit of each. A clone is another handle on the same books. Callers read
/// them; what is entered, storages and pools enter.
///
/// ```
/// use vectorizer::collection::Collection;
/// use vectorizer::gpu::memory::Label;
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let collection = Collection::new(4, DistanceMetric::Cosine)?;
/// let device = collection.context().device();
/// let watch = device.whole_ledger().watch();
/// collection.add_rows(&["a", "b"], &[1.0; 8])?;
/// assert!(device.whole_ledger().account(Label::Rows).taken >= 32);
/// assert!(watch.peak() >= 32);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Inner>);

impl Ledger {
    /// Books with nothing in them; no limit if `None`.
    #[must_use]
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self::with(limit, None, Faults::default())
    }

    /// Books within these: what is taken there is taken here as well.
    #[must_use]
    pub(crate) fn child(&self, limit: Option<u64>) -> Self {
        Self::with(limit, Some(self.clone()), self.0.faults.clone())
    }

    fn with(limit: Option<u64>, parent: Option<Self>, faults: Faults) -> Self {
        let books = Books {
            limit,
            ..Books::default()
        };
        Self(Arc::new(Inner {
            books: Mutex::new(books),
            parent,
            faults,
        }))
    }

    #[cfg(any(test, feature = "gpu", feature = "fault-injection"))]
    pub(crate) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The most bytes that may be taken at once from these books; those of a parent may allow less.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.0.books.lock().limit
    }

    /// The lowest limit that holds for these books: their own, or one of those above.
    #[must_use]
    pub(crate) fn lowest_limit(&self) -> Option<u64> {
        let above = self.0.parent.as_ref().and_then(Self::lowest_limit);
        self.limit().into_iter().chain(above).min()
    }

    /// The figures over all labels.
    #[must_use]
    pub fn total(&self) -> Account {
        self.0.books.lock().total
    }

    /// The figures of one label.
    #[must_use]
    pub fn account(&self, label: Label) -> Account {
        self.0.books.lock().labels[label as usize]
    }

    /// The figures over all labels and of each, as they stand at one moment.
    #[must_use]
    pub fn statement(&self) -> (Account, Vec<(Label, Account)>) {
        let (total, labels) = {
            let books = self.0.books.lock();
            (books.total, books.labels)
        };
        (total, Label::ALL.iter().copied().zip(labels).collect())
    }

    /// Bytes that hold data over bytes taken, without those of the pool, which only pass through; 1 where nothing is taken.
    #[must_use]
    pub fn efficiency(&self) -> f64 {
        let (_, by_label) = self.statement();
        let lasting = by_label.iter().filter(|(label, _)| *label != Label::Pool);
        let (taken, used) = lasting.fold((0, 0), |(taken, used), (_, account)| {
            (taken + account.taken, used + account.used)
        });
        if taken == 0 {
            1.0
        } else {
            used as f64 / taken as f64
        }
    }

    /// Says whether `bytes` more would be within every limit. Takes nothing: what an operation will need is asked for before it starts.
    ///
    /// # Errors
    /// [`VectorizerError::VramLimitExceeded`], with the limit that is in the way.
    pub(crate) fn admit(&self, bytes: u64) -> Result<()> {
        self.0.books.lock().check(bytes)?;
        self.0
            .parent
            .as_ref()
            .map_or(Ok(()), |parent| parent.admit(bytes))
    }

    /// Takes `bytes`, none of them used yet.
    ///
    /// # Errors
    /// [`VectorizerError::VramLimitExceeded`]; nothing is taken.
    pub(crate) fn take(&self, label: Label, bytes: u64) -> Result<Lease> {
        if bytes > 0 {
            match self.0.faults.meet(Point::Allocate) {
                Some(Fault::Lose) => {
                    let device = "the device".to_owned();
                    return Err(VectorizerError::DeviceLost { device });
                }
                Some(Fault::Fail | Fault::Hang) => {
                    return Err(VectorizerError::BufferAllocationFailed);
                }
                Some(Fault::Stale) | None => {}
            }
        }
        self.charge(label, bytes)?;
        Ok(Lease {
            ledger: self.clone(),
            label,
            bytes,
            used: AtomicU64::new(0),
        })
    }

    /// Enters it into these books and those above, or into none. Each is locked while the next one answers, from child to parent.
    fn charge(&self, label: Label, bytes: u64) -> Result<()> {
        let mut books = self.0.books.lock();
        books.check(bytes)?;
        if let Some(parent) = &self.0.parent {
            parent.charge(label, bytes)?;
        }
        for account in books.both(label) {
            account.taken += bytes;
            account.count += 1;
            account.peak = account.peak.max(account.taken);
        }
        let taken = books.total.taken;
        for (_, peak) in &mut books.watches {
            *peak = taken.max(*peak);
        }
        Ok(())
    }

    fn credit(&self, label: Label, bytes: u64, used: u64) {
        let mut books = self.0.books.lock();
        if let Some(parent) = &self.0.parent {
            parent.credit(label, bytes, used);
        }
        for account in books.both(label) {
            account.taken -= bytes;
            account.used -= used;
            account.count -= 1;
        }
    }

    /// Enters a new number of used bytes. `replaced` says which it replaces, asked under the lock, so that two who state it at once
    /// come one after the other in all books.
    fn use_now(&self, label: Label, used: u64, replaced: &dyn Fn() -> u64) {
        let mut books = self.0.books.lock();
        let before = replaced();
        if let Some(parent) = &self.0.parent {
            parent.use_now(label, used, &|| before);
        }
        for account in books.both(label) {
            account.used = account.used - before + used;
        }
    }

    /// Notes from now on the most that is taken at once.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let mut books = self.0.books.lock();
        let number = books.next_watch;
        let taken = books.total.taken;
        books.next_watch += 1;
        books.watches.push((number, taken));
        drop(books);
        Watch {
            ledger: self.clone(),
            number,
        }
    }
}

/// A note of the most that was taken at once since it was begun.
#[derive(Debug)]
pub struct Watch {
    ledger: Ledger,
    number: u64,
}

impl Watch {
    /// The most bytes taken at once up to now.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let books = self.ledger.0.books.lock();
        let mine = books
            .watches
            .iter()
            .find(|(number, _)| *number == self.number);
        mine.map_or(books.total.taken, |(_, peak)| *peak)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let number = self.number;
        let mut books = self.ledger.0.books.lock();
        books.watches.retain(|(other, _)| *other != number);
    }
}

/// Bytes taken from a device; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    ledger: Ledger,
    label: Label,
    bytes: u64,
    /// Only written under the lock of the books.
    used: AtomicU64,
}

impl Lease {
    /// How many bytes are taken.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over the bytes of another lease with the same label and ledger, as if both had been taken at once.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        debug_assert_eq!(self.label, other.label, "leases of one label");
        debug_assert!(
            Arc::ptr_eq(&self.ledger.0, &other.ledger.0),
            "leases of one ledger"
        );
        self.bytes += std::mem::take(&mut other.bytes);
        *self.used.get_mut() += std::mem::take(other.used.get_mut());
        // Dropping `other` takes the allocation off the books, and no bytes.
    }

    /// States how many of them hold data.
    pub(crate) fn set_used(&self, used: u64) {
        debug_assert!(used <= self.bytes, "more used than taken");
        let replaced = || self.used.swap(used, Ordering::Relaxed);
        self.ledger.use_now(self.label, used, &replaced);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ledger
            .credit(self.label, self.bytes, *self.used.get_mut());
    }
}
