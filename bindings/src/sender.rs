//! The sending end of a transport.

use crate::errors;
use crate::exclusive::Guard;
use crate::payload::{unsigned, unsigned_or_none, Payload, LARGE};
use crate::producer::descriptor;
use crate::segment::aio;
use crate::transport::{End, State};
use crate::wait::{attempts, deadline, Ended};
use ipcx::{Deadline, Error};
use pyo3::prelude::*;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// The sending end of a transport; Transport.pair and Transport.sender make
/// one. It belongs to one thread, and one task, at a time.
///
/// Closing it tells the receiver, which gets Closed when it has received
/// everything; a message queue and a buffer do not tell.
///
/// An end without a name is an argument of a multiprocessing.Process under
/// every start method, as multiprocessing.Pipe's are; close it here when
/// the process was started, and in a forked child close the other end that
/// it inherited. One of a ring is handed over before it is used. An end
/// with a name is the process's that opened it, and Forked in a forked
/// child; pickled, it is opened again by whoever unpickles it, which is
/// Busy until this one is closed (before or after it was pickled), but of a
/// queue or buffer.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Sender {
    end: End<ipcx::Sender>,
    /// A task is sending: nothing else goes in between.
    held: AtomicBool,
}

impl Sender {
    pub(crate) fn new(end: End<ipcx::Sender>) -> Sender {
        Sender { end, held: AtomicBool::new(false) }
    }

    /// The state, if no task is sending.
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, State<ipcx::Sender>>> {
        // Relaxed: under the interpreter's lock.
        if self.held.load(Ordering::Relaxed) {
            return Err(errors::in_task(py, &self.end.exclusive().describe_open()));
        }
        self.end.lock(py)
    }

    /// The receiver of a FIFO or socket went, and its descriptor with it.
    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        if matches!(error, Error::Closed(_)) {
            if let Err(error) = self.end.let_go(py) {
                return error;
            }
        }
        self.end.raise(py, error)
    }

    /// Repeats `send` until it succeeds or `deadline` passed. The end is in use meanwhile, also for signal handlers: what they sent
    /// could not be told from the rest of a message that was begun.
    fn until<T: Send>(
        &self,
        py: Python<'_>,
        mut state: Guard<'_, State<ipcx::Sender>>,
        deadline: Deadline,
        mut send: impl FnMut(&mut ipcx::Sender, Deadline) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let core = &mut state.core;
        let sent = attempts(py, deadline, |until| send(core, until));
        sent.map_err(|ended| match ended {
            Ended::Core(error) => self.raise(py, &error),
            Ended::Python(error) => error,
        })
    }

    fn send_from(
        &self,
        py: Python<'_>,
        mut state: Guard<'_, State<ipcx::Sender>>,
        data: Payload<'_>,
        priority: u32,
        deadline: Deadline,
    ) -> PyResult<()> {
        if data.place().len < LARGE {
            match state.core.send_with_priority_until(data.as_ref(), priority, Deadline::NOW) {
                Ok(()) => return Ok(()),
                Err(Error::WouldBlock(_)) if !deadline.is_now() => {}
                Err(error) => return Err(self.raise(py, &error)),
            }
        }
        let data = data.constant(py)?;
        let data = data.as_bytes();
        self.until(py, state, deadline, |core, until| core.send_with_priority_until(data, priority, until))
    }
}

