//! A peer for the tests, in Rust. `peers/peer.c` and `peers/peer.py` do the same with the same arguments:
//!
//! ```text
//! peer send|recv MODE RING COUNT SEED LARGEST [LOG]
//! peer publish|subscribe MODE TOPIC COUNT SEED LARGEST [LOG]
//! peer fork RING            takes the producer's role and forks; the child says what it gets, and outlives it
//! peer quiet RING COUNT     sends and receives between calls of getppid, for a tracer that counts system calls
//! peer quiet-topic TOPIC COUNT   the same of a topic
//! peer create               creates rings for ever, and unlinks the one before
//! peer push QUEUE LEDGER FIRST    pushes numbers for ever, and says in the ledger what is known of each
//! peer work QUEUE LEDGER          works on them, up to the last
//! ```
//!
//! It sends or checks a stream of COUNT records (0: without end), going on where the ring stands. With a log it says
//! there what it is about, and waits when the other side dies; without, it prints when that happened and exits with 5. One that
//! subscribes begins with the first record that has a number. `publish`, `subscribe` and `quiet-topic` are in C and Rust.

use ipcx::{Consumer, Deadline, Error, Producer, Publisher, Queue, Result, Ring, Subscriber, Topic};
use ipcx_tests::{now, Log, Stream, Word};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Records in a batch.
const BATCH: u64 = 8;
const OTHER_SIDE_DIED: i32 = 5;

/// What goes wrong ends the process with a message.
fn fail(what: impl std::fmt::Display) -> ! {
    eprintln!("peer (Rust): {what}");
    std::process::exit(1)
}

struct Peer {
    mode: String,
    count: u64,
    stream: Stream,
    log: Option<Log>,
}

impl Peer {
    fn set(&self, word: Word, value: u64) {
        if let Some(log) = &self.log {
            log.set(word, value);
        }
    }

    /// Calls until it works: what only takes time is waited for.
    fn until_done<T>(&self, mut call: impl FnMut() -> Result<T>) -> Option<T> {
        loop {
            match call() {
                Ok(value) => return Some(value),
                Err(Error::WouldBlock(_)) => std::thread::yield_now(),
                Err(Error::Interrupted) => {}
                Err(Error::Closed(_)) => return None,
                Err(Error::PeerDead(_)) => self.other_side_died(),
                Err(error) => fail(error),
            }
        }
    }

    fn other_side_died(&self) {
        self.set(Word::PeerDead, now());
        if self.log.is_none() {
            println!("{}", now());
            std::process::exit(OTHER_SIDE_DIED);
        }
        std::thread::sleep(Duration::from_millis(1)); // until it has a successor
    }

    /// Records of a call that begins with record `n`.
    fn batch(&self, n: u64) -> u64 {
        let batch = if self.mode == "many" { BATCH } else { 1 };
        if self.count == 0 {
            batch
        } else {
            batch.min(self.count - n)
        }
    }

    fn start_at(&self, first: u64) {
        self.set(Word::First, first);
        self.set(Word::Begun, first);
        self.set(Word::Done, first);
        self.set(Word::Started, 1);
    }

    fn send(&self, tx: &mut Producer) {
        let first = self.stream.number(tx.position());
        self.start_at(first);
        let mut next = first;
        while self.count == 0 || next < self.count {
            next += self.send_from(tx, next);
            self.set(Word::Done, next);
        }
    }

    /// Sends from record `n` on, and says how many.
    fn send_from(&self, tx: &mut Producer, n: u64) -> u64 {
        let records: Vec<Vec<u8>> = match self.mode.as_str() {
            "place" => return self.send_in_place(tx, n),
            _ => (n..n + self.batch(n)).map(|n| self.record(n)).collect(),
        };
        self.set(Word::Begun, n + self.batch(n));
        let sent = match self.mode.as_str() {
            "wait" => self.until_done(|| tx.send(&records[0])).map(|()| 1),
            "try" => self.until_done(|| tx.try_send(&records[0])).map(|()| 1),
            "many" => self.until_done(|| tx.send_many(&records)).map(|sent| sent as u64),
            other => fail(format!("no mode {other}")),
        };
        sent.unwrap_or_else(|| fail("the consumer closed"))
    }

