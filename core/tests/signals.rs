//! Signals: calls that do not wait are made inside handlers, and an endpoint that becomes ready queues one.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::in_child;
use ipcx::{Buffer, Consumer, Error, Producer, Ring, RingOptions, Semaphore, SemaphoreOptions};
use std::os::fd::AsFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(200);

fn ring() -> Ring {
    Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap()
}

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

fn handle(signal: libc::c_int, handler: Handler) {
    // SAFETY: the handlers of these tests call what is said to be async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, null_mut()), 0);
    }
}

/// What a handler uses, while a test lends it.
struct Tools {
    tx: Producer,
    rx: Consumer,
    buffer: Buffer,
    semaphore: Semaphore,
}
static TOOLS: AtomicPtr<Tools> = AtomicPtr::new(null_mut());
static HANDLED: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Sends and receives a numbered record; writes and reads the buffer, acquires and releases, if the interrupted code was not at
/// that.
extern "C" fn use_everything(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: lent for as long as the signal comes; the interrupted code does not touch the endpoints.
    let Some(tools) = (unsafe { TOOLS.load(Ordering::Acquire).as_mut() }) else { return };
    let number = HANDLED.load(Ordering::Relaxed).to_le_bytes();
    let mut bytes = [0; 8];
    let sent = tools.tx.try_send(&number);
    let received = tools.rx.try_recv(&mut bytes);
    let mut good = sent.is_ok() && matches!(received, Ok(8)) && bytes == number;
    match tools.buffer.try_write(&number) {
        Ok(_) => _ = WRITTEN.fetch_add(1, Ordering::Relaxed),
        Err(Error::WouldBlock(_) | Error::Invalid(_)) => {} // the interrupted code has the lock
        Err(_) => good = false,
    }
    good &= matches!(tools.buffer.read(&mut bytes), Ok((0 | 8, _)));
    good &= matches!(tools.semaphore.try_acquire().map(drop), Ok(()) | Err(Error::WouldBlock(_)));
    if !good {
        // SAFETY: ends the process, as a panic in a handler would not.
        unsafe { libc::abort() };
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// A handler works with endpoints of its own, and with a buffer and a semaphore that the interrupted code is using.
#[test]
fn a_hundred_thousand_handlers_send_and_receive() {
    const HANDLERS: u64 = 100_000;
    let (one, own) = (ring(), ring());
    let buffer = Buffer::anonymous(&Default::default()).unwrap();
    let semaphore = Semaphore::anonymous(&SemaphoreOptions { limit: 8, ..Default::default() }).unwrap();
    let mut tools = Tools {
        tx: own.producer().unwrap(),
        rx: own.consumer().unwrap(),
        buffer: Buffer::from_fd(buffer.share_fd().unwrap().as_fd()).unwrap(),
        semaphore: Semaphore::from_fd(semaphore.share_fd().unwrap().as_fd()).unwrap(),
    };
    TOOLS.store(&mut tools, Ordering::Release);
    handle(libc::SIGUSR2, use_everything);
    // SAFETY: takes nothing and touches no memory of ours.
    let this = unsafe { libc::pthread_self() } as usize;
    let (mut tx, mut rx) = (one.producer().unwrap(), one.consumer().unwrap());
    let (mut rounds, mut written) = (0u64, 0);
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while stop.load(Ordering::Relaxed) == 0 {
                // SAFETY: the thread of the test outlives the scope.
                unsafe { libc::pthread_kill(this as libc::pthread_t, libc::SIGUSR2) };
                std::thread::yield_now();
            }
        });
        let begin = Instant::now();
        while HANDLED.load(Ordering::Relaxed) < HANDLERS {
            assert!(begin.elapsed() < LONG);
            tx.try_send(&rounds.to_le_bytes()).unwrap();
            let mut bytes = [0; 8];
            assert_eq!(rx.try_recv(&mut bytes).unwrap(), 8);
            assert_eq!(u64::from_le_bytes(bytes), rounds);
            buffer.write_timeout(&rounds.to_le_bytes(), LONG).unwrap();
            assert_eq!(buffer.read(&mut bytes).unwrap().0, 8);
            written += 1;
            drop(semaphore.acquire_timeout(LONG).unwrap());
            rounds += 1;
        }
        stop.store(1, Ordering::Relaxed);
    });
    handle(libc::SIGUSR2, ignore);
    TOOLS.store(null_mut(), Ordering::Release);
    assert_eq!(buffer.version(), written + WRITTEN.load(Ordering::Relaxed), "each write is one version");
    drop(tools);
    assert_eq!(semaphore.value().unwrap(), 8);
}

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

