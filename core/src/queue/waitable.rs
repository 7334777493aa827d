//! A work queue among the things that `wait_any` waits for.

use super::handle::Queue;
use crate::any::{Sleeping, Waitable};
use crate::error::Result;
use std::os::fd::BorrowedFd;

impl Waitable for &Queue {}

impl Sleeping for &Queue {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        self.depot.is_ready(now)
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        self.depot.announce()
    }

    fn withdraw(&mut self) {
        self.depot.pass_on();
    }

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher()?;
        self.after(false); // so that it is raised for what is there now
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.depot.segment.is_inherited()
    }
}
