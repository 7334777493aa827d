//! The handle on a work queue: opening, pushing, taking.

use super::delivery::Delivery;
use super::depot::{Depot, Room};
use super::layout::{
    body_size, DEPTH, LARGEST, LAYOUT, MAX_DELIVERIES, MAX_MESSAGE, MOST_CELLS, MOST_DELIVERIES, PRIORITIES,
    SYNC,
};
use super::memory::Mapped;
use super::protocol::{Memory, Store, Taken};
use super::restore;
use crate::error::{Error, Result};
use crate::segment::{Backing, Format, Kind, Parameters, Segment, SegmentOptions};
use crate::slots::Slots;
use crate::wait::{Deadline, WaitStrategy};
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const FORMAT: Format = Format {
    kind: Kind::Queue,
    layout: LAYOUT,
    body_size,
    round: |parameters, _| parameters,
    names: &["max_message", "depth", "max_deliveries", "sync"],
};
const DEFAULT_MAX_MESSAGE: u64 = 1024;
const DEFAULT_DEPTH: u64 = 1024;

/// Options of a work queue. Start from the defaults: `QueueOptions { depth: 64, ..Default::default() }`.
///
/// ```
/// let options = ipcx::QueueOptions { depth: 64, ..Default::default() };
/// assert_eq!(ipcx::Queue::anonymous(&options)?.depth(), options.depth as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOptions {
    /// Bytes of the largest message, up to 2^31 - 1; 0 means 1024. A queue that exists must have the same, unless 0 is given.
    pub max_message: u64,
    /// How many messages there can be, up to 2^20, those that are taken and dead letters among them; 0 means 1024. A queue that
    /// exists must have the same, unless 0 is given.
    pub depth: u64,
    /// After how many deliveries a message that comes back is put aside as a dead letter, up to 254; 0 means never. A queue that
    /// exists must have the same, unless 0 is given.
    pub max_deliveries: u32,
    /// For a queue in a directory on disk: who attaches waits until the queue is on the disk, a push returns once its message is, and
    /// an acknowledgement once that is, so that a power cut loses none of it. Without it, a power cut or a crash of the system may
    /// lose messages, bring back some that were acknowledged, or leave some with bytes that were not written; the death of a process
    /// does none of that in either case.
    /// A queue that exists must have been made so if this is true.
    pub sync: bool,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl QueueOptions {
    fn parameters(&self) -> Result<Parameters> {
        if self.max_message > LARGEST {
            return Err(Error::invalid(format!(
                "a queue's messages have at most {LARGEST} bytes; {} were asked for",
                self.max_message
            )));
        }
        if self.depth > MOST_CELLS {
            return Err(Error::invalid(format!(
                "a queue has at most {MOST_CELLS} messages; {} were asked for",
                self.depth
            )));
        }
        if self.max_deliveries > MOST_DELIVERIES {
            return Err(Error::invalid(format!(
                "max_deliveries is at most {MOST_DELIVERIES}; {} was given",
                self.max_deliveries
            )));
        }
        if self.segment.backing != Backing::Directory {
            return Err(Error::invalid("only the blocks of a pool can be in System V shared memory"));
        }
        let or = |asked, default| if asked == 0 { default } else { asked };
        let mut parameters = self.wanted();
        parameters[MAX_MESSAGE] = or(self.max_message, DEFAULT_MAX_MESSAGE);
        parameters[DEPTH] = or(self.depth, DEFAULT_DEPTH);
        Ok(parameters)
    }

    /// What a queue that exists must have; 0 stands for anything.
    fn wanted(&self) -> Parameters {
        let mut parameters = Parameters::default();
        parameters[MAX_MESSAGE] = self.max_message;
        parameters[DEPTH] = self.depth;
        parameters[MAX_DELIVERIES] = self.max_deliveries.into();
        parameters[SYNC] = self.sync.into();
        parameters
    }
}

