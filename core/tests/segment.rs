//! Opening: every way in, and every way in which it is refused.

mod common;

use common::{child, child_argument, in_child, is_root, Scratch};
use ipcx::{unlink_in, Error, Ring, RingOptions, SegmentOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

fn with(scratch: &Scratch, change: impl FnOnce(&mut RingOptions)) -> RingOptions {
    let mut options = scratch.options();
    change(&mut options);
    options
}

#[test]
fn create_open_attach_and_unlink_do_what_they_say() {
    let dir = Scratch::new();
    let options = dir.options();
    let error = Ring::attach_with("a", &options).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)));
    assert!(error.to_string().contains("'a'") && error.to_string().contains("open instead"), "{error}");
    let ring = Ring::create("a", &options).unwrap();
    assert!(matches!(Ring::create("a", &options), Err(Error::Exists(_))));
    assert_eq!((ring.name(), ring.capacity(), ring.schema()), ("a", 4096, None));
    Ring::open("a", &options).unwrap();
    Ring::attach_with("a", &with(&dir, |o| o.capacity = 0)).unwrap();
    drop(ring);
    assert_eq!(dir.names(), ["ipcx.a"], "closing does not unlink, and there is one file");
    unlink_in(Some(dir.path()), "a").unwrap();
    assert!(matches!(unlink_in(Some(dir.path()), "a"), Err(Error::NotFound(_))));
    Ring::open("a", &options).unwrap();
    unlink_in(Some(dir.path()), "a").unwrap();
}

#[test]
fn a_segment_lives_on_after_its_name_is_gone() {
    let dir = Scratch::new();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    unlink_in(Some(dir.path()), "a").unwrap();
    drop(ring);
    tx.send(b"still here").unwrap();
    assert_eq!(rx.recv(&mut [0; 16]).unwrap(), 10);
}

#[test]
fn bad_options_are_refused_and_leave_nothing() {
    let dir = Scratch::new();
    let cases: [(&str, RingOptions); 5] = [
        ("2 GiB", with(&dir, |o| o.capacity = (1 << 31) + 1)),
        ("max_participants", with(&dir, |o| o.segment.max_participants = 4097)),
        ("schema", with(&dir, |o| o.segment.schema = Some("x".repeat(64)))),
        ("schema", with(&dir, |o| o.segment.schema = Some("a\0b".into()))),
        ("mode", with(&dir, |o| o.segment.mode = 0o4600)),
    ];
    for (word, options) in cases {
        let error = Ring::create("a", &options).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{word}: {error}");
        assert!(error.to_string().contains(word) || word == "2 GiB", "{error}");
    }
    for name in ["", "../up", "a/b", ".hidden"] {
        assert!(matches!(Ring::create(name, &dir.options()), Err(Error::Invalid(_))));
        assert!(matches!(unlink_in(Some(dir.path()), name), Err(Error::Invalid(_))));
    }
    let missing = with(&dir, |o| o.segment.directory = Some(dir.path().join("none")));
    assert!(matches!(Ring::create("a", &missing), Err(Error::NotFound(_))));
    assert!(dir.names().is_empty());
}

#[test]
fn options_that_differ_from_what_is_there_are_a_mismatch() {
    let dir = Scratch::new();
    let schema = |label: &str| with(&dir, |o| o.segment.schema = Some(label.into()));
    let ring = Ring::create("a", &schema("trades/2")).unwrap();
    assert_eq!(ring.schema(), Some("trades/2"));
    for other in [
        schema("trades/1"),
        with(&dir, |o| o.capacity = 8192),
        with(&dir, |o| o.segment.max_participants = 5),
    ] {
        assert!(matches!(Ring::open("a", &other), Err(Error::Mismatch(_))), "{other:?}");
        assert!(matches!(Ring::attach_with("a", &other), Err(Error::Mismatch(_))));
    }
    Ring::open("a", &schema("trades/2")).unwrap();
    Ring::open("a", &with(&dir, |o| o.capacity = 4000)).unwrap(); // rounded up, the same
}

