//! The pool's part of a segment, to the byte.
//!
//! ```text
//! body                control     64 bytes: the word on which acquirers sleep
//! + 128               magazines   64 bytes per participant: blocks that it keeps ready
//! ...                 channels    256 bytes each, 64 of them: rings that carry blocks of this pool
//! ...                 hints       a bit per block, in 64-bit words: 1 says that looking at the block is not worth it
//! ...                 cells       a 64-bit word per block: the truth about who owns it
//! next page           blocks      `blocks` times the block size rounded up to the alignment
//! ```
//!
//! With a backing of System V the blocks are in a segment of that kind, behind its first page, and the body ends before them.
//! On demand, the blocks are whole pages, whose memory is obtained when they are used: the file is so long, and empty there.
//! Each part starts at a multiple of 128. A new segment is all zeroes: every block is free, in generation 0.
//!
//! | bits of a cell | meaning |
//! |---|---|
//! | 0-3 | state: 0 free, 1 owned, 2 kept ready, 3 being sent, 4 in flight, 5 not there (semaphores) |
//! | 4-27 | who: a participant's slot, or, in flight, a channel; 0 if free |
//! | 28-63 | generation: one more with each release, and with each take-over from a ring |
//!
//! A block's id has the generation in the same bits and the block's number plus 1 in the others, so that it is never 0.

use crate::event::Event;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, BACKING, FNV_START, IN_FILE, KEY, ON_DEMAND, SYSTEM_V};
use crate::sync::{AtomicU32, AtomicU64};
#[cfg(not(loom))]
use std::mem::offset_of;

/// Most blocks a pool can have.
#[cfg(not(loom))]
pub(crate) const MOST_BLOCKS: u64 = (1 << NUMBER_BITS) - 2;
/// Rings that can carry blocks of one pool at a time.
pub(crate) const CHANNELS: u32 = 64;
/// The channel of what is lent by a note: what carries notes is not known, and nobody takes back what is in flight on it.
pub(crate) const BY_NOTE: u32 = CHANNELS;
/// Blocks that a participant keeps ready.
pub(crate) const MAGAZINE: usize = if cfg!(loom) { 1 } else { 14 };
#[cfg(not(loom))]
const PART: u64 = 128;

/// Indices in the header's parameters.
#[cfg(not(loom))]
pub(crate) const BLOCK_SIZE: usize = 0;
#[cfg(not(loom))]
pub(crate) const BLOCKS: usize = 1;
#[cfg(not(loom))]
pub(crate) const ALIGNMENT: usize = 2;

/// What a block is doing. A number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// Nobody's.
    Free = 0,
    /// A participant's, who uses it.
    Owned = 1,
    /// A participant's, who keeps it ready for its next acquire; anyone who finds nothing free may take it back.
    Cached = 2,
    /// A participant's, who is sending it: whoever receives the record may take it.
    Sending = 3,
    /// Of the channel that carries it.
    InFlight = 4,
    /// Not there: a permit of a semaphore that was used up, or not released yet. A pool has no such block.
    Absent = 5,
}

const STATE: u64 = 15;
const WHO_BITS: u32 = 4;
const WHO: u64 = (1 << 24) - 1;
const NUMBER_BITS: u32 = 28;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

/// The word of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(pub(crate) u64);

impl Cell {
    #[inline(always)]
    fn with(generation: u64, state: State, who: u32) -> Cell {
        Cell(generation | u64::from(who) << WHO_BITS | state as u64)
    }

    /// The generation, in its place.
    #[inline(always)]
    fn generation(self) -> u64 {
        self.0 & !NUMBER
    }

    /// True if it is in this state and `who`'s.
    #[inline(always)]
    pub(crate) fn is(self, state: State, who: u32) -> bool {
        self.0 & NUMBER == Cell::with(0, state, who).0
    }

    /// `None` if ipcx does not write this.
    #[inline(always)]
    pub(crate) fn state(self) -> Option<State> {
        Some(match self.0 & STATE {
            0 => State::Free,
            1 => State::Owned,
            2 => State::Cached,
            3 => State::Sending,
            4 => State::InFlight,
            5 => State::Absent,
            _ => return None,
        })
    }

    /// A participant's slot, or a channel.
    pub(crate) fn who(self) -> u32 {
        (self.0 >> WHO_BITS & WHO) as u32
    }

    /// In another state and hands, in the same generation.
    #[inline(always)]
    pub(crate) fn to(self, state: State, who: u32) -> Cell {
        Cell::with(self.generation(), state, who)
    }

