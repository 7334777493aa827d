//! Transports where something is not as it should be: other descriptors, other files, strangers, forks, nothing left to open.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{in_child, is_root, Scratch};
use ipcx::{ChildPipes, Deadline, Error, Transport, TransportOptions};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const MADE: [(Transport, &str); 2] = [(Transport::Fifo, "ipcx.x.fifo"), (Transport::Unix, "ipcx.x.sock")];

fn options(scratch: &Scratch) -> TransportOptions {
    TransportOptions { directory: Some(scratch.path().to_owned()), ..Default::default() }
}

/// The end to read, and the end to write.
fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: fills two numbers of descriptors that are nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// Forks a process that does this once it reads from a pipe, and ends when this thread does; gives the other end of the pipe.
fn held_child(work: impl FnOnce()) -> (File, libc::pid_t) {
    let (go, tell) = pipe();
    let mut go = File::from(go);
    // SAFETY: the child does what is under test, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        drop(tell);
        let _ = go.read(&mut [0]);
        work();
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    (tell.into(), child)
}

fn wait_for(child: libc::pid_t) {
    // SAFETY: a child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut 0, 0) }, child);
}

#[test]
fn an_end_that_a_forked_child_goes_on_with_is_not_closed_by_its_parent() {
    for transport in
        [Transport::Pipe, Transport::MessageQueue, Transport::Unix, Transport::Ring, Transport::Buffer]
    {
        let (mut tx, mut rx) = match transport.pair(&Default::default()) {
            Err(Error::Os { errno: libc::ENOSYS, .. }) => continue,
            pair => pair.unwrap(),
        };
        assert!(matches!(rx.try_recv(&mut [0; 8192]), Err(Error::WouldBlock(_))), "{transport}");
        let (mut go, child) = held_child(|| tx.send_timeout(b"late", SOON).unwrap());
        drop(tx);
        let before = rx.try_recv(&mut [0; 8192]);
        assert!(matches!(before, Err(Error::WouldBlock(_))), "{transport}: {before:?}");
        go.write_all(b"x").unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), 4, "{transport}");
        wait_for(child);
    }
}

#[test]
fn what_is_no_such_descriptor_is_refused() {
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let (reader, writer) = pipe();
    for fd in [reader, null(), UnixStream::pair().unwrap().0.into()] {
        assert!(matches!(Transport::Pipe.sender_from_fd(fd), Err(Error::Invalid(_))));
    }
    for fd in [writer, null(), UnixStream::pair().unwrap().0.into()] {
        assert!(matches!(Transport::Pipe.receiver_from_fd(fd), Err(Error::Invalid(_))));
    }
    let others = || [pipe().0, UnixStream::pair().unwrap().0.into(), UnixDatagram::unbound().unwrap().into()];
    for fd in others() {
        assert!(matches!(Transport::Unix.sender_from_fd(fd), Err(Error::Invalid(_))));
    }
    for fd in others() {
        assert!(matches!(Transport::Unix.receiver_from_fd(fd), Err(Error::Invalid(_))));
    }
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(Transport::Unix.receiver_from_fd(tcp.into()), Err(Error::Invalid(_))));
}

