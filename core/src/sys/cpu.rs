//! Which processor this thread is on, and how many there are.

use std::sync::OnceLock;

/// Number of the processor that runs this thread now; `u32::MAX` if the kernel does not say.
pub(crate) fn current() -> u32 {
    // SAFETY: `int sched_getcpu(void)` takes nothing and touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(u32::MAX)
}

/// True if the host has one processor online, so that spinning only keeps the partner from running.
pub(crate) fn single() -> bool {
    static SINGLE: OnceLock<bool> = OnceLock::new();
    // SAFETY: `long sysconf(int)` takes an integer and touches no memory of ours.
    *SINGLE.get_or_init(|| unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } == 1)
}

/// Lets another thread run: `int sched_yield(void)`.
pub(crate) fn give_way() {
    std::thread::yield_now();
}
