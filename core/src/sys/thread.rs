//! Threads of the library's own.

use super::SysResult;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use std::thread::JoinHandle;

/// A number that no other living thread of this process has, and not 0. `pthread_t pthread_self(void)`
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: takes nothing and touches no memory of ours.
    unsafe { libc::pthread_self() as usize as u64 }
}

/// Starts a thread that no signal is delivered to, so that the user's handlers run on the user's threads.
pub(crate) fn spawn_quiet(name: &str, work: impl FnOnce() + Send + 'static) -> SysResult<JoinHandle<()>> {
    // A thread inherits the mask of the one that makes it: `int pthread_sigmask(SIG_SETMASK, ...)`.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(64 * 1024).spawn(work);
    mask.thread_set_mask()?;
    thread.map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))
}
