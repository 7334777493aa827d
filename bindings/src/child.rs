//! A child process, and pipes to it.

use crate::exclusive::{Exclusive, Label};
use crate::payload::{unsigned, Payload};
use crate::wait::{attempts, deadline, slices, Ended};
use crate::{errors, fork};
use ipcx::{Deadline, Error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Why there is no exit status.
const RUNS: &str = "the child has not ended";

/// Most bytes that one read gives.
const PART: usize = 1 << 16;
/// Between two looks whether it ended: at first, and at most.
const SOONEST: Duration = Duration::from_micros(250);
const LATEST: Duration = Duration::from_millis(16);

/// A child process, run without a shell, and pipes to what it reads and
/// writes: bytes as they are, no messages.
///
///     with ipcx.ChildPipes.spawn(["sort", "-n"]) as child:
///         print(child.exchange(b"10\n9\n"))
///     assert child.returncode == 0
///
/// The pipes belong to one thread at a time; wait, kill and returncode may
/// be used by several. A `with` block closes the pipes at its end, and
/// waits for the child. One that is forgotten is not killed.
#[pyclass(frozen, module = "ipcx")]
pub(crate) struct ChildPipes {
    pipes: Exclusive<Pipes>,
    process: Process,
}

struct Pipes {
    core: ipcx::ChildPipes,
    buffer: Vec<u8>,
    exchange: Option<Exchange>,
}

/// An exchange that is not over.
struct Exchange {
    input: Py<PyBytes>,
    written: usize,
    output: Vec<u8>,
}

impl ChildPipes {
    fn raise(&self, py: Python<'_>, ended: Ended) -> PyErr {
        ended.raise(py, self.pipes.segment())
    }
}

#[pymethods]
impl ChildPipes {
    /// Start a program: argv is its name, looked up in PATH, and its
    /// arguments, each str, bytes or a path. It inherits stderr, the
    /// environment and the directory.
    ///
    /// Does not wait. NotFound or PermissionDenied if there is no such
    /// program.
    #[staticmethod]
    fn spawn(py: Python<'_>, argv: &Bound<'_, PyAny>) -> PyResult<ChildPipes> {
        let argv = arguments(argv)?;
        let (program, arguments) =
            argv.split_first().ok_or_else(|| PyValueError::new_err("argv is empty: which program?"))?;
        let name = String::from_utf8_lossy(program).into_owned();
        reap();
        let mut command = Command::new(OsStr::from_bytes(program));
        command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
        let spawned = py.detach(|| ipcx::ChildPipes::spawn(command));
        let (core, child) = spawned.map_err(|error| errors::raise(py, &error, &name))?;
        let label = Label { role: "ChildPipes", kind: "program", name, directory: None };
        let pipes = Pipes { core, buffer: Vec::new(), exchange: None };
        Ok(ChildPipes { pipes: Exclusive::new(pipes, label), process: Process::new(child) })
    }

    /// Write data for the child to read, and return how many bytes were
    /// written: all, unless the time was over. Waits for room, and keeps
    /// meanwhile what the child writes.
    ///
    /// Closed if the child reads no more, or its input was closed; NoSpace
    /// if it does not read while 64 MiB that it wrote are kept: read them.
    /// If that comes after a part was written, the next call raises it.
    #[pyo3(signature = (data, timeout=None))]
    fn write(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let deadline = deadline(timeout)?;
        let data = Payload::of(data)?.constant(py)?;
        let data = data.as_bytes();
        let mut state = self.pipes.lock(py)?;
        let (core, mut written) = (&mut state.core, 0);
        let ended = attempts(py, deadline, |until| loop {
            written += core.write_until(&data[written..], until)?;
            if written == data.len() {
                return Ok(());
            }
        });
        match ended {
            Ok(()) => Ok(written),
            Err(Ended::Core(_)) if written > 0 => Ok(written), // The next call meets it again.
            Err(ended) => Err(self.raise(py, ended)),
        }
    }

    /// Read some of what the child writes, at most n bytes, and at most 64
    /// KiB; b"" at the end. Waits for the first.
    #[pyo3(signature = (n=65536, timeout=None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = unsigned)] n: usize,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if n == 0 {
            return Err(PyValueError::new_err("n is at least 1"));
        }
        let deadline = deadline(timeout)?;
        let mut state = self.pipes.lock(py)?;
        let Pipes { core, buffer, .. } = &mut *state;
        buffer.resize(PART, 0);
        let room = &mut buffer[..n.min(PART)];
        let read = attempts(py, deadline, |until| core.read_until(room, until));
        let read = read.map_err(|ended| self.raise(py, ended))?;
        Ok(PyBytes::new(py, &buffer[..read]))
    }

    /// Write all of data and end the child's input, read its output to the
    /// end meanwhile, and return that: neither side waits for the other
    /// for ever. A child that does not read to the end is no error.
    ///
    /// After WouldBlock, Timeout or an exception of a signal handler,
    /// exchange() without data goes on where it was.
    #[pyo3(signature = (data=None, timeout=None))]
    fn exchange<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let deadline = deadline(timeout)?;
        let mut state = self.pipes.lock(py)?;
        let Pipes { core, exchange, .. } = &mut *state;
        if let (Some(_), Some(_)) = (&exchange, data) {
            return Err(PyValueError::new_err(
                "an exchange is not over: exchange() without data goes on with it",
            ));
        }
        let data = data.map_or_else(|| Ok(PyBytes::new(py, b"")), |data| Payload::of(data)?.constant(py))?;
        let Exchange { input, written, output } =
            exchange.get_or_insert_with(|| Exchange { input: data.unbind(), written: 0, output: Vec::new() });
        let input = input.bind(py).as_bytes();
        let over = attempts(py, deadline, |until| {
            let mut rest = &input[*written..];
            let over = core.exchange_until(&mut rest, output, until);
            *written = input.len() - rest.len();
            over
        });
        over.map_err(|ended| self.raise(py, ended))?;
        let all = PyBytes::new(py, output);
        *exchange = None;
        Ok(all)
    }

    /// End what the child reads.
    fn close_input(&self, py: Python<'_>) -> PyResult<()> {
        self.pipes.lock(py)?.core.close_input();
        Ok(())
    }

    /// Wait for the child to end, and return its exit status; -n if signal
    /// n ended it. Read its output before: a child that cannot write does
    /// not end.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<i32> {
        self.process.check(py)?;
        let ended = self.process.wait(py, deadline(timeout)?);
        ended.map_err(|ended| self.raise(py, ended))
    }

    /// Its exit status, as wait returns it; None while it runs.
    #[getter]
    fn returncode(&self, py: Python<'_>) -> PyResult<Option<i32>> {
        self.process.check(py)?;
        Ok(self.process.look()?)
    }

    /// Kill the child (SIGKILL), if it still runs.
    fn kill(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check(py)?;
        Ok(self.process.child(Child::kill)?)
    }

    /// Process number of the child.
    #[getter]
    fn pid(&self) -> u32 {
        self.process.pid
    }

    /// True after close().
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.pipes.is_closed(py)
    }

    /// Close both pipes; does not wait for the child. Closing again does
    /// nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.pipes.take(py, |_| Ok(())).map(drop)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        drop(slf.get().pipes.lock(slf.py())?);
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
        let _ = (exc_type, exc_value, traceback);
        self.close(py)?;
        self.wait(py, None).map(drop)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        self.pipes.describe(py)
    }
}

