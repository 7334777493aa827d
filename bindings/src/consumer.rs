//! The receiving end.

use crate::array::Items;
use crate::block::Block;
use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::{boundaries_of, proportional, unsigned, unsigned_or_none, Place, Room};
use crate::pool::Pool;
use crate::segment::{closing, coroutine, wanted, Handle};
use crate::views::{Lender, Loan, Record};
use crate::wait::{deadline, wait};
use ipcx::{Deadline, Error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;

/// Most bytes and records that one call of `recv_packed` takes, unless the first record alone is larger.
const PACK: usize = 256 << 10;
const MOST: usize = 16 << 10;

/// The receiving end of a ring. One exists at a time, over all processes;
/// it belongs to one thread at a time.
///
/// Iterating yields the records as bytes, and ends when the producer closed
/// and everything was received. A record received but not released when
/// this process dies is delivered again to the next consumer. Iterating and
/// the `recv` calls release what they return: a process killed inside them
/// may have released a record that its program never saw. Where each must
/// be dealt with, `borrow` it.
///
/// Pickled, it is the name of its ring and its role: whoever unpickles it
/// takes the role, which is Busy until this one is closed (before or after
/// it was pickled) or its process died.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Consumer {
    end: Exclusive<Receiving>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
}

pub(crate) struct Receiving {
    pub(crate) core: ipcx::Consumer,
    lender: Lender,
    /// Where `recv_packed` lets the core put records and lengths; kept to be used again.
    pack: Vec<u8>,
    lens: Vec<usize>,
}

fn borrow(state: &mut Receiving, deadline: Deadline) -> ipcx::Result<Place> {
    let (at, len) = state.core.borrow_raw(deadline)?;
    Ok(Place { at: at.cast_mut(), len })
}

impl Consumer {
    pub(crate) fn new(core: ipcx::Consumer, ring: &Handle<ipcx::Ring>) -> Consumer {
        let state = Receiving { core, lender: Lender::default(), pack: Vec::new(), lens: Vec::new() };
        Consumer { end: Exclusive::of_segment(state, "Consumer", ring), descriptor: AtomicI32::new(-1) }
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.end.segment())
    }

    /// The state, with an abandoned borrow cleared away.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, Receiving>> {
        let mut state = self.end.lock(py)?;
        if !state.lender.is_free() && state.lender.settle()? {
            state.core.return_raw();
        }
        Ok(state)
    }

    /// Borrows the next record from the core, waiting for it until `deadline`.
    #[inline]
    fn next(&self, py: Python<'_>, deadline: Deadline) -> PyResult<(Guard<'_, Receiving>, Place)> {
        let mut state = self.lock(py)?;
        match borrow(&mut state, Deadline::NOW) {
            Ok(record) => Ok((state, record)),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                wait(py, &self.end, state, deadline, borrow).map_err(|end| end.raise(py, self.end.segment()))
            }
            Err(error) => Err(self.raise(py, &error)),
        }
    }

    /// Borrows the next record, and releases it if `take` succeeds; otherwise it is delivered again.
    #[inline]
    fn take<T>(
        &self,
        py: Python<'_>,
        deadline: Deadline,
        take: impl FnOnce(Place) -> PyResult<T>,
    ) -> PyResult<T> {
        let (mut state, record) = self.next(py, deadline)?;
        let taken = take(record);
        match &taken {
            Ok(_) => state.core.release_raw().map_err(|error| self.raise(py, &error))?,
            Err(_) => state.core.return_raw(),
        }
        taken
    }

    fn recv_until<'py>(&self, py: Python<'py>, deadline: Deadline) -> PyResult<Bound<'py, PyBytes>> {
        // SAFETY: the core lends the record until it is released, after this.
        self.take(py, deadline, |record| unsafe { record.to_bytes(py) })
    }

    /// Ends the borrow with a release.
    pub(crate) fn release(&self, py: Python<'_>, loan: &Arc<Loan>) -> PyResult<()> {
        let mut state = self.end.lock(py)?;
        if !state.lender.is_of(loan) {
            return Err(PyValueError::new_err("this record is no longer borrowed"));
        }
        state.lender.end()?;
        state.core.release_raw().map_err(|error| self.raise(py, &error))
    }
}

