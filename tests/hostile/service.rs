//! A service in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call that asks,
//! answers, comes and goes. What a call gives fits into the service; it ends in time.

use crate::attack;
use crate::kind::{self, Calls, Kind, BODY, PARTICIPANTS};
use crate::tally::{Call, Who};
use crate::words::Words;
use ipcx::{wait_any, Client, Deadline, Error, Server, Service, ServiceOptions};
use ipcx_tests::Random;
use std::time::Duration;

/// Largest request and reply.
const LARGEST: usize = 100;
const CLIENTS: usize = 4;
const DEPTH: usize = 4;
/// Where what is in its part: the control words, the servers, the channels, and the cells with their words.
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
/// So long at most waits what has a limit of its own.
const SHORT: Duration = Duration::from_micros(30);

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

/// A handle, an end of each kind. The tally's producer is a client here, and its consumer a server.
struct Ends {
    service: Service,
    client: Client,
    server: Server,
}

#[derive(Clone, Copy)]
struct Prey;

attack::proofs!(Prey:
    every_flipped_bit_of_a_service_gives_data_or_an_error,
    random_images_of_a_service_give_data_or_an_error,
    a_service_under_a_scribbler_gives_data_or_an_error
);

impl Kind for Prey {
    type Ends = Ends;
    type Others = ();

