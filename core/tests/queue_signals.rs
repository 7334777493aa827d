//! Signals for messages of a queue: none is missed, whenever a message comes.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::in_child;
use ipcx::{Error, Receiver, Sender, Transport, TransportOptions};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A signal that has not come by then was missed.
const MISSED: Duration = Duration::from_secs(5);

fn signal() -> i32 {
    libc::SIGRTMIN() + 5
}

fn set() -> libc::sigset_t {
    // SAFETY: a zeroed set is a value, and is filled.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal());
        set
    }
}

/// Takes the next signal off this process, which blocks it; gives its value.
fn next_signal(timeout: Duration) -> Option<usize> {
    let time = libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
    // SAFETY: set, information and time are valid for the call, which fills the second.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        (libc::sigtimedwait(&set(), &mut info, &time) == signal()).then(|| info.si_value().sival_ptr as usize)
    }
}

/// Does this in a process of one thread, which blocks the signal: elsewhere it would come to any thread.
fn blocked(work: impl FnOnce(Sender, Receiver) -> bool) {
    let options = TransportOptions { message_size: 8, ..Default::default() };
    match Transport::MessageQueue.pair(&options) {
        Ok((tx, rx)) => in_child(|| {
            // SAFETY: blocks a signal of this process.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set(), null_mut()) };
            work(tx, rx)
        }),
        Err(error @ Error::Os { errno: libc::ENOSYS, .. }) => println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    }
}

fn receive_all(rx: &mut Receiver) -> usize {
    (0..).take_while(|_| rx.try_recv(&mut [0; 8]).is_ok()).count()
}

#[test]
fn a_message_is_told_of_once_the_queue_was_found_empty_and_with_the_number_of_the_descriptor() {
    blocked(|mut tx, mut rx| {
        let value = rx.poll_fd().unwrap().as_raw_fd() as usize;
        tx.try_send(b"before").unwrap();
        rx.signal(Some(signal())).unwrap();
        assert_eq!(next_signal(MISSED), Some(value), "there is one already");
        tx.try_send(b"second").unwrap();
        assert_eq!(next_signal(Duration::ZERO), None, "the queue was not found empty");
        assert_eq!(receive_all(&mut rx), 2);
        for _ in 0..3 {
            (0..3).for_each(|_| tx.try_send(b"three").unwrap());
            assert_eq!(next_signal(MISSED), Some(value));
            assert_eq!(next_signal(Duration::ZERO), None, "one for all three");
            assert_eq!(receive_all(&mut rx), 3);
        }
        rx.signal(None).unwrap();
        tx.try_send(b"unheard").unwrap();
        assert_eq!(next_signal(Duration::ZERO), None);
        assert!(matches!(rx.try_recv(&mut []), Err(Error::TooBig { .. })));
        rx.signal(Some(signal())).unwrap();
        assert_eq!(next_signal(MISSED), Some(value), "one that the receiver keeps");
        true
    });
}

#[test]
fn a_call_that_times_out_leaves_the_next_message_to_a_signal() {
    blocked(|mut tx, mut rx| {
        rx.signal(Some(signal())).unwrap();
        for _ in 0..3 {
            tx.try_send(b"x").unwrap();
            assert!(next_signal(MISSED).is_some());
            rx.recv(&mut [0; 8]).unwrap();
            let late = rx.recv_timeout(&mut [0; 8], Duration::from_millis(1));
            assert!(matches!(late, Err(Error::TimedOut(_))), "{late:?}");
        }
        true
    });
}

#[test]
fn one_process_is_told_and_a_child_of_it_is_another() {
    blocked(|mut tx, mut rx| {
        rx.signal(Some(signal())).unwrap();
        in_child(|| {
            assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))), "it did not ask");
            let refused = rx.signal(Some(signal()));
            assert!(matches!(refused, Err(Error::RoleTaken(_))), "{refused:?}");
            tx.try_send(b"child's").is_ok()
        });
        assert!(next_signal(MISSED).is_some(), "what the child did took nothing away");
        // What takes it while it is used up is found when there is nothing to receive.
        assert_eq!(rx.try_recv(&mut [0; 8]).unwrap(), 7);
        in_child(|| {
            rx.signal(Some(signal())).unwrap();
            in_child(|| matches!(rx.signal(Some(signal())), Err(Error::RoleTaken(_))));
            true
        });
        assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))), "that one is gone");
        tx.try_send(b"x").unwrap();
        assert!(next_signal(MISSED).is_some());
        true
    });
}

