//! The handle on a buffer: opening, reading, writing, waiting for a version.

use super::guard::BufferGuard;
use super::layout::{body_size, CAPACITY, LARGEST, LAYOUT};
use super::memory::Mapped;
use super::protocol::{announce, begin, commit, look, nap_for_version, version, Look, Memory, Next};
use crate::error::{Error, Result};
use crate::event::Kernel;
use crate::lease::Participant;
use crate::mutex::{Locked, Mutex};
use crate::owner::{self, Heir, Owner};
use crate::segment::{Backing, Format, Kind, Parameters, Segment, SegmentOptions};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::thread;
use crate::wait::{Deadline, WaitStrategy, SLICE};
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub(crate) const FORMAT: Format = Format {
    kind: Kind::Buffer,
    layout: LAYOUT,
    body_size,
    round: |parameters, _| parameters,
    names: &["capacity"],
};
/// Why a read gives nothing.
const OVERTAKEN: &str = "the buffer's value changes faster than it can be read";
const DEFAULT_CAPACITY: u64 = 4096;
/// How often a reader that writers overtake looks again before it keeps them out.
const LOOKS: usize = 64;
/// And how long it waits for that, in nanoseconds.
const PATIENCE: u64 = 2 * SLICE;

/// Options of a buffer. Start from the defaults: `BufferOptions { capacity: 64, ..Default::default() }`.
///
/// ```
/// let options = ipcx::BufferOptions { capacity: 64, ..Default::default() };
/// assert_eq!(ipcx::Buffer::anonymous(&options)?.capacity(), options.capacity as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BufferOptions {
    /// Bytes that a value has at most; 0 means 4096. A buffer that exists must have the same, unless 0 is given.
    pub capacity: u64,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl BufferOptions {
    fn parameters(&self) -> Result<Parameters> {
        if self.capacity > LARGEST {
            return Err(Error::invalid(format!(
                "a buffer's capacity is at most {LARGEST} bytes; {} were asked for",
                self.capacity
            )));
        }
        if self.segment.backing != Backing::Directory {
            return Err(Error::invalid("only the blocks of a pool can be in System V shared memory"));
        }
        let mut parameters = self.wanted();
        if self.capacity == 0 {
            parameters[CAPACITY] = DEFAULT_CAPACITY;
        }
        Ok(parameters)
    }

    /// What a buffer that exists must have; 0 stands for anything.
    fn wanted(&self) -> Parameters {
        let mut parameters = Parameters::default();
        parameters[CAPACITY] = self.capacity;
        parameters
    }
}

/// A value in shared memory: the current price, the current map. One process writes at a time, any number read, and wait for
/// the next version.
///
/// Readers take no lock and never see half a value: a writer fills a second copy, and commits it by one store. A writer that
/// dies half-way leaves the old value. Its lock goes to the next one, who can ask whether that happened
/// ([`BufferGuard::recovered`]).
///
/// The handle may be shared between threads. The lock excludes threads of one process as well as processes; it belongs to the
/// thread that took it. Dropping the handle does not remove the name ([`unlink`](crate::unlink) does).
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-buffer-{}", std::process::id());
/// let price = ipcx::Buffer::create(&name, &ipcx::BufferOptions { capacity: 64, ..Default::default() })?;
/// let version = price.write(b"1234.50")?;
///
/// let mut bytes = [0; 64];
/// assert_eq!(price.read(&mut bytes)?, (7, version));
/// assert_eq!(&bytes[..7], b"1234.50");
/// # ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Buffer {
    watcher: OnDemand, // before what its thread keeps: fields are dropped in order
    pub(super) core: Arc<Core>,
}

/// What the handle keeps, and its watcher knows.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) memory: Mapped,
    pub(super) held: Held,
    /// When it was last asked whether the mutex's owner lives; 0 before.
    asked: AtomicU64,
    /// Version that this handle last gave to its user.
    seen: AtomicU64,
    pub(super) segment: Segment,
}