#[test]
fn what_is_refused_still_waits_for_who_gave_it() {
    for transport in
        [Transport::Pipe, Transport::MessageQueue, Transport::Unix, Transport::Ring, Transport::Buffer]
    {
        let theirs: OwnedFd = UnixDatagram::unbound().unwrap().into();
        drop(transport.sender_from_fd(theirs.try_clone().unwrap()));
        drop(transport.receiver_from_fd(theirs.try_clone().unwrap()));
        // SAFETY: takes numbers.
        let flags = unsafe { libc::fcntl(theirs.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0, "{transport}");
    }
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    // SAFETY: reads two numbers.
    unsafe { libc::setrlimit(resource, &libc::rlimit { rlim_cur: most, rlim_max: most }) };
}

#[test]
fn a_descriptor_that_cannot_be_had_now_is_had_later() {
    let (mut tx, mut rx) = Transport::Unix.pair(&Default::default()).unwrap();
    let file = File::open("/dev/null").unwrap();
    tx.send_fd_until(file.as_fd(), Deadline::NOW).unwrap();
    drop(tx);
    in_child(|| {
        let mut held = Vec::new();
        limit(libc::RLIMIT_NOFILE, 256);
        while let Ok(one) = file.try_clone() {
            held.push(one);
        }
        let refused = rx.recv_fd_until(Deadline::NOW);
        assert!(matches!(refused, Err(Error::Os { errno: libc::EMFILE, .. })), "{refused:?}");
        held.clear();
        rx.recv_fd_until(Deadline::NOW).is_ok()
    });
}

#[test]
fn a_limit_on_queues_is_told_by_its_name() {
    in_child(|| {
        limit(libc::RLIMIT_MSGQUEUE, 0);
        match Transport::MessageQueue.pair(&Default::default()) {
            Err(Error::Os { errno: libc::ENOSYS, .. }) => true,
            Err(Error::NoSpace(context)) => context.detail().contains("ulimit -q"),
            _ => false,
        }
    });
    for options in [
        TransportOptions { messages: usize::MAX, ..Default::default() },
        TransportOptions { message_size: usize::MAX, ..Default::default() },
        TransportOptions { messages: 1 << 40, message_size: 1 << 40, ..Default::default() },
    ] {
        let refused = Transport::MessageQueue.pair(&options);
        assert!(
            matches!(refused, Err(Error::NoSpace(_) | Error::Os { errno: libc::ENOSYS, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn something_else_at_the_name_of_a_lock_is_refused_and_left_alone() {
    for (transport, file) in MADE {
        for kind in ["link", "directory", "socket", "fifo"] {
            let scratch = Scratch::new();
            let path = scratch.path().join(format!("{file}.lock"));
            match kind {
                "link" => std::os::unix::fs::symlink("/dev/null", &path).unwrap(),
                "directory" => std::fs::create_dir(&path).unwrap(),
                "socket" => drop(UnixListener::bind(&path).unwrap()),
                _ => nix_mkfifo(&path),
            }
            let refused = [
                transport.sender("x", &options(&scratch)).err(),
                transport.receiver("x", &options(&scratch)).err(),
            ];
            for error in refused {
                let Some(Error::Mismatch(context)) = error else { panic!("{transport} {kind}: {error:?}") };
                assert!(context.detail().contains(".lock"), "{context}");
            }
            assert!(std::fs::symlink_metadata(&path).is_ok());
        }
    }
}

fn nix_mkfifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a zero-terminated path.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_link_at_a_name_leads_nowhere() {
    let scratch = Scratch::new();
    let precious = scratch.path().join("precious");
    std::fs::write(&precious, b"precious").unwrap();
    for (transport, file) in MADE {
        for suffix in ["", ".claim", ".new"] {
            let link = scratch.path().join(format!("{file}{suffix}"));
            std::os::unix::fs::symlink(&precious, &link).unwrap();
            for error in [
                transport.sender("x", &options(&scratch)).err(),
                transport.receiver("x", &options(&scratch)).err(),
            ] {
                assert!(matches!(error, None | Some(Error::Mismatch(_))), "{transport} {suffix}: {error:?}");
            }
            let _ = std::fs::remove_file(link);
        }
        let _ = transport.unlink("x", &options(&scratch));
    }
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&precious).unwrap().permissions().mode() & 0o777, 0o644 & !umask());
}

fn umask() -> u32 {
    // SAFETY: two calls that cannot fail; another thread sees the other value for a moment.
    unsafe {
        let mask = libc::umask(0o022);
        libc::umask(mask);
        mask as u32 & 0o644
    }
}

#[test]
fn a_claim_of_something_else_gets_no_message() {
    let scratch = Scratch::new();
    let _rx = Transport::Fifo.receiver("x", &options(&scratch)).unwrap();
    let claim = scratch.path().join("ipcx.x.fifo.claim");
    std::fs::write(&claim, b"precious").unwrap();
    let Err(Error::Mismatch(context)) = Transport::Fifo.sender("x", &options(&scratch)) else {
        panic!("it connected")
    };
    assert!(context.detail().contains(".claim"), "{context}");
    assert_eq!(std::fs::read(&claim).unwrap(), b"precious");
}

/// Removed whatever happens.
struct QueueName(String);

impl Drop for QueueName {
    fn drop(&mut self) {
        let _ = Transport::MessageQueue.unlink(&self.0, &Default::default());
    }
}

/// In a directory that is everybody's, each name that ipcx would use is somebody else's first.
#[test]
fn what_another_user_put_there_is_refused() {
    if !is_root() {
        println!("skipped: it takes two users");
        return;
    }
    let name = QueueName(format!("test-theirs-{}", std::process::id()));
    let theirs = || {
        held_child_of_group(GROUP, || {
            let _ = Transport::MessageQueue
                .sender(&name.0, &TransportOptions { mode: 0o666, ..Default::default() });
        })
    };
    let (go, child) = theirs();
    drop(go);
    wait_for(child);
    match Transport::MessageQueue.sender(&name.0, &Default::default()) {
        Err(Error::Os { errno: libc::ENOSYS, .. }) => println!("skipped: queues"),
        other => assert!(matches!(other, Err(Error::Permission(_))), "{other:?}"),
    }
    for (transport, file) in MADE {
        for suffix in ["", ".lock"] {
            let scratch = Scratch::new();
            let path = scratch.path().join(format!("{file}{suffix}"));
            match (suffix, transport) {
                (".lock", _) => drop(File::create(&path).unwrap()),
                (_, Transport::Fifo) => nix_mkfifo(&path),
                _ => drop(UnixListener::bind(&path).unwrap()),
            }
            std::os::unix::fs::chown(&path, Some(GROUP), Some(GROUP)).unwrap();
            for error in [
                transport.sender("x", &options(&scratch)).err(),
                transport.receiver("x", &options(&scratch)).err(),
            ] {
                assert!(matches!(error, Some(Error::Permission(_))), "{transport} {suffix}: {error:?}");
            }
            assert!(std::fs::symlink_metadata(&path).is_ok());
        }
    }
}

/// The child has the default disposition, so that the signal would end it.
#[test]
fn a_receiver_that_goes_while_a_file_is_sent_ends_no_process() {
    in_child(|| {
        // SAFETY: in the child only.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let file = File::open("/proc/self/exe").unwrap();
        let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default()).unwrap();
        let receiver = std::thread::spawn(move || {
            // The message was begun, and does not fit into the pipe.
            while !matches!(rx.recv_timeout(&mut [], SOON), Err(Error::TooBig { .. })) {}
        });
        let sent = tx.send_file_until(file.as_fd(), 0, 1 << 20, Deadline::within(SOON));
        receiver.join().unwrap();
        matches!(sent, Err(Error::Closed(_)))
    });
}

#[test]
fn a_file_that_cannot_be_read_begins_no_message() {
    let scratch = Scratch::new();
    let path = scratch.path().join("contents");
    std::fs::write(&path, [1; 10_000]).unwrap();
    let unreadable = File::options().write(true).open(&path).unwrap();
    let only_a_path = File::options().read(true).custom_flags(libc::O_PATH).open(&path).unwrap();
    for transport in Transport::ALL {
        let (mut tx, mut rx) = match transport {
            Transport::Fifo => {
                let rx = transport.receiver("x", &options(&scratch)).unwrap();
                (transport.sender("x", &options(&scratch)).unwrap(), rx)
            }
            _ => match transport.pair(&TransportOptions { capacity: 1 << 16, ..Default::default() }) {
                Err(Error::Os { errno: libc::ENOSYS, .. }) => continue,
                pair => pair.unwrap(),
            },
        };
        for file in [&unreadable, &only_a_path] {
            let sent = tx.send_file_until(file.as_fd(), 0, 5000, Deadline::NOW);
            assert!(matches!(sent, Err(Error::Os { errno: libc::EBADF, .. })), "{transport}: {sent:?}");
        }
        tx.send_timeout(b"whole", SOON).unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 8192], SOON).unwrap(), 5, "{transport}");
    }
}

#[test]
fn what_is_no_regular_file_is_no_message() {
    let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default()).unwrap();
    for fd in [File::open("/dev/null").unwrap().into(), File::open("/").unwrap().into(), pipe().0] {
        let sent = tx.send_file_until(fd.as_fd(), 0, 10, Deadline::NOW);
        assert!(matches!(sent, Err(Error::Invalid(_))), "{sent:?}");
    }
    let file = File::open("/proc/self/exe").unwrap();
    assert_eq!(tx.send_file_until(file.as_fd(), u64::MAX, 10, Deadline::NOW).unwrap(), 0, "behind its end");
    assert!(matches!(rx.try_recv(&mut [0; 64]), Err(Error::WouldBlock(_))));
}

