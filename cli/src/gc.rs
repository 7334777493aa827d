//! `ipcx gc`: removes what nobody uses any more.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use ipcx::ListedState;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::libc;
use serde_json::json;

use crate::outcome::Outcome;
use crate::output;
use crate::segment::{self, ago, bytes, Seen};

/// Shows which segments nobody uses, and removes them with --force
///
/// Shows which segments no living process is attached to, and what is in them; removes them with --force. A segment that waits for its
/// next user, such as a queue with messages, is among them: look first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx gc; ipcx gc --force")]
pub(crate) struct Arguments {
    /// Remove them
    #[arg(long, short)]
    force: bool,
    /// JSON on standard output instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let mut unused = segment::all(|_| true)?;
    unused.retain(|seen| seen.listed.state == ListedState::Unused);
    let mut removed = Vec::new();
    let mut failed = None;
    if arguments.force {
        for seen in &unused {
            match remove(seen) {
                Ok(gone) => removed.extend(gone.then(|| seen.listed.name.clone())),
                Err(error) => failed = Some(error),
            }
        }
        unused.retain(|seen| removed.contains(&seen.listed.name));
    }
    if arguments.json {
        let segments: Vec<_> = unused.iter().map(|seen| seen.json(None)).collect();
        output::json(&json!({ "removed": arguments.force, "segments": segments }))?;
    } else if !unused.is_empty() {
        output::table(
            &["NAME", "KIND", "SIZE", "USED", "MADE", "LEFT BY"],
            unused.iter().map(row).collect(),
        )?;
    }
    talk(&unused, arguments.force);
    failed.map_or(Ok(()), Err)
}

fn talk(unused: &[Seen], force: bool) {
    let (count, size) = (unused.len(), bytes(unused.iter().map(|seen| seen.listed.size).sum()));
    match (count, force) {
        (0, _) => anstream::eprintln!("nothing to remove"),
        (_, true) => anstream::eprintln!("removed {count}, {size}"),
        (_, false) => anstream::eprintln!("would remove {count}, {size}; ipcx gc --force does"),
    }
}

fn row(seen: &Seen) -> Vec<String> {
    let listed = &seen.listed;
    let (name, kind) = (listed.name.clone(), seen.kind().to_owned());
    vec![name, kind, bytes(listed.size), seen.used(), ago(listed.created), seen.who()]
}

/// Where the locks of participants lie; see `docs/segment-format.md`.
const LEASES: i64 = 1 << 62;

/// Removes it, unless somebody has come. With the locks of all its slots in hand, nobody can come before the name is gone: who
/// attaches meanwhile is told that there is no slot, and is not left with memory that nobody else finds.
fn remove(seen: &Seen) -> Result<bool, Outcome> {
    let listed = &seen.listed;
    let directory = std::env::var_os("IPCX_DIR").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let path = directory.join(format!("ipcx.{}", listed.name));
    let failed = |error: &dyn std::fmt::Display| Outcome::Failed(format!("{}: {error}", path.display()));
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(&path)
        .map_err(|error| failed(&error))?;
    let slots = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: LEASES,
        l_len: i64::from(listed.max_participants),
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&slots)) {
        Ok(_) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
        Err(errno) => return Err(failed(&errno)),
    }
    let same = |one: &Metadata, other: &Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    match (file.metadata(), std::fs::symlink_metadata(&path)) {
        (Ok(locked), Ok(named)) if same(&locked, &named) => Ok(ipcx::unlink(&listed.name).map(|()| true)?),
        _ => Ok(false), // Another has this name by now.
    }
}
