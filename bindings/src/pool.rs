//! The handle on a pool, and its figures.

use crate::block::Block;
use crate::payload::unsigned;
use crate::producer::descriptor;
use crate::segment::{coroutine, strategy, wanted, Handle, Participant};
use crate::wait::{deadline, slices, Ended};
use ipcx::{Backing, Deadline, Error, PoolOptions, SegmentOptions};
use pyo3::prelude::*;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Blocks of one size in shared memory: acquired, filled in place, handed
/// to other processes through a ring without a copy
/// (`tx.send_block(block)`, `rx.recv_block(pool)`), and released.
///
/// Pool.open(name, block_size=...) makes a pool or attaches to the one that
/// exists (without block_size, only that); the other ways are Pool.create,
/// Pool.attach, Pool.anonymous and Pool.from_fd. If a process dies, what it
/// owned comes back. The handle may be used by several threads. Closing it
/// does not remove the name (ipcx.unlink does); blocks in use keep it open
/// until they go.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Pool {
    handle: Handle<ipcx::Pool>,
    block_size: usize,
    blocks: u64,
}

impl Pool {
    fn make(
        py: Python<'_>,
        name: &str,
        options: &PoolOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Pool> + Send,
    ) -> PyResult<Pool> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let pool = handle.get()?;
        let (block_size, blocks) = (pool.block_size(), pool.blocks());
        Ok(Pool { handle, block_size, blocks })
    }

    pub(crate) fn open_pool(&self) -> PyResult<Arc<ipcx::Pool>> {
        self.handle.get()
    }
}

#[pymethods]
impl Pool {
    /// Create a pool that must be new. With a key, its blocks are in a
    /// System V segment that has this key, from the second page on.
    #[staticmethod]
    #[pyo3(signature = (name, *, block_size, blocks=0, alignment=0, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None, key=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] block_size: u64,
        #[pyo3(from_py_with = unsigned)] blocks: u64,
        #[pyo3(from_py_with = unsigned)] alignment: u64,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
        key: Option<i32>,
    ) -> PyResult<Pool> {
        let wait = strategy(wait)?;
        let backing = key.map_or(Backing::Directory, |key| Backing::SystemV { key });
        let segment = SegmentOptions { mode, group, max_participants, directory, schema, wait, backing };
        let options = PoolOptions { block_size, blocks, alignment, segment, ..Default::default() };
        Pool::make(py, name, &options, || ipcx::Pool::create(name, &options))
    }

    /// Attach to a pool, or create it if there is none, for which a
    /// block_size is needed.
    #[staticmethod]
    #[pyo3(signature = (name, *, block_size=0, blocks=0, alignment=0, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None, key=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] block_size: u64,
        #[pyo3(from_py_with = unsigned)] blocks: u64,
        #[pyo3(from_py_with = unsigned)] alignment: u64,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
        key: Option<i32>,
    ) -> PyResult<Pool> {
        let wait = strategy(wait)?;
        let backing = key.map_or(Backing::Directory, |key| Backing::SystemV { key });
        let segment = SegmentOptions { mode, group, max_participants, directory, schema, wait, backing };
        let options = PoolOptions { block_size, blocks, alignment, segment, ..Default::default() };
        Pool::make(py, name, &options, || ipcx::Pool::open(name, &options))
    }

    /// Attach to a pool that must exist, and agree with the sizes and the
    /// schema if they are given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, block_size=0, blocks=0))]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] block_size: u64,
        #[pyo3(from_py_with = unsigned)] blocks: u64,
    ) -> PyResult<Pool> {
        let segment = SegmentOptions { directory, schema, ..Default::default() };
        let options = PoolOptions { block_size, blocks, segment, ..Default::default() };
        Pool::make(py, name, &options, || ipcx::Pool::attach_with(name, &options))
    }

    /// Create a pool without a name, in memory sealed against resizing.
    /// Hand share_fd() to another process. With on_demand, a block has
    /// memory only where it is used: for blocks far larger than what is
    /// mostly put into them.
    #[staticmethod]
    #[pyo3(signature = (*, block_size, blocks=0, alignment=0, on_demand=false, max_participants=0, schema=None, wait="balanced"))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] block_size: u64,
        #[pyo3(from_py_with = unsigned)] blocks: u64,
        #[pyo3(from_py_with = unsigned)] alignment: u64,
        on_demand: bool,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Pool> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = PoolOptions { block_size, blocks, alignment, on_demand, segment };
        Pool::make(py, "", &options, || ipcx::Pool::anonymous(&options))
    }

    /// Attach to the pool behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Pool> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Pool::make(py, "", &PoolOptions::default(), || ipcx::Pool::from_fd(fd))
    }

    /// A new descriptor of the pool, to hand to another process; yours to
    /// close. It is closed on exec unless you say otherwise (subprocess:
    /// pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// A block; waits for one to be released if none is free. While it
    /// waits, it gives the blocks of the dead back; with timeout=0, it
    /// looks for the dead at most every 50 ms.
    #[pyo3(signature = (timeout=None))]
    fn acquire(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Block> {
        let deadline = deadline(timeout)?;
        let pool = self.handle.get()?;
        let id = match pool.acquire_raw(Deadline::NOW) {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                slices(py, deadline, |slice| py.detach(|| pool.acquire_raw(slice)).map_err(Ended::Core))
                    .map_err(|ended| ended.raise(py, &self.handle.name))?
            }
            done => done.map_err(|error| self.handle.raise(py, &error))?,
        };
        Ok(Block::new(pool, id, self.block_size))
    }

    /// A block, from a coroutine: `block = await pool.aacquire()`.
    /// Cancelling it loses nothing.
    fn aacquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "acquire", None)
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while a block can be acquired, as of this handle's last acquire.
    /// Where others acquire too, it may be gone when you come: acquire
    /// with a timeout of 0, which arms it again. Do not read it, do not
    /// close it; it lives as long as the handle.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.fileno(py, ipcx::Pool::poll_fd)
    }

    /// Queue a real-time signal to this process each time there is a block
    /// to acquire, and once now if there is one. Acquire until that would
    /// block: only then does the next one queue a signal. None, or 0, ends
    /// it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        self.handle.get()?.signal(wanted(signo)).map_err(|error| self.handle.raise(py, &error))
    }

    /// Give back what dead processes owned, and what is in flight on rings
    /// that are gone. Returns how many blocks.
    ///
    /// Only the second needs this call: an acquire that finds nothing free
    /// does the first by itself. One that waits does it while it waits;
    /// one with timeout=0 looks for the dead at most every 50 ms. This
    /// call looks at once.
    fn recover(&self, py: Python<'_>) -> PyResult<u64> {
        let pool = self.handle.get()?;
        py.detach(|| pool.recover()).map_err(|error| self.handle.raise(py, &error))
    }

    /// Figures as they are now, taken without stopping anybody.
    fn stats(&self, py: Python<'_>) -> PyResult<PoolStats> {
        let pool = self.handle.get()?;
        py.detach(|| pool.stats()).map(PoolStats::from).map_err(|error| self.handle.raise(py, &error))
    }

    /// Name, or 'anonymous'.
    #[getter]
    fn name(&self) -> &str {
        &self.handle.name
    }

    /// Bytes of a block.
    #[getter]
    fn block_size(&self) -> usize {
        self.block_size
    }

    /// How many blocks there are.
    #[getter]
    fn blocks(&self) -> u64 {
        self.blocks
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

    /// Let go of the handle. The name stays; blocks in use keep the memory
    /// until they go. Closing again does nothing.
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
        self.handle.describe(&format!("{} blocks of {} bytes", self.blocks, self.block_size))
    }
}

