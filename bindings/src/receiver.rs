//! The receiving end of a transport.

use crate::errors;
use crate::exclusive::Guard;
use crate::payload::{proportional, room_for_bytes, Room};
use crate::segment::{coroutine, wanted};
use crate::transport::{End, State};
use crate::wait::{deadline, wait, Ended};
use ipcx::{Deadline, Error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::os::fd::IntoRawFd;

/// Messages up to this size are received without asking for their length first.
const ROOM: usize = 1 << 16;

/// The receiving end of a transport; Transport.pair and Transport.receiver
/// make one. It belongs to one thread, and one task, at a time.
///
/// Iterating yields the messages as bytes, and ends when the sender closed
/// and everything was received; a message queue and a buffer do not tell
/// that. As for other processes, see Sender.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Receiver {
    end: End<ipcx::Receiver>,
}

type Receiving = State<ipcx::Receiver>;

/// Receives into the end's own buffer.
fn recv(state: &mut Receiving, until: Deadline) -> ipcx::Result<(usize, u32)> {
    state.core.recv_with_priority_until(&mut state.buffer, until)
}

impl Receiver {
    pub(crate) fn new(end: End<ipcx::Receiver>) -> Receiver {
        Receiver { end }
    }

    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, Receiving>> {
        self.end.lock(py)
    }

    /// What `attempt` receives, at most `room` bytes, waiting for it until `deadline`; the end stays held if it succeeded.
    fn until<'a, T: Send>(
        &'a self,
        py: Python<'_>,
        mut state: Guard<'a, Receiving>,
        room: usize,
        deadline: Deadline,
        attempt: impl Fn(&mut Receiving, Deadline) -> ipcx::Result<T> + Sync,
    ) -> Result<(Guard<'a, Receiving>, T), Ended> {
        let inside: &mut Receiving = &mut state;
        match proportional(py, room, || attempt(inside, Deadline::NOW)) {
            Ok(value) => Ok((state, value)),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                wait(py, self.end.exclusive(), state, deadline, attempt)
            }
            Err(error) => Err(Ended::Core(error)),
        }
    }

    fn raise(&self, py: Python<'_>, ended: Ended) -> PyErr {
        match ended {
            Ended::Core(error) => self.end.raise(py, &error),
            Ended::Python(error) => error,
        }
    }

    /// The next message, and its priority.
    fn next<'py>(&self, py: Python<'py>, deadline: Deadline) -> PyResult<(Bound<'py, PyBytes>, u32)> {
        let mut state = self.lock(py)?;
        state.buffer.resize(ROOM, 0);
        match self.until(py, state, ROOM, deadline, recv) {
            Ok((state, (len, priority))) => Ok((PyBytes::new(py, &state.buffer[..len]), priority)),
            Err(Ended::Core(Error::TooBig { needed, .. })) => self.next_large(py, needed, deadline),
            Err(ended) => Err(self.raise(py, ended)),
        }
    }

    #[cold]
    fn next_large<'py>(
        &self,
        py: Python<'py>,
        mut needed: usize,
        deadline: Deadline,
    ) -> PyResult<(Bound<'py, PyBytes>, u32)> {
        loop {
            let (bytes, room) = room_for_bytes(py, needed)?;
            let attempt = |state: &mut Receiving, until| {
                // SAFETY: a new object, which is kept, and which nobody else has seen yet.
                state.core.recv_with_priority_until(unsafe { room.slice_mut() }, until)
            };
            match self.until(py, self.lock(py)?, needed, deadline, attempt) {
                Ok((_, (len, priority))) if len == needed => return Ok((bytes, priority)),
                Ok((_, (len, priority))) => {
                    return Ok((PyBytes::new(py, &bytes.as_bytes()[..len]), priority))
                }
                // It is another one by now: a signal handler received that one, or a buffer was written again.
                Err(Ended::Core(Error::TooBig { needed: more, .. })) if more > needed => needed = more,
                Err(ended) => return Err(self.raise(py, ended)),
            }
        }
    }
}

