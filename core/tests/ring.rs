//! The ring in one process: every call, its errors, its limits.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

use ipcx::{Deadline, Error, Ring, RingOptions, SegmentOptions, WaitStrategy};
use std::time::{Duration, Instant};

fn small() -> Ring {
    Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap()
}

#[test]
fn records_of_every_size_arrive_whole_and_in_order() {
    let ring = Ring::anonymous(&RingOptions { capacity: 1 << 16, ..Default::default() }).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut buffer = vec![0; 1 << 16];
    for round in 0..3u8 {
        for len in (0..300).chain([4096, 65536 - 16]) {
            let data: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(round)).collect();
            tx.try_send(&data).unwrap();
            assert_eq!(rx.try_recv(&mut buffer).unwrap(), len);
            assert_eq!(&buffer[..len], &data[..]);
        }
    }
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))));
}

#[test]
fn a_full_ring_refuses_and_loses_nothing() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut sent = 0u64;
    while tx.try_send(&sent.to_le_bytes()).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, (4096 - 8) / 16, "all but the 0 at the tail is used");
    let mut buffer = [0; 8];
    for expected in 0..sent {
        assert_eq!(rx.try_recv(&mut buffer).unwrap(), 8);
        assert_eq!(u64::from_le_bytes(buffer), expected);
    }
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))));
}

#[test]
fn a_record_is_skipped_unless_it_is_borrowed_and_none_is_no_error() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert!(!rx.skip().unwrap());
    for data in [&b"one"[..], b"", b"three"] {
        tx.send(data).unwrap();
    }
    rx.borrow_raw(ipcx::Deadline::NOW).unwrap();
    assert!(matches!(rx.skip(), Err(Error::Invalid(_))));
    rx.return_raw();
    assert!(rx.skip().unwrap() && rx.skip().unwrap());
    assert_eq!((rx.position(), ring.stats().unwrap().received), (16 + 8, 2));
    assert_eq!(rx.try_recv(&mut [0; 8]).unwrap(), 5);
    drop(tx);
    assert!(!rx.skip().unwrap(), "also where nobody sends any more");
}

#[test]
fn the_largest_record_fills_the_ring_and_one_more_byte_is_too_big() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert_eq!(tx.max_len(), 4096 - 16);
    let mut buffer = [0; 4096];
    for at in 0..5 {
        tx.try_send(&vec![at; 1000 + at as usize * 8]).unwrap(); // moves the wrap
        rx.try_recv(&mut buffer).unwrap();
        tx.try_send(&[7; 4096 - 16]).unwrap();
        assert!(matches!(tx.try_send(&[0; 4096 - 15]), Err(Error::TooBig { needed: 4081, available: 4080 })));
        assert_eq!(rx.try_recv(&mut buffer).unwrap(), 4080);
    }
}

#[test]
fn a_buffer_too_small_leaves_the_record() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.try_send(b"twelve bytes").unwrap();
    assert!(matches!(rx.try_recv(&mut [0; 11]), Err(Error::TooBig { needed: 12, available: 11 })));
    let mut buffer = [0; 12];
    assert_eq!(rx.try_recv(&mut buffer).unwrap(), 12);
}

#[test]
fn a_batch_is_sent_as_far_as_it_fits_and_received_packed() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let records: Vec<Vec<u8>> = (0..1000u16).map(|i| i.to_le_bytes().repeat(10)).collect();
    let sent = tx.try_send_many(&records).unwrap();
    assert_eq!(sent, (4096 - 8) / 32);
    let (mut buffer, mut lens) = ([0; 4096], [0; 1000]);
    assert_eq!(rx.try_recv_many(&mut buffer, &mut lens[..5]).unwrap(), 5);
    assert_eq!(&lens[..5], &[20; 5]);
    assert_eq!(&buffer[..100], records[..5].concat());
    assert_eq!(rx.try_recv_many(&mut buffer[..19], &mut lens).unwrap_err().errno(), libc::EMSGSIZE);
    assert_eq!(rx.try_recv_many(&mut buffer, &mut lens).unwrap(), sent - 5);
    assert_eq!(&buffer[..(sent - 5) * 20], records[5..sent].concat());
    assert!(matches!(tx.try_send_many([&[0u8; 8][..], &[0; 5000]]), Err(Error::TooBig { .. })));
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))), "nothing of that batch was sent");
    assert_eq!(tx.try_send_many([] as [&[u8]; 0]).unwrap(), 0);
    assert!(matches!(rx.try_recv_many(&mut buffer, &mut []), Err(Error::Invalid(_))));
}

