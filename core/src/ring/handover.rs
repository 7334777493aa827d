//! Handing blocks of a pool over: a record that carries a note instead of the bytes.
//!
//! | sender | cell of the block | receiver |
//! |---|---|---|
//! | begins | sending, the sender's | |
//! | commits the record | | may take it from here on |
//! | finishes | in flight, the channel's | takes it |
//! | | owned, the receiver's | releases the record |
//!
//! The cell decides, at each step by one change of its word. A record whose block is not to be had any more means nothing, and
//! the receiver skips it: its sender died before it had finished and the block went back to the pool, or a receiver died
//! that had taken the block and not yet released the record.

use super::consumer::Consumer;
use super::endpoint::EMPTY;
use super::producer::Producer;
use super::protocol::{Found, Memory};
use crate::error::{Error, Result};
use crate::pool::{Block, BlockId, Pool, Use};
use crate::stream::Content;
use crate::wait::Deadline;
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the record carries.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Note {
    /// Which pool: its segment's key.
    pool: u64,
    /// The block's id.
    block: u64,
    /// How many of its bytes are used.
    len: u64,
    /// The sender's slot in the pool.
    slot: u32,
    /// The channel on which the block is in flight.
    channel: u32,
}

const NOTE: usize = size_of::<Note>();
const _: () = assert!(NOTE == 32);

/// A block that was not sent, and why.
///
/// ```
/// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
/// let ring = ipcx::Ring::anonymous(&ipcx::RingOptions { capacity: 4096, ..Default::default() })?;
/// let mut tx = ring.producer()?;
/// tx.send(&vec![0; tx.max_len()])?;
/// let unsent = tx.try_send_block(pool.acquire()?).unwrap_err();
/// assert!(matches!(unsent.error, ipcx::Error::WouldBlock(_)));
/// unsent.block.release(); // or try again
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unsent<'p> {
    /// Why.
    pub error: Error,
    /// The block, still the sender's.
    pub block: Block<'p>,
}

/// For `?`: the block is released.
impl From<Unsent<'_>> for Error {
    fn from(unsent: Unsent<'_>) -> Error {
        unsent.error
    }
}

impl Producer {
    /// Hands a block over, if there is room for its record now. See [`Producer::send_block_until`].
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// ring.producer()?.try_send_block(pool.acquire()?)?;
    /// assert_eq!(pool.stats()?.owned, 0); // it is the ring's
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_send_block<'p>(&mut self, block: Block<'p>) -> std::result::Result<(), Unsent<'p>> {
        self.send_block_until(block, Deadline::NOW)
    }

    /// As [`Producer::send_block`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// ring.producer()?.send_block_timeout(pool.acquire()?, std::time::Duration::from_secs(1))?;
    /// assert_eq!(ring.stats()?.sent, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_block_until`].
    pub fn send_block_timeout<'p>(
        &mut self,
        block: Block<'p>,
        timeout: Duration,
    ) -> std::result::Result<(), Unsent<'p>> {
        self.send_block_until(block, Deadline::within(timeout))
    }

    /// Hands a block over, waiting for room for its record as long as it takes.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let mut block = pool.acquire()?;
    /// block.write_at(0, b"a frame")?;
    /// block.set_len(7)?;
    /// tx.send_block(block)?;
    /// assert_eq!(rx.recv_block(&pool)?.to_vec(), b"a frame");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_block_until`], less `WouldBlock` and `TimedOut`.
    pub fn send_block<'p>(&mut self, block: Block<'p>) -> std::result::Result<(), Unsent<'p>> {
        self.send_block_until(block, Deadline::NEVER)
    }

    /// What the three calls above do: hands a block over to the consumer, without a copy, with as many bytes as
    /// [`Block::len`] says. The record takes 40 bytes of the ring.
    ///
    /// When the call has returned, the block is the ring's: neither this process's death nor the consumer's loses it. The consumer
    /// needs a handle on the same pool. Not async-signal-safe: the first block of a pool takes a channel, with some system
    /// calls.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1));
    /// ring.producer()?.send_block_until(pool.acquire()?, deadline)?;
    /// assert_eq!(ring.stats()?.used, 40);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Producer::send_until`]; `NoSpace` if too many rings carry blocks of the pool, `Os`. The block is in the
    /// error.
    pub fn send_block_until<'p>(
        &mut self,
        block: Block<'p>,
        deadline: Deadline,
    ) -> std::result::Result<(), Unsent<'p>> {
        let (pool, len) = (block.pool(), block.len());
        let id = block.into_id();
        self.send_block_raw(pool, id, len, deadline)
            .map_err(|error| Unsent { error, block: Block::of(pool, id, len) })
    }

    /// [`Producer::send_block_until`] without a guard, for bindings to other languages. The id is one of a block of this
    /// pool: one of another pool is not told apart.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let id = pool.acquire_raw(ipcx::Deadline::NOW)?;
    /// ring.producer()?.send_block_raw(&pool, id, 64, ipcx::Deadline::NOW)?;
    /// assert!(pool.release_raw(id).is_err(), "it is the ring's");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there; `Invalid` if the handle does not own the block, `TooBig` if the block has fewer bytes than `len`: nothing
    /// changes.
    pub fn send_block_raw(&mut self, pool: &Pool, id: BlockId, len: usize, deadline: Deadline) -> Result<()> {
        self.check(NOTE)?;
        pool.stock.segment.check_not_inherited()?;
        if len > pool.block_size() {
            return Err(Error::TooBig { needed: len, available: pool.block_size() });
        }
        let known = self.carried.iter().find(|known| known.is_of(&pool.stock)).map(Use::channel);
        let channel = match known {
            Some(channel) => channel,
            None => Use::keep(&mut self.carried, Use::for_producer(&pool.stock, self.end.segment())?),
        };
        let store = &pool.stock.store;
        if !store.begin_send(id) {
            return Err(pool.stock.refusal(id));
        }
        let note = Note {
            pool: pool.stock.segment.key(),
            block: id.get(),
            len: len as u64,
            slot: store.slot(),
            channel,
        };
        let sent = self.send_content(Content::Block, note.as_bytes(), deadline);
        match sent {
            Ok(()) => store.finish_send(id, channel),
            Err(_) => store.cancel_send(id),
        }
        sent
    }
}

