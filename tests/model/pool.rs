//! The pool's protocol: magazines and who empties them, sleeping, handing over, reclaiming. One block is enough for all of it.

use super::kernel::Futexes;
use super::model;
use crate::event::{Event, Kernel};
use crate::pool::layout::{BlockId, Cell, Magazine, State};
use crate::pool::protocol::{Memory, Store};
use crate::slots::Slots;
use crate::sync::{AtomicU64, Ordering};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// A pool of one block.
struct Block {
    cell: AtomicU64,
    hints: AtomicU64,
    magazines: Vec<Magazine>,
    freed: Event,
    kernel: Futexes,
    /// Touched by who owns the block, so that loom reports two owners without order between them.
    content: UnsafeCell<u64>,
}

type Shared = Arc<Block>;

fn pool(participants: u32) -> Shared {
    Arc::new(Block {
        cell: AtomicU64::new(0),
        hints: AtomicU64::new(0),
        magazines: (0..participants).map(|_| Magazine::new()).collect(),
        freed: Event::new(),
        kernel: Futexes::new(),
        content: UnsafeCell::new(0),
    })
}

impl Memory for Shared {
    fn blocks(&self) -> u32 {
        1
    }
    fn participants(&self) -> u32 {
        self.magazines.len() as u32
    }
    fn cell(&self, _block: u32) -> &AtomicU64 {
        &self.cell
    }
    fn hints(&self, _word: u32) -> &AtomicU64 {
        &self.hints
    }
    fn magazine(&self, slot: u32) -> &Magazine {
        &self.magazines[slot as usize]
    }
    fn freed(&self) -> &Event {
        &self.freed
    }
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
}

/// A participant; its thread has the number of its slot.
struct Participant {
    store: Store<Shared>,
    thread: u64,
}

impl Participant {
    fn new(memory: &Shared, slot: u32) -> Participant {
        Participant { store: Store::new(memory.clone(), slot), thread: u64::from(slot) + 1 }
    }

    fn take(&self) -> Option<BlockId> {
        self.store.take(self.thread)
    }

    /// As an acquire that does not wait.
    fn look_everywhere(&self) -> (Option<BlockId>, bool) {
        let (_, more) = self.store.gather();
        (self.take(), more)
    }

    /// As an acquire that waits.
    fn wait(&self) -> BlockId {
        loop {
            if let Some(id) = self.take() {
                return id;
            }
            let mut found = None;
            let mut again = false;
            self.store.nap(|| {
                (found, again) = self.look_everywhere();
                (found.is_none() && !again).then_some(0)
            });
            if let Some(id) = found {
                return id;
            }
            if again {
                thread::yield_now(); // in production, a millisecond
            }
        }
    }

    /// What only an owner may do.
    fn touch(&self) {
        self.store.memory().content.with_mut(|content| {
            // SAFETY: loom says so if anybody else is here.
            unsafe { *content += 1 }
        });
    }

    fn give(&self, id: BlockId) {
        assert!(self.store.give(id, self.thread), "the owner gives it back");
        assert!(!self.store.give(id, self.thread), "once");
    }
}

/// The owner of a magazine is at it while another empties it.
#[test]
fn a_block_that_is_kept_ready_is_had_by_one_at_a_time() {
    model(Some(3), || {
        let memory = pool(2);
        let [a, b] = [0, 1].map(|slot| Participant::new(&memory, slot));
        let first = a.take().unwrap();
        a.touch();
        a.give(first);
        let other = thread::spawn(move || {
            let id = b.take().or_else(|| b.look_everywhere().0);
            if let Some(id) = id {
                b.touch();
                b.give(id);
            }
        });
        for _ in 0..2 {
            if let Some(id) = a.take() {
                a.touch();
                a.give(id);
            }
        }
        other.join().unwrap();
        let state = Cell(memory.cell.load(Ordering::Relaxed)).state();
        assert!(matches!(state, Some(State::Free | State::Cached)), "{state:?}");
        assert!(a.take().or_else(|| a.look_everywhere().0).is_some(), "and it is still to be had");
    });
}

/// The release may go to the magazine just before the other announces its sleep.
#[test]
fn who_waits_for_a_block_is_woken_by_its_release() {
    model(Some(2), || {
        let memory = pool(2);
        let [a, b] = [0, 1].map(|slot| Participant::new(&memory, slot));
        let held = a.take().unwrap();
        let waiting = thread::spawn(move || {
            let id = b.wait();
            b.touch();
            b.give(id);
        });
        a.touch();
        a.give(held);
        waiting.join().unwrap();
    });
}

