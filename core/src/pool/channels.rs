//! Rings that carry blocks of a pool: who uses them, and when what is in flight on one comes back.
//!
//! A block in flight is its channel's, not a process's, so that the death of either end loses none. A channel is taken by the
//! first producer that sends a block through its ring, and found again by its successors. Whoever sends or receives
//! through it shares a lock on it, which the kernel drops when the process dies.
//!
//! A channel carries nothing any more if nobody shares its lock and its ring's name is gone, or leads to another file. Then
//! what is in flight on it comes back, when somebody asks for that, and the channel is free.

use super::handle::Core;
use super::layout::{Channel, CHANNELS};
use crate::error::{from_errno, Error, Result};
use crate::lease::CHANNEL_BASE;
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::sys::{file, lock, Errno};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The channels whose locks one handle shares, and how many of its process's producers and consumers use each.
#[derive(Debug)]
pub(crate) struct Channels(Mutex<[u32; CHANNELS as usize]>);

/// A producer's or consumer's use of a channel.
#[derive(Debug)]
pub(crate) struct Use {
    core: Arc<Core>,
    channel: u32,
}

/// What tells a ring from all others, in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ring {
    key: u64,
    /// Empty if it has no name, `UNKNOWN` if it has one somewhere.
    path: Vec<u8>,
    device: u64,
    file: u64,
}

impl Ring {
    fn of(segment: &Segment) -> Result<Ring> {
        let os = |call, errno| from_errno(segment.name(), call, errno);
        let facts = file::facts(segment.fd()).map_err(|e| os("fstat", e))?;
        let path = segment.path().map_or(&[][..], |path| path.as_os_str().as_bytes());
        let path = match facts.has_name {
            true if path.is_empty() || path.len() >= LONGEST => UNKNOWN,
            true => path,
            false => &[],
        };
        let path = path.to_vec();
        let (device, file) = facts.identity;
        Ok(Ring { key: segment.key(), path, device, file })
    }

    /// True if its name still leads to it, or if that cannot be told.
    fn is_there(&self) -> bool {
        if self.path.first() != Some(&b'/') {
            return !self.path.is_empty();
        }
        // The path may be anybody's bytes: to look at what is there changes nothing.
        let path = Path::new(OsStr::from_bytes(&self.path));
        match file::identity(path) {
            Ok(found) => found == (self.device, self.file),
            Err(Errno::ENOENT | Errno::ENOTDIR) => false,
            Err(_) => true,
        }
    }

    fn read(channel: &Channel) -> Ring {
        // Relaxed: under the channel's lock, or of a key that was seen with acquire.
        let load = |word: &crate::sync::AtomicU64| word.load(Ordering::Relaxed);
        let mut path: Vec<u8> = channel.path.iter().flat_map(|word| load(word).to_ne_bytes()).collect();
        path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(0));
        Ring {
            key: channel.key.load(Ordering::Acquire),
            path,
            device: load(&channel.device),
            file: load(&channel.file),
        }
    }

    /// Everything but the key, which comes last.
    fn write(&self, channel: &Channel) {
        channel.device.store(self.device, Ordering::Relaxed);
        channel.file.store(self.file, Ordering::Relaxed);
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
const LONGEST: usize = size_of::<Channel>() - 24;

fn offset(channel: u32) -> u64 {
    CHANNEL_BASE + u64::from(channel)
}

impl Channels {
    pub(crate) fn new() -> Channels {
        Channels(Mutex::new([0; CHANNELS as usize]))
    }
}

impl Use {
    pub(crate) fn channel(&self) -> u32 {
        self.channel
    }

    /// True if it is one of this pool handle.
    pub(crate) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
    }

    /// The channel on which a ring's producer sends blocks: the one that it has, or a free one. For the holder of the
    /// producer's role: nobody else looks for a channel of this ring.
    pub(crate) fn for_producer(core: &Arc<Core>, segment: &Segment) -> Result<Use> {
        let ring = Ring::of(segment)?;
        let mut uses = core.channels.0.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in 0..2 {
            for channel in 0..CHANNELS {
                let found = core.channel(channel).key.load(Ordering::Acquire); // Partner: `Ring::write`.
                let own = &mut uses[channel as usize];
                if found == ring.key && (*own > 0 || core.share(channel, ring.key)?) {
                    *own += 1;
                    return Ok(Use { core: Arc::clone(core), channel });
                }
            }
            for channel in 0..CHANNELS {
                if uses[channel as usize] == 0 && core.claim(channel, &ring)? {
                    uses[channel as usize] = 1;
                    return Ok(Use { core: Arc::clone(core), channel });
                }
            }
            if attempt == 0 {
                core.reclaim_channels(&uses)?;
            }
        }
        Err(Error::NoSpace(core.segment.context(format!(
            "{CHANNELS} rings carry blocks of this pool; unlink those that are done with, and recover the pool"
        ))))
    }

    /// A consumer's use of the channel that a record names; `None` if it is not this ring's, or not any more.
    pub(crate) fn for_consumer(core: &Arc<Core>, segment: &Segment, channel: u32) -> Result<Option<Use>> {
        if channel >= CHANNELS {
            return Ok(None);
        }
        let mut uses = core.channels.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &mut uses[channel as usize];
        let key = segment.key();
        let shared = match *own {
            0 => core.share(channel, key)?,
            _ => core.channel(channel).key.load(Ordering::Acquire) == key, // Partner: `Ring::write`.
        };
        if shared {
            *own += 1;
        }
        Ok(shared.then(|| Use { core: Arc::clone(core), channel }))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if self.core.segment.is_inherited() {
            return; // The parent's.
        }
        let mut uses = self.core.channels.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &mut uses[self.channel as usize];
        *own -= 1;
        if *own == 0 {
            self.core.unlock(self.channel);
        }
    }
}

