//! Memory outside the segment's file: a System V segment, whose first page says to which segment it belongs.
//!
//! | offset in the first page | |
//! |---|---|
//! | 0 | `ipcxSYSV` |
//! | 8 | the segment's instance, 16 bytes |
//! | 24 | path of the segment's file, with a zero behind it |
//!
//! The kernel keeps it when its creator dies. It is made before the file has its name, with permission bits that nobody else uses
//! until its first page is written: what a dead creator left can be told, and the next one with the same key
//! removes it.

use super::header::{key_of, segment_at, Parameters};
use super::Segment;
use crate::error::{from_errno, Context, Error, Result};
use crate::sys::sysv::{self, Attached};
use crate::sys::{file, memory, process, said_of, Errno};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Indices in the header's parameters, of all kinds.
pub(crate) const BACKING: usize = 6;
/// How many bytes at the end of the file are obtained when they are used, not when it is made.
pub(crate) const ON_DEMAND: usize = 5;
pub(crate) const KEY: usize = 7;
/// Values of the first.
pub(crate) const IN_FILE: u64 = 0;
pub(crate) const SYSTEM_V: u64 = 1;

const MAGIC: &[u8; 8] = b"ipcxSYSV";
const INSTANCE: usize = 8;
const PATH: usize = 24;
/// Bytes of the first page that are used.
const STAMP: usize = 4096;
/// Permission bits while the first page is not written: its owner reads and writes, and others "execute".
const UNFINISHED: u32 = 0o601;
/// How often others may get between two steps of a creation before it gives up.
const ATTEMPTS: usize = 8;

/// The key, if the parameters say that there is memory outside.
pub(super) fn key(parameters: &Parameters) -> Option<i32> {
    (parameters[BACKING] == SYSTEM_V).then_some(parameters[KEY] as u32 as i32)
}

/// A new one, removed again on drop unless it is [kept](Created::keep). Attached, so that nobody takes it for a dead
/// creator's.
#[derive(Debug)]
pub(crate) struct Created {
    id: i32,
    kept: bool,
    attached: Attached,
}

impl Created {
    /// The segment has its name now.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if !self.kept {
            let _ = sysv::remove(self.id); // Whoever comes next finds it otherwise.
        }
    }
}

/// Bytes of the memory outside a segment, as far as this process may ask.
///
/// # Errors
/// `Corrupt` if it is gone.
pub(super) fn size(name: &Arc<str>, key: i32) -> Result<u64> {
    match sysv::find(key).and_then(sysv::facts) {
        Ok(facts) => Ok(facts.size),
        Err(Errno::ENOENT) => Err(corrupt(name, key, "is gone")),
        Err(_) => Ok(0),
    }
}

fn corrupt(name: &Arc<str>, key: i32, what: &str) -> Error {
    let detail = format!("its System V segment, key {key:#x}, {what}; unlink it and create it anew");
    Error::Corrupt(Context::new(name, detail))
}

impl Segment {
    /// Makes the memory outside, `size` bytes behind a page; for [`Segment::create`] to call before there is a name.
    pub(crate) fn create_outside(&self, size: usize) -> Result<Created> {
        let (key, needed) = (self.outside_key()?, self.page() + size);
        let no_space = |why: String| {
            let detail =
                format!("{needed} bytes are needed in System V shared memory, and {why}; ask for less");
            Error::NoSpace(self.context(detail))
        };
        let lacks = |free: &u64| needed as u64 >= memory::LARGE && needed as u64 > *free;
        if let Some(free) = memory::available().filter(lacks) {
            return Err(no_space(format!("{free} bytes are free")));
        }
        for _ in 0..ATTEMPTS {
            match sysv::create(key, needed, UNFINISHED) {
                Ok(id) => match Attached::new(id, needed) {
                    Ok(attached) => {
                        return self.finish_outside(Created { id, kept: false, attached }, needed)
                    }
                    // Another creator took it for a dead one's.
                    Err(Errno::EIDRM | Errno::EINVAL) => {}
                    Err(errno) => return Err(self.failed("shmat", errno)),
                },
                Err(Errno::EEXIST) => self.remove_orphan(key)?,
                Err(errno @ (Errno::EINVAL | Errno::ENOSPC | Errno::ENOMEM)) => {
                    return Err(no_space(format!(
                        "{} (kernel.shmmax, kernel.shmall)",
                        said_of(errno as i32)
                    )));
                }
                Err(errno) => return Err(self.failed("shmget", errno)),
            }
        }
        Err(Error::Exists(
            self.context(format!("other processes use System V key {key:#x} all the time; give up")),
        ))
    }

