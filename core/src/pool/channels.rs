//! Rings that carry blocks of a pool: who uses them, and when what is in flight on one comes back.
//!
//! A block in flight is its channel's, not a process's, so that the death of either end loses none. A channel is taken by the
//! first producer that sends a block through its ring, and found again by its successors. Whoever sends or receives
//! through it shares a lock on it, which the kernel drops when the process dies.
//!
//! A channel carries nothing any more if nobody shares its lock and its ring's name is gone, or leads to another segment. Then
//! what is in flight on it comes back, when somebody asks for that, and the channel is free.

use super::layout::{Channel, CHANNELS};
use super::stock::Stock;
use crate::error::{from_errno, Error, Result};
use crate::lease::CHANNEL_BASE;
use crate::segment::{segment_at, Segment};
use crate::sync::Ordering;
use crate::sys::fork::NotInherited;
use crate::sys::{file, lock, Errno};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Weak};

/// A producer's or consumer's use of a channel. Its lock is on an open file description of its own, and so lasts as long as
/// the producer or consumer, also where the pool's handle is closed before.
#[derive(Debug)]
pub(crate) struct Use {
    /// Which handle it was made for.
    stock: Weak<Stock>,
    /// Key of the pool.
    pool: u64,
    channel: u32,
    _lease: NotInherited,
}

/// What tells a ring from all others, in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ring {
    key: u64,
    /// Empty if it has no name, `UNKNOWN` if it has one somewhere.
    path: Vec<u8>,
}

impl Ring {
    fn of(segment: &Segment) -> Result<Ring> {
        let facts = file::facts(segment.fd()).map_err(|e| from_errno(segment.name(), "fstat", e))?;
        let path = segment.path().map_or(&[][..], |path| path.as_os_str().as_bytes());
        let path = match facts.has_name {
            true if path.is_empty() || path.len() >= LONGEST => UNKNOWN,
            true => path,
            false => &[],
        };
        Ok(Ring { key: segment.key(), path: path.to_vec() })
    }

    /// True if its name still leads to it, or if that cannot be told.
    fn is_there(&self) -> bool {
        if self.path.first() != Some(&b'/') {
            return !self.path.is_empty();
        }
        segment_at(Path::new(OsStr::from_bytes(&self.path)))
            .is_none_or(|found| found.is_some_and(|key| key == self.key))
    }

    fn read(channel: &Channel) -> Ring {
        let key = channel.key.load(Ordering::Acquire); // Partner: `write`. The path is under the channel's lock.
        let words = channel.path.iter().map(|word| word.load(Ordering::Relaxed));
        let mut path: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(0));
        Ring { key, path }
    }

    /// The key comes last.
    fn write(&self, channel: &Channel) {
        for (index, word) in channel.path.iter().enumerate() {
            let part = self.path.iter().skip(8 * index).take(8);
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        channel.key.store(self.key, Ordering::Release); // Partner: `read`.
    }
}

/// Stands for a path that is not known, or too long.
const UNKNOWN: &[u8] = b"?";
/// Bytes of a path with the zero behind it.
const LONGEST: usize = size_of::<Channel>() - 8;

fn offset(channel: u32) -> u64 {
    CHANNEL_BASE + u64::from(channel)
}

impl Use {
    fn new(stock: &Arc<Stock>, channel: u32, lease: NotInherited) -> Use {
        Use { stock: Arc::downgrade(stock), pool: stock.segment.key(), channel, _lease: lease }
    }

    /// Keeps one use of each channel of each pool, and says which channel the new one is of.
    pub(crate) fn keep(uses: &mut Vec<Use>, new: Use) -> u32 {
        let channel = new.channel;
        uses.retain(|old| (old.pool, old.channel) != (new.pool, channel));
        uses.push(new);
        channel
    }

    pub(crate) fn channel(&self) -> u32 {
        self.channel
    }

    /// True if it was made for this handle.
    pub(crate) fn is_of(&self, stock: &Arc<Stock>) -> bool {
        std::ptr::eq(self.stock.as_ptr(), Arc::as_ptr(stock))
    }

