//! Threads of the library's own.

use super::SysResult;
use crate::sync::{AtomicU64, Ordering};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use std::cell::Cell;
use std::thread::JoinHandle;

/// A number that no other living thread of this process has, and not 0; one that ended may have had it.
/// `pthread_t pthread_self(void)`
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: takes nothing and touches no memory of ours.
    unsafe { libc::pthread_self() as usize as u64 }
}

/// A number that no other thread of this process has or had, and not 0. Async-signal-safe.
pub(crate) fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed) + 1); // Relaxed: the number is all there is.
        }
        number.get()
    })
}

/// Starts a thread that no signal is delivered to, so that the user's handlers run on the user's threads.
pub(crate) fn spawn_quiet(name: &str, work: impl FnOnce() + Send + 'static) -> SysResult<JoinHandle<()>> {
    // A thread inherits the mask of the one that makes it: `int pthread_sigmask(SIG_SETMASK, ...)`.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(64 * 1024).spawn(work);
    mask.thread_set_mask()?;
    thread.map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))
}
