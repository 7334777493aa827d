//! A block, lent by the pool until it is released or sent.

use super::handle::Pool;
use super::layout::BlockId;
use crate::error::{Error, Result};
use std::ptr::NonNull;

/// A block that this process owns. Released when dropped; [`Block::into_id`] keeps it owned without the guard.
///
/// The bytes lie in memory that every process with the pool can write. None does that keeps to the protocol; where the
/// others are not trusted, copy with [`Block::read_at`] and [`Block::write_at`].
///
/// ```
/// use std::io::Write;
/// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
/// let mut block = pool.acquire()?;
/// block.write_all(b"a frame").expect("there is room");
/// assert_eq!((block.len(), block.capacity()), (4096, 4096));
/// drop(block); // released
/// assert_eq!(pool.stats()?.owned, 0);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Block<'p> {
    pool: &'p Pool,
    id: BlockId,
    len: usize,
    written: usize,
}

impl<'p> Block<'p> {
    /// A block that the handle owns.
    pub(crate) fn of(pool: &'p Pool, id: BlockId, len: usize) -> Block<'p> {
        Block { pool, id, len, written: 0 }
    }

    pub(crate) fn pool(&self) -> &'p Pool {
        self.pool
    }

    /// Its id, for as long as it is owned.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let (one, two) = (pool.acquire()?, pool.acquire()?);
    /// assert_ne!(one.id(), two.id());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn id(&self) -> BlockId {
        self.id
    }

    /// Keeps it owned, for [`Pool::block`] or [`Pool::release_raw`]; otherwise until the handle is dropped.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let id = pool.acquire()?.into_id(); // still owned
    /// assert_eq!(pool.block(id)?.id(), id);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn into_id(self) -> BlockId {
        std::mem::ManuallyDrop::new(self).id
    }

    /// How many of its bytes are used: all, until [`Block::set_len`] says otherwise; or as many as were sent.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no byte is used.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes it has.
    pub fn capacity(&self) -> usize {
        self.pool.block_size()
    }

    /// Says how many of its bytes are used, which goes with it when it is sent.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// block.set_len(5)?;
    /// assert_eq!((block.len(), block.capacity()), (5, 64));
    /// assert!(block.set_len(65).is_err());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if it has not that many; nothing changes.
    pub fn set_len(&mut self, len: usize) -> Result<()> {
        if len > self.capacity() {
            return Err(Error::TooBig { needed: len, available: self.capacity() });
        }
        self.len = len;
        Ok(())
    }

    fn address(&self) -> NonNull<u8> {
        self.pool.address(self.id).expect("a block of this pool")
    }

    /// Address of its bytes, aligned as the pool's options say, valid while it is owned.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let block = pool.acquire()?;
    /// assert_eq!(block.as_ptr() as usize % 64, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *const u8 {
        self.address().as_ptr()
    }

    /// The same, for writing.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// // SAFETY: the block has 64 bytes, and is this process's.
    /// unsafe { block.as_mut_ptr().write_bytes(7, 64) };
    /// assert_eq!(block.to_vec(), [7; 64]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.address().as_ptr()
    }

    /// The used bytes as a slice.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// block.write_at(0, b"hello")?;
    /// block.set_len(5)?;
    /// // SAFETY: every process that uses the pool keeps to the protocol.
    /// assert_eq!(unsafe { block.as_slice() }, b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// Nobody writes there while the slice is in use: no other process, no other guard made of the same id.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: at most a block's bytes, mapped as long as the pool; unchanging by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// The used bytes as a slice, for writing.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// // SAFETY: every process that uses the pool keeps to the protocol.
    /// unsafe { block.as_mut_slice() }.fill(7);
    /// assert_eq!(block.to_vec(), [7; 64]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// Nobody else reads or writes there while the slice is in use.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }

    /// The address of `len` bytes from `offset` on, inside the block.
    fn range(&self, offset: usize, len: usize, end: usize) -> Result<*mut u8> {
        if offset.checked_add(len).is_none_or(|needed| needed > end) {
            return Err(Error::TooBig { needed: offset.saturating_add(len), available: end });
        }
        self.pool.stock.segment.check_not_inherited()?;
        Ok(self.address().as_ptr().wrapping_add(offset))
    }

    /// Copies `data` to `offset`.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// block.write_at(60, b"tail")?;
    /// assert!(block.write_at(61, b"tail").is_err(), "it ends at 64");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if that is not inside the block, `Forked`; nothing is written.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let to = self.range(offset, data.len(), self.capacity())?;
        // SAFETY: inside the block, which is mapped as long as the pool; bytes that others touch are damaged data, nothing else.
        unsafe { to.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(())
    }

    /// Copies used bytes from `offset` on to all of `buffer`.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// block.write_at(8, b"hello")?;
    /// let mut part = [0; 5];
    /// block.read_at(8, &mut part)?;
    /// assert_eq!(&part, b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if not that many are used, `Forked`; nothing is copied.
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        let from = self.range(offset, buffer.len(), self.len)?;
        // SAFETY: as in `write_at`.
        unsafe { from.copy_to_nonoverlapping(buffer.as_mut_ptr(), buffer.len()) };
        Ok(())
    }

    /// A copy of the used bytes.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// block.write_at(0, b"hello")?;
    /// block.set_len(5)?;
    /// assert_eq!(block.to_vec(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.len];
        // Fails only in a child forked while the block was owned, whose copy is then zeroes.
        let _ = self.read_at(0, &mut copy);
        copy
    }

    /// Gives it back to the pool.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, blocks: 1, ..Default::default() })?;
    /// let block = pool.acquire()?;
    /// assert!(pool.try_acquire().is_err(), "the only one is owned");
    /// block.release();
    /// pool.try_acquire()?.release();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn release(self) {}
}

/// Writes one after the other, from the start of the block, up to its end.
impl std::io::Write for Block<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let part = data.len().min(self.capacity() - self.written);
        self.write_at(self.written, &data[..part])?;
        self.written += part;
        Ok(part)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        // Fails where it was released or sent by its id, and in a forked child, whose parent has it.
        let _ = self.pool.release_raw(self.id);
    }
}