/// Both wait for the same one: the second is woken by the first.
#[test]
fn two_that_wait_both_get_it() {
    model(Some(1), || {
        let memory = pool(3);
        let [a, b, c] = [0, 1, 2].map(|slot| Participant::new(&memory, slot));
        let held = a.take().unwrap();
        let waiting = [b, c].map(|participant| {
            thread::spawn(move || {
                let id = participant.wait();
                participant.touch();
                participant.give(id);
            })
        });
        a.give(held);
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Takes what the record hands over, as soon as that is committed.
fn receive(memory: &Shared, record: &AtomicU64, slot: u32) -> Option<bool> {
    let id = record.load(Ordering::Acquire);
    (id != 0).then(|| {
        let b = Participant::new(memory, slot);
        let taken = b.store.receive(BlockId::from_raw(id), 0, 5);
        if let Some(id) = taken {
            b.touch();
            b.give(id);
        }
        taken.is_some()
    })
}

#[test]
fn what_is_handed_over_is_had_by_its_receiver_with_its_content() {
    model(Some(4), || {
        let (memory, record) = (pool(2), Arc::new(AtomicU64::new(0)));
        let (theirs, their_record) = (memory.clone(), record.clone());
        let receiver = thread::spawn(move || receive(&theirs, &their_record, 1));
        let a = Participant::new(&memory, 0);
        let id = a.take().unwrap();
        a.touch();
        assert!(a.store.begin_send(id));
        record.store(id.get(), Ordering::Release);
        a.store.finish_send(id, 5);
        assert!(!a.store.give(id, a.thread), "it is the sender's no more");
        match receiver.join().unwrap() {
            Some(taken) => assert!(taken, "what was sent is there"),
            None => assert_eq!(receive(&memory, &record, 1), Some(true)),
        }
    });
}

/// The sender dies between the record and the rest: the receiver has the block, or the pool, and not both.
#[test]
fn a_sender_that_dies_in_between_leaves_its_block_to_one() {
    model(Some(4), || {
        let (memory, record) = (pool(3), Arc::new(AtomicU64::new(0)));
        {
            let a = Participant::new(&memory, 0);
            let id = a.take().unwrap();
            a.touch();
            assert!(a.store.begin_send(id));
            record.store(id.get(), Ordering::Release);
        }
        let theirs = memory.clone();
        let receiver = thread::spawn(move || receive(&theirs, &record, 1));
        // The lock on the slot of the dead orders this behind what it did.
        let c = Participant::new(&memory, 2);
        let reclaimed = c.store.reclaim(&Slots::one(0));
        if let Some(id) = c.take() {
            c.touch();
            c.give(id);
        }
        let taken = receiver.join().unwrap().expect("it was committed");
        assert_eq!(u32::from(taken) + reclaimed, 1);
        let state = Cell(memory.cell.load(Ordering::Relaxed)).state();
        assert!(matches!(state, Some(State::Free | State::Cached)), "{state:?}");
    });
}

/// Whoever empties a magazine dies; its owner, who was kept from it, and a third find the block all the same.
#[test]
fn one_that_dies_while_it_empties_a_magazine_keeps_nobody_from_it() {
    model(Some(3), || {
        let memory = pool(3);
        let [a, c] = [0, 2].map(|slot| Participant::new(&memory, slot));
        let id = a.take().unwrap();
        a.give(id);
        memory.magazines[0].revoked.store(2, Ordering::SeqCst); // by slot 1, which dies here
        let owner = thread::spawn(move || {
            if let Some(id) = a.take() {
                a.touch();
                a.give(id);
            }
        });
        c.store.reclaim(&Slots::one(1));
        if let Some(id) = c.take().or_else(|| c.look_everywhere().0) {
            c.touch();
            c.give(id);
        }
        owner.join().unwrap();
        assert!(c.take().or_else(|| c.look_everywhere().0).is_some());
    });
}

/// A sender is so late to say "in flight" that its block has come back to it, and is on its way again.
#[test]
fn a_late_sender_does_not_touch_its_block_when_that_comes_round() {
    model(Some(3), || {
        let memory = pool(2);
        let a = Arc::new(Participant::new(&memory, 0));
        let id = a.take().unwrap();
        assert!(a.store.begin_send(id));
        let late = Arc::clone(&a);
        let finishing = thread::spawn(move || late.store.finish_send(id, 5));
        // The same handle, in another thread, receives the block and sends it through another ring.
        let again = a.store.receive(id, 0, 5).expect("it was sent");
        assert!(a.store.begin_send(again));
        finishing.join().unwrap();
        a.store.finish_send(again, 6);
        let b = Participant::new(&memory, 1);
        assert!(b.store.receive(again, 0, 6).is_some(), "by the ring that carries it");
    });
}

/// The bit is set by one that sleeps no more, and is being cleared while another goes to sleep.
#[test]
fn who_goes_to_sleep_while_a_stale_bit_is_cleared_is_woken() {
    model(Some(2), || {
        let memory = pool(3);
        let [a, b, c] = [0, 1, 2].map(|slot| Participant::new(&memory, slot));
        memory.freed.0.fetch_or(1, Ordering::SeqCst);
        let held = a.take().unwrap();
        let waiting = thread::spawn(move || {
            let id = b.wait();
            b.touch();
            b.give(id);
        });
        a.give(held);
        if let Some(id) = c.take() {
            c.touch();
            c.give(id);
        }
        waiting.join().unwrap();
    });
}

/// A semaphore: each permit that is supplied is used up once, by who waits for it.
#[test]
fn a_permit_that_is_supplied_is_consumed_once() {
    model(Some(3), || {
        let memory = pool(2);
        let [a, b] = [0, 1].map(|slot| Participant::new(&memory, slot));
        a.store.begin_with(0); // none is there
        let waiting = thread::spawn(move || {
            for _ in 0..2 {
                let id = b.wait();
                b.touch();
                assert!(b.store.use_up(id), "nobody else has it");
                assert!(!b.store.use_up(id) && !b.store.give(id, b.thread), "it is used up");
            }
        });
        for _ in 0..2 {
            while !a.store.supply() {
                thread::yield_now(); // until the one before is used up
            }
        }
        waiting.join().unwrap();
        assert_eq!(Cell(memory.cell.load(Ordering::Relaxed)).state(), Some(State::Absent));
    });
}
