//! Figures of a work queue.

use super::handle::Queue;
use super::layout::{lane_and_position, State, PRIORITIES};
use super::protocol::Memory;
use crate::error::Result;
use crate::lease::Participant;
use crate::sync::Ordering;

impl Queue {
    /// What can be seen from outside. Taken without stopping anybody: messages that change hands meanwhile count once, somewhere.
    /// Takes time in proportion to the depth.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&ipcx::QueueOptions { depth: 64, ..Default::default() })?;
    /// jobs.push(b"tidy up", 3)?;
    /// let stats = jobs.stats()?;
    /// assert_eq!((stats.ready[3], stats.free), (1, 63));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn stats(&self) -> Result<QueueStats> {
        self.depot.segment.check_not_inherited()?;
        let (store, leases) = (&self.depot.store, self.depot.segment.leases());
        let mut stats = QueueStats {
            max_message: self.max_message(),
            depth: self.depth(),
            max_deliveries: self.max_deliveries(),
            ..Default::default()
        };
        let mut taken = vec![0; leases.participants() as usize];
        for index in 0..store.memory().depth() {
            let word = store.word(index);
            // Relaxed: the word was acquired.
            let place = store.memory().cell(index).place.load(Ordering::Relaxed);
            let priority = lane_and_position(place).and_then(|(lane, _)| lane.checked_sub(1));
            match (word.state(), priority) {
                (Some(State::Owned | State::Returned), Some(priority)) => stats.ready[priority as usize] += 1,
                (Some(State::Owned), None) => stats.being_pushed += 1,
                (Some(State::Taken), _) => {
                    stats.taken += 1;
                    if let Some(count) = taken.get_mut(word.slot() as usize) {
                        *count += 1;
                    }
                }
                (Some(State::Dead), _) => stats.dead += 1,
                _ => stats.free += 1,
            }
        }
        for (slot, taken) in (0..).zip(taken).filter(|(_, taken)| *taken > 0) {
            let (process, alive) = (leases.participant(slot), leases.is_alive(slot)?);
            stats.holders.push(QueueHolder { process, alive, taken });
        }
        Ok(stats)
    }
}

/// Figures of a work queue. The numbers of messages and `free` add up to `depth`.
///
/// ```
/// let jobs = ipcx::Queue::anonymous(&ipcx::QueueOptions { depth: 64, ..Default::default() })?;
/// jobs.push(b"tidy up", 3)?;
/// let job = jobs.take()?;
/// let stats = jobs.stats()?;
/// assert_eq!((stats.ready[3], stats.taken, stats.free), (0, 1, 63));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Bytes of the largest message.
    pub max_message: u64,
    /// How many messages there can be.
    pub depth: u64,
    /// After how many deliveries a message that comes back is put aside; 0 for never.
    pub max_deliveries: u32,
    /// Messages to take, by priority.
    pub ready: [u64; PRIORITIES as usize],
    /// Messages that a push is writing at this moment, or was when its process died.
    pub being_pushed: u64,
    /// Messages that participants have, dead ones among them until they are recovered.
    pub taken: u64,
    /// Dead letters.
    pub dead: u64,
    /// Messages for which there is room.
    pub free: u64,
    /// Who has taken messages.
    pub holders: Vec<QueueHolder>,
}

/// A participant that has taken messages.
///
/// ```
/// let jobs = ipcx::Queue::anonymous(&Default::default())?;
/// jobs.push(b"tidy up", 0)?;
/// let job = jobs.take()?;
/// let holder = jobs.stats()?.holders.remove(0);
/// assert!(holder.alive && holder.taken == 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueHolder {
    /// Which process it is, if it says so.
    pub process: Option<Participant>,
    /// False if it died; then the messages come back with the next [`Queue::recover`], or when a take finds nothing else (one that
    /// does not wait looks for the dead at most every 50 ms).
    pub alive: bool,
    /// How many it has.
    pub taken: u64,
}
