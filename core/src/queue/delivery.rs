//! A message that was taken.

use super::handle::Queue;
use super::protocol::Taken;
use crate::error::{Error, Result};

/// A message that this process has, and nobody else; put back when dropped.
///
/// It lies in shared memory; what it copies is private. [`Delivery::ack`] says that it is done.
///
/// ```
/// let jobs = ipcx::Queue::anonymous(&Default::default())?;
/// jobs.push(b"tidy up", 0)?;
/// drop(jobs.take()?); // put back
/// let job = jobs.take()?;
/// assert_eq!((job.len(), job.deliveries()), (7, 2));
/// job.ack()?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a message is put back when its delivery is dropped"]
pub struct Delivery<'q> {
    queue: &'q Queue,
    taken: Taken,
}

impl<'q> Delivery<'q> {
    #[inline(always)]
    pub(super) fn new(queue: &'q Queue, taken: Taken) -> Delivery<'q> {
        Delivery { queue, taken }
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.taken.len
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its priority.
    pub fn priority(&self) -> u32 {
        self.taken.priority
    }

    /// How often it was delivered, this time counted; 255 stands for that many and more.
    pub fn deliveries(&self) -> u32 {
        self.taken.deliveries
    }

    /// Names it for [`Queue::ack`] and [`Queue::put_back`]; never 0.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let job = jobs.take()?;
    /// jobs.ack(job.ticket())?; // as job.ack() does
    /// assert!(job.ack().is_err(), "it is done already");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn ticket(&self) -> u64 {
        self.taken.ticket
    }

    /// Copies it to the start of `buffer`; says how many bytes.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let (job, mut copy) = (jobs.take()?, [0; 64]);
    /// let len = job.copy_to(&mut copy)?;
    /// assert_eq!(&copy[..len], b"tidy up");
    /// job.ack()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if the buffer is shorter, `Invalid` if it was acknowledged or put back by its ticket, `Forked`: nothing is copied.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<usize> {
        let (needed, available) = (self.len(), buffer.len());
        let buffer = buffer.get_mut(..needed).ok_or(Error::TooBig { needed, available })?;
        self.queue.check_taken(self.taken.ticket)?;
        self.queue.copy(self.taken.ticket, buffer)?;
        Ok(needed)
    }

    /// A copy of it.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// assert_eq!(jobs.take()?.to_vec(), b"tidy up");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.len()];
        // Fails where it was acknowledged by its ticket, and in a forked child: the copy is then zeroes.
        let _ = self.copy_to(&mut copy);
        copy
    }

    /// It is done, and gone; wakes one who waits for room.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// jobs.take()?.ack()?;
    /// assert!(jobs.try_take().is_err(), "it is gone");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::ack`].
    pub fn ack(self) -> Result<()> {
        let queue = self.queue;
        queue.ack(self.into_ticket())
    }

    /// It is not done, and is taken again; see [`Queue::put_back`].
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// jobs.take()?.put_back()?;
    /// assert!(jobs.try_take().is_ok(), "it is there again");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::ack`].
    pub fn put_back(self) -> Result<()> {
        let queue = self.queue;
        queue.put_back(self.into_ticket())
    }

    /// Leaves it taken, for [`Queue::ack`] and [`Queue::put_back`]; otherwise until the handle is dropped.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let ticket = jobs.take()?.into_ticket(); // taken, also without the delivery
    /// assert_eq!(jobs.stats()?.taken, 1);
    /// jobs.ack(ticket)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    #[inline(always)]
    pub fn into_ticket(self) -> u64 {
        let ticket = self.taken.ticket;
        std::mem::forget(self);
        ticket
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        // Fails where it was acknowledged by its ticket, and in a forked child, whose parent has it.
        let _ = self.queue.put_back(self.taken.ticket);
    }
}
