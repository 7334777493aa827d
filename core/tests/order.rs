//! In which order a call touches the user's memory and the ring, seen at the moment of the first touch: the user's memory is
//! a page that may not be accessed yet, and the signal handler that allows it looks at the ring.

mod common;

use common::Scratch;
use ipcx::{Deadline, Ring};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const PAGE: usize = 4096;
/// Offsets in the segment of the consumer's position, and of the first record.
const POSITION: usize = 3 * PAGE;
const FIRST: usize = 4 * PAGE;
const RECORD: usize = 64;

/// The user's page; the word that the handler looks at; what it saw.
static USERS: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LOOK_AT: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static SEEN: AtomicU64 = AtomicU64::new(NOTHING);
const NOTHING: u64 = u64::MAX;

extern "C" fn first_touch(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let users = USERS.load(Ordering::Relaxed);
    // SAFETY: the kernel's description of a fault, for whose signal this is the handler.
    let at = unsafe { (*info).si_addr() } as usize;
    if !(users as usize..users as usize + PAGE).contains(&at) {
        // SAFETY: another fault: an ordinary death at the next one.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        return;
    }
    // SAFETY: both were mapped by the test, and stay.
    unsafe {
        SEEN.store((*LOOK_AT.load(Ordering::Relaxed)).load(Ordering::Relaxed), Ordering::Relaxed);
        libc::mprotect(users.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE);
    }
}

fn map(fd: libc::c_int, len: usize) -> *mut u8 {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let flags = if fd < 0 { flags | libc::MAP_ANONYMOUS } else { flags };
    // SAFETY: a new mapping; nothing else is touched.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, fd, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

/// What stands at `offset` of the segment when `call` first touches its buffer.
fn seen_at_first_touch(segment: *mut u8, offset: usize, call: impl FnOnce(&mut [u8])) -> u64 {
    let users = USERS.load(Ordering::Relaxed);
    LOOK_AT.store(segment.wrapping_add(offset).cast(), Ordering::Relaxed);
    SEEN.store(NOTHING, Ordering::Relaxed);
    // SAFETY: a page that only the call below uses.
    let buffer = unsafe {
        assert_eq!(libc::mprotect(users.cast(), PAGE, libc::PROT_NONE), 0);
        std::slice::from_raw_parts_mut(users, RECORD)
    };
    call(buffer);
    SEEN.load(Ordering::Relaxed)
}

#[test]
fn bytes_are_copied_before_a_commit_and_before_a_release() {
    // SAFETY: the handler makes one system call and touches what the test has mapped.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = first_touch as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
    }
    USERS.store(map(-1, PAGE), Ordering::Relaxed);
    for batch in [false, true] {
        let dir = Scratch::new();
        let ring = Ring::create("a", &dir.options()).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(dir.file("a")).unwrap();
        let segment = map(file.as_raw_fd(), FIRST + PAGE);
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());

        let word = seen_at_first_touch(segment, FIRST, |bytes| match batch {
            false => tx.try_send(bytes).unwrap(),
            true => assert_eq!(tx.try_send_many([&*bytes, b"more"]).unwrap(), 2),
        });
        assert_eq!(word, 0, "not committed before it is copied (in a batch: {batch})");

        let position = seen_at_first_touch(segment, POSITION, |buffer| match batch {
            false => assert_eq!(rx.try_recv(buffer).unwrap(), RECORD),
            true => assert_eq!(rx.recv_many_until(buffer, &mut [0; 1], Deadline::NOW).unwrap(), 1),
        });
        assert_eq!(position, 0, "not released before it is copied (in a batch: {batch})");
        assert_eq!(rx.position(), RECORD as u64 + 8);
    }
}
