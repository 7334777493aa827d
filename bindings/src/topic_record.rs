//! A topic's record in place.

use crate::payload::Place;
use crate::subscriber::Subscriber;
use crate::views::{get_item, Loan, Window};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::ffi::c_int;
use std::sync::Arc;

/// A record in place, read-only: `with subscriber.borrow() as record:`.
///
/// `memoryview(record)` and numpy see the bytes without a copy;
/// `record[a:b]` and `bytes(record)` copy them. At the end of the `with`
/// block the record is released; after an exception it is not, and is
/// delivered again. A memoryview that still exists then is a BufferError,
/// and the record stays.
///
/// In a lossy topic publishers may overwrite it at any time, and nothing is
/// raised then. What was made of its bytes counts only if `whole` is true
/// afterwards, or release() returns True; if not, the record counts as
/// missed. In a reliable topic they are always true.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct TopicRecord {
    window: Window,
    subscriber: Py<Subscriber>,
    number: u64,
    /// What the release said.
    released_whole: PyOnceLock<bool>,
}

impl TopicRecord {
    pub(crate) fn new(subscriber: Py<Subscriber>, loan: Arc<Loan>, place: Place, number: u64) -> TopicRecord {
        let window = Window { loan, place, writable: false };
        TopicRecord { window, subscriber, number, released_whole: PyOnceLock::new() }
    }
}

#[pymethods]
impl TopicRecord {
    /// How many records were published before it since the topic was made.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// True if everything that was read so far was the record's; after the
    /// release, if everything that was read before was.
    #[getter]
    fn whole(&self, py: Python<'_>) -> PyResult<bool> {
        match self.released_whole.get(py) {
            Some(whole) => Ok(*whole),
            None => self.subscriber.get().is_whole(py, &self.window.loan),
        }
    }

    /// Say that the record is done with; it is not delivered again. True
    /// if everything that was read was the record's.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        self.window.check()?;
        let whole = self.subscriber.get().release(py, &self.window.loan)?;
        let _ = self.released_whole.set(py, whole); // Released once.
        Ok(whole)
    }

    fn __len__(&self) -> usize {
        self.window.place.len
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().window.check()?;
        get_item(slf, key)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        slf.get().window.check()?;
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
        if self.window.loan.is_over() {
            return Ok(()); // Released inside the block.
        }
        let done = if exc_type.is_none() { self.release(py).map(drop) } else { Ok(()) };
        self.window.loan.abandon(); // For what was not released.
        done
    }

    fn __repr__(&self) -> String {
        format!("<ipcx.TopicRecord of {} bytes, number {}>", self.window.place.len, self.number)
    }

    // SAFETY: called by the interpreter with a valid `view`.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: `view` comes from the interpreter, and `slf` has the window.
        unsafe { slf.get().window.export(slf.as_ptr(), view, flags) }
    }

    // SAFETY: called by the interpreter once for each view filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.window.loan.unexport();
    }
}

impl Drop for TopicRecord {
    fn drop(&mut self) {
        self.window.loan.abandon(); // No views are left, since each of them holds this object.
    }
}
