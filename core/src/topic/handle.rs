//! The handle on a topic: opening, publishers and subscribers, statistics.

use super::layout::{body_size, largest_payload, Cursor, Events, Parts, HISTORY, LAYOUT, RELIABLE};
use super::memory::{Mapped, Side};
use super::protocol::{lags, let_go, Memory};
use super::publisher::Publisher;
use super::reader::{published, StartAt};
use super::subscriber::Subscriber;
use crate::error::{Error, Result};
use crate::event::Kernel;
use crate::lease::Participant;
use crate::monitor::Holder;
use crate::mutex::Mutex;
use crate::owner::{Heir, Owner};
use crate::segment::{Backing, Format, Kind, Parameters, Segment, SegmentOptions, View};
use crate::stream::{round_capacity, rounded_capacity, CAPACITY, LARGEST};
use crate::sync::AtomicU64;
use crate::sys::map;
use crate::wait::WaitStrategy;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

pub(crate) const FORMAT: Format = Format {
    kind: Kind::Topic,
    layout: LAYOUT,
    body_size,
    round: round_capacity,
    names: &["capacity", "reliable", "history"],
};
/// Who of the participants in these slots subscribes to a reliable topic. Of a lossy one, and of publishers, nothing is written.
pub(crate) fn roles(view: &View, slots: &[u32]) -> Result<Vec<Holder>> {
    // The header was checked: it has parts. A lossy topic has no cursors.
    let parts = Parts::of(view.options(), view.participants(), view.page());
    let Some(parts) = parts.filter(|parts| parts.cursors > 0) else { return Ok(Vec::new()) };
    let cursors = parts.subscribers + size_of::<Events>();
    let mut found = Vec::new();
    for slot in slots {
        if view.body(cursors + *slot as usize * size_of::<Cursor>())? != [0; 8] {
            found.push(("subscriber", *slot));
        }
    }
    Ok(found)
}

const DEFAULT_CAPACITY: u64 = 1 << 20;

/// Options of a topic. Start from the defaults: `TopicOptions { reliable: true, ..Default::default() }`.
///
/// ```
/// let options = ipcx::TopicOptions { capacity: 1 << 16, ..Default::default() };
/// assert_eq!(ipcx::Topic::anonymous(&options)?.capacity(), options.capacity as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicOptions {
    /// Bytes for records, rounded up to a power of two (at least a page, at most 2 GiB); 0 means 1 MiB. A topic that exists must
    /// have the same, unless 0 is given. A record takes 16 bytes and its length rounded up to 8, and at most half of it.
    pub capacity: u64,
    /// Publishers wait for the slowest subscriber, and nothing is missed. Otherwise they never wait, and who is too slow misses
    /// the oldest records. A topic that exists must be reliable if this is true.
    pub reliable: bool,
    /// Subscribers begin with the oldest record that is still there, unless they say otherwise. A topic that exists must have been
    /// made so if this is true.
    pub history: bool,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl TopicOptions {
    fn parameters(&self) -> Result<Parameters> {
        let asked = if self.capacity == 0 { DEFAULT_CAPACITY } else { self.capacity };
        let capacity = rounded_capacity(asked, map::page_size() as u64).ok_or_else(|| {
            Error::invalid(format!("a topic's capacity is at most {LARGEST} bytes; {asked} were asked for"))
        })?;
        if self.segment.backing != Backing::Directory {
            return Err(Error::invalid(
                "a topic is mapped twice in a row, which System V shared memory cannot be",
            ));
        }
        let mut parameters = Parameters::default();
        parameters[CAPACITY] = capacity;
        parameters[RELIABLE] = self.reliable.into();
        parameters[HISTORY] = self.history.into();
        Ok(parameters)
    }

    /// What a topic that exists must have; 0 stands for anything.
    fn wanted(&self) -> Result<Parameters> {
        let mut parameters = self.parameters()?;
        if self.capacity == 0 {
            parameters[CAPACITY] = 0;
        }
        Ok(parameters)
    }
}

/// What is published reaches every subscriber; records of any length, in shared memory.
///
/// Publishing costs the same for one subscriber and for many. Any number publish, one at a time. In a *lossy* topic (the default)
/// publishers never wait for subscribers, which copy what is there, and know how many records they
/// [missed](Subscriber::missed). In a [reliable](TopicOptions::reliable) one, publishers wait until every subscriber has gone
/// on; one that dies is dropped, one that is stopped is not.
///
/// The handle may be shared between threads. Dropping it does not remove the name ([`unlink`](crate::unlink) does), and
/// publishers and subscribers taken from it go on working. Nobody is told whether others are there: a subscriber waits for
/// whoever publishes, and a publisher publishes to whoever listens.
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-topic-{}", std::process::id());
/// let topic = ipcx::Topic::create(&name, &ipcx::TopicOptions::default())?;
/// let (mut first, mut second) = (topic.subscriber()?, topic.subscriber()?);
/// topic.publisher()?.publish(b"hello")?;
///
/// let mut buffer = [0; 64];
/// for subscriber in [&mut first, &mut second] {
///     let len = subscriber.recv(&mut buffer)?;
///     assert_eq!(&buffer[..len], b"hello");
/// }
/// # ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Topic {
    segment: Arc<Segment>,
    core: OnceLock<Arc<Core>>,
    observer: OnceLock<Mapped>,
}