    /// After a release: in the next generation.
    #[inline(always)]
    pub(crate) fn released(self, state: State, who: u32) -> Cell {
        Cell::with(self.generation().wrapping_add(1 << NUMBER_BITS), state, who)
    }
}

/// Names a block for as long as one participant owns it.
///
/// ```
/// use std::collections::HashMap;
/// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
/// let mut owned = HashMap::from([("left", pool.acquire()?.into_id()), ("right", pool.acquire()?.into_id())]);
/// pool.release_raw(owned.remove("left").unwrap())?;
/// assert_eq!(pool.stats()?.owned, 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockId(pub(crate) u64);

impl BlockId {
    #[inline(always)]
    pub(crate) fn new(number: u32, cell: Cell) -> BlockId {
        BlockId(cell.generation() | u64::from(number + 1))
    }

    /// The block's number, if such a block can be.
    #[inline(always)]
    pub(crate) fn number(self) -> Option<u32> {
        ((self.0 & NUMBER) as u32).checked_sub(1)
    }

    /// What the block's cell is while `who` has it, in this id's generation.
    #[inline(always)]
    pub(crate) fn cell(self, state: State, who: u32) -> Cell {
        Cell::with(self.0 & !NUMBER, state, who)
    }

    /// As a number, for other languages and for messages; never 0. The lowest 28 bits say which block it is, whoever owns it.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// assert_ne!(pool.acquire()?.id().get(), 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn get(self) -> u64 {
        self.0
    }

    /// The id that [`BlockId::get`] gave. Any other number is refused where it is used.
    ///
    /// ```
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// let number = pool.acquire()?.into_id().get();
    /// pool.release_raw(ipcx::BlockId::from_raw(number))?;
    /// assert!(pool.release_raw(ipcx::BlockId::from_raw(number)).is_err(), "released already");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn from_raw(id: u64) -> BlockId {
        BlockId(id)
    }
}

/// Written by acquirers that find nothing.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Control {
    /// A block became free. Notified by who frees one, slept on by who finds none.
    pub(crate) freed: Event,
}

/// Blocks that one participant keeps ready: its own, used without an atomic instruction, until another revokes it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Magazine {
    /// 0, or the slot plus 1 of the participant that is emptying it. Written by that one, or who recovers its slot; the 0 is
    /// a release for the owner's acquire in `Store::enter`.
    pub(crate) revoked: AtomicU32,
    /// 1 while its owner is at it, else 0. Written by the owner, or who recovers its slot; the 0 is a release for the acquire
    /// in `Store::revoke`.
    pub(crate) busy: AtomicU32,
    /// Numbers of blocks; hints. Written by the owner.
    pub(crate) blocks: [AtomicU32; MAGAZINE],
}

/// A ring that carries blocks. Written under the channel's lock.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Channel {
    /// From the ring's instance; 0 if the channel is free.
    pub(crate) key: AtomicU64,
    /// Where the file is, with a zero behind it; empty if it has no name, `?` if that is not known or too long.
    pub(crate) path: [AtomicU64; 31],
}