    const NAME: &'static str = "service";
    const SHAPES: &'static [Prey] = &[Prey];
    const SHARE: u64 = 60;
    const IMAGES: u64 = 15_000;
    const LIVE: Duration = Duration::from_secs(2);
    const PERCENT: u32 = 4;
    const SEEN: &'static [(Who, &'static str)] =
        &[(Who::Producer, "client"), (Who::Consumer, "server"), (Who::Handle, "others")];

    /// It was used; a request waits, one is taken and one is answered.
    fn create(self, name: &str) -> (Ends, ()) {
        let (largest, max_clients, depth) = (LARGEST as u64, CLIENTS as u64, DEPTH as u64);
        let (max_request, max_reply, segment) = (largest, largest, kind::options());
        let options = ServiceOptions { max_request, max_reply, max_clients, depth, segment };
        let service = Service::create(name, &options).expect("a new service");
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
        (Ends { service, client, server }, ())
    }

    fn bytes(self) -> usize {
        TOTAL
    }

    fn is_minor(self, byte: usize) -> bool {
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

    fn scribble(words: &Words, random: &mut Random) {
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

    fn is_expected(error: &Error) -> bool {
        match error {
            Error::TooBig { needed, .. } => (1..=LARGEST).contains(needed),
            _ => {
                matches!(error, Error::PeerDead(_) | Error::Closed(_) | Error::Remote(_) | Error::Invalid(_))
            }
        }
    }

    fn attach(calls: &Calls<'_>, name: &str, _: &Ends) -> Option<Ends> {
        let service = calls.call(Who::Handle, Call::Attach, |_| Service::attach(name))?;
        let client = calls.call(Who::Handle, Call::TakeProducer, |_| service.client())?;
        let server = calls.call(Who::Handle, Call::TakeConsumer, |_| service.server())?;
        Some(Ends { service, client, server })
    }

    fn watch(calls: &Calls<'_>, ends: &mut Ends) {
        calls.call(Who::Producer, Call::ProducerFd, |_| ends.client.poll_fd().map(drop));
        calls.call(Who::Consumer, Call::ConsumerFd, |_| ends.server.poll_fd().map(drop));
    }

    /// Also with ends that come and go.
    fn use_everything(calls: &Calls<'_>, ends: &mut Ends, disturb: &mut dyn FnMut()) {
        use_ends(calls, &mut ends.client, &mut ends.server, disturb);
        let client = calls.call(Who::Handle, Call::TakeProducer, |_| ends.service.client());
        let server = calls.call(Who::Handle, Call::TakeConsumer, |_| ends.service.server());
        if let (Some(mut client), Some(mut server)) = (client, server) {
            use_ends(calls, &mut client, &mut server, disturb);
            calls.close(Who::Producer, Call::CloseProducer, client);
            calls.close(Who::Consumer, Call::CloseConsumer, server);
        }
        if let Some(stats) = calls.call(Who::Handle, Call::Stats, |_| ends.service.stats()) {
            assert!(stats.servers.len() <= PARTICIPANTS && stats.clients.len() <= CLIENTS, "{stats:?}");
            assert!(stats.clients.iter().all(|one| one.waiting + one.taken <= DEPTH as u64), "{stats:?}");
        }
        answer(calls, &mut ends.server, disturb);
        receive(calls, &mut ends.client);
    }
}

/// Receives what there is for a client.
fn receive(calls: &Calls<'_>, client: &mut Client) {
    let mut room = calls.room.borrow_mut();
    for _ in 0..DEPTH {
        let mut id = 0;
        let received =
            calls.call(Who::Producer, Call::Recv, |until| client.recv_into(&mut id, &mut room, until));
        assert!(received.is_none_or(|len| len <= LARGEST), "a reply of {received:?} bytes");
    }
    let reply = calls.call(Who::Producer, Call::Recv, |until| client.recv_until(until));
    assert!(reply.is_none_or(|reply| reply.data.len() <= LARGEST));
}

/// Answers what there is for a server, in each of the ways.
fn answer(calls: &Calls<'_>, server: &mut Server, disturb: &mut dyn FnMut()) {
    let mut room = calls.room.borrow_mut();
    for turn in 0..DEPTH {
        let mut id = 0;
        let (len, room) = (if turn == 0 { 1 } else { room.len() }, &mut *room);
        let taken =
            calls.call(Who::Consumer, Call::Recv, |until| server.recv_into(&mut id, &mut room[..len], until));
        assert!(taken.is_none_or(|len| len <= LARGEST), "a request of {taken:?} bytes");
        disturb();
        calls.call(Who::Consumer, Call::Stats, |_| server.remaining(id));
        calls.call(Who::Consumer, Call::Answer, |_| match turn {
            1 => server.refuse(id, &[b'n'; 2 * LARGEST]),
            _ => server.reply(id, &[7; LARGEST][..20 * turn]),
        });
    }
    if let Some(request) = calls.call(Who::Consumer, Call::Recv, |until| server.recv_until(until)) {
        disturb();
        assert!(request.to_vec().len() <= LARGEST);
        assert!(request.remaining().is_none_or(|left| left < Duration::MAX));
        let _ = request.reply(b"here");
    }
}

fn use_ends(calls: &Calls<'_>, client: &mut Client, server: &mut Server, disturb: &mut dyn FnMut()) {
    let mut sent = Vec::new();
    for len in [0, LEN, LARGEST] {
        let data = &[9; LARGEST][..len];
        sent.extend(calls.call(Who::Producer, Call::Ask, |until| client.send_until(data, until)));
        disturb();
    }
    answer(calls, server, disturb);
    receive(calls, client);
    let _ = calls.timed(Who::Producer, Call::Ask, SHORT, || {
        client.call_into(b"call", &mut calls.room.borrow_mut()[..LEN], Deadline::within(SHORT))
    });
    let begun = calls.call(Who::Producer, Call::Ask, |_| {
        client.begin_call(b"begun", Deadline::within(Duration::from_secs(60)), Deadline::NOW)
    });
    answer(calls, server, disturb);
    calls.call(Who::Handle, Call::Wait, |until| wait_any(&mut [client, server], until));
    if let Some(id) = begun {
        let ended = calls.call(Who::Producer, Call::Recv, |until| {
            client.end_call(id, &mut calls.room.borrow_mut(), until)
        });
        assert!(ended.is_none_or(|len| len <= LARGEST), "a reply of {ended:?} bytes");
        sent.push(id);
    }
    for id in sent {
        calls.call(Who::Producer, Call::Release, |_| client.forget(id)); // Most have ended.
    }
}
