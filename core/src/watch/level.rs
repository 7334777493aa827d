//! The state behind a level-triggered descriptor, over any flag: the eventfd, and that of the model checker.
//!
//! Whoever has changed the state makes the flag say so, and looks afterwards whether the state is still the same: so that the
//! last one to touch the flag leaves it right. There is no lock, so that a signal handler may use an endpoint in whose call
//! it came.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

const RAISED: u32 = 0;
const ARMED: u32 = 1;
const STOPPED: u32 = 2;
const STATE: u32 = 3;
/// The rest counts the changes.
const CHANGE: u32 = 4;

/// What can be raised and lowered, any number of times.
pub(crate) trait Flag {
    fn raise(&self);
    fn lower(&self);
}

/// See [`Seen`] for its states.
#[derive(Debug)]
pub(crate) struct Level {
    /// The word on which the watcher sleeps while it is raised.
    pub(crate) state: AtomicU32,
    /// What an armed watcher waits for.
    target: AtomicU64,
}

/// A state, as seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The endpoint is ready; the watcher sleeps while the word is this.
    Raised(u32),
    /// The endpoint is not ready; the watcher waits for the target.
    Armed { state: u32, target: u64 },
    /// The watcher ends.
    Stopped,
}

impl Seen {
    fn of(state: u32, target: u64) -> Seen {
        match state & STATE {
            RAISED => Seen::Raised(state),
            ARMED => Seen::Armed { state, target },
            _ => Seen::Stopped,
        }
    }
}

impl Level {
    /// Raised, as the flag must be.
    pub(crate) fn new() -> Level {
        Level { state: AtomicU32::new(RAISED), target: AtomicU64::new(0) }
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state.load(Ordering::Acquire); // Partner: `change`; the target is seen.
        Seen::of(state, self.target.load(Ordering::Relaxed))
    }

    /// From one state to another; false if it is not the first.
    fn change(&self, from: u32, to: u32) -> bool {
        let next = (from & !STATE).wrapping_add(CHANGE) | to;
        self.state.compare_exchange(from, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Makes the flag say what the state is.
    fn show(&self, flag: &impl Flag) {
        loop {
            let state = self.state.load(Ordering::Acquire);
            match state & STATE {
                RAISED => flag.raise(),
                ARMED => flag.lower(),
                _ => return,
            }
            if self.state.load(Ordering::Acquire) == state {
                return;
            }
        }
    }

    /// For the watcher, which found the endpoint ready: from this armed state to raised. False if it has changed.
    pub(crate) fn raise(&self, armed: u32, flag: &impl Flag) -> bool {
        let raised = self.change(armed, RAISED);
        if raised {
            self.show(flag);
        }
        raised
    }

    /// For the endpoint, after an operation: whether it is ready, and otherwise what to wait for. Gives what was there before, if
    /// anything changed. Async-signal-safe.
    pub(crate) fn set(&self, ready: bool, target: u64, flag: &impl Flag) -> Option<Seen> {
        let mut from = self.state.load(Ordering::Acquire);
        let old = self.target.load(Ordering::Relaxed);
        let to = if ready { RAISED } else { ARMED };
        if from & STATE == to && (ready || old == target) {
            return None;
        }
        self.target.store(target, Ordering::Relaxed); // Partner: `change`, which releases it.
        while !self.change(from, to) {
            from = self.state.load(Ordering::Acquire);
        }
        self.show(flag);
        Some(Seen::of(from, old))
    }

    /// Changes the word and not the state, so that a watcher that is about to sleep on it looks again. Async-signal-safe.
    pub(crate) fn nudge(&self) {
        loop {
            let from = self.state.load(Ordering::Acquire);
            if from & STATE == STOPPED || self.change(from, from & STATE) {
                return;
            }
        }
    }

    /// The watcher is to end. Gives what was there before.
    pub(crate) fn stop(&self) -> Seen {
        let target = self.target.load(Ordering::Relaxed);
        loop {
            let from = self.state.load(Ordering::Acquire);
            if self.change(from, STOPPED) {
                return Seen::of(from, target);
            }
        }
    }
}