    fn record(&self, n: u64) -> Vec<u8> {
        let mut record = vec![0; self.stream.len(n)];
        self.stream.fill(n, &mut record);
        record
    }

    fn send_in_place(&self, tx: &mut Producer, n: u64) -> u64 {
        let len = self.stream.len(n);
        loop {
            match tx.reserve(len) {
                Ok(mut room) => {
                    // SAFETY: the only other process on this ring is a peer of the test, which writes no data.
                    self.stream.fill(n, unsafe { room.as_mut_slice() });
                    self.set(Word::Begun, n + 1);
                    room.commit();
                    return 1;
                }
                Err(Error::PeerDead(_)) => self.other_side_died(),
                Err(Error::Interrupted) => {}
                Err(error) => fail(error),
            }
        }
    }

    fn receive(&self, rx: &mut Consumer) {
        let first = self.stream.number(rx.position());
        self.start_at(first);
        let (mut next, mut buffer) = (first, vec![0; self.stream.largest() * BATCH as usize]);
        while self.count == 0 || next < self.count {
            let Some(received) = self.receive_from(rx, next, &mut buffer) else {
                fail(format!("the producer closed before record {next}"))
            };
            next += received;
            self.set(Word::Done, next);
            if rx.position() != self.stream.position(next) {
                fail(format!("record {next} is at position {}", rx.position()));
            }
        }
        // The end of the stream is seen as such.
        if let Some(len) = self.until_done(|| rx.recv(&mut buffer)) {
            fail(format!("a record of {len} bytes behind the last"));
        }
    }

    /// Receives from record `n` on, and says how many; none at the end of the stream.
    fn receive_from(&self, rx: &mut Consumer, n: u64, buffer: &mut [u8]) -> Option<u64> {
        let check = |n, record: &[u8]| self.stream.check(n, record).unwrap_or_else(|wrong| fail(wrong));
        if self.mode == "place" {
            return self.receive_in_place(rx, n);
        }
        self.set(Word::Begun, n + self.batch(n));
        let mut lens = [0; BATCH as usize];
        let lens = &mut lens[..self.batch(n) as usize];
        let received = match self.mode.as_str() {
            "wait" | "try" => {
                let waits = self.mode == "wait";
                let call = || if waits { rx.recv(buffer) } else { rx.try_recv(buffer) };
                lens[0] = self.until_done(call)?;
                1
            }
            "many" => self.until_done(|| rx.recv_many(buffer, lens))?,
            other => fail(format!("no mode {other}")),
        };
        let mut rest = &buffer[..];
        for (n, len) in (n..).zip(&lens[..received]) {
            let (record, behind) = rest.split_at(*len);
            check(n, record);
            rest = behind;
        }
        Some(received as u64)
    }

    fn receive_in_place(&self, rx: &mut Consumer, n: u64) -> Option<u64> {
        loop {
            match rx.borrow() {
                Ok(record) => {
                    // SAFETY: the only other process on this ring is a peer of the test, which leaves it alone.
                    self.stream.check(n, unsafe { record.as_slice() }).unwrap_or_else(|wrong| fail(wrong));
                    self.set(Word::Begun, n + 1);
                    record.release();
                    return Some(1);
                }
                Err(Error::PeerDead(_)) => self.other_side_died(),
                Err(Error::Interrupted) => {}
                Err(Error::Closed(_)) => return None,
                Err(error) => fail(error),
            }
        }
    }
}

