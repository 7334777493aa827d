//! What single transports do: leftovers, deaths, wrong files, limits, priorities, descriptors.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, Scratch, Started};
use ipcx::{Deadline, Error, Ring, Transport, TransportOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);
/// Those that are files which a receiver makes.
const MADE: [(Transport, &str); 2] = [(Transport::Fifo, "ipcx.x.fifo"), (Transport::Unix, "ipcx.x.sock")];

fn options(scratch: &Scratch) -> TransportOptions {
    TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() }
}

/// In a child: holds an end, and says so; a FIFO's sender then dies in the middle of a message.
fn hold(argument: &str) {
    let [role, word, directory] = argument.split(' ').collect::<Vec<_>>()[..] else { panic!("{argument}") };
    let options = TransportOptions { directory: Some(PathBuf::from(directory)), ..Default::default() };
    let transport: Transport = word.parse().unwrap();
    let say_and_sleep = || {
        println!("ready");
        std::io::stdout().flush().unwrap();
        std::thread::sleep(Duration::from_secs(60));
    };
    if role == "receiver" {
        let _rx = transport.receiver("x", &options).unwrap();
        say_and_sleep();
    } else {
        let mut tx = transport.sender("x", &options).unwrap();
        tx.send_timeout(b"whole", SOON).unwrap();
        if transport == Transport::Fifo {
            assert!(matches!(tx.send_timeout(&[1; 200_000], SHORT), Err(Error::TimedOut(_))));
        }
        say_and_sleep();
    }
}

#[test]
fn either_end_is_opened_first_and_neither_waits() {
    for (transport, _) in MADE {
        let scratch = Scratch::new();
        let options = options(&scratch);
        let mut tx = transport.sender("x", &options).unwrap();
        assert!(matches!(tx.try_send(b"x"), Err(Error::WouldBlock(_))), "{transport}");
        assert!(matches!(tx.poll_fd(), Err(Error::WouldBlock(_))), "{transport}");
        assert!(matches!(tx.send_timeout(b"x", SHORT), Err(Error::TimedOut(_))), "{transport}");
        let mut rx = transport.receiver("x", &options).unwrap();
        tx.send_timeout(b"now", SOON).unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 8], SOON).unwrap(), 3, "{transport}");
    }
}

#[test]
fn a_role_is_one_living_process_and_its_successors_when_it_closes() {
    for (transport, _) in MADE {
        let scratch = Scratch::new();
        let options = options(&scratch);
        let (mut rx, tx) =
            (transport.receiver("x", &options).unwrap(), transport.sender("x", &options).unwrap());
        assert!(matches!(transport.receiver("x", &options), Err(Error::RoleTaken(_))), "{transport}");
        assert!(matches!(transport.sender("x", &options), Err(Error::RoleTaken(_))), "{transport}");
        drop(tx);
        for n in 0..20u8 {
            let mut tx = transport.sender("x", &options).unwrap();
            let sender =
                std::thread::spawn(move || (0..3).for_each(|_| tx.send_timeout(&[n], SOON).unwrap()));
            let mut got = 0;
            while got < 3 {
                let mut byte = [0];
                match rx.recv_timeout(&mut byte, SOON) {
                    Ok(1) if byte == [n] => got += 1,
                    Err(Error::Closed(_)) => std::thread::yield_now(), // the one before
                    other => panic!("{transport}: {n} {other:?}"),
                }
            }
            sender.join().unwrap();
        }
    }
}

#[test]
fn a_sender_connects_to_the_successor_of_a_receiver_that_closed() {
    for (transport, _) in MADE {
        let scratch = Scratch::new();
        let options = options(&scratch);
        let mut tx = transport.sender("x", &options).unwrap();
        for _ in 0..3 {
            let mut rx = transport.receiver("x", &options).unwrap();
            tx.send_timeout(b"one", SOON).unwrap();
            assert_eq!(rx.recv_timeout(&mut [0; 8], SOON).unwrap(), 3, "{transport}");
            drop(rx);
            // A child that another test is starting may have the descriptor for a moment more.
            let ends = (0..100_000).find_map(|_| tx.send_timeout(&[0; 1000], SOON).err());
            assert!(matches!(ends, Some(Error::Closed(_))), "{transport}: {ends:?}");
            assert!(matches!(tx.try_send(b"none"), Err(Error::WouldBlock(_))), "{transport}");
        }
    }
}

