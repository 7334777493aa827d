//! Holding a buffer's lock: changing the value in place, and the condition.
//!
//! Each call asks whether the calling thread has the lock, so that the guard and the calls without one, for bindings to other
//! languages, are the same.

use super::handle::{Buffer, Core};
use super::protocol::{announce, begin, commit, nap_for_condition, notified, notify, renew, Memory, Next};
use crate::error::{Context, Error, Result};
use crate::sync::Ordering;
use crate::sys::thread;
use crate::wait::{wait, Condition, Deadline, Nap};
use std::marker::PhantomData;
use std::time::Duration;

/// A buffer's lock, and the value to be changed in place. [`BufferGuard::commit`] makes what is there the value; dropping the
/// guard leaves the value as it was.
///
/// It belongs to the thread that took the lock.
///
/// ```
/// let count = ipcx::Buffer::anonymous(&Default::default())?;
/// let mut guard = count.lock()?;
/// guard.set_len(8)?;
/// guard.write_at(0, &7u64.to_ne_bytes())?;
/// assert!(count.is_empty()?, "readers have the old value until the commit");
/// guard.commit()?;
/// assert_eq!(count.read_value::<u64>()?, Some((7, 1)));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is given up when the guard is dropped"]
pub struct BufferGuard<'b> {
    buffer: &'b Buffer,
    len: usize,
    _of_this_thread: PhantomData<*const ()>,
}

impl<'b> BufferGuard<'b> {
    /// Of a buffer that this thread has locked.
    pub(super) fn of(buffer: &'b Buffer) -> BufferGuard<'b> {
        let len = buffer.core.held.len.load(Ordering::Relaxed) as usize;
        BufferGuard { buffer, len, _of_this_thread: PhantomData }
    }

    /// True if an owner died while it had the lock, and nobody has locked since (writes alone do not count). The value is
    /// whole all the same: it is the one that was committed last. Anything else that the lock guards may need repair.
    ///
    /// ```
    /// let count = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert!(!count.lock()?.recovered(), "nobody died with the lock");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn recovered(&self) -> bool {
        self.buffer.recovered_raw().unwrap_or(false)
    }

    /// Bytes that are used: those of the value, until [`BufferGuard::set_len`] says otherwise.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no byte is used.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that there are.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Says how many bytes are used. What is behind those of the value has any content.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.write(b"hello, world")?;
    /// let mut guard = text.lock()?;
    /// guard.set_len(5)?;
    /// guard.commit()?;
    /// assert_eq!(text.read_vec()?.0, b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if there are not that many; nothing changes.
    pub fn set_len(&mut self, len: usize) -> Result<()> {
        if len > self.capacity() {
            return Err(Error::TooBig { needed: len, available: self.capacity() });
        }
        self.len = len;
        Ok(())
    }

