//! A service in one host: calls, replies out of order, servers that come, go and die, clients that give up or die, and everything
//! that is refused.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, in_child, Scratch, Started};
use ipcx::{
    wait_any, wait_any_by_descriptors, Client, Deadline, Error, SegmentOptions, Server, Service,
    ServiceOptions, WaitStrategy,
};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Longer than any call may need to find out about a death.
const LONG: Duration = Duration::from_secs(20);
/// A blocked process learns of a death within this; with what a busy machine adds.
const NOTICE: Duration = Duration::from_secs(2);

fn options() -> ServiceOptions {
    ServiceOptions { max_request: 100, max_reply: 200, max_clients: 3, depth: 4, ..Default::default() }
}

fn service() -> Service {
    Service::anonymous(&options()).unwrap()
}

fn named(dir: &Scratch) -> ServiceOptions {
    ServiceOptions { segment: dir.segment(), ..options() }
}

/// Another participant.
fn another(service: &Service) -> Service {
    Service::from_fd(service.share_fd().unwrap().as_fd()).unwrap()
}

/// Asks as often as that.
fn ask(client: &mut Client, times: u8) {
    (0..times).for_each(|n| assert_ne!(client.try_send(&[n]).unwrap(), 0, "an id"));
}

/// Takes what is there now.
fn take(server: &mut Server) -> (u64, Vec<u8>) {
    let request = server.try_recv().unwrap();
    let data = request.to_vec();
    (request.into_id(), data)
}

/// Answers everything with what was asked and a `!`, until one asks `end`.
fn echo(mut server: Server) {
    loop {
        let request = server.recv_timeout(LONG).unwrap();
        let mut data = request.to_vec();
        let ends = data == b"end";
        data.push(b'!');
        request.reply(&data).unwrap();
        if ends {
            return;
        }
    }
}

#[test]
fn a_call_gets_the_reply_to_its_request() {
    let service = service();
    let server = service.server().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| echo(server));
        let mut clients: Vec<Client> = (0..3).map(|_| another(&service).client().unwrap()).collect();
        for n in 0..300u32 {
            for client in &mut clients {
                let text = format!("request {n}");
                assert_eq!(
                    client.call_timeout(text.as_bytes(), LONG).unwrap(),
                    format!("{text}!").as_bytes()
                );
            }
        }
        let mut buffer = [0; 200];
        let len = clients[0].call_into(b"", &mut buffer, Deadline::within(LONG)).unwrap();
        assert_eq!(&buffer[..len], b"!");
        clients[0].call_timeout(b"end", LONG).unwrap();
    });
}

#[test]
fn requests_and_replies_of_every_size_up_to_the_largest_arrive() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    for len in 0..=100usize {
        let data: Vec<u8> = (0..len).map(|i| (i + len) as u8).collect();
        let id = client.try_send(&data).unwrap();
        let request = server.try_recv().unwrap();
        assert_eq!((request.id(), request.len(), request.is_empty()), (id, len, len == 0));
        assert_eq!(request.to_vec(), data);
        request.reply(&data.repeat(2)).unwrap();
        let reply = client.try_recv().unwrap();
        assert_eq!((reply.id, reply.data), (id, data.repeat(2)));
    }
    assert!(matches!(client.try_send(&[0; 101]), Err(Error::TooBig { needed: 101, available: 100 })));
    assert!(matches!(client.call(&[0; 101]), Err(Error::TooBig { needed: 101, available: 100 })));
    let id = client.try_send(b"a").unwrap();
    let (taken, _) = take(&mut server);
    assert!(matches!(server.reply(taken, &[0; 201]), Err(Error::TooBig { needed: 201, available: 200 })));
    server.reply(taken, &[7; 200]).unwrap();
    let mut short = [0; 10];
    let (mut got, now) = (0, Deadline::NOW);
    for _ in 0..2 {
        let result = client.recv_into(&mut got, &mut short, now);
        assert!(matches!(result, Err(Error::TooBig { needed: 200, available: 10 })), "{result:?}");
        assert_eq!(got, id);
    }
    assert_eq!(client.try_recv().unwrap().data, [7; 200]);

    client.try_send(&[1; 60]).unwrap();
    let mut got = 1;
    let result = server.recv_into(&mut got, &mut short, now);
    assert!(matches!(result, Err(Error::TooBig { needed: 60, available: 10 })), "{result:?}");
    assert_eq!(got, 0, "it was not taken");
    assert_eq!(take(&mut server).1, [1; 60]);
}

#[test]
fn a_reply_that_does_not_fit_stays_after_a_call() {
    let service = service();
    let server = service.server().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| echo(server));
        let mut client = service.client().unwrap();
        let result = client.call_into(b"end", &mut [0; 3], Deadline::within(LONG));
        assert!(matches!(result, Err(Error::TooBig { needed: 4, available: 3 })), "{result:?}");
        assert_eq!(client.try_recv().unwrap().data, b"end!");
    });
}

/// Also where other replies are there, before it and behind.
#[test]
fn a_reply_that_does_not_fit_is_the_next_to_be_received() {
    let service = service();
    let (mut client, server) = (service.client().unwrap(), service.server().unwrap());
    std::thread::scope(|scope| {
        client.try_send(b"before").unwrap();
        scope.spawn(|| echo(server));
        let result = client.call_into(b"call", &mut [0; 3], Deadline::within(LONG));
        assert!(matches!(result, Err(Error::TooBig { needed: 5, .. })), "{result:?}");
        let short = client.recv_into(&mut 0, &mut [0; 3], Deadline::NOW);
        assert!(matches!(short, Err(Error::TooBig { needed: 5, .. })), "{short:?}");
        assert_eq!(client.try_recv().unwrap().data, b"call!");
        assert_eq!(client.try_recv().unwrap().data, b"before!");
        client.call(b"end").unwrap();
    });
}

