//! Names of FIFOs and sockets in a directory, and who has their roles.
//!
//! | file | what it is |
//! |---|---|
//! | `ipcx.NAME.fifo`, `ipcx.NAME.sock` | what a receiver made, for a sender to connect to |
//! | with `.lock` behind it | a byte for each role, locked by whoever has it: the kernel's proof that it lives |
//! | with `.claim` behind it | a FIFO that a sender is connecting to |
//! | with `.new` behind it | what a receiver is making: it gets its name when it is complete |
//!
//! Only the receiver makes or replaces the first. What its predecessor left is stale: it has the lock. So nothing is
//! ever guessed from a refused connection, and none of these names needs to be removed by hand.
//!
//! Names can be guessed, and a directory may be everybody's: what is found there is opened without following links and without
//! waiting, and used only if it is of the kind, and of an owner who is trusted.

use super::TransportOptions;
use crate::error::{from_errno, Context, Error, Result};
use crate::name;
use crate::segment::Segment;
use crate::sys::file::{self, Facts};
use crate::sys::fork::NotInherited;
use crate::sys::{lock, Errno};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

/// How often others may get between two steps of an opening before it gives up.
const ATTEMPTS: usize = 64;

/// What kind of file a transport has under its name.
#[derive(Debug)]
pub(super) struct Kind {
    /// Behind the name.
    pub(super) suffix: &'static str,
    /// For people.
    pub(super) what: &'static str,
    pub(super) is: fn(&Facts) -> bool,
}

const LOCK: Kind = Kind { suffix: ".lock", what: "lock file", is: |facts| facts.is_regular };

/// A role, by its byte in the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Sender = 0,
    Receiver = 1,
}

/// A role that this process has, until this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lease {
    held: NotInherited,
    role: Role,
}

impl Lease {
    /// # Errors
    /// `Forked` in a child that inherited it.
    pub(super) fn check_not_inherited(&self) -> Result<()> {
        if self.held.is_inherited() {
            return Err(Error::Forked);
        }
        Ok(())
    }
}

impl Drop for Lease {
    /// Gives it up at once, also where a child that is being started still has the descriptor.
    fn drop(&mut self) {
        if !self.held.is_inherited() {
            let _ = lock::unlock(self.held.as_fd(), self.role as u64); // Closing does it otherwise.
        }
    }
}

/// A name resolved.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) file: String,
    kind: &'static Kind,
    path: PathBuf,
    directory: OwnedFd,
}

impl Place {
    pub(super) fn find(name: &str, options: &TransportOptions, kind: &'static Kind) -> Result<Place> {
        let file = format!("{}{}", name::file_name(name)?, kind.suffix);
        let (name, path) = (Arc::from(name), name::directory(options.directory.as_deref()));
        let directory = name::open_directory(&name, &path)?;
        Ok(Place { name, file, kind, path, directory })
    }

    pub(super) fn at(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(super) fn error(&self, call: &'static str, errno: Errno) -> Error {
        from_errno(&self.name, call, errno)
    }

    /// Takes a role: the lock on its byte.
    pub(super) fn take(&self, role: Role, options: &TransportOptions) -> Result<Lease> {
        let lock_file = self.lock_file();
        for _ in 0..ATTEMPTS {
            let held = match NotInherited::open(|| file::open(self.at(), &lock_file)) {
                Ok(held) => held,
                Err(Errno::ENOENT) => {
                    self.create_lock_file(&lock_file, options)?;
                    continue;
                }
                Err(errno) => return Err(self.open_error(&lock_file, &LOCK, errno)),
            };
            self.check_facts(held.as_fd(), &lock_file, &LOCK)?;
            let locked = lock::try_lock(held.as_fd(), role as u64);
            if !locked.map_err(|e| self.error("fcntl(F_OFD_SETLK)", e))? {
                return Err(self.taken(role));
            }
            // Somebody may have unlinked it before it was locked.
            if file::facts(held.as_fd()).map_err(|e| self.error("fstat", e))?.has_name {
                return Ok(Lease { held, role });
            }
        }
        Err(Error::Exists(Context::new(&self.name, "other processes unlink it all the time; give up")))
    }

    /// Complete before it has its name, where the file system has files without one.
    fn create_lock_file(&self, lock_file: &str, options: &TransportOptions) -> Result<()> {
        let (made, named) = match file::create_unnamed(self.at()) {
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                (file::create_named(self.at(), lock_file), true)
            }
            made => (made, false),
        };
        let made = match made {
            Err(Errno::EEXIST) => return Ok(()),
            made => made.map_err(|e| self.error("open(O_CREAT)", e))?,
        };
        file::set_mode(made.as_fd(), options.mode()).map_err(|e| self.error("fchmod", e))?;
        match if named { Ok(()) } else { file::link(made.as_fd(), self.at(), lock_file) } {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(self.error("linkat", errno)),
        }
    }

