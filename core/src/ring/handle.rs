//! The handle on a ring: opening, roles, statistics.

use super::consumer::Consumer;
use super::endpoint::{CONSUMER, PRODUCER};
use super::layout::{body_size, largest_payload, LAYOUT};
use super::memory::{Mapped, Side};
use super::producer::Producer;
use super::protocol::Memory;
use crate::error::{Error, Result};
use crate::lease::{Participant, RoleState};
use crate::segment::{Backing, Format, Kind, Parameters, Segment, SegmentOptions};
use crate::stream::{round_capacity, rounded_capacity, CAPACITY, LARGEST};
use crate::sync::Ordering;
use crate::sys::map;
use crate::wait::WaitStrategy;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

pub(crate) const FORMAT: Format =
    Format { kind: Kind::Ring, layout: LAYOUT, body_size, round: round_capacity, names: &["capacity"] };
const DEFAULT_CAPACITY: u64 = 1 << 20;

/// Options of a ring. Start from the defaults: `RingOptions { capacity: 1 << 16, ..Default::default() }`.
///
/// ```
/// let options = ipcx::RingOptions { capacity: 1 << 16, ..Default::default() };
/// assert_eq!(ipcx::Ring::anonymous(&options)?.capacity(), options.capacity as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingOptions {
    /// Bytes for records, rounded up to a power of two (at least a page, at most 2 GiB); 0 means 1 MiB. A ring that
    /// exists must have the same, unless 0 is given. A record takes 8 bytes and its length rounded up to 8.
    pub capacity: u64,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl RingOptions {
    fn parameters(&self) -> Result<Parameters> {
        let asked = if self.capacity == 0 { DEFAULT_CAPACITY } else { self.capacity };
        let capacity = rounded_capacity(asked, map::page_size() as u64).ok_or_else(|| {
            Error::invalid(format!("a ring's capacity is at most {LARGEST} bytes; {asked} were asked for"))
        })?;
        if self.segment.backing != Backing::Directory {
            return Err(Error::invalid(
                "a ring is mapped twice in a row, which System V shared memory cannot be",
            ));
        }
        let mut parameters = Parameters::default();
        parameters[CAPACITY] = capacity;
        Ok(parameters)
    }

    /// What a ring that exists must have; 0 stands for anything.
    fn wanted(&self) -> Result<Parameters> {
        match self.capacity {
            0 => Ok(Parameters::default()),
            _ => self.parameters(),
        }
    }
}

/// A queue of variable-length records from one producer to one consumer, in shared memory.
///
/// The handle may be shared between threads. Dropping it does not remove the name ([`unlink`](crate::unlink) does), and
/// endpoints taken from it go on working.
///
/// A peer that closed before one attached, with nothing left to receive, does not count: one waits for the next. A peer that died
/// counts at once.
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-ring-{}", std::process::id());
/// let ring = ipcx::Ring::create(&name, &ipcx::RingOptions::default())?;
/// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
/// tx.send(b"hello")?;
/// let mut buffer = [0; 64];
/// let len = rx.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"hello");
/// ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Ring {
    segment: Arc<Segment>,
    observer: OnceLock<Mapped>,
}

impl Ring {
    fn of(segment: Segment) -> Ring {
        segment.leases().succeed(|_| ()); // Nothing of a ring is a participant's.
        Ring { segment: Arc::new(segment), observer: OnceLock::new() }
    }

