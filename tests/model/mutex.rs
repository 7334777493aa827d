//! The mutex: exclusion, waiting, and owners that die.

use super::kernel::Futexes;
use super::model;
use crate::mutex::{Locked, Mutex};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Guarded {
    mutex: Mutex,
    kernel: Futexes,
    /// The lease of slot 0, once its participant is dead.
    lease: loom::sync::Mutex<()>,
    /// Touched by the owner, so that loom reports two without order between them.
    content: UnsafeCell<u64>,
}

fn guarded() -> Arc<Guarded> {
    Arc::new(Guarded {
        mutex: Mutex::new(),
        kernel: Futexes::new(),
        lease: loom::sync::Mutex::new(()),
        content: UnsafeCell::new(0),
    })
}

impl Guarded {
    /// As a call that waits.
    fn lock(&self, slot: u32) -> Locked {
        let mut found = self.mutex.try_lock(slot);
        while found.is_none() {
            self.mutex.unlocked.nap(&self.kernel, || {
                found = self.mutex.try_lock(slot);
                found.is_none().then_some(0)
            });
        }
        found.unwrap()
    }

    fn touch(&self) {
        self.content.with_mut(|content| {
            // SAFETY: loom says so if anybody else is here.
            unsafe { *content += 1 }
        });
    }

    fn use_it(&self, slot: u32) -> Locked {
        let locked = self.lock(slot);
        self.touch();
        self.mutex.unlock(None, &self.kernel);
        locked
    }

    /// What a call that waits does once a slice about the dead participant of slot 0.
    fn bury(&self) {
        let _lease = self.lease.lock().unwrap();
        self.mutex.bury(0, &self.kernel);
    }
}

#[test]
fn one_at_a_time_has_it_and_who_waits_gets_it() {
    model(Some(3), || {
        let guarded = guarded();
        let other = Arc::clone(&guarded);
        let waiting = thread::spawn(move || (0..2).for_each(|_| assert!(!other.use_it(1).abandoned)));
        (0..2).for_each(|_| assert!(!guarded.use_it(0).abandoned));
        waiting.join().unwrap();
    });
}

#[test]
fn of_two_that_wait_both_get_it() {
    model(Some(2), || {
        let guarded = guarded();
        let _ = guarded.lock(0);
        let waiting = [1, 2].map(|slot| {
            let guarded = Arc::clone(&guarded);
            thread::spawn(move || guarded.use_it(slot))
        });
        guarded.touch();
        guarded.mutex.unlock(None, &guarded.kernel);
        waiting.into_iter().for_each(|thread| assert!(!thread.join().unwrap().abandoned));
    });
}

/// Both find the owner dead; one of them sleeps already.
#[test]
fn the_next_owner_and_no_other_learns_that_the_last_one_died() {
    model(Some(3), || {
        let guarded = guarded();
        let _ = guarded.lock(0); // and dies
        let other = Arc::clone(&guarded);
        let waiting = thread::spawn(move || {
            other.bury();
            other.use_it(1).abandoned
        });
        guarded.bury();
        let first = guarded.use_it(2).abandoned;
        assert!(first ^ waiting.join().unwrap());
    });
}

/// Whoever buries wants nothing for itself.
#[test]
fn who_sleeps_is_woken_by_a_burial() {
    model(Some(3), || {
        let guarded = guarded();
        let _ = guarded.lock(0); // and dies
        let other = Arc::clone(&guarded);
        let waiting = thread::spawn(move || assert!(other.use_it(1).abandoned));
        guarded.bury();
        waiting.join().unwrap();
    });
}

/// Whoever buries when another owns it by then changes nothing.
#[test]
fn a_burial_does_not_touch_another_owner() {
    model(Some(3), || {
        let guarded = guarded();
        let other = Arc::clone(&guarded);
        let owner = thread::spawn(move || (0..2).for_each(|_| assert!(!other.use_it(1).abandoned)));
        guarded.bury();
        assert!(!guarded.use_it(2).abandoned);
        owner.join().unwrap();
    });
}