#[test]
fn records_of_one_length_are_counted_up_to_the_first_of_another() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert!(matches!(rx.count_of_length(8, 9, Deadline::NOW), Err(Error::WouldBlock(_))));
    assert_eq!(tx.try_send_many([&[1u8; 8][..], &[2; 8], &[3; 8], b"seven..", &[4; 8]]).unwrap(), 5);
    assert_eq!(rx.count_of_length(8, 9, Deadline::NOW).unwrap(), 3);
    assert_eq!(rx.count_of_length(8, 2, Deadline::NOW).unwrap(), 2);
    let mut buffer = [0; 24];
    assert_eq!(rx.try_recv_many(&mut buffer, &mut [0; 3]).unwrap(), 3, "counting took none");
    let refused = rx.count_of_length(8, 9, Deadline::NOW).unwrap_err();
    assert!(
        matches!(refused, Error::Mismatch(_)) && refused.to_string().contains("has 7 bytes where 8"),
        "{refused}"
    );
    assert_eq!(rx.try_recv(&mut buffer).unwrap(), 7, "a refused one stays");
    assert_eq!(rx.count_of_length(8, usize::MAX, Deadline::NOW).unwrap(), 1);
    assert_eq!(tx.try_send_many(&[[5u8; 8]; 300]).unwrap(), 254);
    assert_eq!(
        rx.count_of_length(8, usize::MAX, Deadline::NOW).unwrap(),
        255,
        "a full ring is gone round once"
    );
}

/// An `AsRef` need not give the same slice twice; what it gave is what is measured and copied.
#[test]
fn a_record_that_changes_its_length_between_looks_stays_inside_the_ring() {
    struct Growing(std::cell::Cell<usize>);
    static BYTES: [u8; 1 << 16] = [7; 1 << 16];
    impl AsRef<[u8]> for Growing {
        fn as_ref(&self) -> &[u8] {
            self.0.set((self.0.get() * 5).min(BYTES.len()));
            &BYTES[..self.0.get()]
        }
    }
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let _ = tx.try_send_many(&[Growing(1.into()), Growing(1.into())]);
    while let Ok(record) = rx.try_borrow() {
        assert!(record.to_vec().iter().all(|byte| *byte == 7));
        record.release();
    }
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))));
}

#[test]
fn a_reservation_is_sent_on_commit_and_vanishes_on_drop() {
    use std::io::Write;
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut buffer = [0; 64];
    drop(tx.try_reserve(10).unwrap());
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))));
    let mut room = tx.try_reserve(10).unwrap();
    room.write_all(b"abc").unwrap();
    room.write_at(3, b"def").unwrap();
    assert!(matches!(room.write_at(9, b"xy"), Err(Error::TooBig { .. })));
    room.commit_len(6).unwrap();
    assert_eq!(rx.try_recv(&mut buffer).unwrap(), 6);
    assert_eq!(&buffer[..6], b"abcdef");
    assert!(tx.try_reserve(4).unwrap().commit_len(5).is_err());
    assert!(matches!(tx.try_reserve(5000), Err(Error::TooBig { .. })));
    let at = tx.reserve_raw(8, ipcx::Deadline::NOW).unwrap();
    assert_eq!(at as usize % 8, 0);
    assert!(matches!(tx.try_send(b"x"), Err(Error::Invalid(_))), "a reservation is open");
    assert!(matches!(tx.commit_raw(9), Err(Error::Invalid(_))));
    tx.abort_raw().unwrap();
    assert!(matches!(tx.abort_raw(), Err(Error::Invalid(_))));
    assert!(matches!(tx.commit_raw(0), Err(Error::Invalid(_))));
}