#[test]
fn a_segment_is_readable_by_its_owner_only_unless_asked_otherwise() {
    let dir = Scratch::new();
    // SAFETY: umask touches nothing but the process's mask, which no other test here depends on.
    let before = unsafe { libc::umask(0o077) };
    Ring::create("private", &dir.options()).unwrap();
    Ring::create("group", &with(&dir, |o| o.segment.mode = 0o660)).unwrap();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    let mode = |name| std::fs::metadata(dir.file(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("private"), mode("group")), (0o600, 0o660));
    let group = std::fs::metadata(dir.file("group")).unwrap().gid();
    Ring::create("given", &with(&dir, |o| o.segment.group = Some(group))).unwrap();
}

#[test]
fn participants_are_limited_and_slots_come_back() {
    let dir = Scratch::new();
    let options = with(&dir, |o| o.segment.max_participants = 2);
    let first = Ring::create("a", &options).unwrap();
    let second = Ring::open("a", &options).unwrap();
    assert!(matches!(Ring::open("a", &options), Err(Error::NoSpace(_))));
    drop(first);
    let third = Ring::open("a", &options).unwrap();
    assert!(matches!(Ring::open("a", &options), Err(Error::NoSpace(_))));
    drop((second, third));
}

#[test]
fn what_is_not_a_segment_is_corrupt() {
    let dir = Scratch::new();
    std::fs::write(dir.file("empty"), b"").unwrap();
    std::fs::write(dir.file("short"), b"hello").unwrap();
    std::fs::write(dir.file("foreign"), vec![b'x'; 100_000]).unwrap();
    std::fs::write(dir.file("zeros"), vec![0; 100_000]).unwrap();
    let fifo = std::ffi::CString::new(dir.file("fifo").to_str().unwrap()).unwrap();
    // SAFETY: a zero-terminated path.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for name in ["empty", "short", "foreign", "zeros", "fifo"] {
        let before = (name != "fifo").then(|| std::fs::read(dir.file(name)).unwrap());
        for result in [Ring::attach_with(name, &dir.options()), Ring::open(name, &dir.options())] {
            assert!(matches!(result, Err(Error::Corrupt(_))), "{name}: {result:?}");
        }
        if let Some(before) = before {
            assert_eq!(std::fs::read(dir.file(name)).unwrap(), before, "refused before anything is written");
        }
    }
    std::fs::create_dir(dir.file("directory")).unwrap();
    assert!(Ring::attach_with("directory", &dir.options()).is_err());
    Ring::create("real", &dir.options()).unwrap();
    std::os::unix::fs::symlink(dir.file("real"), dir.file("link")).unwrap();
    assert!(matches!(Ring::attach_with("link", &dir.options()), Err(Error::Permission(_))));
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(Ring::from_fd(file.as_fd()).is_err());
}

#[test]
fn a_truncated_segment_is_corrupt_at_every_size() {
    let dir = Scratch::new();
    drop(Ring::create("a", &dir.options()).unwrap());
    let whole = std::fs::metadata(dir.file("a")).unwrap().len();
    let file = std::fs::File::options().write(true).open(dir.file("a")).unwrap();
    for size in [whole - 1, whole - 4096, whole / 2, 4096, 4095, 256, 1, 0] {
        file.set_len(size).unwrap();
        assert!(matches!(Ring::attach_with("a", &dir.options()), Err(Error::Corrupt(_))), "{size}");
    }
}

/// FNV-1a, as the header's checksum is made, so that a well-formed header of another origin can be.
fn with_checksum(mut header: [u8; 256]) -> [u8; 256] {
    let hash = header[..248]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    header[248..].copy_from_slice(&hash.to_ne_bytes());
    header
}