#[test]
fn every_descriptor_is_closed_on_exec() {
    in_child(|| {
        let open = || -> Vec<i32> {
            let names = std::fs::read_dir("/proc/self/fd").unwrap();
            names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
        };
        let (before, scratch) = (open(), Scratch::new());
        let mut ends = Vec::new();
        for transport in Transport::ALL {
            for named in [false, true] {
                let pair = match (transport, named) {
                    (Transport::Pipe, true) | (Transport::Fifo, false) | (Transport::MessageQueue, true) => {
                        continue
                    }
                    (_, false) => transport.pair(&Default::default()),
                    (_, true) => transport
                        .receiver(transport.word(), &options(&scratch))
                        .and_then(|rx| Ok((transport.sender(transport.word(), &options(&scratch))?, rx))),
                };
                let (mut tx, mut rx) = match pair {
                    Err(Error::Os { errno: libc::ENOSYS, .. }) => continue,
                    pair => pair.unwrap(),
                };
                tx.send_timeout(b"x", SOON).unwrap();
                rx.poll_fd().unwrap();
                tx.poll_fd().unwrap();
                rx.recv_timeout(&mut [0; 8192], SOON).unwrap();
                ends.push((tx, rx));
            }
        }
        let pipes = ChildPipes::spawn(std::process::Command::new("true")).unwrap();
        let made: Vec<i32> = open().into_iter().filter(|fd| !before.contains(fd)).collect();
        // SAFETY: asks about descriptors; the one that listed them is closed, and says so.
        let stays = |fd: &&i32| unsafe { libc::fcntl(**fd, libc::F_GETFD) } & libc::FD_CLOEXEC == 0;
        assert!(made.len() > 20 && made.iter().find(stays).is_none(), "{made:?}");
        drop((ends, pipes));
        true
    });
}

