//! The sending end.

use crate::block::{checked_len, Block};
use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::{boundaries, unsigned, unsigned_or_none, Payload, LARGE};
use crate::segment::{aio, closing, wanted, Handle};
use crate::sending::Sending;
use crate::views::Reservation;
use crate::wait::{deadline, wait, Ended};
use ipcx::{Deadline, Error};
use pyo3::ffi;
use pyo3::prelude::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// Records handed to the core at a time: it looks at all that it is given before it sends the first.
const STEP: usize = 1 << 12;

/// The sending end of a ring. One exists at a time, over all processes; it
/// belongs to one thread at a time.
///
/// A record is sent when the call returned: from then on it outlives this
/// process. Data is any C-contiguous buffer: bytes, bytearray, memoryview,
/// array, numpy array.
///
/// Pickled, it is the name of its ring and its role: whoever unpickles it
/// takes the role, which is Busy until this one is closed (before or after
/// it was pickled) or its process died.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Producer {
    pub(crate) end: Exclusive<Sending<ipcx::Producer>>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

impl Producer {
    pub(crate) fn new(core: ipcx::Producer, ring: &Handle<ipcx::Ring>) -> Producer {
        let end = Exclusive::of_segment(Sending::new(core), "Producer", ring);
        Producer { end, descriptor: AtomicI32::new(-1) }
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.end.segment())
    }

    /// Sends what does not fit now, or is so large that other threads should run during the copy.
    #[cold]
    fn send_slowly(
        &self,
        py: Python<'_>,
        state: Guard<'_, Sending<ipcx::Producer>>,
        data: &Payload<'_>,
        deadline: Deadline,
    ) -> PyResult<()> {
        let from = data.place();
        let room = self.end.room(py, state, from.len, deadline);
        let (mut state, to) = room.map_err(|ended| ended.raise(py, self.end.segment()))?;
        if from.len > 0 {
            // SAFETY: the core lends the room until the commit; the payload is kept. They are not the same memory: a
            // view of the ring would be a reservation of this producer, and there is none.
            unsafe { from.copy_to(py, to.at) };
        }
        state.core.commit_raw(from.len).map_err(|error| self.raise(py, &error))
    }

    /// Sends the records in order, as many as there is room for until `deadline`.
    fn send_all<'d>(
        &self,
        py: Python<'_>,
        mut rest: impl Iterator<Item = &'d [u8]> + Clone,
        deadline: Deadline,
    ) -> PyResult<usize> {
        let mut state = self.end.sending(py)?;
        let (longest, available) = (rest.clone().map(<[u8]>::len).max().unwrap_or(0), state.core.max_len());
        if longest > available {
            return Err(self.raise(py, &Error::TooBig { needed: longest, available }));
        }
        let mut sent = 0;
        loop {
            let error = match state.core.try_send_many(rest.clone().take(STEP)) {
                Ok(count) => {
                    sent += count;
                    count.checked_sub(1).map(|last| rest.nth(last));
                    if count == STEP {
                        continue;
                    }
                    Error::WouldBlock("the ring is full")
                }
                Err(error) => error,
            };
            let Some(next) = rest.clone().next() else { return Ok(sent) };
            let ended = match error {
                Error::WouldBlock(_) if !deadline.is_now() => {
                    match self.end.wait_for_room(py, state, next.len(), deadline) {
                        Ok((mut with_room, _)) => {
                            with_room.core.abort_raw().map_err(|error| self.raise(py, &error))?;
                            state = with_room;
                            continue;
                        }
                        Err(ended) => ended,
                    }
                }
                error => Ended::Core(error),
            };
            return match ended {
                Ended::Core(_) if sent > 0 => Ok(sent), // The next call meets it again.
                ended => Err(ended.raise(py, self.end.segment())),
            };
        }
    }
}

#[pymethods]
impl Producer {
    /// Send a copy of data as one record.
    #[pyo3(signature = (data, timeout=None))]
    fn send(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(data)?;
        let mut state = self.end.sending(py)?;
        if data.place().len < LARGE {
            match state.core.try_send(data.as_ref()) {
                Ok(()) => return Ok(()),
                Err(Error::WouldBlock(_)) if !deadline.is_now() => {}
                Err(error) => return Err(self.raise(py, &error)),
            }
        }
        self.send_slowly(py, state, &data, deadline)
    }

