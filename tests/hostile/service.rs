//! A service in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call that asks,
//! answers, comes and goes. What a call gives fits into the service; it ends in time.

use crate::guard;
use crate::tally::{Call, Tally, Who, Word};
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use ipcx::{
    wait_any, Client, Deadline, Error, Result, SegmentOptions, Server, Service, ServiceOptions, WaitStrategy,
};
use ipcx_tests::{Place, Random};
use std::time::{Duration, Instant};

/// Largest request and reply.
const LARGEST: usize = 100;
const CLIENTS: usize = 4;
const DEPTH: usize = 4;
const PARTICIPANTS: usize = 32;
/// Where the service's part begins: behind the header's page and the slots'.
const BODY: usize = 2 * 4096;
/// Where what is in it: the control words, the servers, the channels, and the cells with their words.
const REQUESTED: usize = BODY;
const IN_USE: usize = BODY + 128;
const SERVES: usize = BODY + 256;
const CHANNELS: usize = SERVES + 4 * PARTICIPANTS;
const REQUESTS: usize = BODY + 4096;
const REPLIES: usize = REQUESTS + 4096;
const CELL: usize = 128;
const REQUEST_WORDS: usize = 24;
const REPLY_WORDS: usize = 16;
const TOTAL: usize = REPLIES + 4096;
/// Requests that were made before.
const ASKED: u64 = 50;
const LEN: usize = 40;
/// Slots that are taken here: of the handle, of the server, and of those that come for a while.
const TAKEN: usize = 6;
/// Of the bits that mean little, the quick share takes one in so many.
const SHARE: u64 = 60;
const QUICK_IMAGES: u64 = 15_000;
const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
const SHORT: Duration = Duration::from_micros(30);

/// What is for nothing, or for display, or payload, or of a client that is never there.
fn is_minor(byte: usize) -> bool {
    match byte {
        0..256 => false,
        256..4096 => true,
        4096..BODY => byte >= 4096 + TAKEN * 64,
        BODY..SERVES => ![REQUESTED, IN_USE].contains(&(byte & !7)),
        SERVES..CHANNELS => byte >= SERVES + 4 * TAKEN,
        CHANNELS..REQUESTS => byte >= CHANNELS + 2 * CELL || byte % CELL >= 16,
        REQUESTS..REPLIES => byte >= REQUESTS + 2 * DEPTH * CELL || byte % CELL >= REQUEST_WORDS,
        _ => byte >= REPLIES + 2 * DEPTH * CELL || byte % CELL >= REPLY_WORDS,
    }
}

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    let number = (ASKED + (word >> 8 & 15)).wrapping_sub(word >> 16 & 15);
    match word & 7 {
        0 => word,
        1 => 1 << (word >> 8 & 63),
        2 => word >> 40,
        // A request's: number, the slot of a server, state.
        3 | 4 => number << 14 | (word >> 24 & 7) << 2 | (word >> 32 & 3),
        // A reply's: number, answer or refusal.
        5 => number << 2 | (word >> 32 & 3),
        // An owner, a length, channels in use, servers.
        6 => word >> 32 & 127,
        _ => !0 << (word >> 8 & 63),
    }
}

/// One word somewhere behind the header's page, more often where it matters.
fn scribble_on(words: &Words, random: &mut Random) {
    let page = 4096 / 8;
    let cell = random.below((2 * DEPTH) as u64) as usize * CELL / 8;
    let index = match random.below(7) {
        0 => page + random.below((words.count() - page) as u64) as usize,
        1 => page + random.below(32) as usize, // slots
        2 => random.pick(&[REQUESTED, IN_USE, SERVES, SERVES + 8]) / 8,
        3 => CHANNELS / 8 + random.below(2) as usize * CELL / 8 + random.below(2) as usize,
        4 => REPLIES / 8 + cell + random.below(2) as usize,
        _ => REQUESTS / 8 + cell + random.below(3) as usize,
    };
    words.store(index, any_word(random));
}

/// Makes the calls. The tally's producer is a client here, and its consumer a server.
struct Calls<'a> {
    tally: &'a Tally,
    patience: Duration,
    room: Vec<u8>,
}

fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::WouldBlock(_)
            | Error::TimedOut(_)
            | Error::Mismatch(_)
            | Error::Version(_)
            | Error::Corrupt(_)
            | Error::TooBig { .. }
            | Error::NoSpace(_)
            | Error::PeerDead(_)
            | Error::Closed(_)
            | Error::Remote(_)
            | Error::Invalid(_)
    )
}