#[test]
fn replies_come_by_id_in_whatever_order_they_are_given() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    for round in 0..50u8 {
        let sent: Vec<u64> = (0..4).map(|n| client.try_send(&[round, n]).unwrap()).collect();
        let taken: Vec<_> = (0..4).map(|_| take(&mut server)).collect();
        for (n, (id, data)) in taken.iter().enumerate() {
            assert_eq!(
                (*id, &data[..]),
                (sent[n], &[round, n as u8][..]),
                "in the order in which they were sent"
            );
        }
        for n in [2, 0, 3, 1] {
            assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))));
            server.reply(taken[n].0, &[n as u8]).unwrap();
            let reply = client.try_recv().unwrap();
            assert_eq!((reply.id, reply.data), (sent[n], vec![n as u8]));
        }
    }
    assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))));
    assert!(matches!(client.recv(), Err(Error::Invalid(_))), "nothing will come");
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
}

#[test]
fn a_client_has_as_many_requests_open_as_there_are_cells() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    ask(&mut client, 4);
    assert!(matches!(client.try_send(b"x"), Err(Error::WouldBlock(_))));
    assert!(matches!(client.send(b"x"), Err(Error::WouldBlock(_))), "no waiting makes room");
    assert!(matches!(client.call(b"x"), Err(Error::WouldBlock(_))));
    // Answered is not received.
    let taken: Vec<_> = (0..4).map(|_| take(&mut server)).collect();
    server.reply(taken[3].0, b"").unwrap();
    assert!(matches!(client.try_send(b"x"), Err(Error::WouldBlock(_))));
    client.try_recv().unwrap();
    client.try_send(b"x").unwrap();
    assert!(matches!(client.try_send(b"y"), Err(Error::WouldBlock(_))));
    assert_eq!(take(&mut server).1, b"x");
}

#[test]
fn what_the_caller_does_not_wait_for_is_withdrawn_and_a_late_reply_is_dropped() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    // Not taken: never executed.
    let result = client.call_timeout(b"a", Duration::from_millis(5));
    assert!(matches!(result, Err(Error::TimedOut(_))), "{result:?}");
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));

    // Taken: the reply comes too late, and is no other request's.
    let (late, mut server) = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let request = server.recv_timeout(LONG).unwrap();
            let left = request.remaining().expect("a deadline");
            assert!(left <= Duration::from_millis(200), "{left:?}");
            (request.into_id(), server)
        });
        let result = client.call_timeout(b"b", Duration::from_millis(200));
        assert!(matches!(result, Err(Error::TimedOut(_))), "{result:?}");
        server.join().unwrap()
    });
    for n in 0..9u8 {
        let id = client.try_send(&[n]).unwrap();
        assert_eq!(take(&mut server), (id, vec![n]));
        server.reply(id, &[n, n]).unwrap();
        assert_eq!(client.try_recv().unwrap().data, [n, n]);
        if n == 5 {
            server.reply(late, b"late").unwrap();
            assert!(matches!(server.reply(late, b"late"), Err(Error::Invalid(_))));
        }
    }
    // Its cell is had again.
    ask(&mut client, 4);
}

#[test]
fn a_send_waits_for_the_reply_to_a_call_that_was_given_up() {
    let service = Service::anonymous(&ServiceOptions { depth: 1, ..options() }).unwrap();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let id = client.try_send(b"a").unwrap();
    assert_eq!(take(&mut server).0, id);
    client.forget(id).unwrap();
    assert!(matches!(client.try_send(b"b"), Err(Error::WouldBlock(_))));
    assert!(matches!(client.send_timeout(b"b", Duration::from_millis(5)), Err(Error::TimedOut(_))));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            server.reply(id, b"late").unwrap();
        });
        client.send_timeout(b"b", LONG).unwrap();
    });
    assert_eq!(take(&mut server).1, b"b");
    assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))));
    assert!(matches!(client.forget(id), Err(Error::Invalid(_))));
}

#[test]
fn an_id_is_good_once_and_for_the_server_that_has_the_request() {
    let service = service();
    let (mut one, mut other) = (service.server().unwrap(), service.server().unwrap());
    let mut client = service.client().unwrap();
    let id = client.try_send(b"a").unwrap();
    let invalid = |server: &mut Server, id| {
        assert!(matches!(server.reply(id, b"x"), Err(Error::Invalid(_))), "{id:#x}");
        assert!(matches!(server.refuse(id, b"x"), Err(Error::Invalid(_))));
        assert!(matches!(server.remaining(id), Err(Error::Invalid(_))));
    };
    invalid(&mut one, id); // not taken
    assert_eq!(take(&mut one).0, id);
    invalid(&mut other, id);
    assert_eq!(one.remaining(id).unwrap(), None);
    for wrong in [0, 1, id + 1, id + (1 << 10), id | 1023, u64::MAX, id ^ 1 << 63] {
        invalid(&mut one, wrong);
    }
    one.reply(id, b"x").unwrap();
    invalid(&mut one, id);
    assert_eq!(client.try_recv().unwrap().data, b"x");
    invalid(&mut one, id);
    // The next one in the same cell is another request.
    ask(&mut client, 4);
    (0..4).for_each(|_| drop(take(&mut one)));
    invalid(&mut one, id);
}

