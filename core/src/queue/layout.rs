//! The work queue's part of a segment, to the byte.
//!
//! ```text
//! body                control     384 bytes: which lanes are in use, what was put back, two events
//! + 384               hints       256 bytes per lane: where its first and its last cell may be
//! ...                 set aside   a bit per cell, in 64-bit words: it was put back, or is a dead letter
//! ...                 lanes       33 rings of 64-bit entries, as many as cells, rounded up to a power of two, at least 16
//! ...                 cells       24 bytes and the message each, at multiples of 64
//! ```
//!
//! Each part starts at a multiple of 128. Lane 0 is that of the free cells, lane 1 + p that of priority p.
//!
//! | bits of a cell's word | meaning |
//! |---|---|
//! | 0-2 | state: 0 free, 1 owned, 2 taken, 3 returned, 4 dead letter |
//! | 3 | taken: it was a dead letter before |
//! | 4-11 | how often it was delivered; 255 stands for that many and more |
//! | 12-23 | slot of the participant that last did something with it |
//! | 24-63 | generation: one more each time it is taken, or is free again without having been |
//!
//! An entry has the cell's number in bits 0-19 and its own position in bits 20-63; so whoever looks for another position knows
//! whether the entry is of a lap before or after. Positions begin with the number of entries: a new lane is all zeroes.
//! A cell's place has a position in bits 0-43 and the lane in bits 44-63; of no lane, all bits are 1.

use crate::event::Event;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, FNV_START};
use crate::sync::{AtomicU32, AtomicU64};
#[cfg(not(loom))]
use std::mem::offset_of;

/// Highest priority, plus 1.
pub(crate) const PRIORITIES: u32 = if cfg!(loom) { 2 } else { 32 };
/// One for each priority, and that of the free cells.
pub(crate) const LANES: u32 = PRIORITIES + 1;
/// The lane of the free cells.
pub(crate) const FREE_LANE: u32 = 0;
/// Most cells.
#[cfg(not(loom))]
pub(crate) const MOST_CELLS: u64 = 1 << INDEX_BITS;
/// Most deliveries that can be counted to.
#[cfg(not(loom))]
pub(crate) const MOST_DELIVERIES: u32 = DELIVERIES as u32 - 1;
/// Largest message.
#[cfg(not(loom))]
pub(crate) const LARGEST: u64 = (1 << 31) - 1;

/// Indices in the header's parameters.
#[cfg(not(loom))]
pub(crate) const MAX_MESSAGE: usize = 0;
#[cfg(not(loom))]
pub(crate) const DEPTH: usize = 1;
#[cfg(not(loom))]
pub(crate) const MAX_DELIVERIES: usize = 2;
#[cfg(not(loom))]
pub(crate) const SYNC: usize = 3;

/// The lane of a priority.
#[inline(always)]
pub(crate) fn lane_of(priority: u32) -> u32 {
    priority + 1
}

/// What a cell is doing. A number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// In the lane of the free ones, or about to be put there by who freed it.
    Free = 0,
    /// A message that is being written by who pushes it, or that stands in its lane.
    Owned = 1,
    /// A participant has it, and will acknowledge it or put it back.
    Taken = 2,
    /// It was put back, and comes before those that were pushed later.
    Returned = 3,
    /// It was delivered too often, and is put aside.
    Dead = 4,
}

const STATE: u64 = 7;
const LETTER: u64 = 1 << 3;
const DELIVERIES_SHIFT: u32 = 4;
const DELIVERIES: u64 = 255;
const SLOT_SHIFT: u32 = 12;
const SLOT: u64 = 4095;
const GENERATION_SHIFT: u32 = 24;

/// The word of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(pub(crate) u64);

impl Cell {
    #[inline(always)]
    fn with(generation: u64, slot: u32, deliveries: u64, state: State) -> Cell {
        Cell(
            generation << GENERATION_SHIFT
                | u64::from(slot) << SLOT_SHIFT
                | deliveries << DELIVERIES_SHIFT
                | state as u64,
        )
    }

    /// `None` if ipcx does not write this.
    #[inline(always)]
    pub(crate) fn state(self) -> Option<State> {
        Some(match self.0 & STATE {
            0 => State::Free,
            1 => State::Owned,
            2 => State::Taken,
            3 => State::Returned,
            4 => State::Dead,
            _ => return None,
        })
    }

    #[inline(always)]
    pub(crate) fn is(self, state: State) -> bool {
        self.0 & STATE == state as u64
    }

    /// True if it was a dead letter before it was taken.
    pub(crate) fn was_dead(self) -> bool {
        self.0 & LETTER != 0
    }

