//! Which processor this thread is on, and how many there are.

use crate::sync::{AtomicU32, Ordering};

/// Number of the processor that runs this thread now; `u32::MAX` if the kernel does not say.
pub(crate) fn current() -> u32 {
    // SAFETY: `int sched_getcpu(void)` takes nothing and touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(u32::MAX)
}

/// A number found out once per process and kept. Two threads may find it out at once; no lock, which a forked child could
/// inherit locked.
struct Kept(AtomicU32);

impl Kept {
    fn get(&self, find: impl FnOnce() -> u32) -> u32 {
        match self.0.load(Ordering::Relaxed) {
            // Relaxed: the number is all there is.
            0 => {
                let found = find().max(1);
                self.0.store(found, Ordering::Relaxed);
                found
            }
            found => found,
        }
    }
}

/// True if the host has one processor online, so that spinning only keeps the partner from running.
pub(crate) fn single() -> bool {
    static ONLINE: Kept = Kept(AtomicU32::new(0));
    // SAFETY: `long sysconf(int)` takes an integer and touches no memory of ours.
    ONLINE.get(|| unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.try_into().unwrap_or(2)) == 1
}

/// Lets another thread run: `int sched_yield(void)`.
pub(crate) fn give_way() {
    std::thread::yield_now();
}

/// Keeps this processor off shared memory for about so many nanoseconds, 10,000 at most, without a system call. One
/// `spin_loop` takes from 2 to 60 ns on processors of today, so it is timed once per process.
pub(crate) fn pause(nanoseconds: u32) {
    /// How many take 1,024 ns.
    static TURNS: Kept = Kept(AtomicU32::new(0));
    let turns = TURNS.get(|| {
        const SAMPLE: u64 = 1_000;
        let begin = super::clock::now();
        (0..SAMPLE).for_each(|_| std::hint::spin_loop());
        let elapsed = (super::clock::now() - begin).max(1);
        // Bounded, for a sample that was interrupted.
        (1024 * SAMPLE / elapsed).clamp(16, 512) as u32
    });
    (0..(turns * nanoseconds).div_ceil(1024)).for_each(|_| std::hint::spin_loop());
}
