//! Room for a record, lent by the publisher until it is committed.

use super::publisher::Publisher;
use crate::error::{Error, Result};

/// Room for one record, in place. Dropped without a commit, it vanishes. While it exists, no other publisher publishes.
///
/// ```
/// use std::io::Write;
/// let topic = ipcx::Topic::anonymous(&Default::default())?;
/// let mut publisher = topic.publisher()?;
/// drop(publisher.reserve(64)?); // nothing is published
/// let mut room = publisher.reserve(64)?;
/// room.write_all(b"hello").expect("there is room");
/// room.commit_len(5)?;
/// assert_eq!(topic.stats()?.published, 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Publication<'a> {
    publisher: &'a mut Publisher,
    len: usize,
    written: usize,
}

impl<'a> Publication<'a> {
    /// The reservation that the publisher has open.
    pub(super) fn of(publisher: &'a mut Publisher, len: usize) -> Publication<'a> {
        Publication { publisher, len, written: 0 }
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
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// let mut room = publisher.reserve(8)?;
    /// // SAFETY: 8 bytes are reserved, aligned to 8.
    /// unsafe { room.as_mut_ptr().cast::<u64>().write(7) };
    /// room.commit();
    /// assert_eq!(subscriber.borrow()?.to_vec().unwrap(), 7u64.to_ne_bytes());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.publisher.address().as_ptr()
    }

    /// The bytes as a slice.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// let mut room = publisher.reserve(4)?;
    /// // SAFETY: every process that uses the topic keeps to the protocol.
    /// unsafe { room.as_mut_slice() }.fill(7);
    /// room.commit();
    /// assert_eq!(subscriber.borrow()?.to_vec().unwrap(), [7; 4]);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// No other process reads or writes there while the slice is in use. No publisher writes there that keeps to the protocol; a
    /// subscriber of a lossy topic that was overtaken may read, and makes nothing of it.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes are reserved and mapped; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }

    /// Copies `data` to `offset`.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// let mut room = publisher.reserve(8)?;
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
        self.publisher.fill(offset, data)
    }

    /// Publishes all bytes reserved as one record.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// topic.publisher()?.reserve(0)?.commit(); // an empty record
    /// assert_eq!(topic.stats()?.published, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn commit(self) {
        // Fails only in a child forked while the reservation was open: then nothing is published.
        let _ = self.publisher.commit_raw(self.len);
    }

    /// Publishes the first `len` bytes as one record.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// let mut room = publisher.reserve(1000)?;
    /// room.write_at(0, b"hello")?;
    /// room.commit_len(5)?;
    /// assert_eq!(subscriber.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if that is more than was reserved, `Forked`; nothing is published.
    pub fn commit_len(self, len: usize) -> Result<()> {
        self.publisher.commit_raw(len)
    }
}

/// Writes one after the other, from the start of the reservation.
impl std::io::Write for Publication<'_> {
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

impl Drop for Publication<'_> {
    fn drop(&mut self) {
        let _ = self.publisher.abort_raw(); // Fails after a commit, and in a forked child.
    }
}
