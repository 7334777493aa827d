//! The handle on a work queue, and its figures.

use crate::delivery::{copy, Delivery};
use crate::payload::{unsigned, Payload, LARGE};
use crate::producer::descriptor;
use crate::segment::{aio, coroutine, strategy, wanted, Handle, Participant};
use crate::wait::{deadline, slices, Ended};
use ipcx::{Deadline, Error, QueueOptions, SegmentOptions};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// A work queue in shared memory: messages with priorities for whoever
/// takes them first.
///
///     jobs = ipcx.Queue.open("jobs")
///     jobs.push(b"tidy up")
///     jobs.push(b"put the fire out", priority=9)
///
///     with jobs.take() as job:
///         print(job.data)
///
/// Any number of processes push, and any number take. The message of the
/// highest priority (0 to 31) is taken first, and of these the one that was
/// pushed first. Whoever takes one has it until it acknowledges it, which
/// the end of the `with` block does. If the block raises, or the process
/// dies, the message comes back, before those that were pushed later. So
/// each is done at least once, and not at the same time by two. With
/// max_deliveries, one that comes back for the nth time becomes a dead
/// letter, which only take_dead() takes.
///
/// Queue.open(name) makes a queue or attaches to the one that exists; the
/// other ways are Queue.create, Queue.attach, Queue.anonymous and
/// Queue.from_fd. Messages have up to max_message bytes, by default 1024,
/// and there are up to depth of them, by default 1024, those that are taken
/// and dead letters among them. With a directory on disk, the queue is
/// there after a reboot, and with sync=True every message whose push
/// returned, even after a power cut. The handle may be used by several
/// threads. Closing it does not remove the name (ipcx.unlink does), nor the
/// messages.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Queue {
    handle: Handle<ipcx::Queue>,
    max_message: u64,
    depth: u64,
    max_deliveries: u32,
}

impl Queue {
    fn make(
        py: Python<'_>,
        name: &str,
        options: &QueueOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Queue> + Send,
    ) -> PyResult<Queue> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let core = handle.get()?;
        let (max_message, depth, max_deliveries) = (core.max_message(), core.depth(), core.max_deliveries());
        Ok(Queue { handle, max_message, depth, max_deliveries })
    }

    pub(crate) fn open_queue(&self) -> PyResult<Arc<ipcx::Queue>> {
        self.handle.get()
    }

    /// The next message, waiting for one until `deadline`.
    fn next<'q>(
        &self,
        py: Python<'_>,
        queue: &'q ipcx::Queue,
        deadline: Deadline,
    ) -> PyResult<ipcx::Delivery<'q>> {
        let taken = match queue.try_take() {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                slices(py, deadline, |slice| py.detach(|| queue.take_until(slice)).map_err(Ended::Core))
            }
            done => done.map_err(Ended::Core),
        };
        taken.map_err(|ended| ended.raise(py, &self.handle.name))
    }

    /// For what does not fit at once, or takes long: the data is where nobody changes it while others run.
    #[cold]
    fn push_slowly(
        &self,
        py: Python<'_>,
        queue: &ipcx::Queue,
        data: Payload<'_>,
        priority: u32,
        deadline: Deadline,
    ) -> PyResult<()> {
        let data = data.constant(py)?;
        let data = data.as_bytes();
        let push = |until| py.detach(|| queue.push_until(data, priority, until)).map_err(Ended::Core);
        let pushed = if deadline.is_now() { push(deadline) } else { slices(py, deadline, push) };
        pushed.map_err(|ended| ended.raise(py, &self.handle.name))
    }
}

