//! Producer and consumer among the things that `wait_any` waits for.

use super::consumer::Consumer;
use super::producer::Producer;
use super::protocol::{announce_for_record, announce_for_room, Memory};
use crate::any::{Sleeping, Waitable};
use crate::error::Result;
use crate::wait::Sleeper;
use std::os::fd::BorrowedFd;

impl Waitable for Consumer {}
impl Waitable for Producer {}

impl Sleeping for Consumer {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        self.has_record() || now.is_some_and(|now| self.end.check_peer(now).is_err())
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        let (memory, position) = (self.receiver.memory(), self.receiver.position());
        announce_for_record(memory, position, Sleeper::Call).then(|| (memory.record_word(position), 0))
    }

    fn withdraw(&mut self) {
        self.receiver.memory().consumer().sleepers.withdraw(Sleeper::Call);
    }

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.poll_fd()?;
        self.after(); // so that it is raised for what is there now, and armed otherwise
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.end.is_inherited()
    }
}

impl Sleeping for Producer {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        self.has_room() || now.is_some_and(|now| self.end.check_peer(now).is_err())
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        let memory = self.sender.memory();
        let seen = announce_for_room(memory, self.wanted(), Sleeper::Call)?;
        Some((memory.room_word(), seen as u32))
    }

    fn withdraw(&mut self) {
        self.sender.memory().producer().sleepers.withdraw(Sleeper::Call);
    }

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.poll_fd()?;
        self.after(); // so that it is raised for what is there now, and armed otherwise
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.end.is_inherited()
    }
}
