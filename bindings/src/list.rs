//! Which segments there are.

use crate::errors;
use crate::ring::state_name;
use crate::segment::{strategy_name, Participant};
use ipcx::{Backing, ListedState};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use std::path::PathBuf;

/// Every segment of a directory, by name; None means the default one.
/// Looking changes nothing, and nobody is stopped for it.
///
/// What cannot be read is listed too: its `reason` says why. Segments
/// without a name, and the files of FIFOs and sockets, are not among
/// them.
///
/// NotFound if there is no such directory, PermissionDenied.
#[pyfunction]
#[pyo3(signature = (directory=None))]
pub(crate) fn list(py: Python<'_>, directory: Option<PathBuf>) -> PyResult<Vec<Listed>> {
    let listed = py.detach(|| ipcx::list_in(directory.as_deref()));
    let listed = listed.map_err(|error| errors::raise(py, &error, ""))?;
    Ok(listed.into_iter().map(Listed).collect())
}

/// What `list` says of a segment. If it cannot be read, everything behind
/// `mode` is None, 0 or empty.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Listed(ipcx::Listed);

#[pymethods]
impl Listed {
    /// Name, as `attach` and `unlink` take it.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// 'in use' if somebody alive is attached, 'unused' if nobody is,
    /// 'unreadable' if it is no segment, another version's, or not yours
    /// to read.
    #[getter]
    fn state(&self) -> &'static str {
        match self.0.state {
            ListedState::InUse => "in use",
            ListedState::Unused => "unused",
            _ => "unreadable",
        }
    }

    /// Why it cannot be read, or attached to.
    #[getter]
    fn reason(&self) -> Option<String> {
        self.0.problem.as_ref().map(ToString::to_string)
    }

    /// Bytes of its file, and of its System V segment if there is one.
    #[getter]
    fn size(&self) -> u64 {
        self.0.size
    }

    /// User that its file belongs to.
    #[getter]
    fn owner(&self) -> u32 {
        self.0.owner
    }

    /// Group of its file.
    #[getter]
    fn group(&self) -> u32 {
        self.0.group
    }

    /// Permission bits of its file.
    #[getter]
    fn mode(&self) -> u32 {
        self.0.mode
    }

    /// 'ring', 'pool', 'buffer', 'semaphore', 'topic', 'service', 'queue'.
    #[getter]
    fn kind(&self) -> Option<&'static str> {
        self.0.kind.map(ipcx::Kind::name)
    }

    /// When it was made, nanoseconds since 1970.
    #[getter]
    fn created(&self) -> u64 {
        self.0.created
    }

    /// The label that it was made with, without control characters.
    #[getter]
    fn schema(&self) -> Option<&str> {
        self.0.schema.as_deref()
    }

    /// How calls on it wait: 'balanced', 'spin', 'yield' or 'block'.
    #[getter]
    fn wait(&self) -> &'static str {
        strategy_name(self.0.wait)
    }

    /// Key of its System V segment, if there is one.
    #[getter]
    fn system_v_key(&self) -> Option<i32> {
        match self.0.backing {
            Backing::SystemV { key } => Some(key),
            _ => None,
        }
    }

    /// Most participants it can have at once.
    #[getter]
    fn max_participants(&self) -> u32 {
        self.0.max_participants
    }

    /// Who is attached, one for each open handle, and who died and was not
    /// recovered yet.
    #[getter]
    fn participants(&self) -> Vec<ListedParticipant> {
        self.0.participants.iter().map(ListedParticipant::of).collect()
    }

    /// The roles of its kind: of a ring, 'producer' and 'consumer',
    /// whether or not somebody has them; of a service, one for each
    /// 'server' and each 'client'; of a reliable topic, one for each
    /// 'subscriber'. Nothing is written down of publishers, of subscribers
    /// of a lossy topic, and of who uses other kinds.
    #[getter]
    fn roles(&self) -> Vec<ListedRole> {
        self.0.roles.iter().map(ListedRole::of).collect()
    }

    /// The options that it was made with, by name.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.parameters.iter().copied().into_py_dict(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut facts = vec![format!("name='{}'", self.name())];
        facts.extend(self.kind().map(|kind| format!("kind='{kind}'")));
        facts.push(format!("state='{}'", self.state()));
        facts.push(format!("size={}", self.size()));
        for (name, value) in &self.0.parameters {
            facts.push(format!("{name}={value}"));
        }
        for role in &self.0.roles {
            let pid = role.process.as_ref().map(|process| format!(" {}", process.pid)).unwrap_or_default();
            facts.push(format!("{}='{}{pid}'", role.name, state_name(role.state)));
        }
        if self.0.kind.is_some() {
            let pids = |alive| {
                let some = self.0.participants.iter().filter(move |participant| participant.alive == alive);
                some.map(|participant| participant.process.pid.to_string()).collect::<Vec<_>>().join(", ")
            };
            facts.push(format!("alive=[{}], dead=[{}]", pids(true), pids(false)));
        }
        if let Some(reason) = self.reason() {
            facts.push(format!("reason={}", reason.into_pyobject(py)?.repr()?));
        }
        Ok(format!("Listed({})", facts.join(", ")))
    }
}

/// A participant of a segment, as `list` shows it.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ListedParticipant {
    /// Number of its slot, from 0.
    slot: u32,
    /// Its process, as it described itself.
    process: Participant,
    /// False if it died: what it left is recovered when somebody needs it.
    alive: bool,
}

impl ListedParticipant {
    fn of(from: &ipcx::ListedParticipant) -> ListedParticipant {
        let process = Participant::from(from.process.clone());
        ListedParticipant { slot: from.slot, process, alive: from.alive }
    }
}

#[pymethods]
impl ListedParticipant {
    fn __repr__(&self) -> String {
        let alive = if self.alive { "True" } else { "False" };
        format!("ListedParticipant(slot={}, process={}, alive={alive})", self.slot, self.process.describe())
    }
}

/// A role of a segment, as `list` shows it.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ListedRole {
    /// 'producer', 'consumer', 'server', 'client' or 'subscriber'.
    name: &'static str,
    /// 'never', 'alive', 'closed' or 'dead'.
    state: &'static str,
    /// Who has it, or died having it and was not recovered yet.
    process: Option<Participant>,
}

impl ListedRole {
    fn of(from: &ipcx::ListedRole) -> ListedRole {
        let process = from.process.clone().map(Participant::from);
        ListedRole { name: from.name, state: state_name(from.state), process }
    }
}

#[pymethods]
impl ListedRole {
    fn __repr__(&self) -> String {
        let process = self.process.as_ref().map_or_else(|| "None".to_owned(), Participant::describe);
        format!("ListedRole(name='{}', state='{}', process={process})", self.name, self.state)
    }
}
