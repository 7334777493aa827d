//! NumPy arrays over memory of a segment.

use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

/// An array over `object`, whose buffer has `len` bytes: of this shape, or with as many items as fit.
pub(crate) fn as_array<'py>(
    object: &Bound<'py, PyAny>,
    len: usize,
    dtype: &Bound<'py, PyAny>,
    shape: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let numpy = numpy(object.py())?;
    let dtype = numpy.getattr("dtype")?.call1((dtype,))?;
    let most = len / dtype.getattr("itemsize")?.extract::<usize>()?.max(1);
    let shape = match shape {
        Some(shape) => {
            let sizes = shape.extract::<isize>().map(|n| vec![n]);
            fitting(&sizes.or_else(|_| shape.extract::<Vec<isize>>())?, most)?
        }
        None => vec![most],
    };
    let items = shape.iter().try_fold(1usize, |all, n| all.checked_mul(*n)).unwrap_or(usize::MAX >> 1);
    // `frombuffer` keeps a view, which keeps the object.
    let array = numpy.getattr("frombuffer")?.call1((object, dtype, items))?;
    array.call_method1("reshape", (shape,))
}

/// What records of one length are items of.
pub(crate) struct Items<'py> {
    numpy: Bound<'py, PyModule>,
    dtype: Bound<'py, PyAny>,
    /// Bytes of one; at least 1.
    pub(crate) size: usize,
}

impl<'py> Items<'py> {
    pub(crate) fn of(py: Python<'py>, dtype: &Bound<'py, PyAny>) -> PyResult<Items<'py>> {
        let numpy = numpy(py)?;
        let dtype = numpy.getattr(intern!(py, "dtype"))?.call1((dtype,))?;
        let size = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
        if size == 0 || dtype.getattr(intern!(py, "hasobject"))?.is_truthy()? {
            return Err(PyValueError::new_err(format!(
                "items of a size, and not of Python objects, not {dtype}"
            )));
        }
        Ok(Items { numpy, dtype, size })
    }

    /// A new array of bytes for so many, with any content.
    pub(crate) fn room(&self, count: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.dtype.py();
        self.numpy.getattr(intern!(py, "empty"))?.call1((count * self.size, intern!(py, "u1")))
    }

    /// The bytes as so many items.
    pub(crate) fn array(&self, bytes: &Bound<'py, PyAny>, count: usize) -> PyResult<Bound<'py, PyAny>> {
        let array = self.numpy.getattr(intern!(self.dtype.py(), "ndarray"))?;
        array.call1(((count,), &self.dtype, bytes))
    }
}

fn numpy(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "numpy")).map_err(|error| {
        if !error.is_instance_of::<PyImportError>(py) {
            return error;
        }
        let explained = PyImportError::new_err("this needs NumPy: pip install numpy");
        explained.set_cause(py, Some(error));
        explained
    })
}

/// A shape for at most so many items; -1, which may stand once, becomes as many as fit.
fn fitting(shape: &[isize], most: usize) -> PyResult<Vec<usize>> {
    let known = shape.iter().filter(|n| **n >= 0).try_fold(1usize, |all, n| all.checked_mul(*n as usize));
    let mut open = 0;
    let size = |n: &isize| match (n, known) {
        (0.., _) => Ok(*n as usize),
        (-1, _) if std::mem::replace(&mut open, 1) > 0 => Err("a shape has -1 at most once"),
        (-1, Some(0)) => Err("a shape with -1 has no size of 0"),
        (-1, _) => Ok(most / known.unwrap_or(usize::MAX)),
        _ => Err("a shape has no negative sizes but -1"),
    };
    shape.iter().map(size).collect::<Result<_, _>>().map_err(PyValueError::new_err)
}
