//! Pipes to a child process: what it reads, and what it writes.

use super::nap::{anonymous, Descriptor, Patience};
use crate::error::{from_errno, Context, Error, Result};
use crate::sys::stream::{self as sys, For};
use crate::sys::{process, Errno, SysResult};
use crate::wait::Deadline;
use std::collections::VecDeque;
use std::ffi::{c_char, CStr};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// Bytes read at a time.
const PART: usize = 1 << 16;
/// Bytes kept of what a child writes that nobody reads: it may never end.
const MOST_KEPT: usize = 64 << 20;

/// The standard input and output of a child process: bytes as they are, no messages. No shell is involved, so there is nothing
/// to quote.
///
/// Belongs to one thread at a time. Dropping it closes both: the child's next read finds the end, its next write SIGPIPE. It does
/// not wait for the child; `Child::wait` does. A process that is forked meanwhile has neither (calls there are
/// [`Error::Forked`]), and does not keep them open.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ipcx::{ChildPipes, Deadline};
/// let (mut pipes, mut child) = ChildPipes::spawn(std::process::Command::new("cat"))?;
/// let mut output = Vec::new();
/// pipes.exchange_until(&mut &b"hello"[..], &mut output, Deadline::NEVER)?;
/// assert!(output == b"hello" && child.wait()?.success());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ChildPipes {
    /// What the child reads, until it is closed.
    input: Option<Descriptor>,
    /// What the child writes.
    output: Descriptor,
    /// What of that came while this waited to write, and is not read yet.
    kept: VecDeque<u8>,
    /// Nothing comes any more.
    ended: bool,
}

impl ChildPipes {
    /// New pipes, and the child's ends of them for `Command::stdin` and `Command::stdout`. The output ends only when nobody has
    /// the child's end any more, and a `Command` keeps it: drop that after starting the child, or use [`ChildPipes::spawn`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {ipcx::{ChildPipes, Deadline}, std::process::Command};
    /// let (mut pipes, input, output) = ChildPipes::new()?;
    /// let mut child = Command::new("cat").stdin(input).stdout(output).spawn()?; // the Command is dropped
    /// pipes.write_until(b"hello", Deadline::NEVER)?;
    /// assert_eq!(pipes.read_until(&mut [0; 64], Deadline::NEVER)?, 5);
    /// drop(pipes);
    /// assert!(child.wait()?.success());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Os`.
    pub fn new() -> Result<(ChildPipes, Stdio, Stdio)> {
        ChildPipes::with_ends().map(|(pipes, input, output)| (pipes, input.into(), output.into()))
    }

    fn with_ends() -> Result<(ChildPipes, OwnedFd, OwnedFd)> {
        let failed = |errno| from_errno(&anonymous(), "pipe2", errno);
        let (input, child_input) = own_end(|(reader, writer)| (writer, reader)).map_err(failed)?;
        let (output, child_output) = own_end(|ends| ends).map_err(failed)?;
        // Of these ends only: the child's, other open file descriptions, wait as programs expect.
        sys::set_nonblocking(input.as_fd()).map_err(failed)?;
        sys::set_nonblocking(output.as_fd()).map_err(failed)?;
        let pipes = ChildPipes { input: Some(input), output, kept: VecDeque::new(), ended: false };
        Ok((pipes, child_input, child_output))
    }