#[test]
fn what_a_server_refuses_is_told_with_its_text() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let refused = |client: &mut Client, id: u64, text: &str| {
        let mut got = 0;
        match client.recv_into(&mut got, &mut [], Deadline::NOW) {
            Err(error @ Error::Remote(_)) => {
                let Error::Remote(context) = &error else { unreachable!() };
                assert_eq!((context.detail(), got), (text, id));
                assert_eq!(error.errno(), libc::EREMOTEIO);
                assert!(error.to_string().contains(text), "{error}");
            }
            other => panic!("{other:?}"),
        }
    };
    let id = client.try_send(b"a").unwrap();
    server.try_recv().unwrap().refuse("no such account: ä".as_bytes()).unwrap();
    refused(&mut client, id, "no such account: ä");

    let id = client.try_send(b"a").unwrap();
    server.try_recv().unwrap().refuse(&[b'x'; 300]).unwrap();
    refused(&mut client, id, &"x".repeat(200));

    let id = client.try_send(b"a").unwrap();
    drop(server.try_recv().unwrap());
    refused(&mut client, id, "the server dropped the request without an answer");

    let id = client.try_send(b"a").unwrap();
    assert!(matches!(server.try_recv().unwrap().reply(&[0; 201]), Err(Error::TooBig { .. })));
    refused(&mut client, id, "the server dropped the request without an answer");

    let (first, second) = (client.try_send(b"a").unwrap(), client.try_send(b"b").unwrap());
    take(&mut server);
    drop(server);
    refused(&mut client, first, "the server closed without an answer");
    let mut got = 0;
    let result = client.recv_into(&mut got, &mut [], Deadline::NOW);
    assert!(matches!(result, Err(Error::Closed(_))), "{result:?}");
    assert_eq!(got, second);
    assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))), "each ends once");
}

#[test]
fn two_servers_share_the_requests_and_neither_gets_one_twice() {
    const EACH: u64 = 500;
    let service = service();
    let servers: Vec<Server> = (0..2).map(|_| another(&service).server().unwrap()).collect();
    std::thread::scope(|scope| {
        servers.into_iter().for_each(|server| drop(scope.spawn(|| echo(server))));
        let mut asking = Vec::new();
        for _ in 0..2 {
            asking.push(scope.spawn(|| {
                let mut client = another(&service).client().unwrap();
                let (mut sent, mut received) = (std::collections::HashMap::new(), 0);
                let mut n = 0u64;
                while received < EACH {
                    if n < EACH && sent.len() < 4 {
                        sent.insert(client.send(&n.to_ne_bytes()).unwrap(), n);
                        n += 1;
                        continue;
                    }
                    let reply = client.recv_timeout(LONG).unwrap();
                    let n = sent.remove(&reply.id).expect("a request that is open");
                    assert_eq!(reply.data[..8], n.to_ne_bytes());
                    received += 1;
                }
                assert!(sent.is_empty());
            }));
        }
        asking.into_iter().for_each(|thread| thread.join().unwrap());
        let mut client = service.client().unwrap();
        (0..2).for_each(|_| drop(client.call_timeout(b"end", LONG).unwrap()));
    });
}

#[test]
fn clients_take_turns() {
    let service = service();
    let mut server = service.server().unwrap();
    let mut clients: Vec<Client> = (0..3).map(|_| service.client().unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        (0..4).for_each(|k| assert_ne!(client.try_send(&[n as u8, k]).unwrap(), 0));
    }
    let order: Vec<u8> = (0..12).map(|_| take(&mut server).1[0]).collect();
    assert_eq!(order, [0, 1, 2].repeat(4));
}

#[test]
fn a_server_that_comes_late_or_was_away_for_long_finds_every_request() {
    for depth in [1, 2, 4] {
        let service = Service::anonymous(&ServiceOptions { depth, ..options() }).unwrap();
        let (mut one, mut away, mut client) =
            (service.server().unwrap(), service.server().unwrap(), service.client().unwrap());
        // One request that `one` holds all the time, so that its cell is passed over.
        let held = (depth > 1).then(|| {
            client.try_send(b"held").unwrap();
            take(&mut one).0
        });
        for n in 0..1000u32 {
            let id = client.try_send(&n.to_ne_bytes()).unwrap();
            match n % 97 {
                // Those who have not looked for long.
                50 => assert_eq!(take(&mut away).0, id),
                60 => assert_eq!(take(&mut service.server().unwrap()).0, id),
                _ => assert_eq!(take(&mut one).0, id),
            }
            if n % 97 == 60 {
                assert!(matches!(client.try_recv(), Err(Error::Remote(_)))); // its server closed
                continue;
            }
            let server = if n % 97 == 50 { &mut away } else { &mut one };
            server.reply(id, b"").unwrap();
            assert_eq!(client.try_recv().unwrap().id, id);
            assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
        }
        if let Some(held) = held {
            one.reply(held, b"").unwrap();
            assert_eq!(client.try_recv().unwrap().id, held);
        }
        // All cells at once, to one that was away.
        let sent: Vec<u64> = (0..depth).map(|_| client.try_send(b"x").unwrap()).collect();
        let taken: Vec<u64> = (0..depth).map(|_| take(&mut away).0).collect();
        assert_eq!(sent, taken);
    }
}

/// True if a descriptor is readable, or becomes so within as many milliseconds.
fn readable(fd: i32, timeout: i32) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry.
    unsafe { libc::poll(&mut poll, 1, timeout) == 1 }
}

/// Sends a request, which that server takes and answers; its number is the next whose cell is not held.
fn exchange(client: &mut Client, server: &mut Server) {
    let id = client.try_send(b"x").unwrap();
    assert_eq!(take(server).0, id);
    server.reply(id, b"").unwrap();
    assert_eq!(client.try_recv().unwrap().id, id);
}

