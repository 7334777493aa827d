//! The handle on a ring, and its figures.

use crate::consumer::Consumer;
use crate::payload::unsigned;
use crate::producer::{descriptor, Producer};
use crate::segment::{strategy, Handle, Participant};
use ipcx::{RingOptions, RoleState, SegmentOptions};
use pyo3::prelude::*;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// A queue of variable-length records from one producer to one consumer, in
/// shared memory.
///
/// Ring.open(name) makes a ring or attaches to the one that exists; the
/// other ways are Ring.create, Ring.attach, Ring.anonymous and
/// Ring.from_fd. The handle may be used by several threads. Closing it does
/// not remove the name (ipcx.unlink does), and endpoints taken from it go
/// on working.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Ring {
    handle: Handle<ipcx::Ring>,
    capacity: u64,
}

impl Ring {
    /// What the options say, less those that only a creator needs.
    fn options(capacity: u64, directory: Option<PathBuf>, schema: Option<String>) -> RingOptions {
        RingOptions { capacity, segment: SegmentOptions { directory, schema, ..Default::default() } }
    }

    fn make(
        py: Python<'_>,
        name: &str,
        options: &RingOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Ring> + Send,
    ) -> PyResult<Ring> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let capacity = handle.get()?.capacity();
        Ok(Ring { handle, capacity })
    }
}

#[pymethods]
impl Ring {
    /// Create a ring that must be new.
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
    ) -> PyResult<Ring> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = RingOptions { capacity, segment };
        Ring::make(py, name, &options, || ipcx::Ring::create(name, &options))
    }

    /// Attach to a ring, or create it if there is none.
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
    ) -> PyResult<Ring> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = RingOptions { capacity, segment };
        Ring::make(py, name, &options, || ipcx::Ring::open(name, &options))
    }

    /// Attach to a ring that must exist, and agree with the schema and the
    /// capacity if they are given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, capacity=0))]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
    ) -> PyResult<Ring> {
        let options = Ring::options(capacity, directory, schema);
        Ring::make(py, name, &options, || ipcx::Ring::attach_with(name, &options))
    }

    /// Create a ring without a name, in memory sealed against resizing.
    /// Hand share_fd() to another process.
    #[staticmethod]
    #[pyo3(signature = (*, capacity=0, max_participants=0, schema=None, wait="balanced"))]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Ring> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = RingOptions { capacity, segment };
        Ring::make(py, "", &options, || ipcx::Ring::anonymous(&options))
    }

    /// Attach to the ring behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Ring> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Ring::make(py, "", &RingOptions::default(), || ipcx::Ring::from_fd(fd))
    }

    /// A new descriptor of the ring, to hand to another process; yours to
    /// close. It is closed on exec unless you say otherwise (subprocess:
    /// pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// Take the producer's role: the first time, or after its owner closed
    /// or died.
    fn producer(&self, py: Python<'_>) -> PyResult<Producer> {
        let producer = self.handle.get()?.producer().map_err(|error| self.handle.raise(py, &error))?;
        Ok(Producer::new(producer, &self.handle))
    }

    /// Take the consumer's role: the first time, or after its owner closed
    /// or died.
    fn consumer(&self, py: Python<'_>) -> PyResult<Consumer> {
        let consumer = self.handle.get()?.consumer().map_err(|error| self.handle.raise(py, &error))?;
        Ok(Consumer::new(consumer, &self.handle))
    }

    /// Figures as they are now, taken without stopping anybody.
    fn stats(&self, py: Python<'_>) -> PyResult<RingStats> {
        self.handle.get()?.stats().map(RingStats::from).map_err(|error| self.handle.raise(py, &error))
    }

    /// Name, or 'anonymous'.
    #[getter]
    fn name(&self) -> &str {
        &self.handle.name
    }

    /// Bytes for records.
    #[getter]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The schema label it was created with.
    #[getter]
    fn schema(&self) -> Option<&str> {
        self.handle.schema.as_deref()
    }

    /// How calls on it wait: 'balanced', 'spin', 'yield' or 'block'.
    #[getter]
    fn wait(&self) -> &'static str {
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

    /// Let go of the handle. The name stays, and so do endpoints taken
    /// from it. Closing again does nothing.
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
        self.handle.describe(&format!("{} bytes", self.capacity))
    }
}

/// Figures of a ring. Taken without stopping anybody, so they may be apart
/// by what was in work.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RingStats {
    /// Bytes for records.
    capacity: u64,
    /// Bytes taken by records not released.
    used: u64,
    /// Records committed since the ring was made.
    sent: u64,
    /// Records released since the ring was made.
    received: u64,
    /// Stream position behind the last record committed, in bytes.
    sent_bytes: u64,
    /// Stream position of the first record not released, in bytes.
    received_bytes: u64,
    /// State of the producer's role: 'never', 'alive', 'closed' or 'dead'.
    producer: &'static str,
    /// State of the consumer's role: 'never', 'alive', 'closed' or 'dead'.
    consumer: &'static str,
    /// Who holds the producer's role, or died holding it.
    producer_process: Option<Participant>,
    /// Who holds the consumer's role, or died holding it.
    consumer_process: Option<Participant>,
}

#[pymethods]
impl RingStats {
    fn __repr__(&self) -> String {
        format!(
            "RingStats(capacity={}, used={}, sent={}, received={}, sent_bytes={}, received_bytes={}, producer='{}', \
             consumer='{}')",
            self.capacity,
            self.used,
            self.sent,
            self.received,
            self.sent_bytes,
            self.received_bytes,
            self.producer,
            self.consumer,
        )
    }
}

impl From<ipcx::RingStats> for RingStats {
    fn from(from: ipcx::RingStats) -> RingStats {
        RingStats {
            capacity: from.capacity,
            used: from.used,
            sent: from.sent,
            received: from.received,
            sent_bytes: from.sent_bytes,
            received_bytes: from.received_bytes,
            producer: state_name(from.producer),
            consumer: state_name(from.consumer),
            producer_process: from.producer_process.map(Participant::from),
            consumer_process: from.consumer_process.map(Participant::from),
        }
    }
}

pub(crate) fn state_name(state: RoleState) -> &'static str {
    match state {
        RoleState::Never => "never",
        RoleState::Alive => "alive",
        RoleState::Closed => "closed",
        RoleState::Dead => "dead",
        _ => "unknown",
    }
}