    /// Send each item as one record, and return how many were sent: all,
    /// unless the time was over. Records that fit together are committed
    /// together. If one is too big, none is sent.
    #[pyo3(signature = (records, timeout=None))]
    fn send_many(
        &self,
        py: Python<'_>,
        records: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let deadline = deadline(timeout)?;
        let payloads =
            records.try_iter()?.map(|item| Payload::of(&item?)).collect::<PyResult<Vec<Payload<'_>>>>()?;
        self.send_all(py, payloads.iter().map(AsRef::as_ref), deadline)
    }

    /// Send records that lie back to back in one buffer: record i is
    /// buf[offsets[i]:offsets[i + 1]]. Offsets is a buffer of 64-bit
    /// integers or any iterable of integers, with one more item than there
    /// are records. Returns how many were sent, as send_many does.
    #[pyo3(signature = (buf, offsets, timeout=None))]
    fn send_packed(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        offsets: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(buf)?;
        let bounds = boundaries(offsets, data.place().len)?;
        let data = data.as_ref();
        self.send_all(py, bounds.windows(2).map(|bound| &data[bound[0]..bound[1]]), deadline)
    }

    /// Reserve room for a record of n bytes, to be written in place: `with
    /// tx.reserve(n) as view:`.
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

    /// Send up to n bytes of a file (a descriptor, or an object with
    /// fileno()) as one record, read straight into the ring from the
    /// descriptor's offset, and return how many: fewer at the end of the
    /// file, or when the time is over while a pipe or socket has no more.
    /// At the end of the file, 0 and no record.
    #[pyo3(signature = (file, n, timeout=None))]
    fn send_file(
        &self,
        py: Python<'_>,
        file: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = unsigned)] n: usize,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        self.end.send_file(py, descriptor(file)?, n, deadline(timeout)?)
    }

    /// Hand a block of a pool over to the consumer, without a copy:
    /// len(block) bytes, or the first n, up to block.capacity. The block
    /// is gone then. To send it while a memoryview or array of it exists
    /// is a BufferError: release or `del` them before.
    #[pyo3(signature = (block, n=None, timeout=None))]
    fn send_block(
        &self,
        py: Python<'_>,
        block: &Bound<'_, Block>,
        #[pyo3(from_py_with = unsigned_or_none)] n: Option<usize>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (deadline, block) = (deadline(timeout)?, block.get());
        let n = checked_len(block, n)?;
        let mut state = self.end.sending(py)?;
        let (pool, id) = block.lend()?;
        let sent = match state.core.send_block_raw(pool, id, n, Deadline::NOW) {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                let attempt = |state: &mut Sending<ipcx::Producer>, slice| {
                    state.core.send_block_raw(pool, id, n, slice)
                };
                let sent = wait(py, &self.end, state, deadline, attempt);
                sent.map(drop).map_err(|ended| ended.raise(py, self.end.segment()))
            }
            done => done.map_err(|error| self.raise(py, &error)),
        };
        if sent.is_err() {
            block.keep();
        }
        sent
    }

    /// Send a copy of data as one record, from a coroutine: `await
    /// tx.asend(data)`. One task at a time may wait for room. Cancelling
    /// it sends nothing.
    fn asend<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let data = Payload::of(data)?.constant(slf.py())?;
        aio(slf.py())?.call_method1("send_record", (slf, data))
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while there is room for the record that last did not fit (at first:
    /// for any), or the consumer went. Do not read it, do not close it; it
    /// lives as long as the producer.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.end.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// Queue a real-time signal to this process each time there is room
    /// for the record that last did not fit (at first: for any), or the
    /// consumer went, and once now if there is. Send until that would
    /// block: only then does the next one queue a signal. None, or 0, ends
    /// it; do so when a call says that the consumer went, since each such
    /// call queues another.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.end.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.raise(py, &error))
    }

    /// Largest record that fits into the ring, in bytes: its capacity less
    /// 16.
    #[getter]
    fn max_len(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.end.lock(py)?.core.max_len())
    }

    /// Stream position of the next record, in bytes since the ring was
    /// made.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.end.lock(py)?.core.position())
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.end.is_closed(py)
    }

    /// Give the role up: the consumer gets Closed when it has received
    /// everything. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.end.take(py, Sending::end_loan)?;
        let told = closing(py, &self.descriptor);
        py.detach(|| drop(state));
        told
    }

    /// For multiprocessing; this one may be closed already.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.end.reduce(py, "producer")
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

/// The descriptor of a file object, or the integer itself.
pub(crate) fn descriptor(file: &Bound<'_, PyAny>) -> PyResult<i32> {
    // SAFETY: a live object, with the interpreter held; -1 is an exception set.
    match unsafe { ffi::PyObject_AsFileDescriptor(file.as_ptr()) } {
        -1 => Err(PyErr::fetch(file.py())),
        fd => Ok(fd),
    }
}
