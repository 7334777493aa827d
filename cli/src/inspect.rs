//! `ipcx inspect`: all that is to be seen of one segment.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use ipcx::{Listed, ListedState};
use nix::fcntl::OFlag;
use serde_json::{json, Value};

use crate::outcome::Outcome;
use crate::output;
use crate::segment::{self, ago, bytes, printable, role_state, Seen};

/// Shows all that is to be seen of one segment
///
/// All that is to be seen of one segment: its header and parameters, who is attached, counters, who holds what and who has the
/// lock. Nobody is stopped and nothing is changed or taken
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx inspect feed")]
pub(crate) struct Arguments {
    /// Name of the segment
    #[arg(value_name = "NAME")]
    name: String,
    /// JSON on standard output instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let seen = segment::one(&arguments.name)?;
    let header = header(&arguments.name);
    if arguments.json {
        let mut json = seen.json(None);
        json["header"] = header.map_or(Value::Null, |header| header.json());
        output::json(&json)?;
    } else {
        anstream::stdout().write_all(text(&seen, header.as_ref()).as_bytes())?;
    }
    match seen.listed.problem {
        Some(problem) => Err(problem.into()),
        None => Ok(()),
    }
}

fn text(seen: &Seen, header: Option<&Header>) -> String {
    let listed = &seen.listed;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<18} {value}"); // A string has room.
    };
    line("name", listed.name.clone());
    line("kind", header.map_or(seen.kind(), |header| header.kind()).to_owned());
    line("state", seen.state());
    line("size", format!("{} ({} bytes)", bytes(listed.size), listed.size));
    line("owner", format!("user {}, group {}, mode {:04o}", listed.owner, listed.group, listed.mode));
    if let Some(header) = header {
        line("layout", format!("version {}, hash {:016x}", header.version, header.layout));
        line("instance", header.instance.clone());
        line("checksum", if header.is_whole { "right" } else { "WRONG" }.to_owned());
    }
    if listed.state == ListedState::Unreadable {
        return text;
    }
    line("made", ago(listed.created));
    line("schema", listed.schema.clone().unwrap_or_else(|| "-".to_owned()));
    line("waits", format!("{:?}", listed.wait).to_lowercase());
    line("backing", format!("{:?}", listed.backing).to_lowercase());
    line("participants", format!("{} of {}", listed.participants.len(), listed.max_participants));
    listed.parameters.iter().for_each(|(name, value)| line(name, value.to_string()));
    if let Some(figures) = &seen.figures {
        line("used", seen.used());
        figures.counters.iter().for_each(|(name, value)| line(name, value.to_string()));
        if let Some(slot) = figures.lock {
            line("locked by", in_slot(listed, slot));
        }
    }
    for one in seen.attached() {
        let dead = if one.alive { "" } else { " DEAD: what it left is recovered when somebody needs it" };
        let roles = if one.roles.is_empty() { String::new() } else { format!(", {}", one.roles.join(", ")) };
        let (pid, command) = (one.process.pid, printable(&one.process.command));
        let since = ago(one.process.attached);
        line(&format!("slot {}", one.slot), format!("{pid} {command}{roles}, attached {since}{dead}"));
    }
    let without = listed.roles.iter().filter(|role| role.slot.is_none());
    without.for_each(|role| line(role.name, role_state(role.state).to_owned()));
    for (slot, what, count) in seen.figures.iter().flat_map(|figures| &figures.holdings) {
        line("holds", format!("{count} {what}: {}", in_slot(listed, *slot)));
    }
    text
}

/// The process in a slot.
fn in_slot(listed: &Listed, slot: u32) -> String {
    match listed.participants.iter().find(|one| one.slot == slot) {
        Some(one) => {
            let dead = if one.alive { "" } else { " (dead)" };
            format!("{} {}{dead}, slot {slot}", one.process.pid, printable(&one.process.command))
        }
        None => format!("slot {slot}, which nobody has"),
    }
}

/// What is the same in the header of every version; see `docs/segment-format.md`.
#[derive(Debug)]
struct Header {
    kind: u32,
    version: u32,
    layout: u64,
    total: u64,
    instance: String,
    is_whole: bool,
}

const MAGIC: &[u8] = b"ipcx\r\n\x1a\n";
const SIZE: usize = 256;

/// Of a file that says that it is a segment, whatever version wrote it.
fn header(name: &str) -> Option<Header> {
    let directory = std::env::var_os("IPCX_DIR").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(directory.join(format!("ipcx.{name}")))
        .ok()?;
    let mut raw = [0; SIZE];
    file.metadata().ok()?.is_file().then_some(())?;
    file.read_exact_at(&mut raw, 0).ok()?;
    Header::of(&raw)
}

impl Header {
    fn of(raw: &[u8; SIZE]) -> Option<Header> {
        let short = |at: usize| u32::from_ne_bytes(raw[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_ne_bytes(raw[at..at + 8].try_into().expect("8 bytes"));
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        raw.starts_with(MAGIC).then(|| Header {
            kind: short(20),
            version: short(16),
            layout: long(24),
            total: long(32),
            instance: raw[48..64].iter().map(|byte| format!("{byte:02x}")).collect(),
            is_whole: raw[..SIZE - 8].iter().fold(0xcbf2_9ce4_8422_2325, hash) == long(SIZE - 8),
        })
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            1 => "ring",
            2 => "pool",
            3 => "buffer",
            4 => "semaphore",
            5 => "topic",
            6 => "service",
            7 => "queue",
            _ => "unknown kind",
        }
    }

    fn json(&self) -> Value {
        json!({ "kind": self.kind(), "layout_version": self.version, "layout": format!("{:016x}", self.layout),
                "total_size": self.total, "instance": self.instance, "checksum_is_right": self.is_whole })
    }
}
