//! What every transport does, whatever carries the messages.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{in_child, Scratch};
use ipcx::{Deadline, Error, Receiver, Sender, Transport, TransportOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

/// Ends of every transport that this host has: without a name, and with one that is removed afterwards.
fn each(options: &TransportOptions, mut test: impl FnMut(Transport, Sender, Receiver)) {
    for transport in Transport::ALL {
        for named in [false, true] {
            if matches!((transport, named), (Transport::Pipe, true) | (Transport::Fifo, false)) {
                continue;
            }
            let scratch = Scratch::new();
            let options = TransportOptions { directory: Some(scratch.path().to_owned()), ..options.clone() };
            let name = unique();
            let opened = match named {
                true => transport
                    .receiver(&name, &options)
                    .and_then(|rx| Ok((transport.sender(&name, &options)?, rx))),
                false => transport.pair(&options),
            };
            match opened {
                Ok((tx, rx)) => test(transport, tx, rx),
                Err(Error::Os { errno: libc::ENOSYS, .. }) => {
                    println!("skipped: this host has no {transport}");
                    continue;
                }
                Err(error) => panic!("{transport}: {error}"),
            }
            if named {
                transport.unlink(&name, &options).unwrap();
                assert!(matches!(transport.unlink(&name, &options), Err(Error::NotFound(_))), "{transport}");
                assert!(scratch.names().is_empty(), "{transport}: {:?}", scratch.names());
            }
        }
    }
}

fn unique() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test-transport-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn message(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ n.wrapping_mul(7)) as u8).collect()
}

/// Lengths of 0 to 64 KiB that the transport takes.
fn lengths(tx: &mut Sender) -> Vec<usize> {
    let most = tx.max_len().unwrap().min(1 << 16);
    let some = [0, 1, 2, 3, 4, 5, 63, 64, 1000, 4091, 4092, 4093, 4096, 8192, 20_000, 65_535, 65_536];
    some.into_iter().filter(|len| *len <= most).collect()
}

fn large() -> TransportOptions {
    TransportOptions { capacity: 1 << 18, ..Default::default() }
}

#[test]
fn words_name_transports() {
    for transport in Transport::ALL {
        assert_eq!(transport.to_string().parse::<Transport>().unwrap(), transport);
    }
    assert!(matches!("carrier-pigeon".parse::<Transport>(), Err(Error::Invalid(_))));
}

#[test]
fn messages_of_every_size_arrive_whole_and_in_order() {
    each(&large(), |transport, mut tx, mut rx| {
        let lengths = lengths(&mut tx);
        let one_at_a_time = transport == Transport::Buffer;
        let mut buffer = vec![0; 1 << 16];
        let mut check = |rx: &mut Receiver, n: usize, len: usize| {
            assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), len, "{transport}");
            assert!(buffer[..len] == message(n, len), "{transport}: message {n}");
        };
        if one_at_a_time {
            for (n, len) in lengths.iter().enumerate() {
                tx.send(&message(n, *len)).unwrap();
                check(&mut rx, n, *len);
            }
            return;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..5 {
                    for (n, len) in lengths.iter().enumerate() {
                        tx.send_timeout(&message(n + round, *len), SOON).unwrap();
                    }
                }
            });
            for round in 0..5 {
                for (n, len) in lengths.iter().enumerate() {
                    check(&mut rx, n + round, *len);
                }
            }
        });
        assert!(
            matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))),
            "{transport}: nothing is left"
        );
    });
}

#[test]
fn an_empty_transport_blocks_times_out_and_goes_on() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        let mut buffer = [0; 4096];
        assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))), "{transport}");
        let begin = Instant::now();
        assert!(matches!(rx.recv_timeout(&mut buffer, SHORT), Err(Error::TimedOut(_))), "{transport}");
        assert!(begin.elapsed() >= SHORT && begin.elapsed() < SOON, "{transport}");
        tx.send(b"late").unwrap();
        assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), 4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(SHORT);
                tx.send(b"woken").unwrap();
            });
            assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), 5, "{transport}");
        });
    });
}

