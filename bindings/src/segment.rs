//! What belongs to every kind of segment: where it is, how it waits, who is attached, removing its name; and what becomes of
//! a handle in a forked child.

use crate::{errors, fork};
use ipcx::{Error, SegmentOptions, WaitStrategy};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle of the core, of whatever kind.
pub(crate) trait Core: Send + Sync + Sized {
    const KIND: &'static str;
    /// Name, schema, and way of waiting.
    fn facts(&self) -> (String, Option<String>, WaitStrategy);
    fn attach(name: &str, directory: &Path) -> ipcx::Result<Self>;
    fn from_fd(fd: BorrowedFd<'_>) -> ipcx::Result<Self>;
    fn share_fd(&self) -> ipcx::Result<OwnedFd>;
}

macro_rules! core {
    ($($kind:ident with $options:ident),*) => {$(
        impl Core for ipcx::$kind {
            const KIND: &'static str = stringify!($kind);

            fn facts(&self) -> (String, Option<String>, WaitStrategy) {
                (self.name().to_owned(), self.schema().map(str::to_owned), self.wait_strategy())
            }

            fn attach(name: &str, directory: &Path) -> ipcx::Result<Self> {
                let segment =
                    SegmentOptions { directory: Some(directory.to_path_buf()), ..Default::default() };
                ipcx::$kind::attach_with(name, &ipcx::$options { segment, ..Default::default() })
            }

            fn from_fd(fd: BorrowedFd<'_>) -> ipcx::Result<Self> {
                ipcx::$kind::from_fd(fd)
            }

            fn share_fd(&self) -> ipcx::Result<OwnedFd> {
                ipcx::$kind::share_fd(self)
            }
        }
    )*};
}
core!(
    Ring with RingOptions, Pool with PoolOptions, Buffer with BufferOptions, Semaphore with SemaphoreOptions,
    Topic with TopicOptions,
    Queue with QueueOptions,
    Service with ServiceOptions
);

/// A handle on a segment of any kind, which Python may close at any time, and what stays known of it then.
///
/// A forked child that uses it attaches anew, as one that unpickles it does: so whatever the start method, a handle can be an
/// argument of a multiprocessing.Process.
pub(crate) struct Handle<T> {
    /// `None` once closed. Held only to look, never across a call into Python or the core.
    open: Mutex<Option<Open<T>>>,
    pub(crate) name: String,
    pub(crate) schema: Option<String>,
    wait: WaitStrategy,
    /// Where the file is; `None` if it has no name.
    directory: Option<PathBuf>,
    /// What `fileno` gave and an event loop may be waiting for; -1 before.
    descriptor: AtomicI32,
    /// The same of `room_fileno`.
    room_descriptor: AtomicI32,
}

struct Open<T> {
    core: Arc<T>,
    /// In which process it was opened.
    generation: u32,
    /// Of one without a name: by what another process, a forked child too, comes by it.
    fd: Option<Arc<OwnedFd>>,
}

impl<T: Core> Handle<T> {
    /// What `make` opens, with the interpreter let go, since making a large segment takes time. If it has a name, the directory
    /// is the one that was asked for; the name is empty if it has none.
    pub(crate) fn open(
        py: Python<'_>,
        name: &str,
        directory: Option<&Path>,
        make: impl FnOnce() -> ipcx::Result<T> + Send,
    ) -> PyResult<Handle<T>> {
        let (core, fd) = py
            .detach(|| {
                let core = make()?;
                let fd = if name.is_empty() { Some(Arc::new(core.share_fd()?)) } else { None };
                Ok((core, fd))
            })
            .map_err(|error| errors::raise(py, &error, name))?;
        let directory = (!name.is_empty()).then(|| place(directory));
        let (name, schema, wait) = core.facts();
        let open = Open { core: Arc::new(core), generation: fork::generation(), fd };
        let open = Mutex::new(Some(open));
        let [descriptor, room_descriptor] = [-1, -1].map(AtomicI32::new);
        Ok(Handle { open, name, schema, wait, directory, descriptor, room_descriptor })
    }

