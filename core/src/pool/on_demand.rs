//! Pools whose blocks have memory only while they need it: made with [`PoolOptions::on_demand`](super::PoolOptions::on_demand).
//!
//! The file is as long as all blocks, and empty there. Who acquired a block obtains as many of its bytes as it is going to
//! write, so that lack of memory is an error of that call and never a signal. Free blocks are found from the lowest on, so the first
//! few keep what they have, and the others, which are used only where there are many at once, give back all but a little.

use super::handle::Pool;
use super::layout::{BlockId, State};
use crate::error::{Error, Result};
use crate::segment::ON_DEMAND;
use crate::sync::{AtomicU64, Ordering};

/// Blocks that keep their memory.
const KEPT: usize = 8;
/// And what each of the others keeps, in bytes: a multiple of every page size.
const LITTLE: u64 = 64 << 10;

/// How many bytes of each block that keeps its memory this handle knows to be there; hints, at most what is there.
#[derive(Debug, Default)]
pub(super) struct Obtained([AtomicU64; KEPT]);

impl Pool {
    /// True if the memory of its blocks is obtained when they are used.
    #[doc(hidden)]
    pub fn is_on_demand(&self) -> bool {
        self.stock.segment.parameters()[ON_DEMAND] != 0
    }

    /// Obtains the memory of the first `len` bytes of a block that this handle owns; of a pool that has all of it, does nothing. To
    /// write where nothing was obtained may end the process, as everywhere where memory runs out.
    ///
    /// # Errors
    /// `NoSpace` if the system has not so much memory, `TooBig` if the block has not so many bytes, `Invalid` if this handle does not
    /// own it, `Forked`, `Os`.
    #[doc(hidden)]
    pub fn obtain(&self, id: BlockId, len: usize) -> Result<()> {
        self.stock.segment.check_not_inherited()?;
        if len > self.block_size() {
            return Err(Error::TooBig { needed: len, available: self.block_size() });
        }
        let block =
            id.number().filter(|_| self.stock.store.owns(id)).ok_or_else(|| self.stock.refusal(id))?;
        if !self.is_on_demand() {
            return Ok(());
        }
        let known = self.obtained.0.get(block as usize);
        // Relaxed: what was obtained stays, whoever asks.
        if known.is_some_and(|known| known.load(Ordering::Relaxed) >= len as u64) {
            return Ok(());
        }
        let (offset, _) = self.stock.store.memory().offset(block);
        self.stock.segment.obtain(self.stock.segment.body() + offset, len as u64)?;
        if let Some(known) = known {
            known.fetch_max(len as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Before the release of a block that this handle owns, of which `len` bytes were used: gives memory back to the system,
    /// unless it is a block that keeps it, or has little.
    ///
    /// # Errors
    /// `Invalid` if this handle does not own it, `Forked`, `Os`.
    #[doc(hidden)]
    pub fn let_go(&self, id: BlockId, len: usize) -> Result<()> {
        self.stock.segment.check_not_inherited()?;
        let block =
            id.number().filter(|_| self.stock.store.owns(id)).ok_or_else(|| self.stock.refusal(id))?;
        if (block as usize) < KEPT || len as u64 <= LITTLE || !self.is_on_demand() {
            return Ok(());
        }
        let (offset, stride) = self.stock.store.memory().offset(block);
        self.stock.segment.let_go(self.stock.segment.body() + offset + LITTLE, stride.saturating_sub(LITTLE))
    }

    /// Blocks that can be acquired, as of now. Takes time in proportion to their number.
    ///
    /// # Errors
    /// `Forked`.
    #[doc(hidden)]
    pub fn free(&self) -> Result<u64> {
        self.stock.segment.check_not_inherited()?;
        let free = |state| matches!(state, Some(State::Free | State::Cached));
        Ok(self.stock.store.cells().filter(|cell| free(cell.state())).count() as u64)
    }
}
