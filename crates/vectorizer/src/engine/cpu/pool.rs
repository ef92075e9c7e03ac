//! Threads that share a caller's work: the one place where this crate waits for other threads that compute.
//!
//! - `helpers`: the threads, and how a caller waits for them without doing anything else.

use std::sync::{Arc, Weak};

use parking_lot::{Mutex, const_mutex};

use crate::config::effective_threads;
use helpers::Helpers;

mod helpers;

/// What threads are for. Searches and builds have threads of their own, so that a search never queues behind a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Answering queries.
    Search,
    /// Linking.
    Build,
}

/// A number of threads, the caller's own among them. Pools of one size and purpose share their threads.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    threads: usize,
    /// One thread fewer than `threads`; none if the caller's is the only one.
    helpers: Option<Arc<Helpers>>,
}

/// Whose helpers these are: of which generation (a forked child has none of its parent's threads), what for, and how many.
type Key = (u32, Purpose, usize);

static SHARED: Mutex<Vec<(Key, Weak<Helpers>)>> = const_mutex(Vec::new());

impl Pool {
    /// `threads` of them, as far as so many [are of use](effective_threads); 0 is one for each core. Threads start when there is work
    /// for them. Where the system gives none the caller's does the work.
    pub(crate) fn new(threads: usize, purpose: Purpose) -> Self {
        let threads = effective_threads(threads);
        Self {
            threads,
            helpers: (threads > 1).then(|| helpers(threads - 1, purpose)),
        }
    }

    /// How many threads work, the caller's among them.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Does `job` for every item, in any order, each thread with a scratch of its own. Returns when all are done.
    ///
    /// The caller's thread works too: with one thread, or one item, nothing leaves it. Where helpers are busy it works through all
    /// items, and it never does anything else meanwhile: to wait here under a lock, or inside another item, is fine. Items should be
    /// worth some microseconds each, and about ten times as many as threads, so that they finish together.
    pub(crate) fn work<T: Send, S>(
        &self,
        items: Vec<T>,
        scratch: impl Fn() -> S + Sync,
        job: impl Fn(&mut S, T) + Sync,
    ) {
        let helping = self.threads.min(items.len()).saturating_sub(1);
        let items = Mutex::new(items.into_iter());
        let turn = || {
            let mut item = items.lock().next();
            if item.is_none() {
                return;
            }
            let mut scratch = scratch();
            while let Some(next) = item {
                job(&mut scratch, next);
                item = items.lock().next();
            }
        };
        match &self.helpers {
            Some(helpers) => helpers.share(helping, &turn),
            None => turn(),
        }
    }
}

/// Does `one` on a thread of its own while the caller's does `other`. Where the system gives no thread, one after the other.
pub(crate) fn beside<A: Send, B>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B,
) -> (A, B) {
    let waiting = Mutex::new(Some(one));
    std::thread::scope(|scope| {
        let take = || {
            let one = waiting.lock().take();
            one.map(|one| one())
        };
        let started = std::thread::Builder::new().spawn_scoped(scope, take);
        let other = other();
        let one = match started.map(std::thread::ScopedJoinHandle::join) {
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Ok(Ok(one)) => one,
            Err(error) => {
                tracing::warn!("no thread to help ({error}); working on the caller's");
                None
            }
        };
        // Without a thread nobody took it.
        let Some(one) = one.or_else(take) else {
            unreachable!("it is taken once, by the thread or here");
        };
        (one, other)
    })
}

