//! Handing blocks over by a note of a few bytes, through whatever carries it: a message of a work queue, a socket.
//!
//! The steps are those of a ring ([`ring/handover`](crate::Producer::send_block_until)), made by the user:
//!
//! | sender | cell of the block | receiver |
//! |---|---|---|
//! | [`Pool::lend`] makes the note | sending, the sender's | |
//! | commits the message with the note | | may take the block from here on |
//! | [`Pool::lent`] | in flight | [`Pool::accept`] takes it |
//! | | owned, the receiver's | says that the message is done |
//!
//! A note whose block is not to be had means nothing: its sender died before the message was committed and the call had returned, or
//! a receiver died that had accepted the block and not yet said that the message is done.

use super::handle::Pool;
use super::layout::{BlockId, BY_NOTE};
use crate::error::{Error, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is sent instead of the block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Words {
    /// Which pool: its segment's key.
    pool: u64,
    /// The block's id.
    block: u64,
    /// How many of its bytes are used.
    len: u64,
    /// The sender's slot in the pool.
    slot: u64,
}

/// Bytes of a note.
pub const NOTE: usize = size_of::<Words>();
const _: () = assert!(NOTE == 32);

/// What is sent instead of a block.
pub type BlockNote = [u8; NOTE];

impl Pool {
    /// Begins to hand a block over that this handle owns, with `len` bytes: the note is for the receiver's [`Pool::accept`]. Until
    /// [`Pool::lent`] or [`Pool::keep`] follows, nobody may release the block or send it, and it comes back if this process dies and
    /// nobody has accepted it.
    ///
    /// # Errors
    /// `Invalid` if this handle does not own it, `TooBig` if it has fewer bytes, `Forked`: nothing changes.
    #[doc(hidden)]
    pub fn lend(&self, id: BlockId, len: usize) -> Result<BlockNote> {
        self.stock.segment.check_not_inherited()?;
        if len > self.block_size() {
            return Err(Error::TooBig { needed: len, available: self.block_size() });
        }
        let store = &self.stock.store;
        if !store.begin_send(id) {
            return Err(self.stock.refusal(id));
        }
        let words = Words {
            pool: self.stock.segment.key(),
            block: id.get(),
            len: len as u64,
            slot: u64::from(store.slot()),
        };
        Ok(zerocopy::transmute!(words))
    }

    /// The message with the note is committed: the block is in flight, and no process's death loses it. It stays so until the
    /// note is accepted: a note that is lost keeps its block as long as the pool lives.
    #[doc(hidden)]
    pub fn lent(&self, id: BlockId) {
        if !self.stock.segment.is_inherited() {
            self.stock.store.finish_send(id, BY_NOTE);
        }
    }

    /// The note was not sent: the block is this handle's as before.
    #[doc(hidden)]
    pub fn keep(&self, id: BlockId) {
        if !self.stock.segment.is_inherited() {
            self.stock.store.cancel_send(id);
        }
    }

    /// Takes the block of a note over, with as many bytes as were lent. `None` if it is not to be had: the note means nothing.
    /// Then, or once the block is owned, the message that carried it is done.
    ///
    /// # Errors
    /// `Mismatch` if it is a block of another pool, `Corrupt` if the note is none, `Forked`.
    #[doc(hidden)]
    pub fn accept(&self, note: &BlockNote) -> Result<Option<(BlockId, usize)>> {
        let segment = &self.stock.segment;
        segment.check_not_inherited()?;
        let words: Words = zerocopy::transmute!(*note);
        if words.pool != segment.key() {
            return Err(Error::Mismatch(segment.context("the note is of a block of another pool")));
        }
        let len = usize::try_from(words.len).ok().filter(|len| *len <= self.block_size());
        let sender = u32::try_from(words.slot).ok();
        let (Some(len), Some(sender)) = (len, sender) else {
            return Err(Error::Corrupt(segment.context("a note says what no sender writes")));
        };
        Ok(self.stock.store.receive(BlockId::from_raw(words.block), sender, BY_NOTE).map(|id| (id, len)))
    }
}
