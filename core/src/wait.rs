//! Waiting: deadlines, strategies, and the one loop behind every call that waits.
//!
//! What the loop guarantees: it returns within its deadline; it notices within [`SLICE`] that the peer closed or died,
//! and within twice that at most if the check was made a moment before; a wake-up that is lost costs a slice,
//! never the call.
//!
//! How a wake-up is not lost: the sleeper sets its bit in its own [`Sleepers`] word, makes a barrier, looks again, and
//! sleeps on the very word whose change it waits for. The waker changes that word, then looks at the sleep word
//! (with a fence between, or with the sleeper's asymmetric barrier in place of it). One of the two sees the
//! other's store, and if the waker is too early the kernel refuses to sleep on a word that has changed. Dekker's
//! argument; the loom models in `tests/model` check it.

use crate::sync::{compiler_fence, fence, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use crate::{
    error::{Context, Error, Result},
    sys::{barrier, clock, cpu},
};
use std::time::Duration;

/// How a call waits. Kept in the segment at creation and used by whoever attaches.
///
/// ```
/// use ipcx::{Ring, RingOptions, SegmentOptions, WaitStrategy};
/// let segment = SegmentOptions { wait: WaitStrategy::Spin, ..Default::default() };
/// let ring = Ring::anonymous(&RingOptions { segment, ..Default::default() })?;
/// assert_eq!(ring.wait_strategy(), WaitStrategy::Spin);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WaitStrategy {
    /// Spin for about as long as a wake-up costs, then sleep in the kernel. With one processor online, or with
    /// both sides last seen on the same one, sleep at once.
    #[default]
    Balanced,
    /// Never sleep: the lowest latency, at the price of a processor.
    Spin,
    /// Let other threads run between looks, for 2 ms; then sleep. (Not for ever: the scheduler makes a thread that gives way
    /// all the time wait ever longer for its turn on a busy processor, up to half a second.)
    Yield,
    /// Sleep at once: the least processor time.
    Block,
}

impl WaitStrategy {
    /// The number that stands in segments and in the C header.
    ///
    /// ```
    /// assert_eq!(ipcx::WaitStrategy::Block.code(), 3);
    /// ```
    pub const fn code(self) -> u32 {
        match self {
            WaitStrategy::Balanced => 0,
            WaitStrategy::Spin => 1,
            WaitStrategy::Yield => 2,
            WaitStrategy::Block => 3,
        }
    }

    /// The strategy with this number, if there is one.
    ///
    /// ```
    /// use ipcx::WaitStrategy;
    /// assert_eq!(WaitStrategy::from_code(1), Some(WaitStrategy::Spin));
    /// assert_eq!(WaitStrategy::from_code(9), None);
    /// ```
    pub const fn from_code(code: u32) -> Option<WaitStrategy> {
        match code {
            0 => Some(WaitStrategy::Balanced),
            1 => Some(WaitStrategy::Spin),
            2 => Some(WaitStrategy::Yield),
            3 => Some(WaitStrategy::Block),
            _ => None,
        }
    }

    /// True if a waiting call looks again and again at first, without giving its processor away.
    #[cfg(not(loom))]
    pub(crate) fn looks(self, peer_is_here: impl FnOnce() -> bool) -> bool {
        match self {
            WaitStrategy::Spin => true,
            WaitStrategy::Yield | WaitStrategy::Block => false,
            WaitStrategy::Balanced => !cpu::single() && !peer_is_here(),
        }
    }
}

/// When a waiting call gives up, on the monotonic clock: wall-clock changes do not touch it.
///
/// Either a moment ([`Deadline::after`]), which several calls can share, or a time from when a call begins to wait
/// ([`Deadline::within`]), for which the clock is read only if it does wait.
///
/// ```
/// use std::time::Duration;
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
/// tx.send(b"hello")?;
/// let soon = ipcx::Deadline::after(Duration::from_millis(1)); // for both calls together
/// assert_eq!(rx.recv_until(&mut [0; 64], soon)?, 5);
/// assert!(matches!(rx.recv_until(&mut [0; 64], soon), Err(ipcx::Error::TimedOut(_))));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u64);

/// Marks a number of nanoseconds as a time from the beginning of the wait.
const WITHIN: u64 = 1 << 63;

