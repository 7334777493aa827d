//! Names in a directory: resolving, removing, and the temporary names of file systems that need them.

use super::header::outside_of;
use super::{outside, SegmentOptions};
use crate::error::{from_errno, Context, Error, Result};
use crate::lease;
use crate::name;
use crate::sys::fork::NotInherited;
use crate::sys::{file, lock, Errno};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Removes a segment's name. Who is attached stays attached; the memory goes with the last of them.
///
/// `directory` as in [`SegmentOptions`].
///
/// ```
/// use ipcx::{Ring, RingOptions, SegmentOptions};
/// # let name = format!("doc-unlink-in-{}", std::process::id());
/// let directory = std::env::temp_dir();
/// let segment = SegmentOptions { directory: Some(directory.clone()), ..Default::default() };
/// Ring::create(&name, &RingOptions { segment, ..Default::default() })?;
/// ipcx::unlink_in(Some(&directory), &name)?;
/// assert!(ipcx::unlink_in(Some(&directory), &name).is_err(), "it is gone");
/// # Ok::<(), ipcx::Error>(())
/// ```
///
/// # Errors
/// `NotFound`, `Permission`, `Invalid` for a bad name.
pub fn unlink_in(directory: Option<&Path>, name: &str) -> Result<()> {
    let options = SegmentOptions { directory: directory.map(Path::to_path_buf), ..Default::default() };
    let place = Place::find(name, &options)?;
    let at = place.open_directory()?;
    let header = file::open(at.as_fd(), &place.file).ok().and_then(|file| outside_of(file.as_fd()));
    let outside = match header {
        Some((key, instance)) => outside::find(&place.name, key, &instance)?,
        None => None,
    };
    file::unlink(at.as_fd(), &place.file).map_err(|errno| match errno {
        Errno::ENOENT => Error::NotFound(Context::new(
            &place.name,
            format!("no such segment in {}: nothing to unlink", place.path.display()),
        )),
        errno => place.error("unlink", errno),
    })?;
    outside.into_iter().for_each(outside::remove);
    Ok(())
}

/// [`unlink_in`] the default directory.
///
/// ```
/// # let name = format!("doc-unlink-{}", std::process::id());
/// let ring = ipcx::Ring::create(&name, &Default::default())?;
/// ipcx::unlink(&name)?;
/// ring.producer()?.send(b"hello")?; // who is attached stays attached
/// assert!(matches!(ipcx::Ring::attach(&name), Err(ipcx::Error::NotFound(_))));
/// # Ok::<(), ipcx::Error>(())
/// ```
///
/// # Errors
/// As [`unlink_in`].
pub fn unlink(name: &str) -> Result<()> {
    unlink_in(None, name)
}

/// A name resolved: where the file is and what it is called.
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) path: PathBuf,
    pub(super) file: String,
}

impl Place {
    pub(super) fn find(name: &str, options: &SegmentOptions) -> Result<Place> {
        let file = name::file_name(name)?;
        Ok(Place { name: Arc::from(name), path: name::directory(options.directory.as_deref()), file })
    }

    pub(super) fn open_directory(&self) -> Result<OwnedFd> {
        name::open_directory(&self.name, &self.path)
    }

    pub(super) fn error(&self, call: &'static str, errno: Errno) -> Error {
        from_errno(&self.name, call, errno)
    }
}

/// Prefix of temporary files where `O_TMPFILE` is missing.
pub(super) const TEMPORARY: &str = ".ipcx-new.";

pub(super) fn remove_stale_temporaries(at: BorrowedFd<'_>) {
    for name in file::names(at).unwrap_or_default().iter().filter(|name| name.starts_with(TEMPORARY)) {
        let Ok(fd) = NotInherited::open(|| file::open(at, name)) else { continue };
        if lock::try_lock(fd.as_fd(), lease::CREATOR) == Ok(true) {
            let _ = file::unlink(at, name); // Its creator is dead: the lock proves it.
        }
    }
}

/// A descriptor to hold locks with: of the same file, through an open file description that nothing else uses.
pub(super) fn own_description(name: &Arc<str>, file: BorrowedFd<'_>) -> Result<NotInherited> {
    NotInherited::open(|| file::reopen(file)).map_err(|e| reopen_error(name, e))
}

pub(super) fn reopen_error(name: &Arc<str>, errno: Errno) -> Error {
    match errno {
        Errno::ENOENT => Error::Os {
            errno: errno as i32,
            call: "open(/proc/self/fd)",
            context: Box::new(Context::new(name, "ipcx needs /proc mounted")),
        },
        errno => from_errno(name, "open(/proc/self/fd)", errno),
    }
}
