//! A queue beside others who are always faster: the protocol over a memory that goes on whenever somebody looks at a cell.

use super::handle::{Queue, QueueOptions};
use super::layout::{Control, Envelope, Hints};
use super::memory::Mapped;
use super::protocol::{Memory, Store};
use crate::event::Kernel;
use crate::sync::AtomicU64;
use std::cell::Cell;

struct Busy {
    mapped: Mapped,
    others: Store<Mapped>,
    at_it: Cell<bool>,
}

impl Busy {
    /// A message is pushed, taken and acknowledged.
    fn go_on(&self) {
        if !self.at_it.replace(true) {
            let cell = self.others.claim().unwrap().expect("room");
            self.others.fill(cell, b"x");
            self.others.publish(cell, 1).unwrap();
            let taken = self.others.take(1).unwrap().expect("what was pushed");
            assert!(self.others.acknowledge(taken.ticket).unwrap());
            self.at_it.set(false);
        }
    }
}

impl Memory for Busy {
    fn depth(&self) -> u32 {
        self.mapped.depth()
    }
    fn entries(&self) -> u32 {
        self.mapped.entries()
    }
    fn control(&self) -> &Control {
        self.mapped.control()
    }
    fn hints(&self, lane: u32) -> &Hints {
        self.mapped.hints(lane)
    }
    fn entry(&self, lane: u32, entry: u32) -> &AtomicU64 {
        self.mapped.entry(lane, entry)
    }
    fn aside(&self, word: u32) -> &AtomicU64 {
        self.mapped.aside(word)
    }
    fn cell(&self, index: u32) -> &Envelope {
        self.go_on();
        self.mapped.cell(index)
    }
    fn room(&self) -> usize {
        self.mapped.room()
    }
    fn write(&self, index: u32, message: &[u8]) {
        self.mapped.write(index, message);
    }
    fn read(&self, index: u32, to: &mut [u8]) {
        self.mapped.read(index, to);
    }
    fn expect(&self, index: u32) {
        self.mapped.expect(index);
    }
    fn kernel(&self) -> &impl Kernel {
        self.mapped.kernel()
    }
}

#[test]
fn a_sound_queue_is_not_said_to_be_damaged_however_busy_it_is() {
    let queue = Queue::anonymous(&QueueOptions { depth: 1, ..Default::default() }).unwrap();
    let mapped = || Mapped::new(&queue.depot.segment).unwrap();
    let busy = Busy { mapped: mapped(), others: Store::new(mapped(), 1, 0), at_it: Cell::new(false) };
    busy.go_on();
    let slow = Store::new(busy, 2, 0);
    assert_eq!(slow.claim(), Ok(None));
    assert_eq!(slow.take(1), Ok(None));
}