fn helpers(count: usize, purpose: Purpose) -> Arc<Helpers> {
    let name = match purpose {
        Purpose::Search => "search",
        Purpose::Build => "build",
    };
    let key = (crate::fork::generation(), purpose, count);
    // In a forked child a thread that is not there may hold this lock for ever.
    let Some(mut shared) = SHARED.try_lock_for(std::time::Duration::from_secs(1)) else {
        return Arc::new(Helpers::new(count, name));
    };
    shared.retain(|(_, helpers)| helpers.strong_count() > 0);
    let known = shared.iter().find(|(other, _)| *other == key);
    if let Some(helpers) = known.and_then(|(_, helpers)| helpers.upgrade()) {
        return helpers;
    }
    let helpers = Arc::new(Helpers::new(count, name));
    shared.push((key, Arc::downgrade(&helpers)));
    helpers
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn every_item_is_done_once() {
        for threads in [0, 1, 2, 3, 64] {
            let pool = Pool::new(threads, Purpose::Search);
            for count in [0, 1, 2, 1000] {
                let mut done = vec![0u32; count];
                let items: Vec<_> = done.iter_mut().collect();
                let scratches = AtomicUsize::new(0);
                pool.work(
                    items,
                    || scratches.fetch_add(1, Ordering::Relaxed),
                    |_, item| *item += 1,
                );
                assert!(done.iter().all(|n| *n == 1));
                assert!(scratches.into_inner() <= pool.threads().min(count));
            }
        }
    }

    #[test]
    fn one_thread_is_the_callers() {
        let pool = Pool::new(1, Purpose::Build);
        let seen = Mutex::new(HashSet::new());
        pool.work(
            vec![(); 100],
            || (),
            |(), ()| {
                seen.lock().insert(thread::current().id());
            },
        );
        assert_eq!(seen.into_inner(), HashSet::from([thread::current().id()]));
    }

    #[test]
    fn pools_of_one_size_share_their_threads() {
        let (a, b) = (Pool::new(3, Purpose::Search), Pool::new(3, Purpose::Search));
        let other = Pool::new(3, Purpose::Build);
        let threads = |pool: &Pool| pool.helpers.clone().unwrap();
        assert!(Arc::ptr_eq(&threads(&a), &threads(&b)));
        assert!(!Arc::ptr_eq(&threads(&a), &threads(&other)));
    }

    #[test]
    fn work_within_work_is_done_however_few_the_helpers() {
        let pool = Pool::new(2, Purpose::Search);
        let done = AtomicUsize::new(0);
        pool.work(
            vec![(); 8],
            || (),
            |(), ()| {
                pool.work(
                    vec![(); 8],
                    || (),
                    |(), ()| {
                        pool.work(
                            vec![(); 8],
                            || (),
                            |(), ()| {
                                done.fetch_add(1, Ordering::Relaxed);
                            },
                        );
                    },
                );
            },
        );
        assert_eq!(done.into_inner(), 512);
    }

    #[test]
    fn a_caller_does_not_wait_for_helpers_that_are_busy_elsewhere() {
        let pool = Pool::new(2, Purpose::Build);
        // Of a caller, its helper, and this thread.
        let (inside, out) = (std::sync::Barrier::new(3), std::sync::Barrier::new(3));
        thread::scope(|scope| {
            let (busy, inside, out) = (pool.clone(), &inside, &out);
            scope.spawn(move || {
                busy.work(
                    vec![(); 2],
                    || (),
                    |(), ()| {
                        inside.wait();
                        out.wait();
                    },
                );
            });
            inside.wait();
            let seen = Mutex::new(HashSet::new());
            pool.work(
                vec![(); 50],
                || (),
                |(), ()| {
                    seen.lock().insert(thread::current().id());
                },
            );
            assert_eq!(seen.into_inner(), HashSet::from([thread::current().id()]));
            out.wait();
        });
    }

    #[test]
    fn a_panic_of_any_thread_reaches_the_caller_when_all_are_out() {
        for guilty in 0..4usize {
            let pool = Pool::new(4, Purpose::Search);
            let (inside, done) = (std::sync::Barrier::new(4), AtomicUsize::new(0));
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.work(
                    (0..4).collect(),
                    || (),
                    |(), item: usize| {
                        inside.wait();
                        if item == guilty {
                            std::panic::panic_any(guilty);
                        }
                        thread::yield_now();
                        done.fetch_add(1, Ordering::SeqCst);
                    },
                );
            }));
            assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), guilty);
            assert_eq!(done.into_inner(), 3);
            // The helpers are still there.
            let done = AtomicUsize::new(0);
            pool.work(
                vec![(); 100],
                || (),
                |(), ()| {
                    done.fetch_add(1, Ordering::SeqCst);
                },
            );
            assert_eq!(done.into_inner(), 100);
        }
    }

    #[test]
    fn no_more_threads_start_than_there_are_items() {
        // Of a size that no other test has: pools of one size share their threads.
        let pool = Pool::new(61, Purpose::Build);
        let helpers = pool.helpers.clone().unwrap();
        for _ in 0..20 {
            pool.work(vec![(); 3], || (), |(), ()| ());
        }
        assert!(helpers.started() <= 2, "{}", helpers.started());
        assert_eq!(
            Pool::new(1024, Purpose::Build).threads(),
            effective_threads(1024)
        );
    }

    #[test]
    fn two_things_side_by_side() {
        let mut taken = 1;
        assert_eq!(
            beside(
                || 2,
                || {
                    taken += 1;
                    taken
                }
            ),
            (2, 2)
        );
        let caught = std::panic::catch_unwind(|| beside(|| std::panic::panic_any(7usize), || ()));
        assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), 7);
    }
}
