//! The service's part of a segment, to the byte.
//!
//! ```text
//! body                control     256 bytes: the word on which servers sleep, and which channels are in use
//! + 256               serves      a 32-bit word per participant: 1 if it is a server
//! ...                 channels    128 bytes each, one per client: whose it is, and the word on which it sleeps
//! next page           requests    a cell for each request that a client may have open, `depth` per channel
//! next page           replies     a cell for the reply to each; written by servers only
//! ```
//!
//! Each part starts at a multiple of 128, and so does each cell. A new segment is all zeroes: every channel and every cell is
//! free. Clients map the replies read-only.
//!
//! A client numbers its requests from 1 on; number `s` is in cell `s` modulo `depth`, a power of two. The numbers of a channel
//! go on when another client has it. The word of a request:
//!
//! | bits | meaning |
//! |---|---|
//! | 0-1 | state: 0 free, 1 requested, 2 taken, 3 lost |
//! | 2-13 | of one that is taken: the slot of the server that has it |
//! | 14-63 | number of the request; of a free cell, the number of the next request that can be in it |
//!
//! The word of a reply: bits 0-1 are 1 for an answer and 2 for a refusal; the number of the request begins at bit 2.

use crate::event::Event;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, FNV_START};
use crate::sync::{AtomicU32, AtomicU64};
#[cfg(not(loom))]
use std::mem::offset_of;

/// Most channels, and most cells of one.
pub(crate) const MOST: u64 = 1024;
const CHANNEL_BITS: u32 = 10;
/// Longest request and reply in bytes.
#[cfg(not(loom))]
pub(crate) const LONGEST: u64 = 1 << 30;
/// Of the words that say which channels are in use.
pub(crate) const WORDS: usize = if cfg!(loom) { 1 } else { MOST as usize / 64 };

/// Indices in the header's parameters.
#[cfg(not(loom))]
pub(crate) const MAX_REQUEST: usize = 0;
#[cfg(not(loom))]
pub(crate) const MAX_REPLY: usize = 1;
#[cfg(not(loom))]
pub(crate) const MAX_CLIENTS: usize = 2;
#[cfg(not(loom))]
pub(crate) const DEPTH: usize = 3;

/// What is said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none; the next one that can be in the cell has this number or a higher one.
    Free,
    /// A server may take it.
    Requested,
    /// The server in this slot has it.
    Taken(u32),
    /// The server that had it died without a reply.
    Lost,
}

const STATE: u64 = 3;
const SLOT_BITS: u32 = 2;
const SLOT: u64 = (1 << 12) - 1;
const NUMBER_BITS: u32 = 14;
/// Numbers of requests are below this.
pub(crate) const LAST: u64 = 1 << (64 - NUMBER_BITS);

/// The word of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    #[inline(always)]
    fn with(state: u64, slot: u32, number: u64) -> Word {
        Word(number << NUMBER_BITS | u64::from(slot) << SLOT_BITS | state)
    }

    pub(crate) fn free(next: u64) -> Word {
        Word::with(0, 0, next)
    }

    #[inline(always)]
    pub(crate) fn requested(number: u64) -> Word {
        Word::with(1, 0, number)
    }

    #[inline(always)]
    pub(crate) fn taken(slot: u32, number: u64) -> Word {
        Word::with(2, slot, number)
    }

    #[inline(always)]
    pub(crate) fn lost(number: u64) -> Word {
        Word::with(3, 0, number)
    }

    #[inline(always)]
    pub(crate) fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Free,
            1 => State::Requested,
            2 => State::Taken((self.0 >> SLOT_BITS & SLOT) as u32),
            _ => State::Lost,
        }
    }

    #[inline(always)]
    pub(crate) fn number(self) -> u64 {
        self.0 >> NUMBER_BITS
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// By a reply.
    Reply = 1,
    /// By a text that says why there is none.
    Refusal = 2,
}

/// The word of a reply.
#[inline(always)]
pub(crate) fn reply_word(number: u64, answer: Answer) -> u64 {
    number << 2 | answer as u64
}

/// How the request with this number was answered, by the word of its reply; `None` if it was not.
#[inline(always)]
pub(crate) fn answered(word: u64, number: u64) -> Option<Answer> {
    match word.wrapping_sub(number << 2) {
        1 => Some(Answer::Reply),
        2 => Some(Answer::Refusal),
        _ => None,
    }
}