    #[inline(always)]
    pub(crate) fn deliveries(self) -> u32 {
        (self.0 >> DELIVERIES_SHIFT & DELIVERIES) as u32
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> u32 {
        (self.0 >> SLOT_SHIFT & SLOT) as u32
    }

    #[inline(always)]
    fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// Free, or owned: with nothing that was counted.
    #[inline(always)]
    pub(crate) fn fresh(self, state: State, slot: u32) -> Cell {
        Cell::with(self.generation(), slot, 0, state)
    }

    /// Free again by the participant that had claimed it for nothing: in the next generation, so that who saw it free before, and
    /// is late, has seen another.
    pub(crate) fn unused(self) -> Cell {
        Cell::with(self.generation() + 1, self.slot(), 0, State::Free)
    }

    /// Taken by a participant: once more delivered, in the next generation.
    #[inline(always)]
    pub(crate) fn taken(self, slot: u32) -> Cell {
        let deliveries = u64::from(self.deliveries() + 1).min(DELIVERIES);
        let letter = if self.is(State::Dead) { LETTER } else { 0 };
        Cell(Cell::with(self.generation() + 1, slot, deliveries, State::Taken).0 | letter)
    }

    /// After it was taken: returned, or dead. By the same participant, counting on, or from 0.
    pub(crate) fn set_aside(self, state: State, from_zero: bool) -> Cell {
        let deliveries = if from_zero { 0 } else { u64::from(self.deliveries()) };
        Cell::with(self.generation(), self.slot(), deliveries, state)
    }

    /// For as long as it is taken.
    #[inline(always)]
    pub(crate) fn ticket(self, index: u32) -> u64 {
        self.generation() << TICKET_BITS | u64::from(index + 1)
    }

    /// True if it was taken by a participant who was given this ticket.
    #[inline(always)]
    pub(crate) fn has_ticket(self, slot: u32, ticket: u64) -> bool {
        self.is(State::Taken) && self.slot() == slot && self.generation() == ticket >> TICKET_BITS
    }
}

/// A ticket has the cell's number plus 1 in these bits, so that it is never 0, and the generation above them.
const TICKET_BITS: u32 = 21;

/// The cell that a ticket may be of.
#[inline(always)]
pub(crate) fn cell_of_ticket(ticket: u64) -> Option<u32> {
    ((ticket & ((1 << TICKET_BITS) - 1)) as u32).checked_sub(1)
}

pub(crate) const INDEX_BITS: u32 = 20;
const POSITION_BITS: u32 = 64 - INDEX_BITS;
const POSITION: u64 = (1 << POSITION_BITS) - 1;

/// One entry of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u64);

/// What an entry says of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// A cell was put there.
    Cell(u32),
    /// Not yet: the lane ends before it.
    End,
    /// So long ago that the entry was used again, for this position.
    Passed(u64),
}

impl Entry {
    #[inline(always)]
    pub(crate) fn new(position: u64, index: u32) -> Entry {
        Entry((position & POSITION) << INDEX_BITS | u64::from(index))
    }

    /// `None` if ipcx does not write this at that position of a lane with so many entries.
    #[inline(always)]
    pub(crate) fn at(self, position: u64, entries: u64) -> Option<At> {
        // The difference of 44 bits, with its sign.
        let ahead = ((self.0 >> INDEX_BITS).wrapping_sub(position) << INDEX_BITS) as i64 >> INDEX_BITS;
        Some(match ahead {
            0 => At::Cell((self.0 & ((1 << INDEX_BITS) - 1)) as u32),
            _ if ahead as u64 & (entries - 1) != 0 => return (self.0 == 0).then_some(At::End), // never used
            ..=-1 => At::End,
            _ => At::Passed(position.wrapping_add(ahead as u64)),
        })
    }
}

/// Of no lane.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// A cell's place.
#[inline(always)]
pub(crate) fn place(lane: u32, position: u64) -> u64 {
    u64::from(lane) << POSITION_BITS | position & POSITION
}

/// Lane and position of a place, if it is of a lane.
#[inline(always)]
pub(crate) fn lane_and_position(place: u64) -> Option<(u32, u64)> {
    let lane = (place >> POSITION_BITS) as u32;
    (lane < LANES).then_some((lane, place & POSITION))
}

