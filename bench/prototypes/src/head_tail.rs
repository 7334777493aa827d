//! Design B: the classic ring. The producer publishes a tail, the consumer a head, each on a page of
//! its own, and each keeps a private copy of the other's, reloaded only when it runs short. A record
//! is a length word and the payload, rounded up to 8 bytes.

use crate::region::{copy, Region, PAGE};
use crate::{Design, Rx, Tx};
use core::sync::atomic::{AtomicU64, Ordering::*};

/// Written by the consumer only.
const HEAD: usize = 0;
/// Written by the producer only.
const TAIL: usize = PAGE;

pub struct HeadTail;

impl Design for HeadTail {
    type Tx = Sender;
    type Rx = Receiver;
}

pub struct Sender {
    data: *mut u8,
    mask: u64,
    head: &'static AtomicU64,
    shared_tail: &'static AtomicU64,
    tail: u64,
    limit: u64,
}

impl Sender {
    #[inline(always)]
    fn has_room(&mut self, need: u64) -> bool {
        self.limit - self.tail >= need || self.reload(need)
    }

    #[cold]
    fn reload(&mut self, need: u64) -> bool {
        // Acquire: pairs with the consumer's release of its head.
        self.limit = self.head.load(Acquire) + self.mask + 1;
        self.limit - self.tail >= need
    }

    /// Writes one record at the private tail, for which there is room.
    #[inline(always)]
    fn put(&mut self, msg: &[u8]) {
        // SAFETY: the room was checked and the mapping is contiguous over the end.
        unsafe {
            let p = self.data.add((self.tail & self.mask) as usize);
            p.cast::<u64>().write(msg.len() as u64);
            copy(p.add(8), msg.as_ptr(), msg.len());
        }
        self.tail += (8 + msg.len() as u64).next_multiple_of(8);
    }
}

impl Tx for Sender {
    fn attach(r: &Region) -> Self {
        let (head, shared_tail) = (r.control(HEAD), r.control(TAIL));
        let limit = head.load(Acquire) + r.cap;
        Sender { data: r.data(), mask: r.cap - 1, head, shared_tail, tail: shared_tail.load(Relaxed), limit }
    }

    #[inline(always)]
    fn send(&mut self, msg: &[u8]) -> bool {
        if !self.has_room((8 + msg.len() as u64).next_multiple_of(8)) {
            return false;
        }
        self.put(msg);
        // Release: pairs with the consumer's reload.
        self.shared_tail.store(self.tail, Release);
        true
    }

    #[inline(always)]
    fn send_batch(&mut self, msgs: &[[u8; 64]], len: usize) -> bool {
        if !self.has_room((8 + len as u64).next_multiple_of(8) * msgs.len() as u64) {
            return false;
        }
        for msg in msgs {
            self.put(&msg[..len]);
        }
        self.shared_tail.store(self.tail, Release);
        true
    }
}

pub struct Receiver {
    data: *mut u8,
    mask: u64,
    shared_head: &'static AtomicU64,
    tail: &'static AtomicU64,
    head: u64,
    seen: u64,
}

impl Receiver {
    #[inline(always)]
    fn take(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.seen == self.head {
            // Acquire: pairs with the producer's release of its tail.
            self.seen = self.tail.load(Acquire);
            if self.seen == self.head {
                return None;
            }
        }
        // SAFETY: the masked position is in the region; `len` is checked before it is used.
        unsafe {
            let p = self.data.add((self.head & self.mask) as usize);
            let len = p.cast::<u64>().read_volatile() as usize;
            if len > out.len() || len as u64 > self.mask {
                panic!("corrupt");
            }
            copy(out.as_mut_ptr(), p.add(8), len);
            self.head += (8 + len as u64).next_multiple_of(8);
            Some(len)
        }
    }
}

impl Rx for Receiver {
    fn attach(r: &Region) -> Self {
        let (shared_head, tail) = (r.control(HEAD), r.control(TAIL));
        let head = shared_head.load(Relaxed);
        Receiver { data: r.data(), mask: r.cap - 1, shared_head, tail, head, seen: head }
    }

    #[inline(always)]
    fn recv(&mut self, out: &mut [u8]) -> Option<usize> {
        let len = self.take(out);
        if len.is_some() {
            // Release: the copy out is over before the producer may overwrite.
            self.shared_head.store(self.head, Release);
        }
        len
    }

    #[inline(always)]
    fn recv_batch(&mut self, out: &mut [[u8; 64]]) -> usize {
        let mut n = 0;
        while n < out.len() && self.take(&mut out[n]).is_some() {
            n += 1;
        }
        if n > 0 {
            self.shared_head.store(self.head, Release);
        }
        n
    }
}