/// The lock, while a thread of this handle has it. All but `thread` is touched by that thread only, hence relaxed.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The thread that has it; 0 if none does.
    pub(super) thread: AtomicU64,
    /// The version that it fills.
    pub(super) next: AtomicU64,
    /// Bytes that the value had.
    pub(super) len: AtomicU64,
    /// 1 if the owner before died.
    pub(super) abandoned: AtomicU64,
}

impl Buffer {
    fn of(segment: Segment) -> Result<Buffer> {
        let memory = Mapped::new(&segment)?;
        segment.leases().succeed(|slot| memory.control().mutex.bury(slot, memory.kernel()));
        let core = Core {
            memory,
            held: Held::default(),
            asked: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            segment,
        };
        Ok(Buffer { watcher: OnDemand::default(), core: Arc::new(core) })
    }

    /// Creates a buffer that must be new. Its value is empty, and of version 0.
    ///
    /// ```
    /// # let name = format!("doc-buffer-create-{}", std::process::id());
    /// let options = ipcx::BufferOptions { capacity: 64, ..Default::default() };
    /// let buffer = ipcx::Buffer::create(&name, &options)?;
    /// assert!(matches!(ipcx::Buffer::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &BufferOptions) -> Result<Buffer> {
        let parameters = options.parameters()?;
        Segment::create(name, &options.segment, FORMAT, parameters, &mut |_| Ok(())).and_then(Buffer::of)
    }

    /// Attaches to a buffer, or creates it if there is none.
    ///
    /// ```
    /// # let name = format!("doc-buffer-open-{}", std::process::id());
    /// let options = ipcx::BufferOptions { capacity: 64, ..Default::default() };
    /// let first = ipcx::Buffer::open(&name, &options)?; // makes it
    /// let second = ipcx::Buffer::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.capacity(), second.capacity());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Buffer::create`] (less `Exists`) and of [`Buffer::attach_with`].
    pub fn open(name: &str, options: &BufferOptions) -> Result<Buffer> {
        let (parameters, wanted) = (options.parameters()?, options.wanted());
        Segment::open(name, &options.segment, FORMAT, parameters, &wanted, &mut |_| Ok(()))
            .and_then(Buffer::of)
    }

    /// Attaches to a buffer that must exist.
    ///
    /// ```
    /// # let name = format!("doc-buffer-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Buffer::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Buffer::create(&name, &Default::default())?;
    /// assert_eq!(ipcx::Buffer::attach(&name)?.capacity(), made.capacity());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Buffer> {
        Buffer::attach_with(name, &BufferOptions::default())
    }

    /// As [`Buffer::attach`], in the directory that the options name, and only if the buffer agrees with the capacity, the
    /// schema and the number of participants they give.
    ///
    /// ```
    /// # let name = format!("doc-buffer-attach-with-{}", std::process::id());
    /// let made = ipcx::Buffer::create(&name, &ipcx::BufferOptions { capacity: 64, ..Default::default() })?;
    /// let other = ipcx::BufferOptions { capacity: 128, ..Default::default() };
    /// assert!(matches!(ipcx::Buffer::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Buffer::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &BufferOptions) -> Result<Buffer> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()).and_then(Buffer::of)
    }

    /// Creates a buffer without a name, in a memfd sealed against resizing. Hand [`Buffer::share_fd`] to another process, by
    /// inheritance or `SCM_RIGHTS`, which attaches with [`Buffer::from_fd`].
    ///
    /// ```
    /// let buffer = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert_eq!(buffer.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &BufferOptions) -> Result<Buffer> {
        Segment::anonymous(&options.segment, FORMAT, options.parameters()?).and_then(Buffer::of)
    }

    /// Attaches to the buffer behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of an
    /// anonymous buffer, or belongs to somebody from whom [`Buffer::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Buffer::anonymous(&Default::default())?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Buffer::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.capacity(), ours.capacity());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Buffer::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Buffer> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).and_then(Buffer::of)
    }

    /// A new descriptor of the buffer to hand to another process; closed on exec until you say otherwise. It keeps the
    /// memory, but no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Buffer::anonymous(&Default::default())?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Buffer::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
    /// };
    /// assert_eq!(theirs.capacity(), ours.capacity());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn share_fd(&self) -> Result<OwnedFd> {
        self.core.segment.share_fd()
    }

    /// Makes `data` the value, unless somebody else has the lock; says which version it is.
    ///
    /// Makes no allocation, and is async-signal-safe.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert_eq!(price.try_write(b"1234.50")?, 1);
    /// let guard = price.lock()?;
    /// assert!(price.try_write(b"1234.51").is_err(), "this thread has the lock");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if a living process or another thread has the lock, `TooBig`, `Invalid` if this thread has it, `Forked`,
    /// `Corrupt`.
    pub fn try_write(&self, data: &[u8]) -> Result<u64> {
        self.write_until(data, Deadline::NOW)
    }

    /// As [`Buffer::write`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert_eq!(price.write_timeout(b"1234.50", std::time::Duration::from_secs(1))?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::write_until`].
    pub fn write_timeout(&self, data: &[u8], timeout: Duration) -> Result<u64> {
        self.write_until(data, Deadline::within(timeout))
    }

    /// Makes `data` the value, waiting for the lock as long as it takes; says which version it is.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// price.write(b"1234.50")?;
    /// assert_eq!(price.write(b"1234.51")?, 2);
    /// assert_eq!(price.read_vec()?, (b"1234.51".to_vec(), 2));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::write_until`], less `WouldBlock` and `TimedOut`.
    pub fn write(&self, data: &[u8]) -> Result<u64> {
        self.write_until(data, Deadline::NEVER)
    }

    /// What the three calls above do: makes `data` the value, and wakes who waits for one; says which version it is. Waits for
    /// the lock until `deadline`.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1));
    /// assert_eq!(price.write_until(b"1234.50", deadline)?, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Buffer::try_write`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept. The value is then as it
    /// was.
    #[inline]
    pub fn write_until(&self, data: &[u8], deadline: Deadline) -> Result<u64> {
        let core = &*self.core;
        if data.len() > core.memory.capacity() {
            return Err(Error::TooBig { needed: data.len(), available: core.memory.capacity() });
        }
        let locked = core.acquire(deadline)?;
        let next = begin(&core.memory);
        core.memory.write(next.copy(), data);
        core.commit_and_unlock(next, data.len(), Some(locked)); // Who writes cannot ask whether an owner died.
        Ok(next.0)
    }

    /// Copies the value to `buffer`; says how many bytes, and of which version they are. Version 0 is that of a buffer
    /// into which nothing was written; it is empty.
    ///
    /// Takes no lock, except where writers follow each other so fast that none of many looks found the value unchanged. Makes no
    /// allocation, and is async-signal-safe.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// let mut bytes = [0; 64];
    /// assert_eq!(price.read(&mut bytes)?, (0, 0)); // nothing was written
    /// price.write(b"1234.50")?;
    /// let (len, version) = price.read(&mut bytes)?;
    /// assert_eq!((&bytes[..len], version), (&b"1234.50"[..], 1));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if it does not fit, and `needed` says its length; `WouldBlock` if writers are too fast and do not let it in for
    /// 100 ms; `Forked`, `Corrupt`.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> Result<(usize, u64)> {
        let core = &*self.core;
        let (len, version) = match look(&core.memory, buffer) {
            Look::Whole(len, version) if !core.segment.is_inherited() => (len, version),
            _ => core.read_the_long_way(buffer)?,
        };
        self.note(version);
        Ok((len, version))
    }

    /// A copy of the value, and its version.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// price.write(b"1234.50")?;
    /// assert_eq!(price.read_vec()?, (b"1234.50".to_vec(), 1));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::read`], less `TooBig`.
    pub fn read_vec(&self) -> Result<(Vec<u8>, u64)> {
        let mut bytes = vec![0; self.len()?];
        loop {
            match self.read(&mut bytes) {
                Ok((len, version)) => {
                    bytes.truncate(len);
                    return Ok((bytes, version));
                }
                // At most the capacity: this ends.
                Err(Error::TooBig { needed, .. }) if needed > bytes.len() => bytes.resize(needed, 0),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a typed value the value; see [`Buffer::write`]. A type of your own derives what this needs:
    ///
    /// ```
    /// use ipcx::zerocopy::{FromBytes, Immutable, IntoBytes};
    ///
    /// #[derive(FromBytes, IntoBytes, Immutable)]
    /// #[zerocopy(crate = "ipcx::zerocopy")]
    /// #[repr(C)]
    /// struct Price {
    ///     cents: u64,
    ///     volume: u64,
    /// }
    ///
    /// # fn main() -> ipcx::Result<()> {
    /// let buffer = ipcx::Buffer::anonymous(&Default::default())?;
    /// buffer.write_value(&Price { cents: 123_450, volume: 7 })?;
    /// let (price, version) = buffer.read_value::<Price>()?.expect("something was written");
    /// assert_eq!((price.cents, version), (123_450, 1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn write_value<T: IntoBytes + Immutable>(&self, value: &T) -> Result<u64> {
        self.write(value.as_bytes())
    }

    /// The value as a type, and its version; `None` if nothing was written yet. See [`Buffer::write_value`] for types of your own.
    ///
    /// ```
    /// let count = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert_eq!(count.read_value::<u64>()?, None); // nothing was written
    /// count.write_value(&7u64)?;
    /// assert_eq!(count.read_value::<u64>()?, Some((7, 1)));
    /// assert!(matches!(count.read_value::<u32>(), Err(ipcx::Error::Mismatch(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::read`]; `Mismatch` if it has another size.
    pub fn read_value<T: FromBytes + IntoBytes>(&self) -> Result<Option<(T, u64)>> {
        let mut value = T::new_zeroed();
        let mismatch = |len: usize| {
            let size = size_of::<T>();
            Error::Mismatch(self.core.segment.context(format!("the value has {len} bytes, its type {size}")))
        };
        match self.read(value.as_mut_bytes()) {
            Ok((_, 0)) => Ok(None),
            Ok((len, version)) if len == size_of::<T>() => Ok(Some((value, version))),
            Ok((len, _)) | Err(Error::TooBig { needed: len, .. }) => Err(mismatch(len)),
            Err(error) => Err(error),
        }
    }

    /// How many writes were committed: the version of the value, as of now.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert_eq!(price.version(), 0);
    /// price.write(b"1234.50")?;
    /// assert_eq!(price.version(), 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn version(&self) -> u64 {
        version(&self.core.memory)
    }

    /// Takes the lock, unless somebody else has it.
    ///
    /// ```
    /// let count = ipcx::Buffer::anonymous(&Default::default())?;
    /// let guard = count.try_lock()?;
    /// std::thread::scope(|scope| {
    ///     let other = scope.spawn(|| matches!(count.try_lock(), Err(ipcx::Error::WouldBlock(_))));
    ///     assert!(other.join().unwrap());
    /// });
    /// guard.commit()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::try_write`], less `TooBig`.
    pub fn try_lock(&self) -> Result<BufferGuard<'_>> {
        self.lock_until(Deadline::NOW)
    }

    /// As [`Buffer::lock`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let count = ipcx::Buffer::anonymous(&Default::default())?;
    /// let guard = count.lock_timeout(std::time::Duration::from_secs(1))?;
    /// assert!(!guard.recovered(), "nobody died with the lock");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::lock_until`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<BufferGuard<'_>> {
        self.lock_until(Deadline::within(timeout))
    }

    /// Takes the lock, waiting for it as long as it takes.
    ///
    /// ```
    /// let text = ipcx::Buffer::anonymous(&Default::default())?;
    /// text.write(b"hello")?;
    /// let mut guard = text.lock()?;
    /// guard.write_at(0, b"J")?;
    /// guard.commit()?;
    /// assert_eq!(text.read_vec()?, (b"Jello".to_vec(), 2));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::lock_until`], less `WouldBlock` and `TimedOut`.
    pub fn lock(&self) -> Result<BufferGuard<'_>> {
        self.lock_until(Deadline::NEVER)
    }

    /// What the three calls above do: takes the lock, to change the value in place, and to use the condition. Copies the
    /// value, so that readers have the old one until [`BufferGuard::commit`].
    ///
    /// ```
    /// let count = ipcx::Buffer::anonymous(&Default::default())?;
    /// let guard = count.lock_until(ipcx::Deadline::after(std::time::Duration::from_secs(1)))?;
    /// guard.abandon(); // changes nothing
    /// assert_eq!(count.version(), 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::write_until`], less `TooBig`.
    pub fn lock_until(&self, deadline: Deadline) -> Result<BufferGuard<'_>> {
        self.lock_raw(deadline).map(|()| BufferGuard::of(self))
    }

    /// A descriptor that is readable while the version is another than this handle last gave its user, by a read or a wait.
    /// Level-triggered; do not read it, do not close it; it lives as long as the handle.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let buffer = ipcx::Buffer::anonymous(&Default::default())?;
    /// buffer.write(b"hello")?;
    /// let mut poll = libc::pollfd { fd: buffer.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// assert_eq!(buffer.read(&mut [0; 64])?, (5, 1));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the buffer has a version that this handle's user does not know, as for
    /// the descriptor, and once now if it has; `None` ends that. The signal's value (`si_value`) is this handle's slot. Read the
    /// value, or wait for a version: only then does the next one queue a signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let buffer = ipcx::Buffer::anonymous(&Default::default())?;
    /// buffer.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(buffer.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// buffer.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&self, signal: Option<i32>) -> Result<()> {
        let slot = self.core.segment.leases().slot();
        self.watcher()?.signal(signal.unwrap_or(0), slot)
    }

    pub(super) fn watcher(&self) -> Result<&Watcher> {
        let core = &self.core;
        core.segment.check_not_inherited()?;
        let watched = || Arc::clone(core) as Arc<dyn Watched>;
        let (watcher, first) = self.watcher.start(core.segment.name(), watched)?;
        if first {
            let seen = core.seen.load(Ordering::Relaxed);
            watcher.update(self.version() != seen, seen); // as things are
        }
        Ok(watcher)
    }

    /// The user of this handle knows of this version.
    #[inline]
    pub(super) fn note(&self, version: u64) {
        self.core.seen.store(version, Ordering::Relaxed); // Relaxed: what a watcher begins with.
        if let Some(watcher) = self.watcher.get() {
            // Not asked whether there is another by now: that is for the watcher to tell of.
            watcher.update(false, version);
        }
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.core.segment.name()
    }

    /// Bytes that a value has at most.
    pub fn capacity(&self) -> usize {
        self.core.memory.capacity()
    }

    /// Bytes that the value has, as of now.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// price.write(b"1234.50")?;
    /// assert_eq!((price.len()?, price.capacity()), (7, 4096));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::read`], less `TooBig`.
    pub fn len(&self) -> Result<usize> {
        match self.core.read_the_long_way(&mut []) {
            Ok((len, _)) | Err(Error::TooBig { needed: len, .. }) => Ok(len),
            Err(error) => Err(error),
        }
    }

    /// True if the value is empty, as of now.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// assert!(price.is_empty()?);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::len`].
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.core.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.core.segment.wait_strategy()
    }

    /// What can be seen from outside, without stopping anybody.
    ///
    /// ```
    /// let price = ipcx::Buffer::anonymous(&Default::default())?;
    /// price.write(b"1234.50")?;
    /// assert_eq!(price.stats()?.version, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buffer::len`].
    pub fn stats(&self) -> Result<BufferStats> {
        let owner = self.core.memory.control().mutex.owner();
        Ok(BufferStats {
            capacity: self.capacity() as u64,
            len: self.len()? as u64,
            version: self.version(),
            locked: owner.is_some(),
            owner: owner.and_then(|slot| self.core.segment.leases().participant(slot)),
        })
    }
}

