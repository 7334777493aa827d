//! What belongs to every kind of segment: where it is, how it waits, who is attached, removing its name.

use crate::errors;
use ipcx::{Error, WaitStrategy};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle on a segment of any kind, which Python may close at any time, and what stays known of it then.
pub(crate) struct Handle<T> {
    /// `None` once closed. Held only to look, never across a call into Python or the core.
    open: Mutex<Option<Arc<T>>>,
    kind: &'static str,
    pub(crate) name: String,
    pub(crate) schema: Option<String>,
    wait: WaitStrategy,
    /// Where the file is; `None` if it has no name.
    directory: Option<PathBuf>,
}

impl<T> Handle<T> {
    /// What the core opened: its name, schema and way of waiting; and, if it has a name, the directory that was asked for.
    pub(crate) fn new(
        kind: &'static str,
        open: T,
        (name, schema, wait): (String, Option<String>, WaitStrategy),
        found: Option<Option<&Path>>,
    ) -> Handle<T> {
        let directory = found.map(place);
        Handle { open: Mutex::new(Some(Arc::new(open))), kind, name, schema, wait, directory }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        // Nothing panics while holding it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The core's handle, if it is not closed.
    pub(crate) fn get(&self) -> PyResult<Arc<T>> {
        let open = self.slot().clone();
        open.ok_or_else(|| {
            PyValueError::new_err(format!("this {} of segment '{}' is closed", self.kind, self.name))
        })
    }

    pub(crate) fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, &self.name)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.slot().is_none()
    }

    pub(crate) fn close(&self) {
        let open = self.slot().take();
        drop(open); // Outside the lock.
    }

    pub(crate) fn wait(&self) -> &'static str {
        STRATEGIES.iter().find(|(_, known)| *known == self.wait).map_or("balanced", |(name, _)| name)
    }

    pub(crate) fn directory(&self) -> Option<&OsStr> {
        self.directory.as_deref().map(Path::as_os_str)
    }

    /// For `repr`.
    pub(crate) fn describe(&self, size: &str) -> String {
        let state = if self.is_closed() { "closed" } else { "open" };
        format!("<ipcx.{} '{}', {size}, {state}>", self.kind, self.name)
    }
}

/// For multiprocessing with the start methods spawn and forkserver: the other process attaches anew.
pub(crate) fn reduce<'py>(handle: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    py.import(pyo3::intern!(py, "ipcx._pickle"))?.call_method1(pyo3::intern!(py, "reduce"), (handle,))
}

/// Where the core looks, as an absolute path, so that a child process that works elsewhere finds it too.
fn place(directory: Option<&Path>) -> PathBuf {
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
