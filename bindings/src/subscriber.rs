//! The receiving end of a topic.

use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::{proportional, room_for_bytes, Place, Room};
use crate::segment::{closing, coroutine, wanted, Handle};
use crate::topic_record::TopicRecord;
use crate::views::{Lender, Loan};
use crate::wait::{deadline, wait};
use ipcx::{Deadline, Error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;

/// An end of a topic that receives what is published. Any number exist,
/// over all processes; it belongs to one thread at a time.
///
/// Iterating yields the records as bytes, and waits for more: a topic does
/// not end.
///
/// In a lossy topic publishers do not wait for it. If they overtake it, it
/// goes on with the oldest record that is still there, and `missed` tells
/// how many it did not get. In a reliable topic it holds every record until
/// that is released: `recv` copies and releases, a borrowed record is
/// released at the end of its `with` block. One that is closed, or dies,
/// holds nothing any more.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Subscriber {
    end: Exclusive<Listening>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

pub(crate) struct Listening {
    pub(crate) core: ipcx::Subscriber,
    lender: Lender,
}

fn borrow(state: &mut Listening, deadline: Deadline) -> ipcx::Result<Place> {
    let (at, len) = state.core.borrow_raw(deadline)?;
    Ok(Place { at: at.cast_mut(), len })
}

impl Subscriber {
    pub(crate) fn new(core: ipcx::Subscriber, topic: &Handle<ipcx::Topic>) -> Subscriber {
        let state = Listening { core, lender: Lender::default() };
        Subscriber { end: Exclusive::of_segment(state, "Subscriber", topic), descriptor: AtomicI32::new(-1) }
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.end.segment())
    }

    /// The state, with an abandoned borrow cleared away.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, Listening>> {
        let mut state = self.end.lock(py)?;
        if !state.lender.is_free() && state.lender.settle()? {
            state.core.return_raw();
        }
        Ok(state)
    }

    /// Borrows the next record from the core, waiting for it until `deadline`.
    #[inline]
    fn next(&self, py: Python<'_>, deadline: Deadline) -> PyResult<(Guard<'_, Listening>, Place)> {
        let mut state = self.lock(py)?;
        match borrow(&mut state, Deadline::NOW) {
            Ok(record) => Ok((state, record)),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                wait(py, &self.end, state, deadline, borrow).map_err(|end| end.raise(py, self.end.segment()))
            }
            Err(error) => Err(self.raise(py, &error)),
        }
    }

    /// Copies the next record to the room that `make` has for its length, and releases it; says how long it is. If publishers
    /// overwrite it meanwhile, the next one; so `make` may be asked again.
    #[inline]
    fn take<R>(
        &self,
        py: Python<'_>,
        deadline: Deadline,
        make: impl Fn(usize) -> PyResult<(R, Place)>,
    ) -> PyResult<(R, usize)> {
        loop {
            let (mut state, record) = self.next(py, deadline)?;
            state.core.return_raw();
            let (made, room) = make(record.len)?;
            let core = &mut state.core;
            // SAFETY: valid for writing for as long as `made` is there, and nobody else's.
            match proportional(py, record.len, || core.try_recv(unsafe { room.slice_mut() })) {
                Ok(len) => return Ok((made, len)),
                // Overtaken: the next one is a longer one, or they are too fast for this try.
                Err(Error::TooBig { .. } | Error::WouldBlock(_)) => drop(state),
                Err(error) => return Err(self.raise(py, &error)),
            }
            py.check_signals()?;
        }
    }

    fn recv_until<'py>(&self, py: Python<'py>, deadline: Deadline) -> PyResult<Bound<'py, PyBytes>> {
        let (bytes, len) = self.take(py, deadline, |len| room_for_bytes(py, len))?;
        if len == bytes.as_bytes().len() {
            return Ok(bytes);
        }
        Ok(PyBytes::new(py, &bytes.as_bytes()[..len])) // A shorter one than that which was seen first.
    }

    /// Ends the borrow with a release; true if the record was whole until then.
    pub(crate) fn release(&self, py: Python<'_>, loan: &Arc<Loan>) -> PyResult<bool> {
        let mut state = self.end.lock(py)?;
        if !state.lender.is_of(loan) {
            return Err(PyValueError::new_err("this record is no longer borrowed"));
        }
        state.lender.end()?;
        state.core.release_raw().map_err(|error| self.raise(py, &error))
    }

    /// Whether the borrowed record is still whole.
    pub(crate) fn is_whole(&self, py: Python<'_>, loan: &Arc<Loan>) -> PyResult<bool> {
        let state = self.end.lock(py)?;
        if !state.lender.is_of(loan) {
            return Err(PyValueError::new_err("this record is no longer borrowed"));
        }
        state.core.is_whole_raw().map_err(|error| self.raise(py, &error))
    }
}

#[pymethods]
impl Subscriber {
    /// Receive the next record as bytes.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.recv_until(py, deadline(timeout)?)
    }

    /// Receive the next record into a writable buffer and return its
    /// length. If the buffer is too small, TooBig is raised and the record
    /// stays.
    #[pyo3(signature = (buf, timeout=None))]
    fn recv_into(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let deadline = deadline(timeout)?;
        let room = Room::of(buf)?;
        let available = room.place().len;
        let fits = |needed| match needed <= available {
            true => Ok(((), room.place())),
            false => Err(self.raise(py, &Error::TooBig { needed, available })),
        };
        self.take(py, deadline, fits).map(|((), len)| len)
    }

    /// Borrow the next record in place, without a copy: `with
    /// subscriber.borrow() as record: memoryview(record)`. In a lossy
    /// topic it may be overwritten while it is looked at: see TopicRecord.
    #[pyo3(signature = (timeout=None))]
    fn borrow(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<TopicRecord> {
        let deadline = deadline(timeout)?;
        let (mut state, record) = slf.get().next(slf.py(), deadline)?;
        let number = state.core.number_raw().map_err(|error| slf.get().raise(slf.py(), &error))?;
        let loan = state.lender.lend();
        Ok(TopicRecord::new(slf.clone().unbind(), loan, record, number))
    }

    /// Receive the next record as bytes, from a coroutine: `await
    /// subscriber.arecv()`. Cancelling it loses nothing.
    fn arecv<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "recv", None)
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while there is a record. Do not read it, do not close it; it lives
    /// as long as the subscriber.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.end.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// Queue a real-time signal to this process each time there is a
    /// record to receive, and once now if there is one. Receive until that
    /// would block: only then does the next one queue a signal. None, or
    /// 0, ends it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.end.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.raise(py, &error))
    }

    /// How many records were overwritten since this subscriber began,
    /// before it had them: as of the last one received, exactly. Always 0
    /// in a reliable topic.
    #[getter]
    fn missed(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.end.lock(py)?.core.missed())
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.end.is_closed(py)
    }

    /// Let go of it: in a reliable topic nobody waits for it any more.
    /// Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.end.take(py, |state| state.lender.end())?;
        let told = closing(py, &self.descriptor);
        py.detach(|| drop(state));
        told
    }

    fn __iter__(slf: &Bound<'_, Self>) -> Py<Self> {
        slf.clone().unbind()
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.recv_until(py, Deadline::NEVER)
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "records", None)
    }

    /// Not to another process: that makes its own.
    fn __reduce__(&self) -> PyResult<Py<PyAny>> {
        Err(self.end.not_pickled("subscriber"))
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
