//! Segments: created complete or not at all, attached only when every word of the header makes sense.
//!
//! ```text
//! offset 0            header (256 bytes, immutable once the segment has a name), rest of the page unused
//! page                slots, 64 bytes per participant
//! body                what the kind lays out, in whole pages
//! ```
//!
//! The header is copied to private memory at attach, checked there, and never read again: what another process does to
//! it afterwards has no effect.

use crate::error::{from_errno, Context, Error, Result};
use crate::lease::{self, Leases, SlotRecord};
use crate::name;
use crate::sys::fork::NotInherited;
use crate::sys::map::{Access, Map};
use crate::sys::{clock, fd, file, lock, map, process, Errno};
use crate::wait::WaitStrategy;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of everything in shared memory. Changes whenever an offset or a meaning does.
pub(crate) const LAYOUT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"ipcx\r\n\x1a\n";
const BYTE_ORDER: u32 = 0x0102_0304;
/// Bytes of the widest shared atomic.
const WORD_SIZE: u32 = 8;
const DEFAULT_MODE: u32 = 0o600;
const ANONYMOUS_MODE: u32 = 0o666;
const DEFAULT_PARTICIPANTS: u32 = 32;
/// Longest schema label in bytes; the field keeps a zero behind it.
const LONGEST_SCHEMA: usize = 63;
/// How often others may get between two steps of an opening before it gives up.
const ATTEMPTS: usize = 64;

/// What a kind keeps of its options in the header.
pub(crate) type Parameters = [u64; 8];

/// What kind of thing a segment is. A number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Ring = 1,
}

impl Kind {
    fn name(code: u32) -> &'static str {
        match code {
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
}

/// What a kind brings: its number, a hash of its layout, and the size of its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) kind: Kind,
    pub(crate) layout: u64,
    /// Bytes of the body for these parameters and this page size; `None` if the parameters are not valid.
    pub(crate) body_size: fn(&Parameters, u64) -> Option<u64>,
    /// What messages call the parameters.
    pub(crate) names: &'static [&'static str],
}

/// The header. Every field is written by the creator before the segment has a name, and by nobody after.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    byte_order: u32,
    word_size: u32,
    layout_version: u32,
    kind: u32,
    /// Hash of this header's and the kind's layout.
    layout: u64,
    /// Bytes of the whole segment.
    total_size: u64,
    /// Granularity of the parts: a power of two, at least 4096.
    page_size: u64,
    /// Random, so that two segments that had the same name can be told apart.
    instance: [u8; 16],
    /// Where the kind's part starts.
    body: u64,
    /// 1 to `lease::MOST_PARTICIPANTS`.
    participants: u32,
    /// A `WaitStrategy`'s number.
    wait: u32,
    /// Nanoseconds since 1970, for display.
    created: u64,
    parameters: Parameters,
    /// The user's label, zero-padded.
    schema: [u8; 64],
    _reserved: [u8; 32],
    /// FNV-1a over everything before it.
    checksum: u64,
}

const HEADER_SIZE: usize = size_of::<Header>();
const _: () = {
    assert!(HEADER_SIZE == 256);
    assert!(std::mem::offset_of!(Header, layout_version) == 16);
    assert!(std::mem::offset_of!(Header, instance) == 48);
    assert!(std::mem::offset_of!(Header, parameters) == 88);
    assert!(std::mem::offset_of!(Header, schema) == 152);
    assert!(std::mem::offset_of!(Header, checksum) == 248);
};

/// FNV-1a, 64 bits: any change of one byte changes it.
pub(crate) const fn fnv1a(bytes: &[u8], mut hash: u64) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x100_0000_01b3);
        i += 1;
    }
    hash
}

/// Start value of [`fnv1a`].
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

impl Header {
    fn compute_checksum(&self) -> u64 {
        fnv1a(&self.as_bytes()[..std::mem::offset_of!(Header, checksum)], FNV_START)
    }

    fn schema(&self) -> Option<&str> {
        let end = self.schema.iter().position(|byte| *byte == 0).unwrap_or(self.schema.len());
        std::str::from_utf8(&self.schema[..end]).ok().filter(|label| !label.is_empty())
    }
}

/// Options that every kind of segment has.
///
/// Start from the defaults: `SegmentOptions { mode: 0o660, ..Default::default() }`.
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
}

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
}