/// What a participant has that publishes.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) memory: Mapped,
    pub(super) segment: Arc<Segment>,
    /// When it was last asked whether others live; 0 before.
    asked: AtomicU64,
}

impl Core {
    pub(super) fn new(segment: &Arc<Segment>) -> Result<Core> {
        let memory = Mapped::new(segment, Side::Publisher)?;
        Ok(Core { memory, segment: Arc::clone(segment), asked: AtomicU64::new(0) })
    }

    pub(super) fn slot(&self) -> u32 {
        self.segment.leases().slot()
    }
}

/// Recovers all that a participant may have left.
fn bury(memory: &Mapped, slot: u32) {
    memory.publishers().mutex.bury(slot, memory.kernel());
    let_go(memory, slot);
}

impl Owner for Core {
    const LOCKED: &'static str = "another publisher has the topic's lock";

    fn mutex(&self) -> &Mutex {
        &self.memory.publishers().mutex
    }

    fn kernel(&self) -> &impl Kernel {
        self.memory.kernel()
    }
}

impl Heir for Core {
    fn segment(&self) -> &Segment {
        &self.segment
    }

    fn asked(&self) -> &AtomicU64 {
        &self.asked
    }

    fn bury(&self, slot: u32) {
        bury(&self.memory, slot);
    }
}

/// If the owner of the slot before died holding it, recovers what it left.
fn succeed(segment: &Segment) -> Result<()> {
    if segment.leases().succeeds() {
        let memory = Mapped::new(segment, Side::Publisher)?;
        segment.leases().succeed(|slot| bury(&memory, slot));
    }
    Ok(())
}

impl Topic {
    fn of(segment: Segment) -> Result<Topic> {
        succeed(&segment)?;
        Ok(Topic { segment: Arc::new(segment), core: OnceLock::new(), observer: OnceLock::new() })
    }

