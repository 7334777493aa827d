//! Looking at every segment of a directory.
//!
//! It changes nothing: files are opened for reading, and read; locks are asked for, and none is taken, no slot
//! either. What is in a file may be anything, and so may the file be: what cannot be read is listed with the reason.

use crate::error::{from_errno, Context, Error, Result, ANONYMOUS};
use crate::lease::{printable, Participant, RolePlace, RoleState};
use crate::name::{self, PREFIX};
use crate::segment::{Backing, Format, Kind, View};
use crate::sys::file::{self, Facts};
use crate::sys::Errno;
use crate::wait::WaitStrategy;
use crate::{buffer, pool, queue, ring, semaphore, service, topic, transport};
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The kinds, each with its roles.
const KINDS: &[(Format, Roles)] = &[
    (ring::FORMAT, Roles::Words(ring::ROLES)),
    (pool::FORMAT, Roles::Words(&[])),
    (buffer::FORMAT, Roles::Words(&[])),
    (semaphore::FORMAT, Roles::Words(&[])),
    (topic::FORMAT, Roles::Many(topic::roles)),
    (service::FORMAT, Roles::Many(service::roles)),
    (queue::FORMAT, Roles::Words(&[])),
];

/// The roles of a kind.
#[derive(Clone, Copy)]
enum Roles {
    /// One has each: where their words are.
    Words(&'static [RolePlace]),
    /// Any number have each: who of the participants in these slots has which.
    Many(fn(&View, &[u32]) -> Result<Vec<Holder>>),
}

/// What a role is called, and the slot of one that has it.
pub(crate) type Holder = (&'static str, u32);

/// What [`list`] says of a segment. More fields may come.
///
/// ```
/// # let name = format!("doc-listed-{}", std::process::id());
/// let pool = ipcx::Pool::create(&name, &ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
/// let listed = ipcx::list()?.into_iter().find(|listed| listed.name == name).unwrap();
/// assert_eq!((listed.kind, listed.mode), (Some(ipcx::Kind::Pool), 0o600));
/// assert_eq!(listed.parameters[0], ("block_size", 64));
/// ipcx::unlink(&name)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Name, as `attach` and [`unlink`](crate::unlink) take it.
    pub name: String,
    /// Bytes of its file, and of its System V segment if there is one.
    pub size: u64,
    /// User that its file belongs to.
    pub owner: u32,
    /// Group of its file.
    pub group: u32,
    /// Permission bits of its file.
    pub mode: u32,
    /// Whether anybody uses it.
    pub state: ListedState,
    /// Why it cannot be read, or attached to: `Corrupt`, `Version`, `Permission`, `Os`.
    pub problem: Option<Error>,
    /// What it is. `None`, and all that follows empty or 0, if it cannot be read.
    pub kind: Option<Kind>,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// The label that it was made with, without control characters.
    pub schema: Option<String>,
    /// How calls on it wait.
    pub wait: WaitStrategy,
    /// Where its memory is.
    pub backing: Backing,
    /// Most participants it can have at once.
    pub max_participants: u32,
    /// Who is attached, one for each open handle, and who died and was not recovered yet.
    pub participants: Vec<ListedParticipant>,
    /// The roles of its kind. Of a ring, `producer` and `consumer`, whether or not somebody has them. Of a service, one for each
    /// `server` and each `client`; of a reliable topic, one for each `subscriber`. Nothing is written down of publishers, of
    /// subscribers of a lossy topic, and of who uses other kinds: they are among the participants, without a role.
    pub roles: Vec<ListedRole>,
    /// The options that it was made with, by their names: of a ring `capacity`, of a pool `block_size`, `blocks`,
    /// `alignment`.
    pub parameters: Vec<(&'static str, u64)>,
}

/// Whether anybody uses a segment.
///
/// ```
/// # let name = format!("doc-listed-state-{}", std::process::id());
/// let state = || ipcx::list().unwrap().into_iter().find(|listed| listed.name == name).unwrap().state;
/// let ring = ipcx::Ring::create(&name, &Default::default())?;
/// assert_eq!(state(), ipcx::ListedState::InUse);
/// drop(ring);
/// assert_eq!(state(), ipcx::ListedState::Unused);
/// ipcx::unlink(&name)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListedState {
    /// Somebody alive is attached.
    InUse,
    /// Nobody alive is attached. (A segment that is shared by its descriptor may come to be used again.)
    Unused,
    /// It cannot be read: not a segment, or another version's, or not this user's to read.
    Unreadable,
}

/// A participant, as [`list`] shows it.
///
/// ```
/// # let name = format!("doc-listed-participant-{}", std::process::id());
/// let ring = ipcx::Ring::create(&name, &Default::default())?;
/// let listed = ipcx::list()?.into_iter().find(|listed| listed.name == name).unwrap();
/// let participant = &listed.participants[0];
/// assert!(participant.alive && participant.process.pid == std::process::id());
/// ipcx::unlink(&name)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedParticipant {
    /// Number of its slot, from 0.
    pub slot: u32,
    /// Its process, as it described itself.
    pub process: Participant,
    /// False if it died: what it left is recovered when somebody needs it.
    pub alive: bool,
}

