//! The header: what is in it, how it is written, and how one of unknown origin is checked.
//!
//! It is copied to private memory at attach, checked there, and never read again: what another process does to it afterwards
//! has no effect.

use super::{outside, SegmentOptions};
use crate::error::{from_errno, Context, Error, Result};
use crate::lease::{self, SlotRecord};
use crate::sys::map::{Access, Map};
use crate::sys::{clock, file, map, Errno};
use crate::wait::WaitStrategy;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of everything in shared memory. Changes whenever an offset or a meaning does.
pub(crate) const LAYOUT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"ipcx\r\n\x1a\n";
const BYTE_ORDER: u32 = 0x0102_0304;
/// Bytes of the widest shared atomic.
const WORD_SIZE: u32 = 8;
const DEFAULT_PARTICIPANTS: u32 = 32;
/// Longest schema label in bytes; the field keeps a zero behind it.
const LONGEST_SCHEMA: usize = 63;

/// What a kind keeps of its options in the header.
pub(crate) type Parameters = [u64; 8];

/// What kind of thing a segment is. A number is never reused.
///
/// ```
/// # let name = format!("doc-kind-{}", std::process::id());
/// let queue = ipcx::Queue::create(&name, &Default::default())?;
/// let listed = ipcx::list()?.into_iter().find(|listed| listed.name == name).unwrap();
/// assert_eq!(listed.kind, Some(ipcx::Kind::Queue));
/// ipcx::unlink(&name)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum Kind {
    /// A [`Ring`](crate::Ring).
    Ring = 1,
    /// A [`Pool`](crate::Pool).
    Pool = 2,
    /// A [`Buffer`](crate::Buffer).
    Buffer = 3,
    /// A [`Semaphore`](crate::Semaphore).
    Semaphore = 4,
    /// A [`Topic`](crate::Topic).
    Topic = 5,
    /// A [`Service`](crate::Service).
    Service = 6,
    /// A [`Queue`](crate::Queue).
    Queue = 7,
}

impl Kind {
    /// As messages and other languages have it: `ring`, `pool`, ...
    ///
    /// ```
    /// assert_eq!(ipcx::Kind::Ring.name(), "ring");
    /// ```
    pub fn name(self) -> &'static str {
        Kind::name_of(self as u32)
    }

    pub(super) fn name_of(code: u32) -> &'static str {
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
    /// Bytes of the body for these parameters, so many participants and this page size; `None` if the parameters are not
    /// valid.
    pub(crate) body_size: fn(&Parameters, u32, u64) -> Option<u64>,
    /// What is made of parameters (0: not given) in a file of such pages, where pages may be huge.
    pub(crate) round: fn(Parameters, u64) -> Parameters,
    /// What messages and listings call the parameters: as the options.
    pub(crate) names: &'static [&'static str],
}

/// The header. Every field is written by the creator before the segment has a name, and by nobody after.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) byte_order: u32,
    pub(super) word_size: u32,
    pub(super) layout_version: u32,
    pub(super) kind: u32,
    /// Hash of this header's and the kind's layout.
    pub(super) layout: u64,
    /// Bytes of the whole segment.
    pub(super) total_size: u64,
    /// Granularity of the parts: a power of two, at least 4096.
    pub(super) page_size: u64,
    /// Random, so that two segments that had the same name can be told apart.
    pub(super) instance: [u8; 16],
    /// Where the kind's part starts.
    pub(super) body: u64,
    /// 1 to `lease::MOST_PARTICIPANTS`.
    pub(super) participants: u32,
    /// A `WaitStrategy`'s number.
    pub(super) wait: u32,
    /// Nanoseconds since 1970, for display.
    pub(super) created: u64,
    pub(super) parameters: Parameters,
    /// The user's label, zero-padded.
    pub(super) schema: [u8; 64],
    pub(super) _reserved: [u8; 32],
    /// FNV-1a over everything before it.
    pub(super) checksum: u64,
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
    /// The header of a new segment of `page`-sized parts.
    pub(super) fn new(
        options: &SegmentOptions,
        format: Format,
        parameters: Parameters,
        page: u64,
        instance: [u8; 16],
    ) -> Result<Header> {
        let most = lease::MOST_PARTICIPANTS;
        let participants = match options.max_participants {
            0 => DEFAULT_PARTICIPANTS,
            asked if asked <= most => asked,
            more => return Err(Error::invalid(format!("max_participants is 1 to {most}; {more} was given"))),
        };
        let too_large = || Error::invalid("the options ask for a segment larger than this process can map");
        let geometry = geometry(format, &parameters, participants, page).ok_or_else(too_large)?;
        let mut header = Header {
            magic: MAGIC,
            byte_order: BYTE_ORDER,
            word_size: WORD_SIZE,
            layout_version: LAYOUT_VERSION,
            kind: format.kind as u32,
            layout: format.layout,
            total_size: geometry.total,
            page_size: page,
            instance,
            body: geometry.body,
            participants,
            wait: options.wait.code(),
            created: clock::wall(),
            parameters,
            schema: schema_field(options.schema.as_deref())?,
            _reserved: [0; 32],
            checksum: 0,
        };
        header.checksum = header.compute_checksum();
        Ok(header)
    }

    fn compute_checksum(&self) -> u64 {
        fnv1a(&self.as_bytes()[..std::mem::offset_of!(Header, checksum)], FNV_START)
    }

    pub(super) fn schema(&self) -> Option<&str> {
        let end = self.schema.iter().position(|byte| *byte == 0).unwrap_or(self.schema.len());
        std::str::from_utf8(&self.schema[..end]).ok().filter(|label| !label.is_empty())
    }
}

