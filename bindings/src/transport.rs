//! Transports by their words, and what both of their ends have.

use crate::errors;
use crate::exclusive::{Exclusive, Guard, Label};
use crate::payload::unsigned;
use crate::receiver::Receiver;
use crate::segment::{closing, place};
use crate::sender::Sender;
use ipcx::{Error, TransportOptions};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};

/// An end of the core, of either side.
pub(crate) trait Core: Send + Sized {
    const CLASS: &'static str;
    /// The method of `Transport` that opens one.
    const OPEN: &'static str;
    fn poll_fd(&mut self) -> ipcx::Result<BorrowedFd<'_>>;
    fn share_fd(&mut self) -> ipcx::Result<OwnedFd>;
}

macro_rules! core {
    ($($class:ident as $open:literal),*) => {$(
        impl Core for ipcx::$class {
            const CLASS: &'static str = stringify!($class);
            const OPEN: &'static str = $open;

            fn poll_fd(&mut self) -> ipcx::Result<BorrowedFd<'_>> {
                ipcx::$class::poll_fd(self)
            }

            fn share_fd(&mut self) -> ipcx::Result<OwnedFd> {
                ipcx::$class::share_fd(self)
            }
        }
    )*};
}
core!(Sender as "sender", Receiver as "receiver");

/// What an open end has.
pub(crate) struct State<C> {
    pub(crate) core: C,
    /// Where messages are put first; of a receiver.
    pub(crate) buffer: Vec<u8>,
    /// What another process is being given; open until it has that.
    shared: Option<OwnedFd>,
}

/// An end, of either side.
pub(crate) struct End<C> {
    exclusive: Exclusive<State<C>>,
    transport: ipcx::Transport,
    /// With what it was opened, if it has a name.
    options: Option<TransportOptions>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

impl<C: Core> End<C> {
    fn new(core: C, transport: ipcx::Transport, name: &str, options: Option<TransportOptions>) -> End<C> {
        let has_directory = options.is_some() && transport != ipcx::Transport::MessageQueue;
        let directory = options.as_ref().and_then(|options| options.directory.as_deref());
        let label = Label {
            role: C::CLASS,
            kind: transport.word(),
            name: name.to_owned(),
            directory: has_directory.then(|| place(directory).into_os_string()),
        };
        let exclusive = Exclusive::new(State { core, buffer: Vec::new(), shared: None }, label);
        End { exclusive, transport, options, descriptor: AtomicI32::new(-1) }
    }

    fn nameless(core: C, transport: ipcx::Transport) -> End<C> {
        End::new(core, transport, "anonymous", None)
    }

    fn from_fd(
        py: Python<'_>,
        transport: &str,
        fd: i32,
        make: impl FnOnce(ipcx::Transport, OwnedFd) -> ipcx::Result<C>,
    ) -> PyResult<End<C>> {
        let transport = word(py, transport)?;
        // SAFETY: a number; the call says if it is no descriptor.
        let own = match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) } {
            -1 => return Err(std::io::Error::last_os_error().into()),
            // SAFETY: new, and nobody else's.
            own => unsafe { OwnedFd::from_raw_fd(own) },
        };
        let core = make(transport, own).map_err(|error| errors::raise(py, &error, "anonymous"))?;
        // SAFETY: the caller gives it away.
        unsafe { libc::close(fd) };
        Ok(End::nameless(core, transport))
    }

    pub(crate) fn exclusive(&self) -> &Exclusive<State<C>> {
        &self.exclusive
    }

    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, State<C>>> {
        self.exclusive.lock(py)
    }

    pub(crate) fn transport(&self) -> &'static str {
        self.transport.word()
    }

    pub(crate) fn name(&self) -> &str {
        self.exclusive.segment()
    }

    #[cold]
    pub(crate) fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        if matches!(error, Error::Forked) {
            let what = self.exclusive.describe_open();
            return errors::forked(
                py,
                &match self.options {
                    Some(_) => {
                        format!("{what} belongs to the parent process; open it by its name in the child")
                    }
                    None => {
                        format!("{what} was used by the parent process; hand over one that was not used yet")
                    }
                },
            );
        }
        errors::raise(py, error, self.name())
    }

    pub(crate) fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// What `fileno` gave may be closed by now, or soon: event loops let go of it.
    pub(crate) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        closing(py, &self.descriptor)
    }

    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.exclusive.is_closed(py)
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.exclusive.take(py, |_| Ok(()))?;
        let told = self.let_go(py);
        py.detach(|| drop(state));
        told
    }

    fn share(&self, py: Python<'_>) -> PyResult<OwnedFd> {
        self.lock(py)?.core.share_fd().map_err(|error| self.raise(py, &error))
    }

    pub(crate) fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.share(py).map(IntoRawFd::into_raw_fd)
    }

    pub(crate) fn give_fd(&self, py: Python<'_>) -> PyResult<i32> {
        let fd = self.share(py)?;
        self.close(py)?; // If that raises, nobody else has the descriptor.
        Ok(fd.into_raw_fd())
    }

    pub(crate) fn describe(&self, py: Python<'_>) -> String {
        let state = if self.is_closed(py) { "closed" } else { "open" };
        format!("<ipcx.{} of {} '{}', {state}>", C::CLASS, self.transport, self.name())
    }

    /// What `__reduce__` returns: of an end with a name, by what it is opened; otherwise a descriptor that travels along.
    pub(crate) fn reduce<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let module = py.import(pyo3::intern!(py, "ipcx._pickle"))?;
        if let Some(options) = &self.options {
            let options = self.keywords(py, options)?;
            return module.call_method1("reduce_named", (C::OPEN, self.transport(), self.name(), options));
        }
        let mut state = self.lock(py)?;
        let shared = state.core.share_fd().map_err(|error| self.raise(py, &error))?;
        let fd = state.shared.insert(shared).as_raw_fd();
        module.call_method1("reduce_nameless", (C::OPEN, self.transport(), fd))
    }

    fn keywords<'py>(&self, py: Python<'py>, options: &TransportOptions) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        keywords.set_item("capacity", options.capacity)?;
        keywords.set_item("message_size", options.message_size)?;
        keywords.set_item("messages", options.messages)?;
        keywords.set_item("mode", options.mode)?;
        keywords.set_item("directory", self.exclusive.directory())?;
        Ok(keywords)
    }
}