impl Consumer {
    /// Takes over the block of the next record, if there is one now. See [`Consumer::recv_block_until`].
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// assert!(matches!(rx.try_recv_block(&pool), Err(ipcx::Error::WouldBlock(_))));
    /// tx.send_block(pool.acquire()?)?;
    /// assert_eq!(rx.try_recv_block(&pool)?.len(), 64);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_recv_block<'p>(&mut self, pool: &'p Pool) -> Result<Block<'p>> {
        self.recv_block_until(pool, Deadline::NOW)
    }

    /// As [`Consumer::recv_block`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let nothing = ring.consumer()?.recv_block_timeout(&pool, std::time::Duration::from_millis(1)).map(drop);
    /// assert!(matches!(nothing, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::recv_block_until`].
    pub fn recv_block_timeout<'p>(&mut self, pool: &'p Pool, timeout: Duration) -> Result<Block<'p>> {
        self.recv_block_until(pool, Deadline::within(timeout))
    }

    /// Takes over the block of the next record, waiting for it as long as it takes.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_block(pool.acquire()?)?;
    /// let block = rx.recv_block(&pool)?;
    /// assert_eq!(pool.stats()?.owned, 1); // it is this process's again
    /// block.release();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::recv_block_until`], less `WouldBlock` and `TimedOut`.
    pub fn recv_block<'p>(&mut self, pool: &'p Pool) -> Result<Block<'p>> {
        self.recv_block_until(pool, Deadline::NEVER)
    }

    /// What the three calls above do: takes over the block that the next record hands over, without a copy, with as many bytes
    /// as were sent, and releases the record. `pool` is a handle on the pool that the block is of.
    ///
    /// From then on the block is this process's: it releases it, or sends it on. If it dies, the block goes back to the pool.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"bytes, no block")?;
    /// let refused = rx.recv_block_until(&pool, ipcx::Deadline::NOW).map(drop);
    /// assert!(matches!(refused, Err(ipcx::Error::Mismatch(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Consumer::recv_until`]; `Mismatch` if the next record carries bytes, or a block of another pool: it stays. If
    /// that pool was unlinked and made anew, the new one cannot receive it: [`Consumer::skip`] gets past it.
    pub fn recv_block_until<'p>(&mut self, pool: &'p Pool, deadline: Deadline) -> Result<Block<'p>> {
        let (id, len) = self.recv_block_raw(pool, deadline)?;
        Ok(Block::of(pool, id, len))
    }

    /// [`Consumer::recv_block_until`] without a guard, for bindings to other languages: id and length.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_block(pool.acquire()?)?;
    /// let (id, len) = rx.recv_block_raw(&pool, ipcx::Deadline::NOW)?;
    /// assert_eq!(len, 64);
    /// pool.release_raw(id)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn recv_block_raw(&mut self, pool: &Pool, deadline: Deadline) -> Result<(BlockId, usize)> {
        pool.stock.segment.check_not_inherited()?;
        let deadline = deadline.started();
        // Records that mean nothing are few: one for each death. One that makes them without end is kept to one turn.
        let turn = self.position().wrapping_add(self.receiver.memory().capacity());
        loop {
            let found = self.find_any(deadline)?;
            let taken = self.take_block(pool, found)?;
            if taken.is_some() || found.position.wrapping_sub(turn) as i64 >= 0 {
                self.receiver.release(found.end(), 1);
                self.after();
                return taken.ok_or(Error::WouldBlock(EMPTY));
            }
            self.receiver.release(found.end(), 1);
        }
    }

    /// The block of a record, if it is to be had.
    fn take_block(&mut self, pool: &Pool, found: Found) -> Result<Option<(BlockId, usize)>> {
        let segment = self.end.segment();
        let mismatch = |what: &'static str| Err(Error::Mismatch(segment.context(what)));
        if found.content != Content::Block {
            return mismatch("the next record carries bytes; receive it as such");
        }
        if found.len != NOTE {
            return Err(Error::Corrupt(
                segment.context("a record that hands over a block has another length"),
            ));
        }
        let mut bytes = [0; NOTE];
        self.receiver.memory().read(found.payload(), &mut bytes);
        let note: Note = zerocopy::transmute!(bytes);
        if note.pool != pool.stock.segment.key() {
            return mismatch("the next record hands over a block of another pool");
        }
        let id = BlockId::from_raw(note.block);
        // Both are on their way while the rest is looked at.
        id.number().into_iter().for_each(|block| pool.stock.store.memory().expect(block));
        let len = usize::try_from(note.len).ok().filter(|len| *len <= pool.block_size());
        let len =
            len.ok_or_else(|| Error::Corrupt(segment.context("more bytes are used than the block has")))?;
        let is_known = |known: &Use| known.is_of(&pool.stock) && known.channel() == note.channel;
        if !self.carried.iter().any(is_known) {
            // The lock keeps what is in flight from being taken back. Where it is not to be had, the cell tells.
            if let Some(new) = Use::for_consumer(&pool.stock, self.end.segment(), note.channel)? {
                Use::keep(&mut self.carried, new);
            }
        }
        Ok(pool.stock.store.receive(id, note.slot, note.channel).map(|id| (id, len)))
    }
}