/// Sizes that follow from a header's parameters.
struct Geometry {
    body: u64,
    total: u64,
}

fn geometry(format: Format, parameters: &Parameters, participants: u32, page: u64) -> Option<Geometry> {
    let slots = u64::from(participants) * size_of::<SlotRecord>() as u64;
    let body = page.checked_add(slots.checked_next_multiple_of(page)?)?;
    let total = body.checked_add((format.body_size)(parameters, participants, page)?)?;
    (i64::try_from(total).is_ok() && usize::try_from(total).is_ok()).then_some(Geometry { body, total })
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

pub(super) fn write_header(fd: BorrowedFd<'_>, header: &Header, page: u64) -> std::result::Result<(), Errno> {
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
pub(super) fn read_header(name: &Arc<str>, fd: BorrowedFd<'_>) -> Result<Header> {
    let os = |call, errno| from_errno(name, call, errno);
    let corrupt = |what: &'static str| Error::Corrupt(Context::new(name, what));
    if !file::facts(fd).map_err(|e| os("fstat", e))?.is_regular {
        return Err(corrupt("not a regular file; unlink it"));
    }
    // Another process may be writing it, or cutting it off: what is read may be any bytes, and is checked as such.
    let mut bytes = [0u8; HEADER_SIZE];
    let whole = file::read_at(fd, &mut bytes, 0).map_err(|e| os("pread", e))?;
    let header = Header::read_from_bytes(&bytes).ok().filter(|_| whole);
    header.ok_or_else(|| corrupt("too short to be an ipcx segment; unlink it"))
}

/// The header of a file, if it is that of an ipcx segment at all.
fn whole_header(fd: BorrowedFd<'_>) -> Option<Header> {
    let mut bytes = [0; HEADER_SIZE];
    file::read_start(fd, &mut bytes).ok().filter(|read| *read == HEADER_SIZE)?;
    let header = Header::read_from_bytes(&bytes).ok()?;
    (header.magic == MAGIC && header.checksum == header.compute_checksum()).then_some(header)
}

/// Whether the file has as many bytes as the header says.
pub(super) fn check_size(name: &Arc<str>, fd: BorrowedFd<'_>, header: &Header) -> Result<()> {
    let size = file::facts(fd).map_err(|e| from_errno(name, "fstat", e))?.size;
    if size < header.total_size {
        return Err(truncated(name, size, header.total_size));
    }
    Ok(())
}

pub(super) fn truncated(name: &Arc<str>, size: u64, total: u64) -> Error {
    Error::Corrupt(Context::new(
        name,
        format!("truncated: {size} bytes of {total}; unlink it and create it anew"),
    ))
}

/// The key of the segment at a path, which is not trusted: `Some(None)` if there is none, `None` if that cannot be told.
pub(crate) fn segment_at(path: &Path) -> Option<Option<u64>> {
    match file::open_to_read(path) {
        Ok(file) => whole_header(file.as_fd()).map(|header| Some(key_of(&header.instance))),
        // Asked in another way: what follows from it cannot be undone.
        Err(Errno::ENOENT | Errno::ENOTDIR) => file::is_gone(path).then_some(None),
        Err(_) => None,
    }
}

/// A number that no other segment has, not 0.
pub(super) fn key_of(instance: &[u8; 16]) -> u64 {
    let (first, _) = instance.split_at(8);
    u64::from_ne_bytes(first.try_into().expect("8 bytes")).max(1)
}

/// Key of the memory outside a file, and the instance that is to stand there.
pub(super) fn outside_of(fd: BorrowedFd<'_>) -> Option<(i32, [u8; 16])> {
    let header = whole_header(fd)?;
    Some((outside::key(&header.parameters)?, header.instance))
}

/// Decides whether a header can be what this version of ipcx wrote for `format`. Private memory only.
pub(super) fn check_header(name: &Arc<str>, header: &Header, format: Format) -> Result<()> {
    check_origin(name, header)?;
    if header.kind != format.kind as u32 {
        let (theirs, ours) = (Kind::name_of(header.kind), format.kind.name());
        return Err(Error::Mismatch(Context::new(
            name,
            format!("it is a {theirs}, and a {ours} was asked for"),
        )));
    }
    check_format(name, header, format)
}

/// Whether this version of ipcx wrote it, for whatever kind.
pub(super) fn check_origin(name: &Arc<str>, header: &Header) -> Result<()> {
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
    Ok(())
}

/// Whether it fits the format of its kind.
pub(super) fn check_format(name: &Arc<str>, header: &Header, format: Format) -> Result<()> {
    if header.layout != format.layout {
        return Err(Error::Version(Context::new(
            name,
            "its layout differs from this build's; use one version of ipcx on both sides",
        )));
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
        return Err(Error::Corrupt(Context::new(
            name,
            "the header's sizes do not fit together; unlink it and create it anew",
        )));
    }
    Ok(())
}