/// Sizes that follow from a header's parameters.
struct Geometry {
    body: u64,
    total: u64,
}

fn geometry(format: Format, parameters: &Parameters, participants: u32, page: u64) -> Option<Geometry> {
    let slots = u64::from(participants) * size_of::<SlotRecord>() as u64;
    let body = page.checked_add(slots.checked_next_multiple_of(page)?)?;
    let total = body.checked_add((format.body_size)(parameters, page)?)?;
    (i64::try_from(total).is_ok() && usize::try_from(total).is_ok()).then_some(Geometry { body, total })
}

impl Segment {
    /// Creates a segment that must be new.
    pub(crate) fn create(
        name: &str,
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
    ) -> Result<Segment> {
        let place = Place::find(name, options)?;
        let directory = place.open_directory()?;
        let at = directory.as_fd();
        match file::create_unnamed(at) {
            Ok(fd) => {
                let segment =
                    Segment::build(&place.name, fd, options, format, parameters, Some(&place.path))?;
                file::link(segment.fd(), at, &place.file).map_err(|e| place.error("linkat", e))?;
                Ok(segment)
            }
            // No unnamed files here: a temporary name does the same, if with more steps.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                Segment::create_by_rename(&place, at, options, format, parameters)
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
    ) -> Result<Segment> {
        let (temporary, fd, _claim) = Segment::claim_temporary(place, at)?;
        let built = Segment::build(&place.name, fd, options, format, parameters, Some(&place.path));
        let named = built.and_then(|segment| {
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
            remove_stale_temporaries(&place.path, at);
            let mut random = [0; 8];
            process::random(&mut random).map_err(|e| place.error("getrandom", e))?;
            let temporary = format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random));
            let fd = file::create_named(at, &temporary).map_err(|e| place.error("open", e))?;
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
        Segment::adopt(&place.name, fd, options, format, wanted)
    }

    /// Attaches, or creates if there is none.
    pub(crate) fn open(
        name: &str,
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
        wanted: &Parameters,
    ) -> Result<Segment> {
        for _ in 0..ATTEMPTS {
            match Segment::attach(name, options, format, wanted) {
                Err(Error::NotFound(_)) => {}
                done => return done,
            }
            match Segment::create(name, options, format, parameters) {
                Err(Error::Exists(_)) => {}
                done => return done,
            }
        }
        let place = Place::find(name, options)?;
        Err(Error::Exists(Context::new(
            &place.name,
            "other processes create and unlink it all the time; give up",
        )))
    }

    /// Creates a segment without a name, sealed against resizing.
    pub(crate) fn anonymous(
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
    ) -> Result<Segment> {
        let name: Arc<str> = Arc::from("anonymous");
        let memory = fd::memory("ipcx").map_err(|e| from_errno(&name, "memfd_create", e))?;
        let segment = Segment::build(&name, memory, options, format, parameters, None)?;
        fd::seal_size(segment.fd()).map_err(|e| from_errno(&name, "fcntl(F_ADD_SEALS)", e))?;
        Ok(segment)
    }

    /// Attaches to the segment behind a descriptor, which stays the caller's.
    pub(crate) fn from_fd(fd: BorrowedFd<'_>, options: &SegmentOptions, format: Format) -> Result<Segment> {
        let name: Arc<str> = Arc::from("anonymous");
        let file = file::reopen(fd).map_err(|e| reopen_error(&name, e))?;
        // Who could shorten the file could end us with SIGBUS: it is sealed, or its owner is trusted.
        if !fd::is_sealed(file.as_fd()) {
            Segment::check_owner(&name, file.as_fd())?;
        }
        Segment::adopt(&name, file, options, format, &Parameters::default())
    }

    /// A descriptor of the segment to hand to another process; it carries no lease.
    pub(crate) fn share_fd(&self) -> Result<OwnedFd> {
        self.check_not_inherited()?;
        file::reopen(self.fd()).map_err(|e| reopen_error(&self.name, e))
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
        let participants = match options.max_participants {
            0 => DEFAULT_PARTICIPANTS,
            1..=lease::MOST_PARTICIPANTS => options.max_participants,
            more => {
                return Err(Error::invalid(format!(
                    "max_participants is 1 to {}; {more} was given",
                    lease::MOST_PARTICIPANTS
                )))
            }
        };
        let page = file::mapping_granularity(fd).map_err(|e| os("fstatfs", e))? as u64;
        let too_large = || Error::invalid("the options ask for a segment larger than this process can map");
        let Geometry { body, total } =
            geometry(format, &parameters, participants, page).ok_or_else(too_large)?;
        let mut header = Header {
            magic: MAGIC,
            byte_order: BYTE_ORDER,
            word_size: WORD_SIZE,
            layout_version: LAYOUT_VERSION,
            kind: format.kind as u32,
            layout: format.layout,
            total_size: total,
            page_size: page,
            instance: [0; 16],
            body,
            participants,
            wait: options.wait.code(),
            created: clock::wall(),
            parameters,
            schema: schema_field(options.schema.as_deref())?,
            _reserved: [0; 32],
            checksum: 0,
        };
        process::random(&mut header.instance).map_err(|e| os("getrandom", e))?;
        header.checksum = header.compute_checksum();

        file::allocate(fd, total).map_err(|errno| match errno {
            Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::ENOMEM => {
                no_space(name, fd, total, path, errno)
            }
            errno => os("fallocate", errno),
        })?;
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
        let facts = file::facts(file.as_fd()).map_err(|e| from_errno(name, "fstat", e))?;
        if facts.size < header.total_size {
            let (size, total) = (facts.size, header.total_size);
            return Err(Error::Corrupt(Context::new(
                name,
                format!("truncated: {size} bytes of {total}; unlink it and create it anew"),
            )));
        }
        let mismatch = |what: String| Err(Error::Mismatch(Context::new(name, what)));
        if let (Some(ours), Some(theirs)) = (options.schema.as_deref(), header.schema()) {
            if ours != theirs {
                return mismatch(format!("its schema is {theirs:?}, and {ours:?} was asked for"));
            }
        }
        for ((name, theirs), ours) in format.names.iter().zip(header.parameters).zip(wanted) {
            if *ours != 0 && *ours != theirs {
                return mismatch(format!(
                    "its {name} is {theirs}, and {ours} was asked for; give 0 to take it as it is"
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
        Ok(Segment { name: Arc::clone(name), leases, file, _control: control, header })
    }

    /// A segment from a directory is trusted if it is ours, root's, or was shared with a group of ours.
    fn check_owner(name: &Arc<str>, fd: BorrowedFd<'_>) -> Result<()> {
        let facts = file::facts(fd).map_err(|e| from_errno(name, "fstat", e))?;
        if !facts.is_regular {
            return Err(Error::Corrupt(Context::new(name, "not a regular file; unlink it")));
        }
        let shared = facts.mode & 0o060 == 0o060 && process::in_group(facts.group);
        if facts.owner == process::user() || facts.owner == 0 || shared {
            return Ok(());
        }
        Err(Error::Permission(Context::new(
            name,
            format!(
                "it belongs to user {}, who could have put it there for you to find; attach as that user, or have it \
                 created with mode 0660 and a group that both are in",
                facts.owner
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

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.header.parameters
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

    /// `Forked` in a child that inherited the handle.
    #[inline]
    pub(crate) fn check_not_inherited(&self) -> Result<()> {
        if self.leases.is_inherited() {
            return Err(Error::Forked);
        }
        Ok(())
    }

    /// An error that says on which segment.
    pub(crate) fn context(&self, detail: impl Into<std::borrow::Cow<'static, str>>) -> Context {
        Context::new(&self.name, detail)
    }
}

/// Removes a segment's name. Who is attached stays attached; the memory goes with the last of them.
///
/// `directory` as in [`SegmentOptions`].
///
/// # Errors
/// `NotFound`, `Permission`, `Invalid` for a bad name.
pub fn unlink_in(directory: Option<&Path>, name: &str) -> Result<()> {
    let options = SegmentOptions { directory: directory.map(Path::to_path_buf), ..Default::default() };
    let place = Place::find(name, &options)?;
    let at = place.open_directory()?;
    file::unlink(at.as_fd(), &place.file).map_err(|errno| match errno {
        Errno::ENOENT => Error::NotFound(Context::new(
            &place.name,
            format!("no such segment in {}: nothing to unlink", place.path.display()),
        )),
        errno => place.error("unlink", errno),
    })
}

/// [`unlink_in`] the default directory.
///
/// # Errors
/// As [`unlink_in`].
pub fn unlink(name: &str) -> Result<()> {
    unlink_in(None, name)
}

/// A name resolved: where the file is and what it is called.
struct Place {
    name: Arc<str>,
    path: PathBuf,
    file: String,
}

impl Place {
    fn find(name: &str, options: &SegmentOptions) -> Result<Place> {
        let file = name::file_name(name)?;
        Ok(Place { name: Arc::from(name), path: name::directory(options.directory.as_deref()), file })
    }

    fn open_directory(&self) -> Result<OwnedFd> {
        file::directory(&self.path).map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR => Error::NotFound(Context::new(
                &self.name,
                format!(
                    "{} is not a directory; create it, or choose another with IPCX_DIR or the options",
                    self.path.display()
                ),
            )),
            errno => self.error("open", errno),
        })
    }

    fn error(&self, call: &'static str, errno: Errno) -> Error {
        from_errno(&self.name, call, errno)
    }
}

/// Prefix of temporary files where `O_TMPFILE` is missing.
const TEMPORARY: &str = ".ipcx-new.";

fn remove_stale_temporaries(path: &Path, at: BorrowedFd<'_>) {
    for name in file::names(path).iter().filter(|name| name.starts_with(TEMPORARY)) {
        let Ok(fd) = NotInherited::open(|| file::open(at, name)) else { continue };
        if lock::try_lock(fd.as_fd(), lease::CREATOR) == Ok(true) {
            let _ = file::unlink(at, name); // Its creator is dead: the lock proves it.
        }
    }
}

/// A descriptor to hold locks with: of the same file, through an open file description that nothing else uses.
fn own_description(name: &Arc<str>, file: BorrowedFd<'_>) -> Result<NotInherited> {
    NotInherited::open(|| file::reopen(file)).map_err(|e| reopen_error(name, e))
}

fn reopen_error(name: &Arc<str>, errno: Errno) -> Error {
    match errno {
        Errno::ENOENT => Error::Os {
            errno: errno as i32,
            call: "open(/proc/self/fd)",
            context: Context::new(name, "ipcx needs /proc mounted"),
        },
        errno => from_errno(name, "open(/proc/self/fd)", errno),
    }
}

fn no_space(name: &Arc<str>, fd: BorrowedFd<'_>, needed: u64, path: Option<&Path>, errno: Errno) -> Error {
    let place = path.map_or_else(|| "memory".to_owned(), |path| path.display().to_string());
    let free = match file::free_space(fd) {
        Ok(free) if path.is_some() => format!("{free} bytes are free"),
        _ => errno.desc().to_owned(),
    };
    Error::NoSpace(Context::new(
        name,
        format!("{needed} bytes are needed in {place} and {free}; make room, choose a smaller capacity or another directory"),
    ))
}

fn schema_field(label: Option<&str>) -> Result<[u8; 64]> {
    let bytes = label.unwrap_or("").as_bytes();
    if bytes.len() > LONGEST_SCHEMA || bytes.contains(&0) {
        return Err(Error::invalid(format!(
            "a schema label has up to {LONGEST_SCHEMA} bytes and no zero byte"
        )));
    }
    let mut field = [0; 64];
    field[..bytes.len()].copy_from_slice(bytes);
    Ok(field)
}

fn write_header(fd: BorrowedFd<'_>, header: &Header, page: u64) -> std::result::Result<(), Errno> {
    let page = page as usize;
    let mut map = Map::reserve(page, page)?;
    map.place(0, page, fd, 0, Access::ReadWrite)?;
    // SAFETY: HEADER_SIZE bytes lie in the page just mapped, of a file that has no name yet and so no other user.
    unsafe {
        map.at(0, HEADER_SIZE).as_ptr().copy_from_nonoverlapping(header.as_bytes().as_ptr(), HEADER_SIZE)
    };
    Ok(())
}

/// Copies the header of a file of unknown content to private memory.
fn read_header(name: &Arc<str>, fd: BorrowedFd<'_>) -> Result<Header> {
    let os = |call, errno| from_errno(name, call, errno);
    let corrupt = |what: &'static str| Error::Corrupt(Context::new(name, what));
    let facts = file::facts(fd).map_err(|e| os("fstat", e))?;
    if !facts.is_regular {
        return Err(corrupt("not a regular file; unlink it"));
    }
    let page = file::mapping_granularity(fd).map_err(|e| os("fstatfs", e))?;
    if facts.size < page as u64 {
        return Err(corrupt("too short to be an ipcx segment; unlink it"));
    }
    let mut map = Map::reserve(page, page).map_err(|e| os("mmap", e))?;
    map.place(0, page, fd, 0, Access::Read).map_err(|e| os("mmap", e))?;
    let mut bytes = [0u8; HEADER_SIZE];
    // SAFETY: HEADER_SIZE bytes lie in the page just mapped. Another process may be writing them: the copy is then
    // any bytes, and is checked as such.
    unsafe { map.at(0, HEADER_SIZE).as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), HEADER_SIZE) };
    Header::read_from_bytes(&bytes).map_err(|_| corrupt("too short to be an ipcx segment"))
}

/// Decides whether a header can be what this version of ipcx wrote for `format`. Private memory only.
fn check_header(name: &Arc<str>, header: &Header, format: Format) -> Result<()> {
    let corrupt = |what: &'static str| Err(Error::Corrupt(Context::new(name, what)));
    let version = |what: String| Err(Error::Version(Context::new(name, what)));
    if header.magic != MAGIC {
        return corrupt("not an ipcx segment; unlink it, or choose another name");
    }
    if header.byte_order != BYTE_ORDER || header.word_size != WORD_SIZE {
        return version(
            "it was made with another byte order or word size; unlink it and create it anew".to_owned(),
        );
    }
    if header.layout_version != LAYOUT_VERSION {
        let theirs = header.layout_version;
        return version(format!(
            "its layout version is {theirs}, and this ipcx has {LAYOUT_VERSION}; use one version of ipcx on both sides"
        ));
    }
    if header.checksum != header.compute_checksum() {
        return corrupt("the header's checksum is wrong; unlink it and create it anew");
    }
    if header.kind != format.kind as u32 {
        let (theirs, ours) = (Kind::name(header.kind), Kind::name(format.kind as u32));
        return Err(Error::Mismatch(Context::new(
            name,
            format!("it is a {theirs}, and a {ours} was asked for"),
        )));
    }
    if header.layout != format.layout {
        return version(
            "its layout differs from this build's; use one version of ipcx on both sides".to_owned(),
        );
    }
    let page = header.page_size;
    let sound = page.is_power_of_two()
        && (4096..=1 << 30).contains(&page)
        && page % map::page_size() as u64 == 0
        && (1..=lease::MOST_PARTICIPANTS).contains(&header.participants)
        && WaitStrategy::from_code(header.wait).is_some()
        && geometry(format, &header.parameters, header.participants, page)
            .is_some_and(|g| g.body == header.body && g.total == header.total_size);
    if !sound {
        return corrupt("the header's sizes do not fit together; unlink it and create it anew");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format =
        Format { kind: Kind::Ring, layout: 1, body_size: |_, page| Some(page), names: &[] };

    /// The way taken on file systems without `O_TMPFILE`, which the machines that run tests hardly have.
    #[test]
    fn creation_by_rename_is_complete_or_leaves_nothing_and_cleans_up_after_the_dead() {
        let path = PathBuf::from(format!("/dev/shm/ipcx-test-rename-{}", process::id()));
        std::fs::create_dir(&path).unwrap();
        let options = SegmentOptions { directory: Some(path.clone()), ..Default::default() };
        let place = Place::find("a", &options).unwrap();
        let directory = place.open_directory().unwrap();
        let at = directory.as_fd();
        let create = || Segment::create_by_rename(&place, at, &options, FORMAT, Parameters::default());
        let stale = path.join(format!("{TEMPORARY}dead"));
        std::fs::write(&stale, "left by a creator that died").unwrap();
        let alive = NotInherited::open(|| file::create_named(at, &format!("{TEMPORARY}alive"))).unwrap();
        assert!(lock::try_lock(alive.as_fd(), lease::CREATOR).unwrap());

        let segment = create().unwrap();
        assert!(matches!(create(), Err(Error::Exists(_))));
        drop(segment);
        Segment::attach("a", &options, FORMAT, &Parameters::default()).unwrap();
        let mut names = file::names(&path);
        names.sort();
        assert_eq!(names, [".ipcx-new.alive", "ipcx.a"]);
        std::fs::remove_dir_all(&path).unwrap();
    }
}
