//! What a producer and a publisher have in common: room that the core reserves, lent to Python or filled from a file.

use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use crate::payload::Place;
use crate::views::{Lender, Loan};
use crate::wait::{readable, wait, Ended};
use ipcx::{Deadline, Error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::io::ErrorKind;
use std::sync::Arc;

/// An end of the core in which room can be reserved.
pub(crate) trait Reserving: Send {
    fn reserve_raw(&mut self, len: usize, deadline: Deadline) -> ipcx::Result<*mut u8>;
    fn commit_raw(&mut self, len: usize) -> ipcx::Result<()>;
    fn abort_raw(&mut self) -> ipcx::Result<()>;
}

macro_rules! reserving {
    ($($end:ident),*) => {$(
        impl Reserving for ipcx::$end {
            fn reserve_raw(&mut self, len: usize, deadline: Deadline) -> ipcx::Result<*mut u8> {
                ipcx::$end::reserve_raw(self, len, deadline)
            }

            fn commit_raw(&mut self, len: usize) -> ipcx::Result<()> {
                ipcx::$end::commit_raw(self, len)
            }

            fn abort_raw(&mut self) -> ipcx::Result<()> {
                ipcx::$end::abort_raw(self)
            }
        }
    )*};
}
reserving!(Producer, Publisher);

/// Such an end, and what it lent out.
pub(crate) struct Sending<C> {
    pub(crate) core: C,
    lender: Lender,
}

impl<C> Sending<C> {
    pub(crate) fn new(core: C) -> Sending<C> {
        Sending { core, lender: Lender::default() }
    }

    /// Ends what was lent, so that it may be closed.
    pub(crate) fn end_loan(&mut self) -> PyResult<()> {
        self.lender.end()
    }
}

fn reserve<C: Reserving>(state: &mut Sending<C>, len: usize, deadline: Deadline) -> ipcx::Result<Place> {
    let at = state.core.reserve_raw(len, deadline)?;
    Ok(Place { at, len })
}

impl<C: Reserving> Exclusive<Sending<C>> {
    /// The state, with an abandoned reservation cleared away.
    #[inline]
    pub(crate) fn sending(&self, py: Python<'_>) -> PyResult<Guard<'_, Sending<C>>> {
        let mut state = self.lock(py)?;
        if !state.lender.is_free() && state.lender.settle()? {
            let _ = state.core.abort_raw();
        }
        Ok(state)
    }

    /// Waits for room for `len` bytes, which is then reserved. The caller's data is not looked at meanwhile: other
    /// threads may be changing it.
    pub(crate) fn wait_for_room<'a>(
        &'a self,
        py: Python<'_>,
        state: Guard<'a, Sending<C>>,
        len: usize,
        deadline: Deadline,
    ) -> Result<(Guard<'a, Sending<C>>, Place), Ended> {
        wait(py, self, state, deadline, move |state, slice| reserve(state, len, slice))
    }

    /// Reserves `len` bytes in the core.
    pub(crate) fn room<'a>(
        &'a self,
        py: Python<'_>,
        mut state: Guard<'a, Sending<C>>,
        len: usize,
        deadline: Deadline,
    ) -> Result<(Guard<'a, Sending<C>>, Place), Ended> {
        match reserve(&mut state, len, Deadline::NOW) {
            Ok(place) => Ok((state, place)),
            Err(Error::WouldBlock(_)) if !deadline.is_now() => self.wait_for_room(py, state, len, deadline),
            Err(error) => Err(Ended::Core(error)),
        }
    }

    /// Reserves `len` bytes, and lends them out.
    pub(crate) fn lend(
        &self,
        py: Python<'_>,
        len: usize,
        deadline: Deadline,
    ) -> PyResult<(Arc<Loan>, Place)> {
        let room = self.room(py, self.sending(py)?, len, deadline);
        let (mut state, place) = room.map_err(|ended| ended.raise(py, self.segment()))?;
        Ok((state.lender.lend(), place))
    }

    /// Commits the reservation that was lent.
    pub(crate) fn commit(&self, py: Python<'_>, loan: &Arc<Loan>, len: usize) -> PyResult<()> {
        let mut state = self.returned(py, loan)?;
        state.core.commit_raw(len).map_err(|error| errors::raise(py, &error, self.segment()))
    }

    /// Gives the reservation up that was lent.
    pub(crate) fn abort(&self, py: Python<'_>, loan: &Arc<Loan>) -> PyResult<()> {
        let mut state = self.returned(py, loan)?;
        state.core.abort_raw().map_err(|error| errors::raise(py, &error, self.segment()))
    }

    fn returned(&self, py: Python<'_>, loan: &Arc<Loan>) -> PyResult<Guard<'_, Sending<C>>> {
        let mut state = self.lock(py)?;
        if !state.lender.is_of(loan) {
            return Err(PyValueError::new_err("this room is no longer reserved"));
        }
        state.lender.end()?;
        Ok(state)
    }

    /// Sends up to `len` bytes of a file as one record; says how many. None at the end of the file, and no record.
    pub(crate) fn send_file(
        &self,
        py: Python<'_>,
        fd: i32,
        len: usize,
        deadline: Deadline,
    ) -> PyResult<usize> {
        let room = self.room(py, self.sending(py)?, len, deadline);
        let (mut state, to) = room.map_err(|ended| ended.raise(py, self.segment()))?;
        let (filled, ended) = fill(py, fd, to, deadline);
        // What was read from a pipe cannot be put back, so it is sent, whatever ended the reading.
        let done = if filled > 0 { state.core.commit_raw(filled) } else { state.core.abort_raw() };
        done.map_err(|error| errors::raise(py, &error, self.segment()))?;
        match ended {
            None => Ok(filled),
            Some(Ended::Core(_)) if filled > 0 => Ok(filled),
            Some(ended) => Err(ended.raise(py, self.segment())),
        }
    }
}

/// What there is nothing of.
const NOTHING: &str = "there is nothing to read from the file";

/// Reads up to `to.len` bytes from `fd`; says how many, and why it ended early.
fn fill(py: Python<'_>, fd: i32, to: Place, deadline: Deadline) -> (usize, Option<Ended>) {
    let mut filled = 0;
    while filled < to.len {
        match readable(py, fd, deadline) {
            Ok(true) => {}
            Ok(false) if deadline.is_now() => return (filled, Some(Ended::Core(Error::WouldBlock(NOTHING)))),
            Ok(false) => return (filled, Some(Ended::Core(Error::timed_out(NOTHING)))),
            Err(ended) => return (filled, Some(ended)),
        }
        // SAFETY: the core lends `to` until commit or abort; `filled` bytes of it are done.
        match py.detach(|| unsafe { read(fd, to, filled) }) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return (filled, Some(Ended::Python(error.into()))),
        }
    }
    (filled, None)
}

/// Reads to `to` behind the first `filled` bytes; 0 at the end of the file.
///
/// # Safety
/// `to` is valid for writing, and has more than `filled` bytes.
unsafe fn read(fd: i32, to: Place, filled: usize) -> std::io::Result<usize> {
    // SAFETY: by the caller's promise.
    let read = unsafe { libc::read(fd, to.at.add(filled).cast(), to.len - filled) };
    usize::try_from(read).map_err(|_| std::io::Error::last_os_error())
}
