//! Any bytes as a segment's file. Refused: with a code that says so, and before anything is written. Not refused: every call
//! on it gives data or an error.
//!
//! The input: what kind of file (a byte), how long it is (two), then either what differs from a valid segment, or its bytes.

use super::image::{self, correct_checksum, damage, is_valid, Layout, HEADER};
use super::input::Input;
use ipcx::{Consumer, Deadline, Error, Producer, Ring};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Bits of the first byte.
const DIFFERS: u8 = 1;
const CORRECT: u8 = 2;
const SEALED: u8 = 4;
const SHORT: u8 = 8;
/// As long as its header says.
const LONG: u8 = 16;
/// Together, for it takes time: calls that wait.
const WAIT: u8 = 32 | 64;
/// No file here is longer; it has holes.
const LONGEST: u64 = 8 << 30;

/// The target.
pub fn attach(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.u8();
    let (image, len) = segment(&mut input, flags);
    with_file(flags & SEALED != 0, |file| {
        file.set_len(0).expect("an empty file");
        file.write_all_at(&image, 0).expect("room for the image");
        file.set_len(len).expect("room for the file");
        if flags & SEALED != 0 {
            seal(file);
        }
        let valid = len >= layout_page() && is_valid(&image[..HEADER], len);
        match Ring::from_fd(file.as_fd()) {
            result if result.is_ok() != valid => panic!("valid: {valid}, and {result:?}"),
            Ok(ring) => use_everything(&ring, flags),
            Err(Error::Corrupt(_) | Error::Version(_) | Error::Mismatch(_)) => assert_unchanged(file, &image),
            Err(error) => panic!("bytes in a file gave {error}"),
        }
    });
}

/// A file that is shorter than a page has no header.
fn layout_page() -> u64 {
    image::template().1.page as u64
}

/// The bytes, and the length of the file.
fn segment(input: &mut Input, flags: u8) -> (Vec<u8>, u64) {
    let short = u64::from(input.u16());
    let (template, layout) = image::template();
    let mut image = if flags & DIFFERS == 0 { whole(input, layout) } else { template.clone() };
    if flags & DIFFERS != 0 {
        for _ in 0..input.u8() & 7 {
            let at = usize::from(input.u8()).min(HEADER - 8);
            image[at..at + 8].copy_from_slice(&input.u64().to_ne_bytes());
        }
        damage(&mut image, layout, input);
    }
    if flags & CORRECT != 0 {
        correct_checksum(&mut image[..HEADER]);
    }
    let says = u64::from_ne_bytes(image[32..40].try_into().expect("8 bytes"));
    let mut len = image.len() as u64;
    if flags & LONG != 0 && says > len && says <= LONGEST {
        len = says;
    } else if flags & SHORT != 0 {
        len = len.min(short);
    }
    image.truncate(len as usize);
    (image, len)
}

/// The header, the first slots, both pages and the data, one behind the other in the input.
fn whole(input: &mut Input, layout: &Layout) -> Vec<u8> {
    let mut image = vec![0; layout.total];
    let parts = [(0, HEADER), (layout.page, 192), (layout.body, 192), (layout.consumer(), 192)];
    for (at, len) in parts.into_iter().chain([(layout.data(), layout.capacity as usize)]) {
        let part = input.bytes(len);
        image[at..at + part.len()].copy_from_slice(part);
    }
    image
}

/// A file in memory: one of its own, to be sealed, or the one of this thread.
fn with_file(own: bool, work: impl FnOnce(&File)) {
    thread_local! {
        static FILE: File = new_file();
    }
    if own {
        work(&new_file());
    } else {
        FILE.with(work);
    }
}

fn new_file() -> File {
    // SAFETY: the name is zero-terminated.
    let fd =
        unsafe { libc::memfd_create(c"ipcx-fuzz".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
    // SAFETY: a new descriptor that nobody else has.
    unsafe { File::from_raw_fd(fd) }
}

fn seal(file: &File) {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
}

fn assert_unchanged(file: &File, image: &[u8]) {
    let mut now = vec![0; image.len()];
    file.read_exact_at(&mut now, 0).expect("as long as it was");
    assert!(now == image, "refused, and written all the same");
}

/// Data or an error; no other one than a peer's bytes can cause.
pub fn assert_harmless<T>(result: ipcx::Result<T>) {
    match result {
        Ok(_) | Err(Error::Corrupt(_) | Error::WouldBlock(_) | Error::TimedOut(_) | Error::TooBig { .. }) => {
        }
        Err(Error::Closed(_) | Error::PeerDead(_) | Error::Invalid(_) | Error::Mismatch(_)) => {}
        Err(Error::Interrupted) => {} // by the fuzzer's own timer
        Err(error) => panic!("a peer's bytes gave {error}"),
    }
}

fn use_everything(ring: &Ring, flags: u8) {
    let soon = || match flags & WAIT {
        WAIT => Deadline::within(Duration::from_micros(20)),
        _ => Deadline::NOW,
    };
    for _ in 0..2 {
        assert_harmless(ring.stats());
        let (tx, rx) = (ring.producer(), ring.consumer());
        for refused in [tx.as_ref().err(), rx.as_ref().err()].into_iter().flatten() {
            assert!(matches!(refused, Error::Corrupt(_)), "{refused}");
        }
        let (mut tx, mut rx) = (tx.ok(), rx.ok());
        if let Some(tx) = &mut tx {
            send_everything(tx, soon());
        }
        if let Some(rx) = &mut rx {
            receive_everything(rx, soon());
        }
        assert_harmless(ring.stats());
    }
}

fn send_everything(tx: &mut Producer, soon: Deadline) {
    let _ = tx.position();
    assert_harmless(tx.send_until(b"one", soon));
    assert_harmless(tx.send_many_until([&b"two"[..], &[0; 100], b""], soon));
    assert_harmless(tx.reserve_until(9, soon).map(|mut room| {
        let _ = room.write_at(1, b"eight"); // fits
        room.commit();
    }));
    assert_harmless(tx.reserve_until(2000, soon).map(drop));
    assert_harmless(tx.try_send(&[0; 5000]));
}

fn receive_everything(rx: &mut Consumer, soon: Deadline) {
    let mut buffer = [0; 4096]; // what does not fit is an error too
    let _ = rx.position();
    assert_harmless(rx.recv_until(&mut buffer[..2], soon));
    assert_harmless(rx.borrow_until(soon).map(|record| drop(record.to_vec())));
    assert_harmless(rx.recv_many_until(&mut buffer, &mut [0; 3], soon));
    assert_harmless(rx.borrow_until(soon).map(|record| {
        let _ = record.read_at(1, &mut buffer[..9]);
        record.release();
    }));
    for _ in 0..4 {
        assert_harmless(rx.recv_until(&mut buffer, soon));
    }
}
