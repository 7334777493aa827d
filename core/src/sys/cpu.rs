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

/// Nanoseconds of a [`pause`]: long enough for a producer to get a few records ahead, measured in docs/ring-format.md.
const PAUSE: u64 = 1_400;

/// Keeps this processor off shared memory for about 1.4 µs, without a system call. One `spin_loop` takes from 2 to 60 ns on
/// processors of today, so it is timed once per process.
pub(crate) fn pause() {
    static TURNS: OnceLock<u32> = OnceLock::new();
    let turns = *TURNS.get_or_init(|| {
        const SAMPLE: u64 = 1_000;
        let begin = super::clock::now();
        (0..SAMPLE).for_each(|_| std::hint::spin_loop());
        let elapsed = (super::clock::now() - begin).max(1);
        // Bounded, for a sample that was interrupted.
        (PAUSE * SAMPLE / elapsed).clamp(16, 1_000) as u32
    });
    (0..turns).for_each(|_| std::hint::spin_loop());
}