#[test]
fn a_record_not_released_is_found_again_at_the_same_position() {
    let ring = small();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.try_send(b"one").unwrap();
    tx.try_send(b"two").unwrap();
    {
        let record = rx.try_borrow().unwrap();
        assert_eq!((record.to_vec(), record.position(), record.len()), (b"one".to_vec(), 0, 3));
    }
    drop(rx);
    let mut rx = ring.consumer().unwrap();
    let record = rx.try_borrow().unwrap();
    assert_eq!((record.to_vec(), record.position()), (b"one".to_vec(), 0));
    record.release();
    assert_eq!(rx.position(), 16);
    let (_, len) = rx.borrow_raw(ipcx::Deadline::NOW).unwrap();
    assert_eq!(len, 3);
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::Invalid(_))), "a record is borrowed");
    rx.release_raw().unwrap();
    assert!(matches!(rx.release_raw(), Err(Error::Invalid(_))));
    assert!(matches!(rx.try_borrow(), Err(Error::WouldBlock(_))));
}

#[test]
fn roles_are_taken_once_and_the_error_names_the_holder() {
    let name = format!("test-roles-{}", std::process::id());
    let ring = Ring::create(&name, &RingOptions::default()).unwrap();
    let other = Ring::attach(&name).unwrap();
    let tx = ring.producer().unwrap();
    for handle in [&ring, &other] {
        let error = handle.producer().unwrap_err();
        assert!(matches!(error, Error::RoleTaken(_)));
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        assert!(error.to_string().contains(&name), "{error}");
    }
    drop(tx);
    drop(other.producer().unwrap());
    ipcx::unlink(&name).unwrap();
}

#[test]
fn a_closed_peer_is_told_after_everything_was_received() {
    let ring = small();
    let mut rx = ring.consumer().unwrap();
    let mut buffer = [0; 16];
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))), "nobody has produced yet");
    let mut tx = ring.producer().unwrap();
    tx.try_send(b"last").unwrap();
    drop(tx);
    assert_eq!(rx.recv(&mut buffer).unwrap(), 4);
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::Closed(_))));
    assert!(matches!(rx.recv(&mut buffer), Err(Error::Closed(_))));
    let mut tx = ring.producer().unwrap();
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))), "a successor attached");
    drop(rx);
    while tx.try_send(&[0; 100]).is_ok() {}
    assert!(matches!(tx.try_send(&[0; 100]), Err(Error::Closed(_))), "full, and the consumer closed");
    assert!(matches!(tx.send(&[0; 100]), Err(Error::Closed(_))));
}

/// A receiver started before its sender, on a ring that was used before, waits; one that finds records is told their end.
#[test]
fn a_peer_that_closed_before_one_attached_counts_only_with_what_it_left() {
    let ring = small();
    drop(ring.producer().unwrap());
    let mut rx = ring.consumer().unwrap();
    let timeout = Duration::from_millis(1);
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))));
    assert!(matches!(rx.recv_timeout(&mut [0; 8], timeout), Err(Error::TimedOut(_))));
    drop(ring.producer().unwrap());
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::Closed(_))), "this one closed while attached");
    drop(rx);
    ring.producer().unwrap().try_send(b"left").unwrap();
    let mut rx = ring.consumer().unwrap();
    assert_eq!(rx.recv(&mut [0; 8]).unwrap(), 4);
    assert!(matches!(rx.recv(&mut [0; 8]), Err(Error::Closed(_))));
    drop(rx);
    let mut tx = ring.producer().unwrap();
    while tx.try_send(&[0; 100]).is_ok() {}
    assert!(matches!(tx.try_send(&[0; 100]), Err(Error::WouldBlock(_))), "a next consumer may come");
    assert!(matches!(tx.send_timeout(&[0; 100], timeout), Err(Error::TimedOut(_))));
}

