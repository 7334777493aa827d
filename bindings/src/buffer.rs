//! The handle on a buffer, and its figures.

use crate::locked::LockedValue;
use crate::payload::{proportional, room_for_bytes, unsigned, Payload, Place, Room, LARGE};
use crate::producer::descriptor;
use crate::segment::{aio, coroutine, strategy, wanted, Handle, Participant};
use crate::wait::{deadline, slices, Ended};
use ipcx::{BufferOptions, Deadline, Error, SegmentOptions};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Values up to this size are copied once more, and not asked for their length first.
const SMALL: usize = 256;

/// A value in shared memory: the current price, the current map. One
/// process writes at a time, any number read, and wait for the next
/// version.
///
///     price = ipcx.Buffer.open("price")
///     version = price.write(b"1234.50")
///     assert price.read() == b"1234.50"
///
/// Readers take no lock and never see half a value; a writer that dies
/// half-way leaves the old one. Each write is a new version, numbered from
/// 1 on; a buffer into which nothing was written is empty, and of version
/// 0.
///
/// Buffer.open(name) makes a buffer or attaches to the one that exists; the
/// other ways are Buffer.create, Buffer.attach, Buffer.anonymous and
/// Buffer.from_fd. The handle may be used by several threads. Closing it
/// does not remove the name (ipcx.unlink does).
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Buffer {
    handle: Handle<ipcx::Buffer>,
    capacity: usize,
}

/// One attempt to copy the value to `to`.
fn read_to(py: Python<'_>, buffer: &ipcx::Buffer, to: Place) -> ipcx::Result<(usize, u64)> {
    // SAFETY: valid for writing for as long as the caller is in this call, who lets nobody else use it.
    let read = || buffer.read(unsafe { to.slice_mut() });
    proportional(py, to.len, read)
}

impl Buffer {
    fn make(
        py: Python<'_>,
        name: &str,
        options: &BufferOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Buffer> + Send,
    ) -> PyResult<Buffer> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let capacity = handle.get()?.capacity();
        Ok(Buffer { handle, capacity })
    }

    pub(crate) fn open_buffer(&self) -> PyResult<Arc<ipcx::Buffer>> {
        self.handle.get()
    }

    /// Copies the value to `to`; again where writers are so fast that none of the core's looks found it unchanged.
    #[inline]
    fn look(&self, py: Python<'_>, buffer: &ipcx::Buffer, to: Place) -> Result<(usize, u64), Ended> {
        match read_to(py, buffer, to) {
            Err(Error::WouldBlock(_)) => {
                slices(py, Deadline::NEVER, |_| read_to(py, buffer, to).map_err(Ended::Core))
            }
            done => done.map_err(Ended::Core),
        }
    }

    /// A copy of the value, and its version.
    #[inline]
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, u64)> {
        let buffer = self.handle.get()?;
        let mut small = [0; SMALL];
        let place = Place { at: small.as_mut_ptr(), len: SMALL };
        let (bytes, version) = match self.look(py, &buffer, place) {
            Ok((len, version)) => (PyBytes::new(py, &small[..len]), version),
            Err(Ended::Core(Error::TooBig { needed, .. })) => self.copy_large(py, &buffer, needed)?,
            Err(ended) => return Err(ended.raise(py, &self.handle.name)),
        };
        self.saw(py, version)?;
        Ok((bytes, version))
    }

    fn copy_large<'py>(
        &self,
        py: Python<'py>,
        buffer: &ipcx::Buffer,
        mut needed: usize,
    ) -> PyResult<(Bound<'py, PyBytes>, u64)> {
        loop {
            let (bytes, room) = room_for_bytes(py, needed)?;
            match self.look(py, buffer, room) {
                Ok((len, version)) if len == needed => return Ok((bytes, version)),
                Ok((len, version)) => return Ok((PyBytes::new(py, &bytes.as_bytes()[..len]), version)),
                // It grew since: at most to the capacity.
                Err(Ended::Core(Error::TooBig { needed: more, .. })) if more > needed => needed = more,
                Err(ended) => return Err(ended.raise(py, &self.handle.name)),
            }
        }
    }

    /// The user of this handle got this version. The descriptor says whether there is another one; so tasks that wait for
    /// another than an older one by that descriptor have to look.
    #[inline]
    pub(crate) fn saw(&self, py: Python<'_>, version: u64) -> PyResult<()> {
        match self.handle.descriptor() {
            None => Ok(()),
            Some(fd) => saw(py, fd, version),
        }
    }

    /// For what does not fit at once, or takes long: the data is where nobody changes it while others run.
    #[cold]
    fn write_slowly(
        &self,
        py: Python<'_>,
        buffer: &ipcx::Buffer,
        data: Payload<'_>,
        deadline: Deadline,
    ) -> PyResult<u64> {
        let data = data.constant(py)?;
        let data = data.as_bytes();
        let write = |until| py.detach(|| buffer.write_until(data, until)).map_err(Ended::Core);
        let written = if deadline.is_now() { write(deadline) } else { slices(py, deadline, write) };
        written.map_err(|ended| ended.raise(py, &self.handle.name))
    }
}

