//! Unix sockets that keep messages apart (SOCK_SEQPACKET), and descriptors passed through them.

use super::SysResult;
use nix::errno::Errno;
use std::io::{IoSlice, IoSliceMut};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const KIND: libc::c_int = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
/// Room for the control message that carries one descriptor.
const CONTROL: usize = 64;

/// Aligned as a control message's header has to be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

fn owned(fd: libc::c_int) -> SysResult<OwnedFd> {
    // SAFETY: a descriptor that was just made and is nobody else's.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `int socket(AF_UNIX, SOCK_SEQPACKET, 0)`
pub(crate) fn new() -> SysResult<OwnedFd> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::socket(libc::AF_UNIX, KIND, 0) })
}

/// Two connected ones. `int socketpair(AF_UNIX, SOCK_SEQPACKET, 0, int[2])`
pub(crate) fn pair() -> SysResult<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: fills the two numbers.
    Errno::result(unsafe { libc::socketpair(libc::AF_UNIX, KIND, 0, fds.as_mut_ptr()) })?;
    Ok((owned(fds[0])?, owned(fds[1])?))
}

/// The address of a name in a directory that is open: the path may then be as long as it likes.
///
/// # Errors
/// `ENAMETOOLONG` if the name does not fit into an address of 108 bytes.
fn address(directory: BorrowedFd<'_>, name: &str) -> SysResult<libc::sockaddr_un> {
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    // SAFETY: plain integers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(address)
}

/// Gives it a name, which must be new. `int bind(int, const struct sockaddr *, socklen_t)`
pub(crate) fn bind(socket: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &str) -> SysResult<()> {
    let address = address(directory, name)?;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: address and length belong together.
    Errno::result(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// `int connect(int, const struct sockaddr *, socklen_t)`
pub(crate) fn connect(socket: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &str) -> SysResult<()> {
    let address = address(directory, name)?;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: address and length belong together.
    Errno::result(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// `int listen(int, int)`
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: i32) -> SysResult<()> {
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// `int accept4(int, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)`
pub(crate) fn accept(socket: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let (none, flags) = (std::ptr::null_mut(), libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
    // SAFETY: no address is asked for.
    owned(unsafe { libc::accept4(socket.as_raw_fd(), none, std::ptr::null_mut(), flags) })
}

fn option<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &mut T) -> SysResult<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let value = (&raw mut *value).cast();
    // SAFETY: the kernel writes at most `len` bytes to `value`, plain integers.
    Errno::result(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, &mut len) })
        .map(drop)
}

/// True for a Unix socket that keeps messages apart. `int getsockopt(int, SOL_SOCKET, SO_DOMAIN, int *, socklen_t *)`, and
/// the same for `SO_TYPE`
pub(crate) fn is_of_kind(fd: BorrowedFd<'_>) -> SysResult<bool> {
    let (mut family, mut kind): (libc::c_int, libc::c_int) = (0, 0);
    option(fd, libc::SO_DOMAIN, &mut family)?;
    option(fd, libc::SO_TYPE, &mut kind)?;
    Ok(family == libc::AF_UNIX && kind == libc::SOCK_SEQPACKET)
}

/// Who made the socket at the other end. `int getsockopt(int, SOL_SOCKET, SO_PEERCRED, struct ucred *, socklen_t *)`
pub(crate) fn peer_user(socket: BorrowedFd<'_>) -> SysResult<u32> {
    let mut who = libc::ucred { pid: 0, uid: 0, gid: 0 };
    option(socket, libc::SO_PEERCRED, &mut who)?;
    Ok(who.uid)
}

/// Bytes, with the kernel's own, that may be under way. `int getsockopt(int, SOL_SOCKET, SO_SNDBUF, int *, socklen_t *)`
pub(crate) fn room(socket: BorrowedFd<'_>) -> SysResult<usize> {
    let mut bytes: libc::c_int = 0;
    option(socket, libc::SO_SNDBUF, &mut bytes)?;
    Ok(bytes as usize)
}

/// `int setsockopt(int, SOL_SOCKET, SO_SNDBUF, const int *, socklen_t)`; no more than `net.core.wmem_max`.
pub(crate) fn set_room(socket: BorrowedFd<'_>, bytes: usize) -> SysResult<()> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| Errno::EINVAL)?;
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: reads one number.
    Errno::result(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            len,
        )
    })
    .map(drop)
}

