//! Memory of a segment behind the buffer protocol: a record borrowed in place, room reserved for one, a pool's block.
//!
//! What keeps a memoryview from outliving its memory: a [`Loan`] counts the views, and can end only while there are
//! none. An endpoint with a loan that has not ended neither closes nor goes on to another record.
//!
//! | loan | meaning |
//! |---|---|
//! | open, n views | in use |
//! | abandoned, n views | the `with` block is over, but views are left: ends when the last one goes |
//! | ended | no views, and never again |

#![allow(
    clippy::disallowed_types,
    reason = "one counter, of this process only; nothing here is shared memory"
)]

use crate::consumer::Consumer;
use crate::payload::{unsigned_or_none, Place};
use crate::producer::Producer;
use crate::publisher::Publisher;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// How many views there are of memory that was lent out.
#[derive(Debug, Default)]
pub(crate) struct Loan(AtomicUsize);

const ENDED: usize = 1 << (usize::BITS - 1);
const ABANDONED: usize = ENDED >> 1;

impl Loan {
    /// One more view, unless it ended or was abandoned.
    fn export(&self) -> bool {
        let more = |state| (state < ABANDONED).then_some(state + 1);
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    }

    /// One view less. Release: partner of the acquire in `end`, so that the view's last access comes before.
    pub(crate) fn unexport(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Ends it, unless there are views.
    pub(crate) fn end(&self) -> bool {
        let none = |state| (state & !(ENDED | ABANDONED) == 0).then_some(ENDED);
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, none).is_ok()
    }

    /// After [`Loan::end`]: as it was before.
    pub(crate) fn resume(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// No new views; it ends when the last one goes.
    pub(crate) fn abandon(&self) {
        self.0.fetch_or(ABANDONED, Ordering::Relaxed);
    }

    /// After [`Loan::abandon`], where nobody else looked at it: as it was before.
    pub(crate) fn reconsider(&self) {
        self.0.fetch_and(!ABANDONED, Ordering::Relaxed);
    }

    /// True if there are no views.
    pub(crate) fn is_free(&self) -> bool {
        self.0.load(Ordering::Relaxed) & !(ENDED | ABANDONED) == 0
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= ABANDONED
    }
}

/// An endpoint's side of a loan: there is at most one.
#[derive(Debug, Default)]
pub(crate) struct Lender(Option<Arc<Loan>>);

impl Lender {
    /// True if nothing is lent, as nearly always.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn lend(&mut self) -> Arc<Loan> {
        let loan = Arc::new(Loan::default());
        self.0 = Some(Arc::clone(&loan));
        loan
    }

    /// Ends the loan to go on: true if there was one. One that is in use is left to the core to refuse.
    #[cold]
    pub(crate) fn settle(&mut self) -> PyResult<bool> {
        match &self.0 {
            Some(loan) if loan.is_over() => self.end().map(|()| true),
            _ => Ok(false),
        }
    }

    /// Ends whatever is lent.
    pub(crate) fn end(&mut self) -> PyResult<()> {
        if self.0.as_ref().is_some_and(|loan| !loan.end()) {
            return Err(still_exported());
        }
        self.0 = None;
        Ok(())
    }

    /// True if `loan` is what is lent.
    pub(crate) fn is_of(&self, loan: &Arc<Loan>) -> bool {
        self.0.as_ref().is_some_and(|own| Arc::ptr_eq(own, loan))
    }
}

#[cold]
pub(crate) fn still_exported() -> PyErr {
    PyBufferError::new_err(
        "a memoryview or array of this memory still exists; release or delete it first (inside the `with` block)",
    )
}

/// Memory lent, for as long as the loan runs.
pub(crate) struct Window {
    pub(crate) loan: Arc<Loan>,
    pub(crate) place: Place,
    pub(crate) writable: bool,
}

impl Window {
    pub(crate) fn check(&self) -> PyResult<()> {
        if self.loan.is_over() {
            return Err(PyValueError::new_err("this memory was released; it can no longer be used"));
        }
        Ok(())
    }

    /// Fills `view`, for `owner` to own.
    ///
    /// # Safety
    /// `view` is the argument of `__getbuffer__`, and `owner` the object that has this window.
    pub(crate) unsafe fn export(
        &self,
        owner: *mut ffi::PyObject,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if !self.loan.export() {
            return Err(PyBufferError::new_err("this memory was released; it can no longer be used"));
        }
        let (at, len) = (self.place.at.cast(), self.place.len as ffi::Py_ssize_t);
        // SAFETY: `view` is valid by the caller's promise; the memory stays until the loan ends, which waits for
        // `unexport`. A request to write to a read-only window is refused by the function.
        let filled =
            unsafe { ffi::PyBuffer_FillInfo(view, owner, at, len, c_int::from(!self.writable), flags) };
        if filled != 0 {
            self.loan.unexport();
            // SAFETY: the interpreter is held, as in every call from Python.
            return Err(PyErr::fetch(unsafe { Python::assume_attached() }));
        }
        Ok(())
    }
}

