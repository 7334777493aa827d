//! Events: sleepers, notifiers, and a bit that one who sleeps no more left behind.

use super::kernel::Futexes;
use super::model;
use crate::event::Event;
use crate::sync::{AtomicU32, Ordering};
use loom::sync::Arc;
use loom::thread;

/// Something that changes, and its event.
struct Thing {
    value: AtomicU32,
    changed: Event,
    kernel: Futexes,
}

/// With the bit of a sleeper that died.
fn thing() -> Arc<Thing> {
    let thing = Thing { value: AtomicU32::new(0), changed: Event::new(), kernel: Futexes::new() };
    thing.changed.0.fetch_or(1, Ordering::SeqCst);
    Arc::new(thing)
}

impl Thing {
    fn change(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
        self.changed.notify(&self.kernel, 1);
    }

    /// Returns once the value is at least this.
    fn wait_for(&self, least: u32) {
        let there = || self.value.load(Ordering::Relaxed) >= least;
        while !there() {
            self.changed.nap(&self.kernel, || (!there()).then_some(0));
        }
    }
}

/// The first change finds the bit and nobody asleep, and clears it, while the sleeper relies on it for the second.
#[test]
fn who_relies_on_a_stale_bit_is_woken() {
    model(Some(3), || {
        let thing = thing();
        let theirs = Arc::clone(&thing);
        let sleeper = thread::spawn(move || theirs.wait_for(2));
        thing.change();
        thing.change();
        sleeper.join().unwrap();
    });
}

/// One change clears the bit, another sleeper sets it again.
#[test]
fn a_bit_cleared_and_set_again_is_not_the_one_announced() {
    model(Some(2), || {
        let thing = thing();
        let sleepers = [1, 2].map(|least| {
            let theirs = Arc::clone(&thing);
            thread::spawn(move || theirs.wait_for(least))
        });
        thing.change();
        thing.change();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    });
}
