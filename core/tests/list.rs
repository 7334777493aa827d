//! Listing: everything is told, nothing is changed or taken, and nothing that lies there stops it.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, is_root, Scratch, Started};
use ipcx::{
    list_in, unlink_in, Backing, Buffer, BufferOptions, Error, Kind, Listed, ListedState, Pool, PoolOptions,
    Queue, QueueOptions, Ring, RingOptions, RoleState, Semaphore, SemaphoreOptions, Service, ServiceOptions,
    Topic, TopicOptions, Transport, TransportOptions, WaitStrategy,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{symlink, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

fn list(dir: &Scratch) -> Vec<Listed> {
    list_in(Some(dir.path())).unwrap()
}

fn only(dir: &Scratch) -> Listed {
    let [one] = list(dir).try_into().unwrap();
    one
}

/// Name, state and process of each role.
fn roles(listed: &Listed) -> Vec<(&'static str, RoleState, Option<u32>)> {
    listed.roles.iter().map(|role| (role.name, role.state, role.process.as_ref().map(|p| p.pid))).collect()
}

/// Name, slot and state of each role.
fn slots(listed: &Listed) -> Vec<(&'static str, u32, RoleState)> {
    listed.roles.iter().map(|role| (role.name, role.slot.unwrap(), role.state)).collect()
}

fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a path with a zero behind it.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn every_kind_is_listed_by_name_with_its_parameters() {
    let dir = Scratch::new();
    assert!(list(&dir).is_empty());
    let segment = dir.segment();
    let topic = TopicOptions { capacity: 8192, segment: segment.clone(), ..Default::default() };
    Topic::create("e", &topic).unwrap();
    let service = ServiceOptions {
        max_request: 9,
        max_reply: 8,
        max_clients: 2,
        segment: segment.clone(),
        ..Default::default()
    };
    Service::create("f", &service).unwrap();
    let queue = QueueOptions { max_message: 50, depth: 6, segment: segment.clone(), ..Default::default() };
    Queue::create("g", &queue).unwrap();
    let pool = PoolOptions { block_size: 100, blocks: 5, segment: segment.clone(), ..Default::default() };
    Pool::create("b", &pool).unwrap();
    let buffer = BufferOptions { capacity: 77, segment: segment.clone() };
    Buffer::create("c", &buffer).unwrap();
    Ring::create("a", &dir.options()).unwrap();
    let semaphore = SemaphoreOptions { limit: 3, initial: Some(1), segment };
    Semaphore::create("d", &semaphore).unwrap();

    let listed = list(&dir);
    let kinds: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.kind.unwrap())).collect();
    let expected =
        [Kind::Ring, Kind::Pool, Kind::Buffer, Kind::Semaphore, Kind::Topic, Kind::Service, Kind::Queue];
    assert_eq!(kinds, ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip(expected).collect::<Vec<_>>());
    let parameters: Vec<_> = listed.iter().map(|one| one.parameters.clone()).collect();
    assert_eq!(parameters[0], [("capacity", 4096)]);
    assert_eq!(parameters[1], [("block_size", 100), ("blocks", 5), ("alignment", 64)]);
    assert_eq!(parameters[2], [("capacity", 77)]);
    assert_eq!(parameters[3], [("limit", 3)]);
    assert_eq!(parameters[4], [("capacity", 8192), ("reliable", 0), ("history", 0)]);
    assert_eq!(parameters[5], [("max_request", 9), ("max_reply", 8), ("max_clients", 2), ("depth", 16)]);
    assert_eq!(parameters[6], [("max_message", 50), ("depth", 6), ("max_deliveries", 0), ("sync", 0)]);
    for one in &listed {
        assert_eq!(one.state, ListedState::Unused, "{one:?}");
        assert!(one.problem.is_none() && one.participants.is_empty(), "{one:?}");
        assert_eq!(one.size, fs::metadata(dir.file(&one.name)).unwrap().size());
        assert_eq!(one.roles.len(), if one.kind == Some(Kind::Ring) { 2 } else { 0 });
    }
    assert_eq!(
        roles(&listed[0]),
        [("producer", RoleState::Never, None), ("consumer", RoleState::Never, None)]
    );
}

