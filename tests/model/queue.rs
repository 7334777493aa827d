//! The work queue: each message is had by one, whole; what was pushed or put back is found; the room comes back; and what the dead
//! left is recovered beside those who go on.

use super::kernel::Futexes;
use super::model;
use crate::event::Kernel;
use crate::queue::layout::{Control, Envelope, Hints, LANES};
use crate::queue::protocol::{Memory, Store, Taken};
use crate::slots::Slots;
use crate::sync::AtomicU64;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Words {
    control: Control,
    hints: Vec<Hints>,
    lanes: Vec<AtomicU64>,
    aside: AtomicU64,
    cells: Vec<Envelope>,
    /// Touched by who writes and reads a message, so that loom reports two at it without order between them.
    content: Vec<UnsafeCell<u64>>,
    kernel: Futexes,
}

type Shared = Arc<Words>;

/// A queue of so many cells, and as many entries to a lane.
fn queue(depth: usize) -> Shared {
    let words = Arc::new(Words {
        control: Control::new(),
        hints: (0..LANES).map(|_| Hints::new()).collect(),
        lanes: (0..LANES as usize * depth).map(|_| AtomicU64::new(0)).collect(),
        aside: AtomicU64::new(0),
        cells: (0..depth).map(|_| Envelope::new()).collect(),
        content: (0..depth).map(|_| UnsafeCell::new(0)).collect(),
        kernel: Futexes::new(),
    });
    participant(&words, 0).begin().unwrap();
    words
}

impl Memory for Shared {
    fn depth(&self) -> u32 {
        self.cells.len() as u32
    }
    fn entries(&self) -> u32 {
        self.cells.len() as u32
    }
    fn control(&self) -> &Control {
        &self.control
    }
    fn hints(&self, lane: u32) -> &Hints {
        &self.hints[lane as usize]
    }
    fn entry(&self, lane: u32, entry: u32) -> &AtomicU64 {
        &self.lanes[(lane * self.entries() + entry) as usize]
    }
    fn aside(&self, _word: u32) -> &AtomicU64 {
        &self.aside
    }
    fn cell(&self, index: u32) -> &Envelope {
        &self.cells[index as usize]
    }
    fn room(&self) -> usize {
        8
    }
    fn write(&self, index: u32, message: &[u8]) {
        let value = u64::from_le_bytes(message.try_into().unwrap());
        // SAFETY: loom says so if anybody else is here.
        self.content[index as usize].with_mut(|content| unsafe { *content = value });
    }
    fn read(&self, index: u32, to: &mut [u8]) {
        // SAFETY: as above.
        let value = self.content[index as usize].with(|content| unsafe { *content });
        to.copy_from_slice(&value.to_le_bytes());
    }
    fn expect(&self, _index: u32) {}
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
}

fn participant(memory: &Shared, slot: u32) -> Store<Shared> {
    Store::new(memory.clone(), slot, 0)
}

fn publish(store: &Store<Shared>, index: u32, value: u64, priority: u32) {
    store.fill(index, &value.to_le_bytes());
    store.publish(index, priority).unwrap();
}

fn try_push(store: &Store<Shared>, value: u64) -> bool {
    let claimed = store.claim().unwrap();
    claimed.is_some_and(|index| {
        publish(store, index, value, 1);
        true
    })
}

/// As a push that waits.
fn push(store: &Store<Shared>, value: u64) {
    let memory = store.memory();
    let mut claimed = None;
    while claimed.is_none() {
        claimed = store.claim().unwrap();
        if claimed.is_none() {
            memory.control.freed.nap(&memory.kernel, || {
                claimed = store.claim().unwrap();
                claimed.is_none().then_some(0)
            });
        }
    }
    publish(store, claimed.unwrap(), value, 1);
}

fn try_take(store: &Store<Shared>) -> Option<Taken> {
    store.take(8).unwrap()
}

/// As a take that waits.
fn take(store: &Store<Shared>) -> Taken {
    let memory = store.memory();
    let mut taken = None;
    while taken.is_none() {
        taken = try_take(store);
        if taken.is_none() {
            memory.control.pushed.nap(&memory.kernel, || {
                taken = try_take(store);
                taken.is_none().then_some(0)
            });
        }
    }
    taken.unwrap()
}

