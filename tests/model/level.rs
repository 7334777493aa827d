//! The state behind a descriptor: an endpoint that arms it, a watcher that raises it, and something that becomes ready.

use super::kernel::Futex;
use super::model;
use crate::level::{Flag, Level, Seen};
use crate::sync::{AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// The descriptor. The kernel orders what is done with it, and so what is around that; who polls it sleeps until it is raised.
struct Raised {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Raised {
    fn set(&self, raised: bool) {
        *self.raised.lock().unwrap() = raised;
        self.changed.notify_all();
    }

    fn poll(&self) {
        let mut raised = self.raised.lock().unwrap();
        while !*raised {
            raised = self.changed.wait(raised).unwrap();
        }
    }
}

impl Flag for Raised {
    fn raise(&self) {
        self.set(true);
    }
    fn lower(&self) {
        self.set(false);
    }
}

struct Endpoint {
    level: Level,
    flag: Raised,
    parked: Futex,
    /// Records sent, and the sleep of who waits for the next.
    sent: AtomicU64,
    arrived: Futex,
}

fn endpoint() -> Arc<Endpoint> {
    Arc::new(Endpoint {
        level: Level::new(),
        flag: Raised { raised: Mutex::new(true), changed: Condvar::new() },
        parked: Futex::new(),
        sent: AtomicU64::new(0),
        arrived: Futex::new(),
    })
}

impl Endpoint {
    fn send(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.arrived.wake();
    }

    /// As `Watcher::update`, with so many records received.
    fn update(&self, received: u64) {
        let ready = self.sent.load(Ordering::SeqCst) > received;
        if let Some(before) = self.level.set(ready, received, &self.flag) {
            self.parked.wake();
            if let Seen::Armed { .. } = before {
                self.arrived.wake();
            }
        }
    }

    fn stop(&self) {
        self.level.stop();
        self.parked.wake();
        self.arrived.wake();
    }

    /// As `Shared::watch`; says how many it raised for.
    fn watch(&self) {
        loop {
            match self.level.seen() {
                Seen::Stopped => return,
                Seen::Raised(state) => {
                    self.parked.wait(|| self.level.state.load(Ordering::Relaxed) == state);
                }
                Seen::Armed { state, target } => {
                    if self.sent.load(Ordering::SeqCst) > target {
                        self.level.raise(state, &self.flag);
                    } else {
                        let still = || self.level.seen() == Seen::Armed { state, target };
                        self.arrived.wait(|| self.sent.load(Ordering::SeqCst) <= target && still());
                    }
                }
            }
        }
    }

    fn is_raised(&self) -> bool {
        *self.flag.raised.lock().unwrap()
    }
}

/// Two threads arm and raise it by what they last saw, while the watcher raises it: when all are through, the flag says what
/// the state is.
#[test]
fn the_flag_says_in_the_end_what_the_state_is() {
    model(Some(2), || {
        let endpoint = endpoint();
        endpoint.update(0);
        let [watching, other] = [(); 2].map(|()| Arc::clone(&endpoint));
        let watcher = thread::spawn(move || {
            watching.send();
            for _ in 0..2 {
                match watching.level.seen() {
                    Seen::Armed { state, target } if watching.sent.load(Ordering::SeqCst) > target => {
                        watching.level.raise(state, &watching.flag);
                    }
                    _ => {}
                }
            }
        });
        let user = thread::spawn(move || other.update(1));
        endpoint.update(0);
        watcher.join().unwrap();
        user.join().unwrap();
        assert_eq!(endpoint.is_raised(), matches!(endpoint.level.seen(), Seen::Raised(_)));
    });
}

/// A program that polls, and finds nothing, is told of what comes.
#[test]
fn who_polls_is_told_of_what_comes() {
    model(Some(2), || {
        let endpoint = endpoint();
        let [watching, sending] = [(); 2].map(|()| Arc::clone(&endpoint));
        let watcher = thread::spawn(move || watching.watch());
        let sender = thread::spawn(move || sending.send());
        endpoint.update(0);
        endpoint.flag.poll();
        sender.join().unwrap();
        endpoint.stop();
        watcher.join().unwrap();
    });
}
