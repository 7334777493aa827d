//! Leases: who is attached, who holds which role, and whether they live.
//!
//! The one liveness mechanism. Every handle locks one byte of the segment's file for its slot, and every endpoint one
//! for its role, with open-file-description locks far beyond the data. The kernel drops them when the process dies,
//! however it dies, and never before: a stopped process is alive. No PIDs and no clocks are involved.
//!
//! States of a role, told by its word and its lock together:
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

use crate::error::{from_errno, Context, Error, Result};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::fork::NotInherited;
use crate::sys::{clock, lock, process};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// Lock offset of slot 0, beyond any size a segment can have.
const SLOT_BASE: u64 = 1 << 62;
/// Lock offset of role 0, after all slots.
const ROLE_BASE: u64 = SLOT_BASE + (1 << 16);
/// Lock offset by which the creator of a temporary file proves that it lives.
pub(crate) const CREATOR: u64 = ROLE_BASE + (1 << 16);

/// Most participants a segment can have.
pub(crate) const MOST_PARTICIPANTS: u32 = 4096;

const NONE: u64 = 0;
const OPEN: u64 = 1;
const CLOSED: u64 = 2;

/// One participant, in shared memory. Only writer: its owner. All of it but `state` is for display.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct SlotRecord {
    /// Bits 0-1: `NONE`, `OPEN` or `CLOSED`; from bit 32: how often the slot was taken.
    state: AtomicU64,
    /// Process number in the owner's PID namespace.
    pid: AtomicU32,
    _reserved: AtomicU32,
    /// The owner's start time, clock ticks since boot.
    start_time: AtomicU64,
    /// When it attached, nanoseconds since 1970.
    attached: AtomicU64,
    /// Its command name, zero-padded.
    command: [AtomicU64; 2],
    _unused: [AtomicU64; 2],
}

const _: () = assert!(size_of::<SlotRecord>() == 64 && align_of::<SlotRecord>() == 64);

/// Who holds a role, in shared memory.
///
/// Bits 0-1: `NONE`, `OPEN` or `CLOSED`; bits 8-23: the owner's slot; from bit 32: how often the role was taken.
/// Only writer: the holder of the role's lock.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct RoleWord(AtomicU64);

impl RoleWord {
    fn state(word: u64) -> u64 {
        word & 3
    }

    fn slot(word: u64) -> u32 {
        (word >> 8) as u16 as u32
    }

    /// The word, if it says that the owner closed: one load. A later owner's is another.
    #[inline]
    pub(crate) fn closed(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|word| RoleWord::state(*word) == CLOSED)
        // Partner: `give_up`.
    }

    /// True if the word says that somebody has the role; under its lock: that its owner before died.
    pub(crate) fn is_open(&self) -> bool {
        RoleWord::state(self.0.load(Ordering::Relaxed)) == OPEN // Relaxed: read by the holder of the lock.
    }

    fn successor(word: u64, slot: u32) -> u64 {
        let taken = (word >> 32).wrapping_add(1) & 0xffff_ffff;
        taken << 32 | u64::from(slot) << 8 | OPEN
    }
}

/// Names one role of a kind: its lock and what messages call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    pub(crate) index: u32,
    pub(crate) name: &'static str,
}

/// State of a role, for whoever waits for its owner and for display.
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

/// What is shown of a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Process number in its own PID namespace.
    pub pid: u32,
    /// Command name.
    pub command: String,
    /// When it attached, nanoseconds since 1970.
    pub attached: u64,
}

/// This handle's leases on one segment.
#[derive(Debug)]
pub(crate) struct Leases {
    segment: Arc<str>,
    file: NotInherited,
    /// The segment's slots, mapped for as long as the caller's [`Leases::attach`] promised.
    slots: NonNull<SlotRecord>,
    participants: u32,
    slot: u32,
    /// Roles held through this handle, a bit each: locks of one open file description never conflict with each
    /// other, and a query does not show one's own.
    held: AtomicU64,
}

// SAFETY: `slots` points to shared atomics in a mapping that outlives this; everything else is Send and Sync.
unsafe impl Send for Leases {}
// SAFETY: as above.
unsafe impl Sync for Leases {}

impl Leases {
    /// Takes a free slot, or that of a dead participant.
    ///
    /// # Safety
    /// `slots` points to `participants` slots, mapped read-write for as long as the value lives.
    pub(crate) unsafe fn attach(
        segment: Arc<str>,
        file: NotInherited,
        slots: NonNull<SlotRecord>,
        participants: u32,
    ) -> Result<Leases> {
        let mut leases =
            Leases { segment, file, slots, participants, slot: u32::MAX, held: AtomicU64::new(0) };
        for index in 0..participants {
            if leases.lock(SLOT_BASE + u64::from(index))? {
                leases.slot = index;
                leases.describe();
                return Ok(leases);
            }
        }
        Err(Error::NoSpace(Context::new(
            &leases.segment,
            format!(
                "all {participants} participant slots are held by living processes; close one, or create the \
                 segment with a larger max_participants"
            ),
        )))
    }

    fn lock(&self, offset: u64) -> Result<bool> {
        lock::try_lock(self.file.as_fd(), offset)
            .map_err(|errno| from_errno(&self.segment, "fcntl(F_OFD_SETLK)", errno))
    }

    fn record(&self, slot: u32) -> Option<&SlotRecord> {
        // SAFETY: inside the array promised to `attach`; the record consists of atomics only.
        (slot < self.participants).then(|| unsafe { &*self.slots.as_ptr().add(slot as usize) })
    }