impl Deadline {
    /// Do not wait at all.
    ///
    /// ```
    /// let mut rx = ipcx::Ring::anonymous(&Default::default())?.consumer()?;
    /// assert!(matches!(rx.recv_until(&mut [0; 64], ipcx::Deadline::NOW), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub const NOW: Deadline = Deadline(0);
    /// Wait as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// ring.producer()?.send_until(b"hello", ipcx::Deadline::NEVER)?;
    /// assert_eq!(ring.consumer()?.recv_until(&mut [0; 64], ipcx::Deadline::NEVER)?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub const NEVER: Deadline = Deadline(u64::MAX);

    /// This long after the call begins to wait. Zero does not wait; 292 years and more are for ever.
    ///
    /// ```
    /// use {ipcx::Deadline, std::time::Duration};
    /// assert_eq!(Deadline::within(Duration::ZERO), Deadline::NOW);
    /// assert_eq!(Deadline::within(Duration::MAX), Deadline::NEVER);
    /// ```
    pub const fn within(timeout: Duration) -> Deadline {
        let nanoseconds = timeout.as_nanos();
        if nanoseconds == 0 {
            Deadline::NOW
        } else if nanoseconds >= (WITHIN - 1) as u128 {
            Deadline::NEVER
        } else {
            Deadline(WITHIN | nanoseconds as u64)
        }
    }

    /// This long from now.
    ///
    /// ```
    /// use {ipcx::Deadline, std::time::Duration};
    /// let deadline = Deadline::after(Duration::from_secs(60));
    /// assert!(deadline.remaining().unwrap() <= Duration::from_secs(60));
    /// ```
    #[cfg(not(loom))]
    pub fn after(timeout: Duration) -> Deadline {
        Deadline::within(timeout).started()
    }

    /// A moment, if it was a time from the beginning of the wait.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn started(self) -> Deadline {
        if self == Deadline::NEVER || self.0 & WITHIN == 0 {
            return self;
        }
        // Below 2^63: no machine is up for 292 years.
        Deadline(((self.0 & !WITHIN) + clock::now()).min(WITHIN - 1))
    }

    /// True for [`Deadline::NOW`].
    ///
    /// ```
    /// use ipcx::Deadline;
    /// assert!(Deadline::NOW.is_now() && !Deadline::NEVER.is_now());
    /// ```
    #[inline]
    pub const fn is_now(self) -> bool {
        self.0 == 0
    }

    /// True for [`Deadline::NOW`], and where there is so little time left that the clock decides about each look.
    /// (Longer ones end in a sleep, which the kernel ends 50 µs late.)
    #[cfg(not(loom))]
    pub(crate) fn is_soon(self) -> bool {
        match self {
            Deadline::NEVER => false,
            Deadline(within) if within & WITHIN != 0 => within & !WITHIN < SPIN,
            Deadline(moment) => moment == 0 || moment.saturating_sub(clock::now()) < SPIN,
        }
    }

    /// Of a moment: true if it has come. `now` is monotonic nanoseconds.
    #[cfg(not(loom))]
    pub(crate) fn is_over(self, now: u64) -> bool {
        now >= self.0
    }

    /// Of a moment: itself, or this one if it is earlier.
    #[cfg(not(loom))]
    pub(crate) fn at_most(self, other: u64) -> u64 {
        self.0.min(other)
    }

    /// Time left; `None` for ever.
    ///
    /// ```
    /// use {ipcx::Deadline, std::time::Duration};
    /// assert_eq!(Deadline::NEVER.remaining(), None);
    /// assert_eq!(Deadline::NOW.remaining(), Some(Duration::ZERO));
    /// ```
    #[cfg(not(loom))]
    pub fn remaining(self) -> Option<Duration> {
        (self != Deadline::NEVER).then(|| Duration::from_nanos(self.started().0.saturating_sub(clock::now())))
    }
}

/// Longest sleep between two looks at the peer's liveness.
pub(crate) const SLICE: u64 = 50_000_000;
/// How long `Balanced` spins: about what a sleep and a wake-up cost, so that in no case does it take more than
/// twice the time of the better choice.
#[cfg(not(loom))]
pub(crate) const SPIN: u64 = 20_000;
/// How long `Yield` gives way before it sleeps.
#[cfg(not(loom))]
const GIVE_WAY: u64 = 2_000_000;
/// Looks between two readings of the clock, at most; the first time it is read sooner, for timeouts of a microsecond.
#[cfg(not(loom))]
pub(crate) const LOOKS: u32 = 64;
#[cfg(not(loom))]
const FIRST_LOOKS: u32 = 16;

