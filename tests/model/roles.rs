//! A role's word against its lock (`role.rs`): what an observer is told while an owner comes, goes or is killed.

use super::kernel::{Description, File};
use super::words::{ring_without_fences, send, try_receive};
use super::{model, ALL};
use crate::ring::protocol::{is_empty, Receiver, Sender};
use crate::role::{Role, RoleState, RoleWord, Roles};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;
use RoleState::{Alive, Closed, Dead, Never};

const ROLE: Role = Role { index: 0, name: "owner" };

/// One role of one file.
struct Shared {
    word: RoleWord,
    file: File,
    /// What the owner has said outside of what is modelled, so that an observer knows it.
    said: Mutex<RoleState>,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { word: RoleWord::new(), file: File::new(), said: Mutex::new(Never) })
    }

    /// Process `number` attaches.
    fn attach(&self, number: u32) -> Roles<Description> {
        Roles::new(self.file.open(number))
    }

    fn own(&self, number: u32) -> Roles<Description> {
        let roles = self.attach(number);
        assert!(roles.take(ROLE).unwrap());
        self.word.open(number, None);
        roles
    }

    fn say(&self, state: RoleState) {
        *self.said.lock().unwrap() = state;
    }

    fn said(&self) -> RoleState {
        *self.said.lock().unwrap()
    }

    fn state(&self, observer: &Roles<Description>) -> RoleState {
        observer.state(ROLE, &self.word)
    }
}

/// Looks twice, and asserts that what is seen comes in this order.
fn looks_in_order(shared: &Shared, observer: &Roles<Description>, order: &[RoleState]) {
    let place = |state| order.iter().position(|other| *other == state);
    let (first, second) = (shared.state(observer), shared.state(observer));
    assert!(place(first).is_some() && place(first) <= place(second), "{first:?}, {second:?}");
}

#[test]
fn who_comes_and_goes_in_good_order_is_never_dead() {
    model(ALL, || {
        let shared = Shared::new();
        let inner = Arc::clone(&shared);
        let owner = thread::spawn(move || {
            let roles = inner.own(1);
            roles.give_up(ROLE, &inner.word);
        });
        let observer = shared.attach(2);
        looks_in_order(&shared, &observer, &[Never, Alive, Closed]);
        owner.join().unwrap();
        assert_eq!(shared.state(&observer), Closed);
    });
}

/// An observer that knows that the owner has opened and has not begun to go.
#[test]
fn who_has_a_role_is_alive() {
    model(ALL, || {
        let shared = Shared::new();
        let inner = Arc::clone(&shared);
        let owner = thread::spawn(move || {
            let roles = inner.own(1);
            inner.say(Alive);
            inner.say(Closed); // begins to
            roles.give_up(ROLE, &inner.word);
        });
        let observer = shared.attach(2);
        let before = shared.said();
        let state = shared.state(&observer);
        if before == Alive && shared.said() == Alive {
            assert_eq!(state, Alive);
        }
        owner.join().unwrap();
    });
}

/// Killed before its word, or after it.
#[test]
fn who_is_killed_is_dead_at_the_next_look() {
    for (opens, order) in [(true, &[Never, Alive, Dead][..]), (false, &[Never][..])] {
        model(ALL, move || {
            let shared = Shared::new();
            let inner = Arc::clone(&shared);
            let owner = thread::spawn(move || {
                let roles = inner.attach(1);
                assert!(roles.take(ROLE).unwrap());
                if opens {
                    inner.word.open(1, None);
                }
                roles.locks().die();
            });
            let observer = shared.attach(2);
            looks_in_order(&shared, &observer, order);
            owner.join().unwrap();
            assert_eq!(shared.state(&observer), order[order.len() - 1]);
        });
    }
}

/// The successor of one that died, or that closed, is alive from its word on, and not taken for its predecessor after that.
#[test]
fn a_successor_is_not_taken_for_its_predecessor() {
    for killed in [true, false] {
        model(ALL, move || {
            let shared = Shared::new();
            let first = shared.own(1);
            if killed {
                first.locks().die();
            } else {
                first.give_up(ROLE, &shared.word);
            }
            let inner = Arc::clone(&shared);
            let successor = thread::spawn(move || {
                let roles = inner.own(3);
                inner.say(Alive);
                roles
            });
            let observer = shared.attach(2);
            let knows = shared.said() == Alive;
            let before = if killed { Dead } else { Closed };
            looks_in_order(&shared, &observer, &[before, Alive][usize::from(knows)..]);
            let _held = successor.join().unwrap();
            assert_eq!(shared.state(&observer), Alive);
        });
    }
}

