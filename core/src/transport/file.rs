//! Files into transports: pages of the file into a pipe, one read into a ring, a copy elsewhere.

use super::frame::{header, write_some, FrameWriter, Message, Sink};
use super::sender::{Sender, Sending};
use super::stream::{Pipe, Writer};
use crate::error::{from_errno, Context, Error, Result};
use crate::ring::Producer;
use crate::sys::{fd, file, stream as sys, Errno};
use crate::wait::Deadline;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

/// Bytes read at a time where the kernel does not splice.
const PART: usize = 1 << 16;

/// A part of a file.
#[derive(Clone, Copy, Debug)]
struct Part<'f> {
    file: BorrowedFd<'f>,
    offset: u64,
    len: usize,
}

impl Sender {
    /// Sends up to `len` bytes of a file from `offset` on as one message, and says how many: fewer at the end of the file. At the
    /// end, 0 and no message. The file's own offset stays as it is.
    ///
    /// A pipe or FIFO gets the pages of the file themselves, without a copy: what is written to the file before the message is
    /// received may be in it. A ring gets them with one read. If the call ends in the middle of a message, as
    /// [`Sender::send_until`] describes, the same message is meant by the same descriptor, offset and length.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::fd::AsFd;
    /// let (mut tx, mut rx) = ipcx::Transport::Ring.pair(&Default::default())?;
    /// let program = std::fs::File::open(std::env::current_exe()?)?;
    /// let sent = tx.send_file_until(program.as_fd(), 1, 3, ipcx::Deadline::NEVER)?;
    /// let mut bytes = [0; 64];
    /// assert_eq!((rx.recv(&mut bytes)?, &bytes[..3]), (sent, &b"ELF"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Sender::send_until`]; `Invalid` if it is no regular file; `Corrupt` if the file was shortened meanwhile: a message
    /// that was begun cannot be finished then, and the receiver gets `PeerDead`; what reading gives.
    pub fn send_file_until(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        deadline: Deadline,
    ) -> Result<usize> {
        let name = self.name();
        let facts = file::facts(file).map_err(|e| from_errno(&name, "fstat", e))?;
        if !facts.is_regular {
            return Err(Error::invalid("only a regular file can be sent as one message"));
        }
        let left = facts.size.saturating_sub(offset);
        let part = Part { file, offset, len: len.min(usize::try_from(left).unwrap_or(usize::MAX)) };
        if part.len == 0 {
            return Ok(0);
        }
        let deadline = deadline.started();
        if let Sending::Socket(socket) = self.sending() {
            socket.ready(deadline)?; // How long a message may be is known then.
        }
        self.check_len(part.len)?;
        match self.sending() {
            Sending::Stream(writer) => splice(writer, part, deadline)?,
            Sending::Ring(end) => read_into(&name, end.get()?, part, deadline)?,
            _ => self.send_until(&read(&name, part)?, deadline)?,
        }
        Ok(part.len)
    }
}

fn shortened(name: &Arc<str>) -> Error {
    Error::Corrupt(Context::new(name, "the file was shortened while it was sent"))
}

/// All of the part.
fn read(name: &Arc<str>, part: Part<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; part.len];
    fill(name, part, &mut bytes)?;
    Ok(bytes)
}

fn fill(name: &Arc<str>, part: Part<'_>, to: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < to.len() {
        match sys::read_at(part.file, &mut to[done..], part.offset + done as u64) {
            Ok(0) => return Err(shortened(name)),
            Ok(bytes) => done += bytes,
            Err(errno) => return Err(from_errno(name, "pread", errno)),
        }
    }
    Ok(())
}

fn read_into(name: &Arc<str>, producer: &mut Producer, part: Part<'_>, deadline: Deadline) -> Result<()> {
    let to = producer.reserve_raw(part.len, deadline)?;
    let mut done = 0;
    while done < part.len {
        // SAFETY: `to` is a reservation of `part.len` bytes, `done` of which are done.
        let read =
            unsafe { fd::read_at_to(part.file, to.add(done), part.len - done, part.offset + done as u64) };
        let failed = match read {
            Ok(0) => shortened(name),
            Ok(bytes) => {
                done += bytes;
                continue;
            }
            Err(errno) => from_errno(name, "pread", errno),
        };
        producer.abort_raw()?;
        return Err(failed);
    }
    producer.commit_raw(part.len)
}

fn splice(writer: &mut Writer, part: Part<'_>, deadline: Deadline) -> Result<()> {
    let name = Arc::clone(&writer.name);
    read(&name, Part { len: 1, ..part })?; // What cannot be read begins no message.
    let sent = writer.with_sink(deadline, |frames, pipe| {
        Splicing { name, part, at: part.offset, refused: false }.run(frames, pipe)
    });
    if matches!(sent, Err(Error::Corrupt(_))) {
        writer.break_off();
    }
    sent
}

/// A message on its way from a file into a pipe.
struct Splicing<'f> {
    name: Arc<str>,
    part: Part<'f>,
    /// Offset of the next byte.
    at: u64,
    /// The kernel does not splice this file.
    refused: bool,
}

impl Splicing<'_> {
    fn run(mut self, frames: &mut FrameWriter, pipe: &mut Pipe<'_>) -> Result<()> {
        let Part { file, offset, len } = self.part;
        let key = (file.as_raw_fd(), offset, len);
        if frames.finish_before(pipe, Message::File(key.0, key.1, key.2))? {
            return Ok(());
        }
        write_some(pipe, [&header(len)?, &[]])?; // at once or not at all
        while self.left() > 0 {
            match self.step(pipe) {
                Ok(()) => {}
                Err(error @ (Error::WouldBlock(_) | Error::TimedOut(_) | Error::Interrupted)) => {
                    frames.remember_file(key, self.rest()?);
                    return Err(error);
                }
                // The message cannot be finished: its receiver must not wait for the rest.
                Err(error @ Error::Closed(_)) => return Err(error),
                Err(error) => return Err(Error::Corrupt(Context::new(&self.name, error.to_string()))),
            }
        }
        Ok(())
    }

    fn left(&self) -> usize {
        self.part.len - (self.at - self.part.offset) as usize
    }

    fn step(&mut self, pipe: &mut Pipe<'_>) -> Result<()> {
        if self.refused {
            return self.copy(pipe);
        }
        let left = self.left();
        match sys::splice(self.part.file, &mut self.at, pipe.fd, left) {
            Ok(0) => Err(shortened(&self.name)),
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN) => pipe.wait(),
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                self.refused = true;
                Ok(())
            }
            Err(errno) => Err(pipe.failed("splice", errno)),
        }
    }

    fn copy(&mut self, pipe: &mut Pipe<'_>) -> Result<()> {
        let part = Part { offset: self.at, len: self.left().min(PART), ..self.part };
        let bytes = read(&self.name, part)?;
        self.at += write_some(pipe, [&bytes, &[]])? as u64;
        Ok(())
    }

    /// What the pipe did not take yet.
    fn rest(&self) -> Result<Vec<u8>> {
        read(&self.name, Part { offset: self.at, len: self.left(), ..self.part })
            .map_err(|error| Error::Corrupt(Context::new(&self.name, error.to_string())))
    }
}
