//! Transports: messages from one sender to one receiver, through a mechanism of the kernel's or of ipcx's, which is one word.
//!
//! | file | what is in it |
//! |---|---|
//! | `sender`, `receiver` | the public ends |
//! | `frame` | messages in a stream of bytes: what is remembered of one begun and not finished |
//! | `stream` | the ends of a pipe or FIFO |
//! | `place` | names: FIFOs and sockets in a directory, and who has their roles |
//! | `fifo`, `unix` with `listen`, `mqueue`, `shm` | the mechanisms |
//! | `file` | files into transports |
//! | `child` | pipes to a child process |
//! | `nap` | waiting for a descriptor |
//! | `waitable` | waiting for ends among other things |

mod child;
mod fifo;
mod file;
mod frame;
mod listen;
mod mqueue;
mod nap;
mod place;
mod receiver;
mod sender;
mod shm;
mod stream;
mod unix;
mod waitable;

pub use self::{child::ChildPipes, receiver::Receiver, sender::Sender};

use self::receiver::Receiving;
use self::sender::Sending;
use crate::error::{Error, Result};
use crate::sys::file::Facts;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;

/// What carries messages from a [`Sender`] to a [`Receiver`]. Each has a word, so that a program's option can choose it.
///
/// | word | through | largest message | holds what was sent when | told when the other end went |
/// |---|---|---|---|---|
/// | `pipe` | a pipe; no name | 4 GiB | an end is open | yes |
/// | `fifo` | a FIFO in the directory | 4 GiB | the receiver has it open | yes |
/// | `mqueue` | a POSIX message queue | 8 KiB, as the host allows | it is not unlinked | no |
/// | `unix` | a Unix socket in the directory | about 200 KiB, as the host allows | the receiver has it open | yes |
/// | `ring` | a [`Ring`](crate::Ring) | its capacity less 16 | it is not unlinked | a receiver; a sender once it is full |
/// | `buffer` | a [`Buffer`](crate::Buffer): a message replaces the one before, read or not | its capacity | it is not unlinked | no |
///
/// Both ends give the same word: an end with another word is another name's, and hears nothing (ring and buffer, which share their
/// names, say `Mismatch`).
///
/// All keep messages apart and in order (a queue: those of one priority), also empty ones. All wait in slices, with a deadline on
/// the monotonic clock, and never for ever behind an end that closed or died, where they are told.
///
/// Whoever dies, no message arrives torn, twice or out of order. A sender that dies loses at most the message in whose call it died.
/// So does a receiver of a ring or message queue (one that did not fit into a buffer is the receiver's from then on, and goes with
/// it); with a receiver of a FIFO or socket, what was under way is lost. The newest value of a buffer comes again to a new receiver.
///
/// What is found under a name is used only if it is of the kind, and belongs to this user, to root, or is shared (0660) with a group
/// that this process is in. Who may write there can send anything: a call then gives data or an error, and room is for the caller to
/// bound. (`TooBig` says what the sender says: up to 4 GiB through a pipe or FIFO.)
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// let transport: ipcx::Transport = "pipe".parse()?;
/// let (mut tx, mut rx) = transport.pair(&Default::default())?;
/// tx.send(b"hello")?;
/// let mut buffer = [0; 64];
/// let len = rx.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// An anonymous pipe.
    Pipe,
    /// A pipe with a name.
    Fifo,
    /// A POSIX message queue.
    MessageQueue,
    /// A Unix socket that keeps messages apart (`SOCK_SEQPACKET`).
    Unix,
    /// A [`Ring`](crate::Ring).
    Ring,
    /// A [`Buffer`](crate::Buffer): the newest message only.
    Buffer,
}

/// Options of a transport. Start from the defaults: `TransportOptions { capacity: 1 << 16, ..Default::default() }`.
///
/// ```
/// use ipcx::{Transport, TransportOptions};
/// let options = TransportOptions { capacity: 1 << 16, ..Default::default() };
/// let (mut tx, mut rx) = Transport::Ring.pair(&options)?;
/// assert_eq!(tx.max_len()?, (1 << 16) - 16);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportOptions {
    /// Bytes under way at most; 0 means the mechanism's own default. Of a pipe, FIFO or socket it is asked for from the kernel,
    /// which rounds it up and has limits; a message queue has `messages` instead.
    pub capacity: u64,
    /// Bytes of the longest message that must be possible. A queue or buffer that is made takes no longer ones, and one that exists
    /// must have the same; 0 means that of one that exists, or else the default (the host's, 8 KiB as a rule; 4 KiB).
    pub message_size: usize,
    /// How many messages a queue holds; 0 means that of one that exists, or else the host's default, 10 as a rule.
    pub messages: usize,
    /// Directory of the name; `None` means `$IPCX_DIR`, else `/dev/shm`. Message queues have no directory.
    pub directory: Option<PathBuf>,
    /// Permission bits of what is made, not subject to the umask; 0 means 0600.
    pub mode: u32,
}