    /// Address of the bytes, aligned to 64, valid while the guard lives. Readers do not see them before they are committed.
    ///
    /// ```
    /// let flags = ipcx::Buffer::anonymous(&Default::default())?;
    /// let mut guard = flags.lock()?;
    /// // SAFETY: as many bytes are there, and the lock is this thread's.
    /// unsafe { guard.as_mut_ptr().write_bytes(1, guard.capacity()) };
    /// guard.set_len(8)?;
    /// guard.commit()?;
    /// assert_eq!(flags.read_vec()?.0, [1; 8]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        let next = Next(self.buffer.core.held.next.load(Ordering::Relaxed));
        self.buffer.core.memory.address(next.copy()).as_ptr()
    }

    /// The used bytes as a slice.
    ///
    /// ```
    /// let flags = ipcx::Buffer::anonymous(&Default::default())?;
    /// flags.write(&[0; 8])?;
    /// let mut guard = flags.lock()?;
    /// // SAFETY: every process that uses the buffer keeps to the protocol.
    /// let bytes = unsafe { guard.as_mut_slice() };
    /// bytes[3] = 1;
    /// guard.commit()?;
    /// assert_eq!(flags.read_vec()?.0, [0, 0, 0, 1, 0, 0, 0, 0]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// No other process writes there while the slice is in use. None does that keeps to the protocol.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: at most the capacity, mapped as long as the buffer; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }

    /// The address of `len` bytes from `offset` on, below `end`.
    fn range(&mut self, offset: usize, len: usize, end: usize) -> Result<*mut u8> {
        if offset.checked_add(len).is_none_or(|needed| needed > end) {
            return Err(Error::TooBig { needed: offset.saturating_add(len), available: end });
        }
        let next = self.buffer.core.held()?;
        Ok(self.buffer.core.memory.address(next.copy()).as_ptr().wrapping_add(offset))
    }

    /// Copies `data` to `offset`. What ends behind the used bytes makes them more.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.write(b"hello")?;
    /// let mut guard = text.lock()?;
    /// guard.write_at(0, b"J")?;
    /// guard.commit()?;
    /// assert_eq!(text.read_vec()?.0, b"Jello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if that is not inside the capacity, `Forked`, `Invalid` after a [`BufferGuard::publish`] that failed; nothing is
    /// written.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let to = self.range(offset, data.len(), self.capacity())?;
        // SAFETY: inside the copy, which is mapped as long as the buffer; bytes that others touch are damaged data, nothing else.
        unsafe { to.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        self.len = self.len.max(offset + data.len());
        Ok(())
    }

    /// Copies used bytes from `offset` on to all of `buffer`.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.write(b"hello")?;
    /// let mut end = [0; 2];
    /// text.lock()?.read_at(3, &mut end)?;
    /// assert_eq!(&end, b"lo");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if not that many are used, `Forked`, `Invalid` after a [`BufferGuard::publish`] that failed; nothing is copied.
    pub fn read_at(&mut self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        let from = self.range(offset, buffer.len(), self.len)?;
        // SAFETY: as in `write_at`.
        unsafe { from.copy_to_nonoverlapping(buffer.as_mut_ptr(), buffer.len()) };
        Ok(())
    }

    /// Makes what is there the value, and unlocks; says which version it is.
    ///
    /// ```
    /// let count = ipcx::Buffer::anonymous(&Default::default())?;
    /// let guard = count.lock()?;
    /// assert_eq!(guard.commit()?, 1); // the version
    /// assert!(count.try_lock().is_ok(), "the lock is free");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`.
    pub fn commit(self) -> Result<u64> {
        self.buffer.unlock_raw(self.len)
    }

    /// Makes what is there the value, and keeps the lock; says which version it is.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.write(b"hello")?;
    /// let mut guard = text.lock()?;
    /// guard.write_at(0, b"J")?;
    /// assert_eq!(guard.publish()?, 2); // and the lock is still this thread's
    /// assert_eq!(text.read_vec()?.0, b"Jello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Corrupt`, and then the lock is given up.
    pub fn publish(&mut self) -> Result<u64> {
        self.buffer.publish_raw(self.len)
    }

    /// Unlocks, and leaves the value as it was.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.write(b"hello")?;
    /// let mut guard = text.lock()?;
    /// guard.write_at(0, b"J")?;
    /// guard.abandon();
    /// assert_eq!(text.read_vec()?, (b"hello".to_vec(), 1));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn abandon(self) {}

    /// Waits for a notification as long as it takes; see [`BufferGuard::wait_until`].
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         tasks.write(b"a task")?;
    ///         tasks.notify(true)
    ///     });
    ///     let mut guard = tasks.lock()?;
    ///     while guard.is_empty() {
    ///         guard = guard.wait_timeout(std::time::Duration::from_secs(10))?; // or `wait`
    ///     }
    ///     assert_eq!(guard.len(), 6);
    ///     ipcx::Result::Ok(())
    /// })?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there, less `WouldBlock` and `TimedOut`.
    pub fn wait(self) -> Result<BufferGuard<'b>> {
        self.wait_until(Deadline::NEVER)
    }

    /// Waits for a notification, giving up after `timeout` with `TimedOut`; see [`BufferGuard::wait_until`].
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// let waited = tasks.lock()?.wait_timeout(std::time::Duration::from_millis(1)).map(drop);
    /// assert!(matches!(waited, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn wait_timeout(self, timeout: Duration) -> Result<BufferGuard<'b>> {
        self.wait_until(Deadline::within(timeout))
    }

    /// Unlocks without a commit, waits until the condition is notified, and locks again: the guard returned has the value of
    /// that moment. Both have to be done by `deadline`. With an error, nobody has the lock any more by this call.
    ///
    /// It may return without a notification of its own (as condition variables do): ask for what you wait for again.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// let waited = tasks.lock()?.wait_until(ipcx::Deadline::NOW).map(drop);
    /// assert!(waited.is_err(), "nobody notifies");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if the deadline is [`Deadline::NOW`], `Interrupted` if a signal handler ran while it slept,
    /// `Forked`, `Corrupt`.
    pub fn wait_until(self, deadline: Deadline) -> Result<BufferGuard<'b>> {
        let buffer = self.buffer;
        std::mem::forget(self);
        buffer.wait_locked_raw(deadline).map(|()| BufferGuard::of(buffer))
    }

    /// Wakes one of those that wait for a notification.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// let mut guard = tasks.lock()?;
    /// guard.set_len(1)?;
    /// guard.notify_one(); // wakes one, which has the lock after this thread
    /// assert_eq!(guard.commit()?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn notify_one(&self) {
        let _ = self.buffer.notify(false); // Fails in a forked child only, where nobody waits.
    }

    /// Wakes all of those that wait for a notification.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// let mut guard = tasks.lock()?;
    /// guard.set_len(1)?;
    /// guard.notify_all();
    /// assert_eq!(guard.commit()?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn notify_all(&self) {
        let _ = self.buffer.notify(true);
    }
}

