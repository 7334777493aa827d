//! Publisher and subscriber among the things that `wait_any` waits for.

use super::protocol::{pass_on, Memory};
use super::publisher::Publisher;
use super::subscriber::Subscriber;
use crate::any::{Sleeping, Waitable};
use crate::error::Result;
use std::os::fd::BorrowedFd;

impl Waitable for Publisher {}
impl Waitable for Subscriber {}

impl Sleeping for Publisher {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        let (core, needed) = (&self.core, self.needed());
        // With a reservation open, a call says so.
        if self.reserved.is_some() || core.may_publish(needed) {
            return true;
        }
        if let Some(now) = now {
            core.drop_dead(now, needed);
        }
        now.is_some() && core.may_publish(needed)
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        self.core.announce(self.needed())
    }

    fn withdraw(&mut self) {
        self.core.pass_on();
    }

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.poll_fd()?;
        self.after(); // so that it is raised for what is there now, and armed otherwise
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.core.segment.is_inherited()
    }
}

impl Sleeping for Subscriber {
    fn is_ready(&mut self, _now: Option<u64>) -> bool {
        self.reader.may_receive()
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        let memory = self.reader.memory();
        let published = &memory.events().published;
        let word = published.announce(memory.kernel());
        (!self.reader.may_receive()).then(|| (published.address(), word))
    }

    fn withdraw(&mut self) {
        pass_on(self.reader.memory(), self.reader.position());
    }

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.poll_fd()?;
        self.after(); // so that it is raised for what is there now, and armed otherwise
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.segment.is_inherited()
    }
}