/// The same of a topic.
impl Peer {
    fn publish(&self, tx: &mut Publisher, first: u64) {
        self.start_at(first);
        let mut next = first;
        while self.count == 0 || next < self.count {
            let record = self.record(next);
            let done = match self.mode.as_str() {
                "place" => self.until_done(|| {
                    let mut room = tx.reserve(record.len())?;
                    room.write_at(0, &record)?;
                    self.set(Word::Begun, next + 1);
                    room.commit_len(record.len())
                }),
                mode => {
                    self.set(Word::Begun, next + 1);
                    self.until_done(
                        || if mode == "try" { tx.try_publish(&record) } else { tx.publish(&record) },
                    )
                }
            };
            done.unwrap_or_else(|| fail("a topic was closed"));
            next += 1;
            self.set(Word::Done, next);
        }
    }

    fn subscribe(&self, rx: &mut Subscriber) {
        let (mut next, mut buffer) = (None, vec![0; self.stream.largest()]);
        while self.count == 0 || next.is_none_or(|next| next < self.count) {
            if let Some(next) = next {
                self.set(Word::Begun, next + 1);
            }
            let len = self.until_done(|| match self.mode.as_str() {
                "place" => rx.borrow().and_then(|record| {
                    record.read_at(0, &mut buffer[..record.len()])?;
                    let len = record.len();
                    record.release().map(|_| len)
                }),
                "try" => rx.try_recv(&mut buffer),
                _ => rx.recv(&mut buffer),
            });
            let record = &buffer[..len.unwrap_or_else(|| fail("a topic was closed"))];
            let Some(n) = next.or_else(|| Stream::number_in(record)) else { continue };
            self.stream.check(n, record).unwrap_or_else(|wrong| fail(wrong));
            if next.is_none() {
                self.start_at(n);
            }
            next = Some(n + 1);
            self.set(Word::Done, n + 1);
        }
        if rx.missed() > 0 {
            fail("records of a reliable topic were missed");
        }
    }
}

fn stream(arguments: &[String]) -> Result<()> {
    let [verb, mode, ring, count, seed, largest, log @ ..] = arguments else { usage() };
    let number = |text: &String| text.parse::<u64>().unwrap_or_else(|_| usage());
    let stream = Stream::new(number(seed), number(largest) as usize);
    let log = log.first().map(|path| Log::open(Path::new(path)));
    let peer = Peer { mode: mode.clone(), count: number(count), stream, log };
    peer.set(Word::Ready, 1);
    match verb.as_str() {
        "send" => peer.send(&mut Ring::attach(ring)?.producer()?),
        "recv" => peer.receive(&mut Ring::attach(ring)?.consumer()?),
        _ => {
            let topic = Topic::attach(ring)?;
            match verb.as_str() {
                "publish" => peer.publish(&mut topic.publisher()?, topic.stats()?.published),
                _ => peer.subscribe(&mut topic.subscriber()?),
            }
        }
    }
    Ok(())
}

/// The child outlives the parent, which the test kills; it ends with its input.
fn fork(ring: &str) -> Result<()> {
    let mut tx = Ring::attach(ring)?.producer()?;
    tx.send(b"from the parent")?;
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        let forked = matches!(tx.try_send(b"from the child"), Err(Error::Forked));
        println!("{} {}", if forked { "forked" } else { "sent" }, std::process::id());
    }
    let _ = std::io::read_to_string(std::io::stdin());
    Ok(())
}

