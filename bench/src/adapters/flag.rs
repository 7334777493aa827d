//! Floor: flag ping-pong. Each side spins on a word that the other one writes; nothing else is shared.
//!
//! Two placements of the payload: from the flag's own cache line on (the payload's first word, which differs
//! for every message, *is* the flag, so that one line transfer carries 64 bytes), and from the line after the
//! flag on (for 64 bytes two transfers, the least for any format that puts a header before them).

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use crate::endpoint::{Endpoint, Link, Side};
use crate::memory::{self, Mapping};
use crate::{signals, Result};

/// Bytes of flag and payload, up to a whole page: no line, and no pair of lines, is shared by both directions.
fn lane(link: &Link) -> usize {
    (64 + link.workload.size).next_multiple_of(4096)
}

/// One end of the ping-pong; `NEXT_LINE` says where the payload lies.
pub struct Flag<const NEXT_LINE: bool> {
    memory: Mapping,
    /// Bytes in a message.
    size: usize,
    out: usize,
    inward: usize,
    sent: u64,
    last: u64,
}

impl<const NEXT_LINE: bool> Flag<NEXT_LINE> {
    #[inline(always)]
    fn flag(&self, lane: usize) -> &AtomicU64 {
        // SAFETY: inside the mapping (two lanes), aligned, and only ever accessed as an atomic.
        unsafe { &*self.memory.start().add(lane).cast() }
    }

    /// The bytes that follow the flag: a whole message in the next line, or all but its first word.
    #[inline(always)]
    fn body(&self, lane: usize) -> *mut u8 {
        let offset = if NEXT_LINE { 64 } else { 8 };
        // SAFETY: inside the mapping, with all that follows: a lane has 64 bytes more than a message.
        unsafe { self.memory.start().add(lane + offset) }
    }
}

impl<const NEXT_LINE: bool> Endpoint for Flag<NEXT_LINE> {
    fn prepare(link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(2 * lane(link))?])
    }

    fn connect(link: &Link, side: Side) -> Result<Self> {
        let lane = lane(link);
        let memory = Mapping::of(link.fds[0], 2 * lane)?;
        let (out, inward) = if side == Side::Near { (0, lane) } else { (lane, 0) };
        Ok(Flag { memory, size: link.workload.size, out, inward, sent: 0, last: 0 })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        assert!(payload.len() == self.size);
        let (flag, body) = if NEXT_LINE {
            self.sent += 1;
            (self.sent, payload)
        } else {
            (u64::from_ne_bytes(payload[..8].try_into().expect("8 bytes")), &payload[8..])
        };
        // SAFETY: the other side does not look at the body until the flag changes, and its answer to the
        // last message said that it is done with the body.
        unsafe { std::ptr::copy_nonoverlapping(body.as_ptr(), self.body(self.out), body.len()) };
        // Release: pairs with the acquire in `recv`; the body is visible before the flag.
        self.flag(self.out).store(flag, Release);
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        assert!(payload.len() == self.size);
        // Acquire: pairs with the release in `send`.
        let flag =
            signals::spin(|| Some(self.flag(self.inward).load(Acquire)).filter(|&now| now != self.last))?;
        self.last = flag;
        let body = if NEXT_LINE {
            payload
        } else {
            payload[..8].copy_from_slice(&flag.to_ne_bytes());
            &mut payload[8..]
        };
        // SAFETY: the flag says that the body is complete; the sender waits for our answer before the next.
        unsafe { std::ptr::copy_nonoverlapping(self.body(self.inward), body.as_mut_ptr(), body.len()) };
        Ok(())
    }
}
