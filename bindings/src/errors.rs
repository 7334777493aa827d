//! How an error of the core becomes a Python exception. The classes are in `ipcx/_errors.py`, where several bases are
//! plain to write and to document.

use ipcx::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The classes, in the order of [`NAMES`].
static CLASSES: PyOnceLock<Vec<Py<PyType>>> = PyOnceLock::new();

const NAMES: [&str; 16] = [
    "Error",
    "WouldBlock",
    "Timeout",
    "Closed",
    "PeerDead",
    "Exists",
    "NotFound",
    "Busy",
    "Mismatch",
    "Corrupt",
    "TooBig",
    "NoSpace",
    "PermissionDenied",
    "Forked",
    "Invalid",
    "RemoteError",
];

/// What the core calls a segment without a name.
const ANONYMOUS: &str = "anonymous";

/// Index of `Closed`.
const CLOSED: usize = 3;

/// Loads the classes; once, when the module is imported.
pub(crate) fn load(py: Python<'_>) -> PyResult<()> {
    let module = py.import("ipcx._errors")?;
    let class = |name: &&str| Ok(module.getattr(*name)?.cast_into::<PyType>()?.unbind());
    let classes = NAMES.iter().map(class).collect::<PyResult<_>>()?;
    let _ = CLASSES.set(py, classes); // A second import finds the same classes.
    Ok(())
}

fn class_name(error: &Error) -> &'static str {
    match error {
        Error::WouldBlock(_) => "WouldBlock",
        Error::TimedOut(_) => "Timeout",
        Error::Closed(_) => "Closed",
        Error::PeerDead(_) => "PeerDead",
        Error::Exists(_) => "Exists",
        Error::NotFound(_) => "NotFound",
        Error::RoleTaken(_) => "Busy",
        Error::Mismatch(_) | Error::Version(_) => "Mismatch",
        Error::Corrupt(_) => "Corrupt",
        Error::TooBig { .. } => "TooBig",
        Error::NoSpace(_) => "NoSpace",
        Error::Permission(_) => "PermissionDenied",
        Error::Forked => "Forked",
        Error::Invalid(_) => "Invalid",
        Error::Remote(_) => "RemoteError",
        _ => "Error",
    }
}

/// True if the error's own text does not say on which segment it happened.
fn is_anonymous(error: &Error) -> bool {
    use Error::{Forked, Interrupted, Invalid, TimedOut, TooBig, WouldBlock};
    match error {
        TimedOut(context) => context.segment() == ANONYMOUS,
        _ => matches!(error, WouldBlock(_) | Interrupted | TooBig { .. } | Forked | Invalid(_)),
    }
}

/// The exception for an error on the segment with this name (or none, before there is one).
#[cold]
pub(crate) fn raise(py: Python<'_>, error: &Error, segment: &str) -> PyErr {
    let text = if is_anonymous(error) && !matches!(segment, "" | ANONYMOUS) {
        format!("{error} (segment '{segment}')")
    } else {
        error.to_string()
    };
    let raised = exception(py, class_name(error), error.errno(), text);
    if let Some(taken) = error.taken() {
        let _ = raised.value(py).setattr(pyo3::intern!(py, "taken"), taken);
    }
    if let Error::Remote(refusal) = error {
        let _ = raised.value(py).setattr(pyo3::intern!(py, "text"), refusal.detail());
        // It is in the message too.
    }
    raised
}

/// True for the exception that says that the peer closed in good order.
pub(crate) fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    CLASSES.get(py).is_some_and(|classes| error.is_instance(py, classes[CLOSED].bind(py)))
}

/// An endpoint was used while another call was at work on it.
#[cold]
pub(crate) fn in_use(py: Python<'_>, what: &str) -> PyErr {
    let text = format!(
        "{what} is in use by another thread, or by a call that this one interrupts; it belongs to one thread at a time"
    );
    exception(py, "Busy", libc::EBUSY, text)
}

/// An end was used while a task sends through it.
#[cold]
pub(crate) fn in_task(py: Python<'_>, what: &str) -> PyErr {
    exception(
        py,
        "Busy",
        libc::EBUSY,
        format!("a task is sending through {what}; it belongs to one task at a time"),
    )
}

/// What `text` says is not what ipcx writes.
#[cold]
pub(crate) fn corrupt(py: Python<'_>, text: &str) -> PyErr {
    exception(py, "Corrupt", libc::EBADMSG, text.to_owned())
}

/// Something was inherited over fork, and `text` says what to do.
#[cold]
pub(crate) fn forked(py: Python<'_>, text: &str) -> PyErr {
    exception(py, "Forked", Error::Forked.errno(), format!("forked: {text}"))
}

fn exception(py: Python<'_>, name: &str, errno: i32, text: String) -> PyErr {
    let index = NAMES.iter().position(|known| *known == name).unwrap_or(0);
    match CLASSES.get(py) {
        Some(classes) => PyErr::from_type(classes[index].bind(py).clone(), (errno, text)),
        None => pyo3::exceptions::PyOSError::new_err((errno, text)),
    }
}
