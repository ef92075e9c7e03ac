//! Whether this process was forked since: a child has its parent's memory, and none of its threads.
#![cfg_attr(
    unix,
    expect(unsafe_code, reason = "only the system's library knows of a fork")
)]

use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between this process and the one that asked first. What remembers the generation that it was made in knows whether it is in a
/// child of that process now. To ask costs nothing, unlike asking the system for the process's number.
pub(crate) fn generation() -> u32 {
    #[cfg(unix)]
    {
        static WATCHING: std::sync::Once = std::sync::Once::new();
        WATCHING.call_once(|| {
            // SAFETY: `count` may be called in a child at any moment: it adds to a number.
            let failed = unsafe { libc::pthread_atfork(None, None, Some(count)) };
            if failed != 0 {
                tracing::warn!("forks of this process are not noticed: there is no memory");
            }
        });
    }
    GENERATION.load(Ordering::Relaxed)
}

#[cfg(unix)]
extern "C" fn count() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