    /// The channel on which a ring's producer sends blocks: the one that it has, or a free one. For the holder of the
    /// producer's role: nobody else looks for a channel of this ring.
    pub(crate) fn for_producer(stock: &Arc<Stock>, segment: &Segment) -> Result<Use> {
        let (ring, lease) = (Ring::of(segment)?, stock.segment.own_description()?);
        for attempt in 0..2 {
            for channel in 0..CHANNELS {
                let found = stock.channel(channel).key.load(Ordering::Acquire); // Partner: `Ring::write`.
                if found == ring.key && stock.share(&lease, channel, ring.key)? {
                    return Ok(Use::new(stock, channel, lease));
                }
            }
            for channel in 0..CHANNELS {
                if stock.claim(&lease, channel, &ring)? {
                    return Ok(Use::new(stock, channel, lease));
                }
            }
            if attempt == 0 {
                stock.recover_channels()?;
            }
        }
        Err(Error::NoSpace(stock.segment.context(format!(
            "{CHANNELS} rings carry blocks of this pool; unlink those that are done with, and recover the pool"
        ))))
    }

    /// A consumer's use of the channel that a record names; `None` if it is not this ring's, or not any more.
    pub(crate) fn for_consumer(stock: &Arc<Stock>, segment: &Segment, channel: u32) -> Result<Option<Use>> {
        if channel >= CHANNELS {
            return Ok(None);
        }
        let lease = stock.segment.own_description()?;
        let shared = stock.share(&lease, channel, segment.key())?;
        Ok(shared.then(|| Use::new(stock, channel, lease)))
    }
}

impl Stock {
    fn channel(&self, channel: u32) -> &Channel {
        self.store.memory().channel(channel)
    }

    fn lock_error(&self, errno: Errno) -> Error {
        from_errno(self.segment.name(), "fcntl(F_OFD_SETLK)", errno)
    }

    fn unlock(&self, lease: &NotInherited, channel: u32) {
        let _ = lock::unlock(lease.as_fd(), offset(channel)); // Unlocking cannot fail.
    }

    /// Shares the lock of a channel, if that still is the ring's.
    fn share(&self, lease: &NotInherited, channel: u32, key: u64) -> Result<bool> {
        if !lock::try_share(lease.as_fd(), offset(channel)).map_err(|e| self.lock_error(e))? {
            return Ok(false); // Somebody is reclaiming it.
        }
        let is_ours = self.channel(channel).key.load(Ordering::Acquire) == key; // Partner: `Ring::write`.
        if !is_ours {
            self.unlock(lease, channel);
        }
        Ok(is_ours)
    }

    /// Takes a free channel for a ring, and shares its lock.
    fn claim(&self, lease: &NotInherited, channel: u32, ring: &Ring) -> Result<bool> {
        let entry = self.channel(channel);
        let free = || entry.key.load(Ordering::Acquire) == 0; // Partner: `Ring::write`.
        if !free() || !lock::try_lock(lease.as_fd(), offset(channel)).map_err(|e| self.lock_error(e))? {
            return Ok(false);
        }
        let ours = free();
        if ours {
            ring.write(entry);
            // From alone to shared is one step: nobody gets between.
            let shared = lock::try_share(lease.as_fd(), offset(channel));
            shared.map_err(|e| self.lock_error(e))?;
        } else {
            self.unlock(lease, channel);
        }
        Ok(ours)
    }

    /// Gives back what is in flight on channels that carry nothing any more; says how many blocks.
    pub(crate) fn recover_channels(&self) -> Result<u32> {
        // One thread at a time: locks of one handle do not exclude each other.
        let _turn = self.segment.leases().turn();
        let (lease, mut found) = (self.segment.leases().file(), 0);
        for channel in 0..CHANNELS {
            let entry = self.channel(channel);
            if entry.key.load(Ordering::Acquire) == 0
                || !lock::try_lock(lease.as_fd(), offset(channel)).map_err(|e| self.lock_error(e))?
            {
                continue; // Free, or in use.
            }
            if !Ring::read(entry).is_there() {
                found += self.store.reclaim_channel(channel);
                entry.key.store(0, Ordering::Release); // Partner: `claim`.
            }
            self.unlock(lease, channel);
        }
        Ok(found)
    }
}
