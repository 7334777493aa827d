//! Descriptors of ends, and waiting for them: the one nap between two tries of a call.

use crate::error::{from_errno, Context, Error, Result, ANONYMOUS};
use crate::sys::fork::NotInherited;
use crate::sys::stream::For;
use crate::sys::{clock, fd as sys_fd, stream, SysResult};
use crate::wait::{Deadline, SLICE};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How long one that has nothing to sleep on naps: a receiver may come at any time, and nobody says so.
const LOOK_AGAIN: u64 = 1_000_000;

/// What a call waits for.
pub(super) const EMPTY: &str = "the transport has nothing to receive";
pub(super) const FULL: &str = "the transport is full: its receiver does not take what was sent";
pub(super) const NOBODY: &str = "nobody is at the other end of the transport";

/// Until when the calls of an operation wait, and for which transport.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) name: Arc<str>,
    deadline: Deadline,
}

impl Patience {
    pub(super) fn new(name: &Arc<str>, deadline: Deadline) -> Patience {
        Patience { name: Arc::clone(name), deadline: deadline.started() }
    }

    /// Time for one nap. `WouldBlock` if the operation does not wait, `TimedOut` if it has waited long enough.
    fn slice(&self, most: u64, what: &'static str) -> Result<u64> {
        if self.deadline.is_now() {
            return Err(Error::WouldBlock(what));
        }
        let now = clock::now();
        if self.deadline.is_over(now) {
            return Err(Error::TimedOut(Context::new(&self.name, what)));
        }
        Ok(self.deadline.at_most(now + most) - now)
    }

    /// Naps until the descriptor may be ready, for a slice at most. Then try again.
    pub(super) fn nap(&self, fd: BorrowedFd<'_>, what: For) -> Result<()> {
        let slice = self.slice(SLICE, if what == For::Writing { FULL } else { EMPTY })?;
        stream::wait([(fd, what)], slice).map(drop).map_err(|e| from_errno(&self.name, "ppoll", e))
    }

    /// The same for any of two.
    pub(super) fn nap_for_two(&self, fds: [(BorrowedFd<'_>, For); 2]) -> Result<[stream::Ready; 2]> {
        let slice = self.slice(SLICE, EMPTY)?;
        stream::wait(fds, slice).map_err(|e| from_errno(&self.name, "ppoll", e))
    }

    /// Naps where there is nothing to wait for yet.
    pub(super) fn nap_for_nothing(&self) -> Result<()> {
        let slice = self.slice(LOOK_AGAIN, NOBODY)?;
        stream::wait([], slice).map(drop).map_err(|e| from_errno(&self.name, "ppoll", e))
    }
}

/// The name of what has none.
pub(super) fn anonymous() -> Arc<str> {
    Arc::from(ANONYMOUS)
}

/// A descriptor to hand to another process; `None` of an end that has a name instead.
pub(super) fn duplicate(fd: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
    let fd = fd.ok_or_else(named)?;
    sys_fd::duplicate(fd).map_err(|e| from_errno(&anonymous(), "fcntl(F_DUPFD_CLOEXEC)", e))
}

/// What an end with a name says to who wants its descriptor.
pub(super) fn named() -> Error {
    Error::invalid("an end with a name is opened by it in the other process")
}

/// An end's descriptor.
#[derive(Debug)]
pub(super) enum Descriptor {
    /// Of one without a name: also a forked child's.
    Anyones(OwnedFd),
    /// Of one with a name: a forked child does not keep it open when this process closes it.
    Own(NotInherited),
}

impl Descriptor {
    /// Opens one that a forked child does not have.
    pub(super) fn own(open: impl FnOnce() -> SysResult<OwnedFd>) -> SysResult<Descriptor> {
        NotInherited::open(open).map(Descriptor::Own)
    }

    /// It, if other processes may have it too.
    pub(super) fn share(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Descriptor::Anyones(fd) => Some(fd.as_fd()),
            Descriptor::Own(_) => None,
        }
    }

    /// # Errors
    /// `Forked` in a child that inherited it.
    pub(super) fn check_not_inherited(&self) -> Result<()> {
        match self {
            Descriptor::Own(fd) if fd.is_inherited() => Err(Error::Forked),
            _ => Ok(()),
        }
    }

    /// Itself, if it can be given away.
    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        match self {
            Descriptor::Anyones(fd) => Some(fd),
            Descriptor::Own(_) => None,
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Descriptor::Anyones(fd) => fd.as_fd(),
            Descriptor::Own(fd) => fd.as_fd(),
        }
    }
}
