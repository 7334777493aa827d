//! The protocol of requests and replies, over any memory: the mapped one, and loom's.
//!
//! *A request's word is the truth about it*, and each change of hands is one change of that word. The client stores *requested* when
//! the bytes are there. A server takes it by compare-and-swap, so that one server has it, and none after that one died: what it
//! had and did not answer is *lost*, which its client is told. The client makes the cell free again, when it has the reply or
//! when there will be none. It can withdraw what no server has taken, by compare-and-swap as well.
//!
//! *A request's cell has the room for its reply*: a server never waits for a client. A client that gives up on a request that a
//! server has leaves its cell as it is, until there is a reply that it drops or the request is lost. So a reply that comes late is
//! not taken for another's.
//!
//! *The numbers of a channel's requests* go up, and each is in the cell that belongs to it, so the client passes over cells that
//! are not free. It writes into a free cell the number that is the next one it can have there, and uses the cell then. So a
//! server that looks at the cell of a number knows whether the client may have gone further; `answering` tells how it goes on.
//!
//! | store | ordering | partner |
//! |---|---|---|
//! | bytes, length and deadline of a request | plain, relaxed | ordered by the word's release |
//! | requested | release | a server's acquire load of the word |
//! | taken | acquire, relaxed; continues the release before | the look of who buries the server, which has its lease |
//! | bytes and length of a reply | plain, relaxed | ordered by the word's release |
//! | a reply's word | release | the client's acquire load of it |
//! | lost | release | the client's acquire load of the request's word |
//! | free | release | a server's acquire load; what was read of the reply is before what is written there next |
//! | serves, after `end` | release | the acquire load of one that finds nobody serving |
//! | `begun`, after `serves` | release | the acquire load of one that is about to look who serves |
//! | `in_use`, `owner` | release | the acquire of the next client, which sees what the one before left |

use super::layout::{answered, Channel, Control, ReplyCell, RequestCell, State, Word};
use crate::event::Kernel;
use crate::sync::{AtomicU32, Ordering};
use crate::wait::Nap;

/// One cell: its channel, and which of the channel's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) channel: u32,
    /// Below the depth.
    pub(crate) cell: u64,
}

/// What the protocol needs of memory. Cheap to clone; a clone is another view of the same service.
pub(crate) trait Memory: Clone {
    fn participants(&self) -> u32;
    fn channels(&self) -> u32;
    /// Cells of a channel, a power of two.
    fn depth(&self) -> u64;
    /// Most bytes of a request, and of a reply.
    fn max_request(&self) -> usize;
    fn max_reply(&self) -> usize;
    fn control(&self) -> &Control;
    /// 1 if the participant in a slot is a server, else 0. Written by it, or by who buries it.
    fn serves(&self, slot: u32) -> &AtomicU32;
    fn channel(&self, channel: u32) -> &Channel;
    fn request(&self, place: Place) -> &RequestCell;
    fn reply(&self, place: Place) -> &ReplyCell;
    /// Copy the bytes of a request or a reply, at most as many as there can be.
    fn write_request(&self, place: Place, from: &[u8]);
    fn read_request(&self, place: Place, to: &mut [u8]);
    fn write_reply(&self, place: Place, from: &[u8]);
    fn read_reply(&self, place: Place, to: &mut [u8]);
    /// Brings a reply near for writing; a hint.
    fn prepare_reply(&self, place: Place);
    /// Brings near what is behind the line with the word: a short message with its words often lies on two lines, and both are
    /// asked for at once. Hints.
    fn expect_reply(&self, place: Place);
    fn expect_request(&self, place: Place);
    fn kernel(&self) -> &impl Kernel;
    /// Monotonic nanoseconds.
    fn now(&self) -> u64;
}

/// How the last server that ended did, where none is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed = 1,
    Died = 2,
}

/// Slots of participants that say they are servers.
pub(crate) fn servers<M: Memory>(memory: &M) -> impl Iterator<Item = u32> + use<'_, M> {
    // Acquire: partner `stop_serving`.
    (0..memory.participants()).filter(|slot| memory.serves(*slot).load(Ordering::Acquire) != 0)
}

/// How the last server ended, if there is none and there was one.
pub(crate) fn unserved(memory: &impl Memory) -> Option<End> {
    let begun = || memory.control().begun.load(Ordering::Acquire); // Partner: `serve`.
    let before = begun();
    // One that came while the slots were looked at may have a slot that was behind already, and the last one seen may have
    // closed for it. Who saw that close sees that one came.
    if servers(memory).next().is_some() || begun() != before {
        return None;
    }
    // Relaxed: what is seen of `serves` brings it along.
    match memory.control().end.load(Ordering::Relaxed) {
        1 => Some(End::Closed),
        2 => Some(End::Died),
        _ => None, // Nobody has come yet.
    }
}

/// Says that a participant is a server, before it takes anything.
pub(crate) fn serve(memory: &impl Memory, slot: u32) {
    memory.serves(slot).store(1, Ordering::Relaxed); // Relaxed: ordered by the next one.
    memory.control().begun.fetch_add(1, Ordering::Release); // Partner: `unserved`.
}

