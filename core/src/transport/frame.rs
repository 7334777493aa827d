//! Messages in a stream of bytes: four bytes of length, lowest first, and so many bytes.
//!
//! A stream takes and gives any number of bytes at a time, and either side may run out of time in the middle of a message. What
//! each then remembers, so that the stream stays whole:
//!
//! | | remembered | next call |
//! |---|---|---|
//! | writer | the frame that it began, and how much of it is written | the same message: goes on; another: first finishes that one |
//! | reader | header and payload as far as they were read | goes on; `TooBig` leaves the payload in the stream |
//!
//! A frame of up to PIPE_BUF bytes (4096) is never left in the middle: a pipe takes that at once or not at all.

use crate::error::{Context, Error, Result};
use std::os::fd::RawFd;

/// Bytes in front of each message.
pub(super) const HEADER: usize = 4;
/// Bytes read at a time of a message that was begun.
const PART: usize = 1 << 16;
/// Longest message that its header can say.
pub(super) const LONGEST: usize = u32::MAX as usize;

/// Where frames go. `WouldBlock` from [`Sink::write`] is no error: [`Sink::wait`] comes next.
pub(super) trait Sink {
    /// Writes some of the first part and then of the second, at least a byte.
    fn write(&mut self, parts: [&[u8]; 2]) -> Result<usize>;
    /// Waits a little for room.
    fn wait(&mut self) -> Result<()>;
}

/// Where frames come from. `WouldBlock` from [`Source::read`] is no error: [`Source::wait`] comes next.
pub(super) trait Source {
    /// Reads at least a byte; `Closed` at the end.
    fn read(&mut self, to: &mut [u8]) -> Result<usize>;
    /// Waits a little for bytes.
    fn wait(&mut self) -> Result<()>;
    /// How many bytes are left, once nobody can write any more.
    fn left(&mut self) -> Result<Option<usize>>;
    /// What the end is told by.
    fn closed(&self) -> Error;
}

/// What was sent when a frame was begun: whoever sends it again means the same message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Bytes(&'a [u8]),
    /// A part of a file: descriptor, offset, length.
    File(RawFd, u64, usize),
}

/// The file of a frame begun, if its message was one.
type File = Option<(RawFd, u64, usize)>;

#[derive(Debug, Default)]
pub(super) struct FrameWriter {
    /// Of a message of bytes: the whole frame; of a file: what is left. Empty if none is begun.
    begun: Vec<u8>,
    /// How much of that is written.
    written: usize,
    file: File,
}

/// The header of a message of so many bytes.
pub(super) fn header(len: usize) -> Result<[u8; HEADER]> {
    let fits = u32::try_from(len).map(u32::to_le_bytes);
    fits.map_err(|_| Error::TooBig { needed: len, available: LONGEST })
}

