//! A record, lent by the subscriber until it is released.

use super::protocol::Memory;
use super::reader::Found;
use super::subscriber::Subscriber;
use crate::error::{Error, Result};

/// A record in place. [`TopicRecord::release`] says that it is done with; dropped without that, the next call finds the same
/// record again, if it is still there.
///
/// In a lossy topic publishers may overwrite it at any time. Whatever was made of its bytes counts only if the release, or
/// [`TopicRecord::is_whole`], says so afterwards.
///
/// ```
/// let topic = ipcx::Topic::anonymous(&Default::default())?;
/// let mut subscriber = topic.subscriber()?;
/// topic.publisher()?.publish(b"hello")?;
/// let record = subscriber.borrow()?;
/// let mut bytes = [0; 5];
/// record.read_at(0, &mut bytes)?;
/// assert!(record.release()?, "what was read is the record's");
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct TopicRecord<'a> {
    subscriber: &'a mut Subscriber,
    found: Found,
}

impl<'a> TopicRecord<'a> {
    /// The record that the subscriber found.
    pub(super) fn of(subscriber: &'a mut Subscriber, found: Found) -> TopicRecord<'a> {
        TopicRecord { subscriber, found }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// True if it has no bytes, which is a record all the same.
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// How many records were published before it since the topic was made.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// publisher.publish(b"one")?;
    /// publisher.publish(b"two")?;
    /// subscriber.borrow()?.release()?;
    /// assert_eq!(subscriber.borrow()?.number(), 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn number(&self) -> u64 {
        self.found.number
    }

    /// Address of its bytes, aligned to 8, valid until release or drop; read-only memory.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// assert_eq!(subscriber.borrow()?.as_ptr() as usize % 8, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *const u8 {
        self.subscriber.reader.memory().address(self.found.payload()).as_ptr()
    }

    /// The bytes as a slice.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { reliable: true, ..Default::default() })?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// let record = subscriber.borrow()?;
    /// // SAFETY: the topic is reliable, and its publishers keep to the protocol.
    /// assert_eq!(unsafe { record.as_slice() }, b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Safety
    /// No other process writes there while the slice is in use. In a reliable topic, none does that keeps to the protocol. In a lossy
    /// topic publishers do: copy with [`TopicRecord::read_at`] or [`TopicRecord::to_vec`] instead.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` committed bytes are mapped until release; unchanging by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.found.len) }
    }

    /// Copies bytes from `offset` on to all of `buffer`. They are those of the record if it [is whole](TopicRecord::is_whole)
    /// afterwards.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello, world")?;
    /// let (record, mut world) = (subscriber.borrow()?, [0; 5]);
    /// record.read_at(7, &mut world)?;
    /// assert!(record.is_whole() && &world == b"world");
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
        self.subscriber.segment.check_not_inherited()?;
        let from = self.found.payload().wrapping_add(offset as u64);
        self.subscriber.reader.memory().read(from, buffer);
        Ok(())
    }

    /// A copy; `None` if the record was overwritten, which happens in a lossy topic only.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// assert_eq!(subscriber.borrow()?.to_vec().as_deref(), Some(&b"hello"[..]));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn to_vec(&self) -> Option<Vec<u8>> {
        let mut copy = vec![0; self.found.len];
        self.subscriber.reader.memory().read(self.found.payload(), &mut copy);
        self.is_whole().then_some(copy)
    }

    /// True if everything that was read so far was the record's. Always true in a reliable topic.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { capacity: 4096, ..Default::default() })?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// publisher.publish(b"hello")?;
    /// let record = subscriber.borrow()?;
    /// assert!(record.is_whole());
    /// for _ in 0..10 {
    ///     publisher.publish(&[7; 1000])?; // overwrites it
    /// }
    /// assert!(!record.is_whole());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn is_whole(&self) -> bool {
        self.subscriber.reader.is_whole(self.found)
    }

    /// Says that the record is done with: it will not be delivered again. True if everything that was read was the record's; if
    /// not, it counts as [missed](Subscriber::missed).
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// assert!(subscriber.borrow()?.release()?);
    /// assert!(subscriber.try_borrow().is_err(), "there is no other");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Corrupt`.
    pub fn release(self) -> Result<bool> {
        self.subscriber.finish(self.found)
    }
}