#[test]
fn a_file_for_nobody_is_not_read() {
    let scratch = Scratch::new();
    let path = scratch.path().join("contents");
    std::fs::write(&path, [1; 100]).unwrap();
    let unreadable = File::options().write(true).open(&path).unwrap();
    let mut tx = Transport::Unix.sender("x", &options(&scratch)).unwrap();
    let sent = tx.send_file_until(unreadable.as_fd(), 0, 100, Deadline::NOW);
    assert!(matches!(sent, Err(Error::WouldBlock(_))), "{sent:?}");
}

/// A connection to a receiver's socket by a program that is no ipcx.
fn stranger(path: &Path) -> OwnedFd {
    // SAFETY: a new socket, and the address of a path that is short enough.
    unsafe {
        let fd =
            OwnedFd::from_raw_fd(libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0));
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as _;
        for (to, from) in address.sun_path.iter_mut().zip(path.to_str().unwrap().bytes()) {
            *to = from as _;
        }
        let len = std::mem::size_of_val(&address) as _;
        assert_eq!(libc::connect(fd.as_raw_fd(), (&raw const address).cast(), len), 0);
        fd
    }
}

#[test]
fn a_stranger_at_a_socket_is_told_of_and_keeps_nobody_out() {
    let scratch = Scratch::new();
    let mut rx = Transport::Unix.receiver("x", &options(&scratch)).unwrap();
    for message in [&b"\x07what is this"[..], b""] {
        let stranger = stranger(&scratch.path().join("ipcx.x.sock"));
        // SAFETY: sends a few bytes.
        let sent = unsafe { libc::send(stranger.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        assert_eq!(sent, message.len() as isize);
        let told = rx.recv_timeout(&mut [0; 64], SOON);
        assert!(matches!(told, Err(Error::Corrupt(_) | Error::Closed(_))), "{told:?}");
        let mut tx = Transport::Unix.sender("x", &options(&scratch)).unwrap();
        tx.send_timeout(b"friend", SOON).unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 64], SOON).unwrap(), 6);
        drop(tx);
        assert!(matches!(rx.recv_timeout(&mut [0; 64], SOON), Err(Error::Closed(_))));
    }
}

