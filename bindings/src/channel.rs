//! Python objects through a work queue, and through a pool what is large: what the queues and pipes of `ipcx.mp` are made of.
//!
//! A message begins with a byte that says what it is. Small ones are in the queue; of a large one, a note of its block is there.
//!
//! | byte | then |
//! |---|---|
//! | 0 | the bytes of a `bytes` |
//! | 1 | a `str` in UTF-8 |
//! | 2 | a pickle |
//! | 3 | an `int` of 64 bits |
//! | 4 | a `float` |
//! | 5 | the bytes that `send_bytes` of a connection was given |
//! | 16, 17 | the note of a block with the bytes of a `bytes`, a `bytearray` |
//! | 18 | the note of a block with parts: how many, their lengths, and each from the next multiple of 64 on |
//! | 19 | the note of a block with the bytes of `send_bytes` |
//!
//! A block is accepted before its message is acknowledged, so that no death leaks it or has two have it. A receiver that dies in
//! between takes the object with it: the block comes free, and the message that comes back means nothing.

use crate::block::Block;
use crate::errors;
use crate::payload::{proportional, Payload, Place};
use crate::pool::Pool;
use crate::queue::Queue;
use crate::semaphore::Semaphore;
use crate::wait::{deadline, slices, Ended};
use ipcx::{BlockId, BlockNote, Deadline, Error, NOTE};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyString};
use pyo3::IntoPyObjectExt;
use std::sync::Arc;

const BYTES: u8 = 0;
const STR: u8 = 1;
const PICKLE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const RAW: u8 = 5;
const BLOCK_BYTES: u8 = 16;
const BLOCK_BYTEARRAY: u8 = 17;
const BLOCK_PARTS: u8 = 18;
const BLOCK_RAW: u8 = 19;

/// Most bytes of a message in the queue, its first one counted.
const INLINE: usize = 512;
/// What each part of a block begins at a multiple of.
const ALIGN: usize = 64;
/// From this size on, the receiver uses a block in place.
const IN_PLACE: usize = 64 << 10;

/// Objects through a work queue and a pool; for ipcx.mp.
#[pyclass(frozen, module = "ipcx._ipcx")]
pub(crate) struct Channel {
    queue: Py<Queue>,
    pool: Py<Pool>,
    /// Permits of which whoever gets an object holds one, until the task is done.
    tasks: Option<Py<Semaphore>>,
    /// Makes an object of a pickle, and of a block with parts.
    loads: Py<PyAny>,
    loads_parts: Py<PyAny>,
    inline: usize,
}

