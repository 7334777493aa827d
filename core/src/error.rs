//! What can go wrong, in one enum.

use crate::sys::{said_of, Errno};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Result of an ipcx call.
///
/// ```
/// fn greet(tx: &mut ipcx::Producer) -> ipcx::Result<()> {
///     tx.send(b"hello")
/// }
/// greet(&mut ipcx::Ring::anonymous(&Default::default())?.producer()?)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// Where something happened and what to do about it. Its text is for people; decide by the [`Error`] variant.
///
/// Cloning and dropping it never allocate or free on the paths that are async-signal-safe.
///
/// ```
/// let error = ipcx::Ring::attach("doc-no-such-ring").unwrap_err();
/// let ipcx::Error::NotFound(context) = &error else { panic!("{error}") };
/// assert_eq!(context.segment(), "doc-no-such-ring");
/// assert!(error.to_string().contains(context.detail()));
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    segment: Arc<str>,
    detail: Detail,
}

/// A text, and of a client's request that ended whether a server had taken it. So laid out that an error is no larger for it.
#[derive(Clone, Debug)]
enum Detail {
    Static(Option<bool>, &'static str),
    Made(Option<bool>, Box<str>),
}

impl Detail {
    fn of(detail: impl Into<Cow<'static, str>>, taken: Option<bool>) -> Detail {
        match detail.into() {
            Cow::Borrowed(text) => Detail::Static(taken, text),
            Cow::Owned(text) => Detail::Made(taken, text.into()),
        }
    }

    fn text(&self) -> &str {
        match self {
            Detail::Static(_, text) => text,
            Detail::Made(_, text) => text,
        }
    }

    fn taken(&self) -> Option<bool> {
        let (Detail::Static(taken, _) | Detail::Made(taken, _)) = self;
        *taken
    }

