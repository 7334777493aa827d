//! Floor: futex ping-pong. Each side sleeps on a word that the other one writes; every message is one
//! wake and one wait, the least that two sleeping processes can do.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};

use crate::endpoint::{Endpoint, Link, Side};
use crate::memory::{self, Mapping};
use crate::{signals, Result};

/// Where the payload starts, after the futex word's line.
const BODY: usize = 64;

/// Bytes of one direction: whole pages.
fn lane(link: &Link) -> usize {
    (BODY + link.workload.size).next_multiple_of(4096)
}

/// One end of the ping-pong.
pub struct Futex {
    memory: Mapping,
    /// Bytes in a message.
    size: usize,
    out: usize,
    inward: usize,
    last: u32,
}

impl Futex {
    #[inline(always)]
    fn word(&self, lane: usize) -> &AtomicU32 {
        // SAFETY: inside the mapping (two lanes), aligned, and only ever accessed as an atomic.
        unsafe { &*self.memory.start().add(lane).cast() }
    }

    #[inline(always)]
    fn body(&self, lane: usize) -> *mut u8 {
        // SAFETY: inside the mapping, with all that follows: a lane has `BODY` bytes more than a message.
        unsafe { self.memory.start().add(lane + BODY) }
    }
}

impl Endpoint for Futex {
    fn prepare(link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(2 * lane(link))?])
    }

    fn connect(link: &Link, side: Side) -> Result<Self> {
        let lane = lane(link);
        let memory = Mapping::of(link.fds[0], 2 * lane)?;
        let (out, inward) = if side == Side::Near { (0, lane) } else { (lane, 0) };
        Ok(Futex { memory, size: link.workload.size, out, inward, last: 0 })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        assert!(payload.len() == self.size);
        // SAFETY: the other side does not look at the body until the word changes, and its answer to the
        // last message said that it is done with the body.
        unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), self.body(self.out), payload.len()) };
        let word = self.word(self.out);
        // Relaxed: only this side writes the word.
        let next = word.load(std::sync::atomic::Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the acquire in `recv`; the body is visible before the word.
        word.store(next, Release);
        // SAFETY: FUTEX_WAKE takes an address, which is mapped, and a count.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        assert!(payload.len() == self.size);
        loop {
            let word = self.word(self.inward);
            // Acquire: pairs with the release in `send`.
            let now = word.load(Acquire);
            if now != self.last {
                self.last = now;
                break;
            }
            signals::check()?;
            let forever = std::ptr::null::<libc::timespec>();
            // SAFETY: FUTEX_WAIT reads the mapped word and no timeout.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, now, forever) };
        }
        // SAFETY: the word says that the body is complete; the sender waits for our answer before the next.
        unsafe { std::ptr::copy_nonoverlapping(self.body(self.inward), payload.as_mut_ptr(), payload.len()) };
        Ok(())
    }
}