/// A role, as [`list`] shows it.
///
/// ```
/// # let name = format!("doc-listed-role-{}", std::process::id());
/// let ring = ipcx::Ring::create(&name, &Default::default())?;
/// let rx = ring.consumer()?;
/// let listed = ipcx::list()?.into_iter().find(|listed| listed.name == name).unwrap();
/// let role = listed.roles.iter().find(|role| role.name == "consumer").unwrap();
/// assert_eq!(role.state, ipcx::RoleState::Alive);
/// ipcx::unlink(&name)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedRole {
    /// What it is called.
    pub name: &'static str,
    /// Whether somebody has it.
    pub state: RoleState,
    /// Slot of who has it, or died having it and was not recovered yet.
    pub slot: Option<u32>,
    /// The process in that slot.
    pub process: Option<Participant>,
}

/// Every segment of the default directory (`$IPCX_DIR`, else `/dev/shm`), by name.
///
/// Looking changes nothing and takes nothing, and nobody is stopped for it: what it says of one segment, and of two, may
/// be apart by what was in work. Segments without a name, and the files of FIFOs and sockets, are not among them. What
/// cannot be read is listed with its [`problem`](Listed::problem).
///
/// What is in work in a segment is for the figures of its kind: attach to it by its name, and ask for its `stats`.
///
/// Thread-safe, does not block. Not async-signal-safe.
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-list-{}", std::process::id());
/// let ring = ipcx::Ring::create(&name, &Default::default())?;
/// let tx = ring.producer()?;
/// let all = ipcx::list()?;
/// let listed = all.iter().find(|listed| listed.name == name).unwrap();
/// assert_eq!(listed.kind, Some(ipcx::Kind::Ring));
/// assert_eq!(listed.participants[0].process.pid, std::process::id());
/// assert_eq!((listed.roles[0].name, listed.roles[0].state), ("producer", ipcx::RoleState::Alive));
/// # ipcx::unlink(&name)
/// # }
/// ```
///
/// # Errors
/// `NotFound` if there is no such directory, `Permission` if it may not be read, `Os`.
pub fn list() -> Result<Vec<Listed>> {
    list_in(None)
}

/// [`list`] of a directory; `None` means the default one.
///
/// ```
/// use ipcx::{Ring, RingOptions, SegmentOptions};
/// let directory = std::env::temp_dir().join(format!("doc-list-in-{}", std::process::id()));
/// std::fs::create_dir(&directory).unwrap();
/// let segment = SegmentOptions { directory: Some(directory.clone()), ..Default::default() };
/// let ring = Ring::create("orders", &RingOptions { segment, ..Default::default() })?;
/// assert_eq!(ipcx::list_in(Some(&directory))?[0].name, "orders");
/// std::fs::remove_dir_all(&directory).unwrap();
/// # Ok::<(), ipcx::Error>(())
/// ```
///
/// # Errors
/// As [`list`].
pub fn list_in(directory: Option<&Path>) -> Result<Vec<Listed>> {
    let none: Arc<str> = Arc::from(ANONYMOUS);
    let path = name::directory(directory);
    let at = name::open_directory(&none, &path)?;
    let mut files = file::names(at.as_fd()).map_err(|errno| from_errno(&none, "getdents64", errno))?;
    // Other names are not ipcx's: no call leads to them.
    files.retain(|file| file.strip_prefix(PREFIX).is_some_and(|name| name::file_name(name).is_ok()));
    // A heap sorts in less code than `sort`, of which there is no other use.
    let files = BinaryHeap::from(files).into_sorted_vec();
    Ok(files.iter().filter_map(|file| look(at.as_fd(), file)).collect())
}

/// A kind by its number in the header.
fn known(kind: u32) -> Option<(Format, Roles)> {
    KINDS.iter().find(|(format, _)| format.kind as u32 == kind).copied()
}

