//! A victim that pushes and takes.

use crate::{fail, must, options, Common, Kind, Operation, TO_SLEEP};
use ipcx::{Deadline, Queue, QueueOptions, Result};

pub(crate) struct Victim {
    common: Common,
    /// Once it has attached.
    queue: Option<Queue>,
    /// What it has taken.
    tickets: Vec<u64>,
}

impl Kind for Victim {
    const OPERATIONS: &'static [Operation<Victim>] = &[
        ("attach", Victim::nothing, Victim::attach),
        ("close", Victim::prepare_taken_two, Victim::close),
        ("push", Victim::prepare_attached, Victim::push),
        ("push_asleep", Victim::prepare_attached, Victim::push_asleep),
        ("take", Victim::prepare_attached, Victim::take),
        ("take_asleep", Victim::prepare_attached, Victim::take_asleep),
        ("pop", Victim::prepare_attached, Victim::pop),
        ("ack", Victim::prepare_taken, Victim::acknowledge),
        ("put_back", Victim::prepare_taken, Victim::put_back),
        ("take_dead", Victim::prepare_attached, Victim::take_letter),
        ("discard", Victim::prepare_letter, Victim::acknowledge),
        ("revive", Victim::prepare_letter, Victim::put_back),
        ("recover", Victim::nothing, Victim::recover),
    ];

    fn new(common: Common) -> Victim {
        Victim { common, queue: None, tickets: Vec::with_capacity(4) }
    }

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Before the first mark.
impl Victim {
    fn open(&self) -> Result<Queue> {
        let segment = options(4);
        Queue::attach_with(&self.common.name, &QueueOptions { segment, ..Default::default() })
    }

    fn queue(&self) -> &Queue {
        self.queue.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    /// The message that it has, for what it does with it once.
    fn ticket(&self) -> u64 {
        *self.tickets.first().unwrap_or_else(|| fail("nothing was taken"))
    }

    fn prepare_attached(&mut self) {
        self.queue = Some(must(self.open()));
    }

    fn prepare_taken(&mut self) {
        self.prepare_attached();
        must(self.take());
    }

    fn prepare_taken_two(&mut self) {
        self.prepare_taken();
        must(self.take());
    }

    fn prepare_letter(&mut self) {
        self.prepare_attached();
        must(self.take_letter());
    }
}

/// Between the marks.
impl Victim {
    fn attach(&mut self) -> Result<u64> {
        self.queue = Some(self.open()?);
        Ok(0)
    }

    fn close(&mut self) -> Result<u64> {
        self.queue = None;
        Ok(0)
    }

    fn push(&mut self) -> Result<u64> {
        self.queue().push_until(&self.common.value, 3, self.common.soon()).map(|()| 0)
    }

    fn push_asleep(&mut self) -> Result<u64> {
        self.queue().push_until(&self.common.value, 3, Deadline::within(TO_SLEEP)).map(|()| 0)
    }

    fn take(&mut self) -> Result<u64> {
        let (mut room, deadline) = (std::mem::take(&mut self.common.room), self.common.soon());
        let taken = self.queue().take_into(&mut room, deadline);
        self.common.room = room;
        self.tickets.push(taken?.ticket);
        Ok(0)
    }

    fn take_asleep(&mut self) -> Result<u64> {
        let taken = self.queue().take_timeout(TO_SLEEP)?;
        let _ = taken.into_ticket();
        Ok(0)
    }

    fn pop(&mut self) -> Result<u64> {
        let (mut room, deadline) = (std::mem::take(&mut self.common.room), self.common.soon());
        let popped = self.queue().pop_until(&mut room, deadline);
        self.common.room = room;
        popped.map(|_| 0)
    }

    fn acknowledge(&mut self) -> Result<u64> {
        self.queue().ack(self.ticket()).map(|()| 0)
    }

    fn put_back(&mut self) -> Result<u64> {
        self.queue().put_back(self.ticket()).map(|()| 0)
    }

    fn take_letter(&mut self) -> Result<u64> {
        let mut room = std::mem::take(&mut self.common.room);
        let taken = self.queue().take_dead_into(&mut room);
        self.common.room = room;
        self.tickets.push(taken?.ticket);
        Ok(0)
    }

    /// As whoever finds the dead does it: attaches, and brings back what they had.
    fn recover(&mut self) -> Result<u64> {
        let queue = self.open()?;
        queue.recover()?;
        self.queue = Some(queue);
        Ok(0)
    }
}
