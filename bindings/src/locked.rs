//! A buffer's value while its lock is held.

use crate::array::as_array;
use crate::errors;
use crate::payload::{proportional, unsigned, Place};
use crate::views::{get_item, still_exported, Loan, Window};
use crate::wait::{deadline, slices, Ended};
use ipcx::{Deadline, Error};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The value of a buffer, to be changed in place by the thread that holds
/// the buffer's lock: `with buffer.lock() as value:`.
///
/// It has the buffer protocol: `memoryview(value)`,
/// `struct.pack_into(format, value, 0, ...)`, `value.as_array(dtype,
/// shape)` see and change its bytes without a copy; `value[a:b]` and
/// `bytes(value)` copy them. len(value) bytes are used; `resize` changes
/// that.
///
/// At the end of the `with` block what is there becomes the value, unless
/// `commit` or `abandon` came before. After an exception the value stays as
/// it was. Readers have the old value until then. A memoryview or array
/// that still exists then is a BufferError; the value stays as it was, and
/// the lock is given up when the last of them is gone.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct LockedValue {
    buffer: Arc<ipcx::Buffer>,
    loan: Arc<Loan>,
    /// Held only to look, never across a call into Python or the core.
    now: Mutex<Now>,
}

/// What a lock found.
#[derive(Clone, Copy)]
struct Now {
    place: Place,
    recovered: bool,
}

/// Takes the lock until `deadline`, without letting signal handlers run.
fn attempt(py: Python<'_>, buffer: &ipcx::Buffer, deadline: Deadline) -> Result<(), Ended> {
    // It copies the value, which is as long as the capacity at most.
    let lock = || buffer.lock_raw(deadline);
    let locked = if deadline.is_now() { proportional(py, buffer.capacity(), lock) } else { py.detach(lock) };
    locked.map_err(Ended::Core)
}

/// What the lock, which this thread has, found.
fn found(buffer: &ipcx::Buffer) -> Result<Now, Error> {
    let (at, len, _) = buffer.locked_raw()?;
    Ok(Now { place: Place { at, len }, recovered: buffer.recovered_raw()? })
}

impl LockedValue {
    /// Takes the lock.
    pub(crate) fn take(
        py: Python<'_>,
        buffer: Arc<ipcx::Buffer>,
        deadline: Deadline,
    ) -> PyResult<LockedValue> {
        let locked = match attempt(py, &buffer, Deadline::NOW) {
            Err(Ended::Core(Error::WouldBlock(_))) if !deadline.is_now() => {
                slices(py, deadline, |slice| attempt(py, &buffer, slice))
            }
            done => done,
        };
        let now = locked.and_then(|()| found(&buffer).map_err(Ended::Core));
        let now = now.map_err(|ended| ended.raise(py, buffer.name()))?;
        Ok(LockedValue { buffer, loan: Arc::new(Loan::default()), now: Mutex::new(now) })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // Nothing panics while holding it.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> Window {
        Window { loan: Arc::clone(&self.loan), place: self.now().place, writable: true }
    }

    fn len(&self) -> usize {
        self.now().place.len
    }

    fn check(&self) -> PyResult<()> {
        self.window().check()
    }

    #[cold]
    fn raise(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::raise(py, error, self.buffer.name())
    }

    /// No views, and none to come. Next comes [`LockedValue::or_keep`], or the lock is gone.
    fn lend(&self) -> PyResult<()> {
        self.check()?;
        if !self.loan.end() {
            return Err(still_exported());
        }
        Ok(())
    }

    /// What the core did, or why the lock is still there.
    fn or_keep<T>(&self, py: Python<'_>, done: Result<T, Error>) -> PyResult<T> {
        done.map_err(|error| {
            self.loan.resume();
            self.raise(py, &error)
        })
    }

    /// The lock is there (again), and the value elsewhere.
    fn renew(&self, py: Python<'_>) -> PyResult<()> {
        *self.now() = found(&self.buffer).map_err(|error| self.raise(py, &error))?;
        self.loan.resume();
        Ok(())
    }

    /// Its use is over, without a commit: the lock is given up now, or with the last view.
    fn leave(&self) {
        self.loan.abandon();
        if self.loan.end() {
            // This may be a finalizer, in any thread. Fails in a forked child, whose parent has the lock.
            let _ = self.buffer.abandon_from_any_thread_raw();
        }
    }
}

#[pymethods]
impl LockedValue {
    /// Make what is there the value, give the lock up, and return which
    /// version it is.
    fn commit(&self, py: Python<'_>) -> PyResult<u64> {
        self.lend()?;
        self.or_keep(py, self.buffer.unlock_raw(self.len()))
    }

