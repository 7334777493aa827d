//! What belongs to every kind of segment: where it is, how it waits, who is attached, removing its name.

use crate::errors;
use ipcx::WaitStrategy;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};

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

/// What [`strategy`] calls it.
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