impl TransportOptions {
    fn mode(&self) -> u32 {
        if self.mode == 0 {
            0o600
        } else {
            self.mode
        }
    }
}

impl Transport {
    /// All of them.
    ///
    /// ```
    /// let words: Vec<_> = ipcx::Transport::ALL.map(ipcx::Transport::word).into();
    /// assert_eq!(words, ["pipe", "fifo", "mqueue", "unix", "ring", "buffer"]);
    /// ```
    pub const ALL: [Transport; 6] = [
        Transport::Pipe,
        Transport::Fifo,
        Transport::MessageQueue,
        Transport::Unix,
        Transport::Ring,
        Transport::Buffer,
    ];

    /// Its word.
    ///
    /// ```
    /// use ipcx::Transport;
    /// assert_eq!(Transport::MessageQueue.word(), "mqueue");
    /// assert_eq!("mqueue".parse::<Transport>()?, Transport::MessageQueue);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub const fn word(self) -> &'static str {
        match self {
            Transport::Pipe => "pipe",
            Transport::Fifo => "fifo",
            Transport::MessageQueue => "mqueue",
            Transport::Unix => "unix",
            Transport::Ring => "ring",
            Transport::Buffer => "buffer",
        }
    }

    /// Both ends, without a name; for threads, for a child made by `fork` (each process drops the end that it does not use), or
    /// to be handed to another process with [`Sender::into_fd`] or [`Receiver::into_fd`].
    ///
    /// An end of a ring takes its role at the first call that uses it, in whichever process that is. The peer of one that was
    /// never used learns that it went only if no other process may have it: it was not shared, and this process has not forked
    /// since. A process that is killed inside this call leaves a message queue of the name `ipcx.new.` and 16 digits.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Unix.pair(&Default::default())?;
    /// tx.send(b"hello")?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a FIFO, which is a name (use `pipe`), and for options out of range; `NoSpace`; `Os`.
    pub fn pair(self, options: &TransportOptions) -> Result<(Sender, Receiver)> {
        let (sending, receiving) = match self {
            Transport::Pipe => stream::pair(options)?,
            Transport::Fifo => {
                return Err(Error::invalid("a FIFO without a name is a pipe: use `pipe`, or give it a name"))
            }
            Transport::MessageQueue => mqueue::pair(options)?,
            Transport::Unix => unix::pair(options)?,
            Transport::Ring => shm::ring_pair(options)?,
            Transport::Buffer => shm::buffer_pair(options)?,
        };
        Ok((Sender::of(self, sending), Receiver::of(self, receiving)))
    }

    /// The sending end under a name. Either end may be opened first; this does not wait for the other.
    ///
    /// What a ring, buffer or queue is sent before there is a receiver waits for it there. A FIFO and a socket are the
    /// receiver's: until there is one, sending waits, or says `WouldBlock`; and again after one that went (which is first told
    /// by `Closed`).
    ///
    /// ```
    /// use ipcx::Transport;
    /// # let name = format!("doc-transport-sender-{}", std::process::id());
    /// let mut tx = Transport::Ring.sender(&name, &Default::default())?;
    /// tx.send(b"hello")?; // waits there for a receiver
    /// let mut rx = Transport::Ring.receiver(&name, &Default::default())?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// Transport::Ring.unlink(&name, &Default::default())?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `RoleTaken` if a living process has it (not of a queue or buffer, which any number may send to), `Mismatch` if something
    /// else has the name or it has other options, `Permission`, `Invalid` for a pipe, which has no name, or a bad name;
    /// `NotFound` if the directory is missing, `NoSpace`, `Os`.
    pub fn sender(self, name: &str, options: &TransportOptions) -> Result<Sender> {
        let sending = match self {
            Transport::Pipe => return Err(nameless()),
            Transport::Fifo => Sending::Stream(fifo::sender(name, options)?),
            Transport::MessageQueue => Sending::Queue(mqueue::named(name, options)?),
            Transport::Unix => Sending::Socket(unix::sender(name, options)?),
            Transport::Ring => Sending::Ring(shm::ring_sender(name, options)?),
            Transport::Buffer => Sending::Buffer(shm::buffer(name, options)?),
        };
        Ok(Sender::of(self, sending))
    }

    /// The receiving end under a name. Either end may be opened first; this does not wait for the other. A FIFO or socket that a
    /// receiver left that closed or died is made anew.
    ///
    /// ```
    /// use ipcx::Transport;
    /// # let name = format!("doc-transport-receiver-{}", std::process::id());
    /// let mut rx = Transport::Unix.receiver(&name, &Default::default())?;
    /// let mut tx = Transport::Unix.sender(&name, &Default::default())?;
    /// tx.send(b"hello")?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// Transport::Unix.unlink(&name, &Default::default())?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Transport::sender`].
    pub fn receiver(self, name: &str, options: &TransportOptions) -> Result<Receiver> {
        let receiving = match self {
            Transport::Pipe => return Err(nameless()),
            Transport::Fifo => Receiving::Stream(fifo::receiver(name, options)?),
            Transport::MessageQueue => Receiving::Queue(mqueue::named(name, options)?),
            Transport::Unix => Receiving::Socket(listen::receiver(name, options)?),
            Transport::Ring => Receiving::Ring(shm::ring_receiver(name, options)?),
            Transport::Buffer => Receiving::Buffer(shm::buffer(name, options)?),
        };
        Ok(Receiver::of(self, receiving))
    }

    /// The sending end behind a descriptor that [`Sender::into_fd`] gave, in this process or another. Of a pipe, socket or queue, calls
    /// on it do not wait from now on (`O_NONBLOCK`), nor do those of others who share its open file description.
    ///
    /// ```
    /// use ipcx::Transport;
    /// let (tx, mut rx) = Transport::Pipe.pair(&Default::default())?;
    /// let fd = tx.into_fd()?; // for another process
    /// Transport::Pipe.sender_from_fd(fd)?.send(b"hello")?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a FIFO, which is opened by its name, and a descriptor of something else (of a ring or buffer: from the first call
    /// that uses it); those of opening.
    pub fn sender_from_fd(self, fd: OwnedFd) -> Result<Sender> {
        let sending = match self {
            Transport::Pipe => Sending::Stream(stream::Writer::from_fd(fd)?),
            Transport::Fifo => return Err(by_name()),
            Transport::MessageQueue => Sending::Queue(mqueue::Queue::from_fd(fd)?),
            Transport::Unix => Sending::Socket(unix::Connected::from_fd(fd)?.into()),
            Transport::Ring => Sending::Ring(shm::RingSender::from_fd(fd)),
            Transport::Buffer => Sending::Buffer(shm::Value::from_fd(fd)),
        };
        Ok(Sender::of(self, sending))
    }

    /// The receiving end behind a descriptor that [`Receiver::into_fd`] gave, in this process or another.
    ///
    /// ```
    /// use ipcx::Transport;
    /// let (mut tx, rx) = Transport::Pipe.pair(&Default::default())?;
    /// tx.send(b"hello")?;
    /// let fd = rx.into_fd()?; // for another process
    /// assert_eq!(Transport::Pipe.receiver_from_fd(fd)?.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Transport::sender_from_fd`].
    pub fn receiver_from_fd(self, fd: OwnedFd) -> Result<Receiver> {
        let receiving = match self {
            Transport::Pipe => Receiving::Stream(stream::Reader::from_fd(fd)?),
            Transport::Fifo => return Err(by_name()),
            Transport::MessageQueue => Receiving::Queue(mqueue::Queue::from_fd(fd)?),
            Transport::Unix => Receiving::Socket(unix::Connected::from_fd(fd)?.into()),
            Transport::Ring => Receiving::Ring(shm::RingReceiver::from_fd(fd)),
            Transport::Buffer => Receiving::Buffer(shm::Value::from_fd(fd)),
        };
        Ok(Receiver::of(self, receiving))
    }

    /// Removes the name. Who has an end open keeps it; what nobody has open any more is gone, with what was under way.
    ///
    /// ```
    /// use ipcx::Transport;
    /// # let name = format!("doc-transport-unlink-{}", std::process::id());
    /// let rx = Transport::Fifo.receiver(&name, &Default::default())?;
    /// Transport::Fifo.unlink(&name, &Default::default())?;
    /// assert!(Transport::Fifo.unlink(&name, &Default::default()).is_err(), "it is gone");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if something else has the name, `Permission`, `Invalid`.
    pub fn unlink(self, name: &str, options: &TransportOptions) -> Result<()> {
        match self {
            Transport::Pipe => Err(nameless()),
            Transport::Fifo => place::unlink(name, options, &fifo::FIFO),
            Transport::MessageQueue => mqueue::unlink(name),
            Transport::Unix => place::unlink(name, options, &unix::SOCKET),
            Transport::Ring | Transport::Buffer => crate::unlink_in(options.directory.as_deref(), name),
        }
    }
}

fn nameless() -> Error {
    Error::invalid("a pipe has no name: use `pair`, or `fifo`")
}

fn by_name() -> Error {
    Error::invalid("a FIFO is opened by its name")
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Transport {
    type Err = Error;

    fn from_str(word: &str) -> Result<Transport> {
        Transport::ALL.into_iter().find(|transport| transport.word() == word).ok_or_else(|| {
            let words = Transport::ALL.map(Transport::word).join(", ");
            Error::invalid(format!("{word:?} is no transport: there are {words}"))
        })
    }
}

/// True for a file that a FIFO or socket has in a directory, by what it is and what its name is behind `ipcx.`: it is no
/// segment.
pub(crate) fn has_file(name: &str, facts: &Facts) -> bool {
    place::is_one_of(&[fifo::FIFO, unix::SOCKET], name, facts)
}