impl Core {
    fn slot(&self) -> u32 {
        self.segment.leases().slot()
    }

    /// Takes the mutex.
    #[inline]
    pub(super) fn acquire(&self, deadline: Deadline) -> Result<Locked> {
        if !self.segment.is_inherited() {
            if let Some(locked) = self.memory.control().mutex.try_lock(self.slot()) {
                return Ok(locked);
            }
        }
        self.acquire_the_long_way(deadline)
    }

    #[cold]
    #[inline(never)]
    fn acquire_the_long_way(&self, deadline: Deadline) -> Result<Locked> {
        self.segment.check_not_inherited()?;
        if self.held.thread.load(Ordering::Relaxed) == thread::number() {
            return Err(Error::invalid("this thread has the buffer's lock already; unlock it first"));
        }
        owner::acquire(self, deadline)
    }

    /// Makes what was filled in the value.
    #[inline]
    pub(super) fn commit_and_unlock(&self, next: Next, len: usize, mark: Option<Locked>) {
        commit(&self.memory, next, len);
        self.memory.control().mutex.unlock(mark, self.memory.kernel());
        announce(&self.memory); // Nobody waits for the lock while others are woken.
    }

    #[cold]
    #[inline(never)]
    fn read_the_long_way(&self, buffer: &mut [u8]) -> Result<(usize, u64)> {
        self.segment.check_not_inherited()?;
        let mut seen = look(&self.memory, buffer);
        for _ in 0..LOOKS {
            if seen != Look::Overtaken {
                break;
            }
            std::hint::spin_loop();
            seen = look(&self.memory, buffer);
        }
        if seen == Look::Overtaken {
            let patience = Deadline::within(Duration::from_nanos(PATIENCE));
            let ours = self.held.thread.load(Ordering::Relaxed) == thread::number();
            let locked = if ours { None } else { Some(self.acquire(patience)) };
            seen = match locked {
                Some(Err(Error::TimedOut(_) | Error::Interrupted)) => {
                    return Err(Error::WouldBlock(OVERTAKEN))
                }
                Some(Err(error)) => return Err(error),
                // Nobody who keeps to the protocol writes now.
                Some(Ok(_)) | None => look(&self.memory, buffer),
            };
            if let Some(Ok(locked)) = locked {
                self.memory.control().mutex.unlock(Some(locked), self.memory.kernel());
            }
        }
        match seen {
            Look::Whole(len, version) => Ok((len, version)),
            Look::TooBig(needed) => Err(Error::TooBig { needed, available: buffer.len() }),
            Look::BadLength => Err(self.corrupt("the value's length is larger than the buffer's capacity")),
            Look::Overtaken => Err(self.corrupt("the versions of its two copies do not fit together")),
        }
    }

