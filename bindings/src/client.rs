//! The asking end of a service.

use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::Payload;
use crate::segment::{closing, coroutine, wanted, Handle};
use crate::wait::{deadline, wait, Ended};
use ipcx::{Deadline, Error};
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// A reply up to this size is received without asking for its length first.
const ROOM: usize = 1 << 16;

/// The asking end of a service. It belongs to one thread at a time, and to
/// any number of its tasks.
///
/// `call` sends a request and waits for its reply. `send` and `recv` keep
/// several requests open, whose replies come as they are ready, each with
/// the id of its request. A request ends once: by its reply; by
/// RemoteError, if the server refused it; by PeerDead, if the server that
/// had taken it died, when it may have been carried out in part; or,
/// where none has taken it and there is no server, by PeerDead or Closed,
/// as the last one died or closed. The exception's `taken` says whether a
/// server had taken it. Before the first server came, a client waits for
/// it.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Client {
    end: Exclusive<Asking>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

pub(crate) struct Asking {
    pub(crate) core: ipcx::Client,
    /// Where the core puts a reply; kept to be used again.
    buffer: Vec<u8>,
    /// What tasks received for each other, so that no reply keeps an event loop busy which nobody waits for.
    kept: VecDeque<(u64, PyResult<Py<PyBytes>>)>,
}

/// The reply to the request with this id, or to any, goes into the buffer: its length.
fn receive(state: &mut Asking, id: &mut u64, one: bool, until: Deadline) -> ipcx::Result<usize> {
    loop {
        let received = match one {
            true => state.core.end_call(*id, &mut state.buffer, until),
            false => state.core.recv_into(id, &mut state.buffer, until),
        };
        match received {
            // It stays meanwhile.
            Err(Error::TooBig { needed, .. }) if needed > state.buffer.len() => {
                state.buffer.resize(needed, 0)
            }
            done => return done,
        }
    }
}

/// A result that ends a wait, also where it is an error that waiting does not change.
type Settled<T> = ipcx::Result<ipcx::Result<T>>;

/// What a wait for room makes of the core's word: that all is open which can be is no reason to wait.
fn settled(sent: ipcx::Result<u64>) -> Settled<u64> {
    match sent {
        Err(error @ Error::WouldBlock(_)) => Ok(Err(error)),
        other => other.map(Ok),
    }
}

impl Client {
    pub(crate) fn new(core: ipcx::Client, service: &Handle<ipcx::Service>) -> Client {
        let buffer = vec![0; core.max_reply().min(ROOM)];
        let state = Asking { core, buffer, kept: VecDeque::new() };
        Client { end: Exclusive::of_service(state, "Client", service), descriptor: AtomicI32::new(-1) }
    }

    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, Asking>> {
        self.end.lock(py)
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.end.segment())
    }

    /// The exception for an error with which the request with this id ended.
    #[cold]
    fn raise_of(&self, py: Python<'_>, error: &Error, id: u64) -> PyErr {
        let raised = self.raise(py, error);
        if id != 0 {
            let _ = raised.value(py).setattr(pyo3::intern!(py, "request"), id); // One more word about it.
        }
        raised
    }

    /// Sends what `send` sends, waiting for room until `deadline`.
    fn sent(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        deadline: Deadline,
        send: impl Fn(&mut ipcx::Client, &[u8], Deadline) -> ipcx::Result<u64> + Sync,
    ) -> PyResult<u64> {
        let data = Payload::of(data)?;
        let mut state = self.lock(py)?;
        match send(&mut state.core, data.as_ref(), Deadline::NOW) {
            Ok(id) => Ok(id),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                let data = data.constant(py)?; // Other threads run meanwhile.
                let data = data.as_bytes();
                let attempt = |state: &mut Asking, slice| settled(send(&mut state.core, data, slice));
                match wait(py, &self.end, state, deadline, attempt) {
                    Ok((_, sent)) => sent.map_err(|error| self.raise(py, &error)),
                    Err(ended) => Err(ended.raise(py, self.end.segment())),
                }
            }
            Err(error) => Err(self.raise(py, &error)),
        }
    }

    /// Receives into the buffer, waiting until `deadline`; the id says which request's it is, also of one that failed.
    fn received<'a>(
        &'a self,
        py: Python<'_>,
        mut state: Guard<'a, Asking>,
        one: Option<u64>,
        deadline: Deadline,
    ) -> Result<(Guard<'a, Asking>, u64, usize), (u64, Ended)> {
        let mut id = one.unwrap_or(0);
        match receive(&mut state, &mut id, one.is_some(), Deadline::NOW) {
            Ok(len) => Ok((state, id, len)),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                let attempt = |state: &mut Asking, slice| {
                    let mut id = one.unwrap_or(0);
                    match receive(state, &mut id, one.is_some(), slice) {
                        Ok(len) => Ok((id, Ok(len))),
                        Err(error @ (Error::TimedOut(_) | Error::Interrupted | Error::WouldBlock(_))) => {
                            Err(error)
                        }
                        Err(error) => Ok((id, Err(error))),
                    }
                };
                match wait(py, &self.end, state, deadline, attempt) {
                    Ok((state, (id, Ok(len)))) => Ok((state, id, len)),
                    Ok((_, (id, Err(error)))) => Err((id, Ended::Core(error))),
                    Err(ended) => Err((one.unwrap_or(0), ended)),
                }
            }
            Err(error) => Err((id, Ended::Core(error))),
        }
    }

    /// The reply to the request with this id, or to any.
    fn reply<'py>(
        &self,
        py: Python<'py>,
        one: Option<u64>,
        deadline: Deadline,
    ) -> PyResult<(u64, Bound<'py, PyBytes>)> {
        let mut state = self.lock(py)?;
        let kept = match one {
            None => state.kept.pop_front(),
            Some(id) => {
                let at = state.kept.iter().position(|(of, _)| *of == id);
                at.and_then(|at| state.kept.remove(at))
            }
        };
        if let Some((id, reply)) = kept {
            return Ok((id, reply?.into_bound(py)));
        }
        match self.received(py, state, one, deadline) {
            Ok((state, id, len)) => Ok((id, PyBytes::new(py, &state.buffer[..len]))),
            Err((id, Ended::Core(error))) => Err(self.raise_of(py, &error, id)),
            Err((_, Ended::Python(error))) => Err(error),
        }
    }

    /// Gives a request up, if it has not ended: true if it is withdrawn.
    fn give_up(&self, py: Python<'_>, id: u64) -> Option<bool> {
        // Closed, or in use by a signal handler's call: then it is too late for this.
        let mut state = self.lock(py).ok()?;
        state.kept.retain(|(of, _)| *of != id);
        state.core.forget(id).ok() // It has ended already, as a rule.
    }

    /// The reply to a call; the request is open no more.
    fn concluded<'py>(&self, py: Python<'py>, id: u64, deadline: Deadline) -> PyResult<Bound<'py, PyBytes>> {
        let reply = self.reply(py, Some(id), deadline).map(|(_, reply)| reply);
        if let Err(error) = &reply {
            let withdrawn = self.give_up(py, id);
            if let Some(withdrawn) = withdrawn.filter(|_| error.is_instance_of::<PyTimeoutError>(py)) {
                let _ = error.value(py).setattr(pyo3::intern!(py, "taken"), !withdrawn);
            }
        }
        reply
    }
}