fn mark() {
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

fn quiet_topic(topic: &str, count: usize) -> Result<()> {
    let topic = Topic::attach(topic)?;
    let (mut tx, mut rx, mut buffer) = (topic.publisher()?, topic.subscriber()?, [0; 64]);
    tx.try_publish(b"whatever is only done once")?;
    mark();
    for _ in 0..count {
        tx.try_publish(&[1; 64])?;
    }
    mark();
    rx.try_recv(&mut buffer)?;
    mark();
    for _ in 0..count {
        rx.try_recv(&mut buffer)?;
    }
    mark();
    Ok(())
}

fn quiet(ring: &str, count: usize) -> Result<()> {
    let ring = Ring::attach(ring)?;
    let mut tx = ring.producer()?;
    tx.send(b"whatever is only done once")?;
    mark();
    for _ in 0..count {
        tx.try_send(&[1; 64])?;
    }
    mark();
    let Ok(mut rx) = ring.consumer() else { return Ok(()) }; // the test has it
    let mut buffer = [0; 64];
    rx.try_recv(&mut buffer)?;
    mark();
    for _ in 0..count {
        rx.try_recv(&mut buffer)?;
    }
    mark();
    Ok(())
}

fn create() -> Result<()> {
    for number in 0u64.. {
        drop(Ring::create(&format!("made-{number}"), &ipcx::RingOptions::default())?);
        match number {
            0 => println!("created"),
            _ => ipcx::unlink(&format!("made-{}", number - 1))?,
        }
    }
    Ok(())
}

/// A message is its number and up to 49 bytes that depend on it.
fn message_of(number: u64) -> Vec<u8> {
    let mut message = number.to_ne_bytes().to_vec();
    message.resize(8 + number as usize % 50, number as u8);
    message
}

/// What is known of the numbers, in two bytes of each: the first is of who pushes it, the second of who works on it.
fn open_ledger(path: &str) -> File {
    File::options().read(true).write(true).open(path).unwrap_or_else(|error| fail(error))
}

fn push(queue: &str, ledger: &str, first: u64) -> Result<()> {
    let (queue, ledger) = (Queue::attach(queue)?, open_ledger(ledger));
    let mark = |number: u64, state| ledger.write_all_at(state, 2 * number).expect("the ledger");
    for number in first.. {
        mark(number, b"b");
        queue.push(&message_of(number), (number % 4) as u32)?;
        mark(number, b"p");
        if number == first {
            println!("at work");
        }
    }
    Ok(())
}

fn work(queue: &str, ledger: &str) -> Result<()> {
    let (queue, ledger) = (Queue::attach(queue)?, open_ledger(ledger));
    let mark = |number: u64, state| ledger.write_all_at(state, 2 * number + 1).expect("the ledger");
    let (mut buffer, mut said) = ([0; 64], false);
    loop {
        let taken = queue.take_into(&mut buffer, Deadline::NEVER)?;
        let message = &buffer[..taken.len];
        let number = u64::from_ne_bytes(message[..8].try_into().expect("8 bytes"));
        if number == u64::MAX {
            return queue.ack(taken.ticket);
        }
        if message != message_of(number) {
            fail(format!("message {number} is torn"));
        }
        let mut before = [0];
        if ledger.read_at(&mut before, 2 * number + 1).is_ok_and(|read| read == 1) && before == *b"A" {
            fail(format!("message {number} was acknowledged before"));
        }
        if number % 11 == 0 && taken.deliveries == 1 {
            queue.put_back(taken.ticket)?;
            continue;
        }
        mark(number, b"t");
        queue.ack(taken.ticket)?;
        mark(number, b"A");
        if !said {
            println!("at work");
            said = true;
        }
    }
}

fn usage() -> ! {
    eprintln!(
        "usage: peer send|recv|publish|subscribe MODE NAME COUNT SEED LARGEST [LOG] | fork RING | \
         quiet RING COUNT | quiet-topic TOPIC COUNT | create | \
         push QUEUE LEDGER FIRST | work QUEUE LEDGER"
    );
    std::process::exit(2)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["send" | "recv" | "publish" | "subscribe", ..] => stream(&arguments),
        ["quiet-topic", topic, count] => quiet_topic(topic, count.parse().unwrap_or_else(|_| usage())),
        ["fork", ring] => fork(ring),
        ["quiet", ring, count] => quiet(ring, count.parse().unwrap_or_else(|_| usage())),
        ["create"] => create(),
        ["push", queue, ledger, first] => push(queue, ledger, first.parse().unwrap_or_else(|_| usage())),
        ["work", queue, ledger] => work(queue, ledger),
        _ => usage(),
    };
    if let Err(error) = done {
        fail(error);
    }
}