#[test]
fn a_full_transport_blocks_times_out_and_loses_nothing() {
    for len in [100, 4092, 5000] {
        each(&Default::default(), |transport, mut tx, mut rx| {
            if transport == Transport::Buffer {
                return; // never full
            }
            let mut sent = 0;
            let fails = |done: &ipcx::Result<()>| matches!(done, Err(Error::WouldBlock(_)));
            while !fails(&tx.try_send(&message(sent, len))) {
                sent += 1;
            }
            let begin = Instant::now();
            let next = message(sent, len);
            assert!(matches!(tx.send_timeout(&next, SHORT), Err(Error::TimedOut(_))), "{transport}");
            assert!(begin.elapsed() >= SHORT, "{transport}");
            assert!(fails(&tx.try_send(&next)), "{transport}: still full");
            let mut buffer = vec![0; 1 << 16];
            let mut receive = |rx: &mut Receiver, n: usize| {
                assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), len, "{transport}: {n}");
                assert!(buffer[..len] == message(n, len), "{transport}: {n}");
            };
            std::thread::scope(|scope| {
                scope.spawn(|| tx.send_timeout(&next, SOON).unwrap());
                (0..=sent).for_each(|n| receive(&mut rx, n));
            });
            assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))), "{transport}: once");
        });
    }
}

fn tells(transport: Transport) -> bool {
    !matches!(transport, Transport::MessageQueue | Transport::Buffer)
}

#[test]
fn a_sender_that_closes_is_told_after_the_last_message() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        tx.send(b"last").unwrap();
        drop(tx);
        let mut buffer = [0; 8192];
        assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), 4, "{transport}");
        let after = rx.recv_timeout(&mut buffer, if tells(transport) { SOON } else { SHORT });
        match tells(transport) {
            true => {
                assert!(matches!(after, Err(Error::Closed(_))), "{transport}: {after:?}");
                assert!(matches!(rx.try_recv(&mut buffer), Err(Error::Closed(_))), "{transport}: again");
            }
            false => assert!(matches!(after, Err(Error::TimedOut(_))), "{transport}: {after:?}"),
        }
    });
}

#[test]
fn a_sender_that_closes_unused_is_told_too() {
    each(&Default::default(), |transport, tx, mut rx| {
        if !tells(transport) {
            return;
        }
        assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))), "{transport}");
        drop(tx);
        let after = rx.recv_timeout(&mut [0; 8], SOON);
        assert!(matches!(after, Err(Error::Closed(_))), "{transport}: {after:?}");
    });
}

#[test]
fn a_receiver_that_closes_is_told_when_nothing_can_be_sent() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        if !tells(transport) {
            return;
        }
        tx.send(b"first").unwrap();
        rx.recv(&mut [0; 8]).unwrap();
        drop(rx);
        let ends = (0..100_000).find_map(|_| tx.send_timeout(&[0; 1000], SOON).err());
        assert!(matches!(ends, Some(Error::Closed(_))), "{transport}: {ends:?}");
    });
}

#[test]
fn a_buffer_too_small_leaves_the_message() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        let mut buffer = vec![0; 8192];
        for len in [1, 500, 4000] {
            tx.send(&message(len, len)).unwrap();
            for small in [0, len - 1, len / 2] {
                let result = rx.recv_timeout(&mut buffer[..small], SOON);
                let right = matches!(result, Err(Error::TooBig { needed, available })
                    if needed == len && available == small);
                assert!(right, "{transport}: {result:?}");
            }
            assert_eq!(rx.recv_timeout(&mut buffer[..len], SOON).unwrap(), len, "{transport}");
            assert!(buffer[..len] == message(len, len), "{transport}");
        }
    });
}

#[test]
fn a_message_that_can_never_be_sent_is_too_big_and_sends_nothing() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        let most = tx.max_len().unwrap();
        if most >= 1 << 30 {
            return;
        }
        let result = tx.try_send(&vec![0; most + 1]);
        let right = matches!(result, Err(Error::TooBig { needed, available })
            if needed == most + 1 && available == most);
        assert!(right, "{transport}: {result:?}");
        assert!(matches!(rx.try_recv(&mut [0; 8192]), Err(Error::WouldBlock(_))), "{transport}");
    });
}

#[test]
fn the_longest_message_that_was_asked_for_is_possible() {
    for size in [100, 8000] {
        each(&TransportOptions { message_size: size, ..Default::default() }, |transport, mut tx, mut rx| {
            tx.send(&vec![1; size]).unwrap();
            assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), size, "{transport}");
        });
    }
    let large = TransportOptions { message_size: 2 << 20, ..Default::default() };
    let (mut tx, mut rx) = Transport::Ring.pair(&large).unwrap();
    tx.send(&vec![1; 2 << 20]).unwrap();
    assert_eq!(rx.recv(&mut vec![0; 2 << 20]).unwrap(), 2 << 20);
    let huge = TransportOptions { message_size: 1 << 30, ..Default::default() };
    assert!(matches!(Transport::Unix.pair(&huge), Err(Error::NoSpace(_))));
}

extern "C" fn nothing(_: libc::c_int) {}