#[test]
fn a_cell_that_is_held_is_looked_at_again_until_the_client_has_passed_it() {
    let service = Service::anonymous(&ServiceOptions { depth: 2, ..options() }).unwrap();
    let (mut holds, mut other) = (service.server().unwrap(), service.server().unwrap());
    let mut client = service.client().unwrap();
    let held = client.try_send(b"held").unwrap();
    assert_eq!(take(&mut holds).0, held);
    exchange(&mut client, &mut other);
    // The held cell is that of the next number, to which the client has not come.
    assert!(matches!(other.try_recv(), Err(Error::WouldBlock(_))));
    holds.reply(held, b"").unwrap();
    assert_eq!(client.try_recv().unwrap().id, held);
    exchange(&mut client, &mut other);
}

#[test]
fn what_was_asked_first_comes_first_to_a_server_that_was_away_for_long() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let give_up = |client: &mut Client, times: u8| {
        for _ in 0..times {
            let id = client.try_send(b"given up").unwrap();
            client.forget(id).unwrap();
        }
    };
    let mut sent = Vec::new();
    for before in [3, 1] {
        give_up(&mut client, before);
        sent.push(client.try_send(b"x").unwrap());
    }
    // Twice round, past the cells of those two.
    give_up(&mut client, 4);
    assert_eq!([take(&mut server).0, take(&mut server).0], sent[..]);
}

#[test]
fn a_server_that_was_woken_for_a_request_that_does_not_fit_wakes_another() {
    let service = Service::anonymous(&ServiceOptions {
        segment: SegmentOptions { wait: WaitStrategy::Block, ..Default::default() },
        ..options()
    });
    let service = service.unwrap();
    let mut client = service.client().unwrap();
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let (mut small, mut other) = (service.server().unwrap(), service.server().unwrap());
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let result = small.recv_into(&mut 0, &mut [], Deadline::within(LONG));
                    assert!(matches!(result, Err(Error::TooBig { .. })), "{result:?}");
                });
                std::thread::sleep(Duration::from_millis(10)); // The first to sleep is the first to be woken.
                scope.spawn(move || other.recv_timeout(LONG).unwrap().reply(b"").unwrap());
                std::thread::sleep(Duration::from_millis(10));
                let begin = Instant::now();
                client.call_timeout(b"x", LONG).unwrap();
                begin.elapsed()
            })
        })
        .collect();
    times.sort_unstable();
    // Not after what is left of a slice of sleep, 40 ms.
    assert!(times[4] < Duration::from_millis(20), "{times:?}");
}

#[test]
fn a_request_whose_time_has_passed_is_left_out() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let late = client.begin_call(b"late", Deadline::after(Duration::from_millis(1)), Deadline::NOW).unwrap();
    let good = client.begin_call(b"good", Deadline::after(LONG), Deadline::NOW).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    let (id, data) = take(&mut server);
    assert_eq!((id, &data[..]), (good, &b"good"[..]));
    assert!(server.remaining(id).unwrap().is_some_and(|left| left <= LONG && left > LONG / 2));
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
    assert_eq!(server.skipped(), 1);
    let result = client.end_call(late, &mut [], Deadline::within(Duration::from_millis(1)));
    assert!(matches!(result, Err(Error::TimedOut(_))), "{result:?}");
    client.forget(late).unwrap();
    server.reply(good, b"r").unwrap();
    let mut buffer = [0; 1];
    assert_eq!(client.end_call(good, &mut buffer, Deadline::NEVER).unwrap(), 1);
    assert!(matches!(client.end_call(good, &mut buffer, Deadline::NEVER), Err(Error::Invalid(_))));
    assert!(matches!(client.call_until(b"x", Deadline::NOW), Err(Error::WouldBlock(_))));
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
}

#[test]
fn what_follows_a_request_whose_time_has_passed_is_not_passed_over() {
    let service = Service::anonymous(&ServiceOptions { depth: 2, ..options() }).unwrap();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let late =
        client.begin_call(b"late", Deadline::after(Duration::from_millis(1)), Deadline::NEVER).unwrap();
    let good = client.try_send(b"good").unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(take(&mut server).0, good);
    // In the cell of the next number is the late one still.
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
    server.reply(good, b"").unwrap();
    assert_eq!(client.try_recv().unwrap().id, good);
    client.forget(late).unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(server.skipped(), 1);
}

#[test]
fn a_descriptor_tells_of_what_is_behind_a_request_whose_time_has_passed() {
    let service = service();
    let (mut one, mut watched) = (service.server().unwrap(), service.server().unwrap());
    let mut client = service.client().unwrap();
    let late =
        client.begin_call(b"late", Deadline::after(Duration::from_millis(1)), Deadline::NEVER).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert!(matches!(watched.try_recv(), Err(Error::WouldBlock(_))));
    watched.poll_fd().unwrap();
    (0..3).for_each(|_| exchange(&mut client, &mut one));
    assert!(matches!(watched.try_recv(), Err(Error::WouldBlock(_))));
    // In the cell behind that of the late one, a round later.
    let id = client.try_send(b"good").unwrap();
    assert!(readable(watched.poll_fd().unwrap().as_raw_fd(), LONG.as_millis() as i32));
    assert_eq!(take(&mut watched).0, id);
    client.forget(late).unwrap();
    assert_eq!((one.skipped(), watched.skipped()), (1, 1));
}

#[test]
fn a_client_waits_for_the_first_server_and_is_told_when_the_last_closed() {
    let service = service();
    let mut client = service.client().unwrap();
    let result = client.call_timeout(b"a", Duration::from_millis(5));
    assert!(matches!(result, Err(Error::TimedOut(_))), "nobody has come yet: {result:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            echo(service.server().unwrap());
        });
        assert_eq!(client.call_timeout(b"end", LONG).unwrap(), b"end!");
    });
    // It closed.
    let begin = Instant::now();
    let result = client.call_timeout(b"b", LONG);
    assert!(matches!(result, Err(Error::Closed(_))), "{result:?}");
    assert!(begin.elapsed() < NOTICE);
    // Also one that sleeps is told.
    let server = service.server().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            drop(server);
        });
        let result = client.call_timeout(b"c", LONG);
        assert!(matches!(result, Err(Error::Closed(_))), "{result:?}");
    });
    // And then there is one again, which is not asked what was withdrawn.
    let mut server = service.server().unwrap();
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
    client.try_send(b"d").unwrap();
    assert_eq!(take(&mut server).1, b"d");
}