    fn taken(&self, role: Role) -> Error {
        let who = match role {
            Role::Sender => "the sender",
            Role::Receiver => "the receiver",
        };
        Error::RoleTaken(Context::new(&self.name, format!("a living process is {who} already")))
    }

    /// What is at its name, if anything is: it must be of the kind, and somebody's who is trusted.
    pub(super) fn look(&self) -> Result<Option<Facts>> {
        self.look_at(&self.file)
    }

    fn look_at(&self, file: &str) -> Result<Option<Facts>> {
        match file::facts_at(self.at(), file) {
            Ok(facts) => self.check(facts, file, self.kind).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error("fstatat", errno)),
        }
    }

    /// The same of something that was opened.
    pub(super) fn check_opened(&self, fd: BorrowedFd<'_>, file: &str) -> Result<()> {
        self.check_facts(fd, file, self.kind)
    }

    fn check_facts(&self, fd: BorrowedFd<'_>, file: &str, kind: &Kind) -> Result<()> {
        let facts = file::facts(fd).map_err(|e| self.error("fstat", e))?;
        self.check(facts, file, kind).map(drop)
    }

    fn check(&self, facts: Facts, file: &str, kind: &Kind) -> Result<Facts> {
        if !(kind.is)(&facts) {
            return Err(self.is_no(file, kind));
        }
        Segment::check_trust(&self.name, facts.owner, facts.group, facts.mode)?;
        Ok(facts)
    }

    fn is_no(&self, file: &str, kind: &Kind) -> Error {
        let (path, what) = (self.path.join(file), kind.what);
        let path = path.display();
        let detail =
            format!("{path} is no {what}, which is what it should be; remove it, or choose another name");
        Error::Mismatch(Context::new(&self.name, detail))
    }

    /// What kept something from being opened may be that it is a link, a directory or a socket.
    fn open_error(&self, file: &str, kind: &Kind, errno: Errno) -> Error {
        match errno {
            Errno::ELOOP | Errno::EISDIR | Errno::ENXIO | Errno::ENOTDIR => self.is_no(file, kind),
            errno => self.error("open", errno),
        }
    }

    /// The same for what is of the transport's kind.
    pub(super) fn not_opened(&self, file: &str, errno: Errno) -> Error {
        self.open_error(file, self.kind, errno)
    }

    /// For a receiver that is about to make something: refuses where something else has its name, and removes what a receiver
    /// before did not finish.
    pub(super) fn make_way(&self) -> Result<()> {
        self.look()?;
        match self.look_at(&self.new_file())? {
            Some(_) => self.remove(&self.new_file()).map(drop),
            None => Ok(()),
        }
    }

    /// Gives what the receiver has made its name, in place of what one before left there.
    pub(super) fn publish(&self) -> Result<()> {
        file::rename(self.at(), &self.new_file(), &self.file).map_err(|e| self.error("renameat", e))
    }

    /// Removes a name; false if there was none.
    pub(super) fn remove(&self, file: &str) -> Result<bool> {
        match file::unlink(self.at(), file) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.error("unlink", errno)),
        }
    }

    fn lock_file(&self) -> String {
        format!("{}{}", self.file, LOCK.suffix)
    }

    /// The name of a FIFO while a sender connects to it.
    pub(super) fn claim(&self) -> String {
        format!("{}.claim", self.file)
    }

    /// The name of what a receiver is making.
    pub(super) fn new_file(&self) -> String {
        format!("{}.new", self.file)
    }
}

/// True for a file that a transport with one of these kinds has in a directory, by what it is and what its name is
/// behind `ipcx.`.
pub(super) fn is_one_of(kinds: &[Kind], name: &str, facts: &Facts) -> bool {
    kinds.iter().any(|kind| match name.rsplit_once(kind.suffix) {
        Some((_, "" | ".claim" | ".new")) => (kind.is)(facts),
        Some((_, rest)) => rest == LOCK.suffix && facts.is_regular && facts.size == 0,
        None => false,
    })
}

/// Removes a transport's names.
pub(super) fn unlink(name: &str, options: &TransportOptions, kind: &'static Kind) -> Result<()> {
    let place = Place::find(name, options, kind)?;
    place.look()?;
    let mut any = false;
    for file in [place.file.clone(), place.claim(), place.new_file(), place.lock_file()] {
        any |= place.remove(&file)?;
    }
    if any {
        return Ok(());
    }
    let detail = format!("no such {} in {}: nothing to unlink", kind.what, place.path.display());
    Err(Error::NotFound(Context::new(&place.name, detail)))
}
