//! The buffer's protocol, over any memory: the mapped one, and loom's.
//!
//! *The version says which copy is the value.* Who owns the mutex fills the other copy and commits it by one store of the next
//! version; a writer that dies before that has changed nothing.
//!
//! *Readers take no lock.* They note the version, copy its bytes, and then ask which version was begun to be filled: the
//! copy they read is touched again only for the next version but one. So a reader has the time of nearly two writes, and
//! whoever was overtaken reads again.

use super::layout::Control;
use crate::event::Kernel;
use crate::sync::{fence, Ordering};
use crate::wait::Nap;

/// What the protocol needs of memory.
pub(crate) trait Memory {
    fn control(&self) -> &Control;
    fn kernel(&self) -> &impl Kernel;
    /// Bytes of a copy.
    fn capacity(&self) -> usize;
    /// Copies the first bytes of copy 0 or 1; others may be writing there.
    fn read(&self, copy: usize, to: &mut [u8]);
    /// Fills the first bytes of copy 0 or 1.
    fn write(&self, copy: usize, from: &[u8]);
    /// Copies the first `len` bytes of one copy to the other.
    fn renew(&self, copy: usize, len: usize);
}

/// The copy in which a version lies.
pub(crate) fn copy_of(version: u64) -> usize {
    (version & 1) as usize
}

/// What one look at the value gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// This many bytes, of this version.
    Whole(usize, u64),
    /// It has so many bytes, and there is no room for them.
    TooBig(usize),
    /// Writers were faster.
    Overtaken,
    /// Its length is not one that ipcx writes.
    BadLength,
}

/// Copies the value to `buffer`, if it stays for as long as that takes.
#[inline(always)]
pub(crate) fn look(memory: &impl Memory, buffer: &mut [u8]) -> Look {
    let value = &memory.control().value;
    let version = value.version.load(Ordering::Acquire); // Partner: `commit`.
    let copy = copy_of(version);
    let len = value.len[copy].load(Ordering::Relaxed); // Relaxed: checked below, with the bytes.
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let fits = len <= memory.capacity();
    let part = buffer.get_mut(..len).filter(|_| fits);
    let whole = part.map(|part| memory.read(copy, part)).is_some();
    fence(Ordering::Acquire); // Partner: the fence in `begin`: who saw a byte of a later version sees that it was begun.
    let begun = value.begun.load(Ordering::Relaxed);
    match (begun.wrapping_sub(version), whole) {
        (0 | 1, true) => Look::Whole(len, version),
        (0 | 1, false) if fits => Look::TooBig(len),
        (0 | 1, false) => Look::BadLength,
        _ => Look::Overtaken,
    }
}

/// The version, as of now.
#[inline(always)]
pub(crate) fn version(memory: &impl Memory) -> u64 {
    memory.control().value.version.load(Ordering::Acquire) // Partner: `commit`.
}

/// A version that is being filled. Exists while this participant owns the mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next(pub(crate) u64);

impl Next {
    /// The copy that is filled.
    pub(crate) fn copy(self) -> usize {
        copy_of(self.0)
    }
}

/// Begins to fill the copy that is not the value. For the owner of the mutex, as the two below.
#[inline(always)]
pub(crate) fn begin(memory: &impl Memory) -> Next {
    let value = &memory.control().value;
    // Relaxed: the mutex orders this behind whoever committed it.
    let next = value.version.load(Ordering::Relaxed).wrapping_add(1);
    value.begun.store(next, Ordering::Relaxed);
    fence(Ordering::Release); // Partner: the fence in `look`.
    Next(next)
}

/// After [`begin`]: the value's bytes, to be changed where they are filled in; says how many. `None` if their length is not one
/// that ipcx writes.
#[inline(always)]
pub(crate) fn renew(memory: &impl Memory, next: Next) -> Option<usize> {
    let copy = copy_of(next.0.wrapping_sub(1));
    let len = memory.control().value.len[copy].load(Ordering::Relaxed); // Relaxed: as in `begin`.
    let len = usize::try_from(len).ok().filter(|len| *len <= memory.capacity())?;
    memory.renew(copy, len);
    Some(len)
}

/// What was filled in becomes the value. Who waits for it is told by [`announce`].
#[inline(always)]
pub(crate) fn commit(memory: &impl Memory, next: Next, len: usize) {
    let value = &memory.control().value;
    value.len[next.copy()].store(len as u64, Ordering::Relaxed);
    value.version.store(next.0, Ordering::Release); // Partner: `look`, `version`.
}

/// After [`commit`], by whoever: wakes those who wait for a newer version.
#[inline(always)]
pub(crate) fn announce(memory: &impl Memory) {
    memory.control().value.changed.notify(memory.kernel(), u32::MAX);
}

/// Sleeps until there may be another version than `seen`; `until` is asked once it is known that whoever commits one will notice.
pub(crate) fn nap_for_version(memory: &impl Memory, seen: u64, until: u64) -> Nap {
    let changed = &memory.control().value.changed;
    changed.nap(memory.kernel(), || (version(memory) == seen).then_some(until))
}

/// How often the condition was notified, as of now. An owner of the mutex asks before it unlocks, to wait for the next.
pub(crate) fn notified(memory: &impl Memory) -> u32 {
    // Relaxed: what the notifier did before is seen by who locks the mutex after it.
    memory.control().notified.load(Ordering::Relaxed)
}

/// Notifies the condition: `most` of those who wait for it are woken.
pub(crate) fn notify(memory: &impl Memory, most: u32) {
    memory.control().notified.fetch_add(1, Ordering::Relaxed); // Relaxed: as above; the event orders the sleep.
    memory.control().condition.notify(memory.kernel(), most);
}

/// Sleeps until the condition may have been notified since `seen`.
pub(crate) fn nap_for_condition(memory: &impl Memory, seen: u32, until: u64) -> Nap {
    let condition = &memory.control().condition;
    condition.nap(memory.kernel(), || (notified(memory) == seen).then_some(until))
}
