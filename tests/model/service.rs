//! The service: requests that several servers may take, replies that come late or never, clients and servers that die.

use super::kernel::Futexes;
use super::{model, ALL};
use crate::event::Kernel;
use crate::service::answering::{Aim, Answering, Found};
use crate::service::asking::{announce, Asking, Outcome, Which};
use crate::service::layout::{Answer, Channel, Control, ReplyCell, RequestCell};
use crate::service::protocol::{
    bury, claim, give_up, nap_for_reply, nap_for_request, serve, stop_serving, End, Memory, Place,
};
use crate::sync::AtomicU32;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Words {
    control: Control,
    serves: Vec<AtomicU32>,
    channel: Channel,
    requests: Vec<RequestCell>,
    replies: Vec<ReplyCell>,
    /// What is in the cells, so that loom reports two who touch one without order between them.
    asked: Vec<UnsafeCell<u8>>,
    answered: Vec<UnsafeCell<u8>>,
    kernel: Futexes,
}

type Shared = Arc<Words>;

/// One client, of participant 0, and so many cells of a byte each; servers are participants 1 and 2.
fn service(depth: usize) -> Shared {
    Arc::new(Words {
        control: Control::new(),
        serves: (0..3).map(|_| AtomicU32::new(0)).collect(),
        channel: Channel::new(),
        requests: (0..depth).map(|_| RequestCell::new()).collect(),
        replies: (0..depth).map(|_| ReplyCell::new()).collect(),
        asked: (0..depth).map(|_| UnsafeCell::new(0)).collect(),
        answered: (0..depth).map(|_| UnsafeCell::new(0)).collect(),
        kernel: Futexes::new(),
    })
}

impl Memory for Shared {
    fn participants(&self) -> u32 {
        self.serves.len() as u32
    }
    fn channels(&self) -> u32 {
        1
    }
    fn depth(&self) -> u64 {
        self.requests.len() as u64
    }
    fn max_request(&self) -> usize {
        1
    }
    fn max_reply(&self) -> usize {
        1
    }
    fn control(&self) -> &Control {
        &self.control
    }
    fn serves(&self, slot: u32) -> &AtomicU32 {
        &self.serves[slot as usize]
    }
    fn channel(&self, _channel: u32) -> &Channel {
        &self.channel
    }
    fn request(&self, place: Place) -> &RequestCell {
        &self.requests[place.cell as usize]
    }
    fn reply(&self, place: Place) -> &ReplyCell {
        &self.replies[place.cell as usize]
    }
    fn write_request(&self, place: Place, from: &[u8]) {
        // SAFETY: loom sees to it that nobody else is there.
        self.asked[place.cell as usize].with_mut(|at| unsafe { *at = from[0] });
    }
    fn read_request(&self, place: Place, to: &mut [u8]) {
        // SAFETY: as above.
        to[0] = self.asked[place.cell as usize].with(|at| unsafe { *at });
    }
    fn write_reply(&self, place: Place, from: &[u8]) {
        // SAFETY: as above.
        self.answered[place.cell as usize].with_mut(|at| unsafe { *at = from[0] });
    }
    fn read_reply(&self, place: Place, to: &mut [u8]) {
        // SAFETY: as above.
        to[0] = self.answered[place.cell as usize].with(|at| unsafe { *at });
    }
    fn prepare_reply(&self, _place: Place) {}
    fn expect_reply(&self, _place: Place) {}
    fn expect_request(&self, _place: Place) {}
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
    fn now(&self) -> u64 {
        0
    }
}

fn client(memory: &Shared) -> Asking<Shared> {
    let channel = claim(memory, 0).expect("nobody has it");
    Asking::take_over(memory.clone(), channel).unwrap()
}

fn server(memory: &Shared, slot: u32) -> Answering<Shared> {
    serve(memory, slot);
    Answering::new(memory.clone(), slot)
}

/// Asks, if there is a free cell.
fn ask(client: &mut Asking<Shared>, value: u8) -> Option<u64> {
    let id = client.ask(&[value], u64::MAX);
    announce(client.memory());
    id
}

/// Takes a request, if there is one; its id and what was asked.
fn take(server: &mut Answering<Shared>) -> Option<(u64, u8)> {
    let Found::Taken(taken) = server.find(Aim::Take(1)).unwrap()? else { panic!("one byte fits") };
    let mut value = [0];
    server.read(&taken, &mut value);
    Some((taken.id, value[0]))
}