/// Messages for whoever takes them first, in shared memory: any number push, any number take.
///
/// The message of the highest priority (0 to 31) is taken first, and of these the one that was pushed first. Whoever takes
/// one has it, until it [acknowledges](Delivery::ack) it, and it is gone, or [puts it back](Delivery::put_back). If the process
/// dies first, the message comes back, and before those that were pushed later. So a message is done at least once, and not at the
/// same time by two. One that came back [too often](QueueOptions::max_deliveries) becomes a dead letter, which only
/// [`Queue::take_dead`] takes.
///
/// A push whose process is killed has happened or not; what a push that returned has pushed is there. A process that is stopped keeps
/// nobody waiting: there is no lock. (Only what it is bringing back at that moment, of one that died, waits for it to go on.)
///
/// The handle may be shared between threads, and what it has taken is the handle's. Dropping it puts that back; it does not
/// remove the name ([`unlink`](crate::unlink) does).
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-queue-{}", std::process::id());
/// let jobs = ipcx::Queue::create(&name, &ipcx::QueueOptions::default())?;
/// jobs.push(b"tidy up", 0)?;
/// jobs.push(b"put the fire out", 9)?;
///
/// let job = jobs.take()?;
/// assert_eq!(job.to_vec(), b"put the fire out");
/// job.ack()?;
/// # ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Queue {
    watcher: OnDemand, // before what its thread keeps: fields are dropped in order
    room_watcher: OnDemand,
    pub(super) depot: Arc<Depot>,
}

/// What [`Queue::pop`] copied.
///
/// ```
/// let jobs = ipcx::Queue::anonymous(&Default::default())?;
/// jobs.push(b"tidy up", 3)?;
/// let popped = jobs.pop(&mut [0; 64])?;
/// assert_eq!((popped.len, popped.priority), (7, 3));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Popped {
    /// Bytes of the message.
    pub len: usize,
    /// Its priority.
    pub priority: u32,
}

fn store(segment: &Segment) -> Result<Store<Mapped>> {
    let most = segment.parameters()[MAX_DELIVERIES] as u32; // `Parts::of` has checked that it fits
    Ok(Store::new(Mapped::new(segment)?, segment.leases().slot(), most))
}

/// Before the segment has its name, or anybody its descriptor.
fn prepare(segment: &Segment) -> Result<()> {
    restore::begin(&store(segment)?, segment)
}

impl Queue {
    fn of(segment: Segment) -> Result<Queue> {
        let store = store(&segment)?;
        restore::restore(&store, &segment)?;
        segment.leases().succeed(|slot| {
            // What is corrupt is told by the calls that come upon it.
            let _ = store.bury(&Slots::one(slot));
        });
        let depot = Depot::new(store, segment);
        if depot.sync {
            depot.segment.write_back()?; // Others may have made it, or restored it, just now.
        }
        Ok(Queue { watcher: OnDemand::default(), room_watcher: OnDemand::default(), depot: Arc::new(depot) })
    }

