//! The handle on a semaphore, and its figures.

use crate::fork;
use crate::payload::{unsigned, unsigned_or_none};
use crate::producer::descriptor;
use crate::segment::{coroutine, strategy, wanted, Handle, Participant};
use crate::wait::{deadline, slices, Ended};
use ipcx::{Deadline, Error, SegmentOptions, SemaphoreOptions};
use pyo3::prelude::*;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

/// A counting semaphore in shared memory, whose permits come back when
/// their holder dies.
///
///     licences = ipcx.Semaphore.open("licences", limit=4)
///     with licences:
///         ...
///
/// Whoever acquires a permit holds it until it releases it, closes its
/// handle, or dies. The permits that a handle holds are the handle's,
/// whichever thread acquired them. A release by a handle that holds none
/// makes one more, up to the limit; with `consume`, a permit is used up
/// instead of held: one side signals by releasing, the other one consumes.
///
/// Semaphore.open(name) makes a semaphore or attaches to the one that
/// exists; the other ways are Semaphore.create, Semaphore.attach,
/// Semaphore.anonymous and Semaphore.from_fd. The limit is 1 to 1048576, by
/// default as many permits as there are initially, or 1; initially there
/// are as many as the limit, unless you say otherwise. Closing the handle
/// does not remove the name (ipcx.unlink does).
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Semaphore {
    handle: Handle<ipcx::Semaphore>,
    limit: u64,
    within: Within,
}

/// How many `with` blocks of this process hold a permit: what one of the parent acquired is not a forked child's to release.
#[derive(Default)]
struct Within {
    /// All under the interpreter's lock, hence relaxed.
    blocks: AtomicU32,
    generation: AtomicU32,
}

impl Within {
    fn blocks(&self) -> u32 {
        let ours = self.generation.load(Ordering::Relaxed) == fork::generation();
        if ours {
            self.blocks.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    fn enter(&self) {
        self.blocks.store(self.blocks() + 1, Ordering::Relaxed);
        self.generation.store(fork::generation(), Ordering::Relaxed);
    }

    /// False if none was entered in this process.
    fn leave(&self) -> bool {
        let left = self.blocks().checked_sub(1);
        self.blocks.store(left.unwrap_or(0), Ordering::Relaxed);
        left.is_some()
    }
}

impl Semaphore {
    fn make(
        py: Python<'_>,
        name: &str,
        options: &SemaphoreOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Semaphore> + Send,
    ) -> PyResult<Semaphore> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let limit = handle.get()?.limit();
        Ok(Semaphore { handle, limit, within: Within::default() })
    }

    pub(crate) fn open_semaphore(&self) -> PyResult<Arc<ipcx::Semaphore>> {
        self.handle.get()
    }

    /// What `take` takes, waiting for it until `deadline`.
    fn take(
        &self,
        py: Python<'_>,
        deadline: Deadline,
        take: impl Fn(&ipcx::Semaphore, Deadline) -> ipcx::Result<()> + Sync,
    ) -> PyResult<()> {
        let semaphore = &*self.handle.get()?;
        let taken = match take(semaphore, Deadline::NOW) {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                slices(py, deadline, |slice| py.detach(|| take(semaphore, slice)).map_err(Ended::Core))
            }
            done => done.map_err(Ended::Core),
        };
        taken.map_err(|ended| ended.raise(py, &self.handle.name))
    }

    /// At the end of a `with` block: releases, unless the handle was closed, and with it all that it held.
    fn leave(&self, py: Python<'_>, failed: bool) -> PyResult<()> {
        let ours = self.within.leave();
        if self.handle.is_closed() {
            return Ok(());
        }
        let released = if ours { self.release(py) } else { Err(self.handle.raise(py, &Error::Forked)) };
        // An exception on its way is not hidden by this one.
        if failed {
            return Ok(());
        }
        released
    }
}