#[test]
fn a_sender_killed_in_the_middle_of_a_message_leaves_nothing_of_it_to_its_successor() {
    if let Some(argument) = child_argument() {
        return hold(&argument);
    }
    for (transport, _) in MADE {
        let scratch = Scratch::new();
        let options = options(&scratch);
        let mut rx = transport.receiver("x", &options).unwrap();
        let argument = format!("sender {transport} {}", scratch.path().display());
        let name = "a_sender_killed_in_the_middle_of_a_message_leaves_nothing_of_it_to_its_successor";
        let mut sender = Started::new(child(name, &argument));
        let mut buffer = vec![0; 200_000];
        assert_eq!(rx.recv_timeout(&mut buffer, SOON).unwrap(), 5, "{transport}");
        sender.wait_for("ready");
        assert!(matches!(rx.recv_timeout(&mut buffer, SHORT), Err(Error::TimedOut(_))), "{transport}");
        sender.kill();
        let mut tx = transport.sender("x", &options).unwrap();
        let went = rx.recv_timeout(&mut buffer, SOON);
        match transport {
            Transport::Fifo => assert!(matches!(went, Err(Error::PeerDead(_))), "{went:?}"),
            _ => assert!(matches!(went, Err(Error::Closed(_))), "{went:?}"),
        }
        let successor = std::thread::spawn(move || tx.send_timeout(b"successor", SOON).map(|()| tx));
        let len = loop {
            match rx.recv_timeout(&mut buffer, SOON) {
                Err(Error::Closed(_)) => std::thread::yield_now(), // it did not connect yet
                done => break done.unwrap(),
            }
        };
        assert_eq!(&buffer[..len], b"successor", "{transport}");
        successor.join().unwrap().unwrap();
    }
}

#[test]
fn what_a_killed_receiver_left_is_no_obstacle() {
    if let Some(argument) = child_argument() {
        return hold(&argument);
    }
    for (transport, file) in MADE {
        let scratch = Scratch::new();
        let options = options(&scratch);
        let argument = format!("receiver {transport} {}", scratch.path().display());
        let mut receiver = Started::new(child("what_a_killed_receiver_left_is_no_obstacle", &argument));
        receiver.wait_for("ready");
        assert!(matches!(transport.receiver("x", &options), Err(Error::RoleTaken(_))), "{transport}");
        receiver.kill();
        assert!(scratch.path().join(file).exists());
        let mut tx = transport.sender("x", &options).unwrap();
        assert!(matches!(tx.try_send(b"x"), Err(Error::WouldBlock(_))), "{transport}");
        let mut rx = transport.receiver("x", &options).unwrap();
        tx.send_timeout(b"y", SOON).unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 8], SOON).unwrap(), 1, "{transport}");
        transport.unlink("x", &options).unwrap();
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());
    }
}

#[test]
fn a_fifo_that_was_claimed_and_not_used_is_the_next_senders() {
    let scratch = Scratch::new();
    let options = options(&scratch);
    let mut rx = Transport::Fifo.receiver("x", &options).unwrap();
    let path = scratch.path().join("ipcx.x.fifo");
    std::fs::rename(&path, scratch.path().join("ipcx.x.fifo.claim")).unwrap();
    let mut tx = Transport::Fifo.sender("x", &options).unwrap();
    tx.try_send(b"x").unwrap();
    assert_eq!(rx.recv_timeout(&mut [0; 8], SOON).unwrap(), 1);
    assert_eq!(scratch.names(), ["ipcx.x.fifo.lock"]);
}

