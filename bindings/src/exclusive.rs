//! State that one thread at a time may use. A second one gets an exception, at once and never a wait, so that nothing
//! here can deadlock with the interpreter's lock, a signal handler or a finaliser.

use crate::errors;
use crate::segment::{Core, Handle};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::ffi::{OsStr, OsString};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// An endpoint's state; `None` once it is closed.
pub(crate) struct Exclusive<T> {
    state: Mutex<Option<T>>,
    /// Process it was made in.
    pid: u32,
    label: Label,
}

/// What an endpoint is, for people.
pub(crate) struct Label {
    /// Its class.
    pub(crate) role: &'static str,
    /// Of what it is one: a segment, a pipe.
    pub(crate) kind: &'static str,
    /// Name of that.
    pub(crate) name: String,
    /// Where that is; `None` if it has no name, or its kind no directory.
    pub(crate) directory: Option<OsString>,
}

impl<T> Exclusive<T> {
    pub(crate) fn new(state: T, label: Label) -> Exclusive<T> {
        Exclusive { state: Mutex::new(Some(state)), pid: std::process::id(), label }
    }

    /// The state of an endpoint of the segment with this handle.
    pub(crate) fn of_segment<K: Core>(state: T, role: &'static str, of: &Handle<K>) -> Exclusive<T> {
        let directory = of.directory().map(ToOwned::to_owned);
        Exclusive::new(state, Label { role, kind: "segment", name: of.name.clone(), directory })
    }

    /// The state of a client or server of this service.
    pub(crate) fn of_service(state: T, role: &'static str, service: &Handle<ipcx::Service>) -> Exclusive<T> {
        let directory = service.directory().map(ToOwned::to_owned);
        Exclusive::new(state, Label { role, kind: "segment", name: service.name.clone(), directory })
    }

    /// Name of the segment.
    pub(crate) fn segment(&self) -> &str {
        &self.label.name
    }

    /// Directory of the segment; `None` if it has no name.
    pub(crate) fn directory(&self) -> Option<&OsStr> {
        self.label.directory.as_deref()
    }

    /// The state of an endpoint that is open and not in use.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Guard<'_, T>> {
        let guard = self.guard(py)?;
        if guard.is_none() {
            return Err(self.closed_error());
        }
        Ok(Guard(guard))
    }

    /// Takes the state out, which closes the endpoint, if `may` agrees; `None` if it is closed already.
    pub(crate) fn take(
        &self,
        py: Python<'_>,
        may: impl FnOnce(&mut T) -> PyResult<()>,
    ) -> PyResult<Option<T>> {
        let mut guard = self.guard(py)?;
        guard.as_mut().map(may).transpose()?;
        Ok(guard.take())
    }

    /// True if it is closed; one that is in use is not.
    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.guard(py).is_ok_and(|state| state.is_none())
    }

    /// What `__reduce__` of an endpoint of a ring returns: `take` names the method of the ring that takes the role.
    pub(crate) fn reduce<'py>(&self, py: Python<'py>, take: &str) -> PyResult<Bound<'py, PyAny>> {
        let Some(directory) = self.directory() else {
            let text = format!(
                "{} has no name by which another process finds it: pass the Ring itself, or a descriptor of it \
                 (share_fd), and take the role there",
                self.describe_open()
            );
            return Err(PyTypeError::new_err(text));
        };
        py.import(pyo3::intern!(py, "ipcx._pickle"))?
            .call_method1(pyo3::intern!(py, "reduce_end"), (take, self.segment(), directory))
    }

    /// What `__reduce__` of an end of a topic raises; `make` is the method of the topic that makes another one.
    pub(crate) fn not_pickled(&self, make: &str) -> PyErr {
        let what = self.describe_open();
        PyTypeError::new_err(format!(
            "{what} is its process's own: pass the Topic itself, and call {make}() there"
        ))
    }

    /// For `repr`.
    pub(crate) fn describe(&self, py: Python<'_>) -> String {
        let state = if self.is_closed(py) { "closed" } else { "open" };
        format!("<ipcx.{} of '{}', {state}>", self.label.role, self.label.name)
    }

    #[inline]
    fn guard(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<T>>> {
        match self.state.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(self.in_use(py)),
        }
    }

    #[cold]
    fn in_use(&self, py: Python<'_>) -> PyErr {
        if self.pid != std::process::id() {
            // A thread of the parent was at work when this child was forked.
            return errors::raise(py, &ipcx::Error::Forked, self.segment());
        }
        errors::in_use(py, &self.describe_open())
    }

    pub(crate) fn describe_open(&self) -> String {
        let Label { role, kind, name, .. } = &self.label;
        format!("this {role} of {kind} '{name}'")
    }

    #[cold]
    fn closed_error(&self) -> PyErr {
        PyValueError::new_err(format!("{} is closed", self.describe_open()))
    }
}

/// The state of an open endpoint, held.
pub(crate) struct Guard<'a, T>(MutexGuard<'a, Option<T>>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("checked when it was locked")
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("checked when it was locked")
    }
}