/// A process that owns blocks of a pool.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PoolHolder {
    /// Which process it is, if it says so.
    process: Option<Participant>,
    /// False if it died; then its blocks come back with recover(), or when
    /// an acquire finds nothing else (one with timeout=0 looks for the
    /// dead at most every 50 ms).
    alive: bool,
    /// How many blocks it owns.
    blocks: u64,
}

#[pymethods]
impl PoolHolder {
    fn __repr__(&self) -> String {
        let process = self.process.as_ref().map_or("None".to_owned(), Participant::describe);
        let alive = if self.alive { "True" } else { "False" };
        format!("PoolHolder(process={process}, alive={alive}, blocks={})", self.blocks)
    }
}

/// Figures of a pool: `free`, `owned` and `in_flight` add up to `blocks`.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PoolStats {
    /// Bytes of a block.
    block_size: u64,
    /// How many blocks there are.
    blocks: u64,
    /// Blocks that can be acquired.
    free: u64,
    /// Blocks that processes own, dead ones among them until they are
    /// recovered.
    owned: u64,
    /// Blocks that were sent and not yet received.
    in_flight: u64,
    /// Who owns blocks.
    holders: Vec<PoolHolder>,
}

#[pymethods]
impl PoolStats {
    fn __repr__(&self) -> String {
        let holders: Vec<_> = self.holders.iter().map(PoolHolder::__repr__).collect();
        format!(
            "PoolStats(block_size={}, blocks={}, free={}, owned={}, in_flight={}, holders=[{}])",
            self.block_size,
            self.blocks,
            self.free,
            self.owned,
            self.in_flight,
            holders.join(", ")
        )
    }
}

impl From<ipcx::PoolStats> for PoolStats {
    fn from(from: ipcx::PoolStats) -> PoolStats {
        let holder = |holder: ipcx::PoolHolder| PoolHolder {
            process: holder.process.map(Participant::from),
            alive: holder.alive,
            blocks: holder.blocks,
        };
        PoolStats {
            block_size: from.block_size,
            blocks: from.blocks,
            free: from.free,
            owned: from.owned,
            in_flight: from.in_flight,
            holders: from.holders.into_iter().map(holder).collect(),
        }
    }
}
