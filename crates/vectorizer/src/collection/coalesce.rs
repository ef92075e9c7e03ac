//! Many callers, one batch: single queries that arrive while another is on the device go there together next.
//!
//! A lone caller finds nobody before it and goes at once. Whoever arrives while a batch is running queues up; when it
//! returns, one of the queue takes all that want the same thing and runs them as one.

use parking_lot::{Condvar, Mutex};

use crate::config::SearchOptions;
use crate::error::{Result, VectorizerError};
use crate::models::SearchResult;

type Found = Result<Vec<SearchResult>>;

/// What queries of one batch have in common.
type Want = (usize, SearchOptions);

struct Waiting {
    ticket: u64,
    want: Want,
    query: Vec<f32>,
}

#[derive(Default)]
struct Queue {
    running: bool,
    next_ticket: u64,
    waiting: Vec<Waiting>,
    done: Vec<(u64, Found)>,
}

/// Where single queries meet.
#[derive(Default)]
pub(super) struct Coalescer {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl std::fmt::Debug for Coalescer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coalescer").finish_non_exhaustive()
    }
}

/// One batch on its way. However it ends, everyone in it gets an answer and the next may run.
struct Turn<'a> {
    coalescer: &'a Coalescer,
    /// Of whoever runs it.
    leader: u64,
    tickets: Vec<u64>,
    found: Vec<Found>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Short only if the search panicked.
        self.found
            .resize_with(self.tickets.len(), || Err(VectorizerError::SearchFailed));
        // A leader that panics takes no answer with it: nobody would come for it.
        let comes_back = !std::thread::panicking();
        let answers = self.tickets.drain(..).zip(self.found.drain(..));
        let answers = answers.filter(|(ticket, _)| comes_back || *ticket != self.leader);
        let mut queue = self.coalescer.queue.lock();
        queue.done.extend(answers);
        queue.running = false;
        self.coalescer.changed.notify_all();
    }
}

impl Coalescer {
    /// Answers one query, by `run` on it and on those that wait for the same: queries laid end to end, a list of results each.
    pub(super) fn search(
        &self,
        query: &[f32],
        want: Want,
        run: impl Fn(&[f32], &Want) -> Result<Vec<Vec<SearchResult>>>,
    ) -> Found {
        let mut queue = self.queue.lock();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push(Waiting {
            ticket,
            want: want.clone(),
            query: query.to_vec(),
        });
        loop {
            if let Some(place) = queue.done.iter().position(|(done, _)| *done == ticket) {
                return queue.done.swap_remove(place).1;
            }
            if queue.running {
                self.changed.wait(&mut queue);
                continue;
            }
            // Nobody runs and this one has no answer: it still waits, and takes along whoever wants the same.
            queue.running = true;
            let (batch, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut queue.waiting)
                .into_iter()
                .partition(|other| other.want == want);
            queue.waiting = rest;
            drop(queue);
            let mut turn = Turn {
                coalescer: self,
                leader: ticket,
                tickets: batch.iter().map(|waiting| waiting.ticket).collect(),
                found: Vec::new(),
            };
            let queries: Vec<f32> = batch
                .into_iter()
                .flat_map(|waiting| waiting.query)
                .collect();
            turn.found = match run(&queries, &want) {
                Ok(found) => found.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); turn.tickets.len()],
            };
            drop(turn);
            queue = self.queue.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const WANT: Want = (
        1,
        SearchOptions {
            path: crate::config::SearchPath::Auto,
            ef: None,
            with_payload: false,
            filter: None,
            min_similarity: None,
            offset: 0,
        },
    );

    fn echo(queries: &[f32]) -> Vec<Vec<SearchResult>> {
        let result = |x: &f32| SearchResult {
            id: x.to_string(),
            similarity: *x,
            distance: *x,
            payload: None,
        };
        queries.iter().map(|x| vec![result(x)]).collect()
    }

    #[test]
    fn a_lone_caller_goes_at_once() {
        let coalescer = Coalescer::default();
        let found = coalescer
            .search(&[4.0], WANT, |queries, _| Ok(echo(queries)))
            .unwrap();
        assert_eq!(found[0].id, "4");
    }

    #[test]
    fn those_who_wait_go_together_and_get_their_own() {
        let coalescer = Coalescer::default();
        let batches = AtomicUsize::new(0);
        let (entered, first_is_in) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let (release, released) = (Mutex::new(release), Mutex::new(released));
        std::thread::scope(|scope| {
            let entered = Mutex::new(entered);
            let coalescer = &coalescer;
            let batches = &batches;
            let released = &released;
            scope.spawn(move || {
                coalescer.search(&[0.0], WANT, |queries, _| {
                    batches.fetch_add(1, Ordering::SeqCst);
                    entered.lock().send(()).unwrap();
                    released.lock().recv().unwrap();
                    Ok(echo(queries))
                })
            });
            first_is_in.recv().unwrap();
            let others: Vec<_> = (1..9u8)
                .map(|number| {
                    scope.spawn(move || {
                        let run = |queries: &[f32], _: &Want| {
                            batches.fetch_add(1, Ordering::SeqCst);
                            Ok(echo(queries))
                        };
                        coalescer.search(&[f32::from(number)], WANT, run).unwrap()
                    })
                })
                .collect();
            while coalescer.queue.lock().waiting.len() < 8 {
                std::thread::yield_now();
            }
            release.lock().send(()).unwrap();
            for (number, other) in (1..9u8).zip(others) {
                assert_eq!(other.join().unwrap()[0].id, number.to_string());
            }
        });
        assert_eq!(batches.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn an_error_reaches_everyone_and_a_panic_blocks_nobody() {
        let coalescer = Coalescer::default();
        let error = coalescer
            .search(&[1.0], WANT, |_, _| Err(VectorizerError::SearchFailed))
            .unwrap_err();
        assert_eq!(error, VectorizerError::SearchFailed);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            coalescer.search(&[1.0], WANT, |_, _| panic!("a search that breaks"))
        }));
        assert!(panicked.is_err());
        assert!(coalescer.queue.lock().done.is_empty());
        assert!(
            coalescer
                .search(&[1.0], WANT, |queries, _| Ok(echo(queries)))
                .is_ok()
        );
    }
}
