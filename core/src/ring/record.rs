//! A record, lent by the consumer until it is released.

use super::consumer::Consumer;
use super::protocol::{Found, Memory};
use crate::error::{Error, Result};

/// A record in place. [`Record::release`] says that it is done with; dropped without that, the next call finds the
/// same record again.
///
/// The bytes lie in memory that the producer's process can write. It does not while the record is borrowed, if it
/// keeps to the protocol; where the peer is not trusted, copy first and look at the copy.
///
/// ```
/// use std::io::Read;
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
/// tx.send(b"12 apples")?;
/// let mut record = rx.borrow()?;
/// let mut text = String::new();
/// record.read_to_string(&mut text).expect("UTF-8");
/// assert_eq!(text, "12 apples");
/// record.release();
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Record<'a> {
    consumer: &'a mut Consumer,
    found: Found,
    read: usize,
}

impl<'a> Record<'a> {
    /// The record that the consumer found.
    pub(super) fn of(consumer: &'a mut Consumer, found: Found) -> Record<'a> {
        Record { consumer, found, read: 0 }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// True if it has no bytes, which is a record all the same.
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// Its stream position, the same at every delivery.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let first = rx.borrow()?.position(); // not released
    /// assert_eq!(rx.borrow()?.position(), first); // so it comes again, at the same position
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn position(&self) -> u64 {
        self.found.position
    }

    /// Address of its bytes, aligned to 8, valid until release or drop; read-only memory.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let record = rx.borrow()?;
    /// assert_eq!(record.as_ptr() as usize % 8, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *const u8 {
        self.consumer.receiver.memory().address(self.found.payload()).as_ptr()
    }

    /// The bytes as a slice.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let record = rx.borrow()?;
    /// // SAFETY: the producer is this process's, and keeps to the protocol.
    /// assert_eq!(unsafe { record.as_slice() }, b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// No other process writes there while the slice is in use. None does that keeps to the protocol; with a peer that
    /// is not trusted, copy with [`Record::read_at`] or [`Record::to_vec`] instead.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` committed bytes are mapped until release; unchanging by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.found.len) }
    }

    /// Copies bytes from `offset` on to all of `buffer`.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello, world")?;
    /// let mut world = [0; 5];
    /// rx.borrow()?.read_at(7, &mut world)?;
    /// assert_eq!(&world, b"world");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if the record has not that many, `Forked`; nothing is copied.
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        if offset.checked_add(buffer.len()).is_none_or(|end| end > self.found.len) {
            let needed = offset.saturating_add(buffer.len());
            return Err(Error::TooBig { needed, available: self.found.len });
        }
        if self.consumer.end.is_inherited() {
            return Err(Error::Forked);
        }
        let from = self.found.payload().wrapping_add(offset as u64);
        self.consumer.receiver.memory().read(from, buffer);
        Ok(())
    }

    /// A copy.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// assert_eq!(rx.borrow()?.to_vec(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.found.len];
        self.consumer.receiver.memory().read(self.found.payload(), &mut copy);
        copy
    }

    /// Says that the record is done with: it will not be delivered again.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_many(["one", "two"])?;
    /// rx.borrow()?.release();
    /// assert_eq!(rx.borrow()?.to_vec(), b"two");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn release(self) {
        // In a child forked meanwhile, the record is the parent's.
        if !self.consumer.end.is_inherited() {
            self.consumer.receiver.release(self.found.end(), 1);
            self.consumer.after();
        }
    }
}

/// Reads from the start of the record.
impl std::io::Read for Record<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let part = buffer.len().min(self.found.len - self.read);
        self.read_at(self.read, &mut buffer[..part])?;
        self.read += part;
        Ok(part)
    }
}
