//! Waiting for one of several things, with one timeout.
//!
//! Each of them says that a call of it is about to sleep, as a call that waits for it alone does; then one system call sleeps on all
//! of their words (`futex_waitv`, Linux 5.16). Where the kernel does not have it, there are more than it takes, or one has no
//! word (a transport's end), their descriptors are polled instead.

use crate::error::{Error, Result};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::futex::{self, Waiter};
use crate::sys::{clock, cpu, fd, Errno};
use crate::wait::{Deadline, SLICE, SPIN};
use std::os::fd::BorrowedFd;

/// How long it sleeps where something has nothing to sleep on.
const LOOK_AGAIN: u64 = 1_000_000;
/// Looks between two readings of the clock.
const LOOKS: u32 = 16;

/// Something that [`wait_any`] can wait for: a [`Consumer`](crate::Consumer) with a record, a [`Producer`](crate::Producer) with
/// room for the record that last did not fit, a [`Subscriber`](crate::Subscriber) or [`Publisher`](crate::Publisher) likewise, a
/// [`&Pool`](crate::Pool) or [`&Semaphore`](crate::Semaphore) with something to acquire, a [`&Queue`](crate::Queue) with a
/// message, another version of a buffer ([`Buffer::newer_than`](crate::Buffer::newer_than)); a transport's
/// [`Receiver`](crate::Receiver) with something to say, or [`Sender`](crate::Sender) with room, as of its descriptor
/// ([`Receiver::poll_fd`](crate::Receiver::poll_fd)); one of a FIFO or socket that has told of the end of its sender waits for
/// the next.
///
/// ```
/// use ipcx::{Deadline, Waitable};
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
/// let (mut rx, mut pool) = (ring.consumer()?, &pool);
/// let mut items: [&mut dyn Waitable; 2] = [&mut rx, &mut pool];
/// assert_eq!(ipcx::wait_any(&mut items, Deadline::NEVER)?, [1]); // a block is free
/// # Ok::<(), ipcx::Error>(())
/// ```
pub trait Waitable: Sleeping {}

/// What waiting for it takes. Not for other crates.
pub trait Sleeping {
    /// True if a call that does not wait would not say that it would have to; and then also if it would fail. `now` is
    /// monotonic nanoseconds, or `None` if peers are not to be asked for.
    fn is_ready(&mut self, now: Option<u64>) -> bool;
    /// Says that this thread is about to sleep: the word to sleep on, and its value. `None` if it became ready.
    fn announce(&mut self) -> Option<(*const u32, u32)>;
    /// After [`Sleeping::announce`], whatever that said: it does not sleep any more.
    fn withdraw(&mut self);
    /// A descriptor on which there is [`Sleeping::events`] when it is ready. `WouldBlock` if there is none yet: look again soon.
    fn descriptor(&mut self) -> Result<BorrowedFd<'_>>;
    /// What to wait for on the descriptor.
    fn events(&self) -> i16 {
        libc::POLLIN
    }
    /// False if it has no word to sleep on: it is not announced then.
    fn has_word(&self) -> bool {
        true
    }
    /// In a child that inherited it.
    fn is_inherited(&mut self) -> bool;
}

/// 1 once the kernel has refused `futex_waitv`.
static NO_WAITV: AtomicU32 = AtomicU32::new(0);

/// By what to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Words,
    Descriptors,
}

/// What there is none of.
const NOTHING: &str = "nothing that is waited for is ready";

/// Waits until at least one of `items` is ready, or until `deadline`; says which are, by their places. Ready is what a call
/// that does not wait would not answer with `WouldBlock`, so also one whose peer closed or died: the call then says so.
/// Nothing is received or acquired by waiting; where others may be faster, try again.
///
/// Blocks. Belongs to the thread that the endpoints belong to. Not async-signal-safe.
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// let orders = ipcx::Ring::anonymous(&Default::default())?;
/// let price = ipcx::Buffer::anonymous(&Default::default())?;
/// let (mut tx, mut rx) = (orders.producer()?, orders.consumer()?);
/// tx.send(b"buy")?;
/// let ready = ipcx::wait_any(&mut [&mut rx, &mut price.newer_than(0)], ipcx::Deadline::NEVER)?;
/// assert_eq!(ready, [0]);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `WouldBlock` if none is and the deadline is [`Deadline::NOW`], `TimedOut`, `Interrupted` if a signal handler ran while it slept,
/// `Invalid` if there are no items, `Forked`, `Os`.
pub fn wait_any(items: &mut [&mut dyn Waitable], deadline: Deadline) -> Result<Vec<usize>> {
    let words = items.len() <= futex::MOST_WAITERS
        && items.iter().all(|item| item.has_word())
        && NO_WAITV.load(Ordering::Relaxed) == 0;
    let by = if words { By::Words } else { By::Descriptors };
    wait_by(items, deadline, by)
}

