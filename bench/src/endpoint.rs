//! The interface that a contender implements: one end of a two-way channel.
//!
//! The message loops in [`crate::loops`] are generic over it, so that a contender's calls are inlined
//! into the loop exactly as they would be into a user's program. A contender implements the calls that
//! its workloads use; the others answer "not supported".

use std::os::fd::{OwnedFd, RawFd};

use crate::workload::Workload;
use crate::{Error, Result};

/// Which end of the channel a worker holds. The near side starts every exchange and the round trip is
/// timed there; messages that go one way go from near to far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sends first.
    Near,
    /// Receives first.
    Far,
}

/// What both ends of one channel know before they connect.
#[derive(Clone, Debug)]
pub struct Link {
    /// The contender's name in the table of adapters: one endpoint may serve several.
    pub contender: String,
    /// Unique among all runs on this machine; fit for a file name.
    pub label: String,
    /// What is carried.
    pub workload: Workload,
    /// Descriptors that [`Endpoint::prepare`] returned, inherited under the same numbers.
    pub fds: Vec<RawFd>,
}

/// One end of a channel. Sending and receiving wait until they are done.
pub trait Endpoint: Sized {
    /// Makes what both sides need before either starts: shared memory, pipes. The coordinator holds the
    /// descriptors while the workers live.
    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    /// Connects one side. The near side connects first; all are connected before anything is sent. There are several far sides
    /// where one publishes to many.
    fn connect(link: &Link, side: Side) -> Result<Self>;

    /// Sends one message, copying it in.
    fn send(&mut self, _payload: &[u8]) -> Result<()> {
        unsupported()
    }

    /// Receives one message of exactly `payload.len()` bytes, copying it out.
    fn recv(&mut self, _payload: &mut [u8]) -> Result<()> {
        unsupported()
    }

    /// As `recv`, if there is a message before `end` on the monotonic clock, or without waiting if that is 0: false if there
    /// was none. What was overwritten before it was received is left out.
    fn recv_before(&mut self, _payload: &mut [u8], _end: u64) -> Result<bool> {
        unsupported()
    }

    /// Sends all messages, each `size` bytes long, that lie one after the other in `payloads`.
    fn send_batch(&mut self, _payloads: &[u8], _size: usize) -> Result<()> {
        unsupported()
    }

    /// Receives at least one and at most `payloads.len() / size` messages; returns how many.
    fn recv_batch(&mut self, _payloads: &mut [u8], _size: usize) -> Result<usize> {
        unsupported()
    }

    /// Sends `size` bytes in place, writing `head` at their beginning and leaving the rest.
    fn send_in_place(&mut self, _size: usize, _head: &[u8]) -> Result<()> {
        unsupported()
    }

    /// Receives in place, reading the beginning into `head`; returns the length.
    fn recv_in_place(&mut self, _head: &mut [u8]) -> Result<usize> {
        unsupported()
    }

    /// Removes what a killed worker may have left behind. Called by the coordinator at the end.
    fn cleanup(_link: &Link) {}
}

#[cold]
fn unsupported<T>() -> Result<T> {
    Err(Error::from("not supported by this contender"))
}
