//! The shared library as a user installs it: its size when stripped and the libraries it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// Libraries that libipcx.so may need: the C library, and the unwinder of its panic boundary.
const ALLOWED: [&str; 2] = ["libc.so.6", "libgcc_s.so.1"];
/// Most bytes that the library of `make small` may have, stripped.
pub const SIZE_LIMIT: u64 = 600_000;

/// A shared library, described.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// It is that of `make small`.
    pub is_small: bool,
    /// Bytes after `strip`.
    pub stripped: u64,
    /// The names in its NEEDED entries.
    pub needed: Vec<String>,
}

impl Artifact {
    /// Describes the library at `path`; `None` if there is none.
    pub fn describe(path: &Path) -> Result<Option<Artifact>> {
        if !path.exists() {
            return Ok(None);
        }
        let is_small = path.parent().is_some_and(|folder| folder.ends_with("small"));
        Ok(Some(Artifact { is_small, stripped: stripped_size(path)?, needed: needed(path)? }))
    }

    /// Whether it needs nothing but the C library and the unwinder (and the dynamic linker itself).
    pub fn needs_only_libc(&self) -> bool {
        self.needed.iter().all(|name| ALLOWED.contains(&name.as_str()) || name.starts_with("ld-linux"))
    }
}

/// A file that is removed when this is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

fn stripped_size(path: &Path) -> Result<u64> {
    let copy = Temporary(path.with_extension(format!("stripped-{}", std::process::id())));
    run(Command::new("strip").arg("-o").arg(&copy.0).arg(path))?;
    Ok(std::fs::metadata(&copy.0)?.len())
}

fn needed(path: &Path) -> Result<Vec<String>> {
    let table = run(Command::new("readelf").arg("--dynamic").arg("--wide").arg(path))?;
    let lines = table.lines().filter(|line| line.contains("(NEEDED)"));
    Ok(lines.filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').to_owned())).collect())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| Error(format!("{command:?}: {error}")))?;
    if !output.status.success() {
        return Err(Error(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
