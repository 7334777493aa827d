//! A block of a pool.

use crate::array::as_array;
use crate::errors;
use crate::payload::Place;
use crate::views::{get_item, still_exported, Loan, Window};
use ipcx::{BlockId, Error};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::c_int;
use std::sync::Arc;

/// A block of a pool, which this process owns: `with pool.acquire() as
/// block:`.
///
/// It has the buffer protocol: `memoryview(block)`,
/// `numpy.frombuffer(block)`, `file.readinto(block)` and
/// `block.as_array(dtype, shape)` see and change its bytes without a copy;
/// `block[a:b]` and `bytes(block)` copy them. What is there before it is
/// written is whatever was there. `len(block)` is how many bytes it has; of
/// one that was received, how many were sent.
///
/// At the end of the `with` block it goes back to the pool, unless it was
/// sent before. To release or to send it while a memoryview or array of it
/// exists is a BufferError: release or `del` them before. The end of the
/// `with` block raises the same, and the block goes back when the last of
/// them is gone. Using it afterwards is a ValueError.
///
/// In a forked child the memory of the parent's block can still be reached:
/// do not touch it, it is the parent's.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Block {
    window: Window,
    pool: Arc<ipcx::Pool>,
    id: BlockId,
}

impl Block {
    /// A block that the handle owns, of which `len` bytes are used.
    pub(crate) fn new(pool: Arc<ipcx::Pool>, id: BlockId, len: usize) -> Block {
        let at = pool.address(id).map_or(std::ptr::null_mut(), |address| address.as_ptr());
        let window = Window { loan: Arc::new(Loan::default()), place: Place { at, len }, writable: true };
        Block { window, pool, id }
    }

    /// Its handle and id, with no views and none to come: to be sent. [`Block::keep`] follows if it was not.
    pub(crate) fn lend(&self) -> PyResult<(&ipcx::Pool, BlockId)> {
        self.window.check()?;
        if !self.window.loan.end() {
            return Err(still_exported());
        }
        Ok((&self.pool, self.id))
    }

    /// It was not sent.
    pub(crate) fn keep(&self) {
        self.window.loan.resume();
    }

    /// Its handle and id, whatever views of it there are: to be sent, and no longer this process's. They can be used until they
    /// go, as memory that others change. [`Block::take_back`] follows if it was not sent.
    pub(crate) fn part_with(&self) -> PyResult<(&Arc<ipcx::Pool>, BlockId)> {
        self.window.check()?;
        self.window.loan.abandon();
        Ok((&self.pool, self.id))
    }

    /// After [`Block::part_with`]: it was not sent.
    pub(crate) fn take_back(&self) {
        self.window.loan.reconsider();
    }

    /// Where they are.
    pub(crate) fn place(&self) -> Place {
        self.window.place
    }

    /// How many of its bytes are used: all, or as many as were sent.
    pub(crate) fn used(&self) -> usize {
        self.window.place.len
    }

    fn give_back(&self) -> Result<(), Error> {
        if self.pool.is_on_demand() {
            let _ = self.pool.let_go(self.id, self.used()); // What is kept is used again.
        }
        self.pool.release_raw(self.id)
    }

    /// Its use is over; it goes back now, or with its last view.
    fn leave(&self) {
        self.window.loan.abandon();
        if self.window.loan.end() {
            let _ = self.give_back(); // Fails where it is gone already, or is the parent's.
        }
    }
}

#[pymethods]
impl Block {
    /// Give it back to the pool.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.lend()?;
        self.give_back().map_err(|error| errors::raise(py, &error, self.pool.name()))
    }

    /// Names it for as long as this handle owns it; the lowest 28 bits say
    /// which block it is, whoever owns it.
    #[getter]
    fn id(&self) -> u64 {
        self.id.get()
    }

    /// True once it was released or sent.
    #[getter]
    fn released(&self) -> bool {
        self.window.loan.is_over()
    }

    /// How many bytes it has, whatever was sent of it: the pool's block
    /// size. So many can be sent.
    #[getter]
    fn capacity(&self) -> usize {
        self.pool.block_size()
    }

    /// A NumPy array of its memory, without a copy: of this shape, or with
    /// as many items as fit; one size of a shape may be -1, which stands
    /// for as many as fit. The block cannot be released or sent while the
    /// array exists. NumPy is needed only for this: `pip install numpy`.
    #[pyo3(signature = (dtype, shape=None))]
    fn as_array<'py>(
        slf: &Bound<'py, Self>,
        dtype: &Bound<'py, PyAny>,
        shape: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().window.check()?;
        as_array(slf, slf.get().used(), dtype, shape)
    }

    fn __len__(&self) -> usize {
        self.used()
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
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        if self.window.loan.is_over() {
            return Ok(()); // Released or sent inside the block.
        }
        let free = self.window.loan.is_free();
        self.leave();
        // An exception on its way is not hidden by this one.
        if free || exc_type.is_some() {
            return Ok(());
        }
        Err(still_exported())
    }

    fn __repr__(&self) -> String {
        let state = if self.released() { ", released" } else { "" };
        format!("<ipcx.Block {:#x} of '{}', {} bytes{state}>", self.id.get(), self.pool.name(), self.used())
    }

    // SAFETY: called by the interpreter with a valid `view`.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: `view` comes from the interpreter, and `slf` has the window.
        unsafe { slf.get().window.export(slf.as_ptr(), view, flags) }
    }

    // SAFETY: called by the interpreter once for each view filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.window.loan.unexport();
        if self.window.loan.is_over() {
            self.leave(); // The last view of one whose `with` block is over.
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.window.loan.is_over() {
            self.leave(); // No views are left, since each of them holds this object.
        }
    }
}

/// How many of a block's bytes are to be sent.
pub(crate) fn checked_len(block: &Block, n: Option<usize>) -> PyResult<usize> {
    let most = block.capacity();
    match n {
        Some(n) if n > most => Err(PyValueError::new_err(format!("{n} bytes of a block that has {most}"))),
        Some(n) => Ok(n),
        None => Ok(block.used()),
    }
}
