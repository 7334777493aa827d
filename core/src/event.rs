//! Events: any number of processes sleep until something of shared memory has changed.
//!
//! An event says nothing about what changed. Who waits looks at that itself: it announces its sleep, looks once more,
//! and sleeps while the event's word is what it announced. Who changes something calls [`Event::notify`] after it, which costs
//! one load while nobody sleeps. One of the two sees the other (Dekker's argument; the models in `tests/model` check it).
//!
//! Nobody is counted. A sleeper that dies leaves a bit that the next notification clears; a notifier that dies between its
//! change and the wake-up, or a sleeper that dies after it was woken in place of another, costs the others what is left of
//! their slice of sleep.
//!
//! | bits of the word | meaning |
//! |---|---|
//! | 0 | somebody may be asleep |
//! | 1 | somebody went to sleep whose barrier reaches nobody: notifiers must fence |
//! | 2.. | notifications that found somebody asleep |

#[cfg(not(loom))]
use crate::sync::compiler_fence;
use crate::sync::{fence, AtomicU32, Ordering};
use crate::wait::Nap;

const ASLEEP: u32 = 1;
const NEEDS_FENCE: u32 = 2;
const NOTIFIED: u32 = 4;

/// The word. Written by who goes to sleep and by who notifies a sleeper.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Event(pub(crate) AtomicU32);

/// What the system does for events; the model checker has its own.
pub(crate) trait Kernel {
    /// True if others' barriers reach this process.
    fn registered(&self) -> bool;
    /// Makes every registered process's running threads execute a full barrier; says whether that worked.
    fn barrier(&self) -> bool;
    /// Sleeps while the event's word is `expected`, until woken or `until`.
    fn sleep(&self, event: &Event, expected: u32, until: u64) -> Nap;
    /// Wakes up to `most` sleepers; says how many.
    fn wake(&self, event: &Event, most: u32) -> u32;
}

/// Before the rare side's word is looked at: a full fence, or none where the rare side's barrier reaches this process.
#[inline(always)]
pub(crate) fn light_fence(kernel: &impl Kernel) {
    #[cfg(loom)] // whose threads no barrier reaches
    let _ = (kernel, fence(Ordering::SeqCst));
    #[cfg(not(loom))]
    if kernel.registered() {
        // The partner's barrier orders what the processor does, not what the compiler does.
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst); // Partner: `announce`, and whoever else makes a barrier.
    }
}

impl Event {
    #[cfg(loom)]
    pub(crate) fn new() -> Event {
        Event(AtomicU32::new(0))
    }

    /// After a change: wakes up to `most` of those that sleep. No system call while nobody does.
    #[inline(always)]
    pub(crate) fn notify(&self, kernel: &impl Kernel, most: u32) {
        light_fence(kernel);
        // Relaxed: ordered after the change by the fence above, or by the sleeper's barrier.
        if self.0.load(Ordering::Relaxed) & (ASLEEP | NEEDS_FENCE) != 0 {
            self.answer(kernel, most);
        }
    }

    /// True if somebody may be asleep; a hint.
    #[inline(always)]
    pub(crate) fn has_sleepers(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ASLEEP != 0
    }

    #[cold]
    #[inline(never)]
    fn answer(&self, kernel: &impl Kernel, most: u32) {
        fence(Ordering::SeqCst); // Partner: `announce` of one whose barrier reaches nobody.
        if !self.has_sleepers() {
            return;
        }
        // Who has looked and does not sleep yet finds the word changed, and looks again.
        let word = self.0.fetch_add(NOTIFIED, Ordering::Relaxed).wrapping_add(NOTIFIED);
        if kernel.wake(self, most) > 0 {
            return;
        }
        // Nobody slept. Whoever fell asleep since, relying on the bit, is woken once it is cleared; and the word changes once
        // more, so that it is not the same again for those who relied on the bit when another has set it anew.
        let cleared = word.wrapping_add(NOTIFIED) & !ASLEEP;
        if self.0.compare_exchange(word, cleared, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            kernel.wake(self, u32::MAX);
        }
    }

    /// Says that this thread is about to sleep, and gives the word to sleep on. After it, look once more.
    pub(crate) fn announce(&self, kernel: &impl Kernel) -> u32 {
        let mut word = self.0.load(Ordering::Relaxed);
        if word & ASLEEP == 0 {
            word = self.0.fetch_or(ASLEEP, Ordering::Relaxed) | ASLEEP;
        }
        if !kernel.barrier() {
            word = self.0.fetch_or(ASLEEP | NEEDS_FENCE, Ordering::Relaxed) | ASLEEP | NEEDS_FENCE;
        }
        fence(Ordering::SeqCst); // Partner: `notify`.
        word
    }

    /// For the kernel.
    #[cfg(not(loom))]
    pub(crate) fn address(&self) -> *const u32 {
        std::ptr::from_ref(self).cast()
    }

    /// Sleeps until something may have changed. `look` is asked once it is known that who changes something will notice: it
    /// says until when to sleep at most, or `None` if there is no need to.
    pub(crate) fn nap(&self, kernel: &impl Kernel, look: impl FnOnce() -> Option<u64>) -> Nap {
        let word = self.announce(kernel);
        match look() {
            Some(until) => kernel.sleep(self, word, until),
            None => Nap::Over,
        }
    }
}

/// The system's kernel.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct System {
    registered: bool,
}

#[cfg(not(loom))]
impl System {
    /// For this process, which registers for others' barriers.
    pub(crate) fn new() -> System {
        System { registered: crate::sys::barrier::register() }
    }
}

#[cfg(not(loom))]
impl Kernel for System {
    #[inline(always)]
    fn registered(&self) -> bool {
        self.registered
    }

    fn barrier(&self) -> bool {
        crate::sys::barrier::global()
    }

    fn sleep(&self, event: &Event, expected: u32, until: u64) -> Nap {
        // SAFETY: the reference keeps the word mapped for the call, and it is aligned to 4.
        match unsafe { crate::sys::futex::wait(event.address(), expected, until) } {
            Err(crate::sys::Errno::EINTR) => Nap::Interrupted,
            _ => Nap::Over,
        }
    }

    fn wake(&self, event: &Event, most: u32) -> u32 {
        // SAFETY: as in `sleep`.
        unsafe { crate::sys::futex::wake(event.address(), most) }
    }
}