/// `object[key]` over a memoryview that lives no longer than this call; a slice is a copy.
pub(crate) fn get_item<'py>(
    object: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(object)?;
    let item = view.get_item(key)?;
    match item.cast::<PyMemoryView>() {
        Ok(part) => part.call_method0(pyo3::intern!(object.py(), "tobytes")),
        Err(_) => Ok(item),
    }
}

/// A record in place, read-only: `with rx.borrow() as record:`.
///
/// `memoryview(record)` and numpy see the bytes without a copy;
/// `record[a:b]` and `bytes(record)` copy them. At the end of the `with`
/// block the record is released; after an exception it is not, and is
/// delivered again. A memoryview that still exists then is a BufferError,
/// and the record stays.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Record {
    window: Window,
    consumer: Py<Consumer>,
    position: u64,
}

impl Record {
    pub(crate) fn new(consumer: Py<Consumer>, loan: Arc<Loan>, place: Place, position: u64) -> Record {
        Record { window: Window { loan, place, writable: false }, consumer, position }
    }
}

#[pymethods]
impl Record {
    /// Stream position of the record, the same at every delivery.
    #[getter]
    fn position(&self) -> u64 {
        self.position
    }

    /// Say that the record is done with; it is not delivered again.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.window.check()?;
        self.consumer.get().release(py, &self.window.loan)
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
        let done =
            if exc_type.is_none() { self.consumer.get().release(py, &self.window.loan) } else { Ok(()) };
        self.window.loan.abandon(); // For what was not released.
        done
    }

    fn __repr__(&self) -> String {
        format!("<ipcx.Record of {} bytes at {}>", self.window.place.len, self.position)
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

impl Drop for Record {
    fn drop(&mut self) {
        self.window.loan.abandon(); // No views are left, since each of them holds this object.
    }
}

/// Where the room is that a reservation lends.
pub(crate) enum Lessor {
    Producer(Py<Producer>),
    Publisher(Py<Publisher>),
}

impl From<Py<Producer>> for Lessor {
    fn from(producer: Py<Producer>) -> Lessor {
        Lessor::Producer(producer)
    }
}

impl From<Py<Publisher>> for Lessor {
    fn from(publisher: Py<Publisher>) -> Lessor {
        Lessor::Publisher(publisher)
    }
}

impl Lessor {
    fn commit(&self, py: Python<'_>, loan: &Arc<Loan>, len: usize) -> PyResult<()> {
        match self {
            Lessor::Producer(producer) => producer.get().end.commit(py, loan, len),
            Lessor::Publisher(publisher) => publisher.get().end.commit(py, loan, len),
        }
    }

    fn abort(&self, py: Python<'_>, loan: &Arc<Loan>) -> PyResult<()> {
        match self {
            Lessor::Producer(producer) => producer.get().end.abort(py, loan),
            Lessor::Publisher(publisher) => publisher.get().end.abort(py, loan),
        }
    }
}

/// Room for a record in place: `with tx.reserve(n) as view:`.
///
/// Write with `view[a:b] = data`, or through `memoryview(view)`,
/// `numpy.frombuffer(view)`, `file.readinto(view)`. What is there before it
/// is written is whatever was there. At the end of the `with` block all of
/// it is sent as one record, unless `commit` sent less before; after an
/// exception nothing is sent. A memoryview that still exists then is a
/// BufferError, and nothing is sent.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Reservation {
    window: Window,
    of: Lessor,
}

impl Reservation {
    pub(crate) fn new(of: Lessor, loan: Arc<Loan>, place: Place) -> Reservation {
        Reservation { window: Window { loan, place, writable: true }, of }
    }
}

#[pymethods]
impl Reservation {
    /// Send the first n bytes as one record; all of them if n is not
    /// given.
    #[pyo3(signature = (n=None))]
    fn commit(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned_or_none)] n: Option<usize>,
    ) -> PyResult<()> {
        self.window.check()?;
        let len = self.window.place.len;
        let n = n.unwrap_or(len);
        if n > len {
            return Err(PyValueError::new_err(format!("commit of {n} bytes where {len} are reserved")));
        }
        self.of.commit(py, &self.window.loan, n)
    }

    /// Give the room up; nothing is sent.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.window.check()?;
        self.of.abort(py, &self.window.loan)
    }

    fn __len__(&self) -> usize {
        self.window.place.len
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().window.check()?;
        get_item(slf, key)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().window.check()?;
        PyMemoryView::from(slf)?.set_item(key, value)
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
            return Ok(()); // Committed or aborted inside the block.
        }
        let done = if exc_type.is_none() {
            self.of.commit(py, &self.window.loan, self.window.place.len)
        } else {
            Ok(())
        };
        self.window.loan.abandon(); // For what was not committed.
        done
    }

    fn __repr__(&self) -> String {
        format!("<ipcx.Reservation of {} bytes>", self.window.place.len)
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

impl Drop for Reservation {
    fn drop(&mut self) {
        self.window.loan.abandon(); // No views are left, since each of them holds this object.
    }
}
