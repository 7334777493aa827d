//! Roles: a word in shared memory and a lock of the kernel, which together tell who has a role and whether it lives.
//!
//! | word | lock | meaning |
//! |---|---|---|
//! | `NONE` | free | never taken |
//! | `OPEN` | held | its owner lives |
//! | `OPEN` | free | its owner died: whoever gets the lock is the successor |
//! | `CLOSED` | free | its owner closed in good order |
//! | any | held | an owner is taking it (lock first, then word) or giving it up (word first, then lock) |
//!
//! A process that dies between lock and word leaves the word of before and a free lock: one of the rows above.
//!
//! Over any locks: the kernel's, and those of the model checker.

use crate::sync::{AtomicU64, Ordering};

pub(crate) const NONE: u64 = 0;
pub(crate) const OPEN: u64 = 1;
pub(crate) const CLOSED: u64 = 2;
const PEER_CLOSED: u64 = 4;
const DISREGARDED: u64 = 0xff00_0000 | PEER_CLOSED;

/// Who holds a role, in shared memory.
///
/// Bits 0-1: `NONE`, `OPEN` or `CLOSED`; bit 2: a peer that had closed does not count for the owner, and bits 24-31: which,
/// by the lowest bits of how often that role was taken; bits 8-23: the owner's slot; from bit 32: how often the role was
/// taken. Only writer: the holder of the role's lock.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct RoleWord(AtomicU64);

impl RoleWord {
    /// A private copy of one that was read.
    #[cfg(not(loom))]
    pub(crate) fn copy(word: u64) -> RoleWord {
        RoleWord(AtomicU64::new(word))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> RoleWord {
        RoleWord(AtomicU64::new(NONE))
    }

    fn state(word: u64) -> u64 {
        word & 3
    }

    /// The word, if it says that the owner closed: one load. A later owner's is another.
    #[inline]
    pub(crate) fn closed(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|word| RoleWord::state(*word) == CLOSED)
        // Partner: `close`.
    }

    /// The word, if the owner closed and there is `nothing_left` of what it did. That is asked last: what it did before it
    /// closed is then seen.
    pub(crate) fn closed_before(&self, nothing_left: impl FnOnce() -> bool) -> Option<u64> {
        self.closed().filter(|_| nothing_left())
    }

    /// For who takes the role: the word of a peer that closed before and does not count. Where the owner before died, its
    /// successor has the same peer as that one; otherwise, none with `nothing_left` counts.
    pub(crate) fn peer_before(&self, peer: &RoleWord, nothing_left: impl FnOnce() -> bool) -> Option<u64> {
        let own = self.0.load(Ordering::Relaxed); // Relaxed: read by the holder of the lock.
        if RoleWord::state(own) == OPEN {
            return peer.closed().filter(|word| own & DISREGARDED == RoleWord::disregarding(*word));
        }
        peer.closed_before(nothing_left)
    }

    /// What the word of an owner has of a peer that does not count.
    fn disregarding(peer: u64) -> u64 {
        PEER_CLOSED | (peer >> 32 & 0xff) << 24
    }

    /// The slot of whoever has, or last had, the role.
    pub(crate) fn slot(&self) -> u32 {
        RoleWord::slot_in(self.0.load(Ordering::Acquire)) // Partner: `open`.
    }

    /// The slot of whoever has the role, or died having it.
    pub(crate) fn open_slot(&self) -> Option<u32> {
        let word = self.0.load(Ordering::Acquire); // Partner: `open`.
        (RoleWord::state(word) == OPEN).then_some(RoleWord::slot_in(word))
    }

    fn slot_in(word: u64) -> u32 {
        (word >> 8) as u16 as u32
    }

    /// Says who has the role now, and which peer's word does not count for it. For the holder of its lock.
    pub(crate) fn open(&self, slot: u32, disregarded: Option<u64>) {
        let peer = disregarded.map_or(0, RoleWord::disregarding);
        let before = self.0.load(Ordering::Relaxed); // Relaxed: the lock makes this the only writer.
        let taken = (before >> 32).wrapping_add(1) & 0xffff_ffff;
        // Partner: `Roles::state`.
        self.0.store(taken << 32 | peer | u64::from(slot) << 8 | OPEN, Ordering::Release);
    }

