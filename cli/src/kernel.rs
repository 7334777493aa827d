//! What there is of the kernel's own: System V objects, POSIX shared memory, POSIX message queues. Read from where the kernel
//! tells it, and nothing is opened but that.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{json, Value};

use crate::segment::{bytes, printable};

/// Where POSIX shared memory and POSIX message queues are.
const SHARED_MEMORY: &str = "/dev/shm";
const QUEUES: &str = "/dev/mqueue";
/// Files that ipcx lists itself.
const OWN: &str = "ipcx.";

/// One of them.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: String,
    kind: &'static str,
    size: Option<u64>,
    used: String,
    /// Who made it or has it, as far as the kernel says.
    who: String,
    state: String,
    owner: u64,
}

impl Object {
    pub(crate) fn row(&self) -> Vec<String> {
        let size = self.size.map(bytes).unwrap_or_default();
        vec![
            self.name.clone(),
            self.kind.to_owned(),
            size,
            self.used.clone(),
            self.who.clone(),
            self.state.clone(),
        ]
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "name": self.name, "kind": self.kind, "size": self.size, "used": self.used, "who": self.who,
                "state": self.state, "owner": self.owner })
    }
}

/// All that this process may see.
pub(crate) fn objects() -> Vec<Object> {
    let mut all = Vec::new();
    all.extend(table("shm").iter().map(sysv_memory));
    all.extend(table("sem").iter().map(sysv_semaphores));
    all.extend(table("msg").iter().map(sysv_queue));
    all.extend(files(SHARED_MEMORY, "posix shm", |_| String::new()));
    all.extend(files(QUEUES, "posix queue", waiting));
    all
}

/// A line of a table of the kernel's, by the names of its columns.
type Row = HashMap<String, i64>;

fn table(what: &str) -> Vec<Row> {
    let text = fs::read_to_string(format!("/proc/sysvipc/{what}")).unwrap_or_default();
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let row = |line: &str| {
        let values = line.split_whitespace().map(|value| value.parse().unwrap_or_default());
        heads.iter().map(|head| (*head).to_owned()).zip(values).collect()
    };
    lines.map(row).collect()
}

fn of(row: &Row, head: &str) -> i64 {
    row.get(head).copied().unwrap_or_default()
}

fn named(row: &Row, id: &str) -> String {
    format!("0x{:08x} (id {})", of(row, "key") as u32, of(row, id))
}

fn process(row: &Row, head: &str, what: &str) -> String {
    let pid = of(row, head);
    if pid == 0 {
        return String::new();
    }
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(command) => format!("{what} {pid} {}", printable(command.trim_end())),
        Err(_) => format!("{what} {pid} (gone)"),
    }
}

fn sysv_memory(row: &Row) -> Object {
    let attached = of(row, "nattch");
    Object {
        name: named(row, "shmid"),
        kind: "sysv shm",
        size: Some(of(row, "size") as u64),
        used: String::new(),
        who: process(row, "cpid", "made by"),
        state: if attached > 0 { format!("{attached} attached") } else { "unused".to_owned() },
        owner: of(row, "uid") as u64,
    }
}

fn sysv_semaphores(row: &Row) -> Object {
    Object {
        name: named(row, "semid"),
        kind: "sysv sem",
        size: None,
        used: format!("{} semaphores", of(row, "nsems")),
        who: String::new(),
        state: String::new(),
        owner: of(row, "uid") as u64,
    }
}

fn sysv_queue(row: &Row) -> Object {
    Object {
        name: named(row, "msqid"),
        kind: "sysv queue",
        size: Some(of(row, "cbytes") as u64),
        used: format!("{} messages", of(row, "qnum")),
        who: process(row, "lspid", "last sender"),
        state: String::new(),
        owner: of(row, "uid") as u64,
    }
}

fn files(directory: &str, kind: &'static str, used: impl Fn(&str) -> String) -> Vec<Object> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<Object> = entries
        .filter_map(|entry| {
            let (name, facts) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata().ok()?);
            (facts.is_file() && !name.starts_with(OWN)).then(|| Object {
                used: used(&format!("{directory}/{name}")),
                name: format!("/{}", printable(&name)),
                kind: if name.starts_with("sem.") { "posix sem" } else { kind },
                size: (kind == "posix shm").then_some(facts.len()),
                who: String::new(),
                state: String::new(),
                owner: u64::from(facts.uid()),
            })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// What the file of a queue says: `QSIZE:12  NOTIFY:0 ...`.
fn waiting(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let size = text.split_whitespace().find_map(|word| word.strip_prefix("QSIZE:"));
    size.map(|bytes| format!("{bytes} B waiting")).unwrap_or_default()
}
