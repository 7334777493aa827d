//! Leases: who is attached, who holds which role, and whether they live.
//!
//! The one liveness mechanism. Every handle locks one byte of the segment's file for its slot, and every endpoint one
//! for its role, with open-file-description locks far beyond the data. The kernel drops them when the process dies,
//! however it dies, and never before: a stopped process is alive. No PIDs and no clocks are involved.
//! What a role's word and its lock tell together stands in `role.rs`.

use crate::error::{from_errno, Context, Error, Result};
use crate::role::{Locks, Roles, CLOSED, OPEN};
use crate::slots::Slots;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::fork::NotInherited;
use crate::sys::{clock, lock, process, Errno};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

pub use crate::role::RoleState;
pub(crate) use crate::role::{Role, RolePlace, RoleWord};
pub(crate) use crate::slots::MOST_PARTICIPANTS;

/// Lock offset of slot 0, beyond any size a segment can have.
const SLOT_BASE: u64 = 1 << 62;
/// Lock offset of role 0, after all slots.
const ROLE_BASE: u64 = SLOT_BASE + (1 << 16);
/// Lock offset by which the creator of a temporary file proves that it lives.
pub(crate) const CREATOR: u64 = ROLE_BASE + (1 << 16);
/// Lock offset of channel 0 of a pool, after that.
pub(crate) const CHANNEL_BASE: u64 = CREATOR + (1 << 16);

/// Lock offset of who restores a segment after a reboot, after that.
const RESTORE: u64 = CHANNEL_BASE + (1 << 16);
/// Lock offset that all share who use such a segment: so it is of this time, whatever is noted of the start of the machine, for
/// which containers may have names of their own.
const IN_USE: u64 = RESTORE + 1;

/// State of a slot: its participant died, and somebody is recovering what it left. As good as `OPEN` to everyone else.
const BURIED: u64 = OPEN | CLOSED;
/// How often a slot that is being recovered is tried again, a millisecond apart.
const PATIENCE: u32 = 100;

/// One participant, in shared memory. Only writer: its owner. All of it but `state` is for display.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct SlotRecord {
    /// Bits 0-1: `NONE`, `OPEN`, `CLOSED` or `BURIED`; from bit 32: how often the slot was taken.
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

impl SlotRecord {
    /// A private copy of one that was read.
    pub(crate) fn copy(bytes: &[u8; 64]) -> SlotRecord {
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        SlotRecord {
            state: AtomicU64::new(word(0)),
            pid: AtomicU32::new(half(8)),
            _reserved: AtomicU32::new(0),
            start_time: AtomicU64::new(word(16)),
            attached: AtomicU64::new(word(24)),
            command: [32, 40].map(|at| AtomicU64::new(word(at))),
            _unused: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// Changes whenever the slot is taken, given up or recovered.
    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire) // Partner: `Leases::describe`.
    }

    /// True if the participant died, and somebody recovers what it left.
    pub(crate) fn is_buried(&self) -> bool {
        self.state.load(Ordering::Relaxed) & 3 == BURIED // Relaxed: nothing is read that it guards.
    }

    /// What it says of its owner, if it says that somebody has the slot, or died having it.
    pub(crate) fn participant(&self) -> Option<Participant> {
        if self.state() & OPEN == 0 {
            return None;
        }
        let name: Vec<u8> =
            self.command.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        Some(Participant {
            pid: self.pid.load(Ordering::Relaxed),
            command: printable(&String::from_utf8_lossy(name)),
            attached: self.attached.load(Ordering::Relaxed),
        })
    }
}

/// Without what could do something to a terminal: anybody may have written it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What is shown of a participant.
///
/// ```
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let tx = ring.producer()?;
/// let participant = ring.stats()?.producer_process.unwrap();
/// assert_eq!(participant.pid, std::process::id());
/// # Ok::<(), ipcx::Error>(())
/// ```
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
    /// The roles held through this handle, and the file with its locks.
    roles: Roles<NotInherited>,
    /// The segment's slots, mapped for as long as the caller's [`Leases::attach`] promised.
    slots: NonNull<SlotRecord>,
    participants: u32,
    slot: u32,
    /// 1 if the slot's owner before died holding it, and what it left is not recovered yet.
    succeeds: AtomicU32,
    burying: Mutex<()>,
}

