//! A subscriber among the things that `wait_any` waits for.

use super::protocol::{pass_on, Memory};
use super::subscriber::Subscriber;
use crate::any::{Sleeping, Waitable};
use crate::error::Result;
use std::os::fd::BorrowedFd;

impl Waitable for Subscriber {}

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
