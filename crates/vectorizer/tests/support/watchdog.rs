//! What hangs ends the program, with words: a test that waits for ever says nothing.

use std::process::abort;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Does `work`; if that does not end, the program does, and says what it was about.
pub fn watched<R>(what: &str, work: impl FnOnce() -> R) -> R {
    let (done, over) = mpsc::channel::<()>();
    let told = what.to_owned();
    let watching = thread::spawn(move || {
        if over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("this hangs: {told}");
            abort();
        }
    });
    let result = work();
    drop(done);
    watching.join().unwrap();
    result
}