    /// Creates a ring that must be new.
    ///
    /// ```
    /// # let name = format!("doc-ring-create-{}", std::process::id());
    /// let options = ipcx::RingOptions { capacity: 1 << 16, ..Default::default() };
    /// let ring = ipcx::Ring::create(&name, &options)?;
    /// assert!(matches!(ipcx::Ring::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &RingOptions) -> Result<Ring> {
        Segment::create(name, &options.segment, FORMAT, options.parameters()?, &mut |_| Ok(())).map(Ring::of)
    }

    /// Attaches to a ring, or creates it if there is none.
    ///
    /// ```
    /// # let name = format!("doc-ring-open-{}", std::process::id());
    /// let options = ipcx::RingOptions { capacity: 1 << 16, ..Default::default() };
    /// let first = ipcx::Ring::open(&name, &options)?; // makes it
    /// let second = ipcx::Ring::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.capacity(), second.capacity());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Ring::create`] (less `Exists`) and of [`Ring::attach_with`].
    pub fn open(name: &str, options: &RingOptions) -> Result<Ring> {
        Segment::open(name, &options.segment, FORMAT, options.parameters()?, &options.wanted()?, &mut |_| {
            Ok(())
        })
        .map(Ring::of)
    }

    /// Attaches to a ring that must exist.
    ///
    /// ```
    /// # let name = format!("doc-ring-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Ring::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Ring::create(&name, &Default::default())?;
    /// assert_eq!(ipcx::Ring::attach(&name)?.capacity(), made.capacity());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Ring> {
        Ring::attach_with(name, &RingOptions::default())
    }

    /// As [`Ring::attach`], in the directory that the options name, and only if the ring agrees with the capacity, the
    /// schema and the number of participants they give.
    ///
    /// ```
    /// # let name = format!("doc-ring-attach-with-{}", std::process::id());
    /// let made = ipcx::Ring::create(&name, &ipcx::RingOptions { capacity: 1 << 16, ..Default::default() })?;
    /// let other = ipcx::RingOptions { capacity: 1 << 20, ..Default::default() };
    /// assert!(matches!(ipcx::Ring::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Ring::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &RingOptions) -> Result<Ring> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()?).map(Ring::of)
    }

    /// Creates a ring without a name, in a memfd sealed against resizing. Hand [`Ring::share_fd`] to another process,
    /// by inheritance or `SCM_RIGHTS`, which attaches with [`Ring::from_fd`].
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// assert_eq!(ring.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &RingOptions) -> Result<Ring> {
        Segment::anonymous(&options.segment, FORMAT, options.parameters()?).map(Ring::of)
    }

    /// Attaches to the ring behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of an
    /// anonymous ring, or belongs to somebody from whom [`Ring::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Ring::anonymous(&Default::default())?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Ring::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.capacity(), ours.capacity());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Ring::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Ring> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).map(Ring::of)
    }

    /// A new descriptor of the ring to hand to another process; closed on exec until you say otherwise. It keeps the
    /// memory, but no role and no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Ring::anonymous(&Default::default())?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Ring::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
    /// };
    /// assert_eq!(theirs.capacity(), ours.capacity());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn share_fd(&self) -> Result<OwnedFd> {
        self.segment.share_fd()
    }

    /// Takes the producer's role: the first time, or after its owner closed or died.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let tx = ring.producer()?;
    /// let error = ring.producer().unwrap_err(); // there is one at a time
    /// assert!(matches!(error, ipcx::Error::RoleTaken(_)));
    /// drop(tx);
    /// ring.producer()?.send(b"hello")?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `RoleTaken` if a living process has it (its text names the process), `Forked`, `Corrupt`, `Os`.
    pub fn producer(&self) -> Result<Producer> {
        Producer::take(&self.segment, self.capacity() as usize)
    }

    /// Takes the consumer's role: the first time, or after its owner closed or died.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// ring.producer()?.send(b"hello")?;
    /// assert_eq!(ring.consumer()?.recv(&mut [0; 64])?, 5); // it was there before the consumer
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Ring::producer`].
    pub fn consumer(&self) -> Result<Consumer> {
        Consumer::take(&self.segment, self.capacity() as usize)
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.segment.name()
    }

    /// Bytes for records.
    pub fn capacity(&self) -> u64 {
        self.segment.parameters()[CAPACITY]
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.segment.wait_strategy()
    }

    /// What can be seen from outside. Taken without stopping anybody, so the numbers may be apart by what was in work.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// ring.producer()?.send_many(["one", "two"])?;
    /// assert_eq!(ring.stats()?.sent, 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn stats(&self) -> Result<RingStats> {
        self.segment.check_not_inherited()?;
        let memory = match self.observer.get() {
            Some(memory) => memory,
            None => {
                let memory = Mapped::new(&self.segment, self.capacity() as usize, Side::Observer)?;
                self.observer.get_or_init(|| memory)
            }
        };
        let (producer, consumer) = (memory.producer(), memory.consumer());
        let leases = self.segment.leases();
        // Relaxed: figures for display. The position first, so that a record sent meanwhile adds and never subtracts.
        let received_bytes = consumer.position.load(Ordering::Relaxed);
        let sent_bytes = producer.tail.load(Ordering::Relaxed);
        Ok(RingStats {
            capacity: self.capacity(),
            max_len: largest_payload(self.capacity()) as u64,
            used: sent_bytes.saturating_sub(received_bytes).min(self.capacity()),
            sent: producer.records.load(Ordering::Relaxed),
            received: consumer.records.load(Ordering::Relaxed),
            sent_bytes,
            received_bytes,
            producer: leases.state(PRODUCER, &producer.role),
            consumer: leases.state(CONSUMER, &consumer.role),
            producer_process: leases.holder(&producer.role),
            consumer_process: leases.holder(&consumer.role),
        })
    }
}

/// Figures of a ring.
///
/// ```
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let mut tx = ring.producer()?;
/// tx.send(b"hello")?;
/// let stats = ring.stats()?;
/// assert_eq!((stats.sent, stats.received, stats.used), (1, 0, 16));
/// assert_eq!((stats.producer, stats.consumer), (ipcx::RoleState::Alive, ipcx::RoleState::Never));
/// assert_eq!(stats.producer_process.map(|process| process.pid), Some(std::process::id()));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStats {
    /// Bytes for records.
    pub capacity: u64,
    /// Bytes of the longest record.
    pub max_len: u64,
    /// Bytes taken by records not released.
    pub used: u64,
    /// Records committed since the ring was made; off by those in work at the death of a producer.
    pub sent: u64,
    /// Records released since the ring was made; off by those in work at the death of a consumer.
    pub received: u64,
    /// Stream position behind the last record committed, in bytes.
    pub sent_bytes: u64,
    /// Stream position of the first record not released, in bytes.
    pub received_bytes: u64,
    /// State of the producer's role.
    pub producer: RoleState,
    /// State of the consumer's role.
    pub consumer: RoleState,
    /// Who holds the producer's role, or died holding it.
    pub producer_process: Option<Participant>,
    /// Who holds the consumer's role, or died holding it.
    pub consumer_process: Option<Participant>,
}