/// The pauses between looks. A look takes the line away from the partner that is about to write it, and who looks too seldom
/// notices late: a pause is a quarter of what was waited before, from 20 to 65 ns. Measured, see docs/performance.md.
#[cfg(not(loom))]
pub(crate) struct Pauses(u32);

#[cfg(not(loom))]
impl Pauses {
    /// Nanoseconds.
    const LONGEST: u32 = 65;

    pub(crate) const fn new() -> Pauses {
        Pauses(20)
    }

    /// The next one.
    pub(crate) fn pause(&mut self) {
        cpu::pause(self.0);
        self.0 = (self.0 + self.0 / 4).min(Pauses::LONGEST);
    }
}

/// One side's say about its sleeping, in shared memory. Only writer: this side's process; the partner only reads it.
///
/// | bits of `word` | meaning |
/// |---|---|
/// | 0 | a call of this side sleeps |
/// | 1 | a watcher of this side (behind `poll_fd`) sleeps |
/// | 2 | this side cannot make the asymmetric barrier: the partner must fence |
/// | 3.. | epoch: how often this side went to sleep |
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Sleepers {
    word: AtomicU32,
    /// Processor on which this side was last seen; a hint for the partner's choice whether to spin.
    pub(crate) cpu: AtomicU32,
    /// Position that a sleeping call, and a watcher, wait for.
    wanted: [AtomicU64; 2],
}

/// Who of one side sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleeper {
    Call = 0,
    Watcher = 1,
}

