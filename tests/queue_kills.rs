//! SIGKILL at random moments of processes that push to one work queue and take from it, in every language: what a
//! push that returned has pushed is acknowledged once, and what was taken comes back.
//!
//! Each process says in a ledger what it is about, two bytes for each message: `b` before its push and `p` after it;
//! `t` before its acknowledgement and `A` after it. Who takes a message that has an `A` fails. So at the end each
//! message is acknowledged, or one of those of which a process was killed between the two.
//!
//! `IPCX_KILLS` is the number of kills (200), `IPCX_SEED` repeats a run.

use ipcx::{Error, Queue, QueueOptions, SegmentOptions};
use ipcx_tests::{Language, Peer, Place, Random, LIMIT};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const QUEUE: &str = "jobs";
/// So few that both sides often wait.
const DEPTH: u64 = 16;
/// Kills come this long after a process is at work, at most; of one in three, that is not waited for.
const DELAY: u64 = 2_000_000;
/// Each life of a producer has numbers of its own.
const LIFE: u64 = 1 << 24;
/// The last message of all.
const LAST: [u8; 8] = u64::MAX.to_ne_bytes();

fn kills() -> u64 {
    std::env::var("IPCX_KILLS").map_or(200, |text| text.parse().expect("IPCX_KILLS is a number"))
}

/// The queue and its ledger.
struct Office {
    place: Place,
    queue: Queue,
    ledger: File,
    /// Lives of producers.
    lives: u64,
}

/// What became of the messages.
#[derive(Debug, Default)]
struct Account {
    acknowledged: u64,
    /// Pushes and acknowledgements of which nobody came to say that they were over.
    pushes_cut: u64,
    acknowledgements_cut: u64,
}

impl Office {
    fn new() -> Office {
        let place = Place::new();
        let segment = SegmentOptions { directory: Some(place.path().to_owned()), ..Default::default() };
        let options = QueueOptions { max_message: 64, depth: DEPTH, segment, ..Default::default() };
        let queue = Queue::create(QUEUE, &options).expect("a new queue");
        let path = place.path().join("ledger");
        let ledger =
            File::options().read(true).write(true).create_new(true).open(path).expect("a new ledger");
        Office { place, queue, ledger, lives: 0 }
    }

    fn start(&mut self, pushes: bool, language: Language) -> Peer {
        let ledger = self.place.path().join("ledger");
        let ledger = ledger.to_str().expect("a path in ASCII");
        if !pushes {
            return Peer::start(language, &self.place, &["work", QUEUE, ledger]);
        }
        self.lives += 1;
        let first = ((self.lives - 1) * LIFE).to_string();
        Peer::start(language, &self.place, &["push", QUEUE, ledger, &first])
    }

    /// What the ledger says of a number.
    fn bytes_of(&self, number: u64) -> [u8; 2] {
        let mut bytes = [0; 2];
        let _ = self.ledger.read_at(&mut bytes, 2 * number).expect("the ledger"); // zeroes behind its end
        bytes
    }

    /// Every message that is known to have been pushed was acknowledged, as far as somebody came to say so.
    fn account(&self) -> Account {
        let mut account = Account::default();
        for number in
            (0..self.lives).flat_map(|life| (life * LIFE..).take_while(|n| self.bytes_of(*n)[0] != 0))
        {
            match self.bytes_of(number) {
                [_, b'A'] => account.acknowledged += 1,
                [_, b't'] => account.acknowledgements_cut += 1,
                [b'b', 0] => account.pushes_cut += 1,
                other => panic!("message {number} is lost: {other:?}"),
            }
        }
        account
    }
}

#[test]
fn killed_in_mixed_languages_producers_and_consumers_lose_and_double_no_message() {
    let mut random = Random::from_environment("queue");
    let mut office = Office::new();
    // Two that push, and two that take.
    let is_producer = |which: usize| which < 2;
    let mut peers: Vec<Peer> =
        (0..4).map(|which| office.start(is_producer(which), random.pick(&Language::ALL))).collect();
    let mut killed = [0; 2];
    for _ in 0..kills() {
        let which = random.below(4) as usize;
        if random.below(3) > 0 {
            assert_eq!(peers[which].line(), "at work");
        }
        std::thread::sleep(Duration::from_nanos(random.below(DELAY)));
        peers[which].kill_and_reap();
        killed[usize::from(is_producer(which))] += 1;
        peers[which] = office.start(is_producer(which), random.pick(&Language::ALL));
    }
    for producer in &mut peers[..2] {
        producer.kill_and_reap();
        killed[1] += 1;
    }
    finish(&office, &mut peers[2..]);
    let account = office.account();
    let [consumers, producers] = killed;
    assert!(account.acknowledgements_cut <= consumers && account.pushes_cut <= producers, "{account:?}");
    let stats = office.queue.stats().expect("figures");
    assert_eq!(stats.free, DEPTH, "{stats:?}");
    println!("queue: {producers} producers and {consumers} consumers killed, {account:?}");
}

/// Lets the consumers finish, and end.
fn finish(office: &Office, consumers: &mut [Peer]) {
    let until = Instant::now() + LIMIT;
    office.queue.recover().expect("what the dead had, before the last");
    for _ in consumers.iter() {
        // The least urgent, so that it comes last; nobody else pushes.
        office.queue.push_timeout(&LAST, 0, LIMIT).expect("room");
    }
    for consumer in consumers {
        consumer.succeed();
    }
    office.queue.recover().expect("what a dead producer was about to push");
    let left = office.queue.try_take().map(|delivery| delivery.to_vec());
    assert!(matches!(left, Err(Error::WouldBlock(_))), "left: {left:?}");
    assert!(Instant::now() < until, "hangs");
}