/// [`wait_any`] as on a kernel without `futex_waitv`.
///
/// # Errors
/// As there.
#[doc(hidden)] // for tests
pub fn wait_any_by_descriptors(items: &mut [&mut dyn Waitable], deadline: Deadline) -> Result<Vec<usize>> {
    wait_by(items, deadline, By::Descriptors)
}

fn wait_by(items: &mut [&mut dyn Waitable], deadline: Deadline, mut by: By) -> Result<Vec<usize>> {
    if items.is_empty() {
        return Err(Error::invalid("nothing to wait for"));
    }
    if items.iter_mut().any(|item| item.is_inherited()) {
        return Err(Error::Forked);
    }
    let ready = which(items, Some(clock::now()));
    if !ready.is_empty() {
        return Ok(ready);
    }
    if deadline.is_now() {
        return Err(Error::WouldBlock(NOTHING));
    }
    let deadline = deadline.started();
    let spin_until = if cpu::single() { 0 } else { clock::now() + SPIN };
    loop {
        for _ in 0..LOOKS {
            let ready = which(items, None);
            if !ready.is_empty() {
                return Ok(ready);
            }
            std::hint::spin_loop();
        }
        let now = clock::now();
        if now < spin_until && !deadline.is_over(now) {
            continue;
        }
        let ready = which(items, Some(now));
        if !ready.is_empty() {
            return Ok(ready);
        }
        if deadline.is_over(now) {
            return Err(Error::timed_out(NOTHING));
        }
        let until = deadline.at_most(now + SLICE);
        let slept = match by {
            By::Words => sleep_on_words(items, until),
            By::Descriptors => sleep_on_descriptors(items, until.saturating_sub(now))?,
        };
        match slept {
            Err(Errno::EINTR) => {
                let ready = which(items, None);
                return if ready.is_empty() { Err(Error::Interrupted) } else { Ok(ready) };
            }
            Err(errno) if by == By::Words && !matches!(errno, Errno::EAGAIN | Errno::ETIMEDOUT) => {
                // Sandboxes refuse calls that they do not know.
                if matches!(errno, Errno::ENOSYS | Errno::EPERM) {
                    NO_WAITV.store(1, Ordering::Relaxed); // Relaxed: a hint.
                }
                by = By::Descriptors;
            }
            // Woken, or something changed, or the time passed; or there was no memory to poll with, and it looks again.
            _ => {}
        }
    }
}

#[inline(never)]
fn which(items: &mut [&mut dyn Waitable], now: Option<u64>) -> Vec<usize> {
    (0..items.len()).filter(|at| items[*at].is_ready(now)).collect()
}

type Slept = std::result::Result<(), Errno>;

fn sleep_on_words(items: &mut [&mut dyn Waitable], until: u64) -> Slept {
    let mut words = Vec::with_capacity(items.len());
    let mut announced = 0;
    for item in items.iter_mut() {
        announced += 1;
        let Some((word, value)) = item.announce() else { break };
        words.push(Waiter::new(word, value));
    }
    let slept = if words.len() == items.len() {
        // SAFETY: the words lie in mappings that the items keep, and are aligned to 4.
        unsafe { futex::wait_any(&words, until) }
    } else {
        Ok(())
    };
    items[..announced].iter_mut().for_each(|item| item.withdraw());
    slept
}

fn sleep_on_descriptors(items: &mut [&mut dyn Waitable], nanoseconds: u64) -> Result<Slept> {
    let mut patience = nanoseconds;
    let mut fds = Vec::with_capacity(items.len());
    for item in items.iter_mut() {
        let events = item.events();
        match item.descriptor() {
            Ok(fd) => fds.push(fd::to_poll(fd, events)),
            Err(Error::WouldBlock(_)) => patience = patience.min(LOOK_AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(fd::poll(&mut fds, Some(patience)).map(drop))
}