    /// Give the lock up; the value stays as it was.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        self.lend()?;
        self.or_keep(py, self.buffer.abandon_raw())
    }

    /// Make what is there the value, keep the lock, and return which
    /// version it is. No memoryview or array of the value may exist.
    fn publish(&self, py: Python<'_>) -> PyResult<u64> {
        self.lend()?;
        let len = self.len();
        let version = match proportional(py, len, || self.buffer.publish_raw(len)) {
            Err(error @ Error::Corrupt(_)) => return Err(self.raise(py, &error)), // the lock is gone
            done => self.or_keep(py, done)?,
        };
        self.renew(py)?;
        Ok(version)
    }

    /// Say that n bytes are used. What is behind those of the value before
    /// is whatever was there. No memoryview or array of the value may
    /// exist.
    fn resize(&self, py: Python<'_>, #[pyo3(from_py_with = unsigned)] n: usize) -> PyResult<()> {
        self.check()?;
        if !self.loan.is_free() {
            return Err(still_exported());
        }
        let available = self.buffer.capacity();
        if n > available {
            return Err(self.raise(py, &Error::TooBig { needed: n, available }));
        }
        self.now().place.len = n;
        Ok(())
    }

    /// Give the lock up without a commit, wait for a notification, and
    /// take the lock again: the value is then that of this moment. It may
    /// return without one, as conditions do: ask for what you wait for
    /// again.
    ///
    /// After an exception, a timeout too, the lock is not held any more,
    /// and the end of the `with` block does nothing. No memoryview or
    /// array of the value may exist.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        self.lend()?;
        let seen = self.or_keep(py, self.buffer.unlock_to_wait_raw())?;
        let buffer = &*self.buffer;
        if deadline.is_now() {
            return Err(
                self.raise(py, &Error::WouldBlock("a call that does not wait hears of no notification"))
            );
        }
        // What comes between two slices is not missed: the core counts the notifications.
        let notified = |slice| py.detach(|| buffer.wait_notified_raw(seen, slice)).map_err(Ended::Core);
        slices(py, deadline, notified)
            .and_then(|()| slices(py, deadline, |slice| attempt(py, buffer, slice)))
            .map_err(|ended| ended.raise(py, buffer.name()))?;
        self.renew(py)
    }

    /// Wake one of those that wait for a notification, or all of them.
    #[pyo3(signature = (all=false))]
    fn notify(&self, py: Python<'_>, all: bool) -> PyResult<()> {
        self.buffer.notify(all).map_err(|error| self.raise(py, &error))
    }

    /// True if the owner before died while it had the lock. The value is
    /// whole all the same, the one that was committed last; anything else
    /// that the lock guards may need repair.
    #[getter]
    fn recovered(&self) -> bool {
        self.now().recovered
    }

    /// Bytes that the value can have.
    #[getter]
    fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// True once the lock was given up.
    #[getter]
    fn released(&self) -> bool {
        self.loan.is_over()
    }

    /// A NumPy array of the value's bytes, without a copy: of this shape,
    /// or with as many items as fit; one size of a shape may be -1, which
    /// stands for as many as fit. The lock cannot be given up while the
    /// array exists. NumPy is needed only for this.
    #[pyo3(signature = (dtype, shape=None))]
    fn as_array<'py>(
        slf: &Bound<'py, Self>,
        dtype: &Bound<'py, PyAny>,
        shape: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().check()?;
        as_array(slf, slf.get().len(), dtype, shape)
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().check()?;
        get_item(slf, key)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().check()?;
        PyMemoryView::from(slf)?.set_item(key, value)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        slf.get().check()?;
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
        let _ = (exc_value, traceback);
        if self.loan.is_over() {
            return Ok(()); // Committed, abandoned, or lost inside the block.
        }
        let done = if exc_type.is_none() { self.commit(py).map(drop) } else { Ok(()) };
        if !self.loan.is_over() {
            self.leave();
        }
        done
    }

    fn __repr__(&self) -> String {
        let state = if self.released() { ", released" } else { "" };
        format!("<ipcx.LockedValue of '{}', {} bytes{state}>", self.buffer.name(), self.len())
    }

    // SAFETY: called by the interpreter with a valid `view`.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: `view` comes from the interpreter, and `slf` has the loan; the place moves only while there are no views.
        unsafe { slf.get().window().export(slf.as_ptr(), view, flags) }
    }

    // SAFETY: called by the interpreter once for each view filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.loan.unexport();
        if self.loan.is_over() {
            self.leave(); // The last view of one whose `with` block is over.
        }
    }
}

impl Drop for LockedValue {
    fn drop(&mut self) {
        if !self.loan.is_over() {
            self.leave(); // No views are left, since each of them holds this object.
        }
    }
}