fn word(py: Python<'_>, word: &str) -> PyResult<ipcx::Transport> {
    word.parse().map_err(|error| errors::raise(py, &error, ""))
}

/// What carries messages from a Sender to a Receiver, chosen by a word;
/// Transport.WORDS has all of them.
///
///     # For threads and child processes:
///     tx, rx = ipcx.Transport.pair("pipe")
///     # By a name, each end in its own process, in either order:
///     tx = ipcx.Transport.sender("fifo", "jobs")
///     rx = ipcx.Transport.receiver("fifo", "jobs")
///
/// | word   | through        | longest       | kept until        | told   |
/// |--------|----------------|---------------|-------------------|--------|
/// | pipe   | a pipe         | 4 GiB         | both ends close   | both   |
/// | fifo   | a FIFO         | 4 GiB         | receiver closes   | both   |
/// | mqueue | a POSIX queue  | 8 KiB         | it is unlinked    | nobody |
/// | unix   | a Unix socket  | about 200 KiB | receiver closes   | both   |
/// | ring   | an ipcx.Ring   | capacity - 16 | it is unlinked    | both   |
/// | buffer | an ipcx.Buffer | its capacity  | it is unlinked    | nobody |
///
/// The last column says who is told that the other end went (of a ring, a
/// sender once it is full). A pipe has no name; that of a FIFO or socket is
/// a file in the directory. In a buffer, a message replaces the one before.
///
/// Both ends give the same word: an end with another word is another
/// name's, and hears nothing.
///
/// The options, all optional: capacity, bytes under way at most (of a pipe,
/// FIFO or socket asked for from the kernel, which rounds it up and has
/// limits; a message queue has messages instead); message_size, bytes of
/// the longest message that must be possible; messages, how many a queue
/// holds; directory of the name, by default $IPCX_DIR, else /dev/shm; mode,
/// permission bits of what is made, by default 0o600. 0 is the default of
/// each.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Transport;

