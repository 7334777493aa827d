//! Watchers: the descriptor behind `poll_fd`, for poll, select, epoll and every event loop.
//!
//! The descriptor is an eventfd that is readable exactly while the endpoint is ready: level-triggered, never read by
//! the user. A thread of this process, which exists only for endpoints whose descriptor was asked for, waits the way
//! a blocking call does (same sleep word, same slices, same look at the peer) and raises it. So the other side pays
//! for it what it pays for any sleeper: nothing while it is awake, one futex wake when it is not.
//!
//! | state | descriptor | watcher thread |
//! |---|---|---|
//! | `Raised` | readable | parked |
//! | `Armed(target)` | not readable | waits for `target` |
//! | `Stopped` | - | ends |
//!
//! The endpoint moves `Raised` to `Armed` when it finds itself not ready after an operation; the thread moves `Armed`
//! to `Raised`; dropping moves either to `Stopped`.

use crate::error::{from_errno, Result};
use crate::sys::fd::Flag;
use crate::sys::{clock, fork, thread};
use crate::wait::SLICE;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Raised,
    Armed(u64),
    Stopped,
}

#[derive(Debug)]
struct Shared {
    flag: Flag,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; the state is valid at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One endpoint's descriptor and thread.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    watched: Arc<dyn Watched>,
    thread: Option<JoinHandle<()>>,
    generation: u32,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher with its descriptor raised: the first call that finds nothing arms it.
    pub(crate) fn start(segment: &Arc<str>, watched: Arc<dyn Watched>) -> Result<Watcher> {
        let flag = Flag::new().map_err(|e| from_errno(segment, "eventfd", e))?;
        flag.raise();
        let shared = Arc::new(Shared { flag, state: Mutex::new(State::Raised), changed: Condvar::new() });
        let (inside, condition) = (Arc::clone(&shared), Arc::clone(&watched));
        let thread = thread::spawn_quiet("ipcx-watcher", move || watch(&inside, &*condition))
            .map_err(|e| from_errno(segment, "pthread_create", e))?;
        Ok(Watcher { shared, watched, thread: Some(thread), generation: fork::generation() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.flag.as_fd()
    }

    /// After an operation: makes the descriptor say whether the endpoint is `ready`.
    pub(crate) fn update(&self, ready: bool, target: u64) {
        let mut state = self.shared.state();
        let before = *state;
        let after = if ready { State::Raised } else { State::Armed(target) };
        if before == after {
            return;
        }
        *state = after;
        match after {
            State::Raised => self.shared.flag.raise(),
            _ => self.shared.flag.lower(),
        }
        self.shared.changed.notify_one();
        drop(state);
        if let State::Armed(old) = before {
            self.watched.wake(old);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.generation != fork::generation() {
            // In a forked child the thread does not exist: joining or detaching it would be done to another.
            std::mem::forget(thread);
            return;
        }
        let before = std::mem::replace(&mut *self.shared.state(), State::Stopped);
        self.shared.changed.notify_one();
        while !thread.is_finished() {
            if let State::Armed(target) = before {
                self.watched.wake(target); // Again until it is heard: a nap may only just begin.
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        let _ = thread.join();
    }
}

/// The thread.
fn watch(shared: &Shared, watched: &dyn Watched) {
    loop {
        let mut state = shared.state();
        let target = loop {
            match *state {
                State::Stopped => return,
                State::Armed(target) => break target,
                State::Raised => {
                    state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(state);
        if watched.ready(target) || watched.peer_is_gone() {
            let mut state = shared.state();
            if *state == State::Armed(target) {
                *state = State::Raised;
                shared.flag.raise();
            }
        } else {
            watched.nap(target, clock::now() + SLICE);
        }
    }
}
