//! Strangers at the other end: whatever bytes, messages and descriptors they send, a call gives data or an error, in time and
//! memory that have bounds; and who comes after them is heard.

use crate::child::descriptors;
use crate::{has, options, turn, until};
use ipcx::{Deadline, Error, Receiver, Transport, TransportOptions};
use ipcx_tests::{Place, Random};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A call that is given this long takes no longer than a little more.
const PATIENCE: Duration = Duration::from_micros(200);
const SLACK: Duration = Duration::from_secs(2);
/// Room for what is received: a longer message than this is a lie.
const ROOM: usize = 40_000;

/// What a call took, of them all.
#[derive(Default)]
struct Times {
    images: u64,
    longest: Duration,
}

impl Times {
    fn take<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let value = call();
        self.longest = self.longest.max(begin.elapsed());
        assert!(self.longest < SLACK, "a call took {:?}", self.longest);
        value
    }
}

fn open(flags: [RawFd; 2]) -> [OwnedFd; 2] {
    // SAFETY: descriptors that were just made and are nobody else's.
    flags.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn pipe() -> [OwnedFd; 2] {
    let mut fds = [0; 2];
    // SAFETY: fills two numbers.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    open(fds)
}

fn sockets() -> [OwnedFd; 2] {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: fills two numbers.
    assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) }, 0);
    open(fds)
}

/// Bytes as a stranger writes them: whole frames, frames of a length that is not true, and anything.
fn image(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(6) {
        let most = random.pick(&[6000, 40, 40, 40]);
        let len = random.below(most);
        let said = match random.below(8) {
            0 => random.word() as u32,
            1 => u32::MAX - random.below(5) as u32,
            2 => (len as u32).wrapping_add(random.below(5) as u32).wrapping_sub(2),
            _ => len as u32,
        };
        bytes.extend(said.to_le_bytes());
        bytes.extend((0..len).map(|_| random.word() as u8));
    }
    let cut = random.below(bytes.len() as u64 + 1) as usize;
    bytes.truncate(if random.below(3) == 0 { cut } else { bytes.len() });
    bytes
}

/// What a receiver makes of them, by the format: messages, and whether the end comes inside one.
fn expected(mut bytes: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut messages = Vec::new();
    loop {
        let Some((header, rest)) = bytes.split_at_checked(4) else { return (messages, !bytes.is_empty()) };
        let len = u32::from_le_bytes(header.try_into().expect("four bytes")) as usize;
        let Some((message, rest)) = rest.split_at_checked(len) else { return (messages, true) };
        messages.push(message);
        bytes = rest;
    }
}

/// A pipe gets an image, in parts, and the receiver makes of it what the format says.
fn one_pipe(random: &mut Random, times: &mut Times, buffer: &mut [u8]) {
    let [reader, writer] = pipe();
    let mut rx = Transport::Pipe.receiver_from_fd(reader).expect("an end of a pipe");
    let (bytes, mut writer) = (image(random), Some(File::from(writer)));
    let (messages, inside) = expected(&bytes);
    let (mut rest, mut received) = (&bytes[..], 0);
    for _ in 0..1000 {
        match &mut writer {
            Some(writer) if !rest.is_empty() => {
                let part = (1 + random.below(2000) as usize).min(rest.len());
                writer.write_all(&rest[..part]).expect("room");
                rest = &rest[part..];
            }
            _ => writer = None,
        }
        let small = random.below(50) as usize;
        let room = random.pick(&[ROOM, ROOM, small]);
        match times.take(|| rx.try_recv(&mut buffer[..room])) {
            Ok(len) => {
                assert_eq!(&buffer[..len], messages[received], "message {received} of {bytes:?}");
                received += 1;
            }
            Err(Error::WouldBlock(_)) => assert!(writer.is_some(), "the end is told"),
            Err(Error::TooBig { needed, available }) => assert!(needed > available && available == room),
            Err(error) => {
                let told = if inside {
                    matches!(error, Error::PeerDead(_))
                } else {
                    matches!(error, Error::Closed(_))
                };
                assert!(told && received == messages.len(), "{error} after {received} messages of {bytes:?}");
                return;
            }
        }
    }
    panic!("it does not come to the end of {bytes:?}");
}

/// A message with so many descriptors.
fn send_raw(socket: &OwnedFd, bytes: &[u8], descriptors: &[RawFd]) -> bool {
    let mut control = vec![0u64; 200];
    // SAFETY: everything that the message points to lives across the call; the control buffer has room for 253 descriptors.
    unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
        if !descriptors.is_empty() {
            let size = std::mem::size_of_val(descriptors) as u32;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().copy_from(descriptors.as_ptr(), descriptors.len());
        }
        libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) >= 0
    }
}

