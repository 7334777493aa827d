//! Design A: the commit word travels with the payload.
//!
//! A record is one 64-bit header and the payload, rounded up to 8 bytes. The word at the tail is
//! always 0 and means "nothing yet"; one release store of a header commits, one release store of the
//! consumer's position consumes. A small record therefore costs one line transfer, and neither side
//! looks at the other's position while there is room.

use crate::region::{copy, prefetch_write, Region};
use crate::{Design, Rx, Tx};
use core::hint::black_box;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{compiler_fence, fence, AtomicU64, Ordering::*};

/// Consumer's position; written by the consumer only.
const HEAD: usize = 0;
/// "The consumer sleeps"; written by the consumer only, here always 0.
const SLEEPING: usize = 64;

/// What a sender does between committing and looking whether the consumer sleeps.
#[derive(PartialEq)]
pub enum Fence {
    /// It does not look.
    NoFlag,
    /// It only keeps the compiler from moving the look (the sleeper pays, by membarrier).
    Compiler,
    /// A full fence.
    Full,
    /// The commit itself is an exchange, which is a full fence on x86-64.
    Exchange,
}

/// The choices under test; the defaults are the plain design.
pub trait Variant {
    /// Records start at multiples of this.
    const ALIGN: u64 = 8;
    /// After a send, ask for ownership of the line this far beyond the tail (0: do not).
    const PREFETCH: u64 = 0;
    /// After a send, keep this much beyond the tail zeroed (0: zero one word, before the commit).
    const ZERO_AHEAD: u64 = 0;
    /// Store the 0 at the next header's place before the payload rather than after it.
    const ZERO_FIRST: bool = false;
    /// The receiver guesses that a record is as long as the one before. The guess is a branch, not a
    /// value, so the next header's address does not wait for this header to arrive.
    const GUESS: bool = false;
    /// Publish the position after this many bytes, or when the ring is empty (0: at every record).
    const PUBLISH: u64 = 0;
    const FENCE: Fence = Fence::NoFlag;
    /// Every payload has this length (0: any), so that copies are compiled for it.
    const FIXED: usize = 0;
    /// Small payloads are copied in line rather than by a call to memcpy.
    const COPY_INLINE: bool = true;
}

pub struct Inline<V>(PhantomData<V>);

impl<V: Variant> Design for Inline<V> {
    type Tx = Sender<V>;
    type Rx = Receiver<V>;
}

fn header(pos: u64, len: u64) -> u64 {
    len | 1 << 31 | (pos >> 3 << 40)
}

fn round<V: Variant>(len: u64) -> u64 {
    (8 + len).next_multiple_of(V::ALIGN)
}

/// # Safety
/// As for `ptr::copy_nonoverlapping`.
#[inline(always)]
unsafe fn copy_payload<V: Variant>(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if V::FIXED != 0 {
            assert_eq!(len, V::FIXED);
            ptr::copy_nonoverlapping(src, dst, V::FIXED)
        } else if V::COPY_INLINE {
            copy(dst, src, len)
        } else {
            ptr::copy_nonoverlapping(src, dst, len)
        }
    }
}

pub struct Sender<V> {
    data: *mut u8,
    mask: u64,
    head: &'static AtomicU64,
    sleeping: &'static AtomicU64,
    tail: u64,
    /// Bytes before this position may be written: the consumer's position when last seen + capacity.
    limit: u64,
    /// Every word from the tail up to here is 0.
    zeroed: u64,
    variant: PhantomData<V>,
}

impl<V: Variant> Sender<V> {
    fn at(&self, pos: u64) -> *mut u8 {
        // SAFETY: the masked position is less than the capacity.
        unsafe { self.data.add((pos & self.mask) as usize) }
    }

    /// The word at `pos`, an 8-aligned position inside the room that was checked.
    fn word(&self, pos: u64) -> &AtomicU64 {
        // SAFETY: aligned, mapped, and accessed as an atomic by both sides.
        unsafe { AtomicU64::from_ptr(self.at(pos).cast()) }
    }

    #[inline(always)]
    fn has_room(&mut self, need: u64) -> bool {
        self.limit - self.tail >= need || self.reload(need)
    }

    #[cold]
    fn reload(&mut self, need: u64) -> bool {
        // Acquire: pairs with the consumer's release, so its reads are over before we overwrite.
        self.limit = self.head.load(Acquire) + self.mask + 1;
        self.limit - self.tail >= need
    }

    #[inline(always)]
    fn commit(&mut self, pos: u64, len: u64, tail: u64) {
        if V::FENCE == Fence::Exchange {
            self.word(pos).swap(header(pos, len), SeqCst);
        } else {
            // Release: the payload, and the 0 at the next header's place, come first.
            self.word(pos).store(header(pos, len), Release);
        }
        self.tail = tail;
        match V::FENCE {
            Fence::Full => fence(SeqCst),
            Fence::Compiler => compiler_fence(SeqCst),
            _ => {}
        }
        if V::FENCE != Fence::NoFlag && self.sleeping.load(Relaxed) != 0 {
            panic!("nobody sleeps here");
        }
        if V::PREFETCH != 0 {
            prefetch_write(self.at(tail + V::PREFETCH));
        }
        if V::ZERO_AHEAD != 0 {
            self.zero_ahead();
        }
    }

