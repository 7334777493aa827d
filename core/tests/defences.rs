//! What protects one end from what the other has written, and the rest of the system from both.

mod common;

use common::{child, child_argument, is_root, Scratch};
use ipcx::{Error, Ring, RingOptions, RoleState};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};
use std::time::Duration;

const PAGE: u64 = 4096;
/// Header page, one page of slots.
const PRODUCER: u64 = 2 * PAGE;
const CONSUMER: u64 = 3 * PAGE;
const DATA: u64 = 4 * PAGE;
const CAPACITY: u64 = 4096;

/// A new ring, and its file.
fn ring(dir: &Scratch) -> (Ring, File) {
    let ring = Ring::create("a", &dir.options()).unwrap();
    (ring, File::options().read(true).write(true).open(dir.file("a")).unwrap())
}

/// The word of a record, as the format has it.
fn record(len: u64, position: u64) -> [u8; 8] {
    ((position / 8) << 40 | 1 << 32 | 1 << 31 | len).to_ne_bytes()
}

#[test]
fn records_that_go_round_the_ring_are_refused_by_a_new_producer() {
    for len in [CAPACITY - 15, CAPACITY, CAPACITY + 8, (1 << 31) - 1] {
        let dir = Scratch::new();
        let (ring, file) = ring(&dir);
        file.write_all_at(&record(len, 0), DATA).unwrap();
        let refused = ring.producer();
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{len}: {refused:?}");
        assert_eq!(ring.stats().unwrap().producer, RoleState::Never, "{len}");
        let mut rx = ring.consumer().unwrap();
        assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::Corrupt(_))), "{len}");
    }
}

#[test]
fn a_new_producer_begins_behind_what_is_committed_whatever_the_hints_say() {
    let dir = Scratch::new();
    let (ring, file) = ring(&dir);
    // As a producer leaves it that is killed right after the store that commits.
    file.write_all_at(&record(8, 0), DATA).unwrap();
    let mut tx = ring.producer().unwrap();
    assert_eq!(tx.position(), 16);
    tx.try_send(b"and this").unwrap();
    let mut rx = ring.consumer().unwrap();
    let mut buffer = [0; 8];
    assert_eq!((rx.try_recv(&mut buffer).unwrap(), buffer), (8, [0; 8]));
    assert_eq!((rx.try_recv(&mut buffer).unwrap(), &buffer), (8, b"and this"));
}

#[test]
fn a_position_that_no_consumer_can_have_is_told_to_the_producer() {
    let tail = CAPACITY - 16; // of a ring full of the records below
                              // Behind the newest record, before the oldest one that can be there, between two words.
    for position in [tail + 8, 1 << 40, tail.wrapping_sub(CAPACITY), tail.wrapping_sub(1 << 40), 4, tail - 1]
    {
        let dir = Scratch::new();
        let (ring, file) = ring(&dir);
        let mut tx = ring.producer().unwrap();
        while tx.try_send(b"one word").is_ok() {}
        assert_eq!(tx.position(), tail);
        file.write_all_at(&position.to_ne_bytes(), CONSUMER).unwrap();
        let sent = tx.try_send(b"one word");
        assert!(matches!(sent, Err(Error::Corrupt(_))), "{position}: {sent:?}");
    }
}

#[test]
fn what_is_not_inside_a_record_is_not_read() {
    let dir = Scratch::new();
    let (ring, _) = ring(&dir);
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.try_send(b"eight by").unwrap();
    tx.try_send(b"the next").unwrap();
    let record = rx.try_borrow().unwrap();
    for (offset, len) in [(0, 9), (1, 8), (8, 1), (9, 0), (usize::MAX, 1), (usize::MAX, 8)] {
        let read = record.read_at(offset, &mut vec![0; len]);
        assert!(matches!(read, Err(Error::TooBig { available: 8, .. })), "{offset} {len}: {read:?}");
    }
    record.read_at(8, &mut []).unwrap();
}

/// The word of the producer's role.
fn role_word(file: &File) -> [u8; 8] {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, PRODUCER + 24).unwrap();
    word
}

#[test]
fn who_is_refused_a_role_changes_nothing() {
    let dir = Scratch::new();
    let (ring, file) = ring(&dir);
    let _tx = ring.producer().unwrap();
    let word = role_word(&file);
    let other = Ring::attach_with("a", &dir.options()).unwrap();
    for handle in [&ring, &other] {
        assert!(matches!(handle.producer(), Err(Error::RoleTaken(_))));
        assert_eq!(role_word(&file), word);
    }
}

/// Leaves the producer's role as a process that was killed would.
fn as_if_its_producer_had_died(ring: &Ring, file: &File, slot: u64) {
    drop(ring.producer().unwrap());
    file.write_all_at(&(7 << 32 | slot << 8 | 1u64).to_ne_bytes(), PRODUCER + 24).unwrap();
}

