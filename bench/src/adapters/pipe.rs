//! Peer: two pipes, one per direction, with blocking reads and writes.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::endpoint::{Endpoint, Link, Side};
use crate::{signals, Result};

/// One end of the pair of pipes. `POLLED`: each read is preceded by a poll.
pub struct Pipe<const POLLED: bool> {
    inward: File,
    out: File,
}

impl<const POLLED: bool> Endpoint for Pipe<POLLED> {
    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        let mut ends = Vec::new();
        for _direction in 0..2 {
            let mut fds: [RawFd; 2] = [-1; 2];
            // SAFETY: pipe2 fills an array of two descriptors.
            if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
                return Err(std::io::Error::last_os_error().into());
            }
            // SAFETY: just opened, and owned by nobody else.
            ends.extend(fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        Ok(ends)
    }

    fn connect(link: &Link, side: Side) -> Result<Self> {
        let [near_reads, far_writes, far_reads, near_writes] = link.fds[..] else {
            return Err("two pipes expected".into());
        };
        // SAFETY: inherited for this endpoint alone; each side takes its own two of the four.
        let take = |fd| unsafe { File::from_raw_fd(fd) };
        Ok(match side {
            Side::Near => Pipe { inward: take(near_reads), out: take(near_writes) },
            Side::Far => Pipe { inward: take(far_reads), out: take(far_writes) },
        })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut left = payload;
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => signals::check()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < payload.len() {
            if POLLED {
                let fd = self.inward.as_raw_fd();
                let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
                // SAFETY: one valid pollfd. However it ends, the read waits if need be.
                unsafe { libc::poll(&mut poll, 1, -1) };
            }
            match self.inward.read(&mut payload[filled..]) {
                Ok(0) => return Err("the pipe was closed".into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => signals::check()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