    fn finish_outside(&self, created: Created, size: usize) -> Result<Created> {
        let attached = &created.attached;
        attached.populate().map_err(|errno| {
            let detail =
                format!("{size} bytes are needed in System V shared memory: {}", said_of(errno as i32));
            Error::NoSpace(self.context(detail))
        })?;
        let mut stamp = [0; STAMP];
        stamp[..8].copy_from_slice(MAGIC);
        stamp[INSTANCE..PATH].copy_from_slice(self.instance());
        let path = self.path().map_or(&[][..], |path| path.as_os_str().as_bytes());
        let room = stamp[PATH..STAMP - 1].get_mut(..path.len());
        room.ok_or_else(|| Error::invalid("the directory's path is too long"))?.copy_from_slice(path);
        // SAFETY: as many bytes are attached, of a new segment that nobody else has.
        unsafe { attached.at(0, STAMP).as_ptr().copy_from_nonoverlapping(stamp.as_ptr(), STAMP) };
        let facts = file::facts(self.fd()).map_err(|e| self.failed("fstat", e))?;
        sysv::set_mode(created.id, facts.mode, Some(facts.group)).map_err(|e| self.failed("shmctl", e))?;
        Ok(created)
    }

    /// Attaches the memory outside, `size` bytes behind a page.
    pub(crate) fn attach_outside(&self, size: usize) -> Result<Attached> {
        let (key, needed) = (self.outside_key()?, self.page() + size);
        let corrupt = |what: &str| corrupt(self.name(), key, what);
        let id = sysv::find(key).map_err(|errno| match errno {
            Errno::ENOENT => corrupt("is gone"),
            errno => self.failed("shmget", errno),
        })?;
        let facts = sysv::facts(id).map_err(|e| self.failed("shmctl", e))?;
        Segment::check_trust(self.name(), facts.owner, facts.group, facts.mode)?;
        if facts.size < needed as u64 {
            return Err(corrupt("is too small"));
        }
        let attached = Attached::new(id, needed).map_err(|e| self.failed("shmat", e))?;
        match stamp_of(&attached) {
            Some((instance, _)) if instance == *self.instance() => Ok(attached),
            _ => Err(corrupt("is another's")),
        }
    }

    /// Removes what a creator left that died. An error if it is in use, or not ours to remove.
    fn remove_orphan(&self, key: i32) -> Result<()> {
        let taken = |by: &str| {
            Err(Error::Exists(self.context(format!(
                "System V key {key:#x} is in use by {by}; choose another, or remove that one (`ipcrm -M {key:#x}`)"
            ))))
        };
        let id = match sysv::find(key) {
            Ok(id) => id,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(self.failed("shmget", errno)),
        };
        let facts = sysv::facts(id).map_err(|e| self.failed("shmctl", e))?;
        if facts.owner != process::user() || facts.attached > 0 {
            return taken("somebody");
        }
        if facts.mode != UNFINISHED {
            let attached =
                Attached::new(id, (facts.size as usize).min(STAMP)).map_err(|e| self.failed("shmat", e))?;
            match stamp_of(&attached) {
                None => return taken("another program"),
                Some((instance, path)) if is_there(&path, &instance) => {
                    return taken(&String::from_utf8_lossy(&path));
                }
                Some(_) => {}
            }
        }
        let _ = sysv::remove(id);
        Ok(())
    }

    fn outside_key(&self) -> Result<i32> {
        key(self.parameters()).ok_or_else(|| Error::invalid("there is no memory outside this segment"))
    }

    fn failed(&self, call: &'static str, errno: Errno) -> Error {
        from_errno(self.name(), call, errno)
    }
}

/// What the first page says, if it is one.
fn stamp_of(attached: &Attached) -> Option<([u8; 16], Vec<u8>)> {
    let mut stamp = [0u8; STAMP];
    if attached.size() < STAMP {
        return None;
    }
    // SAFETY: as many bytes are attached; what others write there meanwhile is copied in any state, and checked.
    unsafe { attached.at(0, STAMP).as_ptr().copy_to_nonoverlapping(stamp.as_mut_ptr(), STAMP) };
    let path = stamp[PATH..].split(|byte| *byte == 0).next()?;
    let instance = stamp[INSTANCE..PATH].try_into().ok()?;
    (stamp[..8] == *MAGIC).then(|| (instance, path.to_vec()))
}

/// True if the path leads to the segment with this instance, or if that cannot be told.
fn is_there(path: &[u8], instance: &[u8; 16]) -> bool {
    let found = segment_at(Path::new(OsStr::from_bytes(path)));
    found.is_none_or(|found| found.is_some_and(|key| key == key_of(instance)))
}

/// The id of the memory outside, if it is there and this segment's.
pub(super) fn find(name: &Arc<str>, key: i32, instance: &[u8; 16]) -> Result<Option<i32>> {
    let error = |call, errno| from_errno(name, call, errno);
    let id = match sysv::find(key) {
        Ok(id) => id,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(error("shmget", errno)),
    };
    let attached = sysv::facts(id).and_then(|facts| Attached::new(id, (facts.size as usize).min(STAMP)));
    let attached = match attached {
        Ok(attached) => attached,
        // Somebody else's, or gone meanwhile.
        Err(Errno::EACCES | Errno::EPERM | Errno::EIDRM | Errno::EINVAL) => return Ok(None),
        Err(errno) => return Err(error("shmat", errno)),
    };
    Ok(stamp_of(&attached).filter(|(theirs, _)| theirs == instance).map(|_| id))
}

/// Removes the memory outside a segment that has no name any more. Where that fails, the next creation with the same key
/// does it.
pub(super) fn remove(id: i32) {
    let _ = sysv::remove(id);
}
