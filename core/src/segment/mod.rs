//! Segments: created complete or not at all, attached only when every word of the header makes sense.
//!
//! ```text
//! offset 0            header (256 bytes, immutable once the segment has a name), rest of the page unused
//! page                slots, 64 bytes per participant
//! body                what the kind lays out, in whole pages
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `header` | the header: its fields, writing and checking it |
//! | `place` | names in a directory |
//! | `outside` | memory that is not in the file: System V |
//! | `view` | looking at a segment without becoming a participant |

mod header;
mod outside;
mod place;
mod view;

use self::header::{check_header, check_size, key_of, read_header, write_header, Header};
use self::place::{own_description, remove_stale_temporaries, reopen_error, Place, TEMPORARY};
use crate::error::{from_errno, Context, Error, Result, ANONYMOUS};
use crate::lease::{self, Leases, SlotRecord};
use crate::sys::fork::NotInherited;
use crate::sys::map::{Access, Map};
use crate::sys::{fd, file, lock, process, said_of, Errno};
use crate::wait::WaitStrategy;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::header::Kind;
pub(crate) use self::header::{fnv1a, segment_at, Format, Parameters, FNV_START, LAYOUT_VERSION};
pub(crate) use self::outside::{Created, BACKING, IN_FILE, KEY, ON_DEMAND, SYSTEM_V};
pub use self::place::{unlink, unlink_in};
pub(crate) use self::view::View;

const DEFAULT_MODE: u32 = 0o600;
const ANONYMOUS_MODE: u32 = 0o666;
/// How often others may get between two steps of an opening before it gives up.
const ATTEMPTS: usize = 64;

/// Options that every kind of segment has.
///
/// Start from the defaults: `SegmentOptions { mode: 0o660, ..Default::default() }`.
///
/// ```
/// use ipcx::{Ring, RingOptions, SegmentOptions};
/// let segment = SegmentOptions { schema: Some("prices 2".into()), max_participants: 8, ..Default::default() };
/// let ring = Ring::anonymous(&RingOptions { segment, ..Default::default() })?;
/// assert_eq!(ring.schema(), Some("prices 2"));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Permission bits of a new segment, not subject to the umask; 0 means 0600. (An anonymous segment has 0666: its
    /// descriptor is the permission.)
    pub mode: u32,
    /// Group that a new segment is given to.
    pub group: Option<u32>,
    /// Most handles open at once, 1 to 4096; 0 means 32. One that exists must have the same, unless 0 is given.
    pub max_participants: u32,
    /// Directory of the segment; `None` means `$IPCX_DIR`, else `/dev/shm`. A path on disk keeps the
    /// segment over a reboot.
    pub directory: Option<PathBuf>,
    /// Label of what the messages are, up to 63 bytes. Both sides' must be equal when both give one.
    pub schema: Option<String>,
    /// How calls on a new segment wait.
    pub wait: WaitStrategy,
    /// Where the memory of a new segment is.
    pub backing: Backing,
}

/// Where the memory of a segment is.
///
/// ```
/// use ipcx::{Backing, Ring, RingOptions, SegmentOptions};
/// let segment = SegmentOptions { backing: Backing::SystemV { key: 7 }, ..Default::default() };
/// let refused = Ring::anonymous(&RingOptions { segment, ..Default::default() });
/// assert!(matches!(refused, Err(ipcx::Error::Invalid(_))), "for pools only");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// In a file of the directory.
    #[default]
    Directory,
    /// The blocks of a pool in a System V segment with this key, for programs that look there (from its second page on);
    /// everything else in a file of the directory. For pools with a name only.
    SystemV {
        /// As `ftok` gives it; not 0, which is `IPC_PRIVATE`.
        key: i32,
    },
}

/// What is made of a new segment before it has its name.
pub(crate) type Prepare<'p> = &'p mut dyn FnMut(&Segment) -> Result<()>;

