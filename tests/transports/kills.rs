//! SIGKILL at random moments, on either side and on both; another process takes the role. No message arrives torn, twice or in
//! another order, and what is lost is no more than what each transport says:
//!
//! | | a sender is killed | a receiver is killed |
//! |---|---|---|
//! | `pipe` | the message in whose call it died | (nobody can follow it) |
//! | `fifo`, `unix` | the same | and what was under way: sent, not received |
//! | `mqueue`, `ring` | the same | the message in whose call it died |
//! | `buffer` | (all but the newest may be overwritten) | (the newest comes again to its successor) |
//!
//! A message says its number, and which of the senders, one after the other, sent it. A sender uses up a number before it sends, and
//! its successor goes on with the next.

use crate::child::{shared, Child};
use crate::{has, options, turn, until, Name, HANG};
use ipcx::{Error, Receiver, Sender, Transport};
use ipcx_tests::{Place, Random};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What processes of both sides share.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// Numbers used up, and those whose sending returned.
    Begun,
    Done,
    /// Senders that began.
    Sender,
    /// What is received next, from which sender what is received last came, how many were received, and how many were not.
    Next,
    From,
    Received,
    Lost,
    /// Receivers killed since the last message.
    Killed,
}

#[derive(Clone, Copy, Debug)]
struct Account(&'static [AtomicU64; 8]);

impl Account {
    fn get(self, word: Word) -> u64 {
        self.0[word as usize].load(Ordering::Acquire)
    }

    fn set(self, word: Word, value: u64) {
        self.0[word as usize].store(value, Ordering::Release);
    }

    fn add(self, word: Word, more: u64) {
        self.set(word, self.get(word) + more); // one process writes each at a time
    }
}

/// Bytes in front of what a message carries.
const HEADER: usize = 16;

/// Length of a message by its number: mostly short, and where a pipe carries them sometimes longer than it.
fn len(transport: Transport, number: u64) -> usize {
    let mut random = Random::new(number);
    let most = match transport {
        Transport::Pipe | Transport::Fifo if random.below(20) == 0 => 100_000,
        _ => 3000,
    };
    HEADER + random.below(most) as usize
}

fn message(transport: Transport, sender: u64, number: u64) -> Vec<u8> {
    let mut message: Vec<u8> =
        (0..len(transport, number)).map(|at| (at as u64 ^ number.wrapping_mul(131)) as u8).collect();
    message[..8].copy_from_slice(&sender.to_le_bytes());
    message[8..HEADER].copy_from_slice(&number.to_le_bytes());
    message
}

/// Of a receiver that takes a role anew, or goes on, and whom what may be missing is told.
fn check(transport: Transport, account: Account, bytes: &[u8]) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (sender, number) = (word(0), word(8));
    assert!(bytes == message(transport, sender, number), "{transport}: message {number} is torn");
    let (next, from) = (account.get(Word::Next), account.get(Word::From));
    if transport == Transport::Buffer && account.get(Word::Killed) > 0 && number + 1 == next {
        return account.set(Word::Killed, 0); // It is still the newest, and new to this receiver.
    }
    assert!(number >= next, "{transport}: message {number} after {next} came twice, or late");
    let (missing, senders, receivers) = (number - next, sender - from, account.get(Word::Killed));
    match transport {
        Transport::Buffer => {}
        Transport::Fifo | Transport::Unix if receivers > 0 => {
            let bytes: usize = (next..number).map(|lost| len(transport, lost)).sum();
            let room = if transport == Transport::Fifo { 1 << 16 } else { 212_992 } + 100_000;
            assert!(
                bytes as u64 <= room * (receivers + senders),
                "{transport}: {bytes} bytes are more than were under way"
            );
        }
        _ => assert!(missing <= senders + receivers, "{transport}: {missing} lost before {number}"),
    }
    account.add(Word::Lost, missing);
    account.add(Word::Received, 1);
    account.set(Word::Killed, 0);
    account.set(Word::From, sender);
    account.set(Word::Next, number + 1);
}

const TURN: Duration = Duration::from_millis(20);

/// Sends until it is killed. What a receiver that went has not got is sent to the next.
fn send(mut tx: Sender, account: Account) {
    let (transport, sender) = (tx.transport(), account.get(Word::Sender) + 1);
    account.set(Word::Sender, sender);
    loop {
        let number = account.get(Word::Begun);
        account.set(Word::Begun, number + 1);
        let message = message(transport, sender, number);
        while let Err(error) = tx.send_timeout(&message, TURN) {
            let goes_on = matches!(error, Error::TimedOut(_) | Error::Closed(_) | Error::PeerDead(_));
            assert!(goes_on, "{transport}: {error}");
        }
        account.set(Word::Done, number + 1);
    }
}

