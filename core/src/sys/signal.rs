//! Signals to this process.

use super::SysResult;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// True for a signal that is queued, with a value, as often as it is sent.
pub(crate) fn is_real_time(signal: i32) -> bool {
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal)
}

/// Queues a signal with a value to this process; false if the queue is full. Any other failure has no remedy.
///
/// `int sigqueue(pid_t, int, const union sigval)`
pub(crate) fn queue(signal: i32, value: u32) -> bool {
    let value = libc::sigval { sival_ptr: value as usize as *mut libc::c_void };
    // SAFETY: takes numbers and touches no memory of ours; the process is this one.
    let failed = unsafe { libc::sigqueue(libc::getpid(), signal, value) } == -1;
    !(failed && nix::errno::Errno::last() == nix::errno::Errno::EAGAIN)
}

/// Does something that may raise SIGPIPE on this thread, and keeps it from the process: no handler runs, and no disposition
/// changes. One that was pending before stays so.
///
/// `int pthread_sigmask(int, const sigset_t *, sigset_t *)`, `int sigpending(sigset_t *)`,
/// `int sigtimedwait(const sigset_t *, siginfo_t *, const struct timespec *)`
pub(crate) fn without_sigpipe<T>(work: impl FnOnce() -> SysResult<T>) -> SysResult<T> {
    let mut sigpipe = SigSet::empty();
    sigpipe.add(Signal::SIGPIPE);
    if is_pending() {
        return work(); // It is blocked, and another one adds nothing.
    }
    let before = sigpipe.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = work();
    if matches!(done, Err(Errno::EPIPE)) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: set and time are valid for the call, which takes the signal that this thread has just raised.
        unsafe { libc::sigtimedwait(sigpipe.as_ref(), std::ptr::null_mut(), &at_once) };
    }
    before.thread_set_mask()?;
    done
}

fn is_pending() -> bool {
    // SAFETY: plain integers, for which zero is a value.
    let mut pending: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes the set, and reads it.
    unsafe { libc::sigpending(&mut pending) == 0 && libc::sigismember(&pending, libc::SIGPIPE) == 1 }
}
