//! A victim that takes permits and gives them back.

use crate::{fail, must, options, Common, Kind, Operation, TO_SLEEP};
use ipcx::{Deadline, Result, Semaphore, SemaphoreOptions};

pub(crate) struct Victim {
    common: Common,
    /// Once it has attached.
    semaphore: Option<Semaphore>,
}

impl Kind for Victim {
    const OPERATIONS: &'static [Operation<Victim>] = &[
        ("attach", Victim::nothing, Victim::attach),
        ("close", Victim::prepare_holding_two, Victim::close),
        ("acquire", Victim::prepare_attached, Victim::acquire),
        ("acquire_asleep", Victim::prepare_attached, Victim::acquire_asleep),
        ("release", Victim::prepare_holding, Victim::release),
        ("supply", Victim::prepare_attached, Victim::release),
        ("consume", Victim::prepare_attached, Victim::consume),
        ("recover", Victim::nothing, Victim::recover),
    ];

    fn new(common: Common) -> Victim {
        Victim { common, semaphore: None }
    }

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Before the first mark.
impl Victim {
    fn open(&self) -> Result<Semaphore> {
        let segment = options(4);
        Semaphore::attach_with(&self.common.name, &SemaphoreOptions { segment, ..Default::default() })
    }

    fn semaphore(&self) -> &Semaphore {
        self.semaphore.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn prepare_attached(&mut self) {
        self.semaphore = Some(must(self.open()));
    }

    fn prepare_holding(&mut self) {
        self.prepare_attached();
        must(self.semaphore().acquire_raw(Deadline::NOW));
    }

    fn prepare_holding_two(&mut self) {
        self.prepare_holding();
        must(self.semaphore().acquire_raw(Deadline::NOW));
    }
}

/// Between the marks.
impl Victim {
    fn attach(&mut self) -> Result<u64> {
        self.semaphore = Some(self.open()?);
        Ok(0)
    }

    fn close(&mut self) -> Result<u64> {
        self.semaphore = None;
        Ok(0)
    }

    fn acquire(&mut self) -> Result<u64> {
        self.semaphore().acquire_raw(self.common.soon()).map(|()| 0)
    }

    fn acquire_asleep(&mut self) -> Result<u64> {
        self.semaphore().acquire_raw(Deadline::within(TO_SLEEP)).map(|()| 0)
    }

    fn release(&mut self) -> Result<u64> {
        self.semaphore().release().map(|()| 0)
    }

    fn consume(&mut self) -> Result<u64> {
        self.semaphore().consume_until(self.common.soon()).map(|()| 0)
    }

    /// As whoever finds the dead does it: attaches, and gives back what they held.
    fn recover(&mut self) -> Result<u64> {
        let semaphore = self.open()?;
        semaphore.recover()?;
        self.semaphore = Some(semaphore);
        Ok(0)
    }
}