/// That it is this thread's turn to bury the dead: locks of one open file description do not exclude each other.
#[derive(Debug)]
pub(crate) struct Turn<'l>(#[allow(dead_code)] MutexGuard<'l, ()>);

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
        let roles = Roles::new(file);
        let mut leases = Leases {
            segment,
            roles,
            slots,
            participants,
            slot: u32::MAX,
            succeeds: AtomicU32::new(0),
            burying: Mutex::new(()),
        };
        if let Some(index) = leases.with_patience(|| leases.lock_any())? {
            leases.slot = index;
            leases.succeeds = AtomicU32::new(leases.is_open(index).into());
            leases.describe();
            return Ok(leases);
        }
        Err(Error::NoSpace(Context::new(
            &leases.segment,
            format!(
                "all {participants} participant slots are held by living processes; close one, or create the \
                 segment with a larger max_participants"
            ),
        )))
    }

    /// The lock of a slot that is free, or its participant died.
    fn lock_any(&self) -> Result<Option<u32>> {
        for index in 0..self.participants {
            let ours = lock::try_lock(self.file().as_fd(), SLOT_BASE + u64::from(index));
            if ours.map_err(|errno| self.refused(errno))? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// What `take` finds, which it is asked for again, a millisecond apart, while somebody recovers what a dead participant left:
    /// that comes free in a moment.
    pub(crate) fn with_patience<T>(&self, take: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
        for _ in 0..PATIENCE {
            if let Some(found) = take()? {
                return Ok(Some(found));
            }
            if !(0..self.participants).any(|slot| self.record(slot).is_some_and(SlotRecord::is_buried)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }

    pub(crate) fn file(&self) -> &NotInherited {
        self.roles.locks()
    }

    /// This handle's slot.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// True if the owner of the slot before died holding it, and [`Leases::succeed`] was not asked for what it left.
    pub(crate) fn succeeds(&self) -> bool {
        self.succeeds.load(Ordering::Relaxed) != 0 // Relaxed: as below.
    }

    /// If the owner of the slot before died holding it, `recover` is made of what it left, with the slot. Until this is done,
    /// the slot says that its owner died, whoever gives it up.
    pub(crate) fn succeed(&self, recover: impl FnOnce(u32)) {
        // Relaxed: one thread, before the handle is shared.
        if self.succeeds() {
            recover(self.slot);
            self.succeeds.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn participants(&self) -> u32 {
        self.participants
    }

    /// True if the slot says that somebody has it, or died having it.
    fn is_open(&self, slot: u32) -> bool {
        self.record(slot).is_some_and(|record| record.state() & OPEN != 0)
    }

    /// True if the slot is in the hands of a living participant.
    pub(crate) fn is_alive(&self, slot: u32) -> Result<bool> {
        if slot == self.slot {
            return Ok(true);
        }
        is_slot_held(self.file().as_fd(), slot).map_err(|errno| self.refused(errno))
    }

    /// Waits until it is this thread's turn to bury.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn(self.burying.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// This thread's turn to bury, unless another's is now. Async-signal-safe.
    pub(crate) fn try_turn(&self) -> Option<Turn<'_>> {
        match self.burying.try_lock() {
            Ok(guard) => Some(Turn(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Turn(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Shows `bury` the slots of all participants that died, with the right to recover what is there; then they are free. One
    /// system call for each participant.
    pub(crate) fn each_dead(&self, _turn: &Turn<'_>, bury: impl FnOnce(&Slots)) -> Result<()> {
        let (mut dead, mut failed) = (Slots::none(), Ok(()));
        for slot in (0..self.participants).filter(|slot| *slot != self.slot && self.is_open(*slot)) {
            match lock::try_lock(self.file().as_fd(), SLOT_BASE + u64::from(slot)) {
                // Looked at again: it may have closed, and another may have buried it.
                Ok(true) if self.is_open(slot) => {
                    self.mark(slot, BURIED);
                    dead.add(slot);
                }
                Ok(true) => self.let_go(slot),
                Ok(false) => {} // It lives.
                Err(errno) => failed = Err(self.refused(errno)),
            }
        }
        if !dead.is_empty() {
            bury(&dead);
        }
        for slot in (0..self.participants).filter(|slot| dead.has(*slot)) {
            self.mark(slot, CLOSED);
            self.let_go(slot);
        }
        failed
    }

    /// The same of one slot, whatever it says of its participant. Async-signal-safe.
    pub(crate) fn bury(&self, _turn: &Turn<'_>, slot: u32, bury: impl FnOnce(u32)) -> Result<()> {
        if slot == self.slot || slot >= self.participants {
            return Ok(());
        }
        let offset = SLOT_BASE + u64::from(slot);
        if lock::try_lock(self.file().as_fd(), offset).map_err(|errno| self.refused(errno))? {
            let open = self.is_open(slot);
            if open {
                self.mark(slot, BURIED);
            }
            bury(slot);
            if open {
                self.mark(slot, CLOSED);
            }
            self.let_go(slot);
        }
        Ok(())
    }

    /// For the holder of the slot's lock.
    fn mark(&self, slot: u32, state: u64) {
        if let Some(record) = self.record(slot) {
            let marked = record.state.load(Ordering::Relaxed) & !3 | state;
            record.state.store(marked, Ordering::Release); // Partner: `SlotRecord::state`.
        }
    }

    fn let_go(&self, slot: u32) {
        self.let_go_of(SLOT_BASE + u64::from(slot));
    }

    fn let_go_of(&self, offset: u64) {
        let _ = lock::unlock(self.file().as_fd(), offset); // Unlocking cannot fail.
    }

    /// Takes part in using a segment that is restored after a reboot. Does that first, if nobody uses it; or waits until another
    /// has, as `is_done` tells.
    ///
    /// # Errors
    /// `RoleTaken` if that takes another long; `Os`, and those of `work`.
    pub(crate) fn restore(&self, is_done: impl Fn() -> bool, work: impl Fn() -> Result<()>) -> Result<()> {
        let lock = |offset| lock::try_lock(self.file().as_fd(), offset).map_err(|errno| self.refused(errno));
        let share = || lock::try_share(self.file().as_fd(), IN_USE).map_err(|errno| self.refused(errno));
        for _ in 0..PATIENCE * PATIENCE {
            // Not before it is done: who restores it takes that for one who uses it.
            if is_done() && share()? {
                return Ok(());
            }
            if lock(RESTORE)? {
                // Looked at again: another may have done it just now.
                let done = if !is_done() && lock(IN_USE)? { work() } else { Ok(()) };
                let shared = done.and_then(|()| share());
                self.let_go_of(RESTORE);
                if shared? {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Error::RoleTaken(Context::new(
            &self.segment,
            "a living process restores it after a reboot, and has not come to an end; try again, or end that one",
        )))
    }

    fn refused(&self, errno: Errno) -> Error {
        from_errno(&self.segment, "fcntl(F_OFD_SETLK)", errno)
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
        record.state.store(taken << 32 | OPEN, Ordering::Release); // Partner: `SlotRecord::state`.
    }

    /// True in a child that inherited the handle.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.file().is_inherited()
    }

    /// What a slot says of its owner.
    pub(crate) fn participant(&self, slot: u32) -> Option<Participant> {
        self.record(slot)?.participant()
    }

    /// What messages call who has a slot, or had it.
    pub(crate) fn who(&self, slot: u32) -> String {
        match self.participant(slot) {
            Some(Participant { pid, command, .. }) => format!("process {pid} ({command})"),
            None => format!("a process (participant {slot})"),
        }
    }

    /// Takes a role's lock: the first time, after its owner closed, or after it died. Next comes [`Leases::open`], or
    /// [`Leases::put_back`].
    ///
    /// # Errors
    /// `RoleTaken` names the living holder.
    pub(crate) fn take(&self, role: Role, word: &RoleWord) -> Result<()> {
        match self.roles.take(role) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.taken(role, word)),
            Err(errno) => Err(self.refused(errno)),
        }
    }

    fn taken(&self, role: Role, word: &RoleWord) -> Error {
        let (role, holder) = (role.name, self.who(word.slot()));
        Error::RoleTaken(Context::new(
            &self.segment,
            format!(
                "the {role}'s role is held by living {holder}; there is one {role} at a time: close that one first"
            ),
        ))
    }

    /// Says who has the role now; see [`RoleWord::open`].
    pub(crate) fn open(&self, word: &RoleWord, disregarded: Option<u64>) {
        word.open(self.slot, disregarded);
    }

    /// Gives a role back that was not opened: its word tells of the owner before, as if nothing had been taken.
    pub(crate) fn put_back(&self, role: Role) {
        self.roles.put_back(role);
    }

    /// Gives a role up in good order.
    pub(crate) fn give_up(&self, role: Role, word: &RoleWord) {
        // An inherited role is the parent's.
        if !self.is_inherited() {
            self.roles.give_up(role, word);
        }
    }

    /// State of a role. One system call where it is open in another handle; async-signal-safe.
    pub(crate) fn state(&self, role: Role, word: &RoleWord) -> RoleState {
        self.roles.state(role, word)
    }

    /// The participant that holds or last held a role.
    pub(crate) fn holder(&self, word: &RoleWord) -> Option<Participant> {
        word.open_slot().and_then(|slot| self.participant(slot))
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        if self.is_inherited() || self.slot == u32::MAX {
            return;
        }
        if let Some(record) = self.record(self.slot).filter(|_| self.succeeds.load(Ordering::Relaxed) == 0) {
            let closed = record.state.load(Ordering::Relaxed) & !3 | CLOSED;
            record.state.store(closed, Ordering::Release);
        }
        // Not left to the closing of the descriptor: a child on its way to exec may have a copy.
        let _ = lock::unlock(self.file().as_fd(), SLOT_BASE + u64::from(self.slot));
    }
}

impl Locks for NotInherited {
    type Error = Errno;

    fn try_lock(&self, role: u32) -> std::result::Result<bool, Errno> {
        lock::try_lock(self.as_fd(), ROLE_BASE + u64::from(role))
    }

    fn unlock(&self, role: u32) {
        let _ = lock::unlock(self.as_fd(), ROLE_BASE + u64::from(role)); // Unlocking cannot fail.
    }

    fn is_locked(&self, role: u32) -> std::result::Result<bool, Errno> {
        lock::is_locked(self.as_fd(), ROLE_BASE + u64::from(role))
    }
}

/// True if a living participant has the slot, through another open file description.
pub(crate) fn is_slot_held(file: BorrowedFd<'_>, slot: u32) -> std::result::Result<bool, Errno> {
    lock::is_locked(file, SLOT_BASE + u64::from(slot))
}

/// The same of any slot.
pub(crate) fn is_any_slot_held(file: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    lock::is_any_locked(file, SLOT_BASE, u64::from(MOST_PARTICIPANTS))
}

/// Locks of roles for who only looks.
#[derive(Debug)]
pub(crate) struct Looking<'f>(pub(crate) BorrowedFd<'f>);

impl Locks for Looking<'_> {
    type Error = Errno;

    fn try_lock(&self, _: u32) -> std::result::Result<bool, Errno> {
        Ok(false)
    }

    fn unlock(&self, _: u32) {}

    fn is_locked(&self, role: u32) -> std::result::Result<bool, Errno> {
        lock::is_locked(self.0, ROLE_BASE + u64::from(role))
    }
}
