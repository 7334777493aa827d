//! The handle on a topic, and its figures.

use crate::payload::unsigned;
use crate::producer::descriptor;
use crate::publisher::Publisher;
use crate::segment::{strategy, Handle, Participant};
use crate::subscriber::Subscriber;
use ipcx::{SegmentOptions, StartAt, TopicOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What is published reaches every subscriber, through shared memory.
///
///     topic = ipcx.Topic.open("prices")
///     topic.publisher().publish(b"AAPL 187.50")
///
///     for message in ipcx.Topic.open("prices").subscriber():
///         print(message)
///
/// In a lossy topic (the default) publishers never wait for subscribers,
/// which know how many records they missed. In a reliable one they wait for
/// the slowest subscriber; one that dies is dropped, one that is stopped is
/// not, and stats() names it. With history, subscribers begin with the
/// oldest record that is still there.
///
/// Topic.open(name) makes a topic or attaches to the one that exists; the
/// other ways are Topic.create, Topic.attach, Topic.anonymous and
/// Topic.from_fd. The handle may be used by several threads. Closing it
/// does not remove the name (ipcx.unlink does), and publishers and
/// subscribers taken from it go on working.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Topic {
    handle: Handle<ipcx::Topic>,
    capacity: u64,
    reliable: bool,
    history: bool,
}

impl Topic {
    fn make(
        py: Python<'_>,
        name: &str,
        options: &TopicOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Topic> + Send,
    ) -> PyResult<Topic> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let core = handle.get()?;
        let (capacity, reliable, history) = (core.capacity(), core.is_reliable(), core.has_history());
        Ok(Topic { handle, capacity, reliable, history })
    }
}

#[pymethods]
impl Topic {
    /// Create a topic that must be new.
    #[staticmethod]
    #[pyo3(signature = (name, *, capacity=0, reliable=false, history=false, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        reliable: bool,
        history: bool,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Topic> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = TopicOptions { capacity, reliable, history, segment };
        Topic::make(py, name, &options, || ipcx::Topic::create(name, &options))
    }

    /// Attach to a topic, or create it if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, *, capacity=0, reliable=false, history=false, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        reliable: bool,
        history: bool,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Topic> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = TopicOptions { capacity, reliable, history, segment };
        Topic::make(py, name, &options, || ipcx::Topic::open(name, &options))
    }

    /// Attach to a topic that must exist, and agree with what else is
    /// given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, capacity=0, reliable=false, history=false))]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        reliable: bool,
        history: bool,
    ) -> PyResult<Topic> {
        let segment = SegmentOptions { directory, schema, ..Default::default() };
        let options = TopicOptions { capacity, reliable, history, segment };
        Topic::make(py, name, &options, || ipcx::Topic::attach_with(name, &options))
    }

    /// Create a topic without a name, in memory sealed against resizing.
    /// Hand share_fd() to another process.
    #[staticmethod]
    #[pyo3(signature = (*, capacity=0, reliable=false, history=false, max_participants=0, schema=None, wait="balanced"))]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] capacity: u64,
        reliable: bool,
        history: bool,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Topic> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = TopicOptions { capacity, reliable, history, segment };
        Topic::make(py, "", &options, || ipcx::Topic::anonymous(&options))
    }

    /// Attach to the topic behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Topic> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Topic::make(py, "", &TopicOptions::default(), || ipcx::Topic::from_fd(fd))
    }

    /// A new descriptor of the topic, to hand to another process; yours to
    /// close. It is closed on exec unless you say otherwise (subprocess:
    /// pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// A publisher. There may be any number, over all processes.
    fn publisher(&self, py: Python<'_>) -> PyResult<Publisher> {
        let publisher = self.handle.get()?.publisher().map_err(|error| self.handle.raise(py, &error))?;
        Ok(Publisher::new(publisher, &self.handle))
    }

    /// A subscriber, which begins with what is published from now on
    /// ('next'), the newest record ('latest'), or the oldest record that
    /// is still there ('oldest'). None is 'next', or in a topic with a
    /// history 'oldest'.
    ///
    /// In a reliable topic it is a participant of its own, beside this
    /// handle.
    #[pyo3(signature = (start=None))]
    fn subscriber(&self, py: Python<'_>, start: Option<&str>) -> PyResult<Subscriber> {
        let (start, topic) = (start.map(start_at).transpose()?, self.handle.get()?);
        let subscriber = match start {
            Some(start) => topic.subscriber_at(start),
            None => topic.subscriber(),
        };
        let subscriber = subscriber.map_err(|error| self.handle.raise(py, &error))?;
        Ok(Subscriber::new(subscriber, &self.handle))
    }

    /// Figures as they are now, taken without stopping anybody.
    fn stats(&self, py: Python<'_>) -> PyResult<TopicStats> {
        self.handle.get()?.stats().map(TopicStats::from).map_err(|error| self.handle.raise(py, &error))
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

    /// True if publishers wait for the slowest subscriber.
    #[getter]
    fn reliable(&self) -> bool {
        self.reliable
    }

    /// True if subscribers begin with the oldest record, unless they say
    /// otherwise.
    #[getter]
    fn history(&self) -> bool {
        self.history
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

    /// Let go of the handle. The name stays, and so do publishers and
    /// subscribers taken from it. Closing again does nothing.
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
        let kind = if self.reliable { "reliable" } else { "lossy" };
        self.handle.describe(&format!("{kind}, {} bytes", self.capacity))
    }
}