#[cfg(loom)]
impl Magazine {
    pub(crate) fn new() -> Magazine {
        Magazine {
            revoked: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            blocks: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

#[cfg(not(loom))] // loom's atomics are larger
const _: () = {
    assert!(size_of::<Control>() == 64);
    assert!(size_of::<Magazine>() == 64 && offset_of!(Magazine, blocks) == 8);
    assert!(size_of::<Channel>() == 256 && offset_of!(Channel, path) == 8);
};

/// Hash of the above: two builds that disagree about it refuse each other.
#[cfg(not(loom))]
pub(crate) const LAYOUT: u64 = fnv1a(
    b"pool 1: control{freed@0}:128 magazine{revoked@0 busy@4 blocks@8*14} channel{key@0 path@8*248}*64 hints cells \
      cell{state:4 who:24 generation:36} note{pool id len slot channel} carried{pool id len slot} on_demand",
    FNV_START,
);

/// Where the parts of the body lie, in bytes from its start.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) magazines: usize,
    pub(crate) channels: usize,
    pub(crate) hints: usize,
    pub(crate) cells: usize,
    pub(crate) data: usize,
    /// Bytes from one block to the next.
    pub(crate) stride: usize,
    /// Of the whole body.
    pub(crate) size: usize,
    /// Bytes of the blocks, if they are not at `data` but outside the file.
    pub(crate) outside: Option<usize>,
}

#[cfg(not(loom))]
impl Parts {
    /// `None` if the parameters are not valid, or the body would be larger than this process can map.
    pub(crate) fn of(parameters: &Parameters, participants: u32, page: u64) -> Option<Parts> {
        let [block_size, blocks, alignment, ..] = *parameters;
        let (outside, key) = (parameters[BACKING] == SYSTEM_V, parameters[KEY]);
        let sound = (outside || parameters[BACKING] == IN_FILE)
            && (1..=u64::from(u32::MAX)).contains(&key) == outside
            && block_size > 0
            && (1..=MOST_BLOCKS).contains(&blocks)
            && alignment.is_power_of_two()
            && (64..=page).contains(&alignment);
        if !sound {
            return None;
        }
        let stride = block_size.checked_next_multiple_of(alignment)?;
        let all = blocks
            .checked_mul(stride)
            .filter(|all| all.checked_add(page).is_some_and(|all| all >> 62 == 0))?;
        let inside = if outside { 0 } else { all };
        let on_demand = parameters[ON_DEMAND];
        if on_demand != 0 && (outside || on_demand != all || stride % page != 0 || alignment != page) {
            return None;
        }
        let parts = Parts::without_bytes(blocks, CHANNELS, participants, page)?;
        let size = (parts.data as u64).checked_add(inside)?.checked_next_multiple_of(page)?;
        let [stride, size, all] = [stride, size, all].map(|n| usize::try_from(n).ok());
        let outside = if outside { Some(all?) } else { None };
        Some(Parts { stride: stride?, size: size?, outside, ..parts })
    }

    /// Of blocks that have no bytes, with room for so many channels.
    pub(crate) fn without_bytes(blocks: u64, channels: u32, participants: u32, page: u64) -> Option<Parts> {
        let part = |from: u64, items: u64, each: u64| {
            from.checked_add(items.checked_mul(each)?)?.checked_next_multiple_of(PART)
        };
        let magazines = PART;
        let first_channel = part(magazines, u64::from(participants), size_of::<Magazine>() as u64)?;
        let hints = part(first_channel, u64::from(channels), size_of::<Channel>() as u64)?;
        let cells = part(hints, blocks.div_ceil(64), 8)?;
        let data = part(cells, blocks, 8)?.checked_next_multiple_of(page)?;
        let [magazines, channels, hints, cells, data] =
            [magazines, first_channel, hints, cells, data].map(|n| usize::try_from(n).ok());
        let (data, stride, outside) = (data?, 0, None);
        Some(Parts {
            magazines: magazines?,
            channels: channels?,
            hints: hints?,
            cells: cells?,
            data,
            stride,
            size: data,
            outside,
        })
    }
}

/// Bytes of the body.
#[cfg(not(loom))]
pub(crate) fn body_size(parameters: &Parameters, participants: u32, page: u64) -> Option<u64> {
    Parts::of(parameters, participants, page).map(|parts| parts.size as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_zero_and_names_one_generation_of_one_block() {
        let mut cell = Cell(0);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            for number in [0, 1, MOST_BLOCKS as u32 - 1] {
                let id = BlockId::new(number, cell);
                assert_ne!(id.get(), 0);
                assert_eq!(id.number(), Some(number));
                assert_eq!(id.cell(State::Owned, 4095), cell.to(State::Owned, 4095));
                assert!(seen.insert(id));
            }
            cell = cell.to(State::Owned, 7).released(State::Free, 0);
        }
        assert_eq!(BlockId::from_raw(0).number(), None);
        // The generation wraps into nothing else.
        assert_eq!(Cell(!0).released(State::Free, 0), Cell(0));
    }

    #[test]
    fn parts_do_not_overlap_and_bad_parameters_have_none() {
        let parts = Parts::of(&[100, 1000, 64, 0, 0, 0, 0, 0], 32, 4096).unwrap();
        assert_eq!(parts.stride, 128);
        assert!(parts.channels >= parts.magazines + 32 * 64 && parts.hints >= parts.channels + 64 * 256);
        assert!(parts.cells >= parts.hints + 16 * 8 && parts.data >= parts.cells + 8000);
        assert!(parts.data % 4096 == 0 && parts.size >= parts.data + 128_000);
        for bad in [
            [0, 1, 64],
            [1, 0, 64],
            [1, 1, 32],
            [1, 1, 96],
            [1, 1, 8192],
            [1, 1 << 28, 64],
            [u64::MAX, 1, 64],
        ] {
            assert_eq!(Parts::of(&[bad[0], bad[1], bad[2], 0, 0, 0, 0, 0], 32, 4096), None, "{bad:?}");
        }
    }
}