impl Drop for BufferGuard<'_> {
    fn drop(&mut self) {
        // Fails after `commit`, and in a forked child, whose parent has the lock.
        let _ = self.buffer.abandon_raw();
    }
}

/// Without a guard, for bindings to other languages.
impl Buffer {
    /// [`Buffer::lock_until`]; next comes [`Buffer::unlock_raw`] or [`Buffer::abandon_raw`], in the same thread.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// let (bytes, _len, capacity) = text.locked_raw()?;
    /// assert!(capacity >= 5);
    /// // SAFETY: as many bytes are there, and this thread has the lock.
    /// unsafe { bytes.copy_from_nonoverlapping(b"hello".as_ptr(), 5) };
    /// text.unlock_raw(5)?;
    /// assert_eq!(text.read_vec()?, (b"hello".to_vec(), 1));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn lock_raw(&self, deadline: Deadline) -> Result<()> {
        let core = &*self.core;
        let locked = core.acquire(deadline)?;
        core.held.abandoned.store(locked.abandoned.into(), Ordering::Relaxed);
        core.held.thread.store(thread::number(), Ordering::Relaxed);
        core.fill()
    }

    /// Address, used bytes and capacity of what the thread that has the lock may change.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert!(text.locked_raw().is_err(), "this thread does not have the lock");
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// let (_bytes, len, capacity) = text.locked_raw()?;
    /// assert_eq!((len, capacity), (0, text.capacity()));
    /// text.abandon_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this thread does not have the lock, `Forked`.
    #[inline(always)]
    pub fn locked_raw(&self) -> Result<(*mut u8, usize, usize)> {
        let core = &*self.core;
        let next = core.held()?;
        let len = core.held.len.load(Ordering::Relaxed) as usize;
        Ok((core.memory.address(next.copy()).as_ptr(), len, core.memory.capacity()))
    }

    /// [`BufferGuard::commit`].
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// assert_eq!(text.unlock_raw(0)?, 1); // the version
    /// assert!(text.unlock_raw(0).is_err(), "this thread does not have the lock");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this thread does not have the lock, `TooBig`, `Forked`; the lock stays.
    pub fn unlock_raw(&self, len: usize) -> Result<u64> {
        let core = &*self.core;
        let next = core.held_for(len)?;
        core.held.thread.store(0, Ordering::Relaxed);
        core.commit_and_unlock(next, len, None);
        Ok(next.0)
    }

    /// [`BufferGuard::publish`].
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// assert_eq!((text.publish_raw(0)?, text.publish_raw(0)?), (1, 2));
    /// text.abandon_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::unlock_raw`]; `Corrupt`, and then the lock is given up.
    pub fn publish_raw(&self, len: usize) -> Result<u64> {
        let core = &*self.core;
        let next = core.held_for(len)?;
        commit(&core.memory, next, len);
        let filled = core.fill();
        announce(&core.memory);
        filled.map(|()| next.0)
    }

    /// [`BufferGuard::abandon`].
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// text.abandon_raw()?;
    /// assert_eq!(text.version(), 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this thread does not have the lock, `Forked`.
    pub fn abandon_raw(&self) -> Result<()> {
        self.core.held()?;
        self.core.give_up();
        Ok(())
    }

    /// [`Buffer::abandon_raw`] from any thread of this process, for finalizers, which run where they like.
    ///
    /// The thread that has the lock does not use what it locked, and will not.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// std::thread::scope(|scope| scope.spawn(|| text.abandon_from_any_thread_raw()).join()).unwrap()?;
    /// assert!(text.try_lock().is_ok());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if no thread has the lock by this handle, `Forked`.
    pub fn abandon_from_any_thread_raw(&self) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        if self.core.held.thread.load(Ordering::Relaxed) == 0 {
            return Err(Error::invalid("no thread has the buffer's lock by this handle"));
        }
        self.core.give_up();
        Ok(())
    }

    /// [`BufferGuard::wait_until`]. With an error other than `Invalid`, the thread does not have the lock any more.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// tasks.lock_raw(ipcx::Deadline::NEVER)?;
    /// let waited = tasks.wait_locked_raw(ipcx::Deadline::within(std::time::Duration::from_millis(1)));
    /// assert!(matches!(waited, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there; `Invalid` if this thread does not have the lock.
    pub fn wait_locked_raw(&self, deadline: Deadline) -> Result<()> {
        let seen = self.unlock_to_wait_raw()?;
        let deadline = deadline.started();
        self.wait_notified_raw(seen, deadline)?;
        self.lock_raw(deadline)
    }

    /// Unlocks without a commit, and says what [`Buffer::wait_notified_raw`] needs: the first part of
    /// [`Buffer::wait_locked_raw`], for who must wait in several turns and miss no notification between them.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// tasks.lock_raw(ipcx::Deadline::NEVER)?;
    /// let seen = tasks.unlock_to_wait_raw()?;
    /// tasks.notify(false)?; // another would
    /// tasks.wait_notified_raw(seen, ipcx::Deadline::NEVER)?;
    /// tasks.lock_raw(ipcx::Deadline::NEVER)?;
    /// tasks.abandon_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this thread does not have the lock, `Forked`.
    pub fn unlock_to_wait_raw(&self) -> Result<u32> {
        let core = &*self.core;
        core.held()?;
        let seen = notified(&core.memory);
        core.give_up();
        Ok(seen)
    }

    /// Waits for a notification since [`Buffer::unlock_to_wait_raw`]. Next comes [`Buffer::lock_raw`], or the same once more.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// tasks.lock_raw(ipcx::Deadline::NEVER)?;
    /// let seen = tasks.unlock_to_wait_raw()?;
    /// assert!(tasks.wait_notified_raw(seen, ipcx::Deadline::NOW).is_err(), "nobody notified");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`BufferGuard::wait_until`], less `Corrupt`.
    pub fn wait_notified_raw(&self, seen: u32, deadline: Deadline) -> Result<()> {
        let core = &*self.core;
        core.segment.check_not_inherited()?;
        if deadline.is_now() {
            return Err(Error::WouldBlock(SILENT));
        }
        wait(&mut Notification { core, seen }, core.segment.wait_strategy(), deadline.started())
    }

    /// Wakes those that wait for a notification: one of them, or all. The lock is not needed; who waits for what it guards is
    /// best notified by its owner.
    ///
    /// ```
    /// let tasks = ipcx::Buffer::anonymous(&Default::default())?;
    /// tasks.lock_raw(ipcx::Deadline::NEVER)?;
    /// let seen = tasks.unlock_to_wait_raw()?;
    /// tasks.notify(true)?;
    /// tasks.wait_notified_raw(seen, ipcx::Deadline::NEVER)?; // has happened already
    /// assert!(tasks.try_lock().is_ok());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`.
    pub fn notify(&self, all: bool) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        notify(&self.core.memory, if all { u32::MAX } else { 1 });
        Ok(())
    }

    /// [`BufferGuard::recovered`].
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.lock_raw(ipcx::Deadline::NEVER)?;
    /// assert!(!text.recovered_raw()?, "nobody died with the lock");
    /// text.abandon_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this thread does not have the lock, `Forked`.
    pub fn recovered_raw(&self) -> Result<bool> {
        self.core.held()?;
        Ok(self.core.held.abandoned.load(Ordering::Relaxed) != 0)
    }
}