/// The descriptors that tasks wait for, of `ipcx._aio`, once that is loaded.
static WATCHES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

#[cold]
fn saw(py: Python<'_>, fd: i32, version: u64) -> PyResult<()> {
    let load = || Ok::<_, PyErr>(aio(py)?.getattr("_watches")?.cast_into::<PyDict>()?.unbind());
    if WATCHES.get_or_try_init(py, load)?.bind(py).contains(fd)? {
        aio(py)?.call_method1(pyo3::intern!(py, "saw"), (fd, version))?;
    }
    Ok(())
}

#[pymethods]
impl Buffer {
    /// Create a buffer that must be new.
    #[staticmethod]
    #[pyo3(signature = (name, *, capacity=0, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Buffer> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = BufferOptions { capacity, segment };
        Buffer::make(py, name, &options, || ipcx::Buffer::create(name, &options))
    }

    /// Attach to a buffer, or create it if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, *, capacity=0, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Buffer> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = BufferOptions { capacity, segment };
        Buffer::make(py, name, &options, || ipcx::Buffer::open(name, &options))
    }

    /// Attach to a buffer that must exist, and agree with the schema and
    /// the capacity if they are given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, capacity=0))]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
    ) -> PyResult<Buffer> {
        let segment = SegmentOptions { directory, schema, ..Default::default() };
        let options = BufferOptions { capacity, segment };
        Buffer::make(py, name, &options, || ipcx::Buffer::attach_with(name, &options))
    }

    /// Create a buffer without a name, in memory sealed against resizing.
    /// Hand share_fd() to another process.
    #[staticmethod]
    #[pyo3(signature = (*, capacity=0, max_participants=0, schema=None, wait="balanced"))]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Buffer> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = BufferOptions { capacity, segment };
        Buffer::make(py, "", &options, || ipcx::Buffer::anonymous(&options))
    }

    /// Attach to the buffer behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Buffer::make(py, "", &BufferOptions::default(), || ipcx::Buffer::from_fd(fd))
    }

    /// A new descriptor of the buffer, to hand to another process; yours
    /// to close. It is closed on exec unless you say otherwise
    /// (subprocess: pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// Make a copy of data the value, and return which version it is.
    /// Waits while somebody else has the lock; after an exception, the
    /// value is as it was.
    #[pyo3(signature = (data, timeout=None))]
    fn write(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(data)?;
        let buffer = self.handle.get()?;
        let needed = data.place().len;
        if needed < LARGE || needed > self.capacity {
            match buffer.try_write(data.as_ref()) {
                Ok(version) => return Ok(version),
                Err(Error::WouldBlock(_)) if !deadline.is_now() => {}
                Err(error) => return Err(self.handle.raise(py, &error)),
            }
        }
        self.write_slowly(py, &buffer, data, deadline)
    }

    /// The value, as bytes.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.copy(py).map(|(bytes, _)| bytes)
    }

    /// The value, as bytes, and its version.
    fn read_versioned<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, u64)> {
        self.copy(py)
    }

    /// Copy the value into a writable buffer (a bytearray, an array, a
    /// ctypes structure), and return its length and its version. If the
    /// buffer is too small, TooBig is raised.
    fn read_into(&self, py: Python<'_>, buf: &Bound<'_, PyAny>) -> PyResult<(usize, u64)> {
        let room = Room::of(buf)?;
        let buffer = self.handle.get()?;
        let read = self.look(py, &buffer, room.place());
        let (len, version) = read.map_err(|ended| ended.raise(py, &self.handle.name))?;
        self.saw(py, version)?;
        Ok((len, version))
    }

    /// Wait until the version is another than seen, and return which.
    #[pyo3(signature = (seen, timeout=None))]
    fn wait(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] seen: u64,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let deadline = deadline(timeout)?;
        let buffer = self.handle.get()?;
        let mut waited = buffer.wait_until(seen, Deadline::NOW).map_err(Ended::Core);
        if matches!(waited, Err(Ended::Core(Error::WouldBlock(_)))) {
            self.saw(py, seen)?;
            if !deadline.is_now() {
                let wait = |slice| py.detach(|| buffer.wait_until(seen, slice)).map_err(Ended::Core);
                waited = slices(py, deadline, wait);
            }
        }
        let version = waited.map_err(|ended| ended.raise(py, &self.handle.name))?;
        self.saw(py, version)?;
        Ok(version)
    }

    /// Wait until the version is another than seen, from a coroutine:
    /// `version = await buffer.await_newer(version)`.
    fn await_newer<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = unsigned)] seen: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "newer", Some(seen))
    }

    /// What ipcx.wait_any waits for: another version than seen.
    fn newer_than(slf: &Bound<'_, Self>, #[pyo3(from_py_with = unsigned)] seen: u64) -> NewerThan {
        NewerThan { buffer: slf.clone().unbind(), seen }
    }

    /// Take the lock, to change the value in place, and to use the
    /// condition: `with buffer.lock() as value:`. It belongs to the thread
    /// that takes it.
    #[pyo3(signature = (timeout=None))]
    fn lock(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<LockedValue> {
        let deadline = deadline(timeout)?;
        let buffer = self.handle.get()?;
        LockedValue::take(py, buffer, deadline)
    }

    /// Wake one of those that wait for a notification (value.wait), or all
    /// of them.
    #[pyo3(signature = (all=false))]
    fn notify(&self, py: Python<'_>, all: bool) -> PyResult<()> {
        self.handle.get()?.notify(all).map_err(|error| self.handle.raise(py, &error))
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while the version is another than this handle last gave you, by a
    /// read or a wait. Do not read it, do not close it; it lives as long
    /// as the handle.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.fileno(py, ipcx::Buffer::poll_fd)
    }

    /// Queue a real-time signal to this process each time there is another
    /// version than this handle last gave you, and once now if there is.
    /// Read it: only then does the next one queue a signal. None, or 0,
    /// ends it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        self.handle.get()?.signal(wanted(signo)).map_err(|error| self.handle.raise(py, &error))
    }

    /// Figures as they are now, taken without stopping anybody.
    fn stats(&self, py: Python<'_>) -> PyResult<BufferStats> {
        let buffer = self.handle.get()?;
        py.detach(|| buffer.stats()).map(BufferStats::from).map_err(|error| self.handle.raise(py, &error))
    }

    /// How many writes were committed: the version of the value, as of
    /// now.
    #[getter]
    fn version(&self) -> PyResult<u64> {
        Ok(self.handle.get()?.version())
    }

    /// Bytes that a value has at most.
    #[getter]
    fn capacity(&self) -> usize {
        self.capacity
    }

    /// Name, or 'anonymous'.
    #[getter]
    fn name(&self) -> &str {
        &self.handle.name
    }

    /// The schema label it was created with.
    #[getter]
    fn schema(&self) -> Option<&str> {
        self.handle.schema.as_deref()
    }

    /// How calls on it wait: 'balanced', 'spin', 'yield' or 'block'.
    #[getter]
    fn wait_strategy(&self) -> &'static str {
        self.handle.wait()
    }

    /// Directory of its file; None if it has no name.
    #[getter]
    fn directory(&self) -> Option<&std::ffi::OsStr> {
        self.handle.directory()
    }

    /// True after close().
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Let go of the handle. The name stays; a value that is locked keeps
    /// the memory until it goes. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close(py)
    }

    /// For multiprocessing: the other process attaches anew, by name, or
    /// by a descriptor that travels along.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().handle.reduce(slf)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        slf.get().handle.get()?;
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
        self.handle.close(py)
    }

    fn __repr__(&self) -> String {
        self.handle.describe(&format!("up to {} bytes", self.capacity))
    }
}