/// The text of a call that timed out, and whether a server had taken its request.
fn timed_out(client: &mut Client) -> (String, Option<bool>) {
    let error = client.call_timeout(b"x", Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, Error::TimedOut(_)), "{error}");
    (error.to_string(), error.taken())
}

#[test]
fn a_call_that_times_out_says_what_it_waited_for_and_whether_its_request_was_taken() {
    let dir = Scratch::new();
    let service = in_directory(&dir, WaitStrategy::Block, 3);
    let mut client = service.client().unwrap();
    let (text, taken) = timed_out(&mut client);
    assert_eq!(text, "timed out: no server has attached to the service; start one (segment 's')");
    assert_eq!(taken, Some(false));

    let server = service.server().unwrap();
    let (text, taken) = timed_out(&mut client);
    let me = format!("process {} (", std::process::id());
    assert!(text.contains("no server has taken the request") && text.contains(&me), "{text}");
    assert_eq!(taken, Some(false));
    drop(server);

    let mut other = started("takes", &dir);
    other.wait_for("waits");
    let sent = std::thread::scope(|scope| {
        let calling = scope.spawn(|| client.call_timeout(b"x", LONG / 20).unwrap_err());
        other.wait_for("ready"); // It has the request, and keeps it.
        calling.join().unwrap()
    });
    assert_eq!(sent.taken(), Some(true));
    let text = sent.to_string();
    assert!(text.contains(&format!("the server of process {} (", other.id())), "{text}");
    assert!(text.contains("has taken the request, and has not answered it"), "{text}");
}

#[test]
fn a_call_without_room_says_that_its_request_was_not_taken() {
    let service = Service::anonymous(&ServiceOptions { depth: 1, ..options() }).unwrap();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let id = client.try_send(b"a").unwrap();
    assert_eq!(take(&mut server).0, id);
    assert!(!client.forget(id).unwrap());
    let (text, taken) = timed_out(&mut client);
    assert!(text.contains("no server has answered one that was given up"), "{text}");
    assert_eq!(taken, Some(false));
    server.reply(id, b"late").unwrap();
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))), "it was never sent");
}

/// Also where a request that waits is in a cell before it.
#[test]
fn a_receive_that_times_out_says_which_server_has_taken_a_request() {
    let service = Service::anonymous(&ServiceOptions { depth: 2, ..options() }).unwrap();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let first = client.try_send(b"a").unwrap();
    client.try_send(b"b").unwrap();
    assert_eq!(take(&mut server).0, first);
    let text = client.recv_timeout(Duration::from_millis(1)).unwrap_err().to_string();
    assert!(text.contains("has taken the request, and has not answered it"), "{text}");
}

#[test]
fn nonsense_about_servers_is_no_reason_to_fail_otherwise() {
    let service = service();
    let mut client = service.client().unwrap();
    let file = std::fs::File::from(service.share_fd().unwrap());
    let serves = 4096 + 4096 + 256;
    file.write_all_at(&[0xff; 4 * 32], serves).unwrap();
    // Those that are not there are buried, and this one, which is no server, is named.
    let (text, taken) = timed_out(&mut client);
    assert!(text.contains("no server has taken the request"), "{text}");
    assert_eq!(taken, Some(false));
}

#[test]
fn what_would_block_says_what_there_is_none_of() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let says = |error: Error, what: &str| {
        assert!(matches!(error, Error::WouldBlock(_)) && error.to_string().contains(what), "{error}");
        assert_eq!(error.taken(), None);
    };
    says(server.try_recv().unwrap_err(), "no client has sent a request");
    says(client.try_recv().unwrap_err(), "no reply has come");
    says(client.call_until(b"", Deadline::NOW).unwrap_err(), "a call that does not wait has no reply");
    ask(&mut client, 4);
    says(client.try_send(b"").unwrap_err(), "receive a reply first");
}

#[test]
fn who_gives_a_request_up_is_told_whether_it_was_taken() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let (taken, waiting) = (client.try_send(b"a").unwrap(), client.try_send(b"b").unwrap());
    assert_eq!(take(&mut server), (taken, b"a".to_vec()));
    assert_eq!((client.forget(taken).unwrap(), client.forget(waiting).unwrap()), (false, true));
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))), "it is withdrawn");
}

#[test]
fn a_place_that_somebody_clears_for_another_client_is_waited_for() {
    let dir = Scratch::new();
    let service = in_directory(&dir, WaitStrategy::Balanced, 1);
    let mut asking = started("asks", &dir);
    asking.wait_for("ready");
    asking.kill();
    // As one that buries it: it has the lease, and has said so.
    let file = std::fs::File::options().read(true).write(true).open(dir.file("s")).unwrap();
    let slot = service.stats().unwrap().clients.iter().position(|client| !client.alive).unwrap();
    assert_eq!(slot, 0, "the only place");
    let record = 4096 + 64; // of participant 1
    let mut state = [0; 8];
    file.read_exact_at(&mut state, record).unwrap();
    state[0] |= 3;
    lock_slot(&file, 1);
    file.write_all_at(&state, record).unwrap();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| service.client().map(drop));
        std::thread::sleep(Duration::from_millis(20)); // It would have failed long ago.
        assert!(!client.is_finished());
        unlock_slot(&file, 1);
        client.join().unwrap().unwrap();
    });
}