/// Waits for a request; a wake-up that is lost is a deadlock.
fn take_next(server: &mut Answering<Shared>) -> (u64, u8) {
    loop {
        if let Some(taken) = take(server) {
            return taken;
        }
        let memory = server.memory().clone();
        nap_for_request(&memory, 0, || server.find(Aim::Look).unwrap().is_some());
    }
}

/// The reply to `value` is 100 more.
fn reply(server: &Answering<Shared>, id: u64, value: u8) {
    let place = server.holds(id).expect("it has it");
    server.answer(place, id, &[value + 100], Answer::Reply);
    assert_eq!(server.holds(id), None, "answered");
}

type Ended = (u64, Outcome, u8);

fn find(client: &Asking<Shared>, which: Which) -> Option<(u64, Outcome)> {
    client.look(which).or_else(|| client.look_for_end(which))
}

/// What was replied, and is done with it.
fn end(client: &mut Asking<Shared>, (id, outcome): (u64, Outcome)) -> Ended {
    let mut value = [0];
    if let Outcome::Answered(_) = outcome {
        assert_eq!(client.len(id).unwrap(), 1);
        client.read(id, &mut value);
    }
    client.end(id, outcome);
    (id, outcome, value[0])
}

/// How a request ended, if it did; with what was replied.
fn look(client: &mut Asking<Shared>, which: Which) -> Option<Ended> {
    find(client, which).map(|found| end(client, found))
}

/// Waits for that; as above.
fn wait(client: &mut Asking<Shared>, which: Which) -> Ended {
    let memory = client.memory().clone();
    let mut found = find(client, which);
    while found.is_none() {
        nap_for_reply(&memory, 0, 0, || {
            found = find(client, which);
            found.is_some()
        });
        found = found.or_else(|| find(client, which));
    }
    end(client, found.expect("it ended"))
}

const REPLY: Outcome = Outcome::Answered(Answer::Reply);

/// In one cell, so that each reply is where the one before was.
#[test]
fn each_call_gets_the_reply_to_its_request_and_nobody_sleeps_for_ever() {
    model(Some(2), || {
        let memory = service(1);
        let mut asks = client(&memory);
        let mut answers = server(&memory, 1);
        let answering = thread::spawn(move || {
            for _ in 0..2 {
                let (id, value) = take_next(&mut answers);
                reply(&answers, id, value);
            }
        });
        for value in 0..2 {
            let id = ask(&mut asks, value).expect("a free cell");
            assert_eq!(wait(&mut asks, Which::One(id)), (id, REPLY, value + 100));
        }
        answering.join().unwrap();
    });
}

/// Answers what it finds, and says what that was.
fn answer_all(server: &mut Answering<Shared>) -> Vec<(u64, u8)> {
    let mut all = Vec::new();
    while let Some((id, value)) = take(server) {
        reply(server, id, value);
        all.push((id, value));
    }
    all
}

/// Each looks while the client asks; together with who looks at the end they have every request.
#[test]
fn two_servers_take_every_request_once() {
    model(Some(2), || {
        let memory = service(2);
        let mut asks = client(&memory);
        let answering: Vec<_> = [1, 2]
            .into_iter()
            .map(|slot| {
                let mut answers = server(&memory, slot);
                thread::spawn(move || {
                    let taken = take(&mut answers);
                    taken.into_iter().for_each(|(id, value)| reply(&answers, id, value));
                    (answers, taken)
                })
            })
            .collect();
        let sent = [0, 1].map(|value| (ask(&mut asks, value).expect("a free cell"), value));
        let mut taken = Vec::new();
        for thread in answering {
            let (mut answers, early) = thread.join().unwrap();
            taken.extend(early);
            taken.extend(answer_all(&mut answers));
        }
        taken.sort_unstable();
        assert_eq!(taken, sent);
        for (id, value) in sent {
            assert_eq!(look(&mut asks, Which::One(id)), Some((id, REPLY, value + 100)));
        }
    });
}

