//! Figures of a pool: who owns what.

use super::handle::Pool;
use super::layout::State;
use crate::error::Result;
use crate::lease::Participant;

impl Pool {
    /// What can be seen from outside. Taken without stopping anybody: blocks that change hands meanwhile count once, somewhere.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, blocks: 8, ..Default::default() })?;
    /// let block = pool.acquire()?;
    /// assert_eq!((pool.stats()?.blocks, pool.stats()?.owned), (8, 1));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn stats(&self) -> Result<PoolStats> {
        self.stock.segment.check_not_inherited()?;
        let leases = self.stock.segment.leases();
        let mut stats =
            PoolStats { block_size: self.block_size() as u64, blocks: self.blocks(), ..Default::default() };
        let mut owned = vec![0; leases.participants() as usize];
        for cell in self.stock.store.cells() {
            match cell.state() {
                Some(State::Free | State::Cached) => stats.free += 1,
                Some(State::Owned | State::Sending) => {
                    stats.owned += 1;
                    if let Some(count) = owned.get_mut(cell.who() as usize) {
                        *count += 1;
                    }
                }
                Some(State::InFlight) => stats.in_flight += 1,
                Some(State::Absent) | None => {}
            }
        }
        for (slot, blocks) in owned.into_iter().enumerate().filter(|(_, blocks)| *blocks > 0) {
            let slot = slot as u32;
            stats.holders.push(PoolHolder {
                process: leases.participant(slot),
                alive: leases.is_alive(slot)?,
                blocks,
            });
        }
        Ok(stats)
    }
}

/// Figures of a pool. `free`, `owned` and `in_flight` add up to `blocks`.
///
/// ```
/// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, blocks: 8, ..Default::default() })?;
/// let block = pool.acquire()?;
/// let stats = pool.stats()?;
/// assert_eq!(stats.owned, 1);
/// assert_eq!(stats.holders.len(), 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Bytes of a block.
    pub block_size: u64,
    /// How many blocks there are.
    pub blocks: u64,
    /// Blocks that can be acquired, those that participants keep ready among them.
    pub free: u64,
    /// Blocks that participants own, dead ones among them until they are recovered.
    pub owned: u64,
    /// Blocks that were sent and not yet received.
    pub in_flight: u64,
    /// Who owns blocks.
    pub holders: Vec<PoolHolder>,
}

/// A participant that owns blocks.
///
/// ```
/// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, blocks: 8, ..Default::default() })?;
/// let block = pool.acquire()?;
/// let holder = pool.stats()?.holders.remove(0);
/// assert_eq!(holder.process.map(|process| process.pid), Some(std::process::id()));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolHolder {
    /// Which process it is, if it says so.
    pub process: Option<Participant>,
    /// False if it died; then the blocks come back with the next [`Pool::recover`], or when an acquire finds nothing else (one
    /// that does not wait looks for the dead at most every 50 ms).
    pub alive: bool,
    /// How many it owns.
    pub blocks: u64,
}