/// One open handle on a segment: a participant.
#[derive(Debug)]
pub(crate) struct Segment {
    name: Arc<str>,
    leases: Leases, // before `_control`, into which it points: fields are dropped in order
    /// What is mapped and handed out. The leases are on an open file description of their own: a mapping holds the one it
    /// was made through, and a forked child has the mappings.
    file: OwnedFd,
    _control: Map,
    header: Header,
    /// Where its name was found or made; `None` if it was come by through a descriptor.
    path: Option<PathBuf>,
}

impl Segment {
    /// Creates a segment that must be new. `prepare` sees it before it has its name.
    pub(crate) fn create(
        name: &str,
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
        prepare: Prepare<'_>,
    ) -> Result<Segment> {
        let place = Place::find(name, options)?;
        let directory = place.open_directory()?;
        let at = directory.as_fd();
        match file::create_unnamed(at) {
            Ok(fd) => {
                let segment =
                    Segment::build(&place.name, fd, options, format, parameters, Some(&place.path))?;
                let segment = segment.found_at(&place);
                prepare(&segment)?;
                file::link(segment.fd(), at, &place.file).map_err(|e| place.error("linkat", e))?;
                Ok(segment)
            }
            // No unnamed files here: a temporary name does the same, if with more steps.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                Segment::create_by_rename(&place, at, options, format, parameters, prepare)
            }
            Err(errno) => Err(place.error("open(O_TMPFILE)", errno)),
        }
    }

    /// For file systems without `O_TMPFILE`. The creator holds a lock on its temporary file; one that nobody holds
    /// was left by a creator that died, and the next creation removes it.
    fn create_by_rename(
        place: &Place,
        at: BorrowedFd<'_>,
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
        prepare: Prepare<'_>,
    ) -> Result<Segment> {
        let (temporary, fd, _claim) = Segment::claim_temporary(place, at)?;
        let built = Segment::build(&place.name, fd, options, format, parameters, Some(&place.path));
        let named = built.and_then(|segment| {
            let segment = segment.found_at(place);
            prepare(&segment)?;
            file::rename_new(at, &temporary, &place.file).map_err(|e| place.error("renameat2", e))?;
            Ok(segment)
        });
        if named.is_err() {
            let _ = file::unlink(at, &temporary);
        }
        named
    }

    /// A temporary file that the next creation does not take for a dead creator's: its name, it, and the lock on it.
    fn claim_temporary(place: &Place, at: BorrowedFd<'_>) -> Result<(String, OwnedFd, NotInherited)> {
        for _ in 0..ATTEMPTS {
            remove_stale_temporaries(at);
            let mut random = [0; 8];
            process::random(&mut random).map_err(|e| place.error("getrandom", e))?;
            let temporary = format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random));
            let fd = file::create_named(at, &temporary).map_err(|e| place.error("open", e))?;
            // Whatever fails from here on leaves a file that nobody holds: the next creation removes it.
            let claim = own_description(&place.name, fd.as_fd())?;
            let ours = lock::try_lock(claim.as_fd(), lease::CREATOR)
                .map_err(|e| place.error("fcntl(F_OFD_SETLK)", e))?;
            // Another creation may have removed it before it was locked.
            if ours && file::facts(fd.as_fd()).map_err(|e| place.error("fstat", e))?.has_name {
                return Ok((temporary, fd, claim));
            }
        }
        Err(Error::Exists(Context::new(
            &place.name,
            "other processes remove its temporary file all the time; give up",
        )))
    }

    /// Attaches to a segment that must exist. Nothing is written before everything is checked.
    /// Parameters that are 0 in `wanted` may be anything.
    pub(crate) fn attach(
        name: &str,
        options: &SegmentOptions,
        format: Format,
        wanted: &Parameters,
    ) -> Result<Segment> {
        let place = Place::find(name, options)?;
        let directory = place.open_directory()?;
        let fd = file::open(directory.as_fd(), &place.file).map_err(|errno| match errno {
            Errno::ENOENT => Error::NotFound(Context::new(
                &place.name,
                format!(
                    "no such segment in {}; start the process that creates it, or use open instead of attach",
                    place.path.display()
                ),
            )),
            Errno::ELOOP => Error::Permission(Context::new(
                &place.name,
                "it is a symbolic link, which ipcx does not follow",
            )),
            errno => place.error("open", errno),
        })?;
        Segment::check_owner(&place.name, fd.as_fd())?;
        Ok(Segment::adopt(&place.name, fd, options, format, wanted)?.found_at(&place))
    }

    /// Attaches, or creates if there is none.
    pub(crate) fn open(
        name: &str,
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
        wanted: &Parameters,
        prepare: Prepare<'_>,
    ) -> Result<Segment> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Segment::attach(name, options, format, wanted) {
                Err(Error::NotFound(_)) => {}
                done => return done,
            }
            match Segment::create(name, options, format, parameters, prepare) {
                Err(error @ Error::Exists(_)) => last = Some(error),
                done => return done,
            }
        }
        // Others create and unlink it all the time; or it is not the name that exists.
        Err(last.expect("an attempt"))
    }

    /// Creates a segment without a name, sealed against resizing.
    pub(crate) fn anonymous(
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
    ) -> Result<Segment> {
        let name: Arc<str> = Arc::from(ANONYMOUS);
        let memory = fd::memory("ipcx").map_err(|e| from_errno(&name, "memfd_create", e))?;
        let segment = Segment::build(&name, memory, options, format, parameters, None)?;
        fd::seal_size(segment.fd()).map_err(|e| from_errno(&name, "fcntl(F_ADD_SEALS)", e))?;
        Ok(segment)
    }

    /// Attaches to the segment behind a descriptor, which stays the caller's.
    pub(crate) fn from_fd(fd: BorrowedFd<'_>, options: &SegmentOptions, format: Format) -> Result<Segment> {
        let name: Arc<str> = Arc::from(ANONYMOUS);
        let file = file::reopen(fd).map_err(|e| reopen_error(&name, e))?;
        // Who could shorten the file could end us with SIGBUS: it is sealed, or its owner is trusted.
        if !fd::is_sealed(file.as_fd()) {
            Segment::check_owner(&name, file.as_fd())?;
        }
        Segment::adopt(&name, file, options, format, &Parameters::default())
    }

    /// Obtains the memory of `len` bytes from `from` on, which were not obtained when the segment was made.
    pub(crate) fn obtain(&self, from: u64, len: u64) -> Result<()> {
        file::allocate_part(self.fd(), from, len).map_err(|errno| match errno {
            Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::ENOMEM => {
                no_space(&self.name, self.fd(), len, self.path(), errno)
            }
            errno => from_errno(&self.name, "fallocate", errno),
        })
    }

    /// Gives the memory of whole pages back to the system.
    pub(crate) fn let_go(&self, from: u64, len: u64) -> Result<()> {
        file::let_go(self.fd(), from, len).map_err(|e| from_errno(&self.name, "fallocate", e))
    }

    /// A descriptor of the segment to hand to another process; it carries no lease.
    pub(crate) fn share_fd(&self) -> Result<OwnedFd> {
        self.check_not_inherited()?;
        file::reopen(self.fd()).map_err(|e| reopen_error(&self.name, e))
    }

    /// Another participant of the same segment.
    pub(crate) fn again(&self) -> Result<Segment> {
        self.check_not_inherited()?;
        let file = file::reopen(self.fd()).map_err(|e| reopen_error(&self.name, e))?;
        let segment = Segment::join(&self.name, file, self.header.clone())?;
        Ok(Segment { path: self.path.clone(), ..segment })
    }

    /// Fills a new file completely; `path` is the directory of one that gets a name.
    fn build(
        name: &Arc<str>,
        file: OwnedFd,
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
        path: Option<&Path>,
    ) -> Result<Segment> {
        let fd = file.as_fd();
        let os = |call, errno| from_errno(name, call, errno);
        let page = file::mapping_granularity(fd).map_err(|e| os("fstatfs", e))? as u64;
        let mut instance = [0; 16];
        process::random(&mut instance).map_err(|e| os("getrandom", e))?;
        let parameters = (format.round)(parameters, page);
        let header = Header::new(options, format, parameters, page, instance)?;
        let total = header.total_size;
        let at_once = total.saturating_sub(header.parameters[ON_DEMAND]);

        file::allocate(fd, at_once).map_err(|errno| match errno {
            Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::ENOMEM => {
                no_space(name, fd, at_once, path, errno)
            }
            errno => os("fallocate", errno),
        })?;
        if at_once < total {
            file::set_size(fd, total).map_err(|e| os("ftruncate", e))?;
        }
        write_header(fd, &header, page).map_err(|e| os("mmap", e))?;
        if let Some(group) = options.group {
            file::set_group(fd, group).map_err(|e| os("fchown", e))?;
        }
        // Whoever has a descriptor of an anonymous segment was given it, also across users, and reopens it.
        let default = if path.is_some() { DEFAULT_MODE } else { ANONYMOUS_MODE };
        let mode = if options.mode == 0 { default } else { options.mode };
        if mode & !0o666 != 0 {
            return Err(Error::invalid(format!("mode {mode:o} has bits other than read and write")));
        }
        file::set_mode(fd, mode).map_err(|e| os("fchmod", e))?;
        Segment::join(name, file, header)
    }

    /// Checks a file of unknown content and joins it.
    fn adopt(
        name: &Arc<str>,
        file: OwnedFd,
        options: &SegmentOptions,
        format: Format,
        wanted: &Parameters,
    ) -> Result<Segment> {
        let header = read_header(name, file.as_fd())?;
        check_header(name, &header, format)?;
        check_size(name, file.as_fd(), &header)?;
        let mismatch = |what: String| Err(Error::Mismatch(Context::new(name, what)));
        if let (Some(ours), Some(theirs)) = (options.schema.as_deref(), header.schema()) {
            if ours != theirs {
                return mismatch(format!("its schema is {theirs:?}, and {ours:?} was asked for"));
            }
        }
        let wanted = (format.round)(*wanted, header.page_size);
        for ((name, theirs), ours) in format.names.iter().zip(header.parameters).zip(wanted) {
            if ours != 0 && ours != theirs {
                return mismatch(format!(
                    "it has {name} {theirs}, and {ours} was asked for; give 0 to take it as it is"
                ));
            }
        }
        if options.max_participants != 0 && options.max_participants != header.participants {
            let (ours, theirs) = (options.max_participants, header.participants);
            return mismatch(format!("it has {theirs} participant slots, and {ours} were asked for"));
        }
        Segment::join(name, file, header)
    }

    /// Maps the slots and takes one.
    fn join(name: &Arc<str>, file: OwnedFd, header: Header) -> Result<Segment> {
        let os = |errno| from_errno(name, "mmap", errno);
        // The header was checked: both fit, and body > page.
        let (page, body) = (header.page_size as usize, header.body as usize);
        let mut control = Map::reserve(body - page, page).map_err(os)?;
        control.place(0, body - page, file.as_fd(), page as u64, Access::ReadWrite).map_err(os)?;
        let size = header.participants as usize * size_of::<SlotRecord>();
        let slots = control.at(0, size).cast();
        let lease = own_description(name, file.as_fd())?;
        // SAFETY: `participants` slots lie in `control`, mapped read-write and dropped after the leases.
        let leases = unsafe { Leases::attach(Arc::clone(name), lease, slots, header.participants)? };
        Ok(Segment { name: Arc::clone(name), leases, file, _control: control, header, path: None })
    }

    fn found_at(mut self, place: &Place) -> Segment {
        let path = place.path.join(&place.file);
        self.path = std::path::absolute(&path).ok().or(Some(path));
        self
    }

    /// A segment from a directory is trusted if it is ours, root's, or was shared with a group of ours.
    fn check_owner(name: &Arc<str>, fd: BorrowedFd<'_>) -> Result<()> {
        let facts = file::facts(fd).map_err(|e| from_errno(name, "fstat", e))?;
        if !facts.is_regular {
            return Err(Error::Corrupt(Context::new(name, "not a regular file; unlink it")));
        }
        Segment::check_trust(name, facts.owner, facts.group, facts.mode)
    }

    /// The same of anything with an owner, a group and permission bits.
    pub(crate) fn check_trust(name: &Arc<str>, owner: u32, group: u32, mode: u32) -> Result<()> {
        let shared = mode & 0o060 == 0o060 && process::in_group(group);
        if owner == process::user() || owner == 0 || shared {
            return Ok(());
        }
        Err(Error::Permission(Context::new(
            name,
            format!(
                "it belongs to user {owner}, who could have put it there for you to find; attach as that user, or have \
                 it created with mode 0660 and a group that both are in"
            ),
        )))
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Random bytes that no other segment has.
    pub(crate) fn instance(&self) -> &[u8; 16] {
        &self.header.instance
    }

    /// A number that no other segment has, not 0: from its instance.
    pub(crate) fn key(&self) -> u64 {
        key_of(&self.header.instance)
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.header.parameters
    }

    /// Where its name was found or made; `None` if it was come by through a descriptor.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn page(&self) -> usize {
        self.header.page_size as usize
    }

    pub(crate) fn body(&self) -> u64 {
        self.header.body
    }

    pub(crate) fn wait_strategy(&self) -> WaitStrategy {
        WaitStrategy::from_code(self.header.wait).unwrap_or_default() // checked at attach
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.header.schema()
    }

    /// Waits until all of it is on the disk, and its name.
    pub(crate) fn write_back(&self) -> Result<()> {
        let os = |errno| from_errno(&self.name, "fsync", errno);
        file::write_back(self.fd()).map_err(os)?;
        self.path().and_then(Path::parent).map_or(Ok(()), file::write_back_names).map_err(os)
    }

    /// A descriptor to hold further locks with, through an open file description of its own.
    pub(crate) fn own_description(&self) -> Result<NotInherited> {
        own_description(&self.name, self.fd())
    }

    /// True in a child that inherited the handle.
    #[inline(always)]
    pub(crate) fn is_inherited(&self) -> bool {
        self.leases.is_inherited()
    }

    /// `Forked` in a child that inherited the handle.
    #[inline]
    pub(crate) fn check_not_inherited(&self) -> Result<()> {
        if self.is_inherited() {
            return Err(Error::Forked);
        }
        Ok(())
    }

    /// An error that says on which segment.
    pub(crate) fn context(&self, detail: impl Into<std::borrow::Cow<'static, str>>) -> Context {
        Context::new(&self.name, detail)
    }
}

fn no_space(name: &Arc<str>, fd: BorrowedFd<'_>, needed: u64, path: Option<&Path>, errno: Errno) -> Error {
    let place = path.map_or_else(|| "memory".to_owned(), |path| path.display().to_string());
    let why = match file::room(fd) {
        _ if errno == Errno::EFBIG => {
            "this process may not have files so large; raise `ulimit -f` or ask for less".to_owned()
        }
        Ok(Some(free)) => {
            format!("{free} bytes are free; make room, ask for less, or choose another directory")
        }
        _ => format!("{}; make room or ask for less", said_of(errno as i32)),
    };
    Error::NoSpace(Context::new(name, format!("{needed} bytes are needed in {place}, and {why}")))
}

#[cfg(test)]
mod tests;