#[pymethods]
impl Consumer {
    /// Receive the next record as bytes.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.recv_until(py, deadline(timeout)?)
    }

    /// Receive up to max records as a list of bytes: wait for the first,
    /// and take what is there.
    #[pyo3(signature = (max, timeout=None))]
    fn recv_many<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = unsigned)] max: usize,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        check_max(max)?;
        let deadline = deadline(timeout)?;
        let records = PyList::empty(py);
        let (mut state, mut record) = self.next(py, deadline)?;
        loop {
            // SAFETY: the core lends the record until it is released, after this.
            let kept = unsafe { record.to_bytes(py) }.and_then(|bytes| records.append(bytes));
            match kept {
                Ok(()) => state.core.release_raw().map_err(|error| self.raise(py, &error))?,
                Err(error) => {
                    state.core.return_raw();
                    // Those before it are released: they must reach the caller.
                    return if records.is_empty() { Err(error) } else { Ok(records) };
                }
            }
            if records.len() == max {
                return Ok(records);
            }
            match borrow(&mut state, Deadline::NOW) {
                Ok(next) => record = next,
                Err(_) => return Ok(records), // Whatever it is, the next call meets it again.
            }
        }
    }

    /// Receive up to max records as (data, offsets): the records back to
    /// back in one bytes object, and a read-only memoryview of n + 1
    /// unsigned 64-bit boundaries, so that record i is
    /// data[offsets[i]:offsets[i + 1]].
    ///
    /// Waits for the first record and takes what is there, at most 256 KiB
    /// at a time unless one record is larger.
    #[pyo3(signature = (max, timeout=None))]
    fn recv_packed<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = unsigned)] max: usize,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyAny>)> {
        check_max(max)?;
        let deadline = deadline(timeout)?;
        let (mut state, first) = self.next(py, deadline)?;
        state.core.return_raw();
        let Receiving { core, pack, lens, .. } = &mut *state;
        pack.resize(pack.len().max(PACK).max(first.len), 0);
        lens.resize(max.min(MOST), 0);
        let count =
            core.borrow_many_raw(pack, lens, Deadline::NOW).map_err(|error| self.raise(py, &error))?;
        let (lens, data) = (&lens[..count], &pack[..lens[..count].iter().sum()]);
        // Released only when the objects are made: for lack of memory, nothing is lost.
        let made = PyBytes::new_with(py, data.len(), |bytes| {
            bytes.copy_from_slice(data);
            Ok(())
        })
        .and_then(|bytes| Ok((bytes, boundaries_of(py, lens)?)));
        match made {
            Ok(_) => core.release_raw().map_err(|error| self.raise(py, &error))?,
            Err(_) => core.return_raw(),
        }
        made
    }

    /// Receive records of exactly dtype.itemsize bytes as a NumPy array of
    /// shape (n,), copied once: wait for the first, and take what is
    /// there, up to max (None: all) and up to a record of another length.
    /// The array is the caller's own.
    ///
    ///     ticks = rx.recv_fixed([("at", "u8"), ("price", "f8")])
    ///
    /// If the next record has another length, Mismatch is raised and the
    /// record stays: recv() has it, skip() gets past it.
    #[pyo3(signature = (dtype, max=None, timeout=None))]
    fn recv_fixed<'py>(
        &self,
        py: Python<'py>,
        dtype: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = unsigned_or_none)] max: Option<usize>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let max = max.unwrap_or(usize::MAX);
        check_max(max)?;
        let deadline = deadline(timeout)?;
        let items = Items::of(py, dtype)?;
        let (mut state, _) = self.next(py, deadline)?;
        state.core.return_raw();
        let Receiving { core, lens, .. } = &mut *state;
        let count = core.count_of_length(items.size, max, Deadline::NOW);
        let count = count.map_err(|error| self.raise(py, &error))?;
        let array = items.room(count)?;
        lens.resize(lens.len().max(count), 0);
        let (room, lens) = (Room::of(&array)?, &mut lens[..count]);
        // SAFETY: nobody else has seen the array yet, and the export keeps its bytes in place.
        let bytes = unsafe { room.place().slice_mut() };
        let copied = proportional(py, bytes.len(), || core.borrow_many_raw(bytes, lens, Deadline::NOW));
        let copied = copied.map_err(|error| self.raise(py, &error))?;
        // Released only when the array is made: whatever fails before, nothing is lost.
        let made = match copied == count && lens.iter().all(|len| *len == items.size) {
            true => items.array(&array, count),
            false => Err(errors::corrupt(py, "records changed their length while they were received")),
        };
        match made {
            Ok(_) => core.release_raw().map_err(|error| self.raise(py, &error))?,
            Err(_) => core.return_raw(),
        }
        made
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
        self.take(py, deadline, |record| {
            let available = room.place().len;
            if record.len > available {
                return Err(self.raise(py, &Error::TooBig { needed: record.len, available }));
            }
            // SAFETY: the core lends the record until it is released, and the export keeps the buffer, which is not
            // this ring's consumer side (that is read-only).
            unsafe { record.copy_to(py, room.place().at) };
            Ok(record.len)
        })
    }

    /// Borrow the next record in place, without a copy: `with rx.borrow()
    /// as record: memoryview(record)`.
    #[pyo3(signature = (timeout=None))]
    fn borrow(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Record> {
        let deadline = deadline(timeout)?;
        let (mut state, record) = slf.get().next(slf.py(), deadline)?;
        let loan = state.lender.lend();
        Ok(Record::new(slf.clone().unbind(), loan, record, state.core.position()))
    }

    /// Take over the block that the next record hands over, without a
    /// copy. `pool` is a handle on the pool that it is of. len(block) is
    /// then what was sent of it, of block.capacity bytes.
    ///
    /// A block of another pool is a Mismatch, and the record stays. If its
    /// pool was unlinked and made anew, the new one cannot receive it:
    /// skip() gets past it.
    #[pyo3(signature = (pool, timeout=None))]
    fn recv_block(
        &self,
        py: Python<'_>,
        pool: &Bound<'_, Pool>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Block> {
        let (deadline, pool) = (deadline(timeout)?, pool.get().open_pool()?);
        let mut state = self.lock(py)?;
        let (id, len) = match state.core.recv_block_raw(&pool, Deadline::NOW) {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                let attempt = |state: &mut Receiving, slice| state.core.recv_block_raw(&pool, slice);
                let received = wait(py, &self.end, state, deadline, attempt);
                received.map_err(|ended| ended.raise(py, self.end.segment()))?.1
            }
            done => done.map_err(|error| self.raise(py, &error))?,
        };
        Ok(Block::new(pool, id, len))
    }

    /// Release the next record without looking at what it carries; False
    /// if there is none. Does not wait.
    ///
    /// For a record that cannot be received: it hands over a block of a
    /// pool that was unlinked and made anew. The block is not taken over,
    /// but stays in flight. It goes with its pool's memory, where the pool
    /// is gone; otherwise pool.recover() gives it back once the ring is
    /// gone. Who has a handle on its pool receives the block, and releases
    /// it, instead.
    fn skip(&self, py: Python<'_>) -> PyResult<bool> {
        let mut state = self.lock(py)?;
        state.core.skip().map_err(|error| self.raise(py, &error))
    }

    /// Receive the next record as bytes, from a coroutine: `await
    /// rx.arecv()`. Cancelling it loses nothing.
    fn arecv<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "recv", None)
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while there is a record, or the producer went. Do not read it, do
    /// not close it; it lives as long as the consumer.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut state = self.end.lock(py)?;
        let fd = state.core.poll_fd().map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        self.descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// Queue a real-time signal to this process each time there is a
    /// record to receive, or the producer went, and once now if there is
    /// one. Receive until that would block: only then does the next one
    /// queue a signal. None, or 0, ends it; do so when a call says that
    /// the producer went, since each such call queues another.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        let mut state = self.end.lock(py)?;
        state.core.signal(wanted(signo)).map_err(|error| self.raise(py, &error))
    }

    /// Stream position of the next record, in bytes since the ring was
    /// made; that of the one borrowed meanwhile.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.end.lock(py)?.core.position())
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.end.is_closed(py)
    }

    /// Give the role up. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.end.take(py, |state| state.lender.end())?;
        let told = closing(py, &self.descriptor);
        py.detach(|| drop(state));
        told
    }

    fn __iter__(slf: &Bound<'_, Self>) -> Py<Self> {
        slf.clone().unbind()
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match self.recv_until(py, Deadline::NEVER) {
            Ok(record) => Ok(Some(record)),
            Err(error) if errors::is_closed(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "records", None)
    }

    /// For multiprocessing; this one may be closed already.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.end.reduce(py, "consumer")
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

fn check_max(max: usize) -> PyResult<()> {
    if max == 0 {
        return Err(PyValueError::new_err("max is at least 1"));
    }
    Ok(())
}
