//! The handle on a pool: opening, acquiring, recovery, statistics.

use super::block::Block;
use super::layout::{body_size, BlockId, Parts, ALIGNMENT, BLOCKS, BLOCK_SIZE, LAYOUT, MOST_BLOCKS};
use super::memory::Mapped;
use super::on_demand::Obtained;
use super::protocol::{Memory, Store};
use super::stock::Stock;
use crate::any::{Sleeping, Waitable};
use crate::error::{Error, Result};
use crate::segment::{
    Backing, Created, Format, Kind, Parameters, Segment, SegmentOptions, BACKING, KEY, ON_DEMAND, SYSTEM_V,
};
use crate::slots::Slots;
use crate::wait::{Deadline, WaitStrategy};
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const FORMAT: Format = Format {
    kind: Kind::Pool,
    layout: LAYOUT,
    body_size,
    round: |parameters, _| parameters,
    names: &["block_size", "blocks", "alignment"],
};
const DEFAULT_BLOCKS: u64 = 64;
const DEFAULT_ALIGNMENT: u64 = 64;

/// Options of a pool. Start from the defaults: `PoolOptions { block_size: 4096, ..Default::default() }`.
///
/// ```
/// let options = ipcx::PoolOptions { block_size: 4096, ..Default::default() };
/// assert_eq!(ipcx::Pool::anonymous(&options)?.block_size(), options.block_size as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolOptions {
    /// Bytes of a block. A new pool needs it; one that exists must have the same, unless 0 is given.
    /// [`Pool::open`] with 0 attaches, and makes none.
    pub block_size: u64,
    /// How many blocks; 0 means 64. One that exists must have as many, unless 0 is given.
    pub blocks: u64,
    /// What the address of each block is a multiple of: a power of two from 64 to the page size; 0 means 64. One that exists
    /// must have the same, unless 0 is given.
    pub alignment: u64,
    /// Obtain the memory of a block when it is used ([`Pool::obtain`]), not when the pool is made: for blocks that are far larger
    /// than what is mostly put into them. They are rounded up to whole pages, and aligned to them.
    pub on_demand: bool,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl PoolOptions {
    fn parameters(&self) -> Result<Parameters> {
        if self.block_size == 0 {
            return Err(Error::invalid("a new pool needs a block_size of at least 1; attach does not"));
        }
        if self.blocks > MOST_BLOCKS {
            return Err(Error::invalid(format!(
                "a pool has at most {MOST_BLOCKS} blocks; {} were asked for",
                self.blocks
            )));
        }
        let or = |asked, default| if asked == 0 { default } else { asked };
        let mut parameters = self.wanted();
        parameters[BLOCKS] = or(self.blocks, DEFAULT_BLOCKS);
        parameters[ALIGNMENT] = or(self.alignment, DEFAULT_ALIGNMENT);
        if let Backing::SystemV { key } = self.segment.backing {
            if key == 0 {
                return Err(Error::invalid("a System V key is not 0, which is IPC_PRIVATE"));
            }
            (parameters[BACKING], parameters[KEY]) = (SYSTEM_V, u64::from(key as u32));
        }
        let page = crate::sys::map::page_size() as u64;
        if self.on_demand {
            if parameters[BACKING] == SYSTEM_V {
                return Err(Error::invalid("System V shared memory is obtained at once, not on demand"));
            }
            let too_large = || Error::invalid("the blocks of the pool are too large, or too many");
            parameters[ALIGNMENT] = page;
            let stride = self.block_size.checked_next_multiple_of(page).ok_or_else(too_large)?;
            parameters[BLOCK_SIZE] = stride;
            parameters[ON_DEMAND] = stride.checked_mul(parameters[BLOCKS]).ok_or_else(too_large)?;
        }
        if !parameters[ALIGNMENT].is_power_of_two() || !(64..=page).contains(&parameters[ALIGNMENT]) {
            return Err(Error::invalid(format!(
                "an alignment is a power of two from 64 to {page}; {} was given",
                self.alignment
            )));
        }
        Ok(parameters)
    }

    /// What a pool that exists must have; 0 stands for anything.
    fn wanted(&self) -> Parameters {
        let mut parameters = Parameters::default();
        parameters[BLOCK_SIZE] = self.block_size;
        parameters[BLOCKS] = self.blocks;
        parameters[ALIGNMENT] = self.alignment;
        parameters
    }
}