/// A lock as that of a participant, through this descriptor.
fn lock_slot(file: &std::fs::File, slot: i64) {
    set_lock(file, slot, libc::F_WRLCK);
}

fn unlock_slot(file: &std::fs::File, slot: i64) {
    set_lock(file, slot, libc::F_UNLCK);
}

fn set_lock(file: &std::fs::File, slot: i64, kind: i32) {
    // SAFETY: all zeroes is a value of it.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (kind as i16, (1 << 62) + slot, 1);
    // SAFETY: an open descriptor, and a lock to read.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) }, 0);
}

#[test]
fn there_are_as_many_clients_as_places() {
    let service = service();
    let mut clients: Vec<Client> = (0..3).map(|_| service.client().unwrap()).collect();
    let error = service.client().unwrap_err();
    assert!(matches!(error, Error::NoSpace(_)), "{error}");
    clients.pop();
    let mut next = another(&service).client().unwrap();
    assert!(service.client().is_err());
    let mut server = service.server().unwrap();
    next.try_send(b"a").unwrap();
    assert_eq!(take(&mut server).1, b"a");
    let stats = service.stats().unwrap();
    assert_eq!((stats.clients.len(), stats.servers.len()), (3, 1));
    assert_eq!((stats.clients[2].waiting, stats.clients[2].taken, stats.servers[0].taken), (0, 1, 1));
    assert!(stats.clients.iter().all(|client| client.alive) && stats.servers[0].alive);
    assert_eq!(stats.servers[0].process.as_ref().unwrap().pid, std::process::id());
}

#[test]
fn what_a_client_leaves_is_not_executed_and_its_successor_gets_no_reply_of_its() {
    let service = Service::anonymous(&ServiceOptions { max_clients: 1, ..options() }).unwrap();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    for round in 0..20u8 {
        let taken = client.try_send(b"taken").unwrap();
        assert_eq!(take(&mut server).0, taken);
        client.try_send(b"waiting").unwrap();
        client.try_send(b"waiting too").unwrap();
        drop(client);
        assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
        client = service.client().unwrap();
        assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
        if round % 2 == 0 {
            server.reply(taken, b"of the one before").unwrap();
        }
        let sent: Vec<u64> = (0..3).map(|n| client.try_send(&[round, n]).unwrap()).collect();
        assert!(!sent.contains(&taken));
        for (n, id) in sent.iter().enumerate() {
            assert_eq!(take(&mut server), (*id, vec![round, n as u8]));
            server.reply(*id, &[round]).unwrap();
            assert_eq!(client.try_recv().unwrap().id, *id);
        }
        assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))));
        if round % 2 == 1 {
            server.reply(taken, b"of the one before").unwrap();
        }
    }
}

#[test]
fn descriptors_and_wait_any_tell_of_requests_and_replies() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let (asks, answers) = (client.poll_fd().unwrap().as_raw_fd(), server.poll_fd().unwrap().as_raw_fd());
    assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))));
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
    for _ in 0..3 {
        assert!(!readable(asks, 0) && !readable(answers, 0));
        let id = client.try_send(b"a").unwrap();
        assert!(readable(answers, 10_000), "a request");
        assert!(!readable(asks, 0));
        assert_eq!(take(&mut server).0, id);
        assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))));
        server.reply(id, b"r").unwrap();
        assert!(readable(asks, 10_000), "a reply");
        assert_eq!(client.try_recv().unwrap().data, b"r");
        assert!(matches!(client.try_recv(), Err(Error::WouldBlock(_))));
    }
    // A reply that nobody wants is none.
    let id = client.try_send(b"a").unwrap();
    take(&mut server);
    client.forget(id).unwrap();
    server.reply(id, b"late").unwrap();
    assert!(!readable(asks, 100));
    // That there is no server any more is to be told too.
    client.try_send(b"b").unwrap();
    drop(server);
    assert!(readable(asks, 10_000));
    assert!(matches!(client.try_recv(), Err(Error::Closed(_))));

    for by_descriptors in [false, true] {
        let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
        let wait = |client: &mut Client, server: &mut Server, deadline| {
            let mut items: [&mut dyn ipcx::Waitable; 2] = [client, server];
            if by_descriptors {
                wait_any_by_descriptors(&mut items, deadline)
            } else {
                wait_any(&mut items, deadline)
            }
        };
        let short = Deadline::within(Duration::from_millis(5));
        assert!(matches!(wait(&mut client, &mut server, short), Err(Error::TimedOut(_))));
        let id = client.try_send(b"a").unwrap();
        assert_eq!(wait(&mut client, &mut server, Deadline::within(LONG)).unwrap(), [1]);
        take(&mut server);
        assert!(matches!(wait(&mut client, &mut server, short), Err(Error::TimedOut(_))));
        server.reply(id, b"r").unwrap();
        assert_eq!(wait(&mut client, &mut server, Deadline::within(LONG)).unwrap(), [0]);
        client.try_recv().unwrap();
        // One that waits is woken.
        let mut asking = service.client().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                asking.try_send(b"b").unwrap();
            });
            assert_eq!(wait(&mut client, &mut server, Deadline::within(LONG)).unwrap(), [1]);
        });
    }
}

