//! Helper threads, and the latch on which a caller waits for them.
//!
//! A caller never runs anything but its own items while it waits: a thread that steals other tasks there could take a lock
//! that it holds already. It does not wait for helpers that have not begun either: it withdraws its invitation to them.
#![expect(
    unsafe_code,
    reason = "helpers outlive the work that they are lent, so its lifetime has to be erased"
)]

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// A number of threads that help callers. They are started when there is work for them, and end with this.
#[derive(Debug)]
pub(super) struct Helpers {
    shared: Arc<Shared>,
    /// Of the process that has the threads: a forked child has none of them.
    generation: u32,
}

#[derive(Debug)]
struct Shared {
    /// What threads are named after.
    name: &'static str,
    /// How many threads there may be.
    most: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Invitations that no helper has taken yet, the oldest first.
    waiting: VecDeque<Arc<Job>>,
    /// How many threads were started.
    started: usize,
    /// How many of them are at work: the others sleep, or are about to look for work.
    busy: usize,
    closed: bool,
}

/// What a caller shares. `turn` may be called only while `tally.running` counts the helper that calls it.
struct Job {
    turn: *const (dyn Fn() + Sync),
    tally: Mutex<Tally>,
    over: Condvar,
}

#[derive(Default)]
struct Tally {
    /// Helpers that are in `turn`.
    running: usize,
    /// Of the first helper that panicked.
    panic: Option<Box<dyn Any + Send>>,
}

// SAFETY: `turn` points to a function that any thread may call (`Sync`), and is called only while the caller keeps it alive.
unsafe impl Send for Job {}
// SAFETY: as above; the rest is behind locks.
unsafe impl Sync for Job {}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Helpers {
    /// Up to `most` threads; none is started yet.
    pub(super) fn new(most: usize, name: &'static str) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                most,
                queue: Mutex::default(),
                wake: Condvar::new(),
            }),
            generation: crate::fork::generation(),
        }
    }

    /// How many threads were started.
    #[cfg(test)]
    pub(super) fn started(&self) -> usize {
        self.shared.queue.lock().started
    }

    /// Calls `turn` on this thread, and meanwhile on as many as `helping` others. Returns when all calls have returned.
    ///
    /// In a forked child, which has no helpers, this thread does all.
    ///
    /// # Panics
    /// If `turn` does, on any thread; all calls have returned by then.
    pub(super) fn share(&self, helping: usize, turn: &(dyn Fn() + Sync)) {
        if helping == 0 || self.generation != crate::fork::generation() {
            return turn();
        }
        // SAFETY: only the lifetime changes. `turn` is borrowed until this function is left, by return or by panic, and
        // `Invited` lets neither happen before every helper that has begun is through, and no other can begin.
        let erased = unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync), *const (dyn Fn() + Sync + 'static)>(
                turn,
            )
        };
        let invited = Invited {
            shared: &self.shared,
            job: Arc::new(Job {
                turn: erased,
                tally: Mutex::default(),
                over: Condvar::new(),
            }),
        };
        invited.invite(helping);
        turn();
        let job = Arc::clone(&invited.job);
        drop(invited);
        let panic = job.tally.lock().panic.take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        // In a forked child a thread that is not there may hold the lock for ever.
        if self.generation == crate::fork::generation() {
            self.shared.queue.lock().closed = true;
            self.shared.wake.notify_all();
        }
    }
}

/// An invitation to help, until it is withdrawn and all who followed it are through.
struct Invited<'h> {
    shared: &'h Arc<Shared>,
    job: Arc<Job>,
}

impl Invited<'_> {
    /// Invites `helping` helpers, and starts threads where too few are idle.
    fn invite(&self, helping: usize) {
        let shared = self.shared;
        let mut queue = shared.queue.lock();
        for _ in 0..helping {
            queue.waiting.push_back(Arc::clone(&self.job));
        }
        let free = queue.started - queue.busy;
        let lacking = queue.waiting.len().saturating_sub(free);
        let starting = lacking.min(shared.most - queue.started);
        let first = queue.started;
        queue.started += starting;
        drop(queue);
        for _ in 0..helping {
            shared.wake.notify_one();
        }
        for number in first..first + starting {
            let helper = Arc::clone(shared);
            let started = thread::Builder::new()
                .name(format!("vectorizer-{}-{number}", shared.name))
                .spawn(move || helper.help());
            if let Err(error) = started {
                tracing::warn!("no threads to help ({error}); working on those there are");
                shared.queue.lock().started -= first + starting - number;
                return;
            }
        }
    }
}

impl Drop for Invited<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.waiting.retain(|job| !Arc::ptr_eq(job, &self.job));
        drop(queue);
        let mut tally = self.job.tally.lock();
        while tally.running > 0 {
            self.job.over.wait(&mut tally);
        }
    }
}

impl Shared {
    /// What a helper does: takes the oldest invitation, as long as there may be any.
    fn help(&self) {
        let mut queue = self.queue.lock();
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                // Counted before the queue is released: whoever withdraws the job afterwards waits for this helper.
                job.tally.lock().running += 1;
                queue.busy += 1;
                drop(queue);
                // Free again before the caller knows: what it asks for next starts no thread in place of this one.
                job.run(|| self.queue.lock().busy -= 1);
                drop(job);
                queue = self.queue.lock();
            } else if queue.closed {
                return;
            } else {
                self.wake.wait(&mut queue);
            }
        }
    }
}

impl Job {
    /// To be called by a helper that was counted. `ended` is called before the caller is told that the helper is through.
    fn run(&self, ended: impl FnOnce()) {
        // SAFETY: the caller's thread waits in `Invited::drop` until this helper is no longer counted, and what `turn` points to
        // lives as long.
        let turn = unsafe { &*self.turn };
        let outcome = catch_unwind(AssertUnwindSafe(turn));
        ended();
        let mut tally = self.tally.lock();
        tally.running -= 1;
        if let Err(panic) = outcome {
            tally.panic.get_or_insert(panic);
        }
        if tally.running == 0 {
            self.over.notify_one();
        }
    }
}