/// At the start of the body.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Control {
    /// A bit for each priority of which there was a message at some time. Written by who pushes the first one.
    pub(crate) used: AtomicU64,
    /// How often a message was put back. Written by who has put one back, after it did.
    pub(crate) returned: AtomicU64,
    /// What that was when somebody looked and found all of them taken. Written by takers; may be an older one.
    pub(crate) looked: AtomicU64,
    /// Names the start of the machine since which it is used; 0 if that is not known. Written by who made or restored it.
    pub(crate) boot: [AtomicU64; 2],
    /// When one who waits last looked for the dead, in monotonic nanoseconds: then the others need not. A hint, by any of them.
    pub(crate) asked: AtomicU64,
    _apart: [u64; 10],
    /// There is a message to take; takers sleep on it.
    pub(crate) pushed: Event,
    _apart_too: [u32; 31],
    /// A cell became free; who pushes sleeps on it.
    pub(crate) freed: Event,
}

/// Where to begin in a lane; both may be behind.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Hints {
    /// All before it is done. Written by takers.
    pub(crate) head: AtomicU64,
    _apart: [u64; 15],
    /// All before it is there. Written by who appends.
    pub(crate) tail: AtomicU64,
}

/// What comes before a message in its cell.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Envelope {
    /// The truth about the cell: see [`Cell`]. A message changes hands by one change of it.
    pub(crate) word: AtomicU64,
    /// Where it stands in a lane, or may just be put. Written by the cell's owner, before the entry.
    pub(crate) place: AtomicU64,
    /// Bytes of the message. Written by who pushes it.
    pub(crate) len: AtomicU32,
    _reserved: AtomicU32,
}

#[cfg(loom)]
impl Control {
    pub(crate) fn new() -> Control {
        Control {
            used: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            boot: [AtomicU64::new(0), AtomicU64::new(0)],
            asked: AtomicU64::new(0),
            _apart: [0; 10],
            pushed: Event::new(),
            _apart_too: [0; 31],
            freed: Event::new(),
        }
    }
}

#[cfg(loom)]
impl Hints {
    pub(crate) fn new() -> Hints {
        Hints { head: AtomicU64::new(0), _apart: [0; 15], tail: AtomicU64::new(0) }
    }
}

#[cfg(loom)]
impl Envelope {
    pub(crate) fn new() -> Envelope {
        Envelope {
            word: AtomicU64::new(0),
            place: AtomicU64::new(0),
            len: AtomicU32::new(0),
            _reserved: AtomicU32::new(0),
        }
    }
}

#[cfg(not(loom))] // loom's atomics are larger
const _: () = {
    assert!(offset_of!(Control, boot) == 24 && offset_of!(Control, asked) == 40);
    assert!(offset_of!(Control, pushed) == 128 && offset_of!(Control, freed) == 256);
    assert!(size_of::<Control>() == 384);
    assert!(offset_of!(Hints, tail) == 128 && size_of::<Hints>() == 256);
    assert!(offset_of!(Envelope, len) == 16 && size_of::<Envelope>() == 24);
};

/// Hash of the above: two builds that disagree about it refuse each other.
#[cfg(not(loom))]
pub(crate) const LAYOUT: u64 = fnv1a(
    b"queue 1: control{used@0 returned@8 looked@16 boot@24*2 asked@40 pushed@128 freed@256}:384 hints{head@0 tail@128}:256*33 aside \
      entry{index:20 position:44}*33 cell{word@0 place@8 len@16 data@24}:64 \
      word{state:3 letter:1 deliveries:8 slot:12 generation:40} place{position:44 lane:20}",
    FNV_START,
);

/// What each part begins at a multiple of.
#[cfg(not(loom))]
const PART: u64 = 128;
/// What each cell begins at a multiple of.
#[cfg(not(loom))]
const LINE: u64 = 64;
/// Fewest entries of a lane.
#[cfg(not(loom))]
const FEWEST_ENTRIES: u64 = 16;

/// Where the parts of the body lie, in bytes from its start.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) hints: usize,
    pub(crate) aside: usize,
    pub(crate) lanes: usize,
    /// Entries of a lane: a power of two.
    pub(crate) entries: u32,
    pub(crate) cells: usize,
    /// How many cells there are.
    pub(crate) depth: u32,
    /// Bytes from one cell to the next.
    pub(crate) stride: usize,
    /// Bytes of the largest message.
    pub(crate) room: u32,
    /// Of the whole body.
    pub(crate) size: usize,
}

