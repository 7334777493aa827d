//! The publisher.

use super::corrupt;
use super::handle::Core;
use super::memory::Mapped;
use super::protocol::{announce, holders, nap_for_room, Memory, Writer};
use super::publication::Publication;
use crate::error::{Error, Result};
use crate::owner::{acquire, ask, Owner};
use crate::sys::clock;
use crate::wait::{wait, Condition, Deadline, Nap};
use std::sync::Arc;
use std::time::Duration;

/// An end of a [`Topic`](super::Topic) that publishes. Any number exist, over all processes; they publish one at a time.
///
/// It belongs to one thread at a time (`Send`, not shared). A record is published when the call returned success: from then on it
/// outlives this process. A publisher that dies, wherever it is, leaves whole records; others go on behind them.
///
/// One that is *stopped* while it publishes, or while a reservation is open, keeps other publishers waiting, as it lives; it does
/// not hinder subscribers.
#[derive(Debug)]
pub struct Publisher {
    writer: Writer<Mapped>,
    core: Arc<Core>,
    /// Bytes of the open reservation, for as long as which this publisher has the topic's lock.
    reserved: Option<usize>,
}

impl Publisher {
    pub(super) fn new(core: &Arc<Core>) -> Publisher {
        Publisher { writer: Writer::new(core.memory.clone()), core: Arc::clone(core), reserved: None }
    }

    /// Largest record that can be published, in bytes: half of the topic's capacity, less 24.
    pub fn max_len(&self) -> usize {
        self.writer.largest()
    }

    /// Publishes a copy of `data` as one record, if that needs no waiting. Zero bytes are a record too.
    ///
    /// Makes no allocation, and is async-signal-safe if the interrupted code was not inside a call on this publisher.
    ///
    /// # Errors
    /// `WouldBlock` if another publishes at this moment, or if the topic is reliable and a subscriber has not released what would
    /// be overwritten ([`Topic::stats`](super::Topic::stats) says which); `TooBig`, `Forked`, `Corrupt`, `Invalid` while a
    /// reservation is open.
    #[inline(always)]
    pub fn try_publish(&mut self, data: &[u8]) -> Result<()> {
        self.publish_until(data, Deadline::NOW)
    }

    /// As [`Publisher::publish`], giving up after `timeout` with `TimedOut`.
    ///
    /// # Errors
    /// As [`Publisher::publish_until`].
    #[inline]
    pub fn publish_timeout(&mut self, data: &[u8], timeout: Duration) -> Result<()> {
        self.publish_until(data, Deadline::within(timeout))
    }

    /// Publishes a copy of `data` as one record, waiting as long as it takes: for other publishers, and in a reliable topic for
    /// the slowest subscriber.
    ///
    /// # Errors
    /// As [`Publisher::publish_until`], less `WouldBlock` and `TimedOut`.
    #[inline]
    pub fn publish(&mut self, data: &[u8]) -> Result<()> {
        self.publish_until(data, Deadline::NEVER)
    }

    /// What the three calls above do: publishes a copy of `data` as one record, waiting until `deadline`. Subscribers that died are
    /// dropped meanwhile.
    ///
    /// # Errors
    /// Those of [`Publisher::try_publish`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept; nothing is
    /// published then.
    #[inline(always)]
    pub fn publish_until(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        if !self.lock_at_once(data.len()) {
            self.lock_with_room(data.len(), deadline)?;
        }
        self.writer.memory().write(self.writer.payload(), data);
        self.commit_and_unlock(data.len());
        Ok(())
    }

