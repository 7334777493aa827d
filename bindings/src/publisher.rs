//! The publishing end of a topic.

use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::{unsigned, Payload, LARGE};
use crate::producer::descriptor;
use crate::segment::{aio, closing, wanted, Handle};
use crate::sending::Sending;
use crate::views::Reservation;
use crate::wait::{deadline, wait};
use ipcx::{Deadline, Error};
use pyo3::prelude::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// An end of a topic that publishes. Any number exist, over all processes;
/// they publish one at a time. It belongs to one thread at a time.
///
/// A record is published when the call returned: from then on it outlives
/// this process. Data is any C-contiguous buffer: bytes, bytearray,
/// memoryview, array, numpy array.
///
/// In a lossy topic a call waits for other publishers only. In a reliable
/// one it waits until every subscriber has released what would be
/// overwritten; topic.stats() says who has not.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Publisher {
    pub(crate) end: Exclusive<Sending<ipcx::Publisher>>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

impl Publisher {
    pub(crate) fn new(core: ipcx::Publisher, topic: &Handle<ipcx::Topic>) -> Publisher {
        let end = Exclusive::of_segment(Sending::new(core), "Publisher", topic);
        Publisher { end, descriptor: AtomicI32::new(-1) }
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.end.segment())
    }

    /// Publishes what cannot be published now, or is so large that other threads should run during the copy. The topic is not
    /// locked while this waits for the interpreter: other processes publish there too.
    #[cold]
    fn publish_slowly(
        &self,
        py: Python<'_>,
        mut state: Guard<'_, Sending<ipcx::Publisher>>,
        data: Payload<'_>,
        deadline: Deadline,
    ) -> PyResult<()> {
        let data = data.constant(py)?;
        let data = data.as_bytes();
        if deadline.is_now() {
            let core = &mut state.core;
            return py.detach(|| core.try_publish(data)).map_err(|error| self.raise(py, &error));
        }
        let publish =
            |state: &mut Sending<ipcx::Publisher>, slice: Deadline| state.core.publish_until(data, slice);
        let published = wait(py, &self.end, state, deadline, publish);
        published.map(drop).map_err(|ended| ended.raise(py, self.end.segment()))
    }
}

#[pymethods]
impl Publisher {
    /// Publish a copy of data as one record.
    #[pyo3(signature = (data, timeout=None))]
    fn publish(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(data)?;
        let mut state = self.end.sending(py)?;
        if data.place().len < LARGE {
            match state.core.try_publish(data.as_ref()) {
                Ok(()) => return Ok(()),
                Err(Error::WouldBlock(_)) if !deadline.is_now() => {}
                Err(error) => return Err(self.raise(py, &error)),
            }
        }
        self.publish_slowly(py, state, data, deadline)
    }

    /// Reserve room for a record of n bytes, to be written in place: `with
    /// publisher.reserve(n) as view:`. Until the end of the block nobody
    /// else publishes.
    #[pyo3(signature = (n, timeout=None))]
    fn reserve(
        slf: &Bound<'_, Self>,
        #[pyo3(from_py_with = unsigned)] n: usize,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Reservation> {
        let deadline = deadline(timeout)?;
        let (loan, place) = slf.get().end.lend(slf.py(), n, deadline)?;
        Ok(Reservation::new(slf.clone().unbind().into(), loan, place))
    }

    /// Publish up to n bytes of a file (a descriptor, or an object with
    /// fileno()) as one record, read straight into the topic from the
    /// descriptor's offset, and return how many: fewer at the end of the
    /// file, or when the time is over while a pipe or socket has no more.
    /// At the end of the file, 0 and no record. Nobody else publishes
    /// meanwhile.
    #[pyo3(signature = (file, n, timeout=None))]
    fn publish_file(
        &self,
        py: Python<'_>,
        file: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = unsigned)] n: usize,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        self.end.send_file(py, descriptor(file)?, n, deadline(timeout)?)
    }

    /// Publish a copy of data as one record, from a coroutine: `await
    /// publisher.apublish(data)`. One task at a time may wait. Cancelling
    /// it publishes nothing.
    fn apublish<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let data = Payload::of(data)?.constant(slf.py())?;
        aio(slf.py())?.call_method1("publish", (slf, data))
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while nobody else publishes and there is room for the record that
    /// last was not published (at first: for any). Do not read it, do not
    /// close it; it lives as long as the publisher.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.end.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// Queue a real-time signal to this process each time it can publish,
    /// as for the descriptor, and once now if it can. Publish until that
    /// would block: only then does the next one queue a signal. None, or
    /// 0, ends it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.end.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.raise(py, &error))
    }

    /// Largest record that can be published, in bytes: half of the topic's
    /// capacity, less 24.
    #[getter]
    fn max_len(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.end.lock(py)?.core.max_len())
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.end.is_closed(py)
    }

    /// Let go of it. Nobody is told; what was published stays. Closing
    /// again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.end.take(py, Sending::end_loan)?;
        let told = closing(py, &self.descriptor);
        py.detach(|| drop(state));
        told
    }

    /// Not to another process: that makes its own.
    fn __reduce__(&self) -> PyResult<Py<PyAny>> {
        Err(self.end.not_pickled("publisher"))
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
