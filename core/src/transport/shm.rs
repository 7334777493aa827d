//! ipcx's own mechanisms as transports. An end without a name takes its role when it is first used, so that a process that
//! hands it over, by fork or as a descriptor, never has it.

use super::receiver::Receiving;
use super::sender::Sending;
use super::TransportOptions;
use crate::buffer::{Buffer, BufferOptions};
use crate::error::{Error, Result};
use crate::ring::{Consumer, Producer, Ring, RingOptions};
use crate::segment::SegmentOptions;
use crate::sys::fork;
use crate::wait::Deadline;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Capacity of a ring that nobody asked another of.
const DEFAULT_CAPACITY: u64 = 1 << 20;
/// What a ring needs beside its longest record.
const OVERHEAD: u64 = 16;

impl TransportOptions {
    fn segment(&self) -> SegmentOptions {
        SegmentOptions { mode: self.mode, directory: self.directory.clone(), ..Default::default() }
    }

    fn ring(&self) -> RingOptions {
        let needed = (self.message_size as u64).saturating_add(OVERHEAD);
        let capacity = match self.capacity {
            0 if needed > DEFAULT_CAPACITY => needed,
            0 => 0,
            capacity => capacity.max(needed),
        };
        RingOptions { capacity, segment: self.segment() }
    }

    fn buffer(&self) -> BufferOptions {
        let capacity = if self.message_size > 0 { self.message_size as u64 } else { self.capacity };
        BufferOptions { capacity, segment: self.segment() }
    }
}

pub(super) fn ring_pair(options: &TransportOptions) -> Result<(Sending, Receiving)> {
    let ring = Ring::anonymous(&options.ring())?;
    let (tx, rx) = (ring.share_fd()?, ring.share_fd()?);
    Ok((Sending::Ring(RingSender::from_fd(tx)), Receiving::Ring(RingReceiver::from_fd(rx))))
}

pub(super) fn buffer_pair(options: &TransportOptions) -> Result<(Sending, Receiving)> {
    let buffer = Buffer::anonymous(&options.buffer())?;
    let (tx, rx) = (buffer.share_fd()?, buffer.share_fd()?);
    Ok((Sending::Buffer(Value::from_fd(tx)), Receiving::Buffer(Value::from_fd(rx))))
}

pub(super) fn ring_sender(name: &str, options: &TransportOptions) -> Result<RingSender> {
    Ring::open(name, &options.ring())?.producer().map(End::taken)
}

pub(super) fn ring_receiver(name: &str, options: &TransportOptions) -> Result<RingReceiver> {
    Ring::open(name, &options.ring())?.consumer().map(End::taken)
}

pub(super) fn buffer(name: &str, options: &TransportOptions) -> Result<Value> {
    Buffer::open(name, &options.buffer()).map(|buffer| Value { end: End::taken(buffer), seen: 0 })
}

/// What an end without a name takes when it is first used.
pub(super) trait Take: Sized {
    fn take(fd: &OwnedFd) -> Result<Self>;
}

impl Take for Producer {
    fn take(fd: &OwnedFd) -> Result<Producer> {
        Ring::from_fd(fd.as_fd())?.producer().map(Producer::of_pair)
    }
}

impl Take for Consumer {
    fn take(fd: &OwnedFd) -> Result<Consumer> {
        Ring::from_fd(fd.as_fd())?.consumer().map(Consumer::of_pair)
    }
}

impl Take for Buffer {
    fn take(fd: &OwnedFd) -> Result<Buffer> {
        Buffer::from_fd(fd.as_fd())
    }
}

/// An end, taken or not.
#[derive(Debug)]
pub(super) struct End<T: Take> {
    taken: Option<T>,
    /// Of the segment, if it has no name.
    fd: Option<OwnedFd>,
    /// Since when no other process has it; `None` once it was shared.
    alone: Option<fork::Moment>,
}

pub(super) type RingSender = End<Producer>;
pub(super) type RingReceiver = End<Consumer>;

impl<T: Take> End<T> {
    fn taken(end: T) -> End<T> {
        End { taken: Some(end), fd: None, alone: None }
    }

    pub(super) fn from_fd(fd: OwnedFd) -> End<T> {
        End { taken: None, fd: Some(fd), alone: Some(fork::moment()) }
    }

    pub(super) fn get(&mut self) -> Result<&mut T> {
        match (&mut self.taken, &self.fd) {
            (Some(taken), _) => Ok(taken),
            (free, Some(fd)) => Ok(free.insert(T::take(fd)?)),
            (None, None) => Err(Error::Forked),
        }
    }

    /// Gives it up for another process to take, if it has no name.
    pub(super) fn into_fd(mut self) -> Option<OwnedFd> {
        self.fd.take()
    }

    /// For another process to take, if it has no name.
    fn share(&mut self) -> Option<BorrowedFd<'_>> {
        self.alone = None;
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// The same of one that has a role, which only one process has.
    pub(super) fn share_role(&mut self) -> Result<Option<BorrowedFd<'_>>> {
        if self.taken.is_some() && self.fd.is_some() {
            return Err(Error::invalid(
                "an end of a ring is this process's once it was used; share it before",
            ));
        }
        Ok(self.share())
    }
}

impl<T: Take> Drop for End<T> {
    /// The peer of one that was never used learns that it went, unless another process may have it.
    fn drop(&mut self) {
        let gone = self.taken.is_none() && self.alone == Some(fork::moment());
        if let Some(fd) = self.fd.as_ref().filter(|_| gone) {
            let _ = T::take(fd);
        }
    }
}

/// A buffer: the newest message.
#[derive(Debug)]
pub(super) struct Value {
    end: End<Buffer>,
    /// Version last received.
    seen: u64,
}

impl Value {
    pub(super) fn from_fd(fd: OwnedFd) -> Value {
        Value { end: End::from_fd(fd), seen: 0 }
    }

    pub(super) fn buffer(&mut self) -> Result<&mut Buffer> {
        self.end.get()
    }

    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        self.end.into_fd()
    }

    pub(super) fn share(&mut self) -> Option<BorrowedFd<'_>> {
        self.end.share()
    }

    /// True if there is a message that was not received, or something is wrong.
    pub(super) fn is_ready(&mut self) -> bool {
        let seen = self.seen;
        self.buffer().map_or(true, |buffer| buffer.version() != seen)
    }

    pub(super) fn recv(&mut self, to: &mut [u8], deadline: Deadline) -> Result<usize> {
        let (seen, deadline) = (self.seen, deadline.started());
        let buffer = self.buffer()?;
        loop {
            buffer.wait_until(seen, deadline)?;
            match buffer.read(to) {
                // Writers are too fast for it to be read at all: waits as long as the call may.
                Err(Error::WouldBlock(_)) if deadline.remaining().is_none_or(|left| !left.is_zero()) => {}
                Err(error) if !deadline.is_now() => return Err(error.at_deadline()),
                Ok((len, version)) => {
                    self.seen = version;
                    return Ok(len);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