/// A child does this and ends without closing, as a SIGKILL would have it.
fn and_dies(work: impl FnOnce()) {
    // SAFETY: the child uses handles of its own and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        // SAFETY: as a SIGKILL would.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// As when a consumer is killed between its last release and hearing that its producer had closed.
#[test]
fn the_successor_of_a_dead_consumer_hears_that_the_producer_had_closed() {
    let name = format!("test-successor-{}", std::process::id());
    let ring = Ring::create(&name, &RingOptions { capacity: 4096, ..Default::default() }).unwrap();
    ring.producer().unwrap().try_send(b"last").unwrap();
    and_dies(|| {
        let mut rx = Ring::attach(&name).and_then(|ring| ring.consumer()).unwrap();
        rx.try_recv(&mut [0; 8]).unwrap();
        std::mem::forget(rx);
    });
    let mut rx = ring.consumer().unwrap();
    let end = rx.recv_timeout(&mut [0; 8], Duration::from_secs(5));
    ipcx::unlink(&name).unwrap();
    assert!(matches!(end, Err(Error::Closed(_))), "{end:?}");
}

/// As when a receiver is killed that waits for a sender to come: the end of one before that is not the end of its stream.
#[test]
fn the_successor_of_a_dead_consumer_has_the_peer_that_it_had() {
    let name = format!("test-same-peer-{}", std::process::id());
    let ring = Ring::create(&name, &RingOptions { capacity: 4096, ..Default::default() }).unwrap();
    drop(ring.producer().unwrap());
    for _ in 0..2 {
        and_dies(|| std::mem::forget(Ring::attach(&name).and_then(|ring| ring.consumer()).unwrap()));
    }
    let mut rx = ring.consumer().unwrap();
    let waited = rx.recv_timeout(&mut [0; 8], Duration::from_millis(1));
    ipcx::unlink(&name).unwrap();
    assert!(matches!(waited, Err(Error::TimedOut(_))), "{waited:?}");
}

#[test]
fn an_end_after_a_consumer_came_is_also_that_of_its_successor() {
    let name = format!("test-later-end-{}", std::process::id());
    let ring = Ring::create(&name, &RingOptions { capacity: 4096, ..Default::default() }).unwrap();
    drop(ring.producer().unwrap());
    and_dies(|| {
        std::mem::forget(Ring::attach(&name).and_then(|ring| ring.consumer()).unwrap());
        drop(Ring::attach(&name).and_then(|ring| ring.producer()).unwrap());
    });
    let end = ring.consumer().unwrap().recv_timeout(&mut [0; 8], Duration::from_secs(5));
    ipcx::unlink(&name).unwrap();
    assert!(matches!(end, Err(Error::Closed(_))), "{end:?}");
}

#[test]
fn every_strategy_times_out_and_passes_messages_between_threads() {
    for wait in [WaitStrategy::Balanced, WaitStrategy::Spin, WaitStrategy::Yield, WaitStrategy::Block] {
        let segment = SegmentOptions { wait, ..Default::default() };
        let ring = Ring::anonymous(&RingOptions { capacity: 4096, segment }).unwrap();
        assert_eq!(ring.wait_strategy(), wait);
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        let begin = Instant::now();
        let timeout = Duration::from_millis(120);
        assert!(matches!(rx.recv_timeout(&mut [0; 8], timeout), Err(Error::TimedOut(_))));
        assert!(begin.elapsed() >= timeout);
        let count = 20_000u64;
        let sender = std::thread::spawn(move || {
            for number in 0..count {
                tx.send(&number.to_le_bytes().repeat(1 + number as usize % 40)).unwrap();
            }
        });
        let mut buffer = [0; 320];
        for number in 0..count {
            let len = rx.recv(&mut buffer).unwrap();
            assert_eq!(len, 8 * (1 + number as usize % 40));
            assert!(buffer[..len].chunks(8).all(|part| part == number.to_le_bytes()));
        }
        sender.join().unwrap();
    }
}
