//! FIFOs: each is for one connection.
//!
//! A FIFO that one sender after the other writes to would carry the first half of a message of one that died, and then the
//! next one's messages, with nothing to tell them apart. So a sender takes the FIFO's name away before it writes, and the
//! receiver, when that sender went, makes a new one.
//!
//! | name | claim | state |
//! |---|---|---|
//! | there | - | the receiver waits for a sender; or went |
//! | - | there | a sender is connecting, or died at it: nothing was written yet |
//! | - | - | a sender is connected, or went: the receiver makes a new FIFO when it has read everything |

use super::frame::FrameWriter;
use super::nap::Descriptor;
use super::place::{Kind, Lease, Place, Role};
use super::stream::{make_room, state, Reader, Writer};
use super::TransportOptions;
use crate::error::Result;
use crate::sys::{file, Errno};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

pub(super) const FIFO: Kind = Kind { suffix: ".fifo", what: "FIFO", is: |facts| facts.is_fifo };

/// The sending end; connected already if a receiver waits.
pub(super) fn sender(name: &str, options: &TransportOptions) -> Result<Writer> {
    let place = Place::find(name, options, &FIFO)?;
    let lease = place.take(Role::Sender, options)?;
    let name = Arc::clone(&place.name);
    let connecting = Connecting { place, lease };
    let fd = connecting.try_connect()?;
    Ok(Writer { name, fd, connecting: Some(connecting), frames: FrameWriter::default() })
}

/// The receiving end, with a FIFO of its own.
pub(super) fn receiver(name: &str, options: &TransportOptions) -> Result<Reader> {
    let place = Place::find(name, options, &FIFO)?;
    let lease = place.take(Role::Receiver, options)?;
    let name = Arc::clone(&place.name);
    let made = Made { place, lease, options: options.clone() };
    let fd = made.make()?;
    Ok(Reader::of(name, fd, Some(made)))
}

/// What a sender needs to connect.
#[derive(Debug)]
pub(super) struct Connecting {
    place: Place,
    lease: Lease,
}

impl Connecting {
    pub(super) fn check_not_inherited(&self) -> Result<()> {
        self.lease.check_not_inherited()
    }

    /// The receiver's FIFO, for this sender alone; `None` if there is none, or no receiver.
    pub(super) fn try_connect(&self) -> Result<Option<Descriptor>> {
        // What a sender before claimed, and died before it wrote.
        if let Some(fd) = self.open_claimed()? {
            return Ok(Some(fd));
        }
        if self.place.look()?.is_none() {
            return Ok(None);
        }
        match file::rename(self.place.at(), &self.place.file, &self.place.claim()) {
            Ok(()) => self.open_claimed(),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.place.error("renameat", errno)),
        }
    }

    /// Its claim is removed, also if nobody reads there: then its receiver went.
    fn open_claimed(&self) -> Result<Option<Descriptor>> {
        let (place, claim) = (&self.place, self.place.claim());
        let fd = match Descriptor::own(|| file::open_fifo_to_write(place.at(), &claim)) {
            Ok(fd) => Some(fd),
            Err(Errno::ENXIO) => None,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(place.not_opened(&claim, errno)),
        };
        if let Some(fd) = &fd {
            place.check_opened(fd.as_fd(), &claim)?;
        }
        place.remove(&claim)?;
        Ok(fd)
    }
}

/// What a receiver needs to make a FIFO for each sender.
#[derive(Debug)]
pub(super) struct Made {
    place: Place,
    lease: Lease,
    options: TransportOptions,
}

impl Made {
    pub(super) fn check_not_inherited(&self) -> Result<()> {
        self.lease.check_not_inherited()
    }

    /// A new FIFO under the name, open to read.
    pub(super) fn make(&self) -> Result<Descriptor> {
        let (place, new) = (&self.place, self.place.new_file());
        place.make_way()?;
        file::make_fifo(place.at(), &new).map_err(|e| place.error("mkfifo", e))?;
        let fd = Descriptor::own(|| file::open_fifo_to_read(place.at(), &new));
        let fd = fd.map_err(|e| place.not_opened(&new, e))?;
        place.check_opened(fd.as_fd(), &new)?;
        file::set_mode(fd.as_fd(), self.options.mode()).map_err(|e| place.error("fchmod", e))?;
        make_room(&place.name, fd.as_fd(), &self.options)?;
        place.publish()?;
        Ok(fd)
    }

    /// True if the sender of this FIFO went, everything is read, and no other can come: no claim leads to it. In this order:
    /// one that connected through a claim is seen by the second look.
    pub(super) fn is_over(&self, fd: BorrowedFd<'_>) -> Result<bool> {
        let place = &self.place;
        let claimed = match file::facts_at(place.at(), &place.claim()) {
            Ok(_) => true,
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(place.error("fstatat", errno)),
        };
        let state = state(&place.name, fd)?;
        Ok(!claimed && state.hung_up && !state.readable)
    }
}