/// Names a request for as long as its client and a server know it; never 0.
#[inline(always)]
pub(crate) fn id_of(channel: u32, number: u64) -> u64 {
    number << CHANNEL_BITS | u64::from(channel)
}

/// The channel and the number that an id names.
#[inline(always)]
pub(crate) fn named(id: u64) -> (u32, u64) {
    ((id & (MOST - 1)) as u32, id >> CHANNEL_BITS)
}

/// The first number that is `least` or higher and belongs in a cell.
pub(crate) fn next_in(cell: u64, depth: u64, least: u64) -> u64 {
    least.wrapping_add(cell.wrapping_sub(least) & (depth - 1))
}

/// At the start of the body.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Control {
    /// A request came; servers sleep on it.
    pub(crate) requested: Event,
    /// How the last server that ended did: see `protocol::End`. Written by a server that closes, and by who buries one.
    pub(crate) end: AtomicU32,
    /// How many servers have begun, modulo 2^32. Counted up by each one.
    pub(crate) begun: AtomicU32,
    _apart: [u32; 29],
    /// A bit per channel, set while it has a client. Changed by that one, or by who buries it.
    pub(crate) in_use: [AtomicU64; WORDS],
}

/// Of one client.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Channel {
    /// 0, or the slot plus 1 of the participant that has it. Taken by compare-and-swap; given up by its owner, or who buries it.
    pub(crate) owner: AtomicU64,
    /// A reply came, or no server is left; its owner sleeps on it.
    pub(crate) replied: Event,
}

/// The words of a request's cell; its bytes are behind them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RequestCell {
    /// See [`Word`]. From free to requested, from there back, and from what was answered or lost to free: by the channel's owner;
    /// to taken: by a server; from there to lost: by who buries that server.
    pub(crate) word: AtomicU64,
    /// Monotonic nanoseconds after which it is not to be taken; `u64::MAX` if there is no such time. Written by the owner.
    pub(crate) deadline: AtomicU64,
    /// Bytes. Written by the owner.
    pub(crate) len: AtomicU64,
}

/// The words of a reply's cell; its bytes are behind them. Written by the server that has the request, the word last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ReplyCell {
    /// See [`reply_word`].
    pub(crate) word: AtomicU64,
    /// Bytes.
    pub(crate) len: AtomicU64,
}

#[cfg(loom)]
impl Control {
    pub(crate) fn new() -> Control {
        Control {
            requested: Event::new(),
            end: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            _apart: [0; 29],
            in_use: [AtomicU64::new(0)],
        }
    }
}

#[cfg(loom)]
impl Channel {
    pub(crate) fn new() -> Channel {
        Channel { owner: AtomicU64::new(0), replied: Event::new() }
    }
}

#[cfg(loom)]
impl RequestCell {
    pub(crate) fn new() -> RequestCell {
        RequestCell { word: AtomicU64::new(0), deadline: AtomicU64::new(0), len: AtomicU64::new(0) }
    }
}

#[cfg(loom)]
impl ReplyCell {
    pub(crate) fn new() -> ReplyCell {
        ReplyCell { word: AtomicU64::new(0), len: AtomicU64::new(0) }
    }
}

#[cfg(not(loom))] // loom's atomics are larger
const _: () = {
    assert!(offset_of!(Control, end) == 4 && offset_of!(Control, begun) == 8);
    assert!(offset_of!(Control, in_use) == 128);
    assert!(size_of::<Control>() == 256);
    assert!(offset_of!(Channel, replied) == 8 && size_of::<Channel>() == 128);
    assert!(size_of::<RequestCell>() == 24 && size_of::<ReplyCell>() == 16);
    assert!(MOST == 1 << CHANNEL_BITS && SLOT + 1 >= crate::slots::MOST_PARTICIPANTS as u64);
};

/// Hash of the above: two builds that disagree about it refuse each other.
#[cfg(not(loom))]
pub(crate) const LAYOUT: u64 = fnv1a(
    b"service 1: control{requested@0 end@4 begun@8 in_use@128*16}:256 serves*4 channel{owner@0 replied@8}:128 \
      request{word@0 deadline@8 len@16 data@24}:128 word{state:2 slot:12 number:50} \
      reply{word@0 len@8 data@16}:128 word{answer:2 number:62} kind{reply=1 refusal=2}",
    FNV_START,
);