#[pymethods]
impl Receiver {
    /// Receive the next message as bytes.
    ///
    /// Closed if the sender closed and nothing is left, PeerDead if it
    /// went in the middle of a message, and of a ring if it died; both end
    /// when a successor is there. Mismatch if the message is a descriptor
    /// (recv_fd receives it). A message queue or buffer does not tell of
    /// its sender: give a timeout. A buffer gives its newest message,
    /// once.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self.next(py, deadline(timeout)?)?.0)
    }

    /// Receive the next message as (bytes, priority). The priority is 0
    /// but from a message queue, which gives those of a higher one first.
    #[pyo3(signature = (timeout=None))]
    fn recv_with_priority<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyBytes>, u32)> {
        self.next(py, deadline(timeout)?)
    }

    /// Receive the next message into a writable buffer and return its
    /// length. If the buffer is too small, TooBig is raised and the
    /// message stays. What is in the buffer after an exception is
    /// anything.
    #[pyo3(signature = (buf, timeout=None))]
    fn recv_into(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let deadline = deadline(timeout)?;
        let room = Room::of(buf)?;
        let place = room.place();
        let attempt = |state: &mut Receiving, until| {
            // SAFETY: the export keeps the buffer, which is the caller's to leave alone meanwhile, as with socket.recv_into.
            state.core.recv_until(unsafe { place.slice_mut() }, until)
        };
        match self.until(py, self.lock(py)?, place.len, deadline, attempt) {
            Ok((_, len)) => Ok(len),
            Err(ended) => Err(self.raise(py, ended)),
        }
    }

    /// Receive a descriptor, which is yours to close; Ring.from_fd and the
    /// like attach to a segment that it is of. Through Unix sockets only,
    /// Invalid otherwise; Mismatch if the next message is none (it stays).
    #[pyo3(signature = (timeout=None))]
    fn recv_fd(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<i32> {
        let deadline = deadline(timeout)?;
        match self.until(py, self.lock(py)?, 0, deadline, |state, until| state.core.recv_fd_until(until)) {
            Ok((_, fd)) => Ok(fd.into_raw_fd()),
            Err(ended) => Err(self.raise(py, ended)),
        }
    }

    /// Receive the next message as bytes, from a coroutine: `await
    /// rx.arecv()`. Cancelling it loses nothing.
    fn arecv<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "recv", None)
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while there may be a message, or the sender went. It does not
    /// promise a whole message: receive with a timeout of 0, again after
    /// TooBig. Do not read it, do not close it; it lives as long as the
    /// end.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.end.fileno(py)
    }

    /// Queue a real-time signal to this process each time there is a
    /// message to receive, and once now if there is one. Receive until
    /// that would block: only then does the next one queue a signal. None,
    /// or 0, ends it. From rings, buffers and message queues; Invalid
    /// otherwise. Of a queue it is the kernel's (mq_notify), which tells
    /// one process: Busy if that is another.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.end.raise(py, &error))
    }

    /// A descriptor of an end without a name, to hand to another process,
    /// which makes it an end again with Transport.receiver_from_fd; yours
    /// to close. This end stays open: close it when the other process has
    /// its own, and use only one of the two. It is closed on exec unless
    /// you say otherwise (subprocess: pass_fds).
    ///
    /// Invalid if it has a name (but of a queue), if it keeps a message or
    /// a part of one, or of a ring's end that was used.
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

    /// Close it: a sender gets Closed, where its transport tells. Closing
    /// again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end.close(py)
    }

    fn __iter__(slf: &Bound<'_, Self>) -> Py<Self> {
        slf.clone().unbind()
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match self.next(py, Deadline::NEVER) {
            Ok((message, _)) => Ok(Some(message)),
            Err(error) if errors::is_closed(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "records", None)
    }

    /// For multiprocessing.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.end.reduce(py)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        drop(slf.get().lock(slf.py())?);
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
