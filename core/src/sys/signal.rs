//! Signals to this process.

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