#[test]
fn a_forked_process_does_not_keep_a_childs_input_open() {
    let (mut pipes, mut cat) = ChildPipes::spawn(std::process::Command::new("cat")).unwrap();
    let (mut go, child) = held_child(|| ());
    let mut output = Vec::new();
    let ended = pipes.exchange_until(&mut &b"to the end"[..], &mut output, Deadline::within(SOON));
    go.write_all(b"x").unwrap();
    wait_for(child);
    ended.unwrap();
    assert_eq!(output, b"to the end");
    cat.wait().unwrap();
    in_child(|| {
        matches!(pipes.read_until(&mut [0; 8], Deadline::NOW), Err(Error::Forked))
            && matches!(pipes.write_until(b"x", Deadline::NOW), Err(Error::Forked | Error::Closed(_)))
    });
}

#[test]
fn a_program_that_may_not_run_says_which() {
    let scratch = Scratch::new();
    let path = scratch.path().join("not-a-program");
    std::fs::write(&path, b"").unwrap();
    let Err(Error::Permission(context)) = ChildPipes::spawn(std::process::Command::new(&path)) else {
        panic!("it ran")
    };
    assert!(context.detail().contains("not-a-program"), "{context}");
}

/// What is made under a name is there complete or not at all: a user of the group that it is shared with is never refused.
#[test]
fn a_name_never_leads_to_what_is_half_made() {
    if !is_root() {
        println!("skipped: it takes two users");
        return;
    }
    in_child(|| {
        // SAFETY: in a child of one thread.
        assert_eq!(unsafe { libc::setgroups(1, &GROUP) }, 0);
        MADE.into_iter().for_each(|(transport, file)| make_for_another_user(transport, file));
        true
    });
}

const GROUP: u32 = 12_345;

fn make_for_another_user(transport: Transport, file: &str) {
    let scratch = Scratch::new();
    let path = std::ffi::CString::new(scratch.path().to_str().unwrap()).unwrap();
    // SAFETY: a zero-terminated path. The group of the directory goes to what is made in it.
    unsafe {
        assert_eq!(libc::chown(path.as_ptr(), 0, GROUP), 0);
        assert_eq!(libc::chmod(path.as_ptr(), 0o2777), 0);
    }
    let options = TransportOptions { mode: 0o660, ..options(&scratch) };
    let (making, child) = held_child_of_group(GROUP, || {
        for _ in 0..3000 {
            let mut tx = transport.sender("x", &options).unwrap_or_else(|e| panic!("{transport}: {e}"));
            match tx.try_send(b"x") {
                Ok(()) | Err(Error::WouldBlock(_) | Error::Closed(_)) => {}
                Err(error) => panic!("{transport}: {error}"),
            }
        }
    });
    drop(making);
    while !is_over(child) {
        drop(transport.receiver("x", &options).unwrap());
        let _ = std::fs::remove_file(scratch.path().join(format!("{file}.lock")));
    }
}

fn held_child_of_group(group: u32, work: impl FnOnce()) -> (File, libc::pid_t) {
    held_child(|| {
        // SAFETY: in a child of one thread.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setgid(group), 0);
            assert_eq!(libc::setuid(group), 0);
        }
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: ends the child.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    })
}

/// True if it ended, and well.
fn is_over(child: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: a child made above.
    let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child;
    assert!(!ended || status == 0, "the other user's view");
    ended
}