/// Blocks of one size in shared memory, that processes acquire, fill, hand to each other without a copy, and release.
///
/// Whoever acquires a block owns it, until it releases it or sends it through a ring
/// ([`Producer::send_block`](crate::Producer::send_block)). If the process dies, what it owned comes back; what it had sent
/// stays with the ring that carries it.
///
/// The handle may be shared between threads. It keeps a few blocks ready for the thread that used it first; a
/// thread that wants the same opens a handle of its own. What a handle owns when it is dropped goes back to the pool. Dropping
/// does not remove the name ([`unlink`](crate::unlink) does).
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-pool-{}", std::process::id());
/// let pool = ipcx::Pool::create(&name, &ipcx::PoolOptions { block_size: 4096, blocks: 8, ..Default::default() })?;
/// let mut block = pool.acquire()?;
/// block.write_at(0, b"a frame")?;
/// assert_eq!(pool.stats()?.owned, 1);
/// block.release();
/// # ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    watcher: OnDemand, // before what its thread keeps: fields are dropped in order
    pub(crate) stock: Arc<Stock>,
    pub(super) obtained: Obtained,
}

/// What is made of a pool before it has its name: everything that can fail.
#[derive(Default)]
struct Made {
    /// For which segment.
    key: u64,
    memory: Option<Mapped>,
    outside: Option<Created>,
}

impl Made {
    /// For [`Segment::create`] to call.
    fn prepare(&mut self, segment: &Segment) -> Result<()> {
        *self = Made::default(); // Of an attempt before.
        let participants = segment.leases().participants();
        let parts = Parts::of(segment.parameters(), participants, segment.page() as u64);
        if let Some(size) = parts.and_then(|parts| parts.outside) {
            self.outside = Some(segment.create_outside(size)?);
        }
        (self.key, self.memory) = (segment.key(), Some(Mapped::new(segment)?));
        Ok(())
    }

    /// The segment has its name: this one, or another that was there before.
    fn finish(self, segment: Segment) -> Result<Pool> {
        match self.memory.filter(|_| self.key == segment.key()) {
            Some(memory) => {
                self.outside.into_iter().for_each(Created::keep);
                Ok(Pool::of(segment, memory))
            }
            None => Pool::attached(segment),
        }
    }
}

impl Pool {
    fn attached(segment: Segment) -> Result<Pool> {
        let memory = Mapped::new(&segment)?;
        Ok(Pool::of(segment, memory))
    }

    fn of(segment: Segment, memory: Mapped) -> Pool {
        let store = Store::new(memory, segment.leases().slot());
        let store = if segment.parameters()[ON_DEMAND] == 0 { store } else { store.sharing() };
        segment.leases().succeed(|slot| {
            store.reclaim(&Slots::one(slot));
        });
        let (watcher, obtained) = (OnDemand::default(), Obtained::default());
        Pool {
            watcher,
            stock: Arc::new(Stock::new(store, segment, "no block of the pool is free")),
            obtained,
        }
    }

