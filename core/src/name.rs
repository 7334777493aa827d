//! Names of segments and the directory they live in.

use crate::error::{from_errno, Context, Error, Result};
use crate::sys::{file, Errno};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest name in bytes.
const LONGEST: usize = 200;
/// Every segment's file name starts with this.
pub(crate) const PREFIX: &str = "ipcx.";
/// Where segments live unless the options or `IPCX_DIR` say otherwise: memory, not disk.
const DEFAULT_DIRECTORY: &str = "/dev/shm";

/// Checks `[A-Za-z0-9][A-Za-z0-9._-]{0,199}` and gives the file name.
pub(crate) fn file_name(name: &str) -> Result<String> {
    let bytes = name.as_bytes();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    if bytes.is_empty() || bytes.len() > LONGEST {
        let length = bytes.len();
        return Err(Error::invalid(format!("a name has 1 to {LONGEST} bytes; this one has {length}")));
    }
    if !bytes[0].is_ascii_alphanumeric() || !bytes.iter().all(allowed) {
        return Err(Error::invalid(format!(
            "the name {name:?} is not allowed: it starts with a letter or digit and has only letters, digits, \
             '.', '_' and '-' (a directory goes into the options or IPCX_DIR)"
        )));
    }
    Ok(format!("{PREFIX}{name}"))
}

/// The directory of the options, else `IPCX_DIR`, else `/dev/shm`.
pub(crate) fn directory(option: Option<&Path>) -> PathBuf {
    option.map(Path::to_path_buf).unwrap_or_else(|| {
        std::env::var_os("IPCX_DIR")
            .filter(|dir| !dir.is_empty())
            .map_or_else(|| PathBuf::from(DEFAULT_DIRECTORY), PathBuf::from)
    })
}

/// Opens a directory for what has this name in it.
pub(crate) fn open_directory(name: &Arc<str>, path: &Path) -> Result<OwnedFd> {
    file::directory(path).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => Error::NotFound(Context::new(
            name,
            format!(
                "{} is not a directory; create it, or choose another with IPCX_DIR or the options",
                path.display()
            ),
        )),
        errno => from_errno(name, "open", errno),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern() {
        for good in ["a", "9", "feed.v2", "a-b_c.d", &"x".repeat(200)] {
            assert_eq!(file_name(good).unwrap(), format!("ipcx.{good}"));
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "/a", "a b", "ä", "a\0", &"x".repeat(201)] {
            assert!(matches!(file_name(bad), Err(Error::Invalid(_))), "{bad:?}");
        }
    }
}
