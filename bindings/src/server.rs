//! The answering end of a service.

use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::Payload;
use crate::segment::{closing, coroutine, wanted, Handle};
use crate::wait::{deadline, wait};
use ipcx::{Deadline, Error};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// A request up to this size is received without asking for its length first.
const ROOM: usize = 1 << 16;

/// The answering end of a service. Any number exist, over all processes;
/// each takes whatever comes next. It belongs to one thread at a time.
///
///     for request in server:
///         request.reply(request.data.upper())
///
/// It may have several requests at once, and answer them in any order: each
/// has an id, by which it is answered too. A request that a server has is
/// nobody else's. What it has not answered when it is closed is refused; if
/// it dies, the clients are told so. (A function becomes a server by
/// ipcx.serve.)
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Server {
    end: Exclusive<Answering>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

pub(crate) struct Answering {
    pub(crate) core: ipcx::Server,
    /// Where the core puts a request; kept to be used again.
    buffer: Vec<u8>,
}

/// Takes the next request into the buffer: its id and length.
fn take(state: &mut Answering, until: Deadline) -> ipcx::Result<(u64, usize)> {
    let mut id = 0;
    loop {
        match state.core.recv_into(&mut id, &mut state.buffer, until) {
            // It stays meanwhile.
            Err(Error::TooBig { needed, .. }) if needed > state.buffer.len() => {
                state.buffer.resize(needed, 0)
            }
            done => return done.map(|len| (id, len)),
        }
    }
}

impl Server {
    pub(crate) fn new(core: ipcx::Server, service: &Handle<ipcx::Service>) -> Server {
        let buffer = vec![0; core.max_request().min(ROOM)];
        let state = Answering { core, buffer };
        Server { end: Exclusive::of_service(state, "Server", service), descriptor: AtomicI32::new(-1) }
    }

    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, Answering>> {
        self.end.lock(py)
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.end.segment())
    }

    fn next(slf: &Bound<'_, Self>, deadline: Deadline) -> PyResult<Request> {
        let (py, this) = (slf.py(), slf.get());
        let mut state = this.lock(py)?;
        let (state, (id, len)) = match take(&mut state, Deadline::NOW) {
            Ok(taken) => (state, taken),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => wait(py, &this.end, state, deadline, take)
                .map_err(|ended| ended.raise(py, this.end.segment()))?,
            Err(error) => return Err(this.raise(py, &error)),
        };
        let data = PyBytes::new(py, &state.buffer[..len]).unbind();
        Ok(Request { server: slf.clone().unbind(), id, data })
    }

    fn seconds_left(&self, py: Python<'_>, id: u64) -> PyResult<Option<f64>> {
        let left = self.lock(py)?.core.remaining(id).map_err(|error| self.raise(py, &error))?;
        Ok(left.map(|left| left.as_secs_f64()))
    }

    fn answer(&self, py: Python<'_>, id: u64, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = Payload::of(data)?;
        self.lock(py)?.core.reply(id, data.as_ref()).map_err(|error| self.raise(py, &error))
    }

    fn decline(&self, py: Python<'_>, id: u64, text: &Bound<'_, PyString>) -> PyResult<()> {
        let text = text.to_string_lossy();
        self.lock(py)?.core.refuse(id, text.as_bytes()).map_err(|error| self.raise(py, &error))
    }
}

#[pymethods]
impl Server {
    /// Take the next request; from then on it is this server's.
    #[pyo3(signature = (timeout=None))]
    fn recv(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Request> {
        Server::next(slf, deadline(timeout)?)
    }

    /// Take the next request, from a coroutine: `await server.arecv()`.
    /// Cancelling it loses nothing.
    fn arecv<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "request", None)
    }

    /// Answer the request with this id. It never waits. TooBig if that is
    /// longer than replies can be: the request stays.
    fn reply(&self, py: Python<'_>, id: u64, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.answer(py, id, data)
    }

    /// Refuse the request with this id: its client gets a RemoteError with
    /// this text, cut to the largest reply.
    fn refuse(&self, py: Python<'_>, id: u64, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.decline(py, id, text)
    }

    /// Seconds that the client of the request with this id will still
    /// wait; None for ever.
    fn remaining(&self, py: Python<'_>, id: u64) -> PyResult<Option<f64>> {
        self.seconds_left(py, id)
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while there is a request, as of this server's last receive. Where
    /// there are other servers, it may be gone when you come: receive with
    /// a timeout of 0, which arms it again. Do not read it, do not close
    /// it; it lives as long as the server.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// Queue a real-time signal to this process each time there is a
    /// request, and once now if there is one. Receive until that would
    /// block: only then does the next one queue a signal. None, or 0, ends
    /// it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.raise(py, &error))
    }

    /// How many requests this server has left out because their clients
    /// waited no longer.
    #[getter]
    fn skipped(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.core.skipped())
    }

    /// Bytes of the largest request.
    #[getter]
    fn max_request(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.core.max_request())
    }

    /// Bytes of the largest reply.
    #[getter]
    fn max_reply(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.core.max_reply())
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.end.is_closed(py)
    }

    /// Serve no longer. Requests that it has and did not answer are
    /// refused. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.end.take(py, |_| Ok(()))?;
        let told = closing(py, &self.descriptor);
        py.detach(|| drop(state));
        told
    }

    fn __iter__(slf: &Bound<'_, Self>) -> Py<Self> {
        slf.clone().unbind()
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Request> {
        Server::next(slf, Deadline::NEVER)
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "requests", None)
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

/// A request that a server has taken, to be answered once, now or later: by
/// reply or refuse here, or by those of the server with its id. A client
/// without a timeout waits until that is done, or the server is closed.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Request {
    server: Py<Server>,
    id: u64,
    data: Py<PyBytes>,
}

#[pymethods]
impl Request {
    /// Names it among those that its server has; never 0.
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// What the client sent.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    /// Seconds that its client will still wait: 0.0 if it waits no longer,
    /// None if it gave no timeout.
    #[getter]
    fn remaining(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.server.get().seconds_left(py, self.id)
    }

    /// Answer it. It never waits. TooBig if that is longer than replies
    /// can be: then it is still to be answered.
    fn reply(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.server.get().answer(py, self.id, data)
    }

    /// Refuse it: its client gets a RemoteError with this text, cut to the
    /// largest reply.
    fn refuse(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.server.get().decline(py, self.id, text)
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data(py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.as_bytes(py).len()
    }

    fn __bool__(&self) -> bool {
        true // also one without bytes
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<ipcx.Request {:#x}, {} bytes>", self.id, self.__len__(py))
    }
}
