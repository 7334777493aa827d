//! A Treiber stack of free blocks in shared memory: what a lock-free pool usually is. The head is one 64-bit word, the
//! number of the first free block and a tag that counts changes. It knows no owners: what a process has when it dies is
//! lost. For comparison only.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use crate::endpoint::Link;
use crate::lender::Lender;
use crate::memory::{self, Mapping};
use crate::pairs::none_left;
use crate::workload::{BLOCK, BLOCKS};
use crate::Result;

/// Where the links lie: a 32-bit word per block.
const LINKS: usize = 128;
/// Where the blocks start.
const DATA: usize = LINKS + 4 * BLOCKS;
const SIZE: usize = DATA + BLOCK * BLOCKS;
const _: () = assert!(DATA % 64 == 0);

/// One process's access.
pub struct Treiber(Mapping);

impl Treiber {
    /// Lower half: the number of the first free block plus 1, or 0. Upper half: the tag.
    #[inline(always)]
    fn head(&self) -> &AtomicU64 {
        // SAFETY: at the start of the mapping, and only ever accessed as an atomic.
        unsafe { &*self.0.start().cast() }
    }

    /// The next free block behind this one, as in the head.
    #[inline(always)]
    fn link(&self, block: u32) -> &AtomicU32 {
        assert!((block as usize) < BLOCKS);
        // SAFETY: just asserted to be one of the links, which are aligned and only ever accessed as atomics.
        unsafe { &*self.0.start().add(LINKS + 4 * block as usize).cast() }
    }
}

/// The next value of the head: another first block, another tag.
#[inline(always)]
fn changed(head: u64, first: u32) -> u64 {
    ((head >> 32) + 1) << 32 | u64::from(first)
}

impl Lender for Treiber {
    type Held<'a> = u32;

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(SIZE)?])
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        let stack = Treiber(Mapping::of(link.fds[0], SIZE)?);
        if number == 0 {
            for block in (0..BLOCKS as u32).rev() {
                stack.release(block)?;
            }
        }
        Ok(stack)
    }

    #[inline(always)]
    fn acquire(&self) -> Result<u32> {
        // Acquire, here and below: partner of `release`; the link behind the head is seen.
        let mut head = self.head().load(Acquire);
        loop {
            let block = (head as u32).checked_sub(1).ok_or_else(none_left)?;
            // Relaxed: may belong to somebody already, and then the tag has changed.
            let next = self.link(block).load(Relaxed);
            match self.head().compare_exchange_weak(head, changed(head, next), AcqRel, Acquire) {
                Ok(_) => return Ok(block),
                Err(now) => head = now,
            }
        }
    }

    fn address(&self, held: &u32) -> *mut u8 {
        self.0.at::<[u8; BLOCK]>(DATA + BLOCK * *held as usize).cast()
    }

    #[inline(always)]
    fn release(&self, held: u32) -> Result<()> {
        let mut head = self.head().load(Relaxed);
        loop {
            self.link(held).store(head as u32, Relaxed);
            // AcqRel: partner of `acquire`; the link comes before the head.
            match self.head().compare_exchange_weak(head, changed(head, held + 1), AcqRel, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => head = now,
            }
        }
    }
}
