//! Ends as things that `wait_any` waits for: by their descriptors.

use super::receiver::{Receiver, Receiving};
use super::sender::{Sender, Sending};
use crate::any::{Sleeping, Waitable};
use crate::error::{Error, Result};
use crate::sys::stream::{is_ready, For};
use std::os::fd::BorrowedFd;

impl Waitable for Sender {}
impl Waitable for Receiver {}

impl Sleeping for Receiver {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        match &mut self.receiving {
            Receiving::Ring(end) => end.get().map_or(true, |consumer| consumer.is_ready(now)),
            Receiving::Buffer(value) => value.is_ready(),
            Receiving::Queue(queue) if queue.keeps() => true,
            _ => says(self.poll_fd(), For::Reading),
        }
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        None
    }

    fn withdraw(&mut self) {}

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        if let Receiving::Ring(end) = &mut self.receiving {
            end.get()?.descriptor()?; // says what is there now
        }
        self.poll_fd()
    }

    fn has_word(&self) -> bool {
        false
    }

    fn is_inherited(&mut self) -> bool {
        matches!(self.poll_fd(), Err(Error::Forked))
    }
}

impl Sleeping for Sender {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        match self.sending() {
            Sending::Ring(end) => end.get().map_or(true, |producer| producer.is_ready(now)),
            Sending::Buffer(_) => true,
            _ => says(self.poll_fd(), For::Writing),
        }
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        None
    }

    fn withdraw(&mut self) {}

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        if let Sending::Ring(end) = self.sending() {
            end.get()?.descriptor()?; // says what is there now
        }
        self.poll_fd()
    }

    fn events(&self) -> i16 {
        self.poll_events()
    }

    fn has_word(&self) -> bool {
        false
    }

    fn is_inherited(&mut self) -> bool {
        if let Sending::Buffer(value) = self.sending() {
            return value.buffer().is_ok_and(|buffer| buffer.newer_than(0).is_inherited());
        }
        matches!(self.poll_fd(), Err(Error::Forked))
    }
}

/// True if a call that does not wait may have something to say, be it an error. Nobody to send to is none.
fn says(fd: Result<BorrowedFd<'_>>, what: For) -> bool {
    match fd {
        Ok(fd) => is_ready(fd, what).unwrap_or(true),
        Err(Error::WouldBlock(_)) => false,
        Err(_) => true,
    }
}