/// Another version of a buffer than one that was seen: what ipcx.wait_any
/// waits for. `buffer.newer_than(version)` makes it.
#[pyclass(frozen, get_all, module = "ipcx")]
pub(crate) struct NewerThan {
    /// The buffer.
    pub(crate) buffer: Py<Buffer>,
    /// The version that was seen.
    pub(crate) seen: u64,
}

#[pymethods]
impl NewerThan {
    fn __repr__(&self) -> String {
        format!("<ipcx.NewerThan version {} of '{}'>", self.seen, self.buffer.get().handle.name)
    }
}

/// Figures of a buffer.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BufferStats {
    /// Bytes that a value has at most.
    capacity: u64,
    /// Bytes that the value has.
    len: u64,
    /// How many writes were committed.
    version: u64,
    /// True if somebody has the lock, or died having it.
    locked: bool,
    /// Who that is, if it says so.
    owner: Option<Participant>,
}

#[pymethods]
impl BufferStats {
    fn __repr__(&self) -> String {
        let locked = if self.locked { "True" } else { "False" };
        let owner = self.owner.as_ref().map_or("None".to_owned(), Participant::describe);
        format!(
            "BufferStats(capacity={}, len={}, version={}, locked={locked}, owner={owner})",
            self.capacity, self.len, self.version
        )
    }
}

impl From<ipcx::BufferStats> for BufferStats {
    fn from(from: ipcx::BufferStats) -> BufferStats {
        BufferStats {
            capacity: from.capacity,
            len: from.len,
            version: from.version,
            locked: from.locked,
            owner: from.owner.map(Participant::from),
        }
    }
}