impl FrameWriter {
    /// True if a message is begun and not finished.
    pub(super) fn is_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Writes a message, after what was begun before. An error in the middle of it remembers it.
    pub(super) fn send(&mut self, sink: &mut dyn Sink, data: &[u8]) -> Result<()> {
        let header = header(data.len())?;
        if self.finish_before(sink, Message::Bytes(data))? {
            return Ok(());
        }
        let mut written = 0;
        while written < HEADER + data.len() {
            match write_some(sink, rest_of([&header, data], written)) {
                Ok(bytes) => written += bytes,
                Err(error) => {
                    if written > 0 {
                        self.begun.extend_from_slice(&header);
                        self.begun.extend_from_slice(data);
                        self.written = written;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Finishes what was begun before; true if it is this message, which is then sent.
    pub(super) fn finish_before(&mut self, sink: &mut dyn Sink, next: Message<'_>) -> Result<bool> {
        if !self.is_begun() {
            return Ok(false);
        }
        while self.written < self.begun.len() {
            self.written += write_some(sink, [&self.begun[self.written..], &[]])?;
        }
        // Looked at once, and not in each of the calls that it takes.
        let same = match next {
            Message::Bytes(data) => self.file.is_none() && self.begun[HEADER..] == *data,
            Message::File(fd, offset, len) => self.file == Some((fd, offset, len)),
        };
        self.forget();
        Ok(same)
    }

    /// Part of a file was begun, and this is left of its frame.
    pub(super) fn remember_file(&mut self, file: (RawFd, u64, usize), rest: Vec<u8>) {
        (self.begun, self.written, self.file) = (rest, 0, Some(file));
    }

    /// The stream of what was begun is gone.
    pub(super) fn forget(&mut self) {
        *self = FrameWriter::default();
    }
}

fn rest_of([first, second]: [&[u8]; 2], written: usize) -> [&[u8]; 2] {
    match first.get(written..) {
        Some(rest) => [rest, second],
        None => [&second[written - first.len()..], &[]],
    }
}

/// Writes at least a byte, or says why not.
pub(super) fn write_some(sink: &mut dyn Sink, parts: [&[u8]; 2]) -> Result<usize> {
    loop {
        match sink.write(parts) {
            Err(Error::WouldBlock(_)) => sink.wait()?,
            done => return done,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct FrameReader {
    header: [u8; HEADER],
    /// How much of the header is read.
    known: usize,
    /// What is read of the payload.
    begun: Vec<u8>,
}

impl FrameReader {
    /// True if a message is read in part.
    pub(super) fn is_begun(&self) -> bool {
        self.known > 0
    }

    /// Copies the next message to `buffer`; says how long it is.
    pub(super) fn recv(&mut self, source: &mut dyn Source, buffer: &mut [u8]) -> Result<usize> {
        while self.known < HEADER {
            match read_some(source, &mut self.header[self.known..]) {
                Ok(bytes) => self.known += bytes,
                Err(error) => return Err(self.gone_or(error)),
            }
        }
        let len = u32::from_le_bytes(self.header) as usize;
        let available = buffer.len();
        let Some(to) = buffer.get_mut(..len) else {
            self.check_can_come(source, len)?;
            return Err(Error::TooBig { needed: len, available });
        };
        let read = if self.begun.is_empty() { self.read(source, to) } else { self.read_rest(source, to) };
        read.map_err(|error| self.gone_or(error))?;
        self.forget();
        Ok(len)
    }

    /// Reads the payload, or the first part of it, which is then kept.
    fn read(&mut self, source: &mut dyn Source, to: &mut [u8]) -> Result<()> {
        let mut read = 0;
        while read < to.len() {
            match read_some(source, &mut to[read..]) {
                Ok(bytes) => read += bytes,
                Err(error) => {
                    self.begun.extend_from_slice(&to[..read]);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Adds to what is kept, and copies it once it is whole: not for each of the calls that it takes.
    fn read_rest(&mut self, source: &mut dyn Source, to: &mut [u8]) -> Result<()> {
        while self.begun.len() < to.len() {
            let before = self.begun.len();
            self.begun.resize(to.len().min(before + PART), 0);
            let read = read_some(source, &mut self.begun[before..]);
            self.begun.truncate(before + *read.as_ref().unwrap_or(&0));
            read?;
        }
        to.copy_from_slice(&self.begun);
        Ok(())
    }

    /// Of a message for which the buffer has no room: nobody is asked to make room for one that cannot come any more.
    fn check_can_come(&mut self, source: &mut dyn Source, len: usize) -> Result<()> {
        let Some(mut left) = source.left()?.filter(|left| *left < len - self.begun.len()) else {
            return Ok(());
        };
        let mut rest = [0; 4096];
        while left > 0 {
            let most = left.min(rest.len());
            let Ok(read) = source.read(&mut rest[..most]) else { break };
            left -= read;
        }
        Err(self.gone_or(source.closed()))
    }

    /// Whether the stream ended inside a frame decides how its writer went.
    fn gone_or(&mut self, error: Error) -> Error {
        match error {
            Error::Closed(context) if self.known > 0 => {
                self.forget();
                let detail = "the sender went in the middle of a message, which is lost; nothing is left";
                Error::PeerDead(Context::of(context, detail))
            }
            error => error,
        }
    }

    fn forget(&mut self) {
        *self = FrameReader::default();
    }
}

fn read_some(source: &mut dyn Source, to: &mut [u8]) -> Result<usize> {
    loop {
        match source.read(to) {
            Err(Error::WouldBlock(_)) => source.wait()?,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::Arc;

    /// A stream that takes and gives so many bytes at a time, and has patience for so many calls.
    #[derive(Default)]
    struct Stream {
        bytes: VecDeque<u8>,
        room: usize,
        step: usize,
        ended: bool,
    }

    impl Sink for Stream {
        fn write(&mut self, parts: [&[u8]; 2]) -> Result<usize> {
            let room = self.room.saturating_sub(self.bytes.len()).min(self.step);
            let taken: Vec<u8> = parts.concat().into_iter().take(room).collect();
            self.bytes.extend(&taken);
            if taken.is_empty() {
                Err(Error::WouldBlock("full"))
            } else {
                Ok(taken.len())
            }
        }
        fn wait(&mut self) -> Result<()> {
            Err(Error::timed_out("patience"))
        }
    }

    impl Source for Stream {
        fn read(&mut self, to: &mut [u8]) -> Result<usize> {
            let count = to.len().min(self.step).min(self.bytes.len());
            to.iter_mut().zip(self.bytes.drain(..count)).for_each(|(to, byte)| *to = byte);
            match count {
                0 if self.ended => Err(self.closed()),
                0 => Err(Error::WouldBlock("empty")),
                count => Ok(count),
            }
        }
        fn wait(&mut self) -> Result<()> {
            Err(Error::timed_out("patience"))
        }
        fn left(&mut self) -> Result<Option<usize>> {
            Ok(self.ended.then_some(self.bytes.len()))
        }
        fn closed(&self) -> Error {
            Error::Closed(Context::new(&Arc::from("test"), ""))
        }
    }

    #[test]
    fn room_is_asked_for_only_while_the_message_can_come() {
        let mut stream = Stream { room: 100, step: 3, ..Default::default() };
        let (mut tx, mut rx) = (FrameWriter::default(), FrameReader::default());
        tx.send(&mut stream, b"0123456789").unwrap();
        stream.ended = true;
        assert!(
            matches!(rx.recv(&mut stream, &mut [0; 9]), Err(Error::TooBig { needed: 10, .. })),
            "it is all there"
        );
        assert_eq!(rx.recv(&mut stream, &mut [0; 10]).unwrap(), 10);
        stream.ended = false;
        stream.bytes.extend(u32::MAX.to_le_bytes().into_iter().chain(*b"a length that is not true"));
        assert!(matches!(rx.recv(&mut stream, &mut [0; 9]), Err(Error::TooBig { needed: LONGEST, .. })));
        stream.ended = true;
        assert!(matches!(rx.recv(&mut stream, &mut [0; 9]), Err(Error::PeerDead(_))));
        tx.send(&mut stream, b"a successor's").unwrap();
        assert_eq!(rx.recv(&mut stream, &mut [0; 16]).unwrap(), 13);
    }

    #[test]
    fn whatever_the_steps_and_timeouts_every_message_arrives_once() {
        let messages: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; usize::from(n) * 7 % 61]).collect();
        for (room, step) in [(1, 1), (3, 2), (7, 5), (64, 64), (13, 100)] {
            let mut stream = Stream { room, step, ..Default::default() };
            let (mut tx, mut rx) = (FrameWriter::default(), FrameReader::default());
            let (mut sent, mut received, mut buffer) = (0, 0, [0; 64]);
            while received < messages.len() {
                if sent < messages.len() {
                    match tx.send(&mut stream, &messages[sent]) {
                        Ok(()) => sent += 1,
                        Err(error) => assert!(matches!(error, Error::TimedOut(_))),
                    }
                }
                match rx.recv(&mut stream, &mut buffer) {
                    Ok(len) => {
                        assert_eq!(buffer[..len], messages[received]);
                        received += 1;
                    }
                    Err(error) => assert!(matches!(error, Error::TimedOut(_))),
                }
            }
            assert!(stream.bytes.is_empty() && sent == messages.len());
        }
    }

    #[test]
    fn a_message_given_up_in_the_middle_goes_before_the_next() {
        let mut stream = Stream { room: 6, step: 6, ..Default::default() };
        let (mut tx, mut rx) = (FrameWriter::default(), FrameReader::default());
        assert!(matches!(tx.send(&mut stream, b"first"), Err(Error::TimedOut(_))));
        assert!(tx.is_begun());
        assert!(matches!(tx.send(&mut stream, b"second"), Err(Error::TimedOut(_))));
        (stream.room, stream.step) = (100, 100);
        tx.send(&mut stream, b"second").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(rx.recv(&mut stream, &mut buffer).unwrap(), 5);
        assert_eq!(rx.recv(&mut stream, &mut buffer).unwrap(), 6);
        assert!(matches!(rx.recv(&mut stream, &mut buffer), Err(Error::TimedOut(_))));
    }

    #[test]
    fn a_buffer_too_small_leaves_the_message_however_much_of_it_was_read() {
        let mut stream = Stream { room: 100, step: 3, ..Default::default() };
        let (mut tx, mut rx) = (FrameWriter::default(), FrameReader::default());
        tx.send(&mut stream, b"0123456789").unwrap();
        let rest = stream.bytes.split_off(9);
        assert!(matches!(rx.recv(&mut stream, &mut [0; 10]), Err(Error::TimedOut(_))));
        for small in [0, 3, 9] {
            let result = rx.recv(&mut stream, &mut vec![0; small]);
            assert!(matches!(result, Err(Error::TooBig { needed: 10, available }) if available == small));
        }
        stream.bytes.extend(rest);
        let mut buffer = [0; 10];
        assert_eq!(rx.recv(&mut stream, &mut buffer).unwrap(), 10);
        assert_eq!(&buffer, b"0123456789");
    }

    #[test]
    fn an_end_inside_a_message_is_a_death_and_between_two_a_close() {
        for cut in 1..9 {
            let mut stream = Stream { room: 100, step: 100, ..Default::default() };
            let (mut tx, mut rx) = (FrameWriter::default(), FrameReader::default());
            tx.send(&mut stream, b"12345").unwrap();
            stream.bytes.truncate(cut);
            stream.ended = true;
            assert!(matches!(rx.recv(&mut stream, &mut [0; 16]), Err(Error::PeerDead(_))));
            assert!(
                matches!(rx.recv(&mut stream, &mut [0; 16]), Err(Error::Closed(_))),
                "and then it is over"
            );
            tx.send(&mut stream, b"a successor's").unwrap();
            assert_eq!(rx.recv(&mut stream, &mut [0; 16]).unwrap(), 13);
        }
    }
}