impl<'a> Calls<'a> {
    fn new(tally: &'a Tally) -> Calls<'a> {
        // Far larger than a request: a length that is believed is also read.
        Calls { tally, patience: Duration::ZERO, room: vec![0; 1 << 16] }
    }

    fn call<T>(&self, who: Who, call: Call, work: impl FnOnce(Deadline) -> Result<T>) -> Option<T> {
        let began = self.tally.begin(call, self.patience.max(SHORT).as_nanos() as u64);
        let result = work(Deadline::within(self.patience));
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            assert!(is_expected(error), "{call:?}: {error:?}");
            if let Error::TooBig { needed, .. } = error {
                assert!((1..=LARGEST).contains(needed), "a message of {needed} bytes");
            }
        }
        result.ok()
    }

    fn close<T>(&self, who: Who, call: Call, end: T) {
        let began = self.tally.begin(call, 0);
        drop(end);
        self.tally.end(began, who, true);
    }

    /// Receives what there is for a client.
    fn receive(&self, client: &mut Client, room: &mut [u8]) {
        for _ in 0..DEPTH {
            let mut id = 0;
            let room = &mut *room;
            let received =
                self.call(Who::Producer, Call::Recv, |until| client.recv_into(&mut id, room, until));
            assert!(received.is_none_or(|len| len <= LARGEST), "a reply of {received:?} bytes");
        }
        let reply = self.call(Who::Producer, Call::Recv, |until| client.recv_until(until));
        assert!(reply.is_none_or(|reply| reply.data.len() <= LARGEST));
    }

    /// Answers what there is for a server, in each of the ways.
    fn answer(&self, server: &mut Server, room: &mut [u8], disturb: &mut impl FnMut()) {
        for turn in 0..DEPTH {
            let mut id = 0;
            let (len, room) = (if turn == 0 { 1 } else { room.len() }, &mut *room);
            let taken = self
                .call(Who::Consumer, Call::Recv, |until| server.recv_into(&mut id, &mut room[..len], until));
            assert!(taken.is_none_or(|len| len <= LARGEST), "a request of {taken:?} bytes");
            disturb();
            self.call(Who::Consumer, Call::Stats, |_| server.remaining(id));
            self.call(Who::Consumer, Call::Answer, |_| match turn {
                1 => server.refuse(id, &[b'n'; 2 * LARGEST]),
                _ => server.reply(id, &[7; LARGEST][..20 * turn]),
            });
        }
        let began = self.tally.begin(Call::Recv, self.patience.as_nanos() as u64);
        let request = server.recv_until(Deadline::within(self.patience));
        self.tally.end(began, Who::Consumer, request.is_ok());
        if let Ok(request) = request {
            disturb();
            assert!(
                request.to_vec().len() <= LARGEST
                    && request.remaining().is_none_or(|left| left < Duration::MAX)
            );
            let _ = request.reply(b"here");
        }
    }

    fn use_ends(&mut self, client: &mut Client, server: &mut Server, disturb: &mut impl FnMut()) {
        let mut room = std::mem::take(&mut self.room);
        let mut sent = Vec::new();
        for len in [0, LEN, LARGEST] {
            sent.extend(
                self.call(Who::Producer, Call::Ask, |until| client.send_until(&[9; LARGEST][..len], until)),
            );
            disturb();
        }
        self.answer(server, &mut room, disturb);
        self.receive(client, &mut room);
        let deadline = Deadline::within(SHORT);
        self.call(Who::Producer, Call::Ask, |_| client.call_into(b"call", &mut room[..LEN], deadline));
        let begun = self.call(Who::Producer, Call::Ask, |_| {
            client.begin_call(b"begun", Deadline::within(Duration::from_secs(60)), Deadline::NOW)
        });
        self.answer(server, &mut room, disturb);
        self.call(Who::Handle, Call::Wait, |until| wait_any(&mut [client, server], until));
        if let Some(id) = begun {
            let ended = self.call(Who::Producer, Call::Recv, |until| client.end_call(id, &mut room, until));
            assert!(ended.is_none_or(|len| len <= LARGEST), "a reply of {ended:?} bytes");
            sent.push(id);
        }
        for id in sent {
            self.call(Who::Producer, Call::Release, |_| client.forget(id)); // Most have ended.
        }
        self.room = room;
    }