    /// Says that the owner goes in good order. For the holder of its lock.
    fn close(&self) {
        let closed = self.0.load(Ordering::Relaxed) & !3 | CLOSED; // Relaxed: as in `open`.
        self.0.store(closed, Ordering::Release); // Partner: `closed`, `Roles::state`.
    }
}

/// Names one role of a kind: its lock and what messages call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    pub(crate) index: u32,
    pub(crate) name: &'static str,
}

/// Where a role's word stands in the body of a segment of its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RolePlace {
    pub(crate) role: Role,
    /// After so many pages.
    pub(crate) page: u64,
    pub(crate) offset: usize,
}

/// State of a role, for whoever waits for its owner and for display.
///
/// ```
/// use ipcx::RoleState;
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// assert_eq!(ring.stats()?.producer, RoleState::Never);
/// let tx = ring.producer()?;
/// assert_eq!(ring.stats()?.producer, RoleState::Alive);
/// drop(tx);
/// assert_eq!(ring.stats()?.producer, RoleState::Closed);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoleState {
    /// Nobody has taken it yet.
    Never,
    /// Its owner lives (it may be stopped, or sleep).
    Alive,
    /// Its owner closed in good order.
    Closed,
    /// Its owner died.
    Dead,
}

/// One open file description's way to the locks of roles. They never conflict with each other, and a query does not show
/// one's own.
pub(crate) trait Locks {
    type Error;
    /// Locks without waiting; false if another open file description has it.
    fn try_lock(&self, role: u32) -> Result<bool, Self::Error>;
    fn unlock(&self, role: u32);
    /// True if another open file description has it.
    fn is_locked(&self, role: u32) -> Result<bool, Self::Error>;
}

/// The roles that are held through one open file description.
#[derive(Debug)]
pub(crate) struct Roles<L> {
    locks: L,
    /// A bit each, for what the locks do not show.
    held: AtomicU64,
}

impl<L: Locks> Roles<L> {
    pub(crate) fn new(locks: L) -> Roles<L> {
        Roles { locks, held: AtomicU64::new(0) }
    }

    pub(crate) fn locks(&self) -> &L {
        &self.locks
    }

    /// Takes a role's lock: the first time, after its owner closed, or after it died; false if a living process has it. Next
    /// comes [`RoleWord::open`], or [`Roles::put_back`].
    pub(crate) fn take(&self, role: Role) -> Result<bool, L::Error> {
        let bit = 1u64 << role.index;
        // AcqRel: whoever takes a role over from another thread of this process sees what that thread wrote.
        if self.held.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return Ok(false);
        }
        let locked = self.locks.try_lock(role.index);
        if !matches!(locked, Ok(true)) {
            self.held.fetch_and(!bit, Ordering::AcqRel);
        }
        locked
    }

    /// Gives a role back that was not opened: its word tells of the owner before, as if nothing had been taken.
    pub(crate) fn put_back(&self, role: Role) {
        self.locks.unlock(role.index);
        self.held.fetch_and(!(1 << role.index), Ordering::AcqRel);
    }

    /// Gives a role up in good order.
    pub(crate) fn give_up(&self, role: Role, word: &RoleWord) {
        word.close();
        self.put_back(role);
    }

    /// State of a role. One look at its lock where it is open in another handle; async-signal-safe if that is.
    pub(crate) fn state(&self, role: Role, word: &RoleWord) -> RoleState {
        let seen = word.0.load(Ordering::Acquire); // Partner: `RoleWord::open` and `close`.
        match RoleWord::state(seen) {
            NONE => RoleState::Never,
            CLOSED => RoleState::Closed,
            // Also the value that ipcx never writes: whether somebody lives is for the lock to say.
            _ if self.held.load(Ordering::Relaxed) & 1 << role.index != 0 => RoleState::Alive,
            _ => match self.locks.is_locked(role.index) {
                // Unlocked, and not because it was just given up or taken by a successor: the owner died.
                Ok(false) if word.0.load(Ordering::Acquire) == seen => RoleState::Dead,
                Ok(false) if RoleWord::state(word.0.load(Ordering::Acquire)) == CLOSED => RoleState::Closed,
                _ => RoleState::Alive,
            },
        }
    }
}