    /// Fills the slot just locked. Relaxed: for display, except that `state` comes last.
    fn describe(&self) {
        let Some(record) = self.record(self.slot) else { return };
        record.pid.store(process::id(), Ordering::Relaxed);
        record.start_time.store(process::start_time(), Ordering::Relaxed);
        record.attached.store(clock::wall(), Ordering::Relaxed);
        let name = process::command();
        for (word, bytes) in record.command.iter().zip(name.chunks_exact(8)) {
            word.store(u64::from_ne_bytes(bytes.try_into().expect("8 bytes")), Ordering::Relaxed);
        }
        let taken = (record.state.load(Ordering::Relaxed) >> 32).wrapping_add(1) & 0xffff_ffff;
        record.state.store(taken << 32 | OPEN, Ordering::Release); // Partner: `participant`.
    }

    /// True in a child that inherited the handle.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.file.is_inherited()
    }

    /// What a slot says of its owner.
    fn participant(&self, slot: u32) -> Option<Participant> {
        let record = self.record(slot)?;
        if record.state.load(Ordering::Acquire) & 3 != OPEN {
            return None; // Acquire: partner `describe`.
        }
        let name: Vec<u8> =
            record.command.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        let printable = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect();
        Some(Participant {
            pid: record.pid.load(Ordering::Relaxed),
            command: printable,
            attached: record.attached.load(Ordering::Relaxed),
        })
    }

    /// Takes a role's lock: the first time, after its owner closed, or after it died. Next comes [`Leases::open`], or
    /// [`Leases::put_back`].
    ///
    /// # Errors
    /// `RoleTaken` names the living holder.
    pub(crate) fn take(&self, role: Role, word: &RoleWord) -> Result<()> {
        let bit = 1u64 << role.index;
        // AcqRel: whoever takes a role over from another thread of this process sees what that thread wrote.
        if self.held.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return Err(self.taken(role, word));
        }
        match self.lock(ROLE_BASE + u64::from(role.index)) {
            Ok(true) => Ok(()),
            other => {
                self.held.fetch_and(!bit, Ordering::AcqRel);
                other.and_then(|_| Err(self.taken(role, word)))
            }
        }
    }

    fn taken(&self, role: Role, word: &RoleWord) -> Error {
        let slot = RoleWord::slot(word.0.load(Ordering::Acquire));
        let holder = self.participant(slot).map_or_else(
            || "a living process".to_owned(),
            |p| format!("living process {} ({})", p.pid, p.command),
        );
        let role = role.name;
        Error::RoleTaken(Context::new(
            &self.segment,
            format!(
                "the {role}'s role is held by {holder}; there is one {role} at a time: close that one first"
            ),
        ))
    }

    /// Says who has the role now.
    pub(crate) fn open(&self, word: &RoleWord) {
        let before = word.0.load(Ordering::Relaxed); // Relaxed: the lock makes this the only writer.
        word.0.store(RoleWord::successor(before, self.slot), Ordering::Release);
        // Partner: `state`.
    }

    /// Gives a role back that was not opened: its word tells of the owner before, as if nothing had been taken.
    pub(crate) fn put_back(&self, role: Role) {
        let _ = lock::unlock(self.file.as_fd(), ROLE_BASE + u64::from(role.index)); // Unlocking cannot fail.
        self.held.fetch_and(!(1 << role.index), Ordering::AcqRel);
    }

    /// Gives a role up in good order.
    pub(crate) fn give_up(&self, role: Role, word: &RoleWord) {
        if self.is_inherited() {
            return; // The role is the parent's.
        }
        let closed = word.0.load(Ordering::Relaxed) & !3 | CLOSED;
        word.0.store(closed, Ordering::Release); // Partner: `state`.
        self.put_back(role);
    }

    /// State of a role. One system call where it is open in another handle; async-signal-safe.
    pub(crate) fn state(&self, role: Role, word: &RoleWord) -> RoleState {
        let seen = word.0.load(Ordering::Acquire); // Partner: the store in `take` or `give_up`.
        match RoleWord::state(seen) {
            NONE => RoleState::Never,
            CLOSED => RoleState::Closed,
            // Also the value that ipcx never writes: whether somebody lives is for the lock to say.
            _ if self.held.load(Ordering::Relaxed) & 1 << role.index != 0 => RoleState::Alive,
            _ => match lock::is_locked(self.file.as_fd(), ROLE_BASE + u64::from(role.index)) {
                // Unlocked, and not because it was just given up or taken by a successor: the owner died.
                Ok(false) if word.0.load(Ordering::Acquire) == seen => RoleState::Dead,
                Ok(false) if RoleWord::state(word.0.load(Ordering::Acquire)) == CLOSED => RoleState::Closed,
                _ => RoleState::Alive,
            },
        }
    }

    /// The participant that holds or last held a role.
    pub(crate) fn holder(&self, word: &RoleWord) -> Option<Participant> {
        let word = word.0.load(Ordering::Acquire);
        (RoleWord::state(word) == OPEN).then(|| self.participant(RoleWord::slot(word))).flatten()
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        if self.is_inherited() || self.slot == u32::MAX {
            return;
        }
        if let Some(record) = self.record(self.slot) {
            let closed = record.state.load(Ordering::Relaxed) & !3 | CLOSED;
            record.state.store(closed, Ordering::Release);
        }
        // Not left to the closing of the descriptor: a child on its way to exec may have a copy.
        let _ = lock::unlock(self.file.as_fd(), SLOT_BASE + u64::from(self.slot));
    }
}
