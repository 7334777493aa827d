//! ipcx: two rings, one per direction, as a Rust program uses them.
//!
//! The near side creates both; the far side attaches and removes the names, which nobody needs any more.
//! Lengths are known at run time only, as they are to a ring of variable-length records and to a C caller;
//! with a length that the compiler knows, the rate is higher.

use std::os::fd::AsRawFd;

use ipcx::{Consumer, Producer, Ring, RingOptions, SegmentOptions, WaitStrategy};

use crate::endpoint::{Endpoint, Link, Side};
use crate::workload::BATCH;
use crate::{while_doing, Result};

/// One end: the producer of one ring and the consumer of the other. `POLLED`: it sleeps on the consumer's descriptor.
pub struct RingEnd<const POLLED: bool> {
    out: Producer,
    inward: Consumer,
    lens: [usize; BATCH],
    /// Bytes in a message; opaque to the compiler.
    size: usize,
}

/// The names of the rings there and back.
fn names(link: &Link) -> [String; 2] {
    ["there", "back"].map(|direction| format!("{}-{direction}", link.label))
}

fn options(link: &Link) -> RingOptions {
    let wait = if link.workload.blocks() { WaitStrategy::Block } else { WaitStrategy::Spin };
    RingOptions {
        capacity: link.workload.capacity() as u64,
        segment: SegmentOptions { wait, ..SegmentOptions::default() },
    }
}

fn ring(link: &Link, side: Side, name: &str) -> Result<Ring> {
    if side == Side::Near {
        return Ring::create(name, &options(link)).map_err(while_doing("create"));
    }
    let ring = Ring::attach(name).map_err(while_doing("attach"))?;
    ipcx::unlink(name).map_err(while_doing("unlink"))?;
    Ok(ring)
}

/// Removes the names if a side died between creating and attaching.
pub fn cleanup(link: &Link) {
    for name in names(link) {
        let _gone_already = ipcx::unlink(&name);
    }
}

impl<const POLLED: bool> RingEnd<POLLED> {
    fn recv_polled(&mut self, payload: &mut [u8]) -> ipcx::Result<usize> {
        loop {
            match self.inward.try_recv(payload) {
                Err(ipcx::Error::WouldBlock(_)) => {}
                done => return done,
            }
            let mut poll =
                libc::pollfd { fd: self.inward.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd. However it ends, the ring is looked at again.
            unsafe { libc::poll(&mut poll, 1, -1) };
        }
    }
}

impl<const POLLED: bool> Endpoint for RingEnd<POLLED> {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let [there, back] = names(link);
        let (there, back) = (ring(link, side, &there)?, ring(link, side, &back)?);
        let (out, inward) = if side == Side::Near { (there, back) } else { (back, there) };
        Ok(RingEnd {
            out: out.producer().map_err(while_doing("producer"))?,
            inward: inward.consumer().map_err(while_doing("consumer"))?,
            lens: [0; BATCH],
            size: std::hint::black_box(link.workload.size),
        })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.out.send(&payload[..self.size]).map_err(while_doing("send"))
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let payload = &mut payload[..self.size];
        let len = if POLLED { self.recv_polled(payload) } else { self.inward.recv(payload) };
        let len = len.map_err(while_doing("recv"))?;
        if len != self.size {
            return Err("a message had another length".into());
        }
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, payloads: &[u8], _size: usize) -> Result<()> {
        let size = self.size;
        let mut rest = payloads;
        while !rest.is_empty() {
            let sent = self.out.send_many(rest.chunks_exact(size)).map_err(while_doing("send_many"))?;
            rest = &rest[sent * size..];
        }
        Ok(())
    }

    #[inline(always)]
    fn recv_batch(&mut self, payloads: &mut [u8], _size: usize) -> Result<usize> {
        let count = self.inward.recv_many(payloads, &mut self.lens).map_err(while_doing("recv_many"))?;
        if self.lens[..count].iter().any(|&len| len != self.size) {
            return Err("a message had another length".into());
        }
        Ok(count)
    }

    #[inline(always)]
    fn send_in_place(&mut self, size: usize, head: &[u8]) -> Result<()> {
        let mut reservation = self.out.reserve(size).map_err(while_doing("reserve"))?;
        reservation.write_at(0, head).map_err(while_doing("write_at"))?;
        reservation.commit();
        Ok(())
    }

    #[inline(always)]
    fn recv_in_place(&mut self, head: &mut [u8]) -> Result<usize> {
        let record = self.inward.borrow().map_err(while_doing("borrow"))?;
        record.read_at(0, head).map_err(while_doing("read_at"))?;
        let len = record.len();
        record.release();
        Ok(len)
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}