    fn slot(&self) -> MutexGuard<'_, Option<Open<T>>> {
        // Nothing panics while holding it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The core's handle, if it is not closed.
    #[inline]
    pub(crate) fn get(&self) -> PyResult<Arc<T>> {
        match &*self.slot() {
            Some(open) if open.generation == fork::generation() => return Ok(Arc::clone(&open.core)),
            _ => {}
        }
        self.attach_anew()
    }

    /// In a forked child: attaches. The interpreter is held all the time, so that one thread does it.
    #[cold]
    fn attach_anew(&self) -> PyResult<Arc<T>> {
        let inherited = self.slot().as_ref().map(|open| open.fd.clone());
        let Some(fd) = inherited else {
            let text = format!("this {} of segment '{}' is closed", T::KIND, self.name);
            return Err(PyValueError::new_err(text));
        };
        let core = match (&fd, &self.directory) {
            (Some(fd), _) => T::from_fd(fd.as_fd()),
            (None, Some(directory)) => T::attach(&self.name, directory),
            (None, None) => Err(Error::Forked),
        };
        let core = Arc::new(core.map_err(|error| Python::attach(|py| self.raise(py, &error)))?);
        let open = Open { core: Arc::clone(&core), generation: fork::generation(), fd };
        let parents = self.slot().replace(open);
        self.descriptor.store(-1, Ordering::Relaxed);
        self.room_descriptor.store(-1, Ordering::Relaxed);
        drop(parents); // Outside the lock.
        Ok(core)
    }

    pub(crate) fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, &self.name)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.slot().is_none()
    }

    /// Lets go of it, and of the tasks that wait for its descriptor.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.slot().take();
        let told = closing(py, &self.descriptor).and_then(|()| closing(py, &self.room_descriptor));
        py.detach(|| drop(open)); // Outside the lock; may wait for a thread of the core.
        told
    }

    pub(crate) fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        let fd = self.get()?.share_fd();
        fd.map(IntoRawFd::into_raw_fd).map_err(|error| self.raise(py, &error))
    }

    /// The descriptor that `of` gives, remembered for [`Handle::close`].
    pub(crate) fn fileno(
        &self,
        py: Python<'_>,
        of: impl FnOnce(&T) -> ipcx::Result<BorrowedFd<'_>>,
    ) -> PyResult<i32> {
        self.remember(py, &self.descriptor, of)
    }

    /// The same for a second one, which tells of room.
    pub(crate) fn room_fileno(
        &self,
        py: Python<'_>,
        of: impl FnOnce(&T) -> ipcx::Result<BorrowedFd<'_>>,
    ) -> PyResult<i32> {
        self.remember(py, &self.room_descriptor, of)
    }

    fn remember(
        &self,
        py: Python<'_>,
        descriptor: &AtomicI32,
        of: impl FnOnce(&T) -> ipcx::Result<BorrowedFd<'_>>,
    ) -> PyResult<i32> {
        let core = self.get()?;
        let fd = of(&core).map(|fd| fd.as_raw_fd()).map_err(|error| self.raise(py, &error))?;
        descriptor.store(fd, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
        Ok(fd)
    }

    /// What `fileno` gave.
    #[inline]
    pub(crate) fn descriptor(&self) -> Option<i32> {
        let fd = self.descriptor.load(Ordering::Relaxed);
        (fd >= 0).then_some(fd)
    }

    pub(crate) fn wait(&self) -> &'static str {
        strategy_name(self.wait)
    }

    /// Directory of its file; `None` if it has no name.
    pub(crate) fn directory(&self) -> Option<&OsStr> {
        self.directory.as_deref().map(Path::as_os_str)
    }

    /// For `repr`.
    pub(crate) fn describe(&self, size: &str) -> String {
        let state = if self.is_closed() { "closed" } else { "open" };
        format!("<ipcx.{} '{}', {size}, {state}>", T::KIND, self.name)
    }

    /// What `__reduce__` returns for `object`, which has this handle.
    pub(crate) fn reduce<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, kind) = (object.py(), object.get_type());
        self.get()?; // not one that is closed
        let fd = self.slot().as_ref().and_then(|open| open.fd.as_ref().map(|fd| fd.as_raw_fd()));
        py.import(pyo3::intern!(py, "ipcx._pickle"))?
            .call_method1(pyo3::intern!(py, "reduce"), (kind, &self.name, self.directory(), fd))
    }
}