/// One owner is killed, and the next one gives up, under the eyes of an observer: no death is seen after that of the first.
#[test]
fn a_death_is_not_seen_twice() {
    model(Some(4), || {
        let shared = Shared::new();
        let first = shared.own(1);
        let inner = Arc::clone(&shared);
        let owners = thread::spawn(move || {
            first.locks().die();
            let second = inner.own(3);
            second.give_up(ROLE, &inner.word);
        });
        let observer = shared.attach(2);
        let seen = [(); 3].map(|()| shared.state(&observer));
        let changes = seen.windows(2).filter(|pair| pair[0] != Dead && pair[1] == Dead).count();
        let deaths = changes + usize::from(seen[0] == Dead);
        assert!(deaths <= 1 && !seen.contains(&Never), "{seen:?}");
        let closed = seen.iter().position(|state| *state == Closed).unwrap_or(seen.len());
        assert!(seen[closed..].iter().all(|state| *state == Closed), "{seen:?}");
        owners.join().unwrap();
        assert_eq!(shared.state(&observer), Closed);
    });
}

/// Who takes a dead owner's role, finds the segment damaged and puts the role back, leaves the death as it was.
#[test]
fn a_role_put_back_tells_of_the_owner_before() {
    model(ALL, || {
        let shared = Shared::new();
        shared.own(1).locks().die();
        let inner = Arc::clone(&shared);
        let refused = thread::spawn(move || {
            let roles = inner.attach(3);
            assert!(roles.take(ROLE).unwrap());
            roles.put_back(ROLE);
        });
        let observer = shared.attach(2);
        let state = shared.state(&observer);
        assert!(matches!(state, Dead | Alive), "{state:?}");
        refused.join().unwrap();
        assert_eq!(shared.state(&observer), Dead);
    });
}

/// Locks of one open file description do not conflict and do not show: threads that share a handle are told by what it
/// keeps itself.
#[test]
fn threads_that_share_a_handle_see_each_other() {
    model(ALL, || {
        let shared = Shared::new();
        let handle = Arc::new(shared.attach(1));
        let (inner, same) = (Arc::clone(&shared), Arc::clone(&handle));
        let owner = thread::spawn(move || {
            assert!(same.take(ROLE).unwrap());
            inner.word.open(1, None);
            same.give_up(ROLE, &inner.word);
        });
        looks_in_order(&shared, &handle, &[Never, Alive, Closed]);
        owner.join().unwrap();
        assert_eq!(shared.state(&handle), Closed);
    });
}

/// The lock goes to nobody on the way: neither thread gives up what the other has taken.
#[test]
fn a_role_passes_between_threads_that_share_a_handle() {
    model(ALL, || {
        let shared = Shared::new();
        let handle = Arc::new(shared.own(1));
        let (inner, same) = (Arc::clone(&shared), Arc::clone(&handle));
        let before = thread::spawn(move || same.give_up(ROLE, &inner.word));
        let got = handle.take(ROLE).unwrap();
        if got {
            shared.word.open(1, None);
        }
        before.join().unwrap();
        let state = shared.state(&shared.attach(2));
        assert_eq!(state, if got { Alive } else { Closed });
    });
}

#[test]
fn one_of_two_gets_the_role_whether_they_share_a_handle_or_not() {
    for numbers in [(1, 1), (1, 2)] {
        model(ALL, move || {
            let shared = Shared::new();
            let one = Arc::new(shared.attach(numbers.0));
            let other =
                if numbers.0 == numbers.1 { Arc::clone(&one) } else { Arc::new(shared.attach(numbers.1)) };
            let rival = thread::spawn(move || other.take(ROLE).unwrap());
            let got = one.take(ROLE).unwrap();
            assert!(got != rival.join().unwrap());
        });
    }
}

/// The order of `wait` in `wait.rs`: nothing there, the peer closed, one more look.
#[test]
fn who_hears_that_the_producer_closed_has_received_everything() {
    model(ALL, || {
        let shared = Shared::new();
        let memory = ring_without_fences(7);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let mut rx = Receiver::take_over(memory).unwrap();
        let roles = shared.own(1);
        let inner = Arc::clone(&shared);
        let producer = thread::spawn(move || {
            send(&mut tx, 1);
            send(&mut tx, 2);
            roles.give_up(ROLE, &inner.word);
        });
        let mut got = Vec::new();
        for _ in 0..3 {
            if let Some(value) = try_receive(&mut rx).unwrap() {
                got.push(value);
            } else if shared.word.closed().is_some() {
                got.extend(std::iter::from_fn(|| try_receive(&mut rx).unwrap()));
                assert_eq!(got, [1, 2]);
            }
        }
        producer.join().unwrap();
    });
}

/// `Endpoint::take` of a consumer while a producer sends and closes: a close with something left to receive counts.
#[test]
fn a_consumer_that_attaches_just_then_is_told_the_end_of_what_it_finds() {
    model(ALL, || {
        let shared = Shared::new();
        let memory = ring_without_fences(7);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let roles = shared.own(1);
        let inner = Arc::clone(&shared);
        let producer = thread::spawn(move || {
            send(&mut tx, 1);
            roles.give_up(ROLE, &inner.word);
        });
        let does_not_count = shared.word.closed_before(|| is_empty(&memory));
        let mut rx = Receiver::take_over(memory).unwrap();
        producer.join().unwrap();
        assert_eq!(try_receive(&mut rx).unwrap(), Some(1));
        assert_eq!(does_not_count, None);
    });
}
