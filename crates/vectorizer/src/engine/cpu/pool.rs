//! Threads that share a caller's work.

use std::sync::{Arc, LazyLock, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

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
    helpers: Option<Arc<ThreadPool>>,
}

type Shared = Mutex<HashMap<(Purpose, usize), Weak<ThreadPool>>>;

static SHARED: LazyLock<Shared> = LazyLock::new(Shared::default);

impl Pool {
    /// `threads` of them; 0 is one for each core. Where the system gives no threads the caller's does the work.
    pub(crate) fn new(threads: usize, purpose: Purpose) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores() } else { threads };
        let helpers = (threads > 1)
            .then(|| helpers(threads - 1, purpose))
            .flatten();
        Self {
            threads: helpers.as_ref().map_or(1, |_| threads),
            helpers,
        }
    }

    /// How many threads work, the caller's among them.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Does `job` for every item, in any order, each thread with a scratch of its own. Returns when all are done.
    ///
    /// The caller's thread works too: with one thread, or one item, nothing leaves it. Items should be worth some
    /// microseconds each, and about ten times as many as threads, so that they finish together.
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
            Some(helpers) if helping > 0 => helpers.in_place_scope(|scope| {
                for _ in 0..helping {
                    scope.spawn(|_| turn());
                }
                turn();
            }),
            _ => turn(),
        }
    }
}

fn helpers(count: usize, purpose: Purpose) -> Option<Arc<ThreadPool>> {
    let mut shared = SHARED.lock();
    if let Some(pool) = shared.get(&(purpose, count)).and_then(Weak::upgrade) {
        return Some(pool);
    }
    let name = match purpose {
        Purpose::Search => "search",
        Purpose::Build => "build",
    };
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(move |i| format!("vectorizer-{name}-{i}"))
        .build()
        .inspect_err(|error| {
            tracing::warn!("no threads to help ({error}); working on the caller's")
        })
        .ok()?;
    let pool = Arc::new(pool);
    shared.insert((purpose, count), Arc::downgrade(&pool));
    Some(pool)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn every_item_is_done_once() {
        for threads in [0, 1, 2, 3] {
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
}