/// What needs the locks. The caller holds the mutex of the uses: locks of one handle do not exclude each other.
impl Core {
    fn channel(&self, channel: u32) -> &Channel {
        self.store.memory().channel(channel)
    }

    fn lock_error(&self, errno: Errno) -> Error {
        from_errno(self.segment.name(), "fcntl(F_OFD_SETLK)", errno)
    }

    fn unlock(&self, channel: u32) {
        let _ = lock::unlock(self.segment.leases().file().as_fd(), offset(channel));
        // Unlocking cannot fail.
    }

    /// Shares the lock of a channel, if that still is the ring's.
    fn share(&self, channel: u32, key: u64) -> Result<bool> {
        let file = self.segment.leases().file();
        if !lock::try_share(file.as_fd(), offset(channel)).map_err(|e| self.lock_error(e))? {
            return Ok(false); // Somebody is reclaiming it.
        }
        let is_ours = self.channel(channel).key.load(Ordering::Acquire) == key; // Partner: `Ring::write`.
        if !is_ours {
            self.unlock(channel);
        }
        Ok(is_ours)
    }

    /// Takes a free channel for a ring, and shares its lock.
    fn claim(&self, channel: u32, ring: &Ring) -> Result<bool> {
        let (file, entry) = (self.segment.leases().file(), self.channel(channel));
        let free = || entry.key.load(Ordering::Acquire) == 0; // Partner: `Ring::write`.
        if !free() || !lock::try_lock(file.as_fd(), offset(channel)).map_err(|e| self.lock_error(e))? {
            return Ok(false);
        }
        let ours = free();
        if ours {
            ring.write(entry);
            // From alone to shared is one step: nobody gets between.
            if let Err(errno) = lock::try_share(file.as_fd(), offset(channel)) {
                self.unlock(channel);
                return Err(self.lock_error(errno));
            }
        } else {
            self.unlock(channel);
        }
        Ok(ours)
    }

    /// Gives back what is in flight on channels that carry nothing any more; says how many blocks.
    fn reclaim_channels(&self, uses: &[u32; CHANNELS as usize]) -> Result<u32> {
        let (file, mut found) = (self.segment.leases().file(), 0);
        for channel in (0..CHANNELS).filter(|channel| uses[*channel as usize] == 0) {
            let entry = self.channel(channel);
            if entry.key.load(Ordering::Acquire) == 0
                || !lock::try_lock(file.as_fd(), offset(channel)).map_err(|e| self.lock_error(e))?
            {
                continue; // Free, or in use.
            }
            if !Ring::read(entry).is_there() {
                found += self.store.reclaim_channel(channel);
                entry.key.store(0, Ordering::Release); // Partner: `claim`.
            }
            self.unlock(channel);
        }
        Ok(found)
    }

    /// As [`Core::reclaim_channels`], for whoever asks.
    pub(crate) fn recover_channels(&self) -> Result<u32> {
        let uses = self.channels.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.reclaim_channels(&uses)
    }
}