#[pymethods]
impl Transport {
    /// All words.
    #[classattr]
    #[allow(non_snake_case, reason = "a constant in Python")]
    fn WORDS(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ipcx::Transport::ALL.map(ipcx::Transport::word))
    }

    /// Both ends, without a name: (sender, receiver). For threads, or to
    /// hand one of them to another process: as an argument of a
    /// multiprocessing.Process, or with share_fd.
    ///
    /// Does not wait. Invalid for 'fifo', which is a name, and for an
    /// unknown word; NoSpace if the system's limits are reached.
    #[staticmethod]
    #[pyo3(signature = (transport, *, capacity=0, message_size=0, messages=0))]
    fn pair(
        py: Python<'_>,
        transport: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        #[pyo3(from_py_with = unsigned)] message_size: usize,
        #[pyo3(from_py_with = unsigned)] messages: usize,
    ) -> PyResult<(Sender, Receiver)> {
        let transport = word(py, transport)?;
        let options = TransportOptions { capacity, message_size, messages, ..Default::default() };
        let pair = py.detach(|| transport.pair(&options));
        let (sender, receiver) = pair.map_err(|error| errors::raise(py, &error, "anonymous"))?;
        Ok((Sender::new(End::nameless(sender, transport)), Receiver::new(End::nameless(receiver, transport))))
    }

    /// The sending end under a name. Either end may be opened first; this
    /// does not wait for the other.
    ///
    /// What a ring, buffer or queue is sent before there is a receiver
    /// waits for it there. A FIFO and a socket are the receiver's: until
    /// there is one, sending waits, or is WouldBlock.
    ///
    /// Busy if a living process is the sender (not of a queue or buffer),
    /// Mismatch if something else has the name or it has other options,
    /// PermissionDenied; NotFound if the directory is missing, NoSpace,
    /// Invalid for 'pipe', an unknown word or a bad name.
    #[staticmethod]
    #[pyo3(signature = (transport, name, *, capacity=0, message_size=0, messages=0, directory=None, mode=0))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn sender(
        py: Python<'_>,
        transport: &str,
        name: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        #[pyo3(from_py_with = unsigned)] message_size: usize,
        #[pyo3(from_py_with = unsigned)] messages: usize,
        directory: Option<PathBuf>,
        #[pyo3(from_py_with = unsigned)] mode: u32,
    ) -> PyResult<Sender> {
        let transport = word(py, transport)?;
        let options = TransportOptions { capacity, message_size, messages, directory, mode };
        let core = py.detach(|| transport.sender(name, &options));
        let core = core.map_err(|error| errors::raise(py, &error, name))?;
        Ok(Sender::new(End::new(core, transport, name, Some(options))))
    }

    /// The receiving end under a name. Either end may be opened first;
    /// this does not wait for the other.
    ///
    /// Errors are those of Transport.sender.
    #[staticmethod]
    #[pyo3(signature = (transport, name, *, capacity=0, message_size=0, messages=0, directory=None, mode=0))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn receiver(
        py: Python<'_>,
        transport: &str,
        name: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        #[pyo3(from_py_with = unsigned)] message_size: usize,
        #[pyo3(from_py_with = unsigned)] messages: usize,
        directory: Option<PathBuf>,
        #[pyo3(from_py_with = unsigned)] mode: u32,
    ) -> PyResult<Receiver> {
        let transport = word(py, transport)?;
        let options = TransportOptions { capacity, message_size, messages, directory, mode };
        let core = py.detach(|| transport.receiver(name, &options));
        let core = core.map_err(|error| errors::raise(py, &error, name))?;
        Ok(Receiver::new(End::new(core, transport, name, Some(options))))
    }

    /// The sending end behind a descriptor that share_fd or into_fd gave,
    /// in this process or another. The end has the descriptor from now on,
    /// and closes it; after an error, it stays yours.
    #[staticmethod]
    fn sender_from_fd(py: Python<'_>, transport: &str, fd: i32) -> PyResult<Sender> {
        End::from_fd(py, transport, fd, ipcx::Transport::sender_from_fd).map(Sender::new)
    }

    /// The receiving end behind a descriptor that share_fd or into_fd
    /// gave, in this process or another. The end has the descriptor from
    /// now on, and closes it; after an error, it stays yours.
    #[staticmethod]
    fn receiver_from_fd(py: Python<'_>, transport: &str, fd: i32) -> PyResult<Receiver> {
        End::from_fd(py, transport, fd, ipcx::Transport::receiver_from_fd).map(Receiver::new)
    }

    /// Remove a name. Who has an end open keeps it; what nobody has open
    /// any more is gone, with what was under way.
    ///
    /// NotFound if there is none, Mismatch if something else has the name,
    /// PermissionDenied, Invalid.
    #[staticmethod]
    #[pyo3(signature = (transport, name, directory=None))]
    fn unlink(py: Python<'_>, transport: &str, name: &str, directory: Option<PathBuf>) -> PyResult<()> {
        let options = TransportOptions { directory, ..Default::default() };
        let unlinked = word(py, transport)?.unlink(name, &options);
        unlinked.map_err(|error| errors::raise(py, &error, name))
    }
}