/// One server holds a request, so that its cell is passed over, and answers it while the client goes on and another server looks:
/// that one finds all that come after.
#[test]
fn a_server_finds_what_is_asked_behind_a_cell_that_another_holds() {
    model(Some(3), || {
        let memory = service(2);
        let mut asks = client(&memory);
        let (mut holds, mut answers) = (server(&memory, 1), server(&memory, 2));
        // Not the first one: the other server knows already how far the client was.
        let first = ask(&mut asks, 0).expect("a free cell");
        assert_eq!(answer_all(&mut answers), [(first, 0)]);
        look(&mut asks, Which::Any).expect("answered");
        let held = ask(&mut asks, 1).expect("a free cell");
        assert_eq!(take(&mut holds), Some((held, 1)));
        // Both cells once, and the held one is next.
        let next = ask(&mut asks, 2).expect("a free cell");
        assert_eq!(answer_all(&mut answers), [(next, 2)]);
        look(&mut asks, Which::Any).expect("answered");
        reply(&holds, held, 1);
        let answering = thread::spawn(move || {
            let taken = take(&mut answers);
            taken.into_iter().for_each(|(id, value)| reply(&answers, id, value));
            (answers, taken)
        });
        // The server may look at the cell of the held one before it is free, and then at the next.
        assert_eq!(look(&mut asks, Which::One(held)), Some((held, REPLY, 101)));
        let sent = [3, 4].map(|value| (ask(&mut asks, value).expect("a free cell"), value));
        let (mut answers, early) = answering.join().unwrap();
        let mut taken: Vec<_> = early.into_iter().chain(answer_all(&mut answers)).collect();
        taken.sort_unstable();
        assert_eq!(taken, sent);
    });
}

/// One asks, and another answers.
fn exchange(asks: &mut Asking<Shared>, answers: &mut Answering<Shared>) {
    let id = ask(asks, 0).expect("a free cell");
    assert_eq!(take(answers), Some((id, 0)), "in one look");
    reply(answers, id, 0);
    assert_eq!(look(asks, Which::One(id)), Some((id, REPLY, 100)));
}

/// Another server has answered what came since this one looked, and holds what comes first for it: one look, as before a sleep, finds
/// what is there, though the server learns only on its way how far the client is.
#[test]
fn one_look_finds_what_is_a_round_behind_a_cell_that_is_held() {
    model(ALL, || {
        let memory = service(4);
        let mut asks = client(&memory);
        let (mut holds, mut away) = (server(&memory, 1), server(&memory, 2));
        let held = ask(&mut asks, 0).expect("a free cell");
        assert_eq!(take(&mut holds), Some((held, 0)));
        (0..3).for_each(|_| exchange(&mut asks, &mut away));
        (0..3).for_each(|_| exchange(&mut asks, &mut holds));
        exchange(&mut asks, &mut away);
    });
}

/// The client gives up while a server may take the request: either it is never executed, or its reply goes to nobody.
#[test]
fn a_request_that_was_given_up_is_withdrawn_or_its_late_reply_is_dropped() {
    model(Some(4), || {
        let memory = service(1);
        let mut asks = client(&memory);
        let mut answers = server(&memory, 1);
        let late = ask(&mut asks, 0).expect("a free cell");
        let answering = thread::spawn(move || {
            let taken = take(&mut answers);
            if let Some((id, value)) = taken {
                reply(&answers, id, value);
            }
            (taken, answers)
        });
        let withdrawn = asks.forget(late);
        let next = ask(&mut asks, 1);
        let (first, mut answers) = answering.join().unwrap();
        let second = next.or_else(|| ask(&mut asks, 1)).expect("its cell is free by now");
        let seen = if first.is_some_and(|(id, _)| id == second) { first } else { take(&mut answers) };
        assert_eq!(seen, Some((second, 1)));
        if first != seen {
            assert_eq!(first.is_some(), !withdrawn);
            reply(&answers, second, 1);
        }
        assert_eq!(look(&mut asks, Which::Any), Some((second, REPLY, 101)));
    });
}

/// A server dies after any step; whoever buries it is ordered behind it by its lease. What it had taken ends by its reply or
/// by its death, and what it had not is another's.
#[test]
fn a_server_that_died_leaves_a_reply_or_a_loss_and_nothing_twice() {
    for steps in 0..3 {
        model(Some(4), move || {
            let memory = service(1);
            let mut asks = client(&memory);
            let mut dies = server(&memory, 1);
            let inner = memory.clone();
            let answering = thread::spawn(move || {
                let taken = if steps > 0 { take(&mut dies) } else { None };
                if let Some((id, value)) = taken.filter(|_| steps > 1) {
                    reply(&dies, id, value);
                }
                let mut next = server(&inner, 2); // there before, so that there is one all the time
                bury(&inner, 1);
                bury(&inner, 1); // again
                (taken, take(&mut next).map(|(id, value)| reply(&next, id, value)))
            });
            let id = ask(&mut asks, 0).expect("a free cell");
            let early = look(&mut asks, Which::Any);
            let (taken, retaken) = answering.join().unwrap();
            let expected = match (taken, retaken) {
                (None, None) => None,
                (Some(_), None) if steps == 1 => Some((id, Outcome::Lost, 0)),
                (Some(_), None) | (None, Some(())) => Some((id, REPLY, 100)),
                (Some(_), Some(())) => panic!("executed twice"),
            };
            assert_eq!(early.or_else(|| look(&mut asks, Which::Any)), expected);
        });
    }
}

