//! Floor: bare memcpy. Slots of one message each in shared memory of the size that the others get; the
//! sender copies in and counts up, the receiver copies out and counts up. No header, no length, no lease.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use crate::endpoint::{Endpoint, Link, Side};
use crate::memory::{self, Mapping};
use crate::{signals, Result};

/// Where the sender's count lies.
const SENT: usize = 0;
/// Where the receiver's count lies.
const RECEIVED: usize = 128;
/// Where the slots start.
const SLOTS: usize = 4096;

/// One end of the copy.
pub struct Memcpy {
    memory: Mapping,
    slot_size: usize,
    slots: u64,
    /// Messages that this side has finished.
    done: u64,
    /// The other side's count when this side last looked.
    seen: u64,
}

impl Memcpy {
    fn size(link: &Link) -> usize {
        SLOTS + link.workload.capacity()
    }

    #[inline(always)]
    fn count(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: inside the first page, aligned, and only ever accessed as an atomic.
        unsafe { &*self.memory.start().add(offset).cast() }
    }

    #[inline(always)]
    fn slot(&self) -> *mut u8 {
        let offset = (self.done % self.slots) as usize * self.slot_size;
        // SAFETY: `slots * slot_size` bytes follow the first page.
        unsafe { self.memory.start().add(SLOTS + offset) }
    }
}

impl Endpoint for Memcpy {
    fn prepare(link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(Self::size(link))?])
    }

    fn connect(link: &Link, _side: Side) -> Result<Self> {
        let slot_size = link.workload.size;
        let slots = (link.workload.capacity() / slot_size) as u64;
        let memory = Mapping::of(link.fds[0], Self::size(link))?;
        Ok(Memcpy { memory, slot_size, slots, done: 0, seen: 0 })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        if self.done - self.seen == self.slots {
            // Acquire: pairs with the release in `recv`; the slot has been read.
            let received =
                || Some(self.count(RECEIVED).load(Acquire)).filter(|&now| self.done - now < self.slots);
            self.seen = signals::spin(received)?;
        }
        assert!(payload.len() == self.slot_size);
        // SAFETY: the slot is as long as the payload and the receiver is done with it.
        unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), self.slot(), payload.len()) };
        self.done += 1;
        // Release: pairs with the acquire in `recv`.
        self.count(SENT).store(self.done, Release);
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        if self.seen == self.done {
            // Acquire: pairs with the release in `send`; the slot is complete.
            let sent = || Some(self.count(SENT).load(Acquire)).filter(|&now| now > self.done);
            self.seen = signals::spin(sent)?;
        }
        assert!(payload.len() == self.slot_size);
        // SAFETY: the slot is as long as the payload and the sender has finished it.
        unsafe { std::ptr::copy_nonoverlapping(self.slot(), payload.as_mut_ptr(), payload.len()) };
        self.done += 1;
        // Release: pairs with the acquire in `send`.
        self.count(RECEIVED).store(self.done, Release);
        Ok(())
    }
}