/// Reads it, and is done with it.
fn finish(store: &Store<Shared>, taken: Taken) -> u64 {
    let mut bytes = [0; 8];
    store.read(taken.ticket, &mut bytes).unwrap();
    assert!(store.acknowledge(taken.ticket).unwrap(), "it was taken");
    assert!(!store.acknowledge(taken.ticket).unwrap() && !store.put_back(taken.ticket), "once");
    u64::from_le_bytes(bytes)
}

/// All messages that are there, in order; and then all the room is.
fn drain(store: &Store<Shared>) -> Vec<u64> {
    let left: Vec<_> = std::iter::from_fn(|| try_take(store).map(|taken| finish(store, taken))).collect();
    let depth = store.memory().depth();
    (0..depth).for_each(|_| assert!(store.claim().unwrap().is_some(), "room"));
    assert_eq!(store.claim().unwrap(), None, "no more than that");
    left
}

/// Also: who has pushed finds a message, wherever others are.
#[test]
fn two_that_push_at_once_both_have() {
    model(Some(1), || {
        let memory = queue(2);
        let [a, b] = [0, 1].map(|slot| participant(&memory, slot));
        let other = thread::spawn(move || {
            assert!(try_push(&b, 2));
            try_take(&b).map(|taken| finish(&b, taken)).expect("what was pushed is found")
        });
        assert!(try_push(&a, 1));
        let mine = try_take(&a).map(|taken| finish(&a, taken)).expect("what was pushed is found");
        let theirs = other.join().unwrap();
        assert_eq!(mine + theirs, 3);
        assert_eq!(drain(&a), [0; 0]);
    });
}

/// One cell, and so one entry to a lane: everything is used again at once.
#[test]
fn who_waits_for_a_message_or_for_room_is_woken() {
    model(Some(2), || {
        let memory = queue(1);
        let [a, b] = [0, 1].map(|slot| participant(&memory, slot));
        let pushing = thread::spawn(move || (1..=2).for_each(|value| push(&a, value)));
        for value in 1..=2 {
            let taken = take(&b);
            assert_eq!(finish(&b, taken), value);
        }
        pushing.join().unwrap();
        assert_eq!(drain(&b), [0; 0]);
    });
}

#[test]
fn two_that_take_have_one_each_and_then_there_is_room() {
    model(Some(1), || {
        let memory = queue(2);
        let [a, b] = [0, 1].map(|slot| participant(&memory, slot));
        assert!(try_push(&a, 1) && try_push(&a, 2));
        let work = |store: &Store<Shared>| {
            let taken = try_take(store).expect("one each");
            let value = finish(store, taken);
            let room = store.claim().unwrap().expect("what was done with has made room");
            publish(store, room, value + 10, 0);
            value
        };
        let other = thread::spawn(move || work(&b));
        assert_eq!(work(&a) + other.join().unwrap(), 3);
        let mut left = drain(&a);
        left.sort_unstable();
        assert_eq!(left, [11, 12]);
    });
}

/// A taker is late, while the cell that it saw goes round.
#[test]
fn a_late_taker_has_a_whole_message_or_none() {
    model(Some(2), || {
        let memory = queue(1);
        let [a, b] = [0, 1].map(|slot| participant(&memory, slot));
        assert!(try_push(&a, 1));
        let late = thread::spawn(move || try_take(&b).map(|taken| finish(&b, taken)));
        if let Some(taken) = try_take(&a) {
            assert_eq!(finish(&a, taken), 1);
            assert!(try_push(&a, 2));
        }
        match late.join().unwrap() {
            Some(value) => {
                assert!((1..=2).contains(&value));
                assert_eq!(drain(&a), [0; 0]);
            }
            None => assert_eq!(drain(&a), [2]),
        }
    });
}

#[test]
fn what_is_put_back_is_found_before_what_came_later() {
    model(Some(2), || {
        let memory = queue(2);
        let [a, b] = [0, 1].map(|slot| participant(&memory, slot));
        assert!(try_push(&a, 1) && try_push(&a, 2));
        let first = try_take(&a).unwrap();
        let other = thread::spawn(move || {
            let taken = take(&b);
            finish(&b, taken)
        });
        assert!(a.put_back(first.ticket));
        let next = try_take(&a).expect("one was put back, and one is there").ticket;
        assert!(a.put_back(next), "again");
        let theirs = other.join().unwrap();
        assert_eq!(drain(&a), [3 - theirs]);
    });
}

