//! The writers' lock. No thread waits for itself, and no forked child for a thread of its parent's.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::MutexGuard;

use super::{Collection, Writer};
use crate::error::{Result, VectorizerError};
use crate::fork::generation;

thread_local! {
    /// The collections, by their place in memory, whose writers' lock this thread holds.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The process that a collection belongs to, by its [generation].
#[derive(Debug)]
pub(super) struct Process {
    /// Where it was made.
    made: u32,
    /// Where its locks are known to be held by threads that exist.
    sound: AtomicU32,
}

impl Process {
    pub(super) fn here() -> Self {
        let here = generation();
        Self {
            made: here,
            sound: here.into(),
        }
    }

    /// Whether this is a forked child of the process in which the collection was made.
    pub(super) fn is_forked(&self) -> bool {
        self.made != generation()
    }
}

/// The writers' lock, held by this thread.
#[derive(Debug)]
pub(super) struct Writing<'c> {
    /// Released before `_after` is dropped.
    writer: MutexGuard<'c, Writer>,
    _after: After<'c>,
}

/// What follows when the lock is released: listeners are told what happened under it.
#[derive(Debug)]
struct After<'c>(&'c Collection);

impl Drop for After<'_> {
    fn drop(&mut self) {
        let place = self.0.place();
        HELD.with_borrow_mut(|held| held.retain(|other| *other != place));
        if !std::thread::panicking() {
            self.0.tell();
        }
    }
}

impl Deref for Writing<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Writing<'_> {
    /// Hands the lock to whoever waits for it.
    pub(super) fn end_fairly(self) {
        let Self { writer, _after } = self;
        MutexGuard::unlock_fair(writer);
    }
}

impl Collection {
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread holds the writers' lock: then it is inside a function of the caller's that was called under it.
    pub(super) fn holds_writers_back(&self) -> bool {
        let place = self.place();
        HELD.with_borrow(|held| held.contains(&place))
    }

    /// Holds writers back, to change something that no file says.
    ///
    /// # Errors
    /// [`VectorizerError::InsideCallback`] where this thread does so already, or [`VectorizerError::Forked`].
    pub(super) fn writing(&self) -> Result<Writing<'_>> {
        self.enter()?;
        if self.holds_writers_back() {
            return Err(VectorizerError::InsideCallback);
        }
        let writer = self.writer.lock();
        let place = self.place();
        HELD.with_borrow_mut(|held| held.push(place));
        Ok(Writing {
            writer,
            _after: After(self),
        })
    }

    /// Holds writers back, to change something.
    ///
    /// # Errors
    /// As [`Collection::writing`]; in a forked child, a collection on disk cannot be changed at all.
    pub(super) fn changing(&self) -> Result<Writing<'_>> {
        if self.store.is_some() && self.process.is_forked() {
            return Err(VectorizerError::Forked {
                reason: "its files are written by the process that opened it",
            });
        }
        self.writing()
    }

    /// To be called before a lock is taken. In a forked child, threads that held a lock when it was forked are not there to release it, and
    /// neither is what a driver had: both are seen when the collection is used there first.
    ///
    /// # Errors
    /// [`VectorizerError::Forked`]
    pub(super) fn enter(&self) -> Result<()> {
        let here = generation();
        let sound = || self.process.sound.load(Ordering::Acquire) == here;
        if sound() {
            return Ok(());
        }
        if !self.context.device().is_cpu() {
            return Err(VectorizerError::Forked {
                reason: "its device belongs to the process that opened it",
            });
        }
        let held = self.writer.is_locked() || self.state.is_locked() || self.standing.is_locked();
        if !held {
            self.process.sound.store(here, Ordering::Release);
            return Ok(());
        }
        // Unless another thread of this process has been here meanwhile.
        if sound() {
            return Ok(());
        }
        Err(VectorizerError::Forked {
            reason: "another thread was using it when the process was forked",
        })
    }
}