#[cfg(not(loom))]
const PART: u64 = 128;

/// Where the parts of the body lie, in bytes from its start.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) channels: usize,
    pub(crate) requests: usize,
    pub(crate) replies: usize,
    /// Bytes from one cell to the next.
    pub(crate) request: usize,
    pub(crate) reply: usize,
    /// Of the whole body.
    pub(crate) size: usize,
}

#[cfg(not(loom))]
impl Parts {
    /// `None` if the parameters are not valid, or the body would be larger than this process can map.
    pub(crate) fn of(parameters: &Parameters, participants: u32, page: u64) -> Option<Parts> {
        let [max_request, max_reply, clients, depth, ..] = *parameters;
        let sound = max_request <= LONGEST
            && max_reply <= LONGEST
            && (1..=MOST).contains(&clients)
            && (1..=MOST).contains(&depth)
            && depth.is_power_of_two();
        if !sound {
            return None;
        }
        // Below 2^51 each: nothing overflows.
        let serves = size_of::<Control>() as u64;
        let channels = (serves + 4 * u64::from(participants)).next_multiple_of(PART);
        let requests = (channels + clients * size_of::<Channel>() as u64).next_multiple_of(page);
        let request = (size_of::<RequestCell>() as u64 + max_request).next_multiple_of(PART);
        let reply = (size_of::<ReplyCell>() as u64 + max_reply).next_multiple_of(PART);
        let replies = (requests + clients * depth * request).next_multiple_of(page);
        let size = (replies + clients * depth * reply).next_multiple_of(page);
        let [channels, requests, replies, request, reply, size] =
            [channels, requests, replies, request, reply, size].map(|n| usize::try_from(n).ok());
        Some(Parts {
            channels: channels?,
            requests: requests?,
            replies: replies?,
            request: request?,
            reply: reply?,
            size: size?,
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
    fn words_and_ids_keep_what_is_put_into_them() {
        for number in [1, 2, 77, LAST - 1] {
            assert_eq!((Word::free(number).state(), Word::free(number).number()), (State::Free, number));
            assert_eq!(Word::requested(number).state(), State::Requested);
            let taken = Word::taken(4095, number);
            assert_eq!((taken.state(), taken.number()), (State::Taken(4095), number));
            assert_eq!((Word::lost(number).state(), Word::lost(number).number()), (State::Lost, number));
            for answer in [Answer::Reply, Answer::Refusal] {
                let word = reply_word(number, answer);
                assert_eq!(answered(word, number), Some(answer));
                assert_eq!((answered(word, number - 1), answered(word, number + 1)), (None, None));
            }
            assert_eq!(named(id_of(1023, number)), (1023, number));
        }
        assert_eq!((Word(0).state(), answered(0, 0)), (State::Free, None));
    }

    #[test]
    fn the_next_number_in_a_cell_belongs_there() {
        for depth in [1, 2, 16] {
            for (cell, least) in (0..depth).flat_map(|cell| (0..40).map(move |least| (cell, least))) {
                let next = next_in(cell, depth, least);
                assert!(next % depth == cell && (least..least + depth).contains(&next), "{cell} {least}");
            }
        }
    }

    #[test]
    fn parts_do_not_overlap_and_bad_parameters_have_none() {
        let parts = Parts::of(&[100, 1000, 3, 4, 0, 0, 0, 0], 33, 4096).unwrap();
        assert!(parts.channels >= 256 + 33 * 4 && parts.requests >= parts.channels + 3 * 128);
        assert_eq!((parts.request, parts.reply), (128, 1024));
        assert!(parts.replies >= parts.requests + 12 * 128 && parts.size >= parts.replies + 12 * 1024);
        for bad in [[1, 1, 0, 1], [1, 1, 1025, 1], [1, 1, 1, 3], [1, 1, 1, 2048], [LONGEST + 1, 1, 1, 1]] {
            let [request, reply, clients, depth] = bad;
            assert_eq!(Parts::of(&[request, reply, clients, depth, 0, 0, 0, 0], 32, 4096), None, "{bad:?}");
        }
    }
}