/// Sends one message of two parts, and a descriptor with it, without SIGPIPE.
/// `ssize_t sendmsg(int, const struct msghdr *, MSG_NOSIGNAL)`
pub(crate) fn send(socket: BorrowedFd<'_>, parts: [&[u8]; 2], fd: Option<BorrowedFd<'_>>) -> SysResult<()> {
    let parts = parts.map(IoSlice::new);
    let mut control = Control([0; CONTROL]);
    // SAFETY: null pointers and zeros are a message without anything.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    if let Some(fd) = fd {
        attach(&mut message, &mut control, fd.as_raw_fd());
    }
    // SAFETY: everything that `message` points to lives across the call, which only reads it.
    Errno::result(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) }).map(drop)
}

fn attach(message: &mut libc::msghdr, control: &mut Control, fd: RawFd) {
    let size = size_of::<RawFd>() as libc::c_uint;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: the control buffer is larger than the space for one descriptor, and aligned for its header.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
    }
}

/// Length of the next message, whose first bytes go to `to`; it stays. 0 is the end: no message is sent that is empty.
/// `ssize_t recv(int, void *, size_t, MSG_PEEK | MSG_TRUNC)`
pub(crate) fn peek(socket: BorrowedFd<'_>, to: &mut [u8]) -> SysResult<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC;
    // SAFETY: the kernel writes at most `to.len()` bytes to `to`.
    let len = unsafe { libc::recv(socket.as_raw_fd(), to.as_mut_ptr().cast(), to.len(), flags) };
    Errno::result(len).map(|len| len as usize)
}

/// Fails if this process can have no further descriptor. `int fcntl(int, F_DUPFD_CLOEXEC, int)`, closed at once
pub(crate) fn try_descriptor(any: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) }).map(drop)
}

/// A message: how long it was, the descriptor that came with it, and whether one was there for which there was no room.
pub(crate) type Received = (usize, Option<OwnedFd>, bool);

/// Takes the next message into two parts.
/// `ssize_t recvmsg(int, struct msghdr *, MSG_CMSG_CLOEXEC)`
pub(crate) fn receive(socket: BorrowedFd<'_>, first: &mut [u8], rest: &mut [u8]) -> SysResult<Received> {
    let mut parts = [IoSliceMut::new(first), IoSliceMut::new(rest)];
    let mut control = Control([0; CONTROL]);
    // SAFETY: null pointers and zeros are a message without anything.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = parts.as_mut_ptr().cast();
    message.msg_iovlen = parts.len() as _;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: a number made of numbers; room for exactly one descriptor: the kernel closes what else came.
    message.msg_controllen = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) } as _;
    // SAFETY: the kernel writes no more than the parts and the control buffer hold.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
    let len = Errno::result(len)? as usize;
    Ok((len, detach(&message), message.msg_flags & libc::MSG_CTRUNC != 0))
}

fn detach(message: &libc::msghdr) -> Option<OwnedFd> {
    // SAFETY: the kernel filled the control buffer, and the length of each header is checked before its data is read.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        let one = libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) as usize;
        if header.is_null()
            || (*header).cmsg_level != libc::SOL_SOCKET
            || (*header).cmsg_type != libc::SCM_RIGHTS
            || ((*header).cmsg_len as usize) < one
        {
            return None;
        }
        Some(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
    }
}

/// A descriptor that is readable while one of those [added](watch) to it is. `int epoll_create1(EPOLL_CLOEXEC)`
pub(crate) fn watcher() -> SysResult<OwnedFd> {
    // SAFETY: takes a number.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Adds one to a watcher, which it leaves when it is closed. `int epoll_ctl(int, EPOLL_CTL_ADD, int, struct epoll_event *)`
pub(crate) fn watch(watcher: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> SysResult<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: reads the event.
    Errno::result(unsafe {
        libc::epoll_ctl(watcher.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event)
    })
    .map(drop)
}