    /// Creates a topic that must be new.
    ///
    /// ```
    /// # let name = format!("doc-topic-create-{}", std::process::id());
    /// let options = ipcx::TopicOptions { capacity: 1 << 16, ..Default::default() };
    /// let topic = ipcx::Topic::create(&name, &options)?;
    /// assert!(matches!(ipcx::Topic::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &TopicOptions) -> Result<Topic> {
        let parameters = options.parameters()?;
        Segment::create(name, &options.segment, FORMAT, parameters, &mut |_| Ok(())).and_then(Topic::of)
    }

    /// Attaches to a topic, or creates it if there is none.
    ///
    /// ```
    /// # let name = format!("doc-topic-open-{}", std::process::id());
    /// let options = ipcx::TopicOptions { capacity: 1 << 16, ..Default::default() };
    /// let first = ipcx::Topic::open(&name, &options)?; // makes it
    /// let second = ipcx::Topic::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.capacity(), second.capacity());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Topic::create`] (less `Exists`) and of [`Topic::attach_with`].
    pub fn open(name: &str, options: &TopicOptions) -> Result<Topic> {
        let (parameters, wanted) = (options.parameters()?, options.wanted()?);
        Segment::open(name, &options.segment, FORMAT, parameters, &wanted, &mut |_| Ok(()))
            .and_then(Topic::of)
    }

    /// Attaches to a topic that must exist.
    ///
    /// ```
    /// # let name = format!("doc-topic-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Topic::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Topic::create(&name, &Default::default())?;
    /// assert_eq!(ipcx::Topic::attach(&name)?.capacity(), made.capacity());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Topic> {
        Topic::attach_with(name, &TopicOptions::default())
    }

    /// As [`Topic::attach`], in the directory that the options name, and only if the topic agrees with what else they give.
    ///
    /// ```
    /// # let name = format!("doc-topic-attach-with-{}", std::process::id());
    /// let made = ipcx::Topic::create(&name, &ipcx::TopicOptions { capacity: 1 << 16, ..Default::default() })?;
    /// let other = ipcx::TopicOptions { capacity: 1 << 20, ..Default::default() };
    /// assert!(matches!(ipcx::Topic::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Topic::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &TopicOptions) -> Result<Topic> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()?).and_then(Topic::of)
    }

    /// Creates a topic without a name, in a memfd sealed against resizing. Hand [`Topic::share_fd`] to another process,
    /// by inheritance or `SCM_RIGHTS`, which attaches with [`Topic::from_fd`].
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// assert_eq!(topic.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &TopicOptions) -> Result<Topic> {
        Segment::anonymous(&options.segment, FORMAT, options.parameters()?).and_then(Topic::of)
    }

    /// Attaches to the topic behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of an
    /// anonymous topic, or belongs to somebody from whom [`Topic::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Topic::anonymous(&Default::default())?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Topic::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.capacity(), ours.capacity());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Topic::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Topic> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).and_then(Topic::of)
    }

    /// A new descriptor of the topic to hand to another process; closed on exec until you say otherwise. It keeps the
    /// memory, but no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Topic::anonymous(&Default::default())?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Topic::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
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

    /// A publisher. There may be any number, over all processes.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut one, mut two) = (topic.publisher()?, topic.publisher()?); // any number
    /// one.publish(b"hello")?;
    /// two.publish(b"hello too")?;
    /// assert_eq!(topic.stats()?.published, 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn publisher(&self) -> Result<Publisher> {
        self.segment.check_not_inherited()?;
        let core = match self.core.get() {
            Some(core) => core,
            None => {
                let core = Arc::new(Core::new(&self.segment)?);
                self.core.get_or_init(|| core)
            }
        };
        Ok(Publisher::new(core))
    }

    /// A subscriber, which begins with what is published from now on; in a topic with a [history](TopicOptions::history), with the
    /// oldest record that is still there.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// publisher.publish(b"before")?;
    /// let mut subscriber = topic.subscriber()?;
    /// publisher.publish(b"after")?;
    /// assert_eq!(subscriber.borrow()?.to_vec().unwrap(), b"after");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Topic::subscriber_at`].
    pub fn subscriber(&self) -> Result<Subscriber> {
        self.subscriber_at(if self.has_history() { StartAt::Oldest } else { StartAt::Next })
    }

    /// A subscriber, which begins there. In a reliable topic it is a participant of its own, beside this handle.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// topic.publisher()?.publish(b"before")?;
    /// let mut subscriber = topic.subscriber_at(ipcx::StartAt::Oldest)?;
    /// assert_eq!(subscriber.borrow()?.to_vec().unwrap(), b"before");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace` if the topic is reliable and all participant slots are taken, `Forked`, `Corrupt`, `Os`.
    pub fn subscriber_at(&self, start: StartAt) -> Result<Subscriber> {
        self.segment.check_not_inherited()?;
        if !self.is_reliable() {
            return Subscriber::join(&self.segment, start);
        }
        let segment = self.segment.again()?;
        succeed(&segment)?;
        Subscriber::join(&Arc::new(segment), start)
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.segment.name()
    }

    /// Bytes for records.
    pub fn capacity(&self) -> u64 {
        self.segment.parameters()[CAPACITY]
    }

    /// True if publishers wait for the slowest subscriber.
    pub fn is_reliable(&self) -> bool {
        self.segment.parameters()[RELIABLE] != 0
    }

    /// True if subscribers begin with the oldest record, unless they say otherwise.
    pub fn has_history(&self) -> bool {
        self.segment.parameters()[HISTORY] != 0
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.segment.wait_strategy()
    }

    /// What can be seen from outside, without stopping anybody.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// topic.publisher()?.publish(b"hello")?;
    /// assert_eq!(topic.stats()?.published, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Corrupt`, `Os`.
    pub fn stats(&self) -> Result<TopicStats> {
        self.segment.check_not_inherited()?;
        let memory = match self.observer.get() {
            Some(memory) => memory,
            None => {
                let memory = Mapped::new(&self.segment, Side::Observer)?;
                self.observer.get_or_init(|| memory)
            }
        };
        let corrupt = |corruption| super::corrupt(&self.segment, corruption);
        let (tail, published) = published(memory).map_err(corrupt)?;
        let (leases, mutex) = (self.segment.leases(), &memory.publishers().mutex);
        let subscriber = |(slot, unread)| {
            let alive = leases.is_alive(slot)?;
            Ok(TopicSubscriber { process: leases.participant(slot), alive, unread })
        };
        Ok(TopicStats {
            capacity: self.capacity(),
            max_len: largest_payload(self.capacity()) as u64,
            published,
            subscribers: lags(memory, tail).map(subscriber).collect::<Result<_>>()?,
            publisher: mutex.owner().and_then(|slot| leases.participant(slot)),
        })
    }
}

/// Figures of a topic.
///
/// ```
/// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { reliable: true, ..Default::default() })?;
/// let subscriber = topic.subscriber()?;
/// topic.publisher()?.publish(b"hello")?;
/// let stats = topic.stats()?;
/// assert_eq!((stats.published, stats.subscribers.len()), (1, 1));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Bytes for records.
    pub capacity: u64,
    /// Bytes of the longest record.
    pub max_len: u64,
    /// Records published since the topic was made.
    pub published: u64,
    /// The subscribers of a reliable topic; those of a lossy one are not known.
    pub subscribers: Vec<TopicSubscriber>,
    /// Who publishes at this moment, or has a reservation open, or died so.
    pub publisher: Option<Participant>,
}

/// A subscriber of a reliable topic, as seen from outside.
///
/// ```
/// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { reliable: true, ..Default::default() })?;
/// let _subscriber = topic.subscriber()?;
/// topic.publisher()?.publish(b"hello")?;
/// let subscriber = topic.stats()?.subscribers.remove(0);
/// assert!(subscriber.alive && subscriber.unread > 5);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicSubscriber {
    /// The process, if it says which it is.
    pub process: Option<Participant>,
    /// False if it died; then publishers that wait for it drop it.
    pub alive: bool,
    /// Bytes of records that it has not released. Publishers that wait for room wait for the one with the most.
    pub unread: u64,
}