    /// Everything that can be done with a handle, an end of each kind, and ones that come and go.
    fn use_everything(&mut self, ends: &mut Ends, disturb: &mut impl FnMut()) {
        self.use_ends(&mut ends.client, &mut ends.server, disturb);
        let client = self.call(Who::Handle, Call::TakeProducer, |_| ends.service.client());
        let server = self.call(Who::Handle, Call::TakeConsumer, |_| ends.service.server());
        if let (Some(mut client), Some(mut server)) = (client, server) {
            self.use_ends(&mut client, &mut server, disturb);
            self.close(Who::Producer, Call::CloseProducer, client);
            self.close(Who::Consumer, Call::CloseConsumer, server);
        }
        if let Some(stats) = self.call(Who::Handle, Call::Stats, |_| ends.service.stats()) {
            assert!(stats.servers.len() <= PARTICIPANTS && stats.clients.len() <= CLIENTS, "{stats:?}");
            assert!(stats.clients.iter().all(|one| one.waiting + one.taken <= DEPTH as u64), "{stats:?}");
        }
        let mut room = std::mem::take(&mut self.room);
        self.answer(&mut ends.server, &mut room, disturb);
        self.receive(&mut ends.client, &mut room);
        self.room = room;
    }

    /// Another handle with its ends, which come and go.
    fn attach(&self, name: &str) -> Option<Ends> {
        let service = self.call(Who::Handle, Call::Attach, |_| Service::attach(name))?;
        let client = self.call(Who::Handle, Call::TakeProducer, |_| service.client())?;
        let server = self.call(Who::Handle, Call::TakeConsumer, |_| service.server())?;
        Some(Ends { service, client, server })
    }

    /// Ends with descriptors, and the threads behind them.
    fn watch(&self, ends: &mut Ends) {
        self.call(Who::Producer, Call::ProducerFd, |_| ends.client.poll_fd().map(drop));
        self.call(Who::Consumer, Call::ConsumerFd, |_| ends.server.poll_fd().map(drop));
    }
}

struct Ends {
    service: Service,
    client: Client,
    server: Server,
}

/// A service that was used, with a request that waits, one that is taken and one that is answered; and what its file is like.
struct Exposed {
    name: String,
    words: Words,
    image: Vec<u64>,
}

