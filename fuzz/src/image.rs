//! A segment's bytes, as docs/segment-format.md has them, and a ring that is used again and again.
//!
//! Offsets and rules stand here once more, not taken from the library: what is checked against it may not come from it.

use super::input::Input;
use ipcx::{Ring, RingOptions, SegmentOptions};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

pub const HEADER: usize = 256;
const CHECKSUM: usize = 248;
/// Smallest capacity, asked for everywhere.
pub const CAPACITY: u64 = 4096;

/// Where in a small ring's segment what is.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub page: usize,
    /// The producer's page.
    pub body: usize,
    pub capacity: u64,
    pub total: usize,
}

impl Layout {
    fn of(header: &[u8]) -> Layout {
        let word = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("8 bytes"));
        let (page, body) = (word(40) as usize, word(64) as usize);
        Layout { page, body, capacity: word(88), total: word(32) as usize }
    }

    pub fn producer_role(&self) -> usize {
        self.body + 24
    }

    pub fn producer_tail(&self) -> usize {
        self.body + 136
    }

    pub fn consumer(&self) -> usize {
        self.body + self.page
    }

    pub fn consumer_role(&self) -> usize {
        self.consumer() + 152
    }

    pub fn data(&self) -> usize {
        self.body + 2 * self.page
    }

    /// Offset of the byte at a stream position.
    pub fn at(&self, position: u64) -> usize {
        self.data() + (position % self.capacity) as usize
    }
}

/// Bytes that a record of `len` takes.
pub fn record_size(len: usize) -> u64 {
    8 + (len as u64).next_multiple_of(8)
}

/// The word of a record of `len` at a position.
pub fn record_word(len: usize, position: u64) -> u64 {
    position >> 3 << 40 | 1 << 32 | 1 << 31 | len as u64
}

/// The length that a word tells at a position; `None` if the format has no such word there.
pub fn record_len(word: u64, position: u64) -> Option<usize> {
    let len = word & 0x7fff_ffff;
    (word == record_word(len as usize, position)).then_some(len as usize)
}

pub fn options() -> RingOptions {
    let segment = SegmentOptions { max_participants: 8, ..Default::default() };
    RingOptions { capacity: CAPACITY, segment }
}

/// Every byte of a new ring without endpoints.
pub fn template() -> &'static (Vec<u8>, Layout) {
    static TEMPLATE: OnceLock<(Vec<u8>, Layout)> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let ring = Ring::anonymous(&options()).expect("an anonymous ring");
        let file = File::from(ring.share_fd().expect("its descriptor"));
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).expect("its header");
        let layout = Layout::of(&header);
        let mut bytes = vec![0; layout.total];
        file.read_exact_at(&mut bytes, 0).expect("all of it");
        (bytes, layout)
    })
}

/// Makes the checksum of a header right: FNV-1a of what is before it.
pub fn correct_checksum(header: &mut [u8]) {
    let hash = header[..CHECKSUM].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    header[CHECKSUM..CHECKSUM + 8].copy_from_slice(&hash.to_ne_bytes());
}

/// True if the format allows this header for a file of so many bytes: what a reader must accept, and nothing else.
pub fn is_valid(header: &[u8], len: u64) -> bool {
    let (template, host) = template();
    let word = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let mut corrected = header.to_vec();
    correct_checksum(&mut corrected);
    // Magic, byte order, word size, version, kind and layout are those of any ring.
    if header[..32] != template[..32] || corrected != header {
        return false;
    }
    let (page, participants, capacity) = (word(40), half(72), word(88));
    let sizes = page.is_power_of_two()
        && (4096..=1 << 30).contains(&page)
        && page % host.page as u64 == 0
        && (1..=4096).contains(&participants)
        && half(76) < 4
        && capacity.is_power_of_two()
        && (page..=1 << 31).contains(&capacity);
    let body = |page: u64| page + (u64::from(participants) * 64).next_multiple_of(page);
    sizes && word(64) == body(page) && word(32) == body(page) + 2 * page + capacity && len >= word(32)
}

/// The first position from the consumer's on that lies at this offset.
fn position_at(image: &[u8], layout: &Layout, at: usize) -> u64 {
    let head = layout.consumer();
    let head = u64::from_ne_bytes(image[head..head + 8].try_into().expect("8 bytes"));
    head.wrapping_add((at as u64).wrapping_sub(layout.at(head) as u64) % layout.capacity)
}

/// Changes words as the input says until it ends: where, and to what. Many values are near what the format has there.
pub fn damage(image: &mut [u8], layout: &Layout, input: &mut Input) {
    while !input.is_empty() {
        let kind = input.u8();
        let place = usize::from(input.u16());
        let at = match kind & 7 {
            0 => layout.page + place % 256,
            1 => layout.body + place % 192 / 8 * 8,
            2 => layout.consumer() + place % 192 / 8 * 8,
            3 => layout.body + place % (image.len() - layout.body),
            4 => layout.producer_role(),
            5 => layout.consumer_role(),
            6 => layout.consumer(),
            _ => layout.data() + place % (layout.capacity as usize) / 8 * 8,
        };
        let value = match kind >> 3 & 7 {
            0 => input.u64(),
            1 => u64::from(input.u8()),
            2 => u64::from(input.u16()) & !7,
            3 => 1 << (input.u8() & 63),
            4 => u64::MAX << (input.u8() & 63),
            // Words of records that would be right there for who reads from the consumer's position on: any, and the longest.
            5 => record_word(usize::from(input.u16()), position_at(image, layout, at)),
            6 => {
                let len = (layout.capacity as usize).saturating_sub(usize::from(input.u8()));
                record_word(len, position_at(image, layout, at))
            }
            7 if kind & 64 != 0 => {
                // One that hands a block over.
                record_word(usize::from(input.u8()), position_at(image, layout, at)) ^ 3 << 32
            }
            _ => 0,
        };
        let end = image.len().min(at + 8);
        image[at..end].copy_from_slice(&value.to_ne_bytes()[..end - at]);
    }
}

/// A ring without a name whose contents are put back to anything between two inputs.
pub struct Bench {
    pub ring: Ring,
    pub file: File,
    pub layout: Layout,
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

impl Bench {
    fn new() -> Bench {
        let ring = Ring::anonymous(&options()).expect("an anonymous ring");
        let file = File::from(ring.share_fd().expect("its descriptor"));
        Bench { ring, file, layout: template().1 }
    }

    /// Lends the ring of this thread; it has no endpoints.
    pub fn lend<T>(work: impl FnOnce(&Bench) -> T) -> T {
        BENCH.with(work)
    }

    /// Puts these bytes behind the header and the slots.
    pub fn fill(&self, image: &[u8]) {
        let body = self.layout.body;
        self.file.write_all_at(&image[body..], body as u64).expect("room for the body");
    }

    pub fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, at as u64).expect("a word");
        u64::from_ne_bytes(word)
    }

    pub fn set_word(&self, at: usize, value: u64) {
        self.file.write_all_at(&value.to_ne_bytes(), at as u64).expect("room for a word");
    }
}
