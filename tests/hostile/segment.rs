//! A segment as its hostile peer has it: mapped whole, every byte to be read and written, nothing respected.
//!
//! Offsets are in bytes from the start of the file. Where the parts lie is read from the header before anything is
//! written, with no help from ipcx: `docs/segment-format.md`, `docs/ring-format.md`.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a word. Everything here is done in whole words.
pub(crate) const WORD: usize = 8;
/// Bytes of the header; the rest of its page is unused.
pub(crate) const HEADER: usize = 256;
/// Bytes of a slot.
pub(crate) const SLOT: usize = 64;

/// Fields of the header.
pub(crate) mod field {
    pub(crate) const TOTAL: usize = 32;
    pub(crate) const PAGE: usize = 40;
    pub(crate) const BODY: usize = 64;
    pub(crate) const PARTICIPANTS: usize = 72;
    pub(crate) const CAPACITY: usize = 88;
    pub(crate) const CHECKSUM: usize = 248;
}

/// Words of either page, from the page's start: `(sleepers, role, hints)`; the consumer's position is at its page's start.
pub(crate) const PRODUCER_WORDS: [usize; 6] = [0, 8, 16, 24, 128, 136];
pub(crate) const CONSUMER_WORDS: [usize; 6] = [0, 8, 128, 136, 144, 152];
pub(crate) const PRODUCER_TAIL: usize = 136;

/// What a header says of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) page: u64,
    pub(crate) participants: u64,
    pub(crate) capacity: u64,
}

impl Geometry {
    /// Offset of the ring's part.
    pub(crate) fn body(self) -> u64 {
        self.page + (self.participants * SLOT as u64).next_multiple_of(self.page)
    }

    /// Bytes of the segment.
    pub(crate) fn total(self) -> u64 {
        self.body() + 2 * self.page + self.capacity
    }
}

/// The mapping, and where the parts lie.
#[derive(Debug)]
pub(crate) struct Segment {
    base: NonNull<AtomicU64>,
    /// Bytes of the file.
    len: usize,
    /// Bytes of the segment in it.
    total: usize,
    pub(crate) page: usize,
    pub(crate) producer: usize,
    pub(crate) consumer: usize,
    pub(crate) data: usize,
    pub(crate) capacity: usize,
}

// SAFETY: the words are atomics in a mapping that lives as long as the value.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// Maps a segment whose header is still what ipcx wrote.
    pub(crate) fn map(path: &Path) -> Segment {
        let file = std::fs::File::options().read(true).write(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let len = file.metadata().expect("its size").len() as usize;
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping of a whole file; nothing else is touched.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        let base = NonNull::new(at.cast()).expect("not at 0");
        let mut segment =
            Segment { base, len, total: len, page: 0, producer: 0, consumer: 0, data: 0, capacity: 0 };
        let geometry = Geometry {
            page: segment.load(field::PAGE),
            participants: u64::from(halves(segment.load(field::PARTICIPANTS))[0]),
            capacity: segment.load(field::CAPACITY),
        };
        assert_eq!(segment.load(field::BODY), geometry.body(), "the header is as documented");
        segment.total = geometry.total() as usize;
        segment.page = geometry.page as usize;
        segment.producer = geometry.body() as usize;
        segment.consumer = segment.producer + segment.page;
        segment.data = segment.consumer + segment.page;
        segment.capacity = geometry.capacity as usize;
        segment
    }

    /// Bytes of the file, of which the segment is the first part.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the segment.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    #[inline(always)]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at % WORD == 0 && at < self.len, "{at} in a file of {} bytes", self.len);
        // SAFETY: inside the mapping, which is aligned to a page and whole words long; any bits are a value.
        unsafe { &*self.base.as_ptr().add(at / WORD) }
    }

    /// The word at an offset. Relaxed, as all here: a hostile peer orders nothing.
    #[inline(always)]
    pub(crate) fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    /// Writes the word at an offset.
    #[inline(always)]
    pub(crate) fn store(&self, at: usize, value: u64) {
        self.word(at).store(value, Ordering::Relaxed);
    }

    /// Flips a bit of the file.
    pub(crate) fn flip(&self, bit: usize) {
        let at = bit / 64 * WORD;
        self.store(at, self.load(at) ^ 1 << (bit % 64));
    }

    /// Offset of the word at a stream position, whatever it is.
    #[inline(always)]
    pub(crate) fn data_at(&self, position: u64) -> usize {
        self.data + (position as usize & (self.capacity - 1)) / WORD * WORD
    }

    /// The consumer's position, as it stands there.
    pub(crate) fn head(&self) -> u64 {
        self.load(self.consumer)
    }

    /// The position behind the last record, as it stands there.
    pub(crate) fn tail(&self) -> u64 {
        self.load(self.producer + PRODUCER_TAIL)
    }

    /// Everything in the segment.
    pub(crate) fn image(&self) -> Vec<u64> {
        (0..self.total).step_by(WORD).map(|at| self.load(at)).collect()
    }

    /// Writes everything from `from` on as it was in an image.
    pub(crate) fn restore(&self, image: &[u64], from: usize) {
        for (i, word) in image.iter().enumerate().skip(from / WORD) {
            self.store(i * WORD, *word);
        }
    }

    /// Makes the header's checksum that of its other fields.
    pub(crate) fn seal_header(&self) {
        let bytes = (0..field::CHECKSUM).step_by(WORD).flat_map(|at| self.load(at).to_ne_bytes());
        self.store(field::CHECKSUM, fnv1a(bytes));
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length, and no reference outlives the value.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The two 32-bit fields in a word, in the order of their offsets.
pub(crate) fn halves(word: u64) -> [u32; 2] {
    let bytes = word.to_ne_bytes();
    [0, 4].map(|at| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes")))
}

/// The word of two 32-bit fields.
pub(crate) fn whole([first, second]: [u32; 2]) -> u64 {
    let (first, second) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes(std::array::from_fn(|i| if i < 4 { first[i] } else { second[i - 4] }))
}

/// A record's word with this in its length field.
#[inline(always)]
pub(crate) fn record_word(len: u64, position: u64) -> u64 {
    (position / 8) << 40 | 1 << 32 | 1 << 31 | (len & 0x7fff_ffff)
}