    #[cold]
    pub(super) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt(self.segment.context(what))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if !self.segment.is_inherited() && self.memory.control().mutex.owner() == Some(self.slot()) {
            self.memory.control().mutex.unlock(None, self.memory.kernel());
        }
    }
}

impl Owner for Core {
    const LOCKED: &'static str = "another has the buffer's lock";

    fn mutex(&self) -> &Mutex {
        &self.memory.control().mutex
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
        self.mutex().bury(slot, self.kernel());
    }
}

/// A watcher waits for a version.
impl Watched for Core {
    fn ready(&self, target: u64) -> bool {
        version(&self.memory) != target
    }

    fn nap(&self, target: u64, until: u64) {
        nap_for_version(&self.memory, target, until);
    }

    fn peer_is_gone(&self) -> bool {
        false
    }

    fn wake(&self, _target: u64) {
        announce(&self.memory);
    }
}

/// Figures of a buffer.
///
/// ```
/// let price = ipcx::Buffer::anonymous(&Default::default())?;
/// price.write(b"1234.50")?;
/// let stats = price.stats()?;
/// assert_eq!((stats.capacity, stats.len, stats.version), (4096, 7, 1));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferStats {
    /// Bytes that a value has at most.
    pub capacity: u64,
    /// Bytes that the value has.
    pub len: u64,
    /// How many writes were committed.
    pub version: u64,
    /// Somebody has the lock, or died having it.
    pub locked: bool,
    /// Who that is, if it says so.
    pub owner: Option<Participant>,
}