impl Core {
    /// What the thread that has the lock fills.
    fn held(&self) -> Result<Next> {
        self.segment.check_not_inherited()?;
        if self.held.thread.load(Ordering::Relaxed) != thread::number() {
            return Err(Error::invalid("this thread does not have the buffer's lock"));
        }
        Ok(Next(self.held.next.load(Ordering::Relaxed)))
    }

    #[inline(always)]
    fn held_for(&self, len: usize) -> Result<Next> {
        let available = self.memory.capacity();
        self.held().and_then(|next| {
            if len <= available {
                Ok(next)
            } else {
                Err(Error::TooBig { needed: len, available })
            }
        })
    }

    /// Begins to fill a copy, with the value to begin with.
    #[inline(always)]
    fn fill(&self) -> Result<()> {
        let next = begin(&self.memory);
        let Some(len) = renew(&self.memory, next) else {
            self.give_up();
            return Err(self.corrupt("the value's length is larger than the buffer's capacity"));
        };
        self.held.next.store(next.0, Ordering::Relaxed);
        self.held.len.store(len as u64, Ordering::Relaxed);
        Ok(())
    }

    fn give_up(&self) {
        self.held.thread.store(0, Ordering::Relaxed);
        self.memory.control().mutex.unlock(None, self.memory.kernel());
    }
}

/// What there is none of.
const SILENT: &str = "nobody has notified those who wait for the buffer";

/// A call waits for a notification.
struct Notification<'a> {
    core: &'a Core,
    seen: u32,
}

impl Condition for Notification<'_> {
    fn ready(&mut self) -> Result<bool> {
        Ok(notified(&self.core.memory) != self.seen)
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_condition(&self.core.memory, self.seen, until)
    }

    fn peer(&mut self, _now: u64) -> Result<()> {
        Ok(()) // Anybody may notify.
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.core.segment.context(SILENT)
    }
}