static RECEIVER: AtomicPtr<Consumer> = AtomicPtr::new(null_mut());
static RECEIVED: AtomicU64 = AtomicU64::new(0);
static SIGNALS: AtomicU64 = AtomicU64::new(0);
static VALUE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Receives what is there, in the order of its numbers.
extern "C" fn receive_all(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: lent while the signal comes, and the thread that is interrupted does not touch it; the kernel gives valid info.
    let (receiver, value) = unsafe { (RECEIVER.load(Ordering::Acquire).as_mut(), (*info).si_value()) };
    VALUE.store(value.sival_ptr as usize as u64, Ordering::Relaxed);
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    let Some(receiver) = receiver else { return };
    let mut bytes = [0; 8];
    while receiver.try_recv(&mut bytes).is_ok() {
        let expected = RECEIVED.fetch_add(1, Ordering::Relaxed);
        if u64::from_le_bytes(bytes) != expected {
            // SAFETY: as above.
            unsafe { libc::abort() };
        }
    }
}

/// In a child, which has one thread that the signal can come to: it comes to any that does not block it.
#[test]
fn each_record_is_told_of_by_a_signal_sooner_or_later() {
    in_child(|| {
        receive_in_handlers();
        true
    });
}

fn receive_in_handlers() {
    const RECORDS: u64 = 20_000;
    let signal = libc::SIGRTMIN() + 3;
    handle(signal, receive_all);
    let ring = ring();
    let mut rx = ring.consumer().unwrap();
    for bad in [libc::SIGUSR1, 12345, -1] {
        assert!(matches!(rx.signal(Some(bad)), Err(Error::Invalid(_))), "not real-time, so not queued");
    }
    let mut tx = ring.producer().unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            // SAFETY: blocks the signal in this thread.
            unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut set);
                libc::pthread_sigmask(libc::SIG_SETMASK, &set, null_mut());
            }
            for number in 0..RECORDS {
                tx.send(&number.to_le_bytes()).unwrap();
                if number % 100 == 0 {
                    // Let everything be received, so that the next record finds the consumer waiting for it.
                    let begin = Instant::now();
                    while RECEIVED.load(Ordering::Relaxed) <= number {
                        assert!(begin.elapsed() < LONG, "record {number} was not told of");
                        std::thread::yield_now();
                    }
                }
            }
            tx
        });
        RECEIVER.store(&mut rx, Ordering::Release);
        // SAFETY: the handler runs in this thread, between these calls or not at all.
        unsafe { (*RECEIVER.load(Ordering::Acquire)).signal(Some(signal)).unwrap() };
        let tx = sender.join().unwrap();
        let begin = Instant::now();
        while RECEIVED.load(Ordering::Relaxed) < RECORDS {
            assert!(begin.elapsed() < LONG);
            std::thread::yield_now();
        }
        drop(tx);
    });
    assert!(SIGNALS.load(Ordering::Relaxed) >= RECORDS / 100);
    // The producer closed: that is told, and not again and again to who has heard it.
    let (heard, begin) = (SIGNALS.load(Ordering::Relaxed), Instant::now());
    while begin.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    assert!(SIGNALS.load(Ordering::Relaxed) <= heard + 5, "a signal for each call that says the same");
    assert_eq!(VALUE.load(Ordering::Relaxed), 0, "the first handle has slot 0");
    RECEIVER.store(null_mut(), Ordering::Release);
    rx.signal(None).unwrap();
}

static BUFFER: AtomicPtr<Buffer> = AtomicPtr::new(null_mut());
static READ: AtomicU64 = AtomicU64::new(0);

/// Reads once, as one may for each signal.
extern "C" fn read_once(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: lent while the signal comes.
    let Some(buffer) = (unsafe { BUFFER.load(Ordering::Acquire).as_ref() }) else { return };
    if let Ok((_, version)) = buffer.read(&mut [0; 8]) {
        READ.store(version, Ordering::Relaxed);
    }
}

/// In a child, as above. A version that comes while the one before is being read is told of as well.
#[test]
fn each_version_is_told_of_by_a_signal_sooner_or_later() {
    in_child(|| {
        const VERSIONS: u64 = 30_000;
        let signal = libc::SIGRTMIN() + 4;
        handle(signal, read_once);
        let writer = Buffer::anonymous(&Default::default()).unwrap();
        let mut reader = Buffer::from_fd(writer.share_fd().unwrap().as_fd()).unwrap();
        BUFFER.store(&mut reader, Ordering::Release);
        reader.signal(Some(signal)).unwrap();
        let writing = std::thread::spawn(move || {
            // SAFETY: blocks the signals in this thread.
            unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut set);
                libc::pthread_sigmask(libc::SIG_SETMASK, &set, null_mut());
            }
            for version in 1..=VERSIONS {
                assert_eq!(writer.write(&version.to_le_bytes()).unwrap(), version);
                let begin = Instant::now();
                while version % 50 == 0 && READ.load(Ordering::Relaxed) < version {
                    assert!(begin.elapsed() < LONG, "version {version} was not told of");
                    std::thread::yield_now();
                }
            }
        });
        let done = writing.join().is_ok();
        BUFFER.store(null_mut(), Ordering::Release);
        done && READ.load(Ordering::Relaxed) == VERSIONS
    });
}