/// Sends a signal to this thread again and again, until the work is done.
fn interrupted<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a handler that does nothing; the thread outlives the signals, which are sent inside the scope.
    let this = unsafe {
        libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t);
        libc::pthread_self()
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
                // SAFETY: as above.
                unsafe { libc::pthread_kill(this, libc::SIGUSR1) };
            }
        });
        let value = work();
        done.store(true, Ordering::Relaxed);
        value
    })
}

#[test]
fn a_signal_ends_a_call_that_sleeps() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        let result = interrupted(|| rx.recv_timeout(&mut [0; 4096], SOON));
        assert!(matches!(result, Err(Error::Interrupted)), "{transport}: {result:?}");
        if transport == Transport::Buffer {
            return;
        }
        while tx.try_send(&[7; 3000]).is_ok() {}
        let result = interrupted(|| tx.send_timeout(&[7; 3000], SOON));
        assert!(matches!(result, Err(Error::Interrupted)), "{transport}: {result:?}");
        assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), 3000, "{transport}");
    });
}

#[test]
fn messages_longer_than_the_room_survive_signals_and_timeouts_on_both_sides() {
    let (mut tx, mut rx) =
        Transport::Pipe.pair(&TransportOptions { capacity: 4096, ..Default::default() }).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..40 {
                let data = message(n, n * 2500);
                while let Err(error) = tx.send_timeout(&data, Duration::from_micros(200)) {
                    assert!(matches!(error, Error::TimedOut(_)), "{error:?}");
                }
            }
        });
        let mut buffer = vec![0; 1 << 17];
        for n in 0..40 {
            let len = loop {
                match rx.recv_timeout(&mut buffer, Duration::from_micros(150)) {
                    Ok(len) => break len,
                    Err(error) => assert!(matches!(error, Error::TimedOut(_)), "{error:?}"),
                }
            };
            assert!(buffer[..len] == message(n, n * 2500), "message {n}");
        }
        let end = rx.recv_timeout(&mut buffer, SOON);
        assert!(matches!(end, Err(Error::Closed(_))), "{end:?}");
    });
}

/// The child has the default disposition, so that the signal would end it.
#[test]
fn nothing_raises_sigpipe() {
    in_child(|| {
        // SAFETY: in the child only.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let scratch = Scratch::new();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let mut good = true;
        each(&Default::default(), |transport, mut tx, rx| {
            if matches!(transport, Transport::Pipe | Transport::Fifo | Transport::Unix) {
                drop(rx);
                good &= matches!(tx.send_timeout(b"x", SOON), Err(Error::Closed(_)));
                let sent = tx.send_file_until(file.as_fd(), 0, 10_000, Deadline::NOW);
                good &= matches!(sent, Err(Error::Closed(_) | Error::WouldBlock(_)));
            }
        });
        drop(scratch);
        good
    });
}

fn ready(fd: BorrowedFd<'_>, events: i16, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 }
}

#[test]
fn descriptors_follow_messages_room_and_closing() {
    each(&Default::default(), |transport, mut tx, mut rx| {
        assert!(!ready(rx.poll_fd().unwrap(), libc::POLLIN, 0), "{transport}");
        let events = tx.poll_events();
        assert!(ready(tx.poll_fd().unwrap(), events, 0), "{transport}: room");
        for _ in 0..3 {
            tx.send(b"message").unwrap();
            assert!(ready(rx.poll_fd().unwrap(), libc::POLLIN, 5000), "{transport}");
            rx.try_recv(&mut [0; 8192]).unwrap();
            assert!(!ready(rx.poll_fd().unwrap(), libc::POLLIN, 0), "{transport}");
        }
        if transport != Transport::Buffer {
            while tx.try_send(&[0; 4000]).is_ok() {}
            assert!(!ready(tx.poll_fd().unwrap(), events, 0), "{transport}: full");
            while rx.try_recv(&mut [0; 8192]).is_ok() {}
            assert!(ready(tx.poll_fd().unwrap(), events, 5000), "{transport}: room again");
            while rx.try_recv(&mut [0; 8192]).is_ok() {}
        }
        if tells(transport) {
            drop(tx);
            assert!(ready(rx.poll_fd().unwrap(), libc::POLLIN, 5000), "{transport}: closed");
        }
    });
}

const NAMELESS: [Transport; 5] =
    [Transport::Pipe, Transport::MessageQueue, Transport::Unix, Transport::Ring, Transport::Buffer];

#[test]
fn an_end_without_a_name_goes_on_in_a_forked_child() {
    for transport in NAMELESS {
        let (mut tx, mut rx) = transport.pair(&Default::default()).unwrap();
        in_child(|| tx.send_timeout(b"from the child", SOON).is_ok());
        drop(tx);
        assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), 14, "{transport}");
    }
}