fn start_at(start: &str) -> PyResult<StartAt> {
    match start {
        "next" => Ok(StartAt::Next),
        "latest" => Ok(StartAt::Latest),
        "oldest" => Ok(StartAt::Oldest),
        _ => Err(PyValueError::new_err(format!("start is 'next', 'latest' or 'oldest', not '{start}'"))),
    }
}

/// A subscriber of a reliable topic, as seen from outside.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TopicSubscriber {
    /// Which process it is, if it says so.
    process: Option<Participant>,
    /// False if it died; then publishers that wait for it drop it.
    alive: bool,
    /// Bytes of records that it has not released. Publishers that wait for
    /// room wait for the one with the most.
    unread: u64,
}

#[pymethods]
impl TopicSubscriber {
    fn __repr__(&self) -> String {
        let process = self.process.as_ref().map_or("None".to_owned(), Participant::describe);
        let alive = if self.alive { "True" } else { "False" };
        format!("TopicSubscriber(process={process}, alive={alive}, unread={})", self.unread)
    }
}

/// Figures of a topic. Taken without stopping anybody, so they may be apart
/// by what was in work.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TopicStats {
    /// Bytes for records.
    capacity: u64,
    /// Records published since the topic was made.
    published: u64,
    /// The subscribers of a reliable topic; those of a lossy one are not
    /// known.
    subscribers: Vec<TopicSubscriber>,
    /// Who publishes at this moment, or has a reservation open, or died
    /// so.
    publisher: Option<Participant>,
}

#[pymethods]
impl TopicStats {
    fn __repr__(&self) -> String {
        let subscribers: Vec<_> = self.subscribers.iter().map(TopicSubscriber::__repr__).collect();
        let publisher = self.publisher.as_ref().map_or("None".to_owned(), Participant::describe);
        format!(
            "TopicStats(capacity={}, published={}, subscribers=[{}], publisher={publisher})",
            self.capacity,
            self.published,
            subscribers.join(", "),
        )
    }
}

impl From<ipcx::TopicStats> for TopicStats {
    fn from(from: ipcx::TopicStats) -> TopicStats {
        let subscriber = |subscriber: ipcx::TopicSubscriber| TopicSubscriber {
            process: subscriber.process.map(Participant::from),
            alive: subscriber.alive,
            unread: subscriber.unread,
        };
        TopicStats {
            capacity: from.capacity,
            published: from.published,
            subscribers: from.subscribers.into_iter().map(subscriber).collect(),
            publisher: from.publisher.map(Participant::from),
        }
    }
}
