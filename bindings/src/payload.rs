//! Bytes in and out of Python objects.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// A size, count, version or offset: a negative one is a ValueError.
pub(crate) fn unsigned<'py, T>(number: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    number.extract::<T>().map_err(|error| match number.lt(0) {
        Ok(true) => PyValueError::new_err(format!("this must not be negative, as {number} is")),
        _ => error,
    })
}

/// The same where none may be given.
pub(crate) fn unsigned_or_none<'py, T>(number: &Bound<'py, PyAny>) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    if number.is_none() {
        return Ok(None);
    }
    unsigned(number).map(Some)
}

/// From this size on, a copy lets other Python threads run meanwhile.
pub(crate) const LARGE: usize = 256 << 10;

/// Does what takes time in proportion to `len`, and lets other Python threads run meanwhile if that is much.
#[inline]
pub(crate) fn proportional<T: Send>(py: Python<'_>, len: usize, work: impl FnOnce() -> T + Send) -> T {
    if len < LARGE {
        work()
    } else {
        py.detach(work)
    }
}

/// Bytes somewhere in a segment, or to go there. Only an address: who holds one knows how long it is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) at: *mut u8,
    pub(crate) len: usize,
}

// SAFETY: an address may go anywhere; using it is unsafe on its own.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    /// It as a slice.
    ///
    /// # Safety
    /// It is valid for writing, and nobody else uses it, for as long as the slice is in use.
    #[inline]
    pub(crate) unsafe fn slice_mut<'a>(self) -> &'a mut [u8] {
        if self.len == 0 {
            return &mut []; // The address of an empty buffer may be null.
        }
        // SAFETY: by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }

    /// Copies all of it to `to`.
    ///
    /// # Safety
    /// Both are valid for `len` bytes, do not overlap, and stay valid with the interpreter let go.
    #[inline]
    pub(crate) unsafe fn copy_to(self, py: Python<'_>, to: *mut u8) {
        let to = Place { at: to, len: self.len };
        let copy = move || {
            let (from, to) = (self, to); // whole values, which are Send
                                         // SAFETY: by the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from.at, to.at, from.len) }
        };
        proportional(py, self.len, copy);
    }

    /// A new bytes object with a copy of it.
    ///
    /// # Safety
    /// It is valid for reading, and stays so with the interpreter let go.
    #[inline]
    pub(crate) unsafe fn to_bytes<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if self.len < LARGE {
            // SAFETY: by the caller's promise; a null result is an exception set.
            return unsafe {
                let made = ffi::PyBytes_FromStringAndSize(self.at.cast(), self.len as ffi::Py_ssize_t);
                Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>())
            };
        }
        let (bytes, room) = room_for_bytes(py, self.len)?;
        // SAFETY: the new object has `len` bytes that nobody else has seen yet.
        unsafe { self.copy_to(py, room.at) };
        Ok(bytes)
    }
}

/// A new bytes object of any content, and where it is to be filled in before anybody else sees it.
pub(crate) fn room_for_bytes(py: Python<'_>, len: usize) -> PyResult<(Bound<'_, PyBytes>, Place)> {
    // SAFETY: with null it makes room; a null result is an exception set.
    let bytes = unsafe {
        let made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len as ffi::Py_ssize_t);
        Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>()
    };
    // SAFETY: a bytes object.
    let at = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) };
    Ok((bytes, Place { at: at.cast(), len }))
}

/// A Python object whose bytes can be read: bytes, or anything contiguous with the buffer protocol.
pub(crate) struct Payload<'py> {
    place: Place,
    keep: Keep<'py>,
}

