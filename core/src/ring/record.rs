//! A record, lent by the consumer until it is released.

use super::consumer::Consumer;
use super::protocol::{Found, Memory};
use crate::error::{Error, Result};

/// A record in place. [`Record::release`] says that it is done with; dropped without that, the next call finds the
/// same record again.
///
/// The bytes lie in memory that the producer's process can write. It does not while the record is borrowed, if it
/// keeps to the protocol; where the peer is not trusted, copy first and look at the copy.
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
    pub fn position(&self) -> u64 {
        self.found.position
    }

    /// Address of its bytes, aligned to 8, valid until release or drop; read-only memory.
    pub fn as_ptr(&self) -> *const u8 {
        self.consumer.receiver.memory().address(self.found.payload()).as_ptr()
    }

    /// The bytes as a slice.
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
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.found.len];
        self.consumer.receiver.memory().read(self.found.payload(), &mut copy);
        copy
    }

    /// Says that the record is done with: it will not be delivered again.
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