#[test]
fn what_has_no_signals_names_what_it_has() {
    for bad in [libc::SIGUSR1, 12345, -1] {
        blocked(move |_, mut rx| matches!(rx.signal(Some(bad)), Err(Error::Invalid(_))));
    }
    for transport in [Transport::Pipe, Transport::Unix] {
        let (_tx, mut rx) = transport.pair(&Default::default()).unwrap();
        let Err(Error::Invalid(detail)) = rx.signal(Some(signal())) else { panic!("{transport}") };
        assert!(detail.contains("poll_fd"), "{detail}");
    }
}

/// Does this in a process that ends when this one does; gives its number.
fn beside(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: both processes have one thread; the child exits.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            work();
            libc::_exit(0);
        }
        child
    }
}

/// One number that a process and its children share.
fn shared() -> &'static AtomicU64 {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, which stays as long as the process.
    unsafe { &*libc::mmap(null_mut(), 4096, access, flags, -1, 0).cast() }
}

/// Messages come when they hurt most: about when the receiver, having taken the last, looks whether there is another.
#[test]
fn no_message_of_many_thousands_is_missed() {
    const MESSAGES: u64 = 60_000;
    blocked(|mut tx, mut rx| {
        let received = shared();
        let child = beside(|| {
            let mut delay = 0;
            for sent in 0..MESSAGES {
                while received.load(Ordering::Acquire) < sent {
                    std::hint::spin_loop();
                }
                delay = (delay * 5 + 7) % 1024; // each of them, in no order
                (0..delay).for_each(|_| std::hint::spin_loop());
                tx.send(&sent.to_le_bytes()).unwrap();
            }
        });
        drop(tx);
        rx.signal(Some(signal())).unwrap();
        let mut bytes = [0; 8];
        while received.load(Ordering::Relaxed) < MESSAGES {
            let next = received.load(Ordering::Relaxed);
            assert!(next_signal(MISSED).is_some(), "message {next} was not told of");
            while rx.try_recv(&mut bytes).is_ok() {
                assert_eq!(u64::from_le_bytes(bytes), received.fetch_add(1, Ordering::Release));
            }
        }
        // SAFETY: the child made above.
        unsafe { libc::waitpid(child, null_mut(), 0) };
        true
    });
}

/// A sender that never waits fills the queue again and again while it is emptied.
#[test]
fn no_message_of_a_hurried_sender_is_missed() {
    const MESSAGES: u64 = 60_000;
    blocked(|mut tx, mut rx| {
        let child = beside(|| (0..MESSAGES).for_each(|sent| tx.send(&sent.to_le_bytes()).unwrap()));
        drop(tx);
        rx.signal(Some(signal())).unwrap();
        let (mut received, mut bytes) = (0, [0; 8]);
        while received < MESSAGES {
            assert!(next_signal(MISSED).is_some(), "message {received} was not told of");
            while rx.try_recv(&mut bytes).is_ok() {
                assert_eq!(u64::from_le_bytes(bytes), received);
                received += 1;
            }
        }
        // SAFETY: the child made above.
        unsafe { libc::waitpid(child, null_mut(), 0) };
        true
    });
}

/// Also of rings and buffers, whose own signals are passed on.
#[test]
fn rings_and_buffers_tell_as_they_do() {
    for transport in [Transport::Ring, Transport::Buffer] {
        in_child(|| {
            // SAFETY: blocks a signal of this process.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set(), null_mut()) };
            let (mut tx, mut rx) = transport.pair(&Default::default()).unwrap();
            rx.signal(Some(signal())).unwrap();
            while rx.try_recv(&mut [0; 8]).is_ok() {}
            while next_signal(Duration::from_millis(20)).is_some() {}
            tx.send(b"x").unwrap();
            next_signal(MISSED).is_some()
        });
    }
}
