//! A victim that reads, writes, locks and waits.

use crate::{fail, must, options, Common, Kind, Operation, TO_SLEEP};
use ipcx::{Buffer, BufferOptions, Deadline, Result};
use std::time::Duration;

/// What is woken does not wait so long.
const TO_BE_WOKEN: Duration = Duration::from_secs(10);

pub(crate) struct Victim {
    common: Common,
    /// Once it has attached.
    buffer: Option<Buffer>,
    /// The version before the operation.
    seen: u64,
}

impl Kind for Victim {
    const OPERATIONS: &'static [Operation<Victim>] = &[
        ("attach", Victim::nothing, Victim::attach),
        ("close", Victim::prepare_attached, Victim::close),
        ("close_locked", Victim::prepare_edited, Victim::close),
        ("write", Victim::prepare_attached, Victim::write),
        ("commit", Victim::prepare_attached, Victim::commit),
        ("abandon", Victim::prepare_attached, Victim::abandon),
        ("publish", Victim::prepare_edited, Victim::publish),
        ("lock_woken", Victim::prepare_attached, Victim::lock_woken),
        ("read", Victim::prepare_attached, Victim::read),
        ("wait", Victim::prepare_attached, Victim::wait),
        ("wait_woken", Victim::prepare_attached, Victim::wait_woken),
        ("wait_locked_asleep", Victim::prepare_locked, Victim::wait_locked_asleep),
        ("wait_locked_woken", Victim::prepare_locked, Victim::wait_locked_woken),
        ("notify_one", Victim::prepare_attached, Victim::notify_one),
        ("notify_all", Victim::prepare_attached, Victim::notify_all),
        ("recover", Victim::nothing, Victim::recover),
    ];

    fn new(common: Common) -> Victim {
        Victim { common, buffer: None, seen: 0 }
    }

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Before the first mark.
impl Victim {
    fn open(&self) -> Result<Buffer> {
        let segment = options(4);
        Buffer::attach_with(&self.common.name, &BufferOptions { capacity: 0, segment })
    }

    fn buffer(&self) -> &Buffer {
        self.buffer.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn prepare_attached(&mut self) {
        self.buffer = Some(must(self.open()));
        self.seen = self.buffer().version();
    }

    fn prepare_locked(&mut self) {
        self.prepare_attached();
        must(self.buffer().lock_raw(Deadline::NOW));
    }

    fn prepare_edited(&mut self) {
        self.prepare_locked();
        must(self.edit());
    }
}

/// Between the marks.
impl Victim {
    fn attach(&mut self) -> Result<u64> {
        self.buffer = Some(self.open()?);
        Ok(0)
    }

    fn close(&mut self) -> Result<u64> {
        self.buffer = None;
        Ok(0)
    }

    fn write(&mut self) -> Result<u64> {
        self.buffer().write_until(&self.common.value, self.common.soon())
    }

    fn commit(&mut self) -> Result<u64> {
        self.buffer().lock_raw(self.common.soon())?;
        let len = self.edit()?;
        self.buffer().unlock_raw(len)
    }

    fn abandon(&mut self) -> Result<u64> {
        self.buffer().lock_raw(self.common.soon())?;
        self.edit()?;
        self.buffer().abandon_raw().map(|()| 0)
    }

    /// Changes the value in place, by halves.
    fn edit(&self) -> Result<usize> {
        let (at, _, capacity) = self.buffer().locked_raw()?;
        let (first, second) = self.common.value.split_at(self.common.value.len() / 2);
        assert!(self.common.value.len() <= capacity);
        // SAFETY: inside the copy that this thread fills.
        unsafe {
            at.copy_from_nonoverlapping(first.as_ptr(), first.len());
            at.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Ok(self.common.value.len())
    }

    fn publish(&mut self) -> Result<u64> {
        self.buffer().publish_raw(self.common.value.len())
    }

    fn lock_woken(&mut self) -> Result<u64> {
        self.buffer().lock_raw(Deadline::within(TO_BE_WOKEN)).map(|()| 0)
    }

    fn read(&mut self) -> Result<u64> {
        let mut room = std::mem::take(&mut self.common.room);
        let read = self.buffer().read(&mut room);
        self.common.room = room;
        read.map(|(_, version)| version)
    }

    /// There is another version than that.
    fn wait(&mut self) -> Result<u64> {
        self.buffer().wait_until(self.seen.wrapping_sub(1), Deadline::NOW)
    }

    fn wait_woken(&mut self) -> Result<u64> {
        self.buffer().wait_timeout(self.seen, TO_BE_WOKEN)
    }

    fn wait_locked(&mut self, timeout: Duration) -> Result<u64> {
        if self.buffer().locked_raw().is_err() {
            self.buffer().lock_raw(Deadline::within(TO_BE_WOKEN))?; // After an error it does not have it.
        }
        self.buffer().wait_locked_raw(Deadline::within(timeout)).map(|()| 0)
    }

    fn wait_locked_asleep(&mut self) -> Result<u64> {
        self.wait_locked(TO_SLEEP)
    }

    fn wait_locked_woken(&mut self) -> Result<u64> {
        self.wait_locked(TO_BE_WOKEN)
    }

    fn notify_one(&mut self) -> Result<u64> {
        self.buffer().notify(false).map(|()| 0)
    }

    fn notify_all(&mut self) -> Result<u64> {
        self.buffer().notify(true).map(|()| 0)
    }

    /// As whoever finds the dead does it: attaches, and takes the lock.
    fn recover(&mut self) -> Result<u64> {
        let buffer = self.open()?;
        buffer.lock_raw(self.common.soon())?;
        let recovered = buffer.recovered_raw()?;
        buffer.abandon_raw()?;
        self.buffer = Some(buffer);
        Ok(recovered.into())
    }
}