#[test]
fn what_a_segment_was_made_with_is_told() {
    let dir = Scratch::new();
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut options = dir.options();
    options.segment.mode = 0o640;
    options.segment.max_participants = 7;
    options.segment.schema = Some("trades\u{1b}[2J/2".into());
    options.segment.wait = WaitStrategy::Block;
    let before = now();
    let _ring = Ring::create("a", &options).unwrap();
    let listed = only(&dir);
    assert!((before..=now()).contains(&listed.created));
    assert_eq!((listed.mode, listed.max_participants, listed.wait), (0o640, 7, WaitStrategy::Block));
    assert_eq!(listed.schema.as_deref(), Some("trades[2J/2"), "nothing that a terminal would obey");
    // SAFETY: numbers only.
    assert_eq!((listed.owner, listed.group), unsafe { (libc::geteuid(), libc::getegid()) });
    assert_eq!(listed.backing, Backing::Directory);
}

#[test]
fn participants_and_roles_are_told_as_they_come_and_go() {
    let dir = Scratch::new();
    let me = Some(process::id());
    let ring = Ring::create("a", &dir.options()).unwrap();
    let other = Ring::attach_with("a", &dir.options()).unwrap();
    let tx = ring.producer().unwrap();
    let rx = other.consumer().unwrap();
    let listed = only(&dir);
    assert_eq!(listed.state, ListedState::InUse);
    assert_eq!(
        listed.participants.iter().map(|p| (p.slot, p.alive)).collect::<Vec<_>>(),
        [(0, true), (1, true)]
    );
    assert!(listed.participants.iter().all(|p| Some(p.process.pid) == me && p.process.attached > 0));
    assert_eq!(roles(&listed), [("producer", RoleState::Alive, me), ("consumer", RoleState::Alive, me)]);
    assert_eq!(listed.roles.iter().map(|role| role.slot).collect::<Vec<_>>(), [Some(0), Some(1)]);
    drop(tx);
    let listed = only(&dir);
    assert_eq!(roles(&listed), [("producer", RoleState::Closed, None), ("consumer", RoleState::Alive, me)]);
    drop((ring, other, rx));
    let listed = only(&dir);
    assert_eq!((listed.state, listed.participants.len()), (ListedState::Unused, 0));
    assert_eq!(
        roles(&listed),
        [("producer", RoleState::Closed, None), ("consumer", RoleState::Closed, None)]
    );
}

#[test]
fn who_was_killed_is_listed_as_dead_until_somebody_takes_its_place() {
    if let Some(path) = child_argument() {
        let segment = ipcx::SegmentOptions { directory: Some(path.into()), ..Default::default() };
        let ring = Ring::open("a", &RingOptions { capacity: 4096, segment }).unwrap();
        let _tx = ring.producer().unwrap();
        println!("\nhere");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        unreachable!("it is killed before");
    }
    let dir = Scratch::new();
    let test = "who_was_killed_is_listed_as_dead_until_somebody_takes_its_place";
    let mut command = child(test, dir.path().to_str().unwrap());
    command.stdin(process::Stdio::piped());
    let mut started = Started::new(command);
    started.wait_for("here");
    let it = Some(started.id());
    let listed = only(&dir);
    assert_eq!((listed.state, listed.participants[0].alive), (ListedState::InUse, true));
    assert_eq!(roles(&listed)[0], ("producer", RoleState::Alive, it));

    started.kill();
    let listed = only(&dir);
    assert_eq!((listed.state, listed.participants.len()), (ListedState::Unused, 1));
    assert_eq!((Some(listed.participants[0].process.pid), listed.participants[0].alive), (it, false));
    assert_eq!(roles(&listed)[0], ("producer", RoleState::Dead, it));

    let ring = Ring::attach_with("a", &dir.options()).unwrap();
    let listed = only(&dir);
    assert_eq!((listed.state, listed.participants.len()), (ListedState::InUse, 1));
    assert_eq!((listed.participants[0].process.pid, listed.participants[0].alive), (process::id(), true));
    assert_eq!(
        roles(&listed)[0],
        ("producer", RoleState::Dead, None),
        "who has the dead one's slot is another"
    );
    drop(ring);
}