    /// Starts a command with pipes of its own.
    ///
    /// ```
    /// use {ipcx::ChildPipes, std::process::Command};
    /// let nothing = ChildPipes::spawn(Command::new("no-such-program"));
    /// assert!(matches!(nothing, Err(ipcx::Error::NotFound(_))));
    /// ```
    ///
    /// # Errors
    /// `NotFound` or `Permission` for the program; `Os`, also for one that could not be started for another reason.
    pub fn spawn(mut command: Command) -> Result<(ChildPipes, Child)> {
        let (pipes, input, output) = ChildPipes::new()?;
        let child = command.stdin(input).stdout(output).spawn().map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw);
            not_started(&command.get_program().to_string_lossy(), errno)
        })?;
        Ok((pipes, child))
    }

    /// The same from C's words, program first; gives the child's process id, for [`ChildPipes::wait_raw`].
    ///
    /// # Errors
    /// As [`ChildPipes::spawn`].
    ///
    /// # Safety
    /// `words` is an array of zero-terminated strings, of which there is one at least, with NULL behind the last.
    #[doc(hidden)] // for bindings
    pub unsafe fn spawn_raw(words: *const *const c_char) -> Result<(ChildPipes, i32)> {
        let (pipes, input, output) = ChildPipes::with_ends()?;
        // SAFETY: as the caller promises.
        let started = unsafe { process::spawn(words, input.as_fd(), output.as_fd()) };
        // SAFETY: as the caller promises.
        let program = || unsafe { CStr::from_ptr(*words) }.to_string_lossy();
        Ok((pipes, started.map_err(|errno| not_started(&program(), errno))?))
    }

    /// Closes the pipes and waits for a child that [`ChildPipes::spawn_raw`] started; says how it ended, as `waitpid` does.
    ///
    /// # Errors
    /// `Os` if it is no child of this process any more.
    #[doc(hidden)] // for bindings
    pub fn wait_raw(self, child: i32) -> Result<i32> {
        drop(self);
        process::wait(child).map_err(|e| from_errno(&anonymous(), "waitpid", e))
    }

    /// Writes some of `data`, at least a byte unless it is empty, for the child to read; says how many. Waits for room until
    /// `deadline`, and keeps meanwhile what the child writes, for the next reads: so a child that waits for that does not
    /// wait for ever.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {ipcx::{ChildPipes, Deadline}, std::process::Command};
    /// let (mut pipes, mut child) = ChildPipes::spawn(Command::new("cat"))?;
    /// let mut rest = &b"hello"[..];
    /// while !rest.is_empty() {
    ///     rest = &rest[pipes.write_until(rest, Deadline::NEVER)?..];
    /// }
    /// drop(pipes);
    /// assert!(child.wait().is_ok());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is no room and the deadline is [`Deadline::NOW`], `TimedOut`, `Interrupted`, `Closed` if the child
    /// does not read any more or the input was closed, `NoSpace` if there is no room and it keeps 64 MiB: read them; `Os`. Nothing
    /// was written then.
    pub fn write_until(&mut self, data: &[u8], deadline: Deadline) -> Result<usize> {
        let patience = Patience::new(&anonymous(), deadline);
        loop {
            let Some(input) = &self.input else { return Err(closed("the child's input was closed")) };
            input.check_not_inherited()?;
            if data.is_empty() {
                return Ok(0);
            }
            match sys::write(input.as_fd(), [data, &[]]) {
                Ok(written) => return Ok(written),
                Err(Errno::EAGAIN) if self.kept.len() >= MOST_KEPT => return Err(kept_enough()),
                Err(Errno::EAGAIN) => self.nap(&patience)?,
                Err(Errno::EPIPE) => return Err(closed("the child reads no more")),
                Err(errno) => return Err(from_errno(&anonymous(), "writev", errno)),
            }
            self.keep()?;
        }
    }

    /// Reads some of what the child writes, waiting for it until `deadline`; says how many bytes: 0 at the end.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {ipcx::{ChildPipes, Deadline}, std::process::Command};
    /// let (mut pipes, mut child) = ChildPipes::spawn(Command::new("true"))?;
    /// assert_eq!(pipes.read_until(&mut [0; 64], Deadline::NEVER)?, 0); // the end
    /// assert!(child.wait()?.success());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing and the deadline is [`Deadline::NOW`], `TimedOut`, `Interrupted`, `Os`.
    pub fn read_until(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        let patience = Patience::new(&anonymous(), deadline);
        self.output.check_not_inherited()?;
        if let Ok(kept @ 1..) = self.kept.read(buffer) {
            return Ok(kept);
        }
        loop {
            match sys::read(self.output.as_fd(), buffer) {
                Ok(read) => return Ok(read),
                Err(Errno::EAGAIN) => patience.nap(self.output.as_fd(), For::Reading)?,
                Err(errno) => return Err(from_errno(&anonymous(), "read", errno)),
            }
        }
    }

    /// Keeps what the child has written.
    fn keep(&mut self) -> Result<()> {
        let mut part = vec![0; PART];
        match sys::read(self.output.as_fd(), &mut part) {
            Ok(0) => self.ended = true,
            Ok(read) => self.kept.extend(&part[..read]),
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(from_errno(&anonymous(), "read", errno)),
        }
        Ok(())
    }

    /// Ends what the child reads.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {ipcx::{ChildPipes, Deadline}, std::process::Command};
    /// let (mut pipes, mut child) = ChildPipes::spawn(Command::new("cat"))?;
    /// pipes.close_input();
    /// assert_eq!(pipes.read_until(&mut [0; 64], Deadline::NEVER)?, 0); // cat has come to the end, too
    /// assert!(child.wait()?.success());
    /// # Ok(()) }
    /// ```
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Writes all of `input` and then ends it, and meanwhile reads to the end of the output, so that neither side waits for the
    /// other for ever. A child that does not read to the end is no error: the rest is not written.
    ///
    /// `input` moves on, and `output` grows, by what was done: after an error, call again to go on.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {ipcx::{ChildPipes, Deadline}, std::process::Command};
    /// let (mut pipes, mut child) = ChildPipes::spawn(Command::new("sort"))?;
    /// let mut sorted = Vec::new();
    /// pipes.exchange_until(&mut &b"b\na\n"[..], &mut sorted, Deadline::NEVER)?;
    /// assert_eq!(sorted, b"a\nb\n");
    /// assert!(child.wait()?.success());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if it is not over and the deadline is [`Deadline::NOW`], `TimedOut`, `Interrupted`, `Os`.
    pub fn exchange_until(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<()> {
        let patience = Patience::new(&anonymous(), deadline);
        let mut part = vec![0; PART];
        loop {
            self.feed(input)?;
            match self.read_until(&mut part, Deadline::NOW) {
                Ok(0) => return Ok(()),
                Ok(read) => output.extend_from_slice(&part[..read]),
                Err(Error::WouldBlock(_)) => self.nap(&patience)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what there is room for, and ends the input after the last of it.
    fn feed(&mut self, input: &mut &[u8]) -> Result<()> {
        while self.input.is_some() && !input.is_empty() {
            match self.write_until(input, Deadline::NOW) {
                Ok(written) => *input = &input[written..],
                Err(Error::WouldBlock(_) | Error::NoSpace(_)) => return Ok(()), // What is kept is read next.
                Err(Error::Closed(_)) => break,
                Err(error) => return Err(error),
            }
        }
        self.close_input();
        Ok(())
    }

    fn nap(&self, patience: &Patience) -> Result<()> {
        let output = (self.output.as_fd(), For::Reading);
        match &self.input {
            Some(input) if self.ended => patience.nap(input.as_fd(), For::Writing),
            Some(input) => patience.nap_for_two([output, (input.as_fd(), For::Writing)]).map(drop),
            None => patience.nap(output.0, output.1),
        }
    }
}

/// A new pipe: the end that is this process's alone, and the child's.
fn own_end(order: impl FnOnce((OwnedFd, OwnedFd)) -> (OwnedFd, OwnedFd)) -> SysResult<(Descriptor, OwnedFd)> {
    let mut childs = None;
    let own = Descriptor::own(|| {
        let (own, other) = order(sys::pipe()?);
        childs = Some(other);
        Ok(own)
    })?;
    Ok((own, childs.expect("made with its other end")))
}

fn not_started(program: &str, errno: Errno) -> Error {
    let context = |detail: String| Context::new(&anonymous(), detail);
    match errno {
        Errno::ENOENT => Error::NotFound(context(format!("no program {program}"))),
        Errno::EACCES | Errno::EPERM => Error::Permission(context(format!("{program} may not be run"))),
        errno => {
            let context = Box::new(context(format!("of {program}")));
            Error::Os { errno: errno as i32, call: "execve", context }
        }
    }
}

fn kept_enough() -> Error {
    let detail = "the child does not read while 64 MiB that it wrote are kept: read what it writes";
    Error::NoSpace(Context::new(&anonymous(), detail))
}

fn closed(detail: &'static str) -> Error {
    Error::Closed(Context::new(&anonymous(), detail))
}