#[pymethods]
impl Queue {
    /// Create a queue that must be new.
    #[staticmethod]
    #[pyo3(signature = (name, *, max_message=0, depth=0, max_deliveries=0, sync=false, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] max_message: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        #[pyo3(from_py_with = unsigned)] max_deliveries: u32,
        sync: bool,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Queue> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = QueueOptions { max_message, depth, max_deliveries, sync, segment };
        Queue::make(py, name, &options, || ipcx::Queue::create(name, &options))
    }

    /// Attach to a queue, or create it if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, *, max_message=0, depth=0, max_deliveries=0, sync=false, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] max_message: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        #[pyo3(from_py_with = unsigned)] max_deliveries: u32,
        sync: bool,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Queue> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = QueueOptions { max_message, depth, max_deliveries, sync, segment };
        Queue::make(py, name, &options, || ipcx::Queue::open(name, &options))
    }

    /// Attach to a queue that must exist, and agree with what else is
    /// given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, max_message=0, depth=0, max_deliveries=0, sync=false))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] max_message: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        #[pyo3(from_py_with = unsigned)] max_deliveries: u32,
        sync: bool,
    ) -> PyResult<Queue> {
        let segment = SegmentOptions { directory, schema, ..Default::default() };
        let options = QueueOptions { max_message, depth, max_deliveries, sync, segment };
        Queue::make(py, name, &options, || ipcx::Queue::attach_with(name, &options))
    }

    /// Create a queue without a name, in memory sealed against resizing.
    /// Hand share_fd() to another process.
    #[staticmethod]
    #[pyo3(signature = (*, max_message=0, depth=0, max_deliveries=0, sync=false, max_participants=0, schema=None, wait="balanced"))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] max_message: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        #[pyo3(from_py_with = unsigned)] max_deliveries: u32,
        sync: bool,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Queue> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = QueueOptions { max_message, depth, max_deliveries, sync, segment };
        Queue::make(py, "", &options, || ipcx::Queue::anonymous(&options))
    }

    /// Attach to the queue behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Queue> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Queue::make(py, "", &QueueOptions::default(), || ipcx::Queue::from_fd(fd))
    }

    /// A new descriptor of the queue, to hand to another process; yours to
    /// close. It is closed on exec unless you say otherwise (subprocess:
    /// pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// Push a copy of data as one message; wait while there is no room.
    /// Once this returned, the message is there, whatever becomes of this
    /// process; after an exception, it is not. Priorities are 0 to 31, and
    /// the highest is taken first.
    #[pyo3(signature = (data, priority=0, timeout=None))]
    fn push(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = unsigned)] priority: u32,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(data)?;
        let queue = self.handle.get()?;
        let needed = data.place().len;
        if needed < LARGE || needed as u64 > self.max_message {
            match queue.try_push(data.as_ref(), priority) {
                Ok(()) => return Ok(()),
                Err(Error::WouldBlock(_)) if !deadline.is_now() => {}
                Err(error) => return Err(self.handle.raise(py, &error)),
            }
        }
        self.push_slowly(py, &queue, data, priority, deadline)
    }

    /// Take the next message, acknowledge it, and return it as bytes; wait
    /// while there is none. A process that is killed in this call may have
    /// removed a message that its program never saw: where each must be
    /// dealt with, `take` it.
    #[pyo3(signature = (timeout=None))]
    fn pop<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let queue = self.handle.get()?;
        let taken = self.next(py, &queue, deadline(timeout)?)?;
        let bytes = copy(py, &taken)?;
        taken.ack().map_err(|error| self.handle.raise(py, &error))?;
        Ok(bytes)
    }

    /// Take the next message; wait while there is none: `with queue.take()
    /// as message:`. The end of the block acknowledges it, an exception
    /// puts it back. What dead processes had is found where nothing else
    /// is.
    #[pyo3(signature = (timeout=None))]
    fn take(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Delivery> {
        let deadline = deadline(timeout)?;
        Delivery::new(py, self.handle.get()?, |queue| self.next(py, queue, deadline))
    }

    /// Take the next dead letter: of the highest priority, and of these the
    /// one that was pushed first. It does not wait: WouldBlock if there is
    /// none. Acknowledging discards it, putting it back has it delivered
    /// again as if it were new.
    fn take_dead(&self, py: Python<'_>) -> PyResult<Delivery> {
        Delivery::new(py, self.handle.get()?, |queue| {
            queue.take_dead().map_err(|error| self.handle.raise(py, &error))
        })
    }

    /// Push a message, from a coroutine: `await queue.apush(data)`.
    /// Cancelling it pushes nothing.
    #[pyo3(signature = (data, priority=0))]
    fn apush<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = unsigned)] priority: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = Payload::of(data)?.constant(slf.py())?;
        aio(slf.py())?.getattr("push")?.call1((slf, data, priority))
    }

    /// Take the next message and acknowledge it, from a coroutine: `await
    /// queue.apop()`. Cancelling it loses nothing.
    fn apop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "pop", None)
    }

    /// Take the next message, from a coroutine: `with await queue.atake()
    /// as message:`. Cancelling it loses nothing.
    fn atake<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf, "take", None)
    }

    /// Bring back what dead processes had taken. A take that finds
    /// nothing, and a push that finds no room, do this by themselves.
    fn recover(&self, py: Python<'_>) -> PyResult<()> {
        let queue = self.handle.get()?;
        py.detach(|| queue.recover()).map_err(|error| self.handle.raise(py, &error))
    }

    /// A descriptor for select, poll, epoll and event loops: readable
    /// while there is a message to take, as of this handle's last take.
    /// Where others take too, it may be gone when you come: take with a
    /// timeout of 0, which arms it again. Do not read it, do not close it;
    /// it lives as long as the handle.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.fileno(py, ipcx::Queue::poll_fd)
    }

    /// Another descriptor, which is readable while there is room for a
    /// message, as of this handle's last push that found none. Where
    /// others push too, it may be gone when you come: push with a timeout
    /// of 0, which arms it again. Do not read it, do not close it; it
    /// lives as long as the handle.
    fn room_fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.room_fileno(py, ipcx::Queue::room_fd)
    }

    /// Queue a real-time signal to this process each time there is a
    /// message to take, and once now if there is one. Take until that
    /// would block: only then does the next one queue a signal. None, or
    /// 0, ends it.
    fn signal(&self, py: Python<'_>, signo: Option<i32>) -> PyResult<()> {
        self.handle.get()?.signal(wanted(signo)).map_err(|error| self.handle.raise(py, &error))
    }

    /// Figures as they are now, taken without stopping anybody. Takes time
    /// in proportion to the depth.
    fn stats(&self, py: Python<'_>) -> PyResult<QueueStats> {
        let queue = self.handle.get()?;
        let stats = py.detach(|| queue.stats());
        stats.map(QueueStats::from).map_err(|error| self.handle.raise(py, &error))
    }

    /// Bytes of the largest message.
    #[getter]
    fn max_message(&self) -> u64 {
        self.max_message
    }

    /// How many messages there can be.
    #[getter]
    fn depth(&self) -> u64 {
        self.depth
    }

    /// After how many deliveries a message that comes back becomes a dead
    /// letter; 0 for never.
    #[getter]
    fn max_deliveries(&self) -> u32 {
        self.max_deliveries
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

    /// Let go of the handle. What was taken by it comes back, once its
    /// deliveries are gone too. The name stays, and the messages. Closing
    /// again does nothing.
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
        self.handle.describe(&format!("{} messages of {} bytes", self.depth, self.max_message))
    }
}