/// What is written in Python for coroutines.
pub(crate) fn aio(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(pyo3::intern!(py, "ipcx._aio"))
}

/// Before the descriptor that an endpoint or a handle gave is closed: event loops let go of it.
pub(crate) fn closing(py: Python<'_>, descriptor: &AtomicI32) -> PyResult<()> {
    let fd = descriptor.swap(-1, Ordering::Relaxed); // Relaxed: under the interpreter's lock.
    if fd >= 0 {
        aio(py)?.call_method1(pyo3::intern!(py, "closing"), (fd,))?;
    }
    Ok(())
}

/// The signal that is asked for, if one is.
pub(crate) fn wanted(signal: Option<i32>) -> Option<i32> {
    signal.filter(|signal| *signal != 0)
}

/// What a function of `ipcx._aio` makes of an object: a coroutine.
pub(crate) fn coroutine<'py>(
    object: &Bound<'py, PyAny>,
    function: &str,
    more: Option<u64>,
) -> PyResult<Bound<'py, PyAny>> {
    let function = aio(object.py())?.getattr(function)?;
    match more {
        Some(more) => function.call1((object, more)),
        None => function.call1((object,)),
    }
}

/// Where the core looks, as an absolute path, so that a child process that works elsewhere finds it too.
pub(crate) fn place(directory: Option<&Path>) -> PathBuf {
    let from_environment = || std::env::var_os("IPCX_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let place = directory.map(Path::to_path_buf).or_else(from_environment);
    let place = place.unwrap_or_else(|| PathBuf::from("/dev/shm"));
    std::path::absolute(&place).unwrap_or(place)
}

const STRATEGIES: [(&str, WaitStrategy); 4] = [
    ("balanced", WaitStrategy::Balanced),
    ("spin", WaitStrategy::Spin),
    ("yield", WaitStrategy::Yield),
    ("block", WaitStrategy::Block),
];

pub(crate) fn strategy(name: &str) -> PyResult<WaitStrategy> {
    let found = STRATEGIES.iter().find(|(known, _)| *known == name);
    found.map(|(_, strategy)| *strategy).ok_or_else(|| {
        PyValueError::new_err(format!("wait is 'balanced', 'spin', 'yield' or 'block', not '{name}'"))
    })
}

pub(crate) fn strategy_name(strategy: WaitStrategy) -> &'static str {
    STRATEGIES.iter().find(|(_, known)| *known == strategy).map_or("balanced", |(name, _)| name)
}

/// Remove the name of a segment. Whoever has it open goes on working.
#[pyfunction]
#[pyo3(signature = (name, directory=None))]
pub(crate) fn unlink(py: Python<'_>, name: &str, directory: Option<PathBuf>) -> PyResult<()> {
    ipcx::unlink_in(directory.as_deref(), name).map_err(|error| errors::raise(py, &error, name))
}

/// A process attached to a segment, for display.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Participant {
    /// Process number in its own PID namespace.
    pid: u32,
    /// Command name.
    command: String,
    /// When it attached, nanoseconds since 1970.
    attached: u64,
}

#[pymethods]
impl Participant {
    fn __repr__(&self) -> String {
        self.describe()
    }
}

impl Participant {
    /// For `repr`.
    pub(crate) fn describe(&self) -> String {
        format!("Participant(pid={}, command='{}', attached={})", self.pid, self.command, self.attached)
    }
}

impl From<ipcx::Participant> for Participant {
    fn from(from: ipcx::Participant) -> Participant {
        Participant { pid: from.pid, command: from.command, attached: from.attached }
    }
}