/// A look into the segment with this name, whose header was checked.
pub(crate) fn view(directory: Option<&Path>, name: &str) -> Result<(View, Kind)> {
    let file = name::file_name(name)?;
    let name: Arc<str> = Arc::from(name);
    let at = name::open_directory(&name, &name::directory(directory))?;
    let file = file::open_at_to_read(at.as_fd(), &file).map_err(|errno| match errno {
        Errno::ENOENT => {
            Error::NotFound(Context::new(&name, "no such segment; `ipcx ls` lists those there are"))
        }
        errno => from_errno(&name, "open", errno),
    })?;
    let (view, format, _) = View::of(&name, file, known)?;
    Ok((view, format.kind))
}

/// What is to be said of a file; `None` if there is none any more, or if it is a transport's.
fn look(directory: BorrowedFd<'_>, file: &str) -> Option<Listed> {
    let name: Arc<str> = Arc::from(file.strip_prefix(PREFIX)?);
    // Asked before it is opened: to open what is no file could do something.
    let facts = file::facts_at(directory, file).ok()?;
    if transport::has_file(&name, &facts) {
        return None;
    }
    let mut listed = Listed::unread(&name, &facts);
    if !facts.is_regular {
        listed.problem = Some(Error::Corrupt(Context::new(&name, "not a regular file; unlink it")));
        return Some(listed);
    }
    let read = match file::open_at_to_read(directory, file) {
        Ok(file) => listed.read(&name, file),
        Err(Errno::ENOENT) => return None,
        Err(errno) => Err(from_errno(&name, "open", errno)),
    };
    if let Err(error) = read {
        listed.problem = Some(error);
    }
    Some(listed)
}

impl Listed {
    fn unread(name: &str, facts: &Facts) -> Listed {
        Listed {
            name: name.to_owned(),
            size: facts.size,
            owner: facts.owner,
            group: facts.group,
            mode: facts.mode,
            state: ListedState::Unreadable,
            problem: None,
            kind: None,
            created: 0,
            schema: None,
            wait: WaitStrategy::default(),
            backing: Backing::default(),
            max_participants: 0,
            participants: Vec::new(),
            roles: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// Fills in what the file says: all of it, or nothing.
    fn read(&mut self, name: &Arc<str>, file: OwnedFd) -> Result<()> {
        let (view, format, kind) = View::of(name, file, known)?;
        let mut participants = Vec::new();
        for slot in 0..view.participants() {
            if let Some((process, alive)) = view.participant(slot)? {
                participants.push(ListedParticipant { slot, process, alive });
            }
        }
        let roles = roles(&view, kind, &participants)?;
        self.state = if view.is_in_use()? { ListedState::InUse } else { ListedState::Unused };
        (self.participants, self.roles) = (participants, roles);
        self.describe(&view, &format);
        Ok(())
    }

    /// What does not change.
    fn describe(&mut self, view: &View, format: &Format) {
        self.kind = Some(format.kind);
        self.created = view.created();
        self.schema = view.schema().map(printable);
        self.wait = view.wait_strategy();
        self.max_participants = view.participants();
        self.parameters = view.parameters(format).collect();
        let (backing, outside) = view.backing();
        self.backing = backing;
        match outside {
            Ok(size) => self.size = self.size.saturating_add(size),
            Err(error) => self.problem = Some(error),
        }
    }
}

fn roles(view: &View, kind: Roles, participants: &[ListedParticipant]) -> Result<Vec<ListedRole>> {
    match kind {
        Roles::Words(places) => {
            places.iter().map(|place| Ok(role(place, view.role(place)?, participants))).collect()
        }
        Roles::Many(who) => {
            let slots: Vec<u32> = participants.iter().map(|participant| participant.slot).collect();
            let has = |(name, slot)| {
                participants.iter().find(|p| p.slot == slot).map(|participant| one_of_many(name, participant))
            };
            Ok(who(view, &slots)?.into_iter().filter_map(has).collect())
        }
    }
}

fn one_of_many(name: &'static str, participant: &ListedParticipant) -> ListedRole {
    let state = if participant.alive { RoleState::Alive } else { RoleState::Dead };
    ListedRole { name, state, slot: Some(participant.slot), process: Some(participant.process.clone()) }
}

fn role(
    place: &RolePlace,
    (state, slot): (RoleState, Option<u32>),
    participants: &[ListedParticipant],
) -> ListedRole {
    // Who took the slot of a dead owner is another.
    let alive = state == RoleState::Alive;
    let owner = participants.iter().find(|p| Some(p.slot) == slot && p.alive == alive);
    ListedRole {
        name: place.role.name,
        state,
        slot: owner.map(|p| p.slot),
        process: owner.map(|p| p.process.clone()),
    }
}