/// A process that has taken messages.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct QueueHolder {
    /// Which process it is, if it says so.
    process: Option<Participant>,
    /// False if it died; then the messages come back with the next
    /// recover(), or when a take finds nothing else.
    alive: bool,
    /// How many it has.
    taken: u64,
}

#[pymethods]
impl QueueHolder {
    fn __repr__(&self) -> String {
        let process = self.process.as_ref().map_or("None".to_owned(), Participant::describe);
        let alive = if self.alive { "True" } else { "False" };
        format!("QueueHolder(process={process}, alive={alive}, taken={})", self.taken)
    }
}

/// Figures of a queue. The numbers of messages and `free` add up to
/// `depth`.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct QueueStats {
    /// Bytes of the largest message.
    max_message: u64,
    /// How many messages there can be.
    depth: u64,
    /// After how many deliveries a message that comes back becomes a dead
    /// letter; 0 for never.
    max_deliveries: u32,
    /// Messages to take, by priority: a list of 32.
    ready: Vec<u64>,
    /// Messages that a push is writing at this moment, or was when its
    /// process died.
    being_pushed: u64,
    /// Messages that processes have, dead ones among them until they are
    /// recovered.
    taken: u64,
    /// Dead letters.
    dead: u64,
    /// Messages for which there is room.
    free: u64,
    /// Who has taken messages.
    holders: Vec<QueueHolder>,
}

#[pymethods]
impl QueueStats {
    fn __repr__(&self) -> String {
        let holders: Vec<_> = self.holders.iter().map(QueueHolder::__repr__).collect();
        format!(
            "QueueStats(max_message={}, depth={}, max_deliveries={}, ready={:?}, being_pushed={}, taken={}, dead={}, free={}, \
             holders=[{}])",
            self.max_message,
            self.depth,
            self.max_deliveries,
            self.ready,
            self.being_pushed,
            self.taken,
            self.dead,
            self.free,
            holders.join(", ")
        )
    }
}

impl From<ipcx::QueueStats> for QueueStats {
    fn from(from: ipcx::QueueStats) -> QueueStats {
        let holders = from.holders.into_iter().map(|holder| QueueHolder {
            process: holder.process.map(Participant::from),
            alive: holder.alive,
            taken: holder.taken,
        });
        QueueStats {
            max_message: from.max_message,
            depth: from.depth,
            max_deliveries: from.max_deliveries,
            ready: from.ready.to_vec(),
            being_pushed: from.being_pushed,
            taken: from.taken,
            dead: from.dead,
            free: from.free,
            holders: holders.collect(),
        }
    }
}