    fn set_taken(&mut self, now: bool) {
        let (Detail::Static(taken, _) | Detail::Made(taken, _)) = self;
        *taken = Some(now);
    }
}

const _: () = assert!(size_of::<Detail>() == size_of::<Cow<'static, str>>());

impl Context {
    pub(crate) fn new(segment: &Arc<str>, detail: impl Into<Cow<'static, str>>) -> Context {
        Context { segment: Arc::clone(segment), detail: Detail::of(detail, None) }
    }

    /// The same place, something else.
    pub(crate) fn of(context: Context, detail: impl Into<Cow<'static, str>>) -> Context {
        Context { detail: Detail::of(detail, None), ..context }
    }

    /// The same of a request of a client that ended, and that a server had taken, or not.
    pub(crate) fn of_request(mut self, taken: bool) -> Context {
        self.detail.set_taken(taken);
        self
    }

    /// The segment's name, or `anonymous`.
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// What happened and what to do.
    pub fn detail(&self) -> &str {
        self.detail.text()
    }

    /// What stands before it, if it says anything.
    fn colon(&self) -> &'static str {
        match self.detail().is_empty() && &*self.segment == ANONYMOUS {
            true => "",
            false => ": ",
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.segment {
            ANONYMOUS => f.write_str(self.detail()),
            segment if self.detail().is_empty() => write!(f, "segment '{segment}'"),
            segment => write!(f, "{} (segment '{segment}')", self.detail()),
        }
    }
}

/// The name of what has none.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Every error of ipcx.
///
/// ```
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// match ring.consumer()?.try_recv(&mut [0; 64]) {
///     Ok(len) => println!("{len} bytes"),
///     Err(ipcx::Error::WouldBlock(_)) => {} // nothing there yet
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to receive or acquire, no room to send, or locked: says which of it. And the call does not wait.
    #[error("would block: {0}")]
    WouldBlock(&'static str),
    /// The deadline passed. Nothing happened. Says what the call waited for, and whom, as of a look when its time was over.
    #[error("timed out: {0}")]
    TimedOut(Context),
    /// A signal arrived while the call slept. Nothing happened; call again to go on.
    #[error("interrupted by a signal; call again to go on")]
    Interrupted,
    /// The peer closed in good order and nothing is left.
    #[error("closed: {0}")]
    Closed(Context),
    /// The peer died and nothing is left. Ends when a successor attaches.
    #[error("peer dead: {0}")]
    PeerDead(Context),
    /// The name is in use.
    #[error("exists: {0}")]
    Exists(Context),
    /// No segment has this name.
    #[error("not found: {0}")]
    NotFound(Context),
    /// A living process holds the role.
    #[error("role taken: {0}")]
    RoleTaken(Context),
    /// The segment is of another kind, or has other options or another schema.
    #[error("mismatch: {0}")]
    Mismatch(Context),
    /// The segment has the layout of another version of ipcx.
    #[error("version: {0}")]
    Version(Context),
    /// Shared state is not what ipcx wrote.
    #[error("corrupt: {0}")]
    Corrupt(Context),
    /// The message cannot fit, or the buffer given is too small for it. Nothing is lost.
    #[error("too big: {needed} bytes do not fit into {available}")]
    TooBig {
        /// Bytes of the message.
        needed: usize,
        /// Bytes that the buffer has, or that the largest message may have.
        available: usize,
    },
    /// The file system, or the segment, lacks room.
    #[error("no space: {0}")]
    NoSpace(Context),
    /// Access denied, or a segment owned by somebody who is not trusted.
    #[error("permission: {0}")]
    Permission(Context),
    /// The handle was inherited over fork.
    #[error("forked: this handle belongs to the parent process; attach again in the child")]
    Forked,
    /// A bad argument.
    #[error("invalid: {0}")]
    Invalid(Cow<'static, str>),
    /// The server answered with an error, whose text this is.
    #[error("refused by the server: {0}")]
    Remote(Context),
    /// Anything else from the system.
    #[error("{call} failed: {} (errno {errno}){}{context}", said_of(*errno), context.colon())]
    Os {
        /// The kernel's error number.
        errno: i32,
        /// The system call.
        call: &'static str,
        /// On which segment, and what to do. In a box, because every result has room for the largest error.
        context: Box<Context>,
    },
}

impl Error {
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Error {
        Error::Invalid(detail.into())
    }

    /// Of a wait that is on no segment. For bindings to other languages too.
    #[doc(hidden)]
    pub fn timed_out(detail: &'static str) -> Error {
        Error::TimedOut(Context::new(&Arc::from(ANONYMOUS), detail))
    }

    /// Of a try after which there is no time left for another: the call has waited, and timed out. For bindings too.
    #[doc(hidden)]
    pub fn at_deadline(self) -> Error {
        match self {
            Error::WouldBlock(what) => Error::timed_out(what),
            other => other,
        }
    }

    /// Of an error with which a request of a service's [`Client`](crate::Client) ended: true if a server had taken the request, which
    /// may have been carried out, in part or in full; false if none had, and it was not carried out and will not be. `None` of any
    /// other error.
    ///
    /// So whoever asks again where this is `false` does nothing twice. It is told by `PeerDead`, `Closed` and `Remote`, and by
    /// `TimedOut` of a call.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// drop(server);
    /// assert_eq!(client.recv().unwrap_err().taken(), Some(false)); // ask again: nothing is done twice
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn taken(&self) -> Option<bool> {
        match self {
            Error::TimedOut(context)
            | Error::Closed(context)
            | Error::PeerDead(context)
            | Error::Remote(context) => context.detail.taken(),
            _ => None,
        }
    }

    /// The error number that an equivalent system call would give, for interfaces that speak `errno`.
    ///
    /// ```
    /// assert_eq!(ipcx::Error::Interrupted.errno(), libc::EINTR);
    /// let error: std::io::Error = ipcx::Error::Interrupted.into();
    /// assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
    /// ```
    pub fn errno(&self) -> i32 {
        match self {
            Error::WouldBlock(_) => libc::EAGAIN,
            Error::TimedOut(_) => libc::ETIMEDOUT,
            Error::Interrupted => libc::EINTR,
            Error::Closed(_) => libc::EPIPE,
            Error::PeerDead(_) => libc::ECONNRESET,
            Error::Exists(_) => libc::EEXIST,
            Error::NotFound(_) => libc::ENOENT,
            Error::RoleTaken(_) => libc::EBUSY,
            Error::Mismatch(_) | Error::Invalid(_) => libc::EINVAL,
            Error::Version(_) => libc::EPROTONOSUPPORT,
            Error::Corrupt(_) => libc::EBADMSG,
            Error::TooBig { .. } => libc::EMSGSIZE,
            Error::NoSpace(_) => libc::ENOSPC,
            Error::Permission(_) => libc::EACCES,
            Error::Forked => libc::ECHILD,
            Error::Remote(_) => libc::EREMOTEIO,
            Error::Os { errno, .. } => *errno,
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::new(std::io::Error::from_raw_os_error(error.errno()).kind(), error)
    }
}

/// Gives a failed system call its meaning where it is the same for every segment.
pub(crate) fn from_errno(segment: &Arc<str>, call: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS => Error::Permission(Context::new(
            segment,
            format!(
                "{call} was refused ({}); check the owner and mode of the segment and its directory",
                said_of(errno as i32)
            ),
        )),
        Errno::EEXIST => {
            Error::Exists(Context::new(segment, "the name is in use; attach to it, or unlink it first"))
        }
        Errno::EINTR => Error::Interrupted,
        Errno::EMFILE | Errno::ENFILE => Error::Os {
            errno: errno as i32,
            call,
            context: Box::new(Context::new(segment, "too many open files; close some or raise `ulimit -n`")),
        },
        _ => Error::Os { errno: errno as i32, call, context: Box::new(Context::new(segment, "")) },
    }
}