/// A message that was received, and is acknowledged.
enum Received<'py> {
    Object(Bound<'py, PyAny>),
    Pickle(Bound<'py, PyBytes>),
    Raw(Bound<'py, PyBytes>),
    Block(u8, Block),
}

impl Channel {
    fn queue(&self) -> PyResult<Arc<ipcx::Queue>> {
        self.queue.get().open_queue()
    }

    fn raise(py: Python<'_>, ended: Ended) -> PyErr {
        ended.raise(py, "anonymous")
    }

    /// A message in the queue, if there is room by `deadline`. (What is so short is copied with the interpreter held.)
    fn push(py: Python<'_>, queue: &ipcx::Queue, message: &[u8], deadline: Deadline) -> Result<(), Ended> {
        match queue.try_push(message, 0) {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => slices(py, deadline, |slice| {
                py.detach(|| queue.push_until(message, 0, slice)).map_err(Ended::Core)
            }),
            done => done.map_err(Ended::Core),
        }
    }

    /// A short message of this kind.
    fn push_inline(&self, py: Python<'_>, kind: u8, data: &[u8], deadline: Deadline) -> Result<(), Ended> {
        let queue = self.queue().map_err(Ended::Python)?;
        let mut message = [0; INLINE];
        message[0] = kind;
        message[1..=data.len()].copy_from_slice(data);
        Channel::push(py, &queue, &message[..=data.len()], deadline)
    }

    /// Sends the note of a block that this handle owns, with `len` bytes.
    fn push_block(
        &self,
        py: Python<'_>,
        (pool, id, len): (&ipcx::Pool, BlockId, usize),
        kind: u8,
        deadline: Deadline,
    ) -> Result<(), Ended> {
        let queue = self.queue().map_err(Ended::Python)?;
        let note = pool.lend(id, len).map_err(Ended::Core)?;
        let mut message = [kind; 1 + NOTE];
        message[1..].copy_from_slice(&note);
        let pushed = Channel::push(py, &queue, &message, deadline);
        match &pushed {
            Ok(()) => pool.lent(id),
            Err(_) => pool.keep(id),
        }
        pushed
    }

    /// A free block with memory for `len` bytes.
    fn acquire(py: Python<'_>, pool: &ipcx::Pool, len: usize, deadline: Deadline) -> Result<BlockId, Ended> {
        let id = match pool.acquire_raw(Deadline::NOW) {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                slices(py, deadline, |slice| py.detach(|| pool.acquire_raw(slice)).map_err(Ended::Core))?
            }
            done => done.map_err(Ended::Core)?,
        };
        if let Err(error) = proportional(py, len, || pool.obtain(id, len)) {
            let _ = pool.release_raw(id); // Owned since a moment ago.
            return Err(Ended::Core(error));
        }
        Ok(id)
    }

    /// The next message, acknowledged; `None` if it meant nothing.
    fn receive<'py>(
        &self,
        py: Python<'py>,
        queue: &ipcx::Queue,
        deadline: Deadline,
    ) -> PyResult<Option<Received<'py>>> {
        let taken = match queue.try_take() {
            Err(Error::WouldBlock(_)) if !deadline.is_now() => {
                slices(py, deadline, |slice| py.detach(|| queue.take_until(slice)).map_err(Ended::Core))
            }
            done => done.map_err(Ended::Core),
        };
        let taken = taken.map_err(|ended| Channel::raise(py, ended))?;
        let mut message = [0; INLINE];
        let of_core = |error| errors::raise(py, &error, "anonymous");
        let len = taken.copy_to(&mut message).map_err(of_core)?;
        // Before anything that cannot be undone: if it fails, the message is put back.
        let tasks = self.tasks.as_ref().map(|tasks| tasks.get().open_semaphore()).transpose()?;
        if let Some(tasks) = &tasks {
            tasks.acquire_raw(Deadline::NOW).map_err(of_core)?;
        }
        let received = match message[..len].split_first() {
            Some((&BYTES, data)) => Some(Received::Object(PyBytes::new(py, data).into_any())),
            Some((&STR, data)) => {
                let text = std::str::from_utf8(data).map_err(|_| no_message())?;
                Some(Received::Object(PyString::new(py, text).into_any()))
            }
            Some((&INT, data)) => {
                Some(Received::Object(i64::from_ne_bytes(word(data)?).into_bound_py_any(py)?))
            }
            Some((&FLOAT, data)) => {
                Some(Received::Object(f64::from_ne_bytes(word(data)?).into_bound_py_any(py)?))
            }
            Some((&PICKLE, data)) => Some(Received::Pickle(PyBytes::new(py, data))),
            Some((&RAW, data)) => Some(Received::Raw(PyBytes::new(py, data))),
            Some((&kind @ BLOCK_BYTES..=BLOCK_RAW, note)) => {
                let note = BlockNote::try_from(note).map_err(|_| no_message())?;
                let pool = self.pool.get().open_pool()?;
                let accepted = pool.accept(&note).map_err(of_core)?;
                accepted.map(|(id, len)| Received::Block(kind, Block::new(pool, id, len)))
            }
            _ => return Err(no_message()),
        };
        if let (Some(tasks), None) = (&tasks, &received) {
            tasks.release().map_err(of_core)?;
        }
        taken.ack().map_err(of_core)?;
        Ok(received)
    }

    /// What a block brought.
    fn of_block<'py>(&self, py: Python<'py>, kind: u8, block: Block) -> PyResult<Bound<'py, PyAny>> {
        let place = block.place();
        match kind {
            // SAFETY: the block is this process's, until it is dropped here.
            BLOCK_BYTES => Ok(unsafe { place.to_bytes(py) }?.into_any()),
            BLOCK_BYTEARRAY => Ok(copy_out(py, place)?.into_any()),
            _ => {
                let pool = self.pool.get().open_pool()?;
                let scarce = || pool.free().map_or(true, |free| free < pool.blocks() / 2);
                let arg = if place.len < IN_PLACE || scarce() {
                    copy_out(py, place)?.into_any()
                } else {
                    return self.loads_parts.bind(py).call1((block,));
                };
                drop(block);
                self.loads_parts.bind(py).call1((arg,))
            }
        }
    }
}

