//! The semaphore: permits that participants acquire, and that come back when they die.
//!
//! A permit is a block of a pool that has no bytes: the same cells, hints, magazines, waiting and burial (`pool/protocol`). A
//! permit that is not there yet, or was used up, is a cell of its own state.
//!
//! ```text
//! body                control     64 bytes: the event on which acquirers sleep
//! + 128               magazines   64 bytes per participant: permits that it keeps ready
//! ...                 hints       a bit per permit, in 64-bit words
//! ...                 cells       a 64-bit word per permit: free, a participant's, or not there
//! ```

use crate::any::{Sleeping, Waitable};
use crate::error::{Error, Result};
use crate::lease::Participant;
use crate::pool::layout::{Parts, State};
use crate::pool::memory::Mapped;
use crate::pool::protocol::Store;
use crate::pool::stock::Stock;
use crate::pool::BlockId;
use crate::segment::{fnv1a, Backing, Format, Kind, Parameters, Segment, SegmentOptions, FNV_START};
use crate::slots::Slots;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::thread;
use crate::wait::{Deadline, WaitStrategy};
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Indices in the header's parameters.
pub(crate) const LIMIT: usize = 0;
const INITIAL: usize = 1;
/// Most permits that a semaphore can have.
const MOST: u64 = 1 << 20;
/// How often a permit of the handle's is looked for, where other threads of the handle are faster.
const TRIES: usize = 10_000;

const LAYOUT: u64 = fnv1a(
    b"semaphore 1: control{freed@0}:128 magazine{revoked@0 busy@4 blocks@8*14} hints cells \
      cell{state:4 who:24 generation:36}",
    FNV_START,
);

pub(crate) const FORMAT: Format = Format {
    kind: Kind::Semaphore,
    layout: LAYOUT,
    body_size: |parameters, participants, page| {
        parts(parameters, participants, page).map(|parts| parts.size as u64)
    },
    round: |parameters, _| parameters,
    names: &["limit"],
};

/// `None` if the parameters are not valid.
fn parts(parameters: &Parameters, participants: u32, page: u64) -> Option<Parts> {
    let [limit, initial, ..] = *parameters;
    let sound = (1..=MOST).contains(&limit) && initial <= limit;
    sound.then(|| Parts::without_bytes(limit, 0, participants, page)).flatten()
}

/// Options of a semaphore. Start from the defaults: `SemaphoreOptions { limit: 4, ..Default::default() }`.
///
/// ```
/// let options = ipcx::SemaphoreOptions { limit: 4, ..Default::default() };
/// assert_eq!(ipcx::Semaphore::anonymous(&options)?.limit(), options.limit as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SemaphoreOptions {
    /// Most permits there can be, 1 to 1048576; 0 means as many as there are initially, or 1 where that is not given either. A
    /// semaphore that exists must have the same, unless 0 is given.
    pub limit: u64,
    /// Permits that a new one has to be acquired; `None` means its limit.
    pub initial: Option<u64>,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl SemaphoreOptions {
    fn parameters(&self) -> Result<Parameters> {
        let limit = match (self.limit, self.initial) {
            (0, initial) => initial.unwrap_or(1).max(1),
            (limit, _) => limit,
        };
        let initial = self.initial.unwrap_or(limit);
        if limit > MOST || initial > limit {
            return Err(Error::invalid(format!(
                "a semaphore has 1 to {MOST} permits, and initially no more; a limit of {limit} and {initial} initially were \
                 asked for"
            )));
        }
        if self.segment.backing != Backing::Directory {
            return Err(Error::invalid("only the blocks of a pool can be in System V shared memory"));
        }
        let mut parameters = Parameters::default();
        (parameters[LIMIT], parameters[INITIAL]) = (limit, initial);
        Ok(parameters)
    }

    /// What a semaphore that exists must have; 0 stands for anything.
    fn wanted(&self) -> Parameters {
        let mut parameters = Parameters::default();
        parameters[LIMIT] = self.limit;
        parameters
    }
}