#[pymethods]
impl Semaphore {
    /// Create a semaphore that must be new.
    #[staticmethod]
    #[pyo3(signature = (name, *, limit=0, initial=None, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] limit: u64,
        #[pyo3(from_py_with = unsigned_or_none)] initial: Option<u64>,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Semaphore> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = SemaphoreOptions { limit, initial, segment };
        Semaphore::make(py, name, &options, || ipcx::Semaphore::create(name, &options))
    }

    /// Attach to a semaphore, or create it if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, *, limit=0, initial=None, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] limit: u64,
        #[pyo3(from_py_with = unsigned_or_none)] initial: Option<u64>,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Semaphore> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = SemaphoreOptions { limit, initial, segment };
        Semaphore::make(py, name, &options, || ipcx::Semaphore::open(name, &options))
    }

    /// Attach to a semaphore that must exist, and agree with the schema
    /// and the limit if they are given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, limit=0))]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] limit: u64,
    ) -> PyResult<Semaphore> {
        let segment = SegmentOptions { directory, schema, ..Default::default() };
        let options = SemaphoreOptions { limit, segment, ..Default::default() };
        Semaphore::make(py, name, &options, || ipcx::Semaphore::attach_with(name, &options))
    }

    /// Create a semaphore without a name, in memory sealed against
    /// resizing. Hand share_fd() to another process.
    #[staticmethod]
    #[pyo3(signature = (*, limit=0, initial=None, max_participants=0, schema=None, wait="balanced"))]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] limit: u64,
        #[pyo3(from_py_with = unsigned_or_none)] initial: Option<u64>,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Semaphore> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = SemaphoreOptions { limit, initial, segment };
        Semaphore::make(py, "", &options, || ipcx::Semaphore::anonymous(&options))
    }

    /// Attach to the semaphore behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Semaphore> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Semaphore::make(py, "", &SemaphoreOptions::default(), || ipcx::Semaphore::from_fd(fd))
    }

    /// A new descriptor of the semaphore, to hand to another process;
    /// yours to close. It is closed on exec unless you say otherwise
    /// (subprocess: pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// Acquire a permit, which this handle then holds; wait for one if
    /// there is none. Permits of the dead are found where no other is.
    #[pyo3(signature = (timeout=None))]
    fn acquire(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.take(py, deadline(timeout)?, ipcx::Semaphore::acquire_raw)
    }

    /// Use a permit up; wait for one if there is none. Nobody holds it
    /// then, and it does not come back. A process that is killed in this
    /// call may have used it up or not.
    #[pyo3(signature = (timeout=None))]
    fn consume(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.take(py, deadline(timeout)?, ipcx::Semaphore::consume_until)
    }

    /// Acquire a permit, from a coroutine: `await semaphore.aacquire()`,
    /// or `async with semaphore:`. Cancelling it loses nothing.
    fn aacquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "acquire", None)
    }

    /// Use a permit up, from a coroutine: `await semaphore.aconsume()`.
    /// Cancelling it loses nothing.
    fn aconsume<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "consume", None)
    }

    /// Give back a permit that this handle holds; if it holds none, make
    /// one more. If the limit is reached then, that is a ValueError.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.get()?.release().map_err(|error| self.handle.raise(py, &error))
    }

    /// Give back a permit that this handle holds; if it holds none, one
    /// that another holds; if nobody does, make one more, up to the
    /// limit. Not for a semaphore whose permits are consumed.
    fn release_any(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.get()?.release_any().map_err(|error| self.handle.raise(py, &error))
    }

    /// Use up what this handle holds: it does not come back when the
    /// handle is closed, or the process ends.
    fn use_up_held(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.get()?.use_up_held().map_err(|error| self.handle.raise(py, &error))
    }

    /// Give back what dead processes held, and return how many permits.
    /// An acquire that finds nothing does this by itself.
    fn recover(&self, py: Python<'_>) -> PyResult<u64> {
        let semaphore = self.handle.get()?;
        py.detach(|| semaphore.recover()).map_err(|error| self.handle.raise(py, &error))
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while a permit can be acquired, as of this handle's last acquire.
    /// Where others acquire too, it may be gone when you come: acquire
    /// with a timeout of 0, which arms it again. Do not read it, do not
    /// close it; it lives as long as the handle.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.fileno(py, ipcx::Semaphore::poll_fd)
    }

    /// Queue a real-time signal to this process each time there is a
    /// permit to acquire, and once now if there is one. Acquire until that
    /// would block: only then does the next one queue a signal. None, or
    /// 0, ends it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        self.handle.get()?.signal(wanted(signo)).map_err(|error| self.handle.raise(py, &error))
    }

    /// Figures as they are now, taken without stopping anybody.
    fn stats(&self, py: Python<'_>) -> PyResult<SemaphoreStats> {
        let semaphore = self.handle.get()?;
        let stats = py.detach(|| semaphore.stats());
        stats.map(SemaphoreStats::from).map_err(|error| self.handle.raise(py, &error))
    }

    /// Permits that can be acquired, as of now. Takes time in proportion
    /// to the limit.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.get()?.value().map_err(|error| self.handle.raise(py, &error))
    }

    /// Most permits there can be.
    #[getter]
    fn limit(&self) -> u64 {
        self.limit
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

    /// Let go of the handle, and give back what it holds. The name stays.
    /// Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close(py)
    }

    /// For multiprocessing: the other process attaches anew, by name, or
    /// by a descriptor that travels along.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().handle.reduce(slf)
    }

    /// Acquire a permit.
    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        slf.get().acquire(slf.py(), None)?;
        slf.get().within.enter();
        Ok(slf.clone().unbind())
    }

    /// Release it.
    #[pyo3(signature = (exc_type=None, exc_value=None, traceback=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        self.leave(py, exc_type.is_some())
    }

    /// Acquire a permit.
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "enter", None)
    }

    /// Release it.
    #[pyo3(signature = (exc_type=None, exc_value=None, traceback=None))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Option<&Bound<'py, PyAny>>,
        exc_value: Option<&Bound<'py, PyAny>>,
        traceback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (exc_type, exc_value, traceback);
        coroutine(slf, "leave", None)
    }

    fn __repr__(&self) -> String {
        self.handle.describe(&format!("at most {} permits", self.limit))
    }
}

