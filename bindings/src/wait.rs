//! Waiting: timeouts of Python, letting go of the interpreter, and signals.
//!
//! A call first tries with the interpreter held. Only if it would block it lets go and waits in the core, for
//! [`SLICE`] at most; after each slice, and whenever a signal ends it sooner, the signal handlers run and the call goes
//! on with the time that is left, or ends with what a handler raised.

use crate::errors;
use crate::exclusive::{Exclusive, Guard};
use ipcx::{Deadline, Error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat};
use std::time::Duration;

/// Longest time that a signal can go unnoticed.
const SLICE: Duration = Duration::from_millis(50);

/// When a call with this timeout gives up: seconds, 0 not to wait, `None` for ever.
#[inline]
pub(crate) fn deadline(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Deadline> {
    match timeout {
        None => Ok(Deadline::NEVER),
        Some(timeout) => deadline_after(timeout),
    }
}

fn deadline_after(timeout: &Bound<'_, PyAny>) -> PyResult<Deadline> {
    let seconds = match timeout.cast_exact::<PyFloat>() {
        Ok(seconds) => seconds.extract()?,
        Err(_) if timeout.is_instance_of::<PyBool>() => return Err(no_timeout(timeout)),
        Err(_) => timeout.extract::<f64>()?,
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("a timeout is None, 0 or more seconds, not {seconds}")));
    }
    if seconds == 0.0 {
        return Ok(Deadline::NOW);
    }
    // Less than a nanosecond is not "do not wait"; more than a duration can hold is for ever.
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Ok(Deadline::after(timeout.max(Duration::from_nanos(1))))
}

/// `acquire(True)` is not meant to wait for a second.
#[cold]
fn no_timeout(timeout: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("a timeout is None, 0 or more seconds, not {timeout}"))
}

/// Why a wait ended without what it waited for.
pub(crate) enum Ended {
    /// The core's reason.
    Core(Error),
    /// A signal handler raised, or the endpoint was closed by one.
    Python(PyErr),
}

impl Ended {
    pub(crate) fn raise(self, py: Python<'_>, segment: &str) -> PyErr {
        match self {
            Ended::Core(error) => errors::raise(py, &error, segment),
            Ended::Python(error) => error,
        }
    }
}

/// Repeats `attempt`, which waits until the deadline it is given, until it succeeds or `deadline` passed. The state is
/// free while signal handlers run, so that they may use or close the endpoint.
#[cold]
pub(crate) fn wait<'a, S: Send, T: Send>(
    py: Python<'_>,
    owner: &'a Exclusive<S>,
    state: Guard<'a, S>,
    deadline: Deadline,
    attempt: impl Fn(&mut S, Deadline) -> Result<T, Error> + Sync,
) -> Result<(Guard<'a, S>, T), Ended> {
    let mut held = Some(state);
    let value = slices(py, deadline, |slice| {
        let mut state = match held.take() {
            Some(state) => state,
            None => owner.lock(py).map_err(Ended::Python)?,
        };
        let inside: &mut S = &mut state;
        let done = py.detach(|| attempt(inside, slice));
        if done.is_ok() {
            held = Some(state);
        }
        done.map_err(Ended::Core)
    })?;
    Ok((held.expect("kept when it succeeded"), value))
}

/// Repeats `attempt`, which lets go of the interpreter and waits until the deadline it is given, until it succeeds or
/// `deadline` passed. Signal handlers run in between.
#[cold]
pub(crate) fn slices<T>(
    py: Python<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut(Deadline) -> Result<T, Ended>,
) -> Result<T, Ended> {
    loop {
        let left = deadline.remaining();
        // The last one is a wait too, if of no length: it says what it waited for.
        let slice = left.map_or(SLICE, |left| left.clamp(Duration::from_nanos(1), SLICE));
        match attempt(Deadline::after(slice)) {
            // The last slice is over; its deadline was the call's.
            Err(Ended::Core(error @ (Error::TimedOut(_) | Error::WouldBlock(_))))
                if left.is_some_and(|left| left <= SLICE) =>
            {
                return Err(Ended::Core(error.at_deadline()));
            }
            Err(Ended::Core(Error::TimedOut(_) | Error::Interrupted | Error::WouldBlock(_))) => {}
            done => return done,
        }
        py.check_signals().map_err(Ended::Python)?;
    }
}

/// One attempt that does not wait, or such attempts as [`slices`] makes; the interpreter is let go in each.
pub(crate) fn attempts<T: Send>(
    py: Python<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut(Deadline) -> Result<T, Error> + Send,
) -> Result<T, Ended> {
    let mut once = |until| py.detach(|| attempt(until)).map_err(Ended::Core);
    if deadline.is_now() {
        return once(deadline);
    }
    slices(py, deadline, once)
}

/// Waits until `fd` can be read or has ended; false if `deadline` passed. Signal handlers run meanwhile.
pub(crate) fn readable(py: Python<'_>, fd: i32, deadline: Deadline) -> Result<bool, Ended> {
    loop {
        let left = if deadline.is_now() { Some(Duration::ZERO) } else { deadline.remaining() };
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        let mut ask = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // Rounded up, so that the last slice ends after the deadline.
        let milliseconds = slice.as_nanos().div_ceil(1_000_000) as i32;
        let ready = py.detach(|| {
            // SAFETY: one valid pollfd.
            let ready = unsafe { libc::poll(&mut ask, 1, milliseconds) };
            usize::try_from(ready).map_err(|_| std::io::Error::last_os_error())
        });
        match ready {
            Ok(0) if left.is_some_and(|left| left <= SLICE) => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Ended::Python(error.into())),
        }
        py.check_signals().map_err(Ended::Python)?;
    }
}