/// Says that it is not one any more, when nothing is left that it has taken, and wakes those who may wait for it.
pub(crate) fn stop_serving(memory: &impl Memory, slot: u32, end: End) {
    memory.control().end.store(end as u32, Ordering::Relaxed); // Relaxed: ordered by the next one.
    memory.serves(slot).store(0, Ordering::Release); // Partner: `servers`.
    for channel in 0..memory.channels() {
        memory.channel(channel).replied.notify(memory.kernel(), u32::MAX);
    }
}

/// The requests that the server in this slot has and has not answered: their cells and numbers. For that server, or who buries it.
pub(crate) fn taken_by<M: Memory>(memory: &M, slot: u32) -> impl Iterator<Item = (Place, u64)> + use<'_, M> {
    let depth = memory.depth();
    let places =
        (0..memory.channels()).flat_map(move |channel| (0..depth).map(move |cell| Place { channel, cell }));
    places.filter_map(move |place| {
        // Relaxed: what it has is its own doing, or its lease is what orders it; a reply that it stored is looked at next.
        let word = Word(memory.request(place).word.load(Ordering::Relaxed));
        let unanswered =
            || answered(memory.reply(place).word.load(Ordering::Relaxed), word.number()).is_none();
        (word.state() == State::Taken(slot) && unanswered()).then(|| (place, word.number()))
    })
}

/// Recovers all that a dead participant may have left, as a server and as a client. For the holder of its lease; may be done again.
pub(crate) fn bury(memory: &impl Memory, slot: u32) {
    if memory.serves(slot).load(Ordering::Relaxed) != 0 {
        for (place, number) in taken_by(memory, slot) {
            // Nobody else changes the word of what a server has, but for one that breaks the rules.
            let (taken, lost) = (Word::taken(slot, number), Word::lost(number));
            let word = &memory.request(place).word;
            let _ = word.compare_exchange(taken.0, lost.0, Ordering::Release, Ordering::Relaxed);
        }
        stop_serving(memory, slot, End::Died);
    }
    for channel in 0..memory.channels() {
        if memory.channel(channel).owner.load(Ordering::Relaxed) == owner_word(slot) {
            give_up(memory, channel);
        }
    }
}

pub(crate) fn owner_word(slot: u32) -> u64 {
    u64::from(slot) + 1
}

/// Takes a channel that nobody has; it is not in use yet.
pub(crate) fn claim(memory: &impl Memory, slot: u32) -> Option<u32> {
    (0..memory.channels()).find(|channel| {
        let owner = &memory.channel(*channel).owner;
        // Acquire: partner `give_up`.
        owner.load(Ordering::Relaxed) == 0
            && owner.compare_exchange(0, owner_word(slot), Ordering::Acquire, Ordering::Relaxed).is_ok()
    })
}

/// Gives a channel up. What is in its cells is for the next one that has it. For its owner, or who buries that one.
pub(crate) fn give_up(memory: &impl Memory, channel: u32) {
    let in_use = &memory.control().in_use[channel as usize / 64];
    in_use.fetch_and(!(1 << (channel % 64)), Ordering::Release);
    memory.channel(channel).owner.store(0, Ordering::Release); // Partner: `claim`.
}

/// Says that servers are to look at a channel, for its owner.
pub(crate) fn show(memory: &impl Memory, channel: u32) {
    let in_use = &memory.control().in_use[channel as usize / 64];
    in_use.fetch_or(1 << (channel % 64), Ordering::Release);
}

/// The next channel in use from `from` on, below `to`.
#[inline(always)]
pub(crate) fn next_in_use(memory: &impl Memory, mut from: u32, to: u32) -> Option<u32> {
    while from < to {
        // Acquire: partner `show`.
        let bits = memory.control().in_use[from as usize / 64].load(Ordering::Acquire) >> (from % 64);
        if bits != 0 {
            return Some(from + bits.trailing_zeros()).filter(|channel| *channel < to);
        }
        from = (from / 64 + 1) * 64;
    }
    None
}

/// The slot of the participant that has a channel.
pub(crate) fn owner(memory: &impl Memory, channel: u32) -> Option<u32> {
    let word = memory.channel(channel).owner.load(Ordering::Relaxed); // Relaxed: for display.
    word.checked_sub(1).map(|slot| slot as u32)
}

/// Sleeps until a request may have come, or until `until`, unless there is one.
pub(crate) fn nap_for_request(memory: &impl Memory, until: u64, is_there: impl FnOnce() -> bool) -> Nap {
    memory.control().requested.nap(memory.kernel(), || (!is_there()).then_some(until))
}

/// After a request came: a server that was woken for one and does not take it at once wakes another.
pub(crate) fn pass_on(memory: &impl Memory) {
    memory.kernel().wake(&memory.control().requested, 1);
}

/// Sleeps until a reply may have come, or until `until`, unless there is one.
pub(crate) fn nap_for_reply(
    memory: &impl Memory,
    channel: u32,
    until: u64,
    is_there: impl FnOnce() -> bool,
) -> Nap {
    memory.channel(channel).replied.nap(memory.kernel(), || (!is_there()).then_some(until))
}
