//! Waiting for another version, alone and among other things.

use super::handle::{Buffer, Core};
use super::protocol::{nap_for_version, version, Memory};
use crate::any::{Sleeping, Waitable};
use crate::error::{Context, Error, Result};
use crate::wait::{wait, Condition, Deadline, Nap};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What there is no other of.
const SAME: &str = "the buffer has the same version as before";

impl Buffer {
    /// Waits until the version is another than `seen`; says which.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// let seen = price.version();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| price.write(b"1234.50"));
    ///     assert_eq!(price.wait(seen)?, 1);
    ///     ipcx::Result::Ok(())
    /// })?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::wait_until`], less `WouldBlock` and `TimedOut`.
    pub fn wait(&self, seen: u64) -> Result<u64> {
        self.wait_until(seen, Deadline::NEVER)
    }

    /// As [`Buffer::wait`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// let waited = price.wait_timeout(price.version(), std::time::Duration::from_millis(1));
    /// assert!(matches!(waited, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::wait_until`].
    pub fn wait_timeout(&self, seen: u64, timeout: Duration) -> Result<u64> {
        self.wait_until(seen, Deadline::within(timeout))
    }

    /// What the two calls above do: waits until the version is another than `seen`, or until `deadline`.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert!(price.wait_until(0, ipcx::Deadline::NOW).is_err(), "nothing was written");
    /// price.write(b"1234.50")?;
    /// assert_eq!(price.wait_until(0, ipcx::Deadline::NOW)?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if it is the same and the deadline is [`Deadline::NOW`], `TimedOut`, `Forked`, and `Interrupted` if a signal
    /// handler ran while it slept.
    pub fn wait_until(&self, seen: u64, deadline: Deadline) -> Result<u64> {
        let core = &*self.core;
        core.segment.check_not_inherited()?;
        let mut newer = NewVersion { core, seen, now: version(&core.memory) };
        if newer.now == seen {
            if deadline.is_now() {
                self.note(seen);
                return Err(Error::WouldBlock(SAME));
            }
            wait(&mut newer, core.segment.wait_strategy(), deadline.started())?;
        }
        self.note(newer.now);
        Ok(newer.now)
    }

    /// What [`wait_any`](crate::wait_any()) waits for: another version than `seen`.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// price.write(b"1234.50")?;
    /// assert_eq!(ipcx::wait_any(&mut [&mut price.newer_than(0)], ipcx::Deadline::NEVER)?, [0]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn newer_than(&self, seen: u64) -> NewerThan<'_> {
        NewerThan { buffer: self, seen }
    }
}

/// A call waits for a version.
struct NewVersion<'a> {
    core: &'a Core,
    seen: u64,
    /// The version when it was last looked at.
    now: u64,
}

impl Condition for NewVersion<'_> {
    fn ready(&mut self) -> Result<bool> {
        self.now = version(&self.core.memory);
        Ok(self.now != self.seen)
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_version(&self.core.memory, self.seen, until)
    }

    fn peer(&mut self, _now: u64) -> Result<()> {
        Ok(()) // Anybody may write.
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.core.segment.context(SAME)
    }
}

/// Another version of a buffer than one that was seen; see [`Buffer::newer_than`].
///
/// ```
/// let (price, map) = (ipcx::Buffer::anonymous(&Default::default())?, ipcx::Buffer::anonymous(&Default::default())?);
/// map.write(b"there be dragons")?;
/// let mut newer = (price.newer_than(0), map.newer_than(0));
/// assert_eq!(ipcx::wait_any(&mut [&mut newer.0, &mut newer.1], ipcx::Deadline::NEVER)?, [1]);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct NewerThan<'b> {
    buffer: &'b Buffer,
    seen: u64,
}

impl Waitable for NewerThan<'_> {}

impl Sleeping for NewerThan<'_> {
    fn is_ready(&mut self, _now: Option<u64>) -> bool {
        self.buffer.version() != self.seen
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        let memory = &self.buffer.core.memory;
        let changed = &memory.control().value.changed;
        let word = changed.announce(memory.kernel());
        (self.buffer.version() == self.seen).then(|| (changed.address(), word))
    }

    fn withdraw(&mut self) {}

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        // What the handle's user knows stays as it is; until the next read or wait, the descriptor is about this version.
        self.buffer.watcher()?.update(false, self.seen);
        self.buffer.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.buffer.core.segment.is_inherited()
    }
}