#[test]
fn an_end_with_a_name_is_not_a_forked_childs() {
    let named = [Transport::Fifo, Transport::Unix, Transport::Ring, Transport::Buffer];
    for transport in named {
        let scratch = Scratch::new();
        let options = TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() };
        let mut rx = transport.receiver("x", &options).unwrap();
        let mut tx = transport.sender("x", &options).unwrap();
        tx.send_timeout(b"x", SOON).unwrap();
        in_child(|| {
            let sent = tx.try_send(b"x");
            let received = rx.try_recv(&mut [0; 8]);
            let polled = rx.poll_fd();
            matches!((sent, received), (Err(Error::Forked), Err(Error::Forked)))
                && matches!(polled, Err(Error::Forked))
        });
        assert_eq!(rx.recv_timeout(&mut [0; 8], SOON).unwrap(), 1, "{transport}");
    }
}

#[test]
fn a_forked_child_does_not_keep_an_end_with_a_name_open() {
    for transport in [Transport::Fifo, Transport::Unix, Transport::Ring] {
        let scratch = Scratch::new();
        let options = TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() };
        let mut rx = transport.receiver("x", &options).unwrap();
        let mut tx = transport.sender("x", &options).unwrap();
        tx.send_timeout(b"x", SOON).unwrap();
        rx.recv_timeout(&mut [0; 8], SOON).unwrap();
        // SAFETY: the child only waits to be killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            loop {
                // SAFETY: as above.
                unsafe { libc::pause() };
            }
        }
        drop(tx);
        let ended = rx.recv_timeout(&mut [0; 8], SOON);
        // SAFETY: the child made above.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, &mut 0, 0);
        }
        assert!(matches!(ended, Err(Error::Closed(_))), "{transport}: {ended:?}");
    }
}

#[test]
fn an_end_without_a_name_is_handed_over_as_a_descriptor() {
    for transport in NAMELESS {
        let (tx, rx) = transport.pair(&Default::default()).unwrap();
        let (tx, rx) = (tx.into_fd().unwrap(), rx.into_fd().unwrap());
        let mut tx = transport.sender_from_fd(tx).unwrap();
        let mut rx = transport.receiver_from_fd(rx).unwrap();
        tx.send(b"handed over").unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), 11, "{transport}");
    }
}

#[test]
fn part_of_a_file_is_one_message() {
    let scratch = Scratch::new();
    let path = scratch.path().join("contents");
    let contents = message(1, 300_000);
    std::fs::write(&path, &contents).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    each(&Default::default(), |transport, mut tx, mut rx| {
        let most = tx.max_len().unwrap().min(150_000);
        for (offset, len) in [(0, 10), (4095, 4097), (5, most), (300_000 - 7, 1000)] {
            let expected = &contents[offset..(offset + len.min(most)).min(contents.len())];
            let sent = std::thread::scope(|scope| {
                let sent = scope.spawn(|| {
                    let until = Deadline::after(SOON);
                    tx.send_file_until(file.as_fd(), offset as u64, len.min(most), until)
                });
                let mut buffer = vec![0; 200_000];
                let received = rx.recv_timeout(&mut buffer, SOON).unwrap();
                assert!(&buffer[..received] == expected, "{transport}: {offset} {len}");
                sent.join().unwrap().unwrap()
            });
            assert_eq!(sent, expected.len(), "{transport}");
        }
        assert_eq!(tx.send_file_until(file.as_fd(), 300_000, 1, Deadline::NOW).unwrap(), 0, "{transport}");
        assert!(matches!(rx.try_recv(&mut [0; 8192]), Err(Error::WouldBlock(_))), "{transport}: no message");
    });
}

#[test]
fn part_of_a_file_goes_on_after_a_timeout_and_only_once() {
    let scratch = Scratch::new();
    let path = scratch.path().join("contents");
    let contents = message(1, 300_000);
    std::fs::write(&path, &contents).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default()).unwrap();
    for _ in 0..3 {
        let sent = tx.send_file_until(file.as_fd(), 100, 250_000, Deadline::NOW);
        assert!(matches!(sent, Err(Error::WouldBlock(_))), "{sent:?}");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            tx.send_file_until(file.as_fd(), 100, 250_000, Deadline::after(SOON)).unwrap();
            tx.send_timeout(b"next", SOON).unwrap();
        });
        let mut buffer = vec![0; 300_000];
        assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), 250_000);
        assert!(buffer[..250_000] == contents[100..250_100]);
        assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), 4);
    });
}