#[test]
fn another_version_kind_layout_or_word_size_has_its_own_refusal() {
    let dir = Scratch::new();
    drop(Ring::create("a", &dir.options()).unwrap());
    let file = std::fs::File::options().read(true).write(true).open(dir.file("a")).unwrap();
    let mut good = [0; 256];
    file.read_exact_at(&mut good, 0).unwrap();
    assert_eq!(good, with_checksum(good), "the test makes checksums as the library does");
    let refuse = |offset: usize, value: &[u8]| {
        let mut header = good;
        header[offset..offset + value.len()].copy_from_slice(value);
        file.write_all_at(&with_checksum(header), 0).unwrap();
        Ring::attach_with("a", &with(&dir, |o| o.capacity = 0)).unwrap_err()
    };
    assert!(matches!(refuse(8, &0x0403_0201u32.to_ne_bytes()), Error::Version(_)), "byte order");
    assert!(matches!(refuse(12, &4u32.to_ne_bytes()), Error::Version(_)), "word size");
    let version = refuse(16, &2u32.to_ne_bytes());
    assert!(matches!(version, Error::Version(_)), "{version}");
    assert!(version.to_string().contains("its layout version is 2, and this ipcx has 1"), "{version}");
    assert!(matches!(refuse(20, &2u32.to_ne_bytes()), Error::Mismatch(_)), "kind");
    assert!(matches!(refuse(24, &7u64.to_ne_bytes()), Error::Version(_)), "layout");
    // Well-formed, and senseless: sizes that do not fit together, or would overflow.
    for offset in [32, 40, 64, 72, 76, 88] {
        for value in [0, 1, 3, 4097, 1 << 20, 1 << 31, 1 << 40, 1 << 62, 1 << 63, u64::MAX] {
            let width = if (72..80).contains(&offset) { 4 } else { 8 };
            let sensible = match offset {
                72 => (1..=64).contains(&value), // participants whose slots fill the same one page
                76 => value < 4 || value as u32 == 0, // strategies
                _ => false,
            };
            if !sensible {
                let error = refuse(offset, &value.to_ne_bytes()[..width]);
                assert!(matches!(error, Error::Corrupt(_)), "{offset} {value}: {error}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_the_header_is_refused() {
    let dir = Scratch::new();
    drop(Ring::create("a", &dir.options()).unwrap());
    let file = std::fs::File::options().read(true).write(true).open(dir.file("a")).unwrap();
    for bit in 0..256 * 8 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
        let error = Ring::attach_with("a", &dir.options()).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_) | Error::Version(_)), "bit {bit}: {error}");
        file.write_all_at(&byte, bit / 8).unwrap();
    }
    Ring::attach_with("a", &dir.options()).unwrap();
}

#[test]
fn an_anonymous_ring_is_shared_by_descriptor_and_cannot_be_resized() {
    let ring = Ring::anonymous(&RingOptions::default()).unwrap();
    let fd = ring.share_fd().unwrap();
    let other = Ring::from_fd(fd.as_fd()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), other.consumer().unwrap());
    assert!(matches!(other.producer(), Err(Error::RoleTaken(_))));
    tx.send(b"over").unwrap();
    assert_eq!(rx.recv(&mut [0; 8]).unwrap(), 4);
    for size in [0, 4096, 1 << 30] {
        // SAFETY: ftruncate on a descriptor that we own.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), size) }, -1);
    }
    drop((ring, tx));
    assert!(matches!(rx.recv(&mut [0; 8]), Err(Error::Closed(_))), "a shared descriptor keeps no role");
    other.producer().unwrap();
}

#[test]
fn an_anonymous_ring_can_be_handed_to_another_user() {
    if let Some(fd) = child_argument() {
        // SAFETY: the parent left this descriptor open for us.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.parse().unwrap()) };
        Ring::from_fd(fd).unwrap().producer().unwrap().send(b"from nobody").unwrap();
        return;
    }
    if !is_root() {
        eprintln!("skipped: becoming another user needs root");
        return;
    }
    let ring = Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap();
    let mut rx = ring.consumer().unwrap();
    let fd = ring.share_fd().unwrap();
    let number = fd.as_raw_fd();
    let mut nobody = child("an_anonymous_ring_can_be_handed_to_another_user", &number.to_string());
    nobody.uid(65534).gid(65534);
    // SAFETY: fcntl on a descriptor that the child has too.
    unsafe {
        nobody.pre_exec(move || {
            if libc::fcntl(number, libc::F_SETFD, 0) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        })
    };
    let Ok(status) = nobody.status() else {
        return eprintln!("skipped: another user cannot run the test binary where it lies");
    };
    assert!(status.success());
    assert_eq!(rx.recv(&mut [0; 16]).unwrap(), 11);
}