#[test]
fn a_forked_child_has_nothing_of_it() {
    let service = service();
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let id = client.try_send(b"a").unwrap();
    assert_eq!(take(&mut server).0, id);
    client.try_send(b"b").unwrap();
    let mut all = Some((client, server, service));
    in_child(|| {
        let (mut client, mut server, service) = all.take().expect("all of it");
        let forked = |result: Result<(), Error>| matches!(result, Err(Error::Forked));
        // Nor does it give up what is the parent's, when they are dropped.
        forked(client.try_send(b"x").map(drop))
            && forked(client.call(b"x").map(drop))
            && forked(client.try_recv().map(drop))
            && forked(client.forget(id).map(drop))
            && forked(client.poll_fd().map(drop))
            && forked(server.try_recv().map(drop))
            && forked(server.reply(id, b"x"))
            && forked(server.remaining(id).map(drop))
            && forked(server.poll_fd().map(drop))
            && forked(service.client().map(drop))
            && forked(service.server().map(drop))
            && forked(service.stats().map(drop))
            && forked(wait_any(&mut [&mut client], Deadline::NOW).map(drop))
    });
    let (mut client, mut server, service) = all.expect("the child had a copy");
    assert_eq!(service.stats().unwrap().servers.len(), 1);
    assert_eq!(take(&mut server).1, b"b");
    server.reply(id, b"r").unwrap();
    assert_eq!(client.try_recv().unwrap().id, id);
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = Scratch::new();
    let made = Service::create("s", &named(&dir)).unwrap();
    assert_eq!((made.max_request(), made.max_reply(), made.max_clients(), made.depth()), (100, 200, 3, 4));
    for wrong in [
        ServiceOptions { max_request: 101, ..named(&dir) },
        ServiceOptions { max_reply: 100, ..named(&dir) },
        ServiceOptions { max_clients: 4, ..named(&dir) },
        ServiceOptions { depth: 8, ..named(&dir) },
    ] {
        assert!(matches!(Service::attach_with("s", &wrong), Err(Error::Mismatch(_))), "{wrong:?}");
        assert!(matches!(Service::open("s", &wrong), Err(Error::Mismatch(_))));
    }
    // 3 is rounded to 4, and 0 is anything.
    Service::attach_with("s", &ServiceOptions { depth: 3, ..named(&dir) }).unwrap();
    let any = ServiceOptions { segment: dir.segment(), ..Default::default() };
    Service::open("s", &any).unwrap();
    assert!(matches!(Service::create("s", &any), Err(Error::Exists(_))));
    assert!(matches!(Service::attach_with("t", &any), Err(Error::NotFound(_))));
    let ring = ipcx::RingOptions { segment: dir.segment(), ..Default::default() };
    assert!(matches!(ipcx::Ring::attach_with("s", &ring), Err(Error::Mismatch(_))));
    for wrong in [
        ServiceOptions { max_request: (1 << 30) + 1, ..options() },
        ServiceOptions { max_reply: (1 << 30) + 1, ..options() },
        ServiceOptions { max_clients: 1025, ..options() },
        ServiceOptions { depth: 1025, ..options() },
    ] {
        assert!(matches!(Service::anonymous(&wrong), Err(Error::Invalid(_))), "{wrong:?}");
    }
}

/// Words that others write anywhere, of the kinds that are there and of none: calls return, and what they return is data or an error.
#[test]
fn whatever_others_write_no_call_panics_or_hangs() {
    use std::os::unix::fs::FileExt;
    let service = service();
    let file = std::fs::File::from(service.share_fd().unwrap());
    let field = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let (total, body) = (field(32), field(64));
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..60 {
        // What a client and a server know of it before is no longer true.
        let (mut server, mut other) = (service.server().unwrap(), service.server().unwrap());
        let Ok(mut client) = service.client() else {
            file.write_all_at(&vec![0; (total - body) as usize], body).unwrap();
            continue;
        };
        for _ in 0..100 {
            // Half of them where the words of the first cells are.
            let offset = match random(4) {
                0 => body + 8 * random(200),
                1 => body + 4096 + 128 * random(12) + 8 * random(3),
                2 => body + 8192 + 256 * random(12) + 8 * random(2),
                _ => body + 8 * random((total - body) / 8),
            };
            let value = match random(5) {
                0 => random(u64::MAX),
                1 => u64::MAX,
                2 => random(8),
                3 => random(40) << 14 | random(16),
                _ => random(40) << 2 | random(4),
            };
            file.write_all_at(&value.to_ne_bytes(), offset).unwrap();
            let _ = client.try_send(b"a");
            let taken = server.try_recv().map(|request| request.into_id()).unwrap_or(1 << 10);
            let _ = other.try_recv().map(|request| request.reply(b"o"));
            let _ = (server.remaining(taken), server.reply(taken, b"r"));
            let _ = client.call_timeout(b"b", Duration::from_micros(20));
            let _ = (client.try_recv(), client.recv_timeout(Duration::from_micros(20)));
            let _ = wait_any(&mut [&mut client, &mut server], Deadline::NOW);
            service.stats().unwrap();
        }
    }
}

/// What a child does: it says "ready" when it has done it, and stays until it is killed.
fn act(what: &str, directory: &str) {
    let segment = SegmentOptions { directory: Some(directory.into()), ..Default::default() };
    let service = Service::attach_with("s", &ServiceOptions { segment, ..Default::default() }).unwrap();
    let say = |text: &str| {
        println!("{text}");
        std::io::stdout().flush().unwrap();
    };
    match what {
        "serves" => {
            let _server = service.server().unwrap();
            say("ready");
            std::thread::sleep(LONG);
        }
        "takes" => {
            let mut server = service.server().unwrap();
            say("waits");
            let id = server.recv_timeout(LONG).unwrap().into_id();
            say("ready");
            std::thread::sleep(LONG);
            server.reply(id, b"").unwrap();
        }
        "asks" => {
            let mut client = service.client().unwrap();
            ask(&mut client, 2);
            say("ready");
            std::thread::sleep(LONG);
        }
        _ => unreachable!(),
    }
}