#[pymethods]
impl Client {
    /// Send a request and return its reply.
    ///
    /// The server knows until when the call waits, and does not begin with
    /// what comes too late. After a Timeout or PeerDead the request may
    /// have been carried out, once, unless the exception's `taken` is
    /// False: call again then, or where that does no harm twice.
    #[pyo3(signature = (data, timeout=None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let deadline = deadline(timeout)?;
        let id = self.sent(py, data, deadline, |core, data, room| core.begin_call(data, deadline, room))?;
        self.concluded(py, id, deadline)
    }

    /// Send a request, whose reply recv() will receive, and return its id.
    /// The request has no deadline.
    ///
    /// WouldBlock, whatever the timeout, if as many are open as can be:
    /// receive first.
    #[pyo3(signature = (data, timeout=None))]
    fn send(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        self.sent(py, data, deadline(timeout)?, ipcx::Client::send_until)
    }

    /// Receive the next reply that is ready, as (id, bytes). If a request
    /// ended without one, the exception's `request` is its id.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(u64, Bound<'py, PyBytes>)> {
        self.reply(py, None, deadline(timeout)?)
    }

    /// Give up on a request that was sent. True if it is withdrawn, and not
    /// carried out; False if a server has taken it, and its reply will be
    /// dropped, or if it has ended, when nothing happens.
    fn forget(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        drop(self.lock(py)?);
        Ok(self.give_up(py, id).unwrap_or(false))
    }

    /// Send a request and return its reply, from a coroutine: `await
    /// client.acall(data, timeout=0.5)`. Any number of tasks may do so at
    /// once; those for which there is no room wait for it. Cancelling it
    /// gives the request up.
    #[pyo3(signature = (data, timeout=None))]
    fn acall<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        deadline(timeout)?; // A wrong one is an error here.
        let py = slf.py();
        crate::segment::aio(py)?.call_method1(pyo3::intern!(py, "call"), (slf, data, timeout))
    }

    /// Receive the next reply that is ready, from a coroutine: `await
    /// client.arecv()`. Cancelling it loses nothing.
    fn arecv<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "reply", None)
    }

    /// The first half of a call, without waiting.
    fn _begin(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let deadline = deadline(timeout)?;
        self.sent(py, data, Deadline::NOW, |core, data, room| core.begin_call(data, deadline, room))
    }

    /// The second half, without waiting.
    fn _end<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.reply(py, Some(id), Deadline::NOW).map(|(_, reply)| reply)
    }

    /// The reply that came in the last moment, or why there is none: the time is over.
    fn _late<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.concluded(py, id, Deadline::after(Duration::from_nanos(1)))
    }

    /// Give up on a request, if that can be done.
    fn _give_up(&self, py: Python<'_>, id: u64) {
        self.give_up(py, id);
    }

    /// Receive whatever is ready, for `recv` and `_end` to find.
    fn _gather(&self, py: Python<'_>) {
        while let Ok(mut state) = self.lock(py) {
            let mut id = 0;
            let reply = match receive(&mut state, &mut id, false, Deadline::NOW) {
                Ok(len) => Ok(PyBytes::new(py, &state.buffer[..len]).unbind()),
                Err(_) if id == 0 => return, // Nothing; or whatever it is, the next call meets it again.
                Err(error) => Err(self.raise_of(py, &error, id)),
            };
            state.kept.push_back((id, reply));
        }
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while recv() has something to say. Do not read it, do not close it;
    /// it lives as long as the client.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// Queue a real-time signal to this process each time recv() has
    /// something to say, and once now if it has. Receive until that would
    /// block: only then does the next one queue a signal. None, or 0, ends
    /// it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.raise(py, &error))
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

    /// Give the client's place up. Its requests that no server has taken
    /// are not carried out any more. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.end.take(py, |_| Ok(()))?;
        let told = closing(py, &self.descriptor);
        if let Some(Asking { core, .. }) = state {
            py.detach(|| drop(core));
        }
        told
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