#[test]
fn stats_tell_depth_and_holders() {
    let dir = Scratch::new();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let stats = ring.stats().unwrap();
    assert_eq!((stats.used, stats.sent, stats.received), (0, 0, 0));
    assert_eq!((stats.producer, stats.consumer), (ipcx::RoleState::Never, ipcx::RoleState::Never));
    let other = Ring::attach_with("a", &dir.options()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), other.consumer().unwrap());
    tx.send(&[0; 10]).unwrap();
    tx.send(&[0; 10]).unwrap();
    rx.recv(&mut [0; 10]).unwrap();
    let stats = ring.stats().unwrap();
    assert_eq!((stats.capacity, stats.used, stats.sent, stats.received), (4096, 24, 2, 1));
    assert_eq!((stats.producer, stats.consumer), (ipcx::RoleState::Alive, ipcx::RoleState::Alive));
    assert_eq!(stats.producer_process.unwrap().pid, std::process::id());
    drop(tx);
    assert_eq!(ring.stats().unwrap().producer, ipcx::RoleState::Closed);
}

/// Creation on a file system that is full, at every size around what is needed. The child mounts one of its own.
#[test]
fn a_full_file_system_is_an_error_that_says_how_much_is_missing() {
    let pages = 5; // header, slots, two pages of control, data
    if let Some(path) = child_argument() {
        let options = RingOptions {
            capacity: 4096,
            segment: SegmentOptions { directory: Some(path.clone().into()), ..Default::default() },
        };
        let room = std::env::var("IPCX_TEST_PAGES").unwrap().parse::<usize>().unwrap();
        match Ring::create("a", &options) {
            Ok(_) => assert!(room >= pages, "{room}"),
            Err(error) => {
                assert!(matches!(error, Error::NoSpace(_)) && room < pages, "{room}: {error}");
                assert!(error.to_string().contains(&format!("{} bytes are needed", pages * 4096)), "{error}");
                assert!(error.to_string().contains(&format!("{} bytes are free", room * 4096)), "{error}");
                assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
            }
        }
        return;
    }
    if !is_root() {
        eprintln!("skipped: mounting a file system of a given size needs root");
        return;
    }
    for room in 1..pages + 2 {
        let dir = Scratch::new();
        let path = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
        let data = std::ffi::CString::new(format!("size={}", room * 4096)).unwrap();
        let mut command = child(
            "a_full_file_system_is_an_error_that_says_how_much_is_missing",
            dir.path().to_str().unwrap(),
        );
        command.env("IPCX_TEST_PAGES", room.to_string());
        // SAFETY: between fork and exec, only system calls on strings made before.
        unsafe {
            command.pre_exec(move || {
                let private = libc::MS_PRIVATE | libc::MS_REC;
                let none = std::ptr::null();
                if libc::unshare(libc::CLONE_NEWNS) != 0
                    || libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
                    || libc::mount(
                        c"tmpfs".as_ptr(),
                        path.as_ptr(),
                        c"tmpfs".as_ptr(),
                        0,
                        data.as_ptr().cast(),
                    ) != 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        match command.status() {
            Ok(status) => assert!(status.success(), "with {room} pages"),
            Err(error) => return eprintln!("skipped: cannot mount a file system here: {error}"),
        }
    }
}

#[test]
fn another_users_segment_is_refused_unless_it_was_shared() {
    if let Some(path) = child_argument() {
        let segment = SegmentOptions { directory: Some(path.into()), ..Default::default() };
        let options = RingOptions { capacity: 4096, segment };
        if std::env::var_os("IPCX_TEST_CREATE").is_some() {
            let mode =
                |mode| RingOptions { segment: SegmentOptions { mode, ..options.segment.clone() }, ..options };
            Ring::create("open-to-all", &mode(0o666)).unwrap();
            return;
        }
        let error = Ring::attach_with("private", &options).unwrap_err();
        assert!(matches!(error, Error::Permission(_)), "{error}");
        Ring::attach_with("roots", &options).unwrap();
        assert!(matches!(Ring::create("new", &options), Err(Error::Permission(_))));
        return;
    }
    if !is_root() {
        eprintln!("skipped: becoming another user needs root");
        return;
    }
    let dir = Scratch::new();
    Ring::create("private", &dir.options()).unwrap();
    Ring::create("roots", &with(&dir, |o| o.segment.mode = 0o666)).unwrap();
    let test = "another_users_segment_is_refused_unless_it_was_shared";
    let nobody = || {
        let mut command = child(test, dir.path().to_str().unwrap());
        command.uid(65534).gid(65534);
        command
    };
    let Ok(status) = nobody().status() else {
        return eprintln!("skipped: another user cannot run the test binary where it lies");
    };
    assert!(status.success());
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(nobody().env("IPCX_TEST_CREATE", "1").status().unwrap().success());
    let error = Ring::attach_with("open-to-all", &dir.options()).unwrap_err();
    assert!(matches!(error, Error::Permission(_)), "somebody left it there: {error}");
    assert!(error.to_string().contains("65534"), "{error}");
}

/// The child keeps everything it inherited, mappings too, and closes nothing.
#[test]
fn a_parents_leases_end_with_it_although_a_child_of_its_lives() {
    if let Some(path) = child_argument() {
        let segment = SegmentOptions { directory: Some(path.into()), ..Default::default() };
        let ring = Ring::attach_with("a", &RingOptions { capacity: 4096, segment }).unwrap();
        let _tx = ring.producer().unwrap();
        // SAFETY: the grandchild only waits for its standard input to end, which its parent's parent holds.
        unsafe {
            if libc::fork() == 0 {
                libc::read(0, [0u8].as_mut_ptr().cast(), 1);
                libc::_exit(0);
            }
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
    }
    let dir = Scratch::new();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let mut rx = ring.consumer().unwrap();
    let test = "a_parents_leases_end_with_it_although_a_child_of_its_lives";
    let mut parent = child(test, dir.path().to_str().unwrap());
    let mut parent = parent.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let keep_grandchild = parent.stdin.take();
    parent.wait().unwrap();
    assert!(matches!(rx.recv(&mut [0; 8]), Err(Error::PeerDead(_))));
    ring.producer().unwrap();
    drop(keep_grandchild);
}

#[test]
fn a_forked_child_gets_forked_from_everything_it_inherits() {
    let dir = Scratch::new();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let (mut tx, rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.send(b"parent's").unwrap();
    let options = dir.options();
    let mut inherited = Some((tx, rx, ring));
    in_child(|| {
        let (mut tx, mut rx, ring) = inherited.take().expect("the parent's");
        let forked = |result: ipcx::Result<()>| matches!(result, Err(Error::Forked));
        let good = forked(tx.try_send(b"x"))
            && forked(rx.try_recv(&mut [0; 16]).map(drop))
            && forked(rx.try_borrow().map(drop))
            && forked(tx.try_reserve(1).map(drop))
            && forked(ring.producer().map(drop))
            && forked(ring.stats().map(drop))
            && forked(ring.share_fd().map(drop));
        drop((tx, rx, ring)); // must not close the parent's roles
        let own = Ring::attach_with("a", &options);
        good && matches!(own.as_ref().map(|ring| ring.producer()), Ok(Err(Error::RoleTaken(_))))
    });
    let (_tx, mut rx, _ring) = inherited.expect("the parent's");
    assert_eq!(rx.recv(&mut [0; 16]).unwrap(), 8);
    assert!(matches!(rx.try_recv(&mut [0; 16]), Err(Error::WouldBlock(_))), "the producer is still there");
}