/// What keeps the bytes where they are.
enum Keep<'py> {
    Bytes(Bound<'py, PyBytes>),
    Export(#[allow(dead_code, reason = "held until it is dropped")] Export),
}

impl<'py> Payload<'py> {
    /// The bytes of `object`.
    #[inline]
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Payload<'py>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            let data = bytes.as_bytes();
            let place = Place { at: data.as_ptr().cast_mut(), len: data.len() };
            return Ok(Payload { place, keep: Keep::Bytes(bytes.clone()) });
        }
        let export = Export::of(object)?;
        Ok(Payload { place: export.place(), keep: Keep::Export(export) })
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The same bytes where nobody can change them.
    pub(crate) fn constant(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self.keep {
            Keep::Bytes(bytes) => Ok(bytes),
            // SAFETY: the object is kept until the copy is made.
            Keep::Export(_) => unsafe { self.place.to_bytes(py) },
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    /// The bytes, for as long as the interpreter is not let go (nothing else can then change them).
    #[inline]
    fn as_ref(&self) -> &[u8] {
        if self.place.len == 0 {
            return &[]; // The address of an empty buffer may be null.
        }
        // SAFETY: the object is kept, and its export keeps the bytes in place.
        unsafe { std::slice::from_raw_parts(self.place.at, self.place.len) }
    }
}

/// A Python object whose bytes can be written.
pub(crate) struct Room(Export);

impl Room {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Room> {
        let export = Export::of(object)?;
        if export.0.readonly != 0 {
            return Err(PyBufferError::new_err("a writable buffer is needed; this one is read-only"));
        }
        Ok(Room(export))
    }

    pub(crate) fn place(&self) -> Place {
        self.0.place()
    }
}

/// The contiguous bytes of an object, of whatever shape. (pyo3's buffers need a shape, which a structure of ctypes has not.)
struct Export(Box<ffi::Py_buffer>); // A box, since a view may point into itself.

impl Export {
    #[inline(never)]
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Export> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: a live object and a valid view, with the interpreter held; otherwise than 0, an exception is set.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, ffi::PyBUF_SIMPLE) } != 0 {
            return Err(no_bytes(object, PyErr::fetch(object.py())));
        }
        Ok(Export(view))
    }

    fn place(&self) -> Place {
        Place { at: self.0.buf.cast(), len: self.0.len as usize }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // SAFETY: filled by `of`, and released once. Every payload and room ends with the interpreter held.
        unsafe { ffi::PyBuffer_Release(&mut *self.0) };
    }
}

#[cold]
fn no_bytes(object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if PyUntypedBuffer::get(object).is_ok_and(|buffer| !buffer.is_c_contiguous()) {
        return PyBufferError::new_err("a C-contiguous buffer is needed; make a copy of this one");
    }
    if !error.is_instance_of::<PyTypeError>(object.py()) {
        return error;
    }
    let class = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("a bytes-like object is needed, not '{class}'"))
}

/// The boundaries of packed records in a buffer of `len` bytes: a buffer of 64-bit integers, or any iterable of
/// integers; one more than there are records, in ascending order.
pub(crate) fn boundaries(object: &Bound<'_, PyAny>, len: usize) -> PyResult<Vec<usize>> {
    let bounds = match read_integers(object) {
        Some(bounds) => bounds,
        None => object.try_iter()?.map(|item| item?.extract::<usize>()).collect::<PyResult<_>>()?,
    };
    if bounds.is_empty() || !bounds.is_sorted() || bounds.last().is_some_and(|last| *last > len) {
        return Err(PyValueError::new_err(format!(
            "offsets are the boundaries of the records: at least one, in ascending order, none beyond the buffer's \
             {len} bytes"
        )));
    }
    Ok(bounds)
}

/// The integers of a contiguous buffer of them, without making an object of each.
fn read_integers(object: &Bound<'_, PyAny>) -> Option<Vec<usize>> {
    let buffer = PyUntypedBuffer::get(object).ok()?;
    let py = object.py();
    if let Ok(unsigned) = buffer.as_typed::<u64>() {
        let values = unsigned.to_vec(py).ok()?;
        return Some(values.into_iter().map(|value| usize::try_from(value).unwrap_or(usize::MAX)).collect());
    }
    let values = buffer.as_typed::<i64>().ok()?.to_vec(py).ok()?;
    // A negative one becomes one that is beyond any buffer.
    Some(values.into_iter().map(|value| usize::try_from(value).unwrap_or(usize::MAX)).collect())
}

/// The boundaries of packed records of these lengths: a read-only memoryview of unsigned 64-bit integers.
pub(crate) fn boundaries_of<'py>(py: Python<'py>, lens: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new_with(py, (lens.len() + 1) * 8, |room| {
        let mut end = 0; // The first boundary stays 0.
        for (to, len) in room[8..].chunks_exact_mut(8).zip(lens) {
            end += *len as u64;
            to.copy_from_slice(&end.to_ne_bytes());
        }
        Ok(())
    })?;
    PyMemoryView::from(&bytes)?.call_method1(pyo3::intern!(py, "cast"), ("Q",))
}
