//! `ipcx doctor`: whether this machine has what ipcx needs.

use std::fs;
use std::path::PathBuf;

use nix::sys::statvfs::statvfs;
use nix::unistd::{access, AccessFlags};
use serde_json::{json, Value};

use crate::outcome::Outcome;
use crate::output;
use crate::segment::{self, bytes};

/// Says whether this machine has what ipcx needs
///
/// Whether this machine, or container, has what ipcx needs: room, limits, kernel features, permissions. Each line is ok, or says
/// what to do
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx doctor")]
pub(crate) struct Arguments {
    /// JSON on standard output instead of text
    #[arg(long)]
    json: bool,
}

/// What was found of one thing.
struct Finding {
    what: &'static str,
    is_ok: bool,
    text: String,
}

fn ok(what: &'static str, text: String) -> Finding {
    Finding { what, is_ok: true, text }
}

fn warning(what: &'static str, text: String) -> Finding {
    Finding { what, is_ok: false, text }
}

type Check = fn() -> Finding;
const CHECKS: &[Check] =
    &[directory, room, use_of_it, kernel, segments, memory_limit, open_files, queues, namespace];

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let findings: Vec<Finding> = CHECKS.iter().map(|check| check()).collect();
    if arguments.json {
        let json = |one: &Finding| json!({ "check": one.what, "ok": one.is_ok, "text": one.text });
        output::json(&findings.iter().map(json).collect::<Value>())?;
    } else {
        let row = |one: &Finding| {
            let state = if one.is_ok { "ok" } else { "warning" };
            vec![state.to_owned(), one.what.to_owned(), one.text.clone()]
        };
        output::table(&["", "CHECK", "FOUND"], findings.iter().map(row).collect())?;
    }
    match findings.iter().filter(|one| !one.is_ok).count() {
        0 => Ok(()),
        count => Err(Outcome::Failed(format!("{count} of {} checks have a warning", findings.len()))),
    }
}

fn path() -> PathBuf {
    std::env::var_os("IPCX_DIR").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}

fn directory() -> Finding {
    let (what, path) = ("directory", path());
    let shown = path.display();
    let allowed = access(&path, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK);
    match allowed {
        Ok(()) => ok(what, format!("{shown} may be read and written")),
        Err(errno) => warning(
            what,
            format!("{shown}: {}; mount a tmpfs there with mode 1777, or set IPCX_DIR", errno.desc()),
        ),
    }
}

/// What Docker gives a container, which is too little for more than one frame of video.
const SMALL: u64 = 64 << 20;

fn room() -> Finding {
    let (what, path) = ("room", path());
    let Ok(system) = statvfs(&path) else { return warning(what, "unknown".to_owned()) };
    let unit = system.fragment_size();
    let (size, free) = (system.blocks() * unit, system.blocks_available() * unit);
    let text = format!("{} of {} free in {}", bytes(free), bytes(size), path.display());
    if size == 0 {
        return ok(what, format!("{} has no size of its own", path.display()));
    }
    if size <= SMALL {
        return warning(
            what,
            format!("{text}; a container gets more by --shm-size or a volume of medium Memory"),
        );
    }
    match free < size / 10 {
        true => warning(what, format!("{text}; `ipcx ls` says what is in it, `ipcx gc` what may go")),
        false => ok(what, text),
    }
}

/// Makes a segment, uses it, and removes it.
fn use_of_it() -> Finding {
    let what = "segments work";
    let name = format!("doctor-{}", std::process::id());
    let tried = try_it(&name);
    let gone = ipcx::unlink(&name);
    match tried.and(gone) {
        Ok(()) => ok(what, "one was made, mapped, locked, used and removed".to_owned()),
        Err(error) => warning(what, error.to_string()),
    }
}

fn try_it(name: &str) -> ipcx::Result<()> {
    let ring = ipcx::Ring::create(name, &ipcx::RingOptions::default())?;
    let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    tx.try_send(b"well?")?;
    let mut buffer = [0; 8];
    rx.try_recv(&mut buffer)?;
    ipcx::Ring::anonymous(&ipcx::RingOptions::default()).map(drop)
}

fn kernel() -> Finding {
    let what = "kernel";
    let release = told("/proc/sys/kernel/osrelease");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (5, 16..) | (6.., _) => ok(what, format!("{release}: waits for one of several by futex_waitv")),
        (4, 16..) | (5, _) => warning(
            what,
            format!("{release}: works; before 5.16 a wait for one of several goes through descriptors, and is slower"),
        ),
        _ => warning(what, format!("{release}: older than what ipcx is tested with; use 5.16 or later")),
    }
}

fn segments() -> Finding {
    let what = "leftovers";
    let seen = match segment::all(|_| true) {
        Ok(seen) => seen,
        Err(_) => return warning(what, "the directory cannot be read".to_owned()),
    };
    let unreadable = seen.iter().filter(|one| one.listed.problem.is_some()).count();
    let unused = seen.iter().filter(|one| one.listed.problem.is_none() && !one.is_in_use());
    let (unused, size) = unused.fold((0, 0), |(count, size), one| (count + 1, size + one.listed.size));
    let (all, size) = (seen.len(), bytes(size));
    match (unreadable, unused) {
        (0, 0) => ok(what, format!("{all} segments, all of them in use")),
        (0, _) => ok(what, format!("{unused} of {all} segments are used by nobody ({size}); see `ipcx gc`")),
        _ => warning(what, format!("{unreadable} of {all} segments cannot be read; see `ipcx ls`")),
    }
}

/// That of the control group, which memory in segments counts for too.
fn memory_limit() -> Finding {
    let what = "memory limit";
    let limit = told("/sys/fs/cgroup/memory.max").parse::<u64>().ok();
    match limit {
        Some(limit) => ok(what, format!("{}, which segments count for too", bytes(limit))),
        None => ok(what, "none is set".to_owned()),
    }
}

fn open_files() -> Finding {
    let what = "open files";
    let text = told("/proc/self/limits");
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let limit: u64 = line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX);
    match limit < 1024 {
        true => warning(what, format!("{limit} a process; a handle needs one to three: raise `ulimit -n`")),
        false => ok(what, format!("{limit} a process")),
    }
}

fn queues() -> Finding {
    let what = "posix queues";
    let number = |name: &str| told(&format!("/proc/sys/fs/mqueue/{name}"));
    let (most, size, all) = (number("msg_max"), number("msgsize_max"), number("queues_max"));
    if most.is_empty() {
        return warning(
            what,
            "this kernel has none: the transport mqueue: does not work, all others do".to_owned(),
        );
    }
    ok(what, format!("{most} messages of {size} bytes each, {all} queues (/proc/sys/fs/mqueue)"))
}

/// Number of the first PID namespace, the same on every kernel.
const FIRST: &str = "pid:[4026531836]";

fn namespace() -> Finding {
    let what = "pid namespace";
    let own = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match own.to_str() == Some(FIRST) {
        true => ok(what, "the machine's".to_owned()),
        false => ok(
            what,
            "a container's: who is attached from another is shown with the number it has there; liveness is right"
                .to_owned(),
        ),
    }
}

/// What a small file of the kernel's says.
fn told(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