#[test]
fn something_else_at_the_name_is_refused_and_left_alone() {
    for (transport, file) in MADE {
        let scratch = Scratch::new();
        let options = options(&scratch);
        let path = scratch.path().join(file);
        std::fs::write(&path, b"precious").unwrap();
        for error in [
            transport.receiver("x", &options).err(),
            transport.sender("x", &options).err(),
            transport.unlink("x", &options).err(),
        ] {
            let Some(Error::Mismatch(context)) = error else { panic!("{transport}: {error:?}") };
            assert!(context.detail().contains(file), "{context}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(matches!(transport.sender("x", &options), Err(Error::Mismatch(_))), "{transport}");
    }
}

#[test]
fn what_is_made_is_its_owners_unless_the_options_say_otherwise() {
    use std::os::unix::fs::PermissionsExt;
    for (transport, file) in MADE {
        for (mode, expected) in [(0, 0o600), (0o660, 0o660)] {
            let scratch = Scratch::new();
            let options = TransportOptions { mode, ..options(&scratch) };
            let _rx = transport.receiver("x", &options).unwrap();
            for file in [file.to_owned(), format!("{file}.lock")] {
                let facts = std::fs::symlink_metadata(scratch.path().join(&file)).unwrap();
                assert_eq!(facts.permissions().mode() & 0o777, expected, "{file}");
            }
        }
    }
}

#[test]
fn a_name_is_as_long_as_a_sockets_address_allows() {
    let scratch = Scratch::new();
    let (long, longest) = ("x".repeat(75), "x".repeat(200));
    let _rx = Transport::Unix.receiver(&long, &options(&scratch)).unwrap();
    assert!(matches!(Transport::Unix.receiver(&longest, &options(&scratch)), Err(Error::Invalid(_))));
    let _rx = Transport::Fifo.receiver(&longest, &options(&scratch)).unwrap();
}

#[test]
fn what_has_no_name_or_nothing_else_says_so() {
    let scratch = Scratch::new();
    let options = options(&scratch);
    assert!(matches!(Transport::Pipe.sender("x", &options), Err(Error::Invalid(_))));
    assert!(matches!(Transport::Fifo.pair(&options), Err(Error::Invalid(_))));
    assert!(matches!(Transport::Fifo.sender("../x", &options), Err(Error::Invalid(_))));
    let nowhere = TransportOptions { directory: Some(scratch.path().join("nowhere")), ..Default::default() };
    assert!(matches!(Transport::Unix.sender("x", &nowhere), Err(Error::NotFound(_))));
    let (mut tx, mut rx) = Transport::Pipe.pair(&options).unwrap();
    assert!(matches!(tx.send_with_priority_until(b"x", 1, Deadline::NOW), Err(Error::Invalid(_))));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(tx.send_fd_until(file.as_fd(), Deadline::NOW), Err(Error::Invalid(_))));
    assert!(matches!(rx.recv_fd_until(Deadline::NOW), Err(Error::Invalid(_))));
    assert!(matches!(Transport::Unix.sender_from_fd(file.into()), Err(Error::Invalid(_))));
}

/// False, with the reason, where the host has no message queues.
fn has_queues() -> bool {
    match Transport::MessageQueue.pair(&Default::default()) {
        Err(error @ Error::Os { errno: libc::ENOSYS, .. }) => {
            println!("skipped: {error}");
            false
        }
        _ => true,
    }
}

struct QueueName(String);

impl Drop for QueueName {
    fn drop(&mut self) {
        let _ = Transport::MessageQueue.unlink(&self.0, &Default::default());
    }
}

#[test]
fn a_queue_gives_the_highest_priority_first_and_keeps_the_order_within_one() {
    if !has_queues() {
        return;
    }
    let (mut tx, mut rx) = Transport::MessageQueue.pair(&Default::default()).unwrap();
    for (message, priority) in [(b"a", 0), (b"b", 5), (b"c", 5), (b"d", 32767), (b"e", 0)] {
        tx.send_with_priority_until(message, priority, Deadline::NOW).unwrap();
    }
    assert!(matches!(tx.send_with_priority_until(b"x", 32768, Deadline::NOW), Err(Error::Invalid(_))));
    assert!(matches!(rx.try_recv(&mut []), Err(Error::TooBig { needed: 1, .. })));
    tx.send_with_priority_until(b"f", 9, Deadline::NOW).unwrap();
    let received: Vec<_> = (0..6)
        .map(|_| {
            let mut byte = [0];
            let (_, priority) = rx.recv_with_priority_until(&mut byte, Deadline::NOW).unwrap();
            (byte[0], priority)
        })
        .collect();
    let expected = [(b'd', 32767), (b'f', 9), (b'b', 5), (b'c', 5), (b'a', 0), (b'e', 0)];
    assert_eq!(received, expected);
}

#[test]
fn a_queue_that_exists_is_as_it_was_made_and_no_other() {
    if !has_queues() {
        return;
    }
    let name = QueueName(format!("test-queue-{}", std::process::id()));
    let made = TransportOptions { messages: 3, message_size: 64, ..Default::default() };
    let mut tx = Transport::MessageQueue.sender(&name.0, &made).unwrap();
    assert_eq!(tx.max_len().unwrap(), 64);
    for other in [
        TransportOptions { messages: 4, ..made.clone() },
        TransportOptions { message_size: 65, ..made.clone() },
    ] {
        let refused = Transport::MessageQueue.receiver(&name.0, &other);
        assert!(matches!(refused, Err(Error::Mismatch(_))), "{refused:?}");
    }
    (0..3).for_each(|_| tx.try_send(b"kept").unwrap());
    assert!(matches!(tx.try_send(b"x"), Err(Error::WouldBlock(_))));
    drop(tx);
    let mut rx = Transport::MessageQueue.receiver(&name.0, &Default::default()).unwrap();
    assert_eq!(rx.try_recv(&mut [0; 4]).unwrap(), 4, "it outlives its sender");
}

#[test]
fn limits_of_queues_are_told_with_their_values() {
    if !has_queues() {
        return;
    }
    let most = std::fs::read_to_string("/proc/sys/fs/mqueue/msg_max").unwrap();
    let asked = TransportOptions { messages: 1 << 20, ..Default::default() };
    let Err(Error::NoSpace(context)) = Transport::MessageQueue.pair(&asked) else { panic!("it was made") };
    assert!(context.detail().contains(&format!("msg_max {}", most.trim())), "{context}");
}

#[test]
fn an_anonymous_segment_goes_through_a_socket_among_messages() {
    let (mut tx, mut rx) = Transport::Unix.pair(&Default::default()).unwrap();
    let ring = Ring::anonymous(&Default::default()).unwrap();
    tx.send(b"before").unwrap();
    tx.send_fd_until(ring.share_fd().unwrap().as_fd(), Deadline::NOW).unwrap();
    tx.send(b"").unwrap();
    let mut buffer = [0; 16];
    assert!(matches!(rx.recv_fd_until(Deadline::NOW), Err(Error::Mismatch(_))));
    assert_eq!(rx.recv(&mut buffer).unwrap(), 6);
    assert!(matches!(rx.recv(&mut buffer), Err(Error::Mismatch(_))));
    let fd = rx.recv_fd_until(Deadline::NOW).unwrap();
    // SAFETY: asks about a descriptor.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) } & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    assert_eq!(rx.recv(&mut buffer).unwrap(), 0);
    let theirs = Ring::from_fd(fd.as_fd()).unwrap();
    ring.producer().unwrap().send(b"shared").unwrap();
    assert_eq!(theirs.consumer().unwrap().recv(&mut buffer).unwrap(), 6);
}

#[test]
fn a_buffer_gives_the_newest_message_once() {
    let (mut tx, mut rx) = Transport::Buffer.pair(&Default::default()).unwrap();
    (0..5u8).for_each(|n| tx.send(&[n]).unwrap());
    let mut byte = [9];
    assert_eq!(rx.recv(&mut byte).unwrap(), 1);
    assert_eq!(byte, [4]);
    assert!(matches!(rx.try_recv(&mut byte), Err(Error::WouldBlock(_))));
}

#[test]
fn a_file_shortened_while_it_is_sent_breaks_the_message_off() {
    let scratch = Scratch::new();
    let path = scratch.path().join("contents");
    std::fs::write(&path, vec![1; 1 << 20]).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default()).unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| tx.send_file_until(file.as_fd(), 0, 1 << 20, Deadline::after(SOON)));
        assert!(matches!(rx.recv_timeout(&mut [], SOON), Err(Error::TooBig { needed: 1_048_576, .. })));
        file.set_len(100).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let end = rx.recv_timeout(&mut buffer, SOON);
        assert!(matches!(end, Err(Error::PeerDead(_))), "{end:?}");
        assert!(matches!(sender.join().unwrap(), Err(Error::Corrupt(_))));
    });
    assert!(matches!(tx.try_send(b"x"), Err(Error::Closed(_))));
    let mut left = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut left).unwrap();
    assert_eq!(left.len(), 100);
}