    /// Room for a record of up to `len` bytes, to be written in place and then committed; waits until `deadline`. Until then, no
    /// other publisher publishes.
    ///
    /// # Errors
    /// As [`Publisher::publish_until`].
    pub fn reserve_until(&mut self, len: usize, deadline: Deadline) -> Result<Publication<'_>> {
        self.reserve_raw(len, deadline)?;
        Ok(Publication::of(self, len))
    }

    /// [`Publisher::reserve_until`] without waiting.
    ///
    /// # Errors
    /// As there.
    pub fn try_reserve(&mut self, len: usize) -> Result<Publication<'_>> {
        self.reserve_until(len, Deadline::NOW)
    }

    /// [`Publisher::reserve_until`] as long as it takes.
    ///
    /// # Errors
    /// As there.
    pub fn reserve(&mut self, len: usize) -> Result<Publication<'_>> {
        self.reserve_until(len, Deadline::NEVER)
    }

    /// [`Publisher::reserve_until`] without a guard, for bindings to other languages: the address of `len` bytes that
    /// stay valid until [`Publisher::commit_raw`], [`Publisher::abort_raw`] or drop.
    ///
    /// # Errors
    /// As there.
    pub fn reserve_raw(&mut self, len: usize, deadline: Deadline) -> Result<*mut u8> {
        if !self.lock_at_once(len) {
            self.lock_with_room(len, deadline)?;
        }
        self.reserved = Some(len);
        Ok(self.address().as_ptr())
    }

    /// Commits the first `len` bytes of the open reservation as one record.
    ///
    /// # Errors
    /// `Invalid` if none is open, or `len` is more than was reserved (it stays open then); `Forked`.
    pub fn commit_raw(&mut self, len: usize) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        match self.reserved {
            None => Err(Error::invalid("commit without a reservation")),
            Some(reserved) if len > reserved => {
                Err(Error::invalid(format!("commit of {len} bytes where {reserved} are reserved")))
            }
            Some(_) => {
                self.reserved = None;
                self.commit_and_unlock(len);
                Ok(())
            }
        }
    }

    /// Gives the open reservation up: nothing is published.
    ///
    /// # Errors
    /// `Invalid` if none is open, `Forked`.
    pub fn abort_raw(&mut self) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        self.reserved.take().ok_or_else(|| Error::invalid("abort without a reservation"))?;
        self.unlock();
        Ok(())
    }

    /// Address of the bytes reserved.
    pub(super) fn address(&self) -> std::ptr::NonNull<u8> {
        self.writer.memory().address(self.writer.payload())
    }

    /// Copies `data` to `offset` of the bytes reserved, inside of them.
    pub(super) fn fill(&self, offset: usize, data: &[u8]) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        self.writer.memory().write(self.writer.payload().wrapping_add(offset as u64), data);
        Ok(())
    }

    /// Takes the lock, with room for `len` bytes, if that needs no thought. False means that nothing was done.
    #[inline(always)]
    fn lock_at_once(&mut self, len: usize) -> bool {
        let plain = !self.core.segment.is_inherited() && self.reserved.is_none() && len <= self.max_len();
        if !plain || self.core.mutex().try_lock(self.core.slot()).is_none() {
            return false;
        }
        let ready = self.writer.begin().and_then(|()| self.writer.make_room(len));
        if ready == Ok(true) {
            return true;
        }
        self.unlock();
        false
    }

    /// Takes the lock, with room for `len` bytes, waiting until `deadline`.
    #[cold]
    #[inline(never)]
    fn lock_with_room(&mut self, len: usize, deadline: Deadline) -> Result<()> {
        self.check(len)?;
        let deadline = deadline.started();
        loop {
            // Who owned it before may have died: it left whole records, and nothing else of its matters.
            let _ = acquire(&*self.core, deadline)?;
            match self.writer.begin().and_then(|()| self.writer.make_room(len)) {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let needed = self.writer.needed(len);
                    self.unlock();
                    self.wait_for_room(needed, deadline)?;
                }
                Err(corruption) => {
                    self.unlock();
                    return Err(corrupt(&self.core.segment, corruption));
                }
            }
        }
    }

    fn check(&self, len: usize) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        if self.reserved.is_some() {
            return Err(Error::invalid("a reservation is open; commit or abort it first"));
        }
        if len > self.max_len() {
            return Err(Error::TooBig { needed: len, available: self.max_len() });
        }
        Ok(())
    }

    /// Waits until no subscriber holds anything before `needed`; drops those that died.
    fn wait_for_room(&self, needed: u64, deadline: Deadline) -> Result<()> {
        let mut room = Room { core: &self.core, needed };
        if !deadline.is_now() {
            return wait(&mut room, self.core.segment.wait_strategy(), deadline);
        }
        // Only who died makes another try worth it: others may go on and back as they like.
        let asked = ask(&*self.core, clock::coarse(), holders(&self.core.memory, needed))?;
        if asked && room.ready()? {
            return Ok(());
        }
        Err(Error::WouldBlock)
    }

    #[inline(always)]
    fn commit_and_unlock(&mut self, len: usize) {
        self.writer.commit(len);
        self.unlock();
        announce(self.writer.memory()); // Nobody waits for the lock while others are woken.
    }

    #[inline(always)]
    fn unlock(&self) {
        self.core.mutex().unlock(None, self.core.kernel());
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.abort_raw(); // In a forked child, the parent has the lock.
    }
}

/// A call waits for room.
struct Room<'a> {
    core: &'a Core,
    needed: u64,
}

impl Condition for Room<'_> {
    fn ready(&mut self) -> Result<bool> {
        Ok(holders(&self.core.memory, self.needed).next().is_none())
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_room(&self.core.memory, self.needed, until)
    }

    /// Asks, once a slice, whether those live that hold something.
    fn peer(&mut self, now: u64) -> Result<()> {
        ask(self.core, now, holders(&self.core.memory, self.needed)).map(drop)
    }

    fn peer_is_here(&self) -> bool {
        false
    }
}