#[test]
fn what_cannot_be_read_is_listed_with_the_reason() {
    let dir = Scratch::new();
    let make = |name: &str| drop(Ring::create(name, &dir.options()).unwrap());
    let change = |name: &str, at: u64, bytes: &[u8]| {
        File::options().write(true).open(dir.file(name)).unwrap().write_all_at(bytes, at).unwrap();
    };
    for name in ["magic", "version", "order", "sum", "cut", "good"] {
        make(name);
    }
    change("magic", 0, b"x");
    change("order", 8, &[9]);
    change("version", 16, &99u32.to_ne_bytes());
    change("sum", 100, &[1]);
    File::options().write(true).open(dir.file("cut")).unwrap().set_len(8192).unwrap();
    File::create(dir.file("empty")).unwrap();
    File::create(dir.file("huge")).unwrap().set_len(1 << 42).unwrap();
    fs::create_dir(dir.file("directory")).unwrap();
    symlink(dir.file("good"), dir.file("link")).unwrap();
    make_fifo(&dir.file("fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(dir.file("socket")).unwrap();

    let listed: BTreeMap<_, _> = list(&dir).into_iter().map(|one| (one.name.clone(), one)).collect();
    let corrupt = ["magic", "sum", "cut", "empty", "huge", "directory", "link", "fifo", "socket"];
    assert_eq!(listed.len(), corrupt.len() + 3);
    for (name, one) in &listed {
        let sound = match one.problem.as_ref() {
            None => name == "good",
            Some(error @ Error::Corrupt(_)) => {
                corrupt.contains(&name.as_str()) && error.to_string().contains(&format!("'{name}'"))
            }
            Some(Error::Version(_)) => ["version", "order"].contains(&name.as_str()),
            Some(_) => false,
        };
        assert!(sound, "{name}: {:?}", one.problem);
        assert_eq!(
            (one.state == ListedState::Unreadable, one.kind.is_none()),
            (name != "good", name != "good")
        );
        assert!(one.participants.is_empty() && (name == "good" || one.parameters.is_empty()), "{one:?}");
    }
    assert!(listed["cut"].problem.as_ref().unwrap().to_string().contains("truncated"));
    assert!(listed["fifo"].problem.as_ref().unwrap().to_string().contains("not a regular file"));
    assert_eq!(listed["huge"].size, 1 << 42);
}

#[test]
fn a_kind_that_is_not_known_and_sizes_that_do_not_fit_are_told() {
    let dir = Scratch::new();
    // Changes of the header with a checksum that fits: kind, participants, parameter 0, body.
    let cases: [(&str, u64, u64); 4] =
        [("kind", 20, 77), ("many", 72, 4097), ("size", 88, 1 << 60), ("body", 64, 1)];
    for (name, at, value) in cases {
        drop(Ring::create(name, &dir.options()).unwrap());
        let file = File::options().read(true).write(true).open(dir.file(name)).unwrap();
        let width = if matches!(name, "kind" | "many") { 4 } else { 8 };
        file.write_all_at(&value.to_ne_bytes()[..width], at).unwrap();
        let mut header = [0; 248];
        file.read_exact_at(&mut header, 0).unwrap();
        let sum = header.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        file.write_all_at(&sum.to_ne_bytes(), 248).unwrap();
    }
    for one in list(&dir) {
        let problem = one.problem.unwrap();
        match one.name.as_str() {
            "kind" => assert!(matches!(problem, Error::Version(_)), "{problem}"),
            _ => assert!(matches!(problem, Error::Corrupt(_)), "{}: {problem}", one.name),
        }
        assert_eq!(one.state, ListedState::Unreadable);
    }
}

/// To open it could do something: whoever waits for the reader of a FIFO goes on.
#[test]
fn what_is_no_file_is_not_even_opened() {
    let dir = Scratch::new();
    make_fifo(&dir.file("a"));
    let path = std::ffi::CString::new(dir.file("a").to_str().unwrap()).unwrap();
    // SAFETY: the path has a zero behind it.
    let watch = unsafe {
        let watch = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
        assert!(libc::inotify_add_watch(watch, path.as_ptr(), libc::IN_OPEN) >= 0);
        OwnedFd::from_raw_fd(watch)
    };
    let mut events = File::from(watch);
    assert_eq!(only(&dir).state, ListedState::Unreadable);
    assert!(events.read(&mut [0; 256]).is_err(), "it was opened");
    drop(File::options().read(true).write(true).open(dir.file("a")).unwrap());
    assert!(events.read(&mut [0; 256]).is_ok(), "that would have been seen");
}

/// What a program that may write the segment put into the slots and role words.
#[test]
fn who_serves_and_who_asks_is_told() {
    let dir = Scratch::new();
    let options = ServiceOptions { max_clients: 3, segment: dir.segment(), ..Default::default() };
    let service = Service::create("a", &options).unwrap();
    assert_eq!(
        (only(&dir).participants.len(), slots(&only(&dir))),
        (1, vec![]),
        "a handle alone has no role"
    );
    let other = Service::attach_with("a", &options).unwrap();
    let server = service.server().unwrap();
    let clients = [&other, &service, &other].map(|handle| handle.client().unwrap());
    let alive = |name, slot| (name, slot, RoleState::Alive);
    let all = [alive("server", 2), alive("client", 1), alive("client", 0), alive("client", 1)];
    assert_eq!(slots(&only(&dir)), all);
    let me = Some(process::id());
    assert!(roles(&only(&dir)).iter().all(|(_, _, pid)| *pid == me));
    drop(server);
    assert_eq!(slots(&only(&dir)), all[1..]);
    drop(clients);
    assert_eq!(slots(&only(&dir)), []);
}

#[test]
fn who_subscribes_to_a_reliable_topic_is_told() {
    let dir = Scratch::new();
    for (name, reliable) in [("a", true), ("b", false)] {
        let options = TopicOptions { reliable, segment: dir.segment(), ..Default::default() };
        let topic = Topic::create(name, &options).unwrap();
        let (_publisher, subscriber) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
        let listed = list(&dir).pop().unwrap();
        let expected = if reliable { vec![("subscriber", 1, RoleState::Alive)] } else { vec![] };
        assert_eq!(slots(&listed), expected, "{listed:?}");
        drop(subscriber);
        assert_eq!(slots(&list(&dir).pop().unwrap()), []);
    }
}

#[test]
fn nonsense_about_who_serves_and_subscribes_names_only_who_is_there() {
    let dir = Scratch::new();
    let options = ServiceOptions { segment: dir.segment(), ..Default::default() };
    let _service = Service::create("a", &options).unwrap();
    let options = TopicOptions { reliable: true, segment: dir.segment(), ..Default::default() };
    let _topic = Topic::create("b", &options).unwrap();
    for name in ["a", "b"] {
        let file = File::options().write(true).open(dir.file(name)).unwrap();
        let size = file.metadata().unwrap().size();
        let body = 4096 + 4096;
        file.write_all_at(&vec![0xff; (size - body) as usize], body).unwrap();
    }
    for listed in list(&dir) {
        let own = match listed.kind {
            Some(Kind::Service) => "server",
            _ => "subscriber",
        };
        assert!(listed.problem.is_none(), "{listed:?}");
        assert_eq!(slots(&listed), [(own, 0, RoleState::Alive)], "of who is there");
    }
}

#[test]
fn nonsense_in_slots_and_roles_is_told_as_it_stands() {
    let dir = Scratch::new();
    drop(Ring::create("a", &dir.options()).unwrap());
    let file = File::options().write(true).open(dir.file("a")).unwrap();
    let body = 4096 + 4096;
    file.write_all_at(&[0xff; 4096], 4096).unwrap(); // the slots
    file.write_all_at(&[0xff; 8192], body).unwrap(); // both pages
    let listed = only(&dir);
    assert_eq!((listed.state, listed.participants.len()), (ListedState::Unused, 32));
    assert!(listed.participants.iter().all(|p| !p.alive && p.process.pid == u32::MAX));
    assert!(listed.roles.iter().all(|role| role.slot.is_none() && role.process.is_none()), "{listed:?}");
}

#[test]
fn names_that_are_not_ipcxs_and_files_of_transports_are_not_segments() {
    let dir = Scratch::new();
    for name in ["other", ".ipcx-new.0", "ipcx.", "ipcx.-a", "ipcx.a b", "ipcx.\u{e4}", "ipcx"] {
        File::create(dir.path().join(name)).unwrap();
    }
    let options = TransportOptions { directory: Some(dir.path().to_owned()), ..Default::default() };
    for transport in [Transport::Fifo, Transport::Unix] {
        let _rx = transport.receiver("t", &options).unwrap();
        assert!(list(&dir).is_empty(), "{:?}", list(&dir));
    }
    // A segment may be called so.
    drop(Ring::create("t.fifo.new", &dir.options()).unwrap());
    assert_eq!(only(&dir).kind, Some(Kind::Ring));
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let dir = Scratch::new();
    let error = list_in(Some(&dir.path().join("none"))).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)) && error.to_string().contains("none"), "{error}");
    File::create(dir.path().join("file")).unwrap();
    assert!(matches!(list_in(Some(&dir.path().join("file"))), Err(Error::NotFound(_))));
}