/// A server closes while a client asks and waits: the request is answered, refused or withdrawn.
#[test]
fn a_client_that_waits_is_told_that_the_last_server_closed() {
    model(Some(3), || {
        let memory = service(1);
        let mut asks = client(&memory);
        let mut answers = server(&memory, 1);
        let inner = memory.clone();
        let answering = thread::spawn(move || {
            let taken = take(&mut answers);
            answers.refuse_all(b"x");
            stop_serving(&inner, 1, End::Closed);
            taken.is_some()
        });
        let id = ask(&mut asks, 0).expect("a free cell");
        let (_, outcome, _) = wait(&mut asks, Which::One(id));
        let taken = answering.join().unwrap();
        let refused = Outcome::Answered(Answer::Refusal);
        assert_eq!(outcome, if taken { refused } else { Outcome::Unserved(End::Closed) });
        assert_eq!(take(&mut server(&memory, 2)), None, "withdrawn");
    });
}

/// The last server dies or closes, with the request or without it, while the client gives up and another server comes: a request of
/// which is said that nobody had taken it is carried out by nobody, neither before nor after; any other by one.
#[test]
fn what_is_said_not_to_be_taken_is_carried_out_by_nobody() {
    for closes in [false, true] {
        model(Some(3), move || {
            let memory = service(1);
            let mut asks = client(&memory);
            let mut first = server(&memory, 1);
            let inner = memory.clone();
            let answering = thread::spawn(move || {
                let had = take(&mut first).is_some();
                if closes {
                    first.refuse_all(b"x");
                    stop_serving(&inner, 1, End::Closed);
                } else {
                    bury(&inner, 1);
                }
                let mut next = server(&inner, 2);
                let has = take(&mut next).map(|(id, value)| reply(&next, id, value)).is_some();
                (next, u32::from(had) + u32::from(has))
            });
            let id = ask(&mut asks, 0).expect("a free cell");
            let taken = match look(&mut asks, Which::One(id)) {
                Some((_, outcome, _)) => outcome.was_taken(),
                None => !asks.forget(id),
            };
            let (mut next, times) = answering.join().unwrap();
            let times = times + u32::from(take(&mut next).is_some());
            assert_eq!(times, u32::from(taken));
        });
    }
}

/// A server comes before the one that was there closes: whenever a client looks, there is one.
#[test]
fn a_server_that_hands_over_to_another_is_not_taken_for_the_last() {
    model(Some(3), || {
        let memory = service(1);
        let mut asks = client(&memory);
        let before = server(&memory, 2);
        let inner = memory.clone();
        let taking_over = thread::spawn(move || {
            let next = server(&inner, 1);
            before.refuse_all(b"x");
            stop_serving(&inner, 2, End::Closed);
            next
        });
        let id = ask(&mut asks, 0).expect("a free cell");
        assert_eq!(look(&mut asks, Which::One(id)), None);
        let mut next = taking_over.join().unwrap();
        assert_eq!(answer_all(&mut next), [(id, 0)]);
    });
}

/// A client asks and goes, and another has its place: what no server has taken is withdrawn, and a reply to the first is not the
/// second's.
#[test]
fn a_successor_of_a_client_gets_the_replies_to_its_own_requests_only() {
    model(Some(3), || {
        let memory = service(2);
        let mut first = client(&memory);
        let mut answers = server(&memory, 1);
        let of_first = ask(&mut first, 0).expect("a free cell");
        let answering = thread::spawn(move || {
            let early = take(&mut answers);
            if let Some((id, value)) = early {
                reply(&answers, id, value);
            }
            (early, answers)
        });
        give_up(&memory, 0);
        drop(first);
        let mut second = client(&memory);
        let of_second = ask(&mut second, 1).expect("a free cell");
        assert_ne!(of_first, of_second);
        let (early, mut answers) = answering.join().unwrap();
        let late = take(&mut answers);
        if let Some((id, value)) = late {
            reply(&answers, id, value);
        }
        let all: Vec<_> = early.into_iter().chain(late).collect();
        assert!(all.contains(&(of_second, 1)) && all.len() <= 2, "{all:?}");
        assert!(all.len() == 1 || all[0] == (of_first, 0), "{all:?}");
        assert_eq!(look(&mut second, Which::Any), Some((of_second, REPLY, 101)));
        assert_eq!(look(&mut second, Which::Any), None);
        // No cell is lost.
        assert!(ask(&mut second, 2).is_some() && ask(&mut second, 3).is_some());
    });
}