impl Exposed {
    /// The handle and the ends with which everything is done from now on.
    fn new(name: &str) -> (Exposed, Ends) {
        let segment = SegmentOptions {
            wait: WaitStrategy::Block,
            max_participants: PARTICIPANTS as u32,
            ..Default::default()
        };
        let (largest, clients, depth) = (LARGEST as u64, CLIENTS as u64, DEPTH as u64);
        let options =
            ServiceOptions { max_request: largest, max_reply: largest, max_clients: clients, depth, segment };
        let service = Service::create(name, &options).expect("a new service");
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let (mut client, mut server) = (service.client().expect("room"), service.server().expect("a slot"));
        for n in 1..ASKED {
            client.try_send(&[n as u8; LEN]).expect("room");
            server.try_recv().expect("a request").reply(&[n as u8; LEN]).expect("its own");
            if n < ASKED - 1 {
                client.try_recv().expect("a reply");
            }
        }
        for _ in 0..2 {
            client.try_send(b"open").expect("room");
        }
        server.try_recv().expect("a request").into_id();
        let words = Words::map(name, TOTAL);
        let image = words.image();
        (Exposed { name: name.to_owned(), words, image }, Ends { service, client, server })
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}

#[test]
fn every_flipped_bit_of_a_service_gives_data_or_an_error() {
    if let Some(argument) = worker::argument() {
        return flip(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "every_flipped_bit_of_a_service_gives_data_or_an_error";
    let workers = worker::on_each_processor(&place, "service", test, 4);
    println!(
        "figures: hostile bits, service | {} of {} flips in a service, each under ends that are attached and under new ones; \
         {} | 0",
        grouped(worker::done(&workers)),
        grouped(TOTAL as u64 * 8),
        worker::longest(&workers)
    );
}

fn flip(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let mut calls = Calls::new(&tally);
    let (exposed, mut ends) = Exposed::new(&format!("bits-{n}"));
    for bit in (0..TOTAL * 8).filter(|bit| (bit / 64) as u64 % count == n) {
        if !worker::is_long() && is_minor(bit / 8) && random.below(SHARE) > 0 {
            continue;
        }
        tally.begin_turn();
        exposed.words.restore(&exposed.image);
        exposed.words.flip(bit);
        calls.use_everything(&mut ends, &mut || ());
        exposed.words.restore(&exposed.image);
        exposed.words.flip(bit);
        if let Some(mut other) = calls.attach(&exposed.name) {
            // To and fro between the calls.
            calls.use_everything(&mut other, &mut || exposed.words.flip(bit));
        }
        tally.add(Word::Done, 1);
        if worker::is_to_stop(&tally) {
            break;
        }
    }
    exposed.words.restore(&exposed.image);
}

#[test]
fn random_images_of_a_service_give_data_or_an_error() {
    if let Some(argument) = worker::argument() {
        return draw(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "random_images_of_a_service_give_data_or_an_error";
    let workers = worker::on_each_processor(&place, "service", test, 4);
    for who in Who::ALL {
        let [good, bad] = [true, false].map(|ok| worker::calls(&workers, who, ok));
        assert!(good > 0 && bad > 0, "{who:?}: {good} calls worked, {bad} failed: too harmless, or too wild");
    }
    println!(
        "figures: hostile images, service | {} images; {} | 0",
        grouped(worker::done(&workers)),
        worker::longest(&workers)
    );
}

fn draw(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let all = if worker::is_long() { FULL_IMAGES } else { QUICK_IMAGES } / count;
    let mut calls = Calls::new(&tally);
    let (exposed, mut ends) = Exposed::new(&format!("images-{n}"));
    while tally.get(Word::Done) < all && !worker::is_to_stop(&tally) {
        draw_one(&mut calls, &exposed, &mut ends, &mut random);
    }
    exposed.words.restore(&exposed.image);
}

fn draw_one(calls: &mut Calls<'_>, exposed: &Exposed, ends: &mut Ends, random: &mut Random) {
    let (tally, words, choice) = (calls.tally, &exposed.words, random.word());
    tally.begin_turn();
    calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
    if choice >> 8 & 1 == 0 {
        words.restore(&exposed.image);
    }
    for _ in 0..=random.below(if choice >> 10 & 31 == 0 { 2000 } else { 8 }) {
        scribble_on(words, random);
    }
    let mut disturb = || (0..choice >> 20 & 3).for_each(|_| scribble_on(words, random));
    if choice >> 16 & 15 == 0 {
        if let Some(mut other) = calls.attach(&exposed.name) {
            if choice >> 24 & 15 == 0 {
                calls.watch(&mut other);
            }
            calls.use_everything(&mut other, &mut disturb);
        }
    } else {
        calls.use_everything(ends, &mut disturb);
    }
    tally.add(Word::Done, 1);
}

#[test]
fn a_service_under_a_scribbler_gives_data_or_an_error() {
    const QUICK: Duration = Duration::from_secs(2);
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = crate::images::numbers(&argument);
        return if scribbles == 1 { scribble(seed) } else { suffer(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment("service scribbler");
    let test = "service::a_service_under_a_scribbler_gives_data_or_an_error";
    let start = |name: &str, argument: String| Worker::again(&place, name, test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a service
        assert!(begin.elapsed() < Duration::from_secs(30), "no service");
    }
    workers.push(start("scribbler", format!("{} 1", random.word())));
    let time = worker::time(4, QUICK);
    worker::watch(&mut workers, |workers| {
        let full = worker::is_long() && workers[1].tally.get(Word::Done) >= FULL_WRITES;
        full || begin.elapsed() >= time
    });
    let mut text = Vec::new();
    for who in Who::ALL {
        let [good, bad] = [true, false].map(|ok| worker::calls(&workers[..1], who, ok));
        assert!(good > 0 && bad > 0, "{who:?}: {good} calls worked, {bad} failed");
        text.push(format!("{} / {}", grouped(good), grouped(bad)));
    }
    println!(
        "figures: live scribbler, service | {} writes; calls that gave data / an error: client {}, server {}, others {}; {} | 0",
        grouped(workers[1].tally.get(Word::Done)),
        text[0],
        text[1],
        text[2],
        worker::longest(&workers[..1])
    );
}

fn scribble(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let words = Words::map("prey", TOTAL);
    while !worker::is_to_stop(&tally) {
        (0..256).for_each(|_| scribble_on(&words, &mut random));
        tally.add(Word::Done, 256);
    }
}

fn suffer(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, mut ends) = Exposed::new("prey");
    let mut calls = Calls::new(&tally);
    while !worker::is_to_stop(&tally) {
        tally.begin_turn();
        calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
        if random.below(4) == 0 {
            exposed.words.restore(&exposed.image); // or nothing would be left that works
        }
        match calls.attach(&exposed.name) {
            Some(mut other) if random.below(4) == 0 => {
                if random.below(16) == 0 {
                    calls.watch(&mut other);
                }
                calls.use_everything(&mut other, &mut || ());
            }
            _ => calls.use_everything(&mut ends, &mut || ()),
        }
        tally.add(Word::Done, 1);
    }
}
