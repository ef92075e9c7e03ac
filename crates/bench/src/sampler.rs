//! Memory, looked at every few milliseconds while something else works.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vectorizer::gpu::memory::Ledger;

use crate::machine::resident_bytes;

/// Between two looks at first; where there are too many, every second one is dropped and the time doubled.
const PAUSE: Duration = Duration::from_millis(5);
const MOST: usize = 400;

/// Seconds since the start, memory of the process, memory of the device.
type Sample = (f64, u64, u64);

/// Looks at memory until it is told to finish.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<(f64, Vec<Sample>)>,
}

impl Sampler {
    pub(crate) fn start(ledger: Ledger) -> Self {
        let (stop, stopped) = mpsc::channel();
        let began = Instant::now();
        let look = Arc::new(move || {
            (
                began.elapsed().as_secs_f64(),
                resident_bytes().unwrap_or(0),
                ledger.total().taken,
            )
        });
        let thread = std::thread::spawn(move || {
            let mut samples = vec![look()];
            let mut pause = PAUSE;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                samples.push(look());
                if samples.len() >= MOST {
                    let mut even = false;
                    samples.retain(|_| {
                        even = !even;
                        even
                    });
                    pause *= 2;
                }
            }
            let last = look();
            samples.push(last);
            (last.0, samples)
        });
        Self { stop, thread }
    }

    /// The time it took, and what was seen.
    pub(crate) fn finish(self) -> (f64, Vec<Sample>) {
        // A thread that is gone needs not be told.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}