/// Messages of any kind, with any number of descriptors; then the end.
fn one_socket(random: &mut Random, times: &mut Times, buffer: &mut [u8], file: &File) {
    let [ours, theirs] = sockets();
    let mut rx = Transport::Unix.receiver_from_fd(ours).expect("an end of a socket");
    for _ in 0..random.below(6) {
        let mut bytes = vec![random.below(4) as u8; random.below(60) as usize];
        bytes.truncate(if random.below(6) == 0 { 0 } else { 60 });
        let count = match random.below(4) {
            0 => random.below(253) as usize,
            1 => 1,
            _ => 0,
        };
        send_raw(&theirs, &bytes, &vec![file.as_raw_fd(); count]);
    }
    let mut theirs = Some(theirs);
    for turn in 0..20 {
        if turn == 10 {
            theirs = None;
        }
        let room = random.below(80) as usize;
        let result = match random.below(2) {
            0 => times.take(|| rx.recv_until(&mut buffer[..room], Deadline::NOW)).map(drop),
            _ => times.take(|| rx.recv_fd_until(Deadline::NOW)).map(drop),
        };
        if matches!(result, Err(Error::Closed(_))) {
            break;
        }
    }
    drop(theirs);
}

/// A program that is no ipcx writes into a FIFO by its name; then a sender comes, and is heard.
fn one_fifo(random: &mut Random, times: &mut Times, buffer: &mut [u8], rx: &mut Receiver, place: &Place) {
    let stranger = File::options().write(true).open(place.path().join("ipcx.x.fifo"));
    let bytes = image(random);
    stranger.expect("the receiver's").write_all(&bytes).expect("room");
    let mut ended = false;
    for _ in 0..40 {
        match times.take(|| rx.recv_timeout(buffer, PATIENCE)) {
            Ok(_) | Err(Error::PeerDead(_)) => {}
            Err(Error::Closed(_)) if ended => break, // A new one is there.
            Err(Error::Closed(_)) => ended = true,
            Err(error) => panic!("{error} of {bytes:?}"),
        }
    }
    let mut tx = Transport::Fifo.sender("x", &options(place)).expect("a free role");
    tx.try_send(b"friend").expect("a receiver, and room");
    assert_eq!(rx.recv_timeout(buffer, SLACK).expect("a message"), 6);
    assert!(buffer.starts_with(b"friend"));
    drop(tx);
    // The second time, there is a new one.
    (0..2).for_each(|_| assert!(matches!(rx.recv_timeout(buffer, SLACK), Err(Error::Closed(_)))));
}

/// Messages of any length and priority, received into any room.
fn one_queue(random: &mut Random, times: &mut Times, buffer: &mut [u8]) {
    let options = TransportOptions { messages: 4, message_size: 64, ..Default::default() };
    let (mut tx, mut rx) = Transport::MessageQueue.pair(&options).expect("a queue");
    let (mut sent, mut received) = (0, 0);
    for _ in 0..20 {
        let (bytes, priority) = (vec![7; random.below(70) as usize], random.below(40_000) as u32);
        sent += u32::from(tx.send_with_priority_until(&bytes, priority, Deadline::NOW).is_ok());
        let room = random.below(80) as usize;
        received += u32::from(times.take(|| rx.try_recv(&mut buffer[..room])).is_ok());
    }
    while times.take(|| rx.try_recv(buffer)).is_ok() {
        received += 1;
    }
    assert_eq!(received, sent);
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Goes on for its share, or for so many images.
fn each(what: &str, percent: u64, few: u64, total: &mut Times, mut one: impl FnMut(&mut Times)) {
    let (until, mut times) = (until(percent), Times::default());
    while until.map_or(times.images < few, |until| Instant::now() < until) {
        one(&mut times);
        times.images += 1;
    }
    println!("{what}: {} images, longest call {:?}", times.images, times.longest);
    *total = Times { images: total.images + times.images, longest: total.longest.max(times.longest) };
}

#[test]
fn whatever_strangers_send_is_data_or_an_error_and_who_comes_next_is_heard() {
    let _turn = turn();
    let mut random = Random::from_environment("hostile");
    let (mut buffer, mut times) = (vec![0; ROOM], Times::default());
    let (place, file) = (Place::new(), File::open("/dev/null").expect("it is there"));
    let (open, memory) = (descriptors(), peak());
    each("pipe", 8, 20_000, &mut times, |times| one_pipe(&mut random, times, &mut buffer));
    each("unix", 6, 20_000, &mut times, |times| one_socket(&mut random, times, &mut buffer, &file));
    let mut rx = Transport::Fifo.receiver("x", &options(&place)).expect("a free role");
    each("fifo", 4, 2000, &mut times, |times| one_fifo(&mut random, times, &mut buffer, &mut rx, &place));
    drop(rx);
    if has(Transport::MessageQueue) {
        each("mqueue", 2, 3000, &mut times, |times| one_queue(&mut random, times, &mut buffer));
    }
    assert_eq!(descriptors(), open, "what strangers send is not kept");
    assert!(peak() < memory + (32 << 10), "what strangers say is not believed");
    let (images, longest) = (times.images, times.longest.as_micros());
    println!("figures: transports, hostile | {images} images, longest call {longest} us | 0");
}
