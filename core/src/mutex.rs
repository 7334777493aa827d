//! Mutual exclusion between participants, which survives its owner's death.
//!
//! *The owner's slot stands in one word*, which a lock changes by one compare-and-swap and an unlock by one store. Who waits
//! sleeps on an event, a slice at a time, and asks each time whether the owner's lease still holds. If it does not, whoever gets that
//! lease has the right to act for the dead owner, and frees the word: it is marked abandoned, so that the next owner learns
//! that the last one did not finish. Nobody else may act for that slot, and a new participant that gets it does the same
//! before anything else; so the word needs no generation.
//!
//! | bits of the word | meaning |
//! |---|---|
//! | 0-15 | the owner's slot plus 1; 0 if nobody owns it |
//! | 31 | an owner died, and none who could ask has had it since |
//!
//! | word | the owner's lease | meaning |
//! |---|---|---|
//! | 0 | - | free |
//! | abandoned | - | free; whoever locks it learns that its owner died |
//! | slot | held | locked |
//! | slot | free | its owner died: whoever gets the lease makes it "abandoned" |

use crate::event::{Event, Kernel};
use crate::sync::{AtomicU32, Ordering};
use crate::wait::Nap;

const OWNER: u32 = 0xffff;
const ABANDONED: u32 = 1 << 31;

/// In shared memory.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Mutex {
    /// Written by who locks it, by its owner, and by who has the lease of an owner that died.
    word: AtomicU32,
    /// It was unlocked.
    pub(crate) unlocked: Event,
}

/// That this participant owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Locked {
    /// An owner died while it had it, and none who could ask has had it since.
    pub(crate) abandoned: bool,
}

/// The word is not one that ipcx writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsound;

impl Mutex {
    #[cfg(loom)]
    pub(crate) fn new() -> Mutex {
        Mutex { word: AtomicU32::new(0), unlocked: Event::new() }
    }

    /// Locks it for the participant in `slot`, if nobody owns it.
    #[inline(always)]
    pub(crate) fn try_lock(&self, slot: u32) -> Option<Locked> {
        // Acquire: partner `unlock` and `bury`. Without a look before, which would fetch the line twice.
        match self.word.compare_exchange(0, slot + 1, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(Locked { abandoned: false }),
            Err(ABANDONED) => self.try_lock_abandoned(slot),
            Err(_) => None,
        }
    }

    #[cold]
    fn try_lock_abandoned(&self, slot: u32) -> Option<Locked> {
        let ours = ABANDONED | (slot + 1);
        let locked = self.word.compare_exchange(ABANDONED, ours, Ordering::Acquire, Ordering::Relaxed);
        locked.is_ok().then_some(Locked { abandoned: true })
    }

    /// Unlocks it, and wakes one who waits. For its owner. An owner that could not ask gives what it was told as `mark`: the next
    /// one is told the same.
    #[inline(always)]
    pub(crate) fn unlock(&self, mark: Option<Locked>, kernel: &impl Kernel) {
        let free = if mark.is_some_and(|locked| locked.abandoned) { ABANDONED } else { 0 };
        self.word.store(free, Ordering::Release); // Partner: `try_lock`.
        self.unlocked.notify(kernel, 1);
    }

    /// The slot of its owner, if it has one.
    #[inline(always)]
    pub(crate) fn owner(&self) -> Option<u32> {
        (self.word.load(Ordering::Relaxed) & OWNER).checked_sub(1) // Relaxed: a hint; the lease decides.
    }

    /// The slot of its owner, if it has one; an error if the word is not one that so many participants write.
    pub(crate) fn owner_among(&self, participants: u32) -> Result<Option<u32>, Unsound> {
        let word = self.word.load(Ordering::Relaxed); // Relaxed: as above.
        let sound = word & !(OWNER | ABANDONED) == 0 && word & OWNER <= participants;
        if sound {
            Ok((word & OWNER).checked_sub(1))
        } else {
            Err(Unsound)
        }
    }

    /// Sleeps until it may be had, or until `until`. `found` gets it if it was to be had just before.
    pub(crate) fn nap(&self, kernel: &impl Kernel, slot: u32, until: u64, found: &mut Option<Locked>) -> Nap {
        self.unlocked.nap(kernel, || {
            *found = self.try_lock(slot);
            found.is_none().then_some(until)
        })
    }

    /// Frees it if the participant in `slot` owns it, who is dead. For the holder of that slot's lease.
    pub(crate) fn bury(&self, slot: u32, kernel: &impl Kernel) {
        let word = self.word.load(Ordering::Relaxed);
        if word & OWNER == slot + 1 {
            // Nobody but the holder of the lease changes it. Release: partner `try_lock`; the lease ordered this after what the
            // dead did.
            let _ = self.word.compare_exchange(word, ABANDONED, Ordering::Release, Ordering::Relaxed);
            self.unlocked.notify(kernel, 1);
        }
    }
}
