//! A message that was taken from a work queue.

use crate::errors;
use crate::payload::{proportional, room_for_bytes};
use ipcx::Error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A message that was taken from a queue: `with queue.take() as message:`.
///
/// Nobody else has it. At the end of the `with` block it is acknowledged,
/// and gone, unless it was acknowledged or put back before; after an
/// exception it is put back, and taken again by whoever comes first. So it
/// is when it is deleted without either, or when the process dies.
/// `message.data` is a copy, and stays.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct Delivery {
    queue: Arc<ipcx::Queue>,
    ticket: u64,
    data: Py<PyBytes>,
    priority: u32,
    deliveries: u32,
    /// Under the interpreter's lock, hence relaxed.
    over: AtomicBool,
}

/// A copy of a message, which is put back if that fails.
pub(crate) fn copy<'py>(py: Python<'py>, taken: &ipcx::Delivery<'_>) -> PyResult<Bound<'py, PyBytes>> {
    let (bytes, room) = room_for_bytes(py, taken.len())?;
    // SAFETY: the new object has so many bytes, which nobody else has seen yet.
    let fill = || taken.copy_to(unsafe { room.slice_mut() });
    proportional(py, taken.len(), fill).map_err(|error| errors::raise(py, &error, ""))?;
    Ok(bytes)
}

impl Delivery {
    /// Of what was taken from `queue`.
    pub(crate) fn new(
        py: Python<'_>,
        queue: Arc<ipcx::Queue>,
        taken: impl FnOnce(&ipcx::Queue) -> PyResult<ipcx::Delivery<'_>>,
    ) -> PyResult<Delivery> {
        let taken = taken(&queue)?;
        let data = copy(py, &taken)?.unbind();
        let (priority, deliveries) = (taken.priority(), taken.deliveries());
        let ticket = taken.into_ticket();
        Ok(Delivery { queue, ticket, data, priority, deliveries, over: AtomicBool::new(false) })
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Its end, by `end`, of which there is one.
    fn end(&self, py: Python<'_>, end: impl FnOnce(&ipcx::Queue, u64) -> Result<(), Error>) -> PyResult<()> {
        if self.is_over() {
            return Err(PyValueError::new_err("this message was acknowledged or put back already"));
        }
        end(&self.queue, self.ticket).map_err(|error| errors::raise(py, &error, self.queue.name()))?;
        self.over.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[pymethods]
impl Delivery {
    /// The message, as bytes.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    /// Its priority, 0 to 31.
    #[getter]
    fn priority(&self) -> u32 {
        self.priority
    }

    /// How often it was delivered, this time counted: 1, unless it came
    /// back before; 255 stands for that many and more.
    #[getter]
    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Say that it is done: it is gone.
    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, ipcx::Queue::ack)
    }

    /// Say that it is not done: it is taken again, before those of its
    /// priority that were pushed later; or it becomes a dead letter, if
    /// that was its last delivery.
    fn put_back(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, ipcx::Queue::put_back)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        if slf.get().is_over() {
            return Err(PyValueError::new_err("this message was acknowledged or put back already"));
        }
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
        if self.is_over() {
            return Ok(()); // Acknowledged or put back inside the block.
        }
        if exc_type.is_none() {
            return self.ack(py);
        }
        // An exception on its way is not hidden by this one.
        let _ = self.put_back(py);
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (len, state) = (self.data.bind(py).as_bytes().len(), if self.is_over() { ", over" } else { "" });
        let name = self.queue.name();
        format!(
            "<ipcx.Delivery of {len} bytes from '{name}', priority {}, deliveries {}{state}>",
            self.priority, self.deliveries
        )
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_over() {
            let _ = self.queue.put_back(self.ticket); // Fails in a forked child: it is the parent's.
        }
    }
}