    #[inline(always)]
    fn zero_next(&mut self, next: u64) {
        if V::ZERO_AHEAD == 0 || next + 8 > self.zeroed {
            self.word(next).store(0, Relaxed);
            self.zeroed = next + 8;
        }
    }

    #[inline(always)]
    fn zero_ahead(&mut self) {
        let want = (self.tail + V::ZERO_AHEAD).min(self.limit) & !63;
        while self.zeroed < want {
            // SAFETY: inside the room, and the consumer reads nothing beyond the word at the tail.
            unsafe {
                if self.zeroed % 64 == 0 {
                    self.at(self.zeroed).cast::<[u64; 8]>().write([0; 8]);
                    self.zeroed += 64;
                } else {
                    self.at(self.zeroed).cast::<u64>().write(0);
                    self.zeroed += 8;
                }
            }
        }
    }
}

impl<V: Variant> Tx for Sender<V> {
    fn attach(r: &Region) -> Self {
        let head = r.control(HEAD);
        // Every run ends with an empty ring, so the tail is where the consumer is.
        let tail = head.load(Acquire);
        Sender {
            data: r.data(),
            mask: r.cap - 1,
            head,
            sleeping: r.control(SLEEPING),
            tail,
            limit: tail + r.cap,
            zeroed: tail + 8,
            variant: PhantomData,
        }
    }

    #[inline(always)]
    fn send(&mut self, msg: &[u8]) -> bool {
        let (pos, size) = (self.tail, round::<V>(msg.len() as u64));
        if !self.has_room(size + 8) {
            return false;
        }
        if V::ZERO_FIRST {
            self.zero_next(pos + size);
        }
        // SAFETY: the room was checked and the mapping is contiguous over the end.
        unsafe { copy_payload::<V>(self.at(pos).add(8), msg.as_ptr(), msg.len()) };
        if !V::ZERO_FIRST {
            self.zero_next(pos + size);
        }
        self.commit(pos, msg.len() as u64, pos + size);
        true
    }

    #[inline(always)]
    fn send_batch(&mut self, msgs: &[[u8; 64]], len: usize) -> bool {
        let (pos, size) = (self.tail, round::<V>(len as u64));
        if !self.has_room(size * msgs.len() as u64 + 8) {
            return false;
        }
        if V::ZERO_FIRST {
            self.zero_next(pos + size * msgs.len() as u64);
        }
        for (i, msg) in msgs.iter().enumerate().skip(1) {
            let at = pos + size * i as u64;
            // Relaxed: the first header's release publishes it. Before the payload, because stores that go
            // upwards through memory drain faster.
            self.word(at).store(header(at, len as u64), Relaxed);
            // SAFETY: as in `send`.
            unsafe { copy_payload::<V>(self.at(at).add(8), msg.as_ptr(), len) };
        }
        if !V::ZERO_FIRST {
            self.zero_next(pos + size * msgs.len() as u64);
        }
        // SAFETY: as in `send`.
        unsafe { copy_payload::<V>(self.at(pos).add(8), msgs[0].as_ptr(), len) };
        self.commit(pos, len as u64, pos + size * msgs.len() as u64);
        true
    }
}

pub struct Receiver<V> {
    data: *mut u8,
    mask: u64,
    head: &'static AtomicU64,
    pos: u64,
    published: u64,
    /// Size of the record before, the guess for the next.
    size: u64,
    variant: PhantomData<V>,
}

impl<V: Variant> Receiver<V> {
    /// Copies the next record out without publishing.
    #[inline(always)]
    fn take(&mut self, out: &mut [u8]) -> Option<usize> {
        // SAFETY: the masked position is less than the capacity; the word is aligned and always atomic.
        let (p, word) = unsafe {
            let p = self.data.add((self.pos & self.mask) as usize);
            (p, AtomicU64::from_ptr(p.cast()).load(Acquire))
        };
        if word == 0 {
            return None;
        }
        let len = (word & 0x7fff_ffff) as usize;
        // What the other side wrote is input.
        if word != header(self.pos, len as u64) || len > out.len() || len as u64 > self.mask {
            panic!("corrupt");
        }
        // SAFETY: `len` is at most the capacity and fits `out`; acquire pairs with the commit.
        unsafe { copy_payload::<V>(out.as_mut_ptr(), p.add(8), len) };
        let size = round::<V>(len as u64);
        if !V::GUESS {
            self.size = size;
        } else if size != self.size {
            // black_box: the compiler must not see that both branches give `size`.
            self.size = black_box(size);
        }
        self.pos += self.size;
        Some(len)
    }

    #[inline(always)]
    fn publish(&mut self) {
        // Release: the copy out is over before the producer may overwrite.
        self.head.store(self.pos, Release);
        self.published = self.pos;
    }
}

impl<V: Variant> Rx for Receiver<V> {
    fn attach(r: &Region) -> Self {
        let head = r.control(HEAD);
        let pos = head.load(Acquire);
        Receiver { data: r.data(), mask: r.cap - 1, head, pos, published: pos, size: 0, variant: PhantomData }
    }

    #[inline(always)]
    fn recv(&mut self, out: &mut [u8]) -> Option<usize> {
        let len = self.take(out);
        let due = if len.is_none() {
            V::PUBLISH != 0 && self.pos != self.published
        } else {
            self.pos - self.published > V::PUBLISH
        };
        if due {
            self.publish();
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
            self.publish();
        }
        n
    }

    fn finish(&mut self) {
        self.publish();
    }
}