impl Sleeper {
    const ALL: [Sleeper; 2] = [Sleeper::Call, Sleeper::Watcher];

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

const ASLEEP: u32 = 3;
const NEEDS_FENCE: u32 = 4;
const EPOCH: u32 = 8;

impl Sleepers {
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Sleepers {
        Sleepers {
            word: AtomicU32::new(0),
            cpu: AtomicU32::new(0),
            wanted: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// For a new owner of this side: whatever its dead predecessor left is cleared, and the epoch moves on, so that
    /// a partner that answered the predecessor does not take this side's first sleep for the same one.
    pub(crate) fn reset(&self) {
        // Relaxed throughout: this side is the only writer, and the barrier in `announce` orders what matters.
        let epoch = self.word.load(Ordering::Relaxed) & !(EPOCH - 1);
        self.word.store(epoch.wrapping_add(EPOCH), Ordering::Relaxed);
    }

    /// Says that `who` is about to sleep until the partner reaches `wanted`. After it, look once more.
    pub(crate) fn announce(&self, who: Sleeper, wanted: u64) {
        self.wanted[who as usize].store(wanted, Ordering::Relaxed);
        self.word.fetch_add(EPOCH, Ordering::Relaxed);
        // Release: who sees the bit sees `wanted`. Partner: `Waker::answer`.
        self.word.fetch_or(who.bit(), Ordering::Release);
        // Partner: `Waker::notify`. The local fence pairs with a partner that fences, the global barrier stands in
        // for the fence of one that does not.
        #[cfg(not(loom))]
        if !barrier::global() {
            self.word.fetch_or(NEEDS_FENCE, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// Says that `who` is awake again.
    pub(crate) fn withdraw(&self, who: Sleeper) {
        self.word.fetch_and(!who.bit(), Ordering::Relaxed); // Relaxed: a late reader wakes nobody, harmlessly.
    }
}

/// The waking side's private half.
#[derive(Debug)]
pub(crate) struct Waker {
    /// The sleep word for which each sleeper was last answered. One sleep needs one wake-up *for what it waits for*: a
    /// sleeper that was not in the kernel yet then finds the word changed. (A wake-up for anything else must not count: the
    /// sleeper may have gone to sleep for the next thing between this side's store and its look.)
    answered: [u32; 2],
    /// This process is not registered for the asymmetric barrier and fences by itself.
    fences: bool,
}

impl Waker {
    /// `registered`: whether a sleeping partner's barrier reaches this process.
    pub(crate) fn new(registered: bool) -> Waker {
        Waker { answered: [0; 2], fences: !registered }
    }

    /// After a publication: wakes the partner if it sleeps for a position that the publication `reached`. No system
    /// call while nobody sleeps.
    #[inline(always)]
    pub(crate) fn notify(&mut self, partner: &Sleepers, reached: impl Fn(u64) -> bool, wake: impl FnOnce()) {
        if self.fences {
            fence(Ordering::SeqCst); // Partner: `Sleepers::announce`.
        } else {
            // The partner's global barrier orders what the processor does, not what the compiler does.
            compiler_fence(Ordering::SeqCst);
        }
        // Relaxed: ordered after the publication by the fence above or by the partner's global barrier.
        if partner.word.load(Ordering::Relaxed) & (ASLEEP | NEEDS_FENCE) != 0 {
            self.answer(partner, reached, wake);
        }
    }

    #[cold]
    #[inline(never)]
    fn answer(&mut self, partner: &Sleepers, reached: impl Fn(u64) -> bool, wake: impl FnOnce()) {
        if !self.fences && partner.word.load(Ordering::Relaxed) & NEEDS_FENCE != 0 {
            fence(Ordering::SeqCst); // Partner: `Sleepers::announce`.
        }
        let seen = partner.word.load(Ordering::Acquire); // Partner: `announce`; `wanted` is of this epoch or a later.
        let wanted = |who: Sleeper| partner.wanted[who as usize].load(Ordering::Relaxed);
        let mut concerned = false;
        for who in Sleeper::ALL {
            let answered = &mut self.answered[who as usize];
            if seen & who.bit() != 0 && seen != *answered && reached(wanted(who)) {
                (*answered, concerned) = (seen, true);
            }
        }
        if concerned {
            wake();
        }
    }
}

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nap {
    /// Woken, or the word changed, or the time passed: look again.
    Over,
    /// A signal handler ran.
    Interrupted,
}

/// What a call waits for.
#[cfg(not(loom))]
pub(crate) trait Condition {
    /// One bounded look.
    fn ready(&mut self) -> Result<bool>;
    /// Sleeps until the condition may have changed or `until` (monotonic nanoseconds).
    fn nap(&mut self, until: u64) -> Nap;
    /// An error if the peer has closed or died, looked at as of `now`; cheap enough to be asked on every turn.
    fn peer(&mut self, now: u64) -> Result<()>;
    /// True if the peer was last seen on this thread's processor.
    fn peer_is_here(&self) -> bool;
    /// What there was none of until the deadline, and who is in the way: a bounded look.
    fn missing(&self) -> Context;
}

/// Waits until `condition` is ready. The deadline is a moment, or never, and not [`Deadline::NOW`].
///
/// # Errors
/// `TimedOut`, `Interrupted`, and what `condition` gives.
#[cfg(not(loom))]
#[cold]
pub(crate) fn wait(condition: &mut dyn Condition, strategy: WaitStrategy, deadline: Deadline) -> Result<()> {
    let looks = strategy.looks(|| condition.peer_is_here());
    let spins = looks || strategy == WaitStrategy::Yield;
    let (mut begin, mut pauses, mut turn) = (None, Pauses::new(), FIRST_LOOKS);
    loop {
        // Whoever gives way may be away for long, and looks at the clock when it is back.
        for _ in 0..if looks { turn } else { 1 } {
            if condition.ready()? {
                return Ok(());
            }
            if looks {
                pauses.pause();
            } else if spins {
                cpu::give_way();
            }
        }
        let now = clock::now();
        if let Err(gone) = condition.peer(now) {
            // What the peer committed before it went counts.
            return if condition.ready()? { Ok(()) } else { Err(gone) };
        }
        if deadline.is_over(now) {
            return Err(Error::TimedOut(condition.missing()));
        }
        // No more than there is time for.
        turn =
            deadline.at_most(u64::MAX).saturating_sub(now).div_ceil(Pauses::LONGEST.into()).min(LOOKS.into())
                as u32;
        let waited = now - *begin.get_or_insert(now);
        let sleeps = match strategy {
            WaitStrategy::Spin => false,
            WaitStrategy::Yield => waited >= GIVE_WAY,
            WaitStrategy::Block => true,
            WaitStrategy::Balanced => !spins || waited >= SPIN,
        };
        if sleeps && condition.nap(deadline.at_most(now + SLICE)) == Nap::Interrupted {
            return if condition.ready()? { Ok(()) } else { Err(Error::Interrupted) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