#[pymethods]
impl Sender {
    /// Send a copy of data as one message, waiting for room, and of a FIFO
    /// or socket for a receiver.
    ///
    /// Only a message queue has priorities, 0 to 32767; higher ones are
    /// received first. Closed (of a ring PeerDead too) if the receiver
    /// went, TooBig if the message cannot fit, Invalid for a priority out
    /// of range.
    ///
    /// Of a message of more than 4092 bytes through a pipe or FIFO, a part
    /// may be on its way when the call ends with WouldBlock, Timeout or an
    /// exception of a signal handler. Sending the same bytes again goes on
    /// with it; sending others finishes it first.
    #[pyo3(signature = (data, timeout=None, priority=0))]
    fn send(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = unsigned)] priority: u32,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(data)?;
        self.send_from(py, self.lock(py)?, data, priority, deadline)
    }

    /// Send a copy of data as one message, from a coroutine: `await
    /// tx.asend(data)`. One task at a time: what else is sent meanwhile is
    /// Busy.
    ///
    /// Cancelling it sends nothing, unless a part of a long message is on
    /// its way: see send.
    #[pyo3(signature = (data, priority=0))]
    fn asend<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = unsigned)] priority: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = Payload::of(data)?.constant(slf.py())?;
        aio(slf.py())?.call_method1("send", (slf, data, priority))
    }

    /// What a task does, which has the end to itself.
    fn _try_send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, priority: u32) -> PyResult<()> {
        self.send_from(py, self.end.lock(py)?, Payload::of(data)?, priority, Deadline::NOW)
    }

    /// A task begins to send, or is done.
    fn _hold(&self, py: Python<'_>, held: bool) -> PyResult<()> {
        if held {
            drop(self.lock(py)?);
        }
        self.held.store(held, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(())
    }

    /// Send a descriptor (or an object with fileno()) as one message, for
    /// recv_fd: that of an anonymous segment (share_fd), or any. It stays
    /// open here too. Through Unix sockets only; Invalid otherwise.
    #[pyo3(signature = (fd, timeout=None))]
    fn send_fd(
        &self,
        py: Python<'_>,
        fd: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(descriptor(fd)?) };
        self.until(py, self.lock(py)?, deadline, |core, until| core.send_fd_until(fd, until))
    }

    /// Send up to count bytes of a regular file (a descriptor, or an
    /// object with fileno()) from offset on as one message, and return how
    /// many: fewer at the end of the file; None is the rest of it. At the
    /// end of the file, 0 and no message. The file's own offset stays as
    /// it is, so flush() what you wrote through a file object.
    ///
    /// A pipe or FIFO gets the pages of the file without a copy: what is
    /// written to the file before the message is received may be in it.
    /// Errors are those of send; Invalid if it is no regular file, Corrupt
    /// if it was shortened meanwhile.
    #[pyo3(signature = (file, offset=0, count=None, timeout=None))]
    fn send_file(
        &self,
        py: Python<'_>,
        file: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = unsigned)] offset: u64,
        #[pyo3(from_py_with = unsigned_or_none)] count: Option<usize>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let deadline = deadline(timeout)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(descriptor(file)?) };
        let count = count.unwrap_or(usize::MAX);
        self.until(py, self.lock(py)?, deadline, |core, until| core.send_file_until(fd, offset, count, until))
    }

    /// A descriptor for select, poll, epoll and event loops; poll_events
    /// says what to wait for on it: room. There may be room for a short
    /// message and not for yours: send with a timeout of 0.
    ///
    /// Do not read or write it, do not close it; it lives as long as the
    /// end, and of a FIFO or socket until a call says that the receiver
    /// went. WouldBlock of those while there is no receiver.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.end.fileno(py)
    }

    /// What to wait for on fileno(): select.POLLOUT of the kernel's
    /// mechanisms, select.POLLIN of a ring or buffer.
    #[getter]
    fn poll_events(&self, py: Python<'_>) -> PyResult<i16> {
        Ok(self.end.lock(py)?.core.poll_events())
    }

    /// Longest message, in bytes; None of a socket that is not connected
    /// yet.
    #[getter]
    fn max_len(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let longest = self.end.lock(py)?.core.max_len();
        let longest = longest.map_err(|error| self.end.raise(py, &error))?;
        Ok((longest < usize::MAX).then_some(longest))
    }

    /// A descriptor of an end without a name, to hand to another process,
    /// which makes it an end again with Transport.sender_from_fd; yours to
    /// close. This end stays open: close it when the other process has its
    /// own, and use only one of the two. It is closed on exec unless you
    /// say otherwise (subprocess: pass_fds).
    ///
    /// Invalid if it has a name (but of a queue), if it is in the middle
    /// of a message, or of a ring's end that was used.
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.end.share_fd(py)
    }

    /// As share_fd, and close this end.
    #[pyo3(name = "into_fd")]
    fn give_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.end.give_fd(py)
    }

    /// The transport's word.
    #[getter]
    fn transport(&self) -> &'static str {
        self.end.transport()
    }

    /// Name, or 'anonymous'.
    #[getter]
    fn name(&self) -> &str {
        self.end.name()
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.end.is_closed(py)
    }

    /// Close it: the receiver gets Closed when it has received everything,
    /// where its transport tells. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end.close(py)
    }

    /// For multiprocessing.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.end.reduce(py)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        drop(slf.get().end.lock(slf.py())?);
        Ok(slf.clone().unbind())
    }

    #[pyo3(signature = (exc_type=None, exc_value=None, traceback=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.close(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        self.end.describe(py)
    }
}