/// A counting semaphore in shared memory, whose permits come back when their holder dies.
///
/// Whoever [acquires](Semaphore::acquire) a permit holds it until it releases it, closes its handle, or dies. A release by a handle
/// that holds none makes one more, up to the limit. With [`Semaphore::consume`], a permit is used up instead of
/// held: one side signals by releasing, the other one consumes.
///
/// The handle may be shared between threads, and the permits that it holds are the handle's. Dropping it gives them back; it does
/// not remove the name ([`unlink`](crate::unlink) does).
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-semaphore-{}", std::process::id());
/// let licences = ipcx::Semaphore::create(&name, &ipcx::SemaphoreOptions { limit: 2, ..Default::default() })?;
/// let permit = licences.acquire()?;
/// assert_eq!(licences.value()?, 1);
/// permit.release();
/// assert_eq!(licences.value()?, 2);
/// # ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Semaphore {
    watcher: OnDemand, // before what its thread keeps: fields are dropped in order
    stock: Arc<Stock>,
    /// Permits that the user of this handle holds. Its cells that are owned are these, and those of calls that are under way: so
    /// that each who gives one back or uses one up finds one, if perhaps not its own.
    held: AtomicU32,
    /// Where the permit lies that was acquired last; a hint.
    last: AtomicU32,
}

/// Before the segment has its name, or anybody its descriptor.
fn prepare(segment: &Segment) -> Result<()> {
    let store = Store::new(map(segment)?, segment.leases().slot());
    store.begin_with(segment.parameters()[INITIAL] as u32); // at most the limit
    Ok(())
}

fn map(segment: &Segment) -> Result<Mapped> {
    let parts = parts(segment.parameters(), segment.leases().participants(), segment.page() as u64);
    Mapped::of(segment, parts, segment.parameters()[LIMIT] as u32)
}

impl Semaphore {
    fn of(segment: Segment) -> Result<Semaphore> {
        let store = Store::new(map(&segment)?, segment.leases().slot());
        segment.leases().succeed(|slot| {
            store.reclaim(&Slots::one(slot));
        });
        let stock = Arc::new(Stock::new(store, segment, "no permit of the semaphore is free"));
        Ok(Semaphore {
            watcher: OnDemand::default(),
            stock,
            held: AtomicU32::new(0),
            last: AtomicU32::new(0),
        })
    }