#[cfg(not(loom))]
impl Parts {
    /// `None` if the parameters are not valid, or the body would be larger than this process can map.
    pub(crate) fn of(parameters: &Parameters, page: u64) -> Option<Parts> {
        let [room, depth, max_deliveries, sync, ..] = *parameters;
        let sound = (1..=LARGEST).contains(&room)
            && (1..=MOST_CELLS).contains(&depth)
            && max_deliveries <= u64::from(MOST_DELIVERIES)
            && sync <= 1;
        if !sound {
            return None;
        }
        // No sum or product of these comes near 2^64.
        let part = |from: u64, size: u64| (from + size).next_multiple_of(PART);
        let entries = depth.next_power_of_two().max(FEWEST_ENTRIES);
        let hints = size_of::<Control>() as u64;
        let aside = part(hints, u64::from(LANES) * size_of::<Hints>() as u64);
        let lanes = part(aside, depth.div_ceil(64) * 8);
        let cells = part(lanes, u64::from(LANES) * entries * 8);
        let stride = (size_of::<Envelope>() as u64 + room).next_multiple_of(LINE);
        let size = (cells + depth * stride).next_multiple_of(page);
        let [hints, aside, lanes, cells, stride, size] =
            [hints, aside, lanes, cells, stride, size].map(|n| usize::try_from(n).ok());
        Some(Parts {
            hints: hints?,
            aside: aside?,
            lanes: lanes?,
            entries: entries as u32,
            cells: cells?,
            depth: depth as u32,
            stride: stride?,
            room: room as u32,
            size: size?,
        })
    }
}

/// Bytes of the body.
#[cfg(not(loom))]
pub(crate) fn body_size(parameters: &Parameters, _participants: u32, page: u64) -> Option<u64> {
    Parts::of(parameters, page).map(|parts| parts.size as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_tells_laps_apart() {
        let entry = Entry::new(32 + 5, 7);
        assert_eq!(entry.at(32 + 5, 32), Some(At::Cell(7)));
        assert_eq!(entry.at(64 + 5, 32), Some(At::End));
        assert_eq!(entry.at(5, 32), Some(At::Passed(32 + 5)));
        assert_eq!(entry.at(6, 32), None);
        for position in 32..64 {
            assert_eq!(Entry(0).at(position, 32), Some(At::End), "a new lane has nothing");
        }
        // Across the wrap of its 44 bits.
        let late = (1 << 44) + 3;
        assert_eq!(Entry::new(late, 1).at(late, 32), Some(At::Cell(1)));
        assert_eq!(Entry::new(late - 32, 1).at(late, 32), Some(At::End));
        assert_eq!(Entry::new(late, 1).at(late - 32, 32), Some(At::Passed(late)));
        for lane in 0..LANES {
            assert_eq!(lane_and_position(place(lane, late)), Some((lane, 3)));
        }
        assert_eq!(lane_and_position(NOWHERE), None);
    }

    #[test]
    fn a_ticket_is_of_one_time_that_a_cell_was_taken() {
        let cell = Cell(0).fresh(State::Owned, 3).taken(4095);
        let ticket = cell.ticket(MOST_CELLS as u32 - 1);
        assert_eq!(cell_of_ticket(ticket), Some(MOST_CELLS as u32 - 1));
        assert!(cell.has_ticket(4095, ticket) && !cell.has_ticket(4094, ticket));
        let again = cell.set_aside(State::Returned, false).taken(4095);
        assert_eq!((again.deliveries(), again.has_ticket(4095, ticket)), (2, false));
        let many = (0..300).fold(cell, |cell, _| cell.set_aside(State::Returned, false).taken(1));
        assert_eq!((many.deliveries(), many.slot()), (255, 1));
        let letter = many.set_aside(State::Dead, false).taken(1);
        assert!(letter.was_dead() && !letter.set_aside(State::Returned, true).was_dead());
        assert_eq!(cell_of_ticket(0), None);
        assert_eq!(Cell(u64::MAX).taken(0).generation(), 0, "the generation wraps into nothing else");
    }

    #[test]
    fn parts_do_not_overlap_and_bad_parameters_have_none() {
        let parts = Parts::of(&[100, 1000, 0, 0, 0, 0, 0, 0], 4096).unwrap();
        assert_eq!((parts.stride, parts.entries), (128, 1024));
        assert!(parts.hints >= 384 && parts.aside >= parts.hints + 33 * 256);
        assert!(parts.lanes >= parts.aside + 16 * 8 && parts.cells >= parts.lanes + 33 * 8192);
        assert!(parts.size % 4096 == 0 && parts.size >= parts.cells + 128_000);
        for bad in [
            [0, 1, 0, 0],
            [1 << 31, 1, 0, 0],
            [1, 0, 0, 0],
            [1, MOST_CELLS + 1, 0, 0],
            [1, 1, 255, 0],
            [1, 1, 0, 2],
        ] {
            assert_eq!(Parts::of(&[bad[0], bad[1], bad[2], bad[3], 0, 0, 0, 0], 4096), None, "{bad:?}");
        }
    }
}