#[test]
fn helper() {
    if let Some(argument) = child_argument() {
        let (what, directory) = argument.split_once(' ').unwrap();
        act(what, directory);
    }
}

fn started(what: &str, dir: &Scratch) -> Started {
    Started::new(child("helper", &format!("{what} {}", dir.path().display())))
}

fn in_directory(dir: &Scratch, wait: WaitStrategy, max_clients: u64) -> Service {
    let segment = SegmentOptions { wait, ..dir.segment() };
    Service::create("s", &ServiceOptions { segment, max_clients, ..options() }).unwrap()
}

#[test]
fn a_client_is_told_in_time_that_the_server_that_took_its_request_died() {
    for wait in [WaitStrategy::Block, WaitStrategy::Balanced, WaitStrategy::Spin] {
        let dir = Scratch::new();
        let service = in_directory(&dir, wait, 3);
        let mut other = service.server().unwrap();
        let mut client = service.client().unwrap();
        let mut server = started("takes", &dir);
        server.wait_for("waits");
        let id = client.try_send(b"a").unwrap();
        server.wait_for("ready");
        server.kill();
        let begin = Instant::now();
        let mut got = 0;
        let result = client.recv_into(&mut got, &mut [], Deadline::within(LONG));
        assert!(matches!(result, Err(Error::PeerDead(_))), "{result:?}");
        assert_eq!(result.unwrap_err().taken(), Some(true), "it may have been carried out");
        assert!(got == id && begin.elapsed() < NOTICE, "{:?}", begin.elapsed());
        // Nobody executes it again, and its cell is free.
        assert!(matches!(other.try_recv(), Err(Error::WouldBlock(_))));
        ask(&mut client, 4);
        (0..4).for_each(|n| assert_eq!(take(&mut other).1, [n]));
        assert_eq!(service.stats().unwrap().servers.len(), 1);
    }
}

#[test]
fn a_request_that_the_dead_server_had_not_taken_is_answered_by_another() {
    let dir = Scratch::new();
    let service = in_directory(&dir, WaitStrategy::Balanced, 3);
    let mut server = started("takes", &dir);
    server.wait_for("waits");
    let mut client = service.client().unwrap();
    client.try_send(b"first").unwrap();
    server.wait_for("ready");
    let second = client.try_send(b"second").unwrap();
    let mut successor = service.server().unwrap();
    server.kill();
    assert_eq!(take(&mut successor), (second, b"second".to_vec()));
    successor.reply(second, b"r").unwrap();
    let (mut replies, mut deaths) = (0, 0);
    for _ in 0..2 {
        match client.recv_timeout(LONG) {
            Ok(reply) => {
                assert_eq!(reply.id, second);
                replies += 1;
            }
            Err(Error::PeerDead(_)) => deaths += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((replies, deaths), (1, 1));
}

#[test]
fn a_client_is_told_that_the_last_server_died_before_it_took_anything() {
    let dir = Scratch::new();
    let service = in_directory(&dir, WaitStrategy::Block, 3);
    let mut server = started("serves", &dir);
    server.wait_for("ready");
    server.kill();
    let mut client = service.client().unwrap();
    let begin = Instant::now();
    let result = client.call_timeout(b"a", LONG);
    assert!(matches!(result, Err(Error::PeerDead(_))), "{result:?}");
    assert_eq!(result.unwrap_err().taken(), Some(false), "it was certainly not carried out");
    assert!(begin.elapsed() < NOTICE, "{:?}", begin.elapsed());
    // It was withdrawn.
    assert!(matches!(service.server().unwrap().try_recv(), Err(Error::WouldBlock(_))));
}

#[test]
fn a_descriptor_and_wait_any_tell_of_a_server_that_died() {
    for by_descriptors in [false, true] {
        let dir = Scratch::new();
        let service = in_directory(&dir, WaitStrategy::Block, 3);
        let mut server = started("takes", &dir);
        server.wait_for("waits");
        let mut client = service.client().unwrap();
        client.try_send(b"a").unwrap();
        server.wait_for("ready");
        server.kill();
        let (wait, begin) = (if by_descriptors { wait_any_by_descriptors } else { wait_any }, Instant::now());
        assert_eq!(wait(&mut [&mut client], Deadline::within(LONG)).unwrap(), [0]);
        assert!(begin.elapsed() < NOTICE, "{:?}", begin.elapsed());
        assert!(matches!(client.try_recv(), Err(Error::PeerDead(_))));
    }
}

#[test]
fn the_place_of_a_client_that_died_is_had_by_the_next_and_what_it_asked_is_not_executed() {
    let dir = Scratch::new();
    let service = in_directory(&dir, WaitStrategy::Balanced, 1);
    let mut server = service.server().unwrap();
    let mut asking = started("asks", &dir);
    asking.wait_for("ready");
    let (taken, data) = take(&mut server);
    assert_eq!(data, [0]);
    assert!(service.client().is_err(), "it lives");
    asking.kill();
    let mut client = service.client().unwrap();
    assert!(matches!(server.try_recv(), Err(Error::WouldBlock(_))), "withdrawn");
    let sent: Vec<u64> = (0..3).map(|n| client.try_send(&[10 + n]).unwrap()).collect();
    assert!(matches!(client.try_send(b"x"), Err(Error::WouldBlock(_))), "one cell is still the server's");
    server.reply(taken, b"to nobody").unwrap();
    let last = client.try_send(&[13]).unwrap();
    for (n, id) in sent.into_iter().chain([last]).enumerate() {
        assert_eq!(take(&mut server), (id, vec![10 + n as u8]));
        server.reply(id, b"r").unwrap();
        let reply = client.try_recv().unwrap();
        assert_eq!((reply.id, reply.data), (id, b"r".to_vec()));
    }
}
