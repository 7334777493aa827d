//! The descriptors behind `poll_fd`: readable exactly while the endpoint is ready.

mod common;

use common::in_child;
use ipcx::{Error, Ring, RingOptions};
use std::os::fd::{AsRawFd, BorrowedFd};

/// True if the descriptor becomes readable within so many milliseconds.
fn readable(fd: BorrowedFd<'_>, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 && poll.revents == libc::POLLIN }
}

const SOON: i32 = 5_000;

fn ring() -> Ring {
    Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap()
}

#[test]
fn a_consumers_descriptor_follows_the_records() {
    let ring = ring();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert!(!readable(rx.poll_fd().unwrap(), 0));
    for _ in 0..1000 {
        tx.send(b"a").unwrap();
        tx.send(b"b").unwrap();
        assert!(readable(rx.poll_fd().unwrap(), SOON));
        rx.try_recv(&mut [0; 8]).unwrap();
        assert!(readable(rx.poll_fd().unwrap(), 0), "level-triggered: one is left");
        rx.try_recv(&mut [0; 8]).unwrap();
        assert!(!readable(rx.poll_fd().unwrap(), 0), "nothing is left");
    }
}

#[test]
fn records_sent_before_the_descriptor_was_asked_for_count() {
    let ring = ring();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.send(b"early").unwrap();
    assert!(readable(rx.poll_fd().unwrap(), 0));
}

#[test]
fn a_peer_that_closes_makes_the_descriptor_readable() {
    let ring = ring();
    let (tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert!(!readable(rx.poll_fd().unwrap(), 0));
    drop(tx);
    assert!(readable(rx.poll_fd().unwrap(), SOON));
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::Closed(_))));
}

#[test]
fn a_producers_descriptor_follows_the_room_for_what_did_not_fit() {
    let ring = ring();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert!(readable(tx.poll_fd().unwrap(), 0));
    for _ in 0..3 {
        tx.send(&[0; 1000]).unwrap();
    }
    assert!(matches!(tx.try_send(&[0; 3000]), Err(Error::WouldBlock(_))));
    assert!(!readable(tx.poll_fd().unwrap(), 0));
    rx.try_recv(&mut [0; 1000]).unwrap();
    assert!(!readable(tx.poll_fd().unwrap(), 120), "not enough room yet, over more than two slices");
    rx.try_recv(&mut [0; 1000]).unwrap();
    assert!(readable(tx.poll_fd().unwrap(), SOON));
    tx.try_send(&[0; 3000]).unwrap();
}

#[test]
fn a_blocking_call_works_beside_the_descriptor() {
    let ring = ring();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    rx.poll_fd().unwrap();
    let sender = std::thread::spawn(move || (0..1000u32).for_each(|i| tx.send(&i.to_le_bytes()).unwrap()));
    for expected in 0..1000u32 {
        let mut bytes = [0; 4];
        rx.recv(&mut bytes).unwrap();
        assert_eq!(u32::from_le_bytes(bytes), expected);
    }
    sender.join().unwrap();
    assert!(readable(rx.poll_fd().unwrap(), SOON), "closed");
}

/// What it inherited has a thread that it does not have; closing that must not touch its own.
#[test]
fn a_forked_child_closes_what_it_inherited_and_keeps_its_own_threads() {
    let inherited = ring();
    let mut rx = inherited.consumer().unwrap();
    rx.poll_fd().unwrap();
    let mut inherited = Some((rx, inherited));
    in_child(|| {
        let own = ring();
        (0..3).all(|_| {
            let Ok(mut own) = own.consumer() else { return false };
            let good = own.poll_fd().is_ok();
            drop(inherited.take()); // The own thread may be where the parent's was.
            good
        })
    });
    let (mut rx, _ring) = inherited.expect("the parent's");
    assert!(!readable(rx.poll_fd().unwrap(), 0), "the parent's goes on");
}
