//! Ends of transports in other processes, and among other things that are waited for.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{in_child, Scratch};
use ipcx::{wait_any, wait_any_by_descriptors, Deadline, Error, Ring, Transport, TransportOptions, Waitable};
use std::time::{Duration, Instant};

type Wait = fn(&mut [&mut dyn Waitable], Deadline) -> ipcx::Result<Vec<usize>>;
const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);
const NAMELESS: [Transport; 5] =
    [Transport::Pipe, Transport::MessageQueue, Transport::Unix, Transport::Ring, Transport::Buffer];

fn tells(transport: Transport) -> bool {
    !matches!(transport, Transport::MessageQueue | Transport::Buffer)
}

#[test]
fn an_end_that_was_shared_goes_on_elsewhere_and_its_first_owner_closes_without_a_word() {
    for transport in NAMELESS {
        let (mut tx, mut rx) = transport.pair(&Default::default()).unwrap();
        let shared = tx.share_fd().unwrap();
        drop(tx);
        let before = rx.recv_timeout(&mut [0; 8192], SHORT);
        assert!(matches!(before, Err(Error::TimedOut(_))), "{transport}: {before:?}");
        let mut tx = transport.sender_from_fd(shared).unwrap();
        tx.send(b"x").unwrap();
        let shared = rx.share_fd();
        match transport {
            Transport::Ring => assert!(matches!(shared, Err(Error::Invalid(_))), "{transport}: it was used"),
            _ => {
                drop(rx);
                rx = transport.receiver_from_fd(shared.unwrap()).unwrap();
            }
        }
        assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), 1, "{transport}");
        drop(tx);
        if tells(transport) {
            let after = rx.recv_timeout(&mut [0; 8192], SOON);
            assert!(matches!(after, Err(Error::Closed(_))), "{transport}: {after:?}");
        }
    }
}

#[test]
fn an_end_that_closed_before_the_other_was_used_is_told() {
    for transport in NAMELESS.into_iter().filter(|transport| tells(*transport)) {
        let (tx, mut rx) = transport.pair(&Default::default()).unwrap();
        drop(tx);
        let after = rx.recv_timeout(&mut [0; 8], SOON);
        assert!(matches!(after, Err(Error::Closed(_))), "{transport}: {after:?}");
        let (mut tx, rx) = transport.pair(&Default::default()).unwrap();
        drop(rx);
        let ends = (0..100_000).find_map(|_| tx.send_timeout(&[0; 1000], SOON).err());
        assert!(matches!(ends, Some(Error::Closed(_))), "{transport}: {ends:?}");
    }
}

#[test]
fn an_end_with_a_name_or_in_the_middle_of_a_message_is_not_shared() {
    let scratch = Scratch::new();
    let options = TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() };
    for transport in [Transport::Fifo, Transport::Unix, Transport::Ring, Transport::Buffer] {
        let mut rx = transport.receiver(transport.word(), &options).unwrap();
        let mut tx = transport.sender(transport.word(), &options).unwrap();
        assert!(matches!(tx.share_fd(), Err(Error::Invalid(_))), "{transport}");
        assert!(matches!(rx.share_fd(), Err(Error::Invalid(_))), "{transport}");
    }
    let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default()).unwrap();
    assert!(matches!(tx.try_send(&[0; 200_000]), Err(Error::WouldBlock(_))));
    assert!(matches!(tx.share_fd(), Err(Error::Invalid(_))));
    assert!(matches!(rx.try_recv(&mut [0; 200_000]), Err(Error::WouldBlock(_))));
    assert!(matches!(rx.share_fd(), Err(Error::Invalid(_))));
    let (mut tx, mut rx) = Transport::MessageQueue.pair(&Default::default()).unwrap();
    tx.send(b"kept").unwrap();
    assert!(matches!(rx.try_recv(&mut []), Err(Error::TooBig { .. })));
    assert!(matches!(rx.share_fd(), Err(Error::Invalid(_))));
}

#[test]
fn ends_are_waited_for_among_other_things() {
    let ring = Ring::anonymous(&Default::default()).unwrap();
    let mut other = ring.consumer().unwrap();
    let ways: [Wait; 2] = [wait_any, wait_any_by_descriptors];
    for (transport, wait) in NAMELESS.into_iter().flat_map(|one| ways.map(|wait| (one, wait))) {
        let (mut tx, mut rx) = transport.pair(&Default::default()).unwrap();
        assert_eq!(
            wait(&mut [&mut other, &mut tx, &mut rx], Deadline::NOW).unwrap(),
            [1],
            "{transport}: room"
        );
        let waited = wait(&mut [&mut other, &mut rx], Deadline::within(SHORT));
        assert!(matches!(waited, Err(Error::TimedOut(_))), "{transport}");
        std::thread::scope(|scope| {
            scope.spawn(|| tx.send(b"x").unwrap());
            let ready = wait(&mut [&mut other, &mut rx], Deadline::within(SOON)).unwrap();
            assert_eq!(ready, [1], "{transport}");
        });
        assert!(matches!(rx.try_recv(&mut []), Err(Error::TooBig { .. })), "{transport}");
        assert_eq!(wait(&mut [&mut rx], Deadline::NOW).unwrap(), [0], "{transport}: it is still there");
        rx.try_recv(&mut [0; 8192]).unwrap();
        if transport != Transport::Buffer {
            while tx.try_send(&[0; 4000]).is_ok() {}
            assert!(
                matches!(wait(&mut [&mut tx], Deadline::NOW), Err(Error::WouldBlock(_))),
                "{transport}: full"
            );
            while rx.try_recv(&mut [0; 8192]).is_ok() {}
            assert_eq!(wait(&mut [&mut tx], Deadline::within(SOON)).unwrap(), [0], "{transport}: room again");
        }
        if tells(transport) {
            std::thread::scope(|scope| {
                scope.spawn(|| drop(tx));
                assert_eq!(wait(&mut [&mut rx], Deadline::within(SOON)).unwrap(), [0], "{transport}: closed");
            });
        }
    }
}

/// Nothing says that a receiver came.
#[test]
fn a_sender_that_nobody_receives_from_yet_is_ready_when_somebody_does() {
    let scratch = Scratch::new();
    let options = TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() };
    for transport in [Transport::Fifo, Transport::Unix] {
        let mut tx = transport.sender("x", &options).unwrap();
        let begin = Instant::now();
        assert!(matches!(wait_any(&mut [&mut tx], Deadline::within(SHORT)), Err(Error::TimedOut(_))));
        assert!(begin.elapsed() >= SHORT);
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| transport.receiver("x", &options).unwrap());
            assert_eq!(wait_any(&mut [&mut tx], Deadline::within(SOON)).unwrap(), [0], "{transport}");
            tx.send(b"x").unwrap();
            assert_eq!(receiver.join().unwrap().recv_timeout(&mut [0; 8], SOON).unwrap(), 1);
        });
    }
}

#[test]
fn a_forked_child_does_not_wait_for_what_is_not_its_own() {
    let scratch = Scratch::new();
    let options = TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() };
    for transport in [Transport::Fifo, Transport::Unix, Transport::Ring, Transport::Buffer] {
        let mut rx = transport.receiver(transport.word(), &options).unwrap();
        let mut tx = transport.sender(transport.word(), &options).unwrap();
        in_child(|| {
            let waits = [wait_any(&mut [&mut rx], Deadline::NOW), wait_any(&mut [&mut tx], Deadline::NOW)];
            waits.iter().all(|waited| matches!(waited, Err(Error::Forked)))
        });
    }
}