    /// Creates a semaphore that must be new.
    ///
    /// ```
    /// # let name = format!("doc-semaphore-create-{}", std::process::id());
    /// let options = ipcx::SemaphoreOptions { limit: 4, ..Default::default() };
    /// let semaphore = ipcx::Semaphore::create(&name, &options)?;
    /// assert!(matches!(ipcx::Semaphore::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &SemaphoreOptions) -> Result<Semaphore> {
        Segment::create(name, &options.segment, FORMAT, options.parameters()?, &mut prepare)
            .and_then(Semaphore::of)
    }

    /// Attaches to a semaphore, or creates it if there is none.
    ///
    /// ```
    /// # let name = format!("doc-semaphore-open-{}", std::process::id());
    /// let options = ipcx::SemaphoreOptions { limit: 4, ..Default::default() };
    /// let first = ipcx::Semaphore::open(&name, &options)?; // makes it
    /// let second = ipcx::Semaphore::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.limit(), second.limit());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Semaphore::create`] (less `Exists`) and of [`Semaphore::attach_with`].
    pub fn open(name: &str, options: &SemaphoreOptions) -> Result<Semaphore> {
        let (parameters, wanted) = (options.parameters()?, options.wanted());
        Segment::open(name, &options.segment, FORMAT, parameters, &wanted, &mut prepare)
            .and_then(Semaphore::of)
    }

    /// Attaches to a semaphore that must exist.
    ///
    /// ```
    /// # let name = format!("doc-semaphore-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Semaphore::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Semaphore::create(&name, &Default::default())?;
    /// assert_eq!(ipcx::Semaphore::attach(&name)?.limit(), made.limit());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Semaphore> {
        Semaphore::attach_with(name, &SemaphoreOptions::default())
    }

    /// As [`Semaphore::attach`], in the directory that the options name, and only if the semaphore agrees with the limit, the
    /// schema and the number of participants they give.
    ///
    /// ```
    /// # let name = format!("doc-semaphore-attach-with-{}", std::process::id());
    /// let made = ipcx::Semaphore::create(&name, &ipcx::SemaphoreOptions { limit: 4, ..Default::default() })?;
    /// let other = ipcx::SemaphoreOptions { limit: 5, ..Default::default() };
    /// assert!(matches!(ipcx::Semaphore::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Semaphore::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &SemaphoreOptions) -> Result<Semaphore> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()).and_then(Semaphore::of)
    }

    /// Creates a semaphore without a name, in a memfd sealed against resizing. Hand [`Semaphore::share_fd`] to another process,
    /// by inheritance or `SCM_RIGHTS`, which attaches with [`Semaphore::from_fd`].
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// assert_eq!(semaphore.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &SemaphoreOptions) -> Result<Semaphore> {
        let segment = Segment::anonymous(&options.segment, FORMAT, options.parameters()?)?;
        prepare(&segment)?;
        Semaphore::of(segment)
    }

    /// Attaches to the semaphore behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of
    /// an anonymous semaphore, or belongs to somebody from whom [`Semaphore::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Semaphore::anonymous(&Default::default())?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Semaphore::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.limit(), ours.limit());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Semaphore::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Semaphore> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).and_then(Semaphore::of)
    }

    /// A new descriptor of the semaphore to hand to another process; closed on exec until you say otherwise. It keeps the
    /// memory, but no permit and no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Semaphore::anonymous(&Default::default())?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Semaphore::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
    /// };
    /// assert_eq!(theirs.limit(), ours.limit());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn share_fd(&self) -> Result<OwnedFd> {
        self.stock.segment.share_fd()
    }

    /// A permit, if there is one now.
    ///
    /// Makes no allocation and does not wait. Async-signal-safe if the interrupted code was not inside a call on this handle.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?; // of one permit
    /// let permit = semaphore.try_acquire()?;
    /// assert!(matches!(semaphore.try_acquire(), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `Forked`.
    pub fn try_acquire(&self) -> Result<Permit<'_>> {
        self.acquire_until(Deadline::NOW)
    }

    /// A permit, giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// let permit = semaphore.acquire()?;
    /// let none = semaphore.acquire_timeout(std::time::Duration::from_millis(1));
    /// assert!(matches!(none, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Semaphore::acquire_until`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>> {
        self.acquire_until(Deadline::within(timeout))
    }

    /// A permit, waiting for one as long as it takes.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// {
    ///     let _permit = semaphore.acquire()?;
    ///     assert_eq!(semaphore.value()?, 0);
    /// }
    /// assert_eq!(semaphore.value()?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Semaphore::acquire_until`], less `WouldBlock` and `TimedOut`.
    pub fn acquire(&self) -> Result<Permit<'_>> {
        self.acquire_until(Deadline::NEVER)
    }

    /// What the three calls above do: a permit, waiting for one until `deadline`. Permits of the dead are found where no other
    /// is.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&ipcx::SemaphoreOptions { limit: 2, ..Default::default() })?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1)); // for both together
    /// let both = (semaphore.acquire_until(deadline)?, semaphore.acquire_until(deadline)?);
    /// assert_eq!(semaphore.value()?, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Semaphore::try_acquire`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept.
    pub fn acquire_until(&self, deadline: Deadline) -> Result<Permit<'_>> {
        self.take_to_hold(deadline).map(|id| Permit { semaphore: self, id })
    }

    /// [`Semaphore::acquire_until`] without a guard, for bindings to other languages. [`Semaphore::release`] gives it back.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// semaphore.acquire_raw(ipcx::Deadline::NEVER)?;
    /// semaphore.release()?;
    /// assert_eq!(semaphore.value()?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn acquire_raw(&self, deadline: Deadline) -> Result<()> {
        self.take_to_hold(deadline).map(drop)
    }

    /// Uses a permit up, waiting for one until `deadline`: nobody holds it, and it does not come back. A process that is
    /// killed in this call may have used it up or not.
    ///
    /// ```
    /// let signals = ipcx::Semaphore::anonymous(&ipcx::SemaphoreOptions { initial: Some(0), ..Default::default() })?;
    /// signals.release()?; // one more
    /// signals.consume_until(ipcx::Deadline::after(std::time::Duration::from_secs(1)))?;
    /// assert_eq!(signals.value()?, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Semaphore::acquire_until`].
    pub fn consume_until(&self, deadline: Deadline) -> Result<()> {
        let id = self.take(deadline)?;
        self.with_owned(id, |id| self.stock.store.use_up(id))
    }

    /// [`Semaphore::consume_until`] without waiting.
    ///
    /// ```
    /// let signals = ipcx::Semaphore::anonymous(&ipcx::SemaphoreOptions { initial: Some(0), ..Default::default() })?;
    /// assert!(matches!(signals.try_consume(), Err(ipcx::Error::WouldBlock(_))));
    /// signals.release()?;
    /// signals.try_consume()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_consume(&self) -> Result<()> {
        self.consume_until(Deadline::NOW)
    }

    /// [`Semaphore::consume_until`] as long as it takes.
    ///
    /// ```
    /// let signals = ipcx::Semaphore::anonymous(&ipcx::SemaphoreOptions { initial: Some(0), ..Default::default() })?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| signals.release());
    ///     signals.consume()
    /// })?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn consume(&self) -> Result<()> {
        self.consume_until(Deadline::NEVER)
    }

    /// Gives back a permit that this handle holds (one whose guard was [kept](Permit::keep)); if it holds none, makes one more.
    /// Wakes one who waits.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// semaphore.acquire()?.keep();
    /// semaphore.release()?;
    /// assert!(semaphore.release().is_err(), "the limit is 1");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this handle holds none and the limit is reached: nothing changes. `Forked`. Makes no allocation.
    pub fn release(&self) -> Result<()> {
        self.stock.segment.check_not_inherited()?;
        if self.hold_one_less() {
            return self.give_back(BlockId::from_raw(0));
        }
        if self.stock.store.supply() {
            return Ok(());
        }
        Err(Error::invalid(
            "this handle holds no permit of the semaphore, and there are as many as its limit says",
        ))
    }

    /// As [`Semaphore::release`]; but where this handle holds no permit and another does, gives back the other's, which then
    /// holds one less. Only if nobody holds any, makes one more. For a semaphore on whose permits nobody calls `consume`.
    ///
    /// ```
    /// # use ipcx::{Semaphore, SemaphoreOptions};
    /// let semaphore = Semaphore::anonymous(&SemaphoreOptions { limit: 1, ..Default::default() })?;
    /// # use std::os::fd::AsFd;
    /// let other = Semaphore::from_fd(semaphore.share_fd()?.as_fd())?;
    /// semaphore.acquire()?.keep();
    /// other.release_any()?; // As another process may release a lock of multiprocessing.
    /// assert_eq!(semaphore.value()?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if nobody holds a permit and the limit is reached: nothing changes. `Forked`. Makes no allocation.
    pub fn release_any(&self) -> Result<()> {
        self.stock.segment.check_not_inherited()?;
        let store = &self.stock.store;
        self.hold_one_less(); // What others gave back may be counted there still: the cells decide.
        let own = store.find_owned(self.last.load(Ordering::Relaxed));
        if own.is_some_and(|id| store.give(id, thread::current())) || store.give_another() || store.supply() {
            return Ok(());
        }
        Err(Error::invalid("nobody holds a permit of the semaphore, and there are as many as its limit says"))
    }

    /// Uses up what this handle holds: it does not come back when the handle is closed or its process dies.
    ///
    /// # Errors
    /// `Forked`.
    #[doc(hidden)]
    pub fn use_up_held(&self) -> Result<()> {
        self.stock.segment.check_not_inherited()?;
        while self.hold_one_less() {}
        let store = &self.stock.store;
        // As many as there can be.
        for id in (0..self.limit()).map_while(|_| store.find_owned(0)) {
            store.use_up(id);
        }
        Ok(())
    }

    /// Permits that can be acquired, as of now. Takes time in proportion to the limit.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&ipcx::SemaphoreOptions { limit: 4, ..Default::default() })?;
    /// let permit = semaphore.acquire()?;
    /// assert_eq!(semaphore.value()?, 3);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`.
    pub fn value(&self) -> Result<u64> {
        self.stock.segment.check_not_inherited()?;
        let free = |state| matches!(state, Some(State::Free | State::Cached));
        Ok(self.stock.store.cells().filter(|cell| free(cell.state())).count() as u64)
    }

    /// Gives back what dead participants held; says how many permits. An acquire that finds nothing does this by
    /// itself, but looks for the dead at most every 50 ms where it does not wait. This call looks at once.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// assert_eq!(semaphore.recover()?, 0); // nobody has died
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn recover(&self) -> Result<u64> {
        self.stock.segment.check_not_inherited()?;
        self.stock.bury(&self.stock.segment.leases().turn()).map(u64::from)
    }

    /// A descriptor that is readable while a permit can be acquired, as of this handle's last acquire. Level-triggered; do not
    /// read it, do not close it; it lives as long as the handle. Where others acquire too, a permit may be gone when you
    /// come: use [`Semaphore::try_acquire`], which arms it again.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// let mut poll = libc::pollfd { fd: semaphore.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// let permit = semaphore.try_acquire()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the semaphore has a permit to acquire, as for the descriptor, and
    /// once now if it has; `None` ends that. The signal's value (`si_value`) is this handle's slot. Acquire until that would
    /// block: only then does the next one queue a signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// semaphore.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(semaphore.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// semaphore.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&self, signal: Option<i32>) -> Result<()> {
        self.watcher()?.signal(signal.unwrap_or(0), self.stock.segment.leases().slot())
    }

    fn watcher(&self) -> Result<&Watcher> {
        self.stock.segment.check_not_inherited()?;
        let watched = || Arc::clone(&self.stock) as Arc<dyn Watched>;
        let (watcher, first) = self.watcher.start(self.stock.segment.name(), watched)?;
        if first {
            self.after(true); // as things are
        }
        Ok(watcher)
    }

    /// Keeps the descriptor true, if there is one, after an acquire. One that failed arms it in any case: what came since is for
    /// the watcher to tell of.
    #[inline(always)]
    fn after(&self, acquired: bool) {
        if let Some(watcher) = self.watcher.get() {
            watcher.update(acquired && self.stock.has_free(), 0);
        }
    }

    fn take_to_hold(&self, deadline: Deadline) -> Result<BlockId> {
        let taken = self.take(deadline);
        if taken.is_ok() {
            self.held.fetch_add(1, Ordering::Relaxed); // Relaxed, as all of it: the cells tell of who owns what.
        }
        taken
    }

    /// False if the user of this handle holds none.
    fn hold_one_less(&self) -> bool {
        let mut held = self.held.load(Ordering::Relaxed);
        while held > 0 {
            match self.held.compare_exchange(held, held - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => held = now,
            }
        }
        false
    }

    /// Gives a permit back that is not held any more: this one, or another of the handle's.
    fn give_back(&self, id: BlockId) -> Result<()> {
        self.with_owned(id, |id| self.stock.store.give(id, thread::current()))
    }

    /// Does this with a permit of the handle's: the one with this id, or, if another thread has taken that for its own, another.
    fn with_owned(&self, id: BlockId, work: impl Fn(BlockId) -> bool) -> Result<()> {
        if work(id) {
            return Ok(());
        }
        for _ in 0..TRIES {
            match self.stock.store.find_owned(self.last.load(Ordering::Relaxed)) {
                Some(id) if work(id) => return Ok(()),
                _ => std::hint::spin_loop(), // Others are at it.
            }
        }
        Err(self.not_ours())
    }

    fn take(&self, deadline: Deadline) -> Result<BlockId> {
        let taken = self.stock.acquire(deadline);
        if let Some(number) = taken.as_ref().ok().and_then(|id| id.number()) {
            self.last.store(number, Ordering::Relaxed); // Relaxed: a hint.
        }
        self.after(taken.is_ok());
        taken
    }

    #[cold]
    fn not_ours(&self) -> Error {
        Error::Corrupt(self.stock.segment.context("a permit that this handle holds is somebody else's"))
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.stock.segment.name()
    }

    /// Most permits there can be.
    pub fn limit(&self) -> u64 {
        self.stock.segment.parameters()[LIMIT]
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.stock.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.stock.segment.wait_strategy()
    }

    /// What can be seen from outside, without stopping anybody: permits that change hands meanwhile count once, somewhere.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&ipcx::SemaphoreOptions { limit: 4, ..Default::default() })?;
    /// let permit = semaphore.acquire()?;
    /// assert_eq!(semaphore.stats()?.value, 3);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn stats(&self) -> Result<SemaphoreStats> {
        let (stock, value) = (&self.stock, self.value()?);
        let leases = stock.segment.leases();
        let mut held = vec![0; leases.participants() as usize];
        for cell in stock.store.cells().filter(|cell| cell.state() == Some(State::Owned)) {
            if let Some(count) = held.get_mut(cell.who() as usize) {
                *count += 1;
            }
        }
        let holders = held.into_iter().zip(0..).filter(|(count, _)| *count > 0);
        let holders = holders
            .map(|(count, slot)| leases.is_alive(slot).map(|alive| (leases.participant(slot), alive, count)));
        Ok(SemaphoreStats { limit: self.limit(), value, holders: holders.collect::<Result<_>>()? })
    }
}

