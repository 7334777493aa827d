//! Messages on standard input and output, and how the commands that carry them wait.

use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, StdinLock, StdoutLock, Write};
use std::time::Duration;

use ipcx::{Deadline, Error};
use ipcx_bench::signals;

use crate::outcome::Outcome;

/// What the commands between a segment and standard input or output have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct Flow {
    /// A message is a line, without its end; this is the default
    #[arg(long, group = "framing")]
    lines: bool,
    /// A message is what one read gives, and is written as it is
    #[arg(long, group = "framing")]
    raw: bool,
    /// A message comes behind its length: 4 bytes, the lowest first
    #[arg(long, group = "framing")]
    len32: bool,
    /// Longest wait for one message, or for room for it; 0 does not wait [default: for ever]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is needed, such as 1.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Most bytes of a message that is one read.
pub(crate) const MOST_AT_ONCE: usize = 1 << 16;
/// Longest sleep in a call: a signal that came just before it is noticed after it.
const SLICE: Duration = Duration::from_millis(200);

impl Flow {
    pub(crate) fn deadline(&self) -> Deadline {
        self.timeout.map_or(Deadline::NEVER, Deadline::within)
    }

    /// Calls again and again what does nothing if its time is over, until that of this flow is, or somebody ends the command.
    pub(crate) fn wait<T>(&self, mut call: impl FnMut(Deadline) -> ipcx::Result<T>) -> ipcx::Result<T> {
        let deadline = self.timeout.map_or(Deadline::NEVER, Deadline::after);
        loop {
            if signals::stopped() {
                return Err(Error::Interrupted);
            }
            let last = deadline.remaining().is_some_and(|left| left <= SLICE);
            match call(if last { deadline } else { Deadline::after(SLICE) }) {
                Err(Error::TimedOut(_)) if !last => {}
                Err(Error::Interrupted) => {} // If it is to end, it does above.
                other => return other,
            }
        }
    }

    /// Gives each message of standard input to `put`, until it ends. A message read at once has at most `most` bytes.
    pub(crate) fn feed(
        &self,
        most: usize,
        mut put: impl FnMut(&[u8]) -> Result<(), Outcome>,
    ) -> Result<(), Outcome> {
        signals::install_in_coordinator();
        let mut input =
            Input { flow: self, stdin: BufReader::with_capacity(MOST_AT_ONCE, io::stdin().lock()) };
        let mut message = Vec::new();
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 && input.read(&mut message, most.min(MOST_AT_ONCE))? {
            put(&message)?;
            left -= 1;
        }
        Ok(())
    }

    /// Writes each message that `get` gives to standard output, until it is closed.
    pub(crate) fn drain(
        &self,
        mut get: impl FnMut(&mut [u8], Deadline) -> ipcx::Result<usize>,
    ) -> Result<(), Outcome> {
        signals::install_in_coordinator();
        let mut output = self.output();
        let mut buffer = vec![0; 4096];
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let mut got = get(&mut buffer, Deadline::NOW);
            if let Err(Error::WouldBlock(_)) = got {
                output.flush()?; // What was there is not held back.
                got = self.wait(|until| get(&mut buffer, until));
            }
            match got {
                Ok(len) => output.write(&buffer[..len])?,
                Err(Error::TooBig { needed, .. }) => {
                    buffer.resize(needed, 0);
                    continue;
                }
                Err(end) => {
                    output.flush()?;
                    return if matches!(end, Error::Closed(_)) { Ok(()) } else { Err(end.into()) };
                }
            }
            left -= 1;
            stop().or_else(|end| output.flush().map_err(Outcome::from).and(Err(end)))?;
        }
        Ok(output.flush()?)
    }

    pub(crate) fn output(&self) -> Output<'_> {
        Output { flow: self, stdout: BufWriter::with_capacity(MOST_AT_ONCE, io::stdout().lock()) }
    }
}

/// An error if somebody has ended the command.
pub(crate) fn stop() -> Result<(), Outcome> {
    if signals::stopped() {
        Err(Outcome::Interrupted)
    } else {
        Ok(())
    }
}

struct Input<'f> {
    flow: &'f Flow,
    stdin: BufReader<StdinLock<'static>>,
}

impl Input<'_> {
    /// The next message; false if there is none any more.
    fn read(&mut self, message: &mut Vec<u8>, most: usize) -> Result<bool, Outcome> {
        message.clear();
        match self.flow {
            Flow { raw: true, .. } => self.at_once(message, most),
            Flow { len32: true, .. } => self.behind_its_length(message),
            _ => self.line(message),
        }
    }

    /// What can be read; nothing at the end.
    fn filled(&mut self) -> Result<&[u8], Outcome> {
        loop {
            stop()?;
            match self.stdin.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Outcome::Failed(format!("standard input: {error}"))),
                Ok(_) => break,
            }
        }
        Ok(self.stdin.buffer())
    }

    fn at_once(&mut self, message: &mut Vec<u8>, most: usize) -> Result<bool, Outcome> {
        let filled = self.filled()?;
        message.extend_from_slice(&filled[..filled.len().min(most)]);
        self.stdin.consume(message.len());
        Ok(!message.is_empty())
    }

    fn line(&mut self, message: &mut Vec<u8>) -> Result<bool, Outcome> {
        loop {
            let filled = self.filled()?;
            if filled.is_empty() {
                return Ok(!message.is_empty());
            }
            let end = filled.iter().position(|byte| *byte == b'\n');
            let len = end.unwrap_or(filled.len());
            message.extend_from_slice(&filled[..len]);
            self.stdin.consume(end.map_or(len, |end| end + 1));
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    fn behind_its_length(&mut self, message: &mut Vec<u8>) -> Result<bool, Outcome> {
        if self.filled()?.is_empty() {
            return Ok(false);
        }
        self.exactly(message, 4)?;
        let len = u32::from_le_bytes(message[..4].try_into().expect("4 bytes"));
        message.clear();
        self.exactly(message, len as usize)?;
        Ok(true)
    }

    fn exactly(&mut self, message: &mut Vec<u8>, len: usize) -> Result<(), Outcome> {
        while message.len() < len {
            let filled = self.filled()?;
            if filled.is_empty() {
                return Err(Outcome::Failed("standard input ends inside of a message".to_owned()));
            }
            let part = filled.len().min(len - message.len());
            message.extend_from_slice(&filled[..part]);
            self.stdin.consume(part);
        }
        Ok(())
    }
}

/// Standard output.
pub(crate) struct Output<'f> {
    flow: &'f Flow,
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output<'_> {
    pub(crate) fn write(&mut self, message: &[u8]) -> io::Result<()> {
        if self.flow.len32 {
            let len = u32::try_from(message.len()).map_err(|_| ErrorKind::InvalidInput)?;
            self.stdout.write_all(&len.to_le_bytes())?;
        }
        self.stdout.write_all(message)?;
        if !self.flow.raw && !self.flow.len32 {
            self.stdout.write_all(b"\n")?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}