/// One finds nothing that was put back, and says so, just as another puts one back.
#[test]
fn who_finds_nothing_that_was_put_back_does_not_hide_what_is() {
    model(Some(3), || {
        let memory = queue(1);
        let [a, b, c] = [0, 1, 2].map(|slot| participant(&memory, slot));
        assert!(try_push(&a, 1));
        let held = try_take(&a).unwrap();
        let looking = thread::spawn(move || try_take(&b).map(|taken| assert!(b.put_back(taken.ticket))));
        assert!(a.put_back(held.ticket));
        looking.join().unwrap();
        let taken = try_take(&c).expect("it is there");
        assert_eq!(finish(&c, taken), 1);
        assert_eq!(drain(&c), [0; 0]);
    });
}

/// What the dead left of a push, as far as it came.
#[test]
fn a_push_that_was_cut_short_has_happened_or_not() {
    for published in [false, true] {
        model(Some(3), move || {
            let memory = queue(2);
            let [dead, a, b] = [0, 1, 2].map(|slot| participant(&memory, slot));
            let index = dead.claim().unwrap().unwrap();
            if published {
                publish(&dead, index, 1, 1);
            }
            let taking = thread::spawn(move || {
                let taken = try_take(&b).map(|taken| finish(&b, taken));
                assert!(try_push(&b, 2), "there is room for another, whoever died");
                taken
            });
            a.bury(&Slots::one(0)).unwrap();
            let taken = taking.join().unwrap();
            assert_eq!(taken.is_some(), published, "what was pushed is there");
            a.bury(&Slots::one(0)).unwrap(); // again, by one who does not know
            assert_eq!(drain(&a), [2]);
        });
    }
}

/// One is late to claim a cell; whoever freed that cell has claimed it meanwhile, and died; and it was buried.
#[test]
fn a_late_claim_is_of_a_cell_that_stands_in_its_lane() {
    model(Some(2), || {
        let memory = queue(1);
        let [dead, a, b] = [0, 1, 2].map(|slot| participant(&memory, slot));
        let late = thread::spawn(move || try_push(&b, 1));
        let claimed = dead.claim().unwrap().is_some();
        a.bury(&Slots::one(0)).unwrap();
        let pushed = late.join().unwrap();
        assert!(pushed || claimed, "one has it");
        assert_eq!(drain(&a), if pushed { vec![1] } else { vec![] });
    });
}

/// What it had taken comes back; what it had freed is free once, also where another takes it meanwhile.
#[test]
fn what_the_dead_had_is_had_by_one() {
    for acknowledged in [false, true] {
        model(Some(2), move || {
            let memory = queue(2);
            let [dead, a, b] = [0, 1, 2].map(|slot| participant(&memory, slot));
            assert!(try_push(&dead, 1));
            let held = try_take(&dead).unwrap();
            if acknowledged {
                assert!(dead.acknowledge(held.ticket).unwrap());
            }
            let going_on = thread::spawn(move || {
                assert!(try_push(&b, 2));
                try_take(&b).map(|taken| finish(&b, taken)).expect("at least its own")
            });
            a.bury(&Slots::one(0)).unwrap();
            let theirs = going_on.join().unwrap();
            let mut all = drain(&a);
            all.push(theirs);
            all.sort_unstable();
            assert_eq!(all, if acknowledged { vec![2] } else { vec![1, 2] });
        });
    }
}

/// It died between the word that says that a cell is free and the lane.
#[test]
fn a_cell_that_did_not_come_into_the_free_lane_is_put_there() {
    model(Some(4), || {
        let memory = queue(2);
        let [dead, a, b] = [0, 1, 2].map(|slot| participant(&memory, slot));
        assert!(try_push(&dead, 1));
        let held = try_take(&dead).unwrap();
        assert_eq!(dead.free_without_the_lane(held.ticket), Some(0));
        let going_on = thread::spawn(move || {
            push(&b, 2);
            push(&b, 3); // As soon as there is room again.
        });
        a.bury(&Slots::one(0)).unwrap();
        going_on.join().unwrap();
        assert_eq!(drain(&a), [2, 3]);
    });
}