    /// Creates a pool that must be new.
    ///
    /// ```
    /// # let name = format!("doc-pool-create-{}", std::process::id());
    /// let options = ipcx::PoolOptions { block_size: 4096, ..Default::default() };
    /// let pool = ipcx::Pool::create(&name, &options)?;
    /// assert!(matches!(ipcx::Pool::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &PoolOptions) -> Result<Pool> {
        let (parameters, mut made) = (options.parameters()?, Made::default());
        let mut prepare = |segment: &Segment| made.prepare(segment);
        let segment = Segment::create(name, &options.segment, FORMAT, parameters, &mut prepare)?;
        made.finish(segment)
    }

    /// Attaches to a pool, or creates it if there is none, for which the options must have a block size.
    ///
    /// ```
    /// # let name = format!("doc-pool-open-{}", std::process::id());
    /// let options = ipcx::PoolOptions { block_size: 4096, ..Default::default() };
    /// let first = ipcx::Pool::open(&name, &options)?; // makes it
    /// let second = ipcx::Pool::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.block_size(), second.block_size());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Pool::create`] (less `Exists`) and of [`Pool::attach_with`], but `Invalid` instead of `NotFound` where there
    /// is none and the block size is 0.
    pub fn open(name: &str, options: &PoolOptions) -> Result<Pool> {
        if options.block_size == 0 {
            return match Pool::attach_with(name, options) {
                Err(Error::NotFound(_)) => Pool::create(name, options), // It says what is missing.
                done => done,
            };
        }
        let (parameters, wanted, mut made) = (options.parameters()?, options.wanted(), Made::default());
        let mut prepare = |segment: &Segment| made.prepare(segment);
        let segment = Segment::open(name, &options.segment, FORMAT, parameters, &wanted, &mut prepare)?;
        made.finish(segment)
    }

    /// Attaches to a pool that must exist.
    ///
    /// ```
    /// # let name = format!("doc-pool-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Pool::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Pool::create(&name, &ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// assert_eq!(ipcx::Pool::attach(&name)?.block_size(), made.block_size());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Pool> {
        Pool::attach_with(name, &PoolOptions::default())
    }

    /// As [`Pool::attach`], in the directory that the options name, and only if the pool agrees with the sizes, the schema and
    /// the number of participants they give.
    ///
    /// ```
    /// # let name = format!("doc-pool-attach-with-{}", std::process::id());
    /// let made = ipcx::Pool::create(&name, &ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// let other = ipcx::PoolOptions { block_size: 8192, ..Default::default() };
    /// assert!(matches!(ipcx::Pool::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Pool::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &PoolOptions) -> Result<Pool> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()).and_then(Pool::attached)
    }

    /// Creates a pool without a name, in a memfd sealed against resizing. Hand [`Pool::share_fd`] to another process, by
    /// inheritance or `SCM_RIGHTS`, which attaches with [`Pool::from_fd`].
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// assert_eq!(pool.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &PoolOptions) -> Result<Pool> {
        if options.segment.backing != Backing::Directory {
            return Err(Error::invalid("System V shared memory has a key, and its pool a name"));
        }
        Segment::anonymous(&options.segment, FORMAT, options.parameters()?).and_then(Pool::attached)
    }

    /// Attaches to the pool behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of an
    /// anonymous pool, or belongs to somebody from whom [`Pool::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Pool::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.block_size(), ours.block_size());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Pool::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Pool> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).and_then(Pool::attached)
    }

    /// A new descriptor of the pool to hand to another process; closed on exec until you say otherwise. It keeps the
    /// memory, but no block and no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Pool::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
    /// };
    /// assert_eq!(theirs.block_size(), ours.block_size());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn share_fd(&self) -> Result<OwnedFd> {
        self.stock.segment.share_fd()
    }

    /// A block, if one is free now. What is in it is whatever was there.
    ///
    /// A few nanoseconds and no system call where this handle has released a block before. Blocks of the dead come back only
    /// where this handle has not looked for the dead for 50 ms; [`Pool::recover`] looks at once. Not async-signal-safe.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, blocks: 1, ..Default::default() })?;
    /// let block = pool.try_acquire()?;
    /// assert!(matches!(pool.try_acquire(), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if none is free, `Forked`.
    #[inline(always)]
    pub fn try_acquire(&self) -> Result<Block<'_>> {
        self.acquire_until(Deadline::NOW)
    }

    /// As [`Pool::acquire`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, blocks: 1, ..Default::default() })?;
    /// let block = pool.acquire()?;
    /// let none = pool.acquire_timeout(std::time::Duration::from_millis(1));
    /// assert!(matches!(none, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pool::acquire_until`].
    #[inline]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Block<'_>> {
        self.acquire_until(Deadline::within(timeout))
    }

    /// A block, waiting for one to be released as long as it takes. What is in it is whatever was there.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let mut block = pool.acquire()?;
    /// block.write_at(0, b"hello")?;
    /// block.release();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pool::acquire_until`], less `WouldBlock` and `TimedOut`.
    #[inline]
    pub fn acquire(&self) -> Result<Block<'_>> {
        self.acquire_until(Deadline::NEVER)
    }

    /// What the three calls above do.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1)); // for both together
    /// let pair = (pool.acquire_until(deadline)?, pool.acquire_until(deadline)?);
    /// assert_eq!(pool.stats()?.owned, 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Pool::try_acquire`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept.
    #[inline(always)]
    pub fn acquire_until(&self, deadline: Deadline) -> Result<Block<'_>> {
        self.acquire_raw(deadline).map(|id| Block::of(self, id, self.block_size()))
    }

    /// [`Pool::acquire_until`] without a guard, for bindings to other languages. [`Pool::release_raw`] gives it back.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let id = pool.acquire_raw(ipcx::Deadline::NOW)?;
    /// assert!(pool.address(id).is_some());
    /// pool.release_raw(id)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn acquire_raw(&self, deadline: Deadline) -> Result<BlockId> {
        let acquired = self.stock.acquire(deadline);
        self.after(acquired.is_ok());
        acquired
    }

    /// Gives back the block of an id.
    ///
    /// Ids do not say which pool they are of: one of another pool may be that of a block that this handle owns.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let id = pool.acquire()?.into_id();
    /// pool.release_raw(id)?;
    /// assert!(matches!(pool.release_raw(id), Err(ipcx::Error::Invalid(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this handle does not own it, because it was released or sent, or is another's: nothing changes. `Forked`.
    #[inline(always)]
    pub fn release_raw(&self, id: BlockId) -> Result<()> {
        self.stock.release(id)
    }

    /// The block of an id that [`Block::into_id`] gave, of a block of this pool: an id of another is not told apart.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let id = pool.acquire()?.into_id();
    /// pool.block(id)?.release();
    /// assert!(pool.block(id).is_err(), "released");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if this handle does not own it, `Forked`.
    pub fn block(&self, id: BlockId) -> Result<Block<'_>> {
        if self.stock.segment.is_inherited() || !self.stock.store.owns(id) {
            return Err(self.stock.refusal(id));
        }
        Ok(Block::of(self, id, self.block_size()))
    }

    /// Address of the block with an id, aligned as the pool's options say; `None` if there can be no such block. The memory stays
    /// mapped as long as the handle.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let block = pool.acquire()?;
    /// assert_eq!(pool.address(block.id()).unwrap().as_ptr().cast_const(), block.as_ptr());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    #[inline(always)]
    pub fn address(&self, id: BlockId) -> Option<NonNull<u8>> {
        let memory = self.stock.store.memory();
        id.number().filter(|block| *block < memory.blocks()).map(|block| memory.address(block))
    }

    /// A descriptor that is readable while a block can be acquired, as of this handle's last acquire. Level-triggered; do not
    /// read it, do not close it; it lives as long as the handle. Where others acquire too, a block may be gone when you come:
    /// use [`Pool::try_acquire`], which arms it again.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// let mut poll = libc::pollfd { fd: pool.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// let block = pool.try_acquire()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the pool has a block to acquire, as for the descriptor, and once
    /// now if it has; `None` ends that. The signal's value (`si_value`) is this handle's slot, as
    /// [`Participant`](crate::Participant)s are numbered. Acquire until that would block: only then does the next one queue a
    /// signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 4096, ..Default::default() })?;
    /// pool.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(pool.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// pool.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&self, signal: Option<i32>) -> Result<()> {
        let slot = self.stock.segment.leases().slot();
        self.watcher()?.signal(signal.unwrap_or(0), slot)
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

    /// Gives back what dead participants owned, and what is in flight on rings that are gone: that no name leads to, and
    /// through which no living process has sent or received blocks. Says how many blocks.
    ///
    /// Only the second needs this call: an acquire that finds nothing free does the first by itself. One that waits does it
    /// while it waits; one that does not wait looks for the dead at most every 50 ms. This call looks at once.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// assert_eq!(pool.recover()?, 0); // nobody has died
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn recover(&self) -> Result<u64> {
        self.stock.segment.check_not_inherited()?;
        let buried = self.stock.bury(&self.stock.segment.leases().turn())?;
        Ok(u64::from(buried) + u64::from(self.stock.recover_channels()?))
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.stock.segment.name()
    }

    /// Bytes of a block.
    #[inline(always)]
    pub fn block_size(&self) -> usize {
        self.stock.segment.parameters()[BLOCK_SIZE] as usize
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> u64 {
        self.stock.segment.parameters()[BLOCKS]
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.stock.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.stock.segment.wait_strategy()
    }
}

impl Waitable for &Pool {}

impl Sleeping for &Pool {
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