/// A process that holds permits of a semaphore.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SemaphoreHolder {
    /// Which process it is, if it says so.
    process: Option<Participant>,
    /// False if it died; then its permits come back with recover(), or
    /// when an acquire finds nothing else.
    alive: bool,
    /// How many permits it holds.
    permits: u64,
}

#[pymethods]
impl SemaphoreHolder {
    fn __repr__(&self) -> String {
        let process = self.process.as_ref().map_or("None".to_owned(), Participant::describe);
        let alive = if self.alive { "True" } else { "False" };
        format!("SemaphoreHolder(process={process}, alive={alive}, permits={})", self.permits)
    }
}

/// Figures of a semaphore.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SemaphoreStats {
    /// Most permits there can be.
    limit: u64,
    /// Permits that can be acquired.
    value: u64,
    /// Who holds permits.
    holders: Vec<SemaphoreHolder>,
}

#[pymethods]
impl SemaphoreStats {
    fn __repr__(&self) -> String {
        let holders: Vec<_> = self.holders.iter().map(SemaphoreHolder::__repr__).collect();
        format!(
            "SemaphoreStats(limit={}, value={}, holders=[{}])",
            self.limit,
            self.value,
            holders.join(", ")
        )
    }
}

impl From<ipcx::SemaphoreStats> for SemaphoreStats {
    fn from(from: ipcx::SemaphoreStats) -> SemaphoreStats {
        let holders = from.holders.into_iter();
        let holders = holders.map(|(process, alive, permits)| SemaphoreHolder {
            process: process.map(Participant::from),
            alive,
            permits,
        });
        SemaphoreStats { limit: from.limit, value: from.value, holders: holders.collect() }
    }
}