/// Receives until it is killed.
fn receive(mut rx: Receiver, account: Account) {
    let (transport, mut buffer) = (rx.transport(), vec![0; 1 << 17]);
    loop {
        match rx.recv_timeout(&mut buffer, TURN) {
            Ok(len) => check(transport, account, &buffer[..len]),
            Err(Error::TimedOut(_)) => {}
            Err(Error::Closed(_) | Error::PeerDead(_)) => std::thread::yield_now(),
            Err(error) => panic!("{transport}: {error}"),
        }
    }
}

fn wait_for(what: &str, sides: &[&Child], so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(sides.iter().all(|side| side.over().is_none()), "{what}: a process ended by itself");
        assert!(begin.elapsed() < HANG, "{what}: hangs");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Kills one side or both, again and again.
fn kill_both_sides(transport: Transport, percent: u64, random: &mut Random) -> [u64; 3] {
    let (place, account) = (Place::new(), Account(shared()));
    let (guard, options) = (Name::new(), options(&place));
    let name = &guard.0;
    let sender = || Child::new(|| send(transport.sender(name, &options).expect("a free role"), account));
    let receiver =
        || Child::new(|| receive(transport.receiver(name, &options).expect("a free role"), account));
    let (mut tx, mut rx) = (sender(), receiver());
    let (until, mut kills) = (until(percent), 0);
    while until.map_or(kills < 150, |until| Instant::now() < until) {
        let seen = account.get(Word::Received);
        let past = random.below(20);
        wait_for("progress", &[&tx, &rx], || account.get(Word::Received) > seen + past);
        std::thread::sleep(Duration::from_micros(random.below(1500)));
        let which = random.below(3);
        if which != 1 {
            tx.kill();
            tx = sender();
            kills += 1;
        }
        if which != 0 {
            rx.kill();
            account.add(Word::Killed, 1);
            rx = receiver();
            kills += 1;
        }
    }
    let seen = account.get(Word::Received);
    wait_for("the last", &[&tx, &rx], || account.get(Word::Received) > seen + 50);
    tx.kill();
    rx.kill();
    transport.unlink(name, &options).expect("the name of the test");
    assert_eq!(place.files(), [""; 0], "{transport}: nothing else is left");
    [kills, account.get(Word::Received), account.get(Word::Lost)]
}

/// A pipe, or a socket without a name, has two ends for ever: its sender is killed, and its receiver gets all that it sent.
fn kill_senders_without_a_name(transport: Transport, percent: u64, random: &mut Random) -> [u64; 3] {
    let (until, mut kills, mut received) = (until(percent), 0, 0);
    let mut buffer = vec![0; 1 << 17];
    while until.map_or(kills < 100, |until| Instant::now() < until) {
        let account = Account(shared());
        let (tx, mut rx) = transport.pair(&Default::default()).expect("a pair");
        let mut tx = Some(tx);
        let child = Child::new(|| send(tx.take().expect("of the child"), account));
        drop(tx);
        wait_for("a beginning", &[&child], || account.get(Word::Begun) > 0);
        let end = Instant::now() + Duration::from_micros(random.below(3000));
        while Instant::now() < end {
            if let Ok(len) = rx.recv_timeout(&mut buffer, Duration::from_micros(200)) {
                check(transport, account, &buffer[..len]);
            }
        }
        child.kill();
        let went = loop {
            match rx.recv_timeout(&mut buffer, HANG) {
                Ok(len) => check(transport, account, &buffer[..len]),
                Err(error) => break error,
            }
        };
        assert!(matches!(went, Error::Closed(_) | Error::PeerDead(_)), "{transport}: {went}");
        let (done, next) = (account.get(Word::Done), account.get(Word::Next));
        assert!((done..=account.get(Word::Begun)).contains(&next), "{transport}: {next} received of {done}");
        (kills, received) = (kills + 1, received + next);
    }
    [kills, received, 0]
}

#[test]
fn killed_ends_lose_no_more_than_is_said_and_nothing_comes_torn_or_twice() {
    let _turn = turn();
    let mut random = Random::from_environment("kills");
    let mut all = [0; 3];
    let mut count = |transport: Transport, named: bool, [kills, received, lost]: [u64; 3]| {
        let named = if named { "" } else { " without a name" };
        println!("{transport}{named}: {kills} kills, {received} messages received, {lost} lost");
        all = [all[0] + kills, all[1] + received, all[2] + lost];
    };
    for transport in [Transport::Pipe, Transport::Unix] {
        count(transport, false, kill_senders_without_a_name(transport, 5, &mut random));
    }
    for transport in
        [Transport::Fifo, Transport::Unix, Transport::MessageQueue, Transport::Ring, Transport::Buffer]
    {
        if has(transport) {
            count(transport, true, kill_both_sides(transport, 10, &mut random));
        }
    }
    let [kills, received, _] = all;
    println!("figures: transports killed | {kills} kills, {received} messages received | 0");
}
