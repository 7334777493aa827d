//! Which process this is: forked children are told apart by a number, so that a handle can ask at the cost of one load.
//!
//! Only children made by `fork` are covered, as in the core.

#![allow(
    clippy::disallowed_types,
    reason = "one counter, of this process only; nothing here is shared memory"
)]

use std::sync::atomic::{AtomicU32, Ordering};

/// Moves on in a forked child, while it has one thread.
static GENERATION: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed); // Relaxed: one thread.
}

/// Begins to count; once, when the module is imported.
pub(crate) fn count() {
    // SAFETY: the handler is a function without state of the caller. It fails for lack of memory only; then inherited handles
    // say that they are inherited.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// Differs between a process and the children it forks.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed) // Relaxed: changes only in a child that has one thread.
}