/// A permit, given back when dropped.
///
/// ```
/// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
/// let permit = semaphore.acquire()?;
/// assert_eq!(semaphore.value()?, 0);
/// drop(permit);
/// assert_eq!(semaphore.value()?, 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit<'s> {
    semaphore: &'s Semaphore,
    id: BlockId,
}

impl Permit<'_> {
    /// Gives it back.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// semaphore.acquire()?.release();
    /// assert_eq!(semaphore.value()?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn release(self) {}

    /// Keeps it held by the handle, for [`Semaphore::release`]; otherwise until the handle is dropped.
    ///
    /// ```
    /// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
    /// semaphore.acquire()?.keep();
    /// assert_eq!(semaphore.value()?, 0); // still held, by the handle
    /// semaphore.release()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // In a forked child, the parent has it.
        if !self.semaphore.stock.segment.is_inherited() && self.semaphore.hold_one_less() {
            let _ = self.semaphore.give_back(self.id);
        }
    }
}

/// Figures of a semaphore.
///
/// ```
/// let semaphore = ipcx::Semaphore::anonymous(&Default::default())?;
/// let permit = semaphore.acquire()?;
/// let (process, alive, permits) = semaphore.stats()?.holders.remove(0);
/// assert_eq!((process.unwrap().pid, alive, permits), (std::process::id(), true, 1));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStats {
    /// Most permits there can be.
    pub limit: u64,
    /// Permits that can be acquired.
    pub value: u64,
    /// Who holds permits: the process, if it says which it is; false if it died, and then they come back with the next
    /// [`Semaphore::recover`], or when an acquire finds nothing else; and how many.
    pub holders: Vec<(Option<Participant>, bool, u64)>,
}

impl Waitable for &Semaphore {}

impl Sleeping for &Semaphore {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        self.stock.is_ready(now)
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        self.stock.announce()
    }

    fn withdraw(&mut self) {}

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher()?;
        self.after(false); // so that it is raised for what is there now
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        self.stock.segment.is_inherited()
    }
}