fn arguments(argv: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    if argv.is_instance_of::<PyString>() || argv.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err(
            "argv is a list of arguments, not one string: no shell takes it apart",
        ));
    }
    let encode = argv.py().import("os")?.getattr("fsencode")?;
    let argument = |item: PyResult<Bound<'_, PyAny>>| {
        let bytes = encode.call1((item?,))?.extract::<Vec<u8>>()?;
        if bytes.contains(&0) {
            return Err(PyValueError::new_err("embedded null byte in an argument"));
        }
        Ok(bytes)
    };
    argv.try_iter()?.map(argument).collect()
}

/// A child, which is waited for by this process only.
struct Process {
    /// `None` only on drop.
    child: Mutex<Option<Child>>,
    pid: u32,
    /// Of the process that started it.
    generation: u32,
}

impl Process {
    fn new(child: Child) -> Process {
        Process { pid: child.id(), child: Mutex::new(Some(child)), generation: fork::generation() }
    }

    /// Held for a call that does not wait.
    fn child<T>(&self, call: impl FnOnce(&mut Child) -> std::io::Result<T>) -> std::io::Result<T> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        call(child.as_mut().expect("present until drop"))
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.generation != fork::generation() {
            return Err(errors::forked(
                py,
                "this child process is the parent's, which alone can wait for it",
            ));
        }
        Ok(())
    }

    /// Its exit status, if it has ended.
    fn look(&self) -> std::io::Result<Option<i32>> {
        let ended = self.child(Child::try_wait)?;
        Ok(ended.map(|status: ExitStatus| status.code().or(status.signal().map(|n| -n)).unwrap_or(-1)))
    }

    fn wait(&self, py: Python<'_>, deadline: Deadline) -> Result<i32, Ended> {
        let look = || self.look().map_err(|error| Ended::Python(error.into()));
        if let Some(status) = look()? {
            return Ok(status);
        }
        if deadline.is_now() {
            return Err(Ended::Core(Error::WouldBlock(RUNS)));
        }
        let mut pause = SOONEST;
        slices(py, deadline, |slice| loop {
            let left = slice.remaining().unwrap_or_default();
            py.detach(|| std::thread::sleep(pause.min(left)));
            match look()? {
                Some(status) => return Ok(status),
                None if left <= pause => return Err(Ended::Core(Error::timed_out(RUNS))),
                None => pause = (pause * 2).min(LATEST),
            }
        })
    }
}

impl Drop for Process {
    /// One that still runs is waited for when the next one is started.
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let ours = child.filter(|_| self.generation == fork::generation());
        FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner).extend(ours);
        reap();
    }
}

/// Children that were forgotten while they ran.
static FORGOTTEN: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Waits for those of them that ended.
fn reap() {
    let mut children = FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner);
    children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}
