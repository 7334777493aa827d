//! Room for a record, lent by the producer until it is committed.

use super::producer::Producer;
use super::protocol::Memory;
use crate::error::{Error, Result};

/// Room for one record, in place. Dropped without a commit, it vanishes.
///
/// ```
/// use std::io::Write;
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let mut tx = ring.producer()?;
/// drop(tx.reserve(64)?); // nothing is sent
/// let mut room = tx.reserve(64)?;
/// room.write_all(b"hello").expect("there is room");
/// room.commit_len(5)?;
/// assert_eq!(ring.stats()?.sent, 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Reservation<'a> {
    producer: &'a mut Producer,
    len: usize,
    written: usize,
}

impl<'a> Reservation<'a> {
    /// The reservation that the producer has open.
    pub(super) fn of(producer: &'a mut Producer, len: usize) -> Reservation<'a> {
        Reservation { producer, len, written: 0 }
    }

    /// Bytes reserved.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no bytes are reserved.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address of the bytes, aligned to 8, valid until commit or drop. What is there before it is written is whatever
    /// was there.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let mut room = tx.reserve(8)?;
    /// // SAFETY: 8 bytes are reserved, aligned to 8.
    /// unsafe { room.as_mut_ptr().cast::<u64>().write(7) };
    /// room.commit();
    /// assert_eq!(rx.borrow()?.to_vec(), 7u64.to_ne_bytes());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        let sender = &self.producer.sender;
        sender.memory().address(sender.payload()).as_ptr()
    }

    /// The bytes as a slice.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let mut room = tx.reserve(4)?;
    /// // SAFETY: the consumer is this process's, and does not touch what is not committed.
    /// unsafe { room.as_mut_slice() }.fill(7);
    /// room.commit();
    /// assert_eq!(rx.borrow()?.to_vec(), [7; 4]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// No other process writes there while the slice is in use. None does that keeps to the protocol; with a peer that
    /// is not trusted, write through [`Reservation::write_at`] or raw pointers instead.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes are reserved and mapped; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }

    /// Copies `data` to `offset`.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// let mut room = tx.reserve(8)?;
    /// room.write_at(4, b"tail")?;
    /// room.write_at(0, b"head")?;
    /// assert!(room.write_at(5, b"tail").is_err(), "it ends at 8");
    /// room.commit();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if that is not inside the reservation, `Forked`; nothing is written.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        if offset.checked_add(data.len()).is_none_or(|end| end > self.len) {
            let needed = offset.saturating_add(data.len());
            return Err(Error::TooBig { needed, available: self.len });
        }
        if self.producer.end.is_inherited() {
            return Err(Error::Forked);
        }
        let sender = &self.producer.sender;
        sender.memory().write(sender.payload().wrapping_add(offset as u64), data);
        Ok(())
    }

    /// Sends all bytes reserved as one record.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// tx.reserve(0)?.commit(); // an empty record
    /// assert_eq!(ring.stats()?.sent, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn commit(self) {
        let len = self.len;
        self.finish(len);
    }

    /// Sends the first `len` bytes as one record.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let mut room = tx.reserve(1000)?;
    /// room.write_at(0, b"hello")?;
    /// room.commit_len(5)?; // the other 995 stay free
    /// assert_eq!(rx.borrow()?.to_vec(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if that is more than was reserved; nothing is sent.
    pub fn commit_len(self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(Error::invalid(format!("commit of {len} bytes where {} are reserved", self.len)));
        }
        self.finish(len);
        Ok(())
    }

    fn finish(self, len: usize) {
        // Fails only in a child forked while the reservation was open: then nothing is sent.
        let _ = self.producer.commit_raw(len);
    }
}

/// Writes one after the other, from the start of the reservation.
impl std::io::Write for Reservation<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let part = data.len().min(self.len - self.written);
        self.write_at(self.written, &data[..part])?;
        self.written += part;
        Ok(part)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.producer.reserved = None;
    }
}
