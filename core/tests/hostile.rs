//! A peer that writes where it likes: data or an error, never a crash, a hang, or an access outside.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::Scratch;
use ipcx::{Deadline, Error, Ring, RingOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const PAGE: u64 = 4096;
/// Header page, one page of slots.
const PRODUCER: u64 = 2 * PAGE;
const CONSUMER: u64 = 3 * PAGE;
const DATA: u64 = 4 * PAGE;

/// Every call, on endpoints made before (`old`) and after the damage; none may take longer than its timeout and a bit.
fn use_everything(ring: &Ring, mut old: Option<(ipcx::Producer, ipcx::Consumer)>) {
    let begin = Instant::now();
    let mut buffer = [0; 4096];
    let soon = || Deadline::after(Duration::from_micros(100));
    if old.is_none() {
        let (tx, rx) = (ring.producer(), ring.consumer());
        old = tx.ok().zip(rx.ok());
    }
    if let Some((mut tx, mut rx)) = old {
        for _ in 0..3 {
            let results = [
                tx.send_until(b"after", soon()),
                tx.send_many_until([b"one", b"two"], soon()).map(drop),
                tx.reserve_until(100, soon()).map(|room| room.commit()),
                rx.recv_until(&mut buffer, soon()).map(drop),
                rx.recv_many_until(&mut buffer, &mut [0; 8], soon()).map(drop),
                rx.borrow_until(soon()).map(|record| drop(record.to_vec())),
                ring.stats().map(drop),
            ];
            for result in results {
                assert!(
                    matches!(
                        result,
                        Ok(())
                            | Err(Error::Corrupt(_)
                                | Error::TimedOut
                                | Error::WouldBlock
                                | Error::TooBig { .. }
                                | Error::Closed(_)
                                | Error::PeerDead(_))
                    ),
                    "{result:?}"
                );
            }
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// Flips every bit of the control words, of record headers and of the tail's 0, under endpoints that are attached and
/// under ones that attach after.
#[test]
fn every_flipped_bit_of_a_control_word_gives_data_or_an_error() {
    let dir = Scratch::new();
    let slots = PAGE..PAGE + 128;
    let words =
        [PRODUCER, PRODUCER + 128, CONSUMER, CONSUMER + 128, DATA].into_iter().flat_map(|at| at..at + 80);
    for attached in [false, true] {
        for bit in slots.clone().chain(words.clone()).flat_map(|byte| (0..8).map(move |bit| byte * 8 + bit)) {
            let ring = Ring::create("a", &dir.options()).unwrap();
            let file = std::fs::File::options().read(true).write(true).open(dir.file("a")).unwrap();
            let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
            for record in [&[1; 9][..], &[2; 20], &[3; 5]] {
                tx.try_send(record).unwrap();
            }
            rx.try_recv(&mut [0; 64]).unwrap();
            let old = attached.then_some((tx, rx));
            let mut byte = [0];
            file.read_exact_at(&mut byte, bit / 8).unwrap();
            file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
            use_everything(&ring, old);
            ipcx::unlink_in(Some(dir.path()), "a").unwrap();
        }
    }
}

/// Who cannot take a role over, because the ring is damaged, does not make a death look like an orderly end.
#[test]
fn a_refused_successor_leaves_the_role_as_it_was() {
    let dir = Scratch::new();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(dir.file("a")).unwrap();
    let mut rx = ring.consumer().unwrap();
    std::mem::forget(ring.producer().unwrap());
    let word = &mut [0; 8];
    file.read_exact_at(word, PRODUCER + 24).unwrap();
    let other = Ring::create("b", &dir.options()).unwrap();
    let copy = std::fs::File::options().write(true).open(dir.file("b")).unwrap();
    copy.write_all_at(word, PRODUCER + 24).unwrap(); // as if its producer had died
    copy.write_all_at(&[1; 8], DATA).unwrap(); // and left this
    let mut other_rx = other.consumer().unwrap();
    assert!(matches!(other.producer(), Err(Error::Corrupt(_))));
    assert_eq!(other.stats().unwrap().producer, ipcx::RoleState::Dead);
    copy.write_all_at(&[0; 8], DATA).unwrap();
    assert!(matches!(other_rx.try_recv(&mut [0; 8]), Err(Error::PeerDead(_))));
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock)));
}

/// splitmix64 (Steele, Lea, Flood 2014): the same images for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn random_images_of_everything_behind_the_header_give_data_or_an_error() {
    let dir = Scratch::new();
    let mut random = Random(1);
    for round in 0..2000 {
        let ring = Ring::create("a", &dir.options()).unwrap();
        let file = std::fs::File::options().write(true).open(dir.file("a")).unwrap();
        let old = (round % 2 == 0).then(|| (ring.producer().unwrap(), ring.consumer().unwrap()));
        let mut image = vec![0; 4 * PAGE as usize];
        // Sometimes everywhere, sometimes a few words, so that what is behind the first check is reached too.
        let writes = if round % 3 == 0 { image.len() / 8 } else { 1 + random.next() as usize % 20 };
        for _ in 0..writes {
            let at = random.next() as usize % (image.len() / 8) * 8;
            let value = match random.next() % 4 {
                0 => random.next(),
                1 => random.next() % 8192,
                2 => (1 << 31) | (1 << 32) | (random.next() % 8192) | ((at as u64 / 8) << 40),
                _ => u64::MAX << (random.next() % 64),
            };
            image[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        file.write_all_at(&image, PAGE).unwrap();
        use_everything(&ring, old);
        ipcx::unlink_in(Some(dir.path()), "a").unwrap();
    }
}

/// A process that writes random words all over the segment without pause, while endpoints work.
#[test]
fn a_live_scribbler_cannot_do_more_than_destroy_messages() {
    let options = RingOptions { capacity: 4096, ..Default::default() };
    let ring = Ring::anonymous(&options).unwrap();
    let shared = std::fs::File::from(ring.share_fd().unwrap());
    // SAFETY: the child makes only system calls until it is killed.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut random = Random(7);
        loop {
            let value = if random.next() % 2 == 0 { random.next() } else { random.next() % 4096 };
            let _ = shared.write_all_at(&value.to_ne_bytes(), PAGE + random.next() % (4 * PAGE) / 8 * 8);
        }
    }
    let begin = Instant::now();
    let mut turns = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        use_everything(&ring, None);
        turns += 1;
    }
    // SAFETY: kills and waits for the child made above.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    assert!(turns > 10);
}
