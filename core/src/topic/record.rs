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
    pub fn number(&self) -> u64 {
        self.found.number
    }

    /// Address of its bytes, aligned to 8, valid until release or drop; read-only memory.
    pub fn as_ptr(&self) -> *const u8 {
        self.subscriber.reader.memory().address(self.found.payload()).as_ptr()
    }

    /// The bytes as a slice.
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
    pub fn to_vec(&self) -> Option<Vec<u8>> {
        let mut copy = vec![0; self.found.len];
        self.subscriber.reader.memory().read(self.found.payload(), &mut copy);
        self.is_whole().then_some(copy)
    }

    /// True if everything that was read so far was the record's. Always true in a reliable topic.
    pub fn is_whole(&self) -> bool {
        self.subscriber.reader.is_whole(self.found)
    }

    /// Says that the record is done with: it will not be delivered again. True if everything that was read was the record's; if
    /// not, it counts as [missed](Subscriber::missed).
    ///
    /// # Errors
    /// `Forked`, `Corrupt`.
    pub fn release(self) -> Result<bool> {
        self.subscriber.finish(self.found)
    }
}
