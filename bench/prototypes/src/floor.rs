//! What no ring can beat, and a ring of fixed slots to compare with.

use crate::region::{Region, PAGE};
use crate::{check, fill, Design, Rx, Tx};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering::*};

/// Ping: writes a number to one line and waits for it on the other. With `PAYLOAD`, 64 numbered bytes
/// lie in the line after each flag.
pub fn flag_ping<const PAYLOAD: bool>([r, _]: &[Region; 2], n: u64) {
    let (ping, pong) = (r.control(PAGE), r.control(0));
    let start = pong.load(Relaxed);
    for i in start + 1..=start + n {
        put::<PAYLOAD>(r, PAGE, i);
        ping.store(i, Release);
        while pong.load(Acquire) != i {}
        get::<PAYLOAD>(r, 0, i);
    }
}

/// Pong: sends every number back.
pub fn flag_pong<const PAYLOAD: bool>([r, _]: &[Region; 2], n: u64) {
    let (ping, pong) = (r.control(PAGE), r.control(0));
    let start = pong.load(Relaxed);
    for i in start + 1..=start + n {
        while ping.load(Acquire) != i {}
        get::<PAYLOAD>(r, PAGE, i);
        put::<PAYLOAD>(r, 0, i);
        pong.store(i, Release);
    }
}

fn put<const PAYLOAD: bool>(r: &Region, flag: usize, i: u64) {
    if PAYLOAD {
        let mut msg = [0u8; 64];
        fill(&mut msg, i);
        // SAFETY: in the control pages; the flag orders it.
        unsafe { r.control(flag + 64).as_ptr().cast::<[u8; 64]>().write_volatile(msg) };
    }
}

fn get<const PAYLOAD: bool>(r: &Region, flag: usize, i: u64) {
    if PAYLOAD {
        // SAFETY: in the control pages; the flag orders it.
        check(&unsafe { r.control(flag + 64).as_ptr().cast::<[u8; 64]>().read_volatile() }, i);
    }
}

/// Fixed slots of `SIZE` bytes, a compile-time length, and two cached indices: the shape of a typed
/// ring such as rtrb. With `SIZE` 64 KiB it is the bare two-process memcpy.
pub struct Slots<const SIZE: usize>;

impl<const SIZE: usize> Design for Slots<SIZE> {
    type Tx = SlotEnd<SIZE>;
    type Rx = SlotEnd<SIZE>;
}

/// Either end: `own` counts what this side has done, `other` the other's count when last seen.
pub struct SlotEnd<const SIZE: usize> {
    data: *mut u8,
    slots: u64,
    shared_own: &'static AtomicU64,
    shared_other: &'static AtomicU64,
    own: u64,
    other: u64,
}

impl<const SIZE: usize> SlotEnd<SIZE> {
    fn new(r: &Region, own: usize, other: usize) -> Self {
        let (shared_own, shared_other) = (r.control(own), r.control(other));
        let slots = r.cap / SIZE as u64;
        assert!(slots.is_power_of_two());
        SlotEnd { data: r.data(), slots, shared_own, shared_other, own: shared_own.load(Relaxed), other: 0 }
    }

    #[inline(always)]
    fn slot(&self) -> *mut u8 {
        // SAFETY: the slot number is less than the number of slots.
        unsafe { self.data.add((self.own & (self.slots - 1)) as usize * SIZE) }
    }

    #[inline(always)]
    fn done(&mut self) {
        self.own += 1;
        // Release: pairs with the other side's acquire of this count.
        self.shared_own.store(self.own, Release);
    }
}

impl<const SIZE: usize> Tx for SlotEnd<SIZE> {
    fn attach(r: &Region) -> Self {
        Self::new(r, PAGE, 0)
    }

    #[inline(always)]
    fn send(&mut self, msg: &[u8]) -> bool {
        if self.own.wrapping_sub(self.other) >= self.slots {
            self.other = self.shared_other.load(Acquire);
            if self.own - self.other >= self.slots {
                return false;
            }
        }
        // SAFETY: the slot is ours until `done`; the caller's message has SIZE bytes.
        unsafe { ptr::copy_nonoverlapping(msg[..SIZE].as_ptr(), self.slot(), SIZE) };
        self.done();
        true
    }

    fn send_batch(&mut self, _: &[[u8; 64]], _: usize) -> bool {
        unimplemented!()
    }
}

impl<const SIZE: usize> Rx for SlotEnd<SIZE> {
    fn attach(r: &Region) -> Self {
        Self::new(r, 0, PAGE)
    }

    #[inline(always)]
    fn recv(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.other <= self.own {
            self.other = self.shared_other.load(Acquire);
            if self.other == self.own {
                return None;
            }
        }
        // SAFETY: the slot is ours until `done`.
        unsafe { ptr::copy_nonoverlapping(self.slot(), out[..SIZE].as_mut_ptr(), SIZE) };
        self.done();
        Some(SIZE)
    }

    fn recv_batch(&mut self, _: &mut [[u8; 64]]) -> usize {
        unimplemented!()
    }
}