#[cold]
fn no_message() -> PyErr {
    PyValueError::new_err("a message is not what it says that it is: somebody else writes to this queue")
}

/// The bytes of a number.
fn word(data: &[u8]) -> PyResult<[u8; 8]> {
    data.try_into().map_err(|_| no_message())
}

/// A copy of a block's bytes.
fn copy_out(py: Python<'_>, place: Place) -> PyResult<Bound<'_, PyByteArray>> {
    PyByteArray::new_with(py, place.len, |room| {
        // SAFETY: the block is this process's for the time of the call, and the new object has as many bytes.
        unsafe { place.copy_to(py, room.as_mut_ptr()) };
        Ok(())
    })
}

/// Where the parts of a block begin, and where the last one ends.
fn places(lens: &[usize]) -> Option<(Vec<usize>, usize)> {
    let mut end = 8 * (1 + lens.len());
    let mut starts = Vec::with_capacity(lens.len());
    for len in lens {
        let start = end.checked_next_multiple_of(ALIGN)?;
        starts.push(start);
        end = start.checked_add(*len)?;
    }
    Some((starts, end))
}

#[pymethods]
impl Channel {
    #[new]
    #[pyo3(signature = (queue, pool, tasks, loads, loads_parts))]
    fn new(
        queue: Py<Queue>,
        pool: Py<Pool>,
        tasks: Option<Py<Semaphore>>,
        loads: Py<PyAny>,
        loads_parts: Py<PyAny>,
    ) -> PyResult<Channel> {
        let inline = queue.get().open_queue()?.max_message() as usize;
        Ok(Channel { queue, pool, tasks, loads, loads_parts, inline: inline.min(INLINE) - 1 })
    }

    /// Put a short bytes or str, an int of 64 bits or a float, if there is room now; False if there is not, or it is anything
    /// else.
    fn try_put(&self, py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let number: [u8; 8];
        let (kind, data) = if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            (BYTES, bytes.as_bytes())
        } else if let Ok(text) = object.cast_exact::<PyString>() {
            match text.to_str() {
                Ok(text) => (STR, text.as_bytes()),
                Err(_) => return Ok(false), // Lone surrogates: a pickle can have them.
            }
        } else if let Ok(int) = object.cast_exact::<PyInt>() {
            match int.extract::<i64>() {
                Ok(int) => number = int.to_ne_bytes(),
                Err(_) => return Ok(false), // Longer.
            }
            (INT, &number[..])
        } else if let Ok(float) = object.cast_exact::<PyFloat>() {
            number = float.value().to_ne_bytes();
            (FLOAT, &number[..])
        } else {
            return Ok(false);
        };
        if data.len() > self.inline {
            return Ok(false);
        }
        match self.push_inline(py, kind, data, Deadline::NOW) {
            Ok(()) => Ok(true),
            Err(Ended::Core(Error::WouldBlock(_))) => Ok(false),
            Err(ended) => Err(Channel::raise(py, ended)),
        }
    }

    /// Put the parts of a message of this kind: in the queue if it is short, else in a block.
    #[pyo3(signature = (kind, parts, timeout=None))]
    fn put(
        &self,
        py: Python<'_>,
        kind: u8,
        parts: Vec<Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let parts = parts.iter().map(Payload::of).collect::<PyResult<Vec<_>>>()?;
        let lens: Vec<_> = parts.iter().map(|part| part.place().len).collect();
        if let ([part], true) = (&parts[..], kind <= RAW) {
            if part.place().len <= self.inline {
                let done = self.push_inline(py, kind, part.as_ref(), deadline);
                return done.map_err(|ended| Channel::raise(py, ended));
            }
        }
        let kind = match kind {
            BYTES => BLOCK_BYTES,
            STR | PICKLE => BLOCK_PARTS,
            RAW => BLOCK_RAW,
            kind => kind,
        };
        let (starts, len) = match kind {
            BLOCK_PARTS => places(&lens).ok_or_else(|| PyValueError::new_err("the parts are too large"))?,
            _ => (vec![0], lens.iter().sum()),
        };
        let pool = self.pool.get().open_pool()?;
        if len > pool.block_size() {
            let error = Error::TooBig { needed: len, available: pool.block_size() };
            return Err(errors::raise(py, &error, "anonymous"));
        }
        let id = Channel::acquire(py, &pool, len, deadline).map_err(|ended| Channel::raise(py, ended))?;
        // Released when it is dropped, unless it was sent.
        let block = Block::new(pool, id, len);
        let to = block.place();
        if kind == BLOCK_PARTS {
            let count = std::iter::once(lens.len() as u64);
            let words = count.chain(lens.iter().map(|len| *len as u64));
            for (index, word) in words.enumerate() {
                // SAFETY: the block is this process's and has `len` bytes, which `places` has counted from these words on.
                unsafe { to.at.cast::<u64>().add(index).write_unaligned(word) };
            }
        }
        for (part, start) in parts.iter().zip(starts) {
            // SAFETY: as above; a payload keeps its bytes, which another thread may be changing as it may under any copy.
            unsafe { part.place().copy_to(py, to.at.add(start)) };
        }
        let (pool, id) = block.part_with()?;
        self.push_block(py, (pool, id, len), kind, deadline).map_err(|ended| {
            block.take_back();
            Channel::raise(py, ended)
        })
    }

    /// A block of the channel's pool with memory for n bytes, to be filled and then put; wait for one if there is none.
    #[pyo3(signature = (n, timeout=None))]
    fn block(&self, py: Python<'_>, n: usize, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Block> {
        let pool = self.pool.get().open_pool()?;
        let id =
            Channel::acquire(py, &pool, n, deadline(timeout)?).map_err(|ended| Channel::raise(py, ended))?;
        Ok(Block::new(pool, id, n))
    }

    /// Put a block that block() gave, of this kind, without a copy, whatever views of it there are: they are the receiver's.
    #[pyo3(signature = (kind, block, timeout=None))]
    fn put_block(
        &self,
        py: Python<'_>,
        kind: u8,
        block: &Bound<'_, Block>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let deadline = deadline(timeout)?;
        let block = block.get();
        let len = block.used();
        let (pool, id) = block.part_with()?;
        if !Arc::ptr_eq(pool, &self.pool.get().open_pool()?) {
            block.take_back();
            return Err(PyValueError::new_err("this block is of another queue"));
        }
        self.push_block(py, (pool, id, len), kind, deadline).map_err(|ended| {
            block.take_back();
            Channel::raise(py, ended)
        })
    }

    /// The next object; wait while there is none. Of bytes that were sent as such, what they are the pickle of.
    #[pyo3(signature = (timeout=None))]
    fn get<'py>(&self, py: Python<'py>, timeout: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        self.next(py, timeout, false)
    }

    /// The next bytes that were sent as such, or the pickle of the next object; wait while there is none.
    #[pyo3(signature = (timeout=None))]
    fn get_bytes<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.next(py, timeout, true)
    }
}

impl Channel {
    fn next<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
        as_bytes: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let loads = |bytes: Bound<'py, PyBytes>| self.loads.bind(py).call1((bytes,));
        let raw = |bytes: Bound<'py, PyBytes>| if as_bytes { Ok(bytes.into_any()) } else { loads(bytes) };
        let whole = |object: Bound<'py, PyAny>| {
            if !as_bytes {
                return Ok(object);
            }
            py.import(pyo3::intern!(py, "pickle"))?.call_method1(pyo3::intern!(py, "dumps"), (object,))
        };
        let deadline = deadline(timeout)?;
        let queue = self.queue()?;
        loop {
            match self.receive(py, &queue, deadline)? {
                Some(Received::Object(object)) => return whole(object),
                Some(Received::Pickle(bytes) | Received::Raw(bytes)) => return raw(bytes),
                Some(Received::Block(BLOCK_RAW, block)) => {
                    // SAFETY: the block is this process's, until it is dropped here.
                    let bytes = unsafe { block.place().to_bytes(py) }?;
                    return raw(bytes);
                }
                Some(Received::Block(kind, block)) => return whole(self.of_block(py, kind, block)?),
                None => {} // Its sender died, or a receiver that had its block.
            }
        }
    }
}
