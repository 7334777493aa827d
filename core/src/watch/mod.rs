//! Watchers: the descriptor behind `poll_fd`, for poll, select, epoll and every event loop, and signals.
//!
//! The descriptor is an eventfd that is readable exactly while the endpoint is ready: level-triggered, never read by
//! the user. A thread of this process, which exists only for endpoints whose descriptor or signal was asked for, waits the way
//! a blocking call does (same sleep word, same slices, same look at the peer) and raises it. So the other side pays
//! for it what it pays for any sleeper: nothing while it is awake, one futex wake when it is not.
//!
//! | state | descriptor | watcher thread |
//! |---|---|---|
//! | `RAISED` | readable | parked |
//! | `ARMED` | not readable | waits for the target |
//! | `STOPPED` | - | ends |
//!
//! The endpoint moves `RAISED` to `ARMED` when it finds itself not ready after an operation; the thread moves `ARMED`
//! to `RAISED`; dropping moves either to `STOPPED`. `level` says how the descriptor follows.

pub(crate) mod level;

use crate::error::{from_errno, Error, Result};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::fd::Flag;
use crate::sys::thread::{self, Thread};
use crate::sys::{clock, fork, futex, signal};
use crate::wait::SLICE;
use level::{Flag as _, Level, Seen};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a watcher waits for; a `target` is a position of the endpoint.
pub(crate) trait Watched: Send + Sync + 'static {
    /// True if the endpoint is ready, or its shared state is corrupt, which a call will report.
    fn ready(&self, target: u64) -> bool;
    /// Sleeps until that may have changed, or until `until`.
    fn nap(&self, target: u64, until: u64);
    /// True if the peer closed or died.
    fn peer_is_gone(&self) -> bool;
    /// Ends a nap, unless it only just begins.
    fn wake(&self, target: u64);
}

/// How long the thread waits for room in the queue of signals, in nanoseconds.
const FULL_QUEUE: u64 = 1_000_000;

/// # Errors
/// `Invalid` for a signal that is not queued as often as it is sent.
pub(crate) fn check_signal(signal: i32) -> Result<()> {
    if signal::is_real_time(signal) {
        return Ok(());
    }
    Err(Error::invalid(format!("signal {signal} is not a real-time signal, which are queued")))
}

struct Shared {
    flag: Flag,
    level: Level,
    /// The signal that is queued when the thread raises the flag, 0 for none, and the value that goes with it.
    signal: AtomicU32,
    value: AtomicU32,
    /// 1 if that is to be queued as soon as the flag is raised. Only the thread does it.
    pending: AtomicU32,
    watched: Arc<dyn Watched>,
}

impl Shared {
    /// Ends the thread's sleep, whatever it sleeps on.
    fn wake(&self, before: Seen) {
        // SAFETY: the word lives as long as `self`.
        unsafe { futex::wake(std::ptr::from_ref(&self.level.state).cast(), 1) };
        if let Seen::Armed { target, .. } = before {
            self.watched.wake(target);
        }
    }

    /// The thread.
    fn watch(&self) {
        loop {
            match self.level.seen() {
                Seen::Stopped => return,
                Seen::Raised(state) => {
                    let sent = self.pending.swap(0, Ordering::AcqRel) == 0 || self.try_signal();
                    if !sent {
                        self.pending.store(1, Ordering::Release);
                    }
                    let word = std::ptr::from_ref(&self.level.state).cast();
                    let until = clock::now() + if sent { 20 * SLICE } else { FULL_QUEUE };
                    // SAFETY: as in `wake`. However it ends, the state is looked at again.
                    let _ = unsafe { futex::wait(word, state, until) };
                }
                Seen::Armed { state, target } => {
                    if self.watched.ready(target) || self.watched.peer_is_gone() {
                        if self.level.raise(state, &self.flag) {
                            self.pending.store(1, Ordering::Release);
                        }
                    } else {
                        self.watched.nap(target, clock::now() + SLICE);
                    }
                }
            }
        }
    }

    /// Queues the signal, if there is one; false if the queue is full.
    fn try_signal(&self) -> bool {
        let signal = self.signal.load(Ordering::Acquire); // Partner: `Watcher::signal`.
        signal == 0 || signal::queue(signal as i32, self.value.load(Ordering::Relaxed))
    }

    /// Has the thread queue the signal, now or as soon as the flag is raised.
    fn ask_for_signal(&self) {
        self.pending.store(1, Ordering::Release);
        // A thread that saw 0 just now finds the word changed, and what comes before in this one seen.
        self.level.nudge();
        // SAFETY: as in `wake`.
        unsafe { futex::wake(std::ptr::from_ref(&self.level.state).cast(), 1) };
    }
}

/// One endpoint's descriptor and thread.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    thread: Thread,
    generation: u32,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("flag", &self.shared.flag).finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher with its descriptor raised: the first call that finds nothing arms it.
    fn start(segment: &Arc<str>, watched: Arc<dyn Watched>) -> Result<Watcher> {
        let flag = Flag::new().map_err(|e| from_errno(segment, "eventfd", e))?;
        flag.raise();
        let shared = Arc::new(Shared {
            flag,
            level: Level::new(),
            signal: AtomicU32::new(0),
            value: AtomicU32::new(0),
            pending: AtomicU32::new(0),
            watched,
        });
        let inside = Arc::clone(&shared);
        let thread = thread::spawn_quiet(c"ipcx-watcher", move || inside.watch())
            .map_err(|e| from_errno(segment, "pthread_create", e))?;
        Ok(Watcher { shared, thread, generation: fork::generation() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.flag.as_fd()
    }

    /// From now on, queues this signal (0: none) with this value to the process each time the endpoint becomes ready, and once
    /// now if it is.
    pub(crate) fn signal(&self, signal: i32, value: u32) -> Result<()> {
        if signal != 0 {
            check_signal(signal)?;
        }
        self.shared.value.store(value, Ordering::Relaxed);
        self.shared.signal.store(signal as u32, Ordering::Release); // Partner: `try_signal`.
        self.shared.ask_for_signal();
        Ok(())
    }

    /// After an operation: makes the descriptor say whether the endpoint is `ready`. Async-signal-safe. No signal comes of it:
    /// whoever has found the endpoint ready goes on until it is not.
    pub(crate) fn update(&self, ready: bool, target: u64) {
        if self.generation != fork::generation() {
            return; // A forked child has the parent's descriptor.
        }
        let shared = &*self.shared;
        let Some(before) = shared.level.set(ready, target, &shared.flag) else { return };
        shared.wake(before);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return; // In a forked child the thread does not exist: joining it would be done to another.
        }
        let shared = &*self.shared;
        let before = shared.level.stop();
        while !self.thread.has_ended() {
            shared.wake(before); // Again until it is heard: a nap may only just begin.
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// An endpoint's watcher, once its descriptor or its signal was asked for.
#[derive(Debug, Default)]
pub(crate) struct OnDemand(OnceLock<Watcher>);

impl OnDemand {
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&Watcher> {
        self.0.get()
    }

    /// The watcher, and whether this call has made it. Then [`Watcher::update`] comes next.
    pub(crate) fn start(
        &self,
        segment: &Arc<str>,
        watched: impl FnOnce() -> Arc<dyn Watched>,
    ) -> Result<(&Watcher, bool)> {
        if let Some(watcher) = self.0.get() {
            return Ok((watcher, false));
        }
        let new = Watcher::start(segment, watched())?;
        let first = self.0.set(new).is_ok(); // Otherwise another thread was faster.
        Ok((self.0.get().expect("just set"), first))
    }
}