#[test]
fn a_death_is_told_at_every_call() {
    let dir = Scratch::new();
    let (ring, file) = ring(&dir);
    let mut rx = ring.consumer().unwrap();
    as_if_its_producer_had_died(&ring, &file, 0);
    for _ in 0..3 {
        assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::PeerDead(_))));
    }
    let _tx = ring.producer().unwrap();
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))), "a successor attached");
}

#[test]
fn a_role_word_that_names_no_slot_is_harmless() {
    let dir = Scratch::new();
    let (ring, file) = ring(&dir);
    for slot in (32..1 << 16).step_by(32) {
        as_if_its_producer_had_died(&ring, &file, slot);
        let stats = ring.stats().unwrap();
        assert_eq!((stats.producer, stats.producer_process), (RoleState::Dead, None));
    }
}

/// Bytes of the ring's file that this process has mapped for writing.
fn writable(dir: &Scratch) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains(&*dir.path().to_string_lossy()));
    let sizes =
        ours.filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.contains('w'))).map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap()
        });
    sizes.sum()
}

#[test]
fn each_side_can_write_only_what_is_its_own() {
    let dir = Scratch::new();
    let (ring, _) = ring(&dir);
    let slots = writable(&dir);
    assert_eq!(slots, PAGE);
    ring.stats().unwrap();
    assert_eq!(writable(&dir), slots, "who looks on writes nothing");
    let rx = ring.consumer().unwrap();
    assert_eq!(writable(&dir), slots + PAGE, "a consumer writes its page");
    drop(rx);
    let _tx = ring.producer().unwrap();
    assert_eq!(
        writable(&dir),
        slots + PAGE + 2 * CAPACITY,
        "a producer writes its page and the data, mapped twice"
    );
}

/// Such as that nobody may write it any more.
#[test]
fn nobody_adds_seals_to_an_anonymous_ring() {
    let ring = Ring::anonymous(&RingOptions { capacity: CAPACITY, ..Default::default() }).unwrap();
    let fd = ring.share_fd().unwrap();
    for seal in [libc::F_SEAL_FUTURE_WRITE, libc::F_SEAL_WRITE, libc::F_SEAL_SEAL] {
        // SAFETY: fcntl on a descriptor that we own.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seal) }, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EPERM), "{seal}");
    }
}

/// Whoever owns the file behind a descriptor can shorten it, unless it is sealed.
#[test]
fn a_descriptor_of_somebody_elses_file_is_taken_only_if_it_is_sealed() {
    if !is_root() {
        eprintln!("skipped: giving a file to another user needs root");
        return;
    }
    let dir = Scratch::new();
    drop(ring(&dir));
    // SAFETY: a new descriptor, which nothing else owns.
    let mut file =
        unsafe { File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), libc::MFD_ALLOW_SEALING)) };
    file.write_all(&std::fs::read(dir.file("a")).unwrap()).unwrap();
    Ring::from_fd(file.as_fd()).unwrap();
    std::os::unix::fs::fchown(&file, Some(65534), Some(65534)).unwrap();
    assert!(matches!(Ring::from_fd(file.as_fd()), Err(Error::Permission(_))));
    // SAFETY: fcntl on a descriptor that we own.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) }, 0);
    Ring::from_fd(file.as_fd()).unwrap();
}

#[test]
fn a_segment_is_given_to_the_group_that_the_options_name() {
    if !is_root() {
        eprintln!("skipped: giving a file to any group needs root");
        return;
    }
    let dir = Scratch::new();
    let mut options = dir.options();
    options.segment.group = Some(65534);
    Ring::create("a", &options).unwrap();
    assert_eq!(std::fs::metadata(dir.file("a")).unwrap().gid(), 65534);
}

/// A program that a process starts has no part in its leases, however it is started.
#[test]
fn a_parents_leases_end_with_it_although_a_program_it_started_runs() {
    if let Some(path) = child_argument() {
        let mut options = RingOptions::default();
        options.segment.directory = Some(path.into());
        let ring = Ring::attach_with("a", &options).unwrap();
        let _tx = ring.producer().unwrap();
        // It ends with its standard input, which the test holds.
        #[expect(clippy::zombie_processes, reason = "nobody is left to wait for it")]
        let _program = Command::new("cat").stdout(Stdio::null()).spawn().unwrap();
        // SAFETY: ends this process as it stands.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    let dir = Scratch::new();
    let (ring, _) = ring(&dir);
    let mut rx = ring.consumer().unwrap();
    let test = "a_parents_leases_end_with_it_although_a_program_it_started_runs";
    let mut parent = child(test, dir.path().to_str().unwrap());
    let mut parent = parent.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let keep_program = parent.stdin.take();
    parent.wait().unwrap();
    let end = rx.recv_timeout(&mut [0; 8], Duration::from_secs(5));
    assert!(matches!(end, Err(Error::PeerDead(_))), "{end:?}");
    drop(ring.producer().unwrap());
    drop(keep_program);
}