    /// Creates a queue that must be new.
    ///
    /// ```
    /// # let name = format!("doc-queue-create-{}", std::process::id());
    /// let options = ipcx::QueueOptions { depth: 64, ..Default::default() };
    /// let queue = ipcx::Queue::create(&name, &options)?;
    /// assert!(matches!(ipcx::Queue::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &QueueOptions) -> Result<Queue> {
        Segment::create(name, &options.segment, FORMAT, options.parameters()?, &mut prepare)
            .and_then(Queue::of)
    }

    /// Attaches to a queue, or creates it if there is none.
    ///
    /// ```
    /// # let name = format!("doc-queue-open-{}", std::process::id());
    /// let options = ipcx::QueueOptions { depth: 64, ..Default::default() };
    /// let first = ipcx::Queue::open(&name, &options)?; // makes it
    /// let second = ipcx::Queue::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.depth(), second.depth());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::create`] (less `Exists`) and of [`Queue::attach_with`].
    pub fn open(name: &str, options: &QueueOptions) -> Result<Queue> {
        let (parameters, wanted) = (options.parameters()?, options.wanted());
        Segment::open(name, &options.segment, FORMAT, parameters, &wanted, &mut prepare).and_then(Queue::of)
    }

    /// Attaches to a queue that must exist.
    ///
    /// ```
    /// # let name = format!("doc-queue-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Queue::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Queue::create(&name, &Default::default())?;
    /// assert_eq!(ipcx::Queue::attach(&name)?.depth(), made.depth());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Queue> {
        Queue::attach_with(name, &QueueOptions::default())
    }

    /// As [`Queue::attach`], in the directory that the options name, and only if the queue agrees with what else they give.
    ///
    /// ```
    /// # let name = format!("doc-queue-attach-with-{}", std::process::id());
    /// let made = ipcx::Queue::create(&name, &ipcx::QueueOptions { depth: 64, ..Default::default() })?;
    /// let other = ipcx::QueueOptions { depth: 128, ..Default::default() };
    /// assert!(matches!(ipcx::Queue::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &QueueOptions) -> Result<Queue> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()).and_then(Queue::of)
    }

    /// Creates a queue without a name, in a memfd sealed against resizing. Hand [`Queue::share_fd`] to another process, by
    /// inheritance or `SCM_RIGHTS`, which attaches with [`Queue::from_fd`].
    ///
    /// ```
    /// let queue = ipcx::Queue::anonymous(&Default::default())?;
    /// assert_eq!(queue.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &QueueOptions) -> Result<Queue> {
        let segment = Segment::anonymous(&options.segment, FORMAT, options.parameters()?)?;
        prepare(&segment)?;
        Queue::of(segment)
    }

    /// Attaches to the queue behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of an
    /// anonymous queue, or belongs to somebody from whom [`Queue::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Queue::anonymous(&Default::default())?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Queue::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.depth(), ours.depth());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Queue> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).and_then(Queue::of)
    }

    /// A new descriptor of the queue to hand to another process; closed on exec until you say otherwise. It keeps the memory,
    /// but nothing that was taken, and no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Queue::anonymous(&Default::default())?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Queue::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
    /// };
    /// assert_eq!(theirs.depth(), ours.depth());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn share_fd(&self) -> Result<OwnedFd> {
        self.depot.segment.share_fd()
    }

    /// Pushes a message, if there is room now. Priorities are 0 to 31, and the highest is taken first.
    ///
    /// Makes no allocation and does not wait. Async-signal-safe.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&ipcx::QueueOptions { depth: 1, ..Default::default() })?;
    /// jobs.try_push(b"tidy up", 0)?;
    /// assert!(matches!(jobs.try_push(b"sweep", 0), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, `TooBig`, `Invalid` for another priority, `Forked`, `Corrupt`. Nothing is pushed.
    pub fn try_push(&self, message: &[u8], priority: u32) -> Result<()> {
        self.push_until(message, priority, Deadline::NOW)
    }

    /// Pushes a message, giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&ipcx::QueueOptions { depth: 1, ..Default::default() })?;
    /// jobs.push_timeout(b"tidy up", 0, std::time::Duration::from_secs(1))?;
    /// let full = jobs.push_timeout(b"sweep", 0, std::time::Duration::from_millis(1));
    /// assert!(matches!(full, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::push_until`].
    pub fn push_timeout(&self, message: &[u8], priority: u32, timeout: Duration) -> Result<()> {
        self.push_until(message, priority, Deadline::within(timeout))
    }

    /// Pushes a message, waiting for room as long as it takes.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// jobs.push(b"put the fire out", 9)?;
    /// assert_eq!(jobs.take()?.priority(), 9);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::push_until`], less `WouldBlock` and `TimedOut`.
    pub fn push(&self, message: &[u8], priority: u32) -> Result<()> {
        self.push_until(message, priority, Deadline::NEVER)
    }

    /// What the three calls above do.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1)); // for both together
    /// jobs.push_until(b"tidy up", 0, deadline)?;
    /// jobs.push_until(b"sweep", 0, deadline)?;
    /// assert_eq!(jobs.stats()?.ready[0], 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::try_push`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept. `Os` if the queue is
    /// [synchronous](QueueOptions::sync) and the disk failed; if it failed late, the message was pushed all the same.
    #[inline]
    pub fn push_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<()> {
        let depot = &*self.depot;
        depot.segment.check_not_inherited()?;
        let available = depot.store.memory().room();
        if priority >= PRIORITIES || message.len() > available {
            return Err(refused(priority, message.len(), available));
        }
        let cell = depot.claim(deadline).map_err(|error| self.no_room(error))?;
        depot.store.fill(cell, message);
        if !depot.sync {
            return depot.store.publish(cell, priority).map_err(|corruption| depot.corrupt(corruption));
        }
        depot.publish_on_disk(cell, message.len(), priority)
    }

    /// The next message, if there is one now.
    ///
    /// Makes no allocation and does not wait. Async-signal-safe. Messages of the dead come back only where this handle has
    /// not looked for the dead for 50 ms; [`Queue::recover`] looks at once.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// assert!(matches!(jobs.try_take(), Err(ipcx::Error::WouldBlock(_))));
    /// jobs.push(b"tidy up", 0)?;
    /// jobs.try_take()?.ack()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `Forked`, `Corrupt`.
    pub fn try_take(&self) -> Result<Delivery<'_>> {
        self.take_until(Deadline::NOW)
    }

    /// The next message, giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// let none = jobs.take_timeout(std::time::Duration::from_millis(1)).map(drop);
    /// assert!(matches!(none, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::take_until`].
    pub fn take_timeout(&self, timeout: Duration) -> Result<Delivery<'_>> {
        self.take_until(Deadline::within(timeout))
    }

    /// The next message, waiting for one as long as it takes.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let job = jobs.take()?;
    /// assert_eq!(job.to_vec(), b"tidy up");
    /// job.ack()?; // without this, it would come again
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::take_until`], less `WouldBlock` and `TimedOut`.
    pub fn take(&self) -> Result<Delivery<'_>> {
        self.take_until(Deadline::NEVER)
    }

    /// What the three calls above do.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1));
    /// jobs.take_until(deadline)?.ack()?;
    /// assert_eq!(jobs.stats()?.free, jobs.depth());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::try_take`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept.
    #[inline]
    pub fn take_until(&self, deadline: Deadline) -> Result<Delivery<'_>> {
        self.take_fitting(usize::MAX, deadline).map(|taken| Delivery::new(self, taken))
    }

    /// Copies the next message to the start of `buffer`, and [acknowledges](Delivery::ack) it, if there is one now.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// assert!(matches!(jobs.try_pop(&mut [0; 64]), Err(ipcx::Error::WouldBlock(_))));
    /// jobs.push(b"tidy up", 0)?;
    /// assert_eq!(jobs.try_pop(&mut [0; 64])?.len, 7);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::pop_until`], less `TimedOut` and `Interrupted`.
    pub fn try_pop(&self, buffer: &mut [u8]) -> Result<Popped> {
        self.pop_until(buffer, Deadline::NOW)
    }

    /// As [`Queue::pop`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// let none = jobs.pop_timeout(&mut [0; 64], std::time::Duration::from_millis(1));
    /// assert!(matches!(none, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::pop_until`].
    pub fn pop_timeout(&self, buffer: &mut [u8], timeout: Duration) -> Result<Popped> {
        self.pop_until(buffer, Deadline::within(timeout))
    }

    /// Copies the next message to the start of `buffer`, and [acknowledges](Delivery::ack) it, waiting for one as long as it takes.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let mut job = [0; 64];
    /// let popped = jobs.pop(&mut job)?; // acknowledged by this
    /// assert_eq!(&job[..popped.len], b"tidy up");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::pop_until`], less `WouldBlock` and `TimedOut`.
    pub fn pop(&self, buffer: &mut [u8]) -> Result<Popped> {
        self.pop_until(buffer, Deadline::NEVER)
    }

    /// What the three calls above do.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let short = jobs.pop_until(&mut [0; 2], ipcx::Deadline::NOW);
    /// assert!(matches!(short, Err(ipcx::Error::TooBig { needed: 7, .. })));
    /// assert_eq!(jobs.pop_until(&mut [0; 64], ipcx::Deadline::NOW)?.len, 7); // it stayed
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::take_into`].
    #[inline]
    pub fn pop_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Popped> {
        let Taken { len, priority, ticket, .. } = self.take_into(buffer, deadline)?;
        self.ack(ticket)?;
        Ok(Popped { len, priority })
    }

    /// [`Queue::take_until`] with a copy at the start of `buffer` and without a guard, for bindings to other languages:
    /// [`Queue::ack`] or [`Queue::put_back`] come next.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let mut job = [0; 64];
    /// let taken = jobs.take_into(&mut job, ipcx::Deadline::NEVER)?;
    /// assert_eq!(&job[..taken.len], b"tidy up");
    /// jobs.ack(taken.ticket)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::take_until`], and `TooBig` if the next message is longer than the buffer: it stays where it is.
    #[inline]
    pub fn take_into(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Taken> {
        let taken = self.take_fitting(buffer.len(), deadline)?;
        self.copy(taken.ticket, &mut buffer[..taken.len])?;
        Ok(taken)
    }

    /// The dead letter of the highest priority, and of these the one that was pushed first. [`Delivery::ack`] discards it,
    /// [`Delivery::put_back`] has it tried again as if it were new; if the process dies, it is a dead letter as before. Does not wait.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&ipcx::QueueOptions { max_deliveries: 1, ..Default::default() })?;
    /// jobs.push(b"impossible", 0)?;
    /// jobs.take()?.put_back()?; // that was its last delivery
    /// let dead = jobs.take_dead()?;
    /// assert_eq!(dead.to_vec(), b"impossible");
    /// dead.ack()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::try_take`].
    pub fn take_dead(&self) -> Result<Delivery<'_>> {
        self.take_dead_fitting(usize::MAX).map(|taken| Delivery::new(self, taken))
    }

    /// [`Queue::take_dead`] as [`Queue::take_into`] is to [`Queue::try_take`].
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&ipcx::QueueOptions { max_deliveries: 1, ..Default::default() })?;
    /// jobs.push(b"impossible", 0)?;
    /// drop(jobs.take()?); // puts it back
    /// let dead = jobs.take_dead_into(&mut [0; 64])?;
    /// jobs.ack(dead.ticket)?;
    /// assert_eq!(jobs.stats()?.dead, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::take_dead`], and `TooBig`.
    pub fn take_dead_into(&self, buffer: &mut [u8]) -> Result<Taken> {
        let taken = self.take_dead_fitting(buffer.len())?;
        self.copy(taken.ticket, &mut buffer[..taken.len])?;
        Ok(taken)
    }

    /// The message with this ticket is done, and gone. Wakes one who waits for room.
    ///
    /// Makes no allocation, unless it is refused, and does not wait. Async-signal-safe.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let ticket = jobs.take()?.into_ticket();
    /// jobs.ack(ticket)?;
    /// assert!(matches!(jobs.ack(ticket), Err(ipcx::Error::Invalid(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this handle has not taken it, or has acknowledged it or put it back: nothing changes. `Forked`, `Corrupt`. `Os`
    /// if the queue is [synchronous](QueueOptions::sync) and the disk failed: it is gone, but a power cut may bring it back.
    #[inline]
    pub fn ack(&self, ticket: u64) -> Result<()> {
        self.depot.segment.check_not_inherited()?;
        match self.depot.store.acknowledge(ticket) {
            Ok(true) if self.depot.sync => self.depot.keep_acknowledged(ticket),
            Ok(true) => Ok(()),
            Ok(false) => Err(self.not_taken(ticket)),
            Err(corruption) => Err(self.depot.corrupt(corruption)),
        }
    }

    /// The message with this ticket is not done: it is taken again before those of its priority that were pushed later, or is
    /// put aside as a dead letter if that was its last delivery. Wakes one who waits for a message.
    ///
    /// Makes no allocation, unless it is refused, and does not wait. Async-signal-safe.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let ticket = jobs.take()?.into_ticket();
    /// jobs.put_back(ticket)?;
    /// assert_eq!(jobs.take()?.deliveries(), 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::ack`].
    pub fn put_back(&self, ticket: u64) -> Result<()> {
        self.depot.segment.check_not_inherited()?;
        match self.depot.store.put_back(ticket) {
            true => Ok(()),
            false => Err(self.not_taken(ticket)),
        }
    }

    /// How often the message with this ticket was delivered, this time counted; 255 stands for that many and more.
    ///
    /// Makes no allocation and does not wait. Async-signal-safe.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// let ticket = jobs.take()?.into_ticket();
    /// assert_eq!(jobs.deliveries(ticket)?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this handle has not taken it, or has acknowledged it or put it back; `Forked`.
    pub fn deliveries(&self, ticket: u64) -> Result<u32> {
        self.depot.segment.check_not_inherited()?;
        self.depot.store.deliveries(ticket).ok_or_else(|| self.not_taken(ticket))
    }

    /// Brings back what dead participants had taken. A take that finds nothing and a push that finds no room do this by
    /// themselves, but look for the dead at most every 50 ms where they do not wait. This call looks at once.
    ///
    /// ```
    /// let jobs = ipcx::Queue::anonymous(&Default::default())?;
    /// jobs.push(b"tidy up", 0)?;
    /// jobs.recover()?; // whatever a dead process had taken can be taken again now
    /// assert_eq!(jobs.stats()?.ready[0], 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn recover(&self) -> Result<()> {
        self.depot.segment.check_not_inherited()?;
        self.depot.bury(&self.depot.segment.leases().turn())
    }

    /// A descriptor that is readable while there is a message to take, as of this handle's last take. Level-triggered; do not
    /// read it, do not close it; it lives as long as the handle. Where others take too, a message may be gone when you come:
    /// use [`Queue::try_take`], which arms it again.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let queue = ipcx::Queue::anonymous(&Default::default())?;
    /// queue.push(b"hello", 0)?;
    /// let mut poll = libc::pollfd { fd: queue.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// queue.try_take()?.ack()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the queue has a message to take, as for the descriptor, and once now
    /// if it has; `None` ends that. The signal's value (`si_value`) is this handle's slot. Take until that would block: only
    /// then does the next one queue a signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let queue = ipcx::Queue::anonymous(&Default::default())?;
    /// queue.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(queue.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// queue.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&self, signal: Option<i32>) -> Result<()> {
        self.watcher()?.signal(signal.unwrap_or(0), self.depot.segment.leases().slot())
    }

    pub(super) fn watcher(&self) -> Result<&Watcher> {
        self.depot.segment.check_not_inherited()?;
        let watched = || Arc::clone(&self.depot) as Arc<dyn Watched>;
        let (watcher, first) = self.watcher.start(self.depot.segment.name(), watched)?;
        if first {
            self.after(true); // as things are
        }
        Ok(watcher)
    }

    /// Keeps the descriptor true, if there is one, after a take. One that failed arms it in any case: what came since is for the
    /// watcher to tell of.
    #[inline(always)]
    pub(super) fn after(&self, taken: bool) {
        if let Some(watcher) = self.watcher.get() {
            watcher.update(taken && self.depot.has_message(), 0);
        }
    }

    /// A descriptor that is readable while there is room for a message, as far as is known since this handle's last push that
    /// found none. Level-triggered; do not read it, do not close it; it lives as long as the handle. Where others push too, the
    /// room may be gone when you come: use [`Queue::try_push`], which arms it again.
    ///
    /// The first call starts a thread of this process that waits on its behalf, another one than that of [`Queue::poll_fd`].
    ///
    /// ```
    /// # use ipcx::{Queue, QueueOptions};
    /// # use std::os::fd::AsRawFd;
    /// let queue = Queue::anonymous(&QueueOptions { depth: 1, ..Default::default() })?;
    /// queue.try_push(b"one", 0)?;
    /// assert!(queue.try_push(b"two", 0).is_err());
    /// let mut room = libc::pollfd { fd: queue.room_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd.
    /// assert_eq!(unsafe { libc::poll(&mut room, 1, 0) }, 0);
    /// queue.try_take()?.ack()?;
    /// // SAFETY: the same.
    /// assert_eq!(unsafe { libc::poll(&mut room, 1, 10_000) }, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn room_fd(&self) -> Result<BorrowedFd<'_>> {
        self.depot.segment.check_not_inherited()?;
        let watched = || Arc::new(Room(Arc::clone(&self.depot))) as Arc<dyn Watched>;
        let (watcher, first) = self.room_watcher.start(self.depot.segment.name(), watched)?;
        if first {
            watcher.update(self.depot.has_room(), 0);
        }
        Ok(watcher.fd())
    }

    /// After a push that claimed no cell: arms the descriptor of room, if there is one. Room that came since is for the watcher to
    /// tell of.
    #[cold]
    fn no_room(&self, error: Error) -> Error {
        if let (Some(watcher), Error::WouldBlock(_) | Error::TimedOut(_)) = (self.room_watcher.get(), &error)
        {
            watcher.update(false, 0);
        }
        error
    }

    /// The next message, if it has at most so many bytes.
    #[inline(always)]
    fn take_fitting(&self, room: usize, deadline: Deadline) -> Result<Taken> {
        self.depot.segment.check_not_inherited()?;
        let taken = self.depot.take(room, deadline);
        self.after(!matches!(taken, Err(Error::WouldBlock(_) | Error::TimedOut(_))));
        taken
    }

    fn take_dead_fitting(&self, room: usize) -> Result<Taken> {
        self.depot.segment.check_not_inherited()?;
        self.depot.take_dead(room)
    }

    /// Copies the first bytes of a message that this handle has taken.
    #[inline(always)]
    pub(super) fn copy(&self, ticket: u64, buffer: &mut [u8]) -> Result<()> {
        self.depot.store.read(ticket, buffer).map_err(|corruption| self.depot.corrupt(corruption))
    }

    /// # Errors
    /// `Invalid` if this handle has not taken it, `Forked`.
    pub(super) fn check_taken(&self, ticket: u64) -> Result<()> {
        self.depot.segment.check_not_inherited()?;
        if self.depot.store.has(ticket) {
            return Ok(());
        }
        Err(self.not_taken(ticket))
    }

    #[cold]
    fn not_taken(&self, ticket: u64) -> Error {
        Error::invalid(format!(
            "ticket {ticket:#x} is of no message that this handle has taken: it was acknowledged or put back, or is another's \
             (segment '{}')",
            self.name()
        ))
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.depot.segment.name()
    }

    /// Bytes of the largest message.
    pub fn max_message(&self) -> u64 {
        self.depot.segment.parameters()[MAX_MESSAGE]
    }

    /// How many messages there can be.
    pub fn depth(&self) -> u64 {
        self.depot.segment.parameters()[DEPTH]
    }

    /// After how many deliveries a message that comes back is put aside; 0 for never.
    pub fn max_deliveries(&self) -> u32 {
        self.depot.segment.parameters()[MAX_DELIVERIES] as u32
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.depot.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.depot.segment.wait_strategy()
    }
}

#[cold]
fn refused(priority: u32, needed: usize, available: usize) -> Error {
    if priority >= PRIORITIES {
        return Error::invalid("a priority is 0 to 31");
    }
    Error::TooBig { needed, available }
}