#[test]
fn what_another_user_keeps_private_is_listed_by_name() {
    if !is_root() {
        return println!("skipped: not root");
    }
    let dir = Scratch::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(Ring::create("a", &dir.options()).unwrap());
    let listed = std::thread::scope(|scope| {
        let as_nobody = scope.spawn(|| {
            // SAFETY: numbers only; of this thread alone, unlike the function of libc.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
            only(&dir)
        });
        as_nobody.join().unwrap()
    });
    assert!(matches!(listed.problem, Some(Error::Permission(_))), "{:?}", listed.problem);
    assert_eq!((listed.name.as_str(), listed.owner, listed.mode, listed.kind), ("a", 0, 0o600, None));
    assert_eq!(listed.state, ListedState::Unreadable);
}

#[test]
fn blocks_in_system_v_memory_are_counted_and_missed() {
    let dir = Scratch::new();
    let key = 0x1c00_0000 | (process::id() as i32 & 0xff_ffff);
    let mut options =
        PoolOptions { block_size: 4096, blocks: 4, segment: dir.segment(), ..Default::default() };
    options.segment.backing = Backing::SystemV { key };
    drop(Pool::create("a", &options).unwrap());
    let listed = only(&dir);
    assert_eq!((listed.backing, listed.state), (Backing::SystemV { key }, ListedState::Unused));
    assert_eq!(listed.size, fs::metadata(dir.file("a")).unwrap().size() + 5 * 4096);
    // SAFETY: numbers only.
    let removed = unsafe { libc::shmctl(libc::shmget(key, 0, 0), libc::IPC_RMID, std::ptr::null_mut()) };
    assert_eq!(removed, 0);
    let listed = only(&dir);
    assert!(
        matches!(&listed.problem, Some(Error::Corrupt(c)) if c.detail().contains("is gone")),
        "{listed:?}"
    );
    assert_eq!((listed.kind, listed.state), (Some(Kind::Pool), ListedState::Unused));
    unlink_in(Some(dir.path()), "a").unwrap();
}

#[test]
fn listing_changes_no_byte_and_no_time() {
    let dir = Scratch::new();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let mut tx = ring.producer().unwrap();
    tx.send(b"record").unwrap();
    let options = SemaphoreOptions { limit: 2, initial: None, segment: dir.segment() };
    let semaphore = Semaphore::create("b", &options).unwrap();
    let _permit = semaphore.acquire().unwrap();
    fs::write(dir.file("c"), b"no segment").unwrap();
    let image = || {
        ["a", "b", "c"].map(|name| {
            let facts = fs::metadata(dir.file(name)).unwrap();
            (
                fs::read(dir.file(name)).unwrap(),
                facts.mtime_nsec(),
                facts.ctime_nsec(),
                facts.len(),
                facts.blocks(),
            )
        })
    };
    let before = image();
    for _ in 0..100 {
        assert_eq!(list(&dir).len(), 3);
    }
    assert!(before == image(), "an image differs");
    assert_eq!(dir.names(), ["ipcx.a", "ipcx.b", "ipcx.c"]);
}

/// Ends the other thread's loop, also where this one panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A segment with one slot and one producer: a lock that is taken for a moment would be in the way.
#[test]
fn who_attaches_beside_a_listing_is_never_refused() {
    let dir = Scratch::new();
    let mut options = dir.options();
    options.segment.max_participants = 1;
    drop(Ring::create("a", &options).unwrap());
    let (done, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let listed = only(&dir);
                assert!(listed.problem.is_none() && listed.participants.len() <= 1, "{listed:?}");
                seen.fetch_or(listed.state == ListedState::InUse, Ordering::Relaxed);
            }
        });
        let end = Done(&done);
        for turn in 0..2_000 {
            let ring = Ring::attach_with("a", &options).unwrap();
            let tx = ring.producer().unwrap();
            if turn == 0 {
                while !seen.load(Ordering::Relaxed) && !listing.is_finished() {
                    std::thread::yield_now();
                }
            }
            drop((ring, tx));
        }
        drop(end);
        listing.join().unwrap();
    });
}

/// Cut off, and made whole again, while it is looked at: a mapping would end this process with SIGBUS.
#[test]
fn a_file_that_is_cut_off_while_it_is_looked_at_is_told_and_no_more() {
    let dir = Scratch::new();
    drop(Ring::create("a", &dir.options()).unwrap());
    let whole = fs::read(dir.file("a")).unwrap();
    let done = AtomicBool::new(false);
    let (mut good, mut bad) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(dir.file("a")).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.set_len(0).unwrap();
                file.write_all_at(&whole, 0).unwrap();
            }
        });
        let _end = Done(&done);
        while good < 200 || bad < 200 {
            let listed = only(&dir);
            match &listed.problem {
                None => good += 1,
                Some(Error::Corrupt(_)) => bad += 1,
                Some(error) => panic!("{error}"),
            }
        }
    });
}
