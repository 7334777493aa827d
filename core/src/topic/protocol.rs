//! The topic's protocol, over any memory: the mapped one, and loom's.
//!
//! *One release store commits*: the word at the tail is 0 until the record is whole, and nothing else says that it is there. A
//! publisher that dies before that store has published nothing; one that dies behind it has. Whoever owns the mutex next follows
//! the records from the newest one known to the first 0, and goes on there.
//!
//! *Subscribers of a lossy topic write nothing.* They copy, and then ask for the oldest position that is not being overwritten.
//! Publishers move that on before they overwrite anything, a good part of the ring at a time: so what all subscribers read
//! changes rarely, and publishing costs the same for any number of them.
//!
//! *Subscribers of a reliable topic hold what they have not released* by a cursor each. Publishers look at all cursors only when they
//! move the oldest position on. One that comes says that it holds everything, and then looks where the oldest position is: it or
//! the publisher sees the other (Dekker's argument; the models in `tests/model` check it).
//!
//! | store | ordering | partner |
//! |---|---|---|
//! | payload, number, 0 at the next word's place | plain, relaxed | ordered by the word's release |
//! | a record's word | release | a subscriber's acquire load of it |
//! | `newest` | release | one that comes begins there |
//! | `oldest` | release, and a release fence before bytes are overwritten | the acquire fence between a copy and the look at `oldest` |
//! | cursor | release | the publisher's acquire load, before it overwrites what was read |
//! | `free` | as `oldest` | the same for subscribers of a reliable topic |

use super::layout::{largest_payload, Cursor, Events, Publishers};
use crate::event::Kernel;
use crate::stream::{record_len, Content, WORD};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::Nap;

/// How many sleepers each one that was woken wakes.
const FAN_OUT: u32 = 2;

/// What the protocol needs of memory. Cheap to clone; a clone is another view of the same topic.
pub(crate) trait Memory: Clone {
    /// Bytes of data; positions are taken modulo this.
    fn capacity(&self) -> u64;
    fn publishers(&self) -> &Publishers;
    fn events(&self) -> &Events;
    /// One per participant in a reliable topic, otherwise none.
    fn cursors(&self) -> &[Cursor];
    /// The word at a position that is a multiple of 8.
    fn word(&self, position: u64) -> &AtomicU64;
    /// Copies `from` to the bytes from `position` on. At most a capacity.
    fn write(&self, position: u64, from: &[u8]);
    /// Copies the bytes from `position` on to `to`; others may be writing there. At most a capacity.
    fn read(&self, position: u64, to: &mut [u8]);
    fn kernel(&self) -> &impl Kernel;
}

/// How far `position` is behind `other`; negative if it is not.
#[inline(always)]
pub(super) fn behind(position: u64, other: u64) -> i64 {
    other.wrapping_sub(position) as i64
}

/// The length that the record at a position has; `None` if ipcx does not write such a word there.
#[inline(always)]
pub(super) fn length(memory: &impl Memory, word: u64, position: u64) -> Option<usize> {
    record_len(Content::Data, word, position).filter(|len| *len <= largest_payload(memory.capacity()))
}

pub(super) fn number_of(memory: &impl Memory, position: u64) -> &AtomicU64 {
    memory.word(position.wrapping_add(WORD))
}

/// Position of the payload of the record at a position.
#[inline(always)]
pub(super) fn payload_of(position: u64) -> u64 {
    position.wrapping_add(2 * WORD)
}

/// After a commit, by whoever: wakes one who waits for a record, and that one others, so that a publisher pays for one.
#[inline(always)]
pub(crate) fn announce(memory: &impl Memory) {
    memory.events().published.notify(memory.kernel(), 1);
}

/// The participants that hold something before `needed`.
pub(crate) fn holders<M: Memory>(memory: &M, needed: u64) -> impl Iterator<Item = u32> + use<'_, M> {
    let holds = move |cursor: &Cursor| {
        let word = cursor.0.load(Ordering::Relaxed); // Relaxed: `Writer::held` acquires.
        word != 0 && behind(needed, word.wrapping_sub(1)) < 0
    };
    (0..).zip(memory.cursors()).filter(move |(_, cursor)| holds(cursor)).map(|(slot, _)| slot)
}

/// Takes back what the participant in a slot held. For that participant, and for the holder of its lease when it is dead.
pub(crate) fn let_go(memory: &impl Memory, slot: u32) {
    if let Some(cursor) = memory.cursors().get(slot as usize) {
        cursor.0.store(0, Ordering::Release); // Partner: `Writer::held`.
        memory.events().released.notify(memory.kernel(), u32::MAX);
    }
}

/// True if a record may be there now for a subscriber at `position`, or it was overtaken: a hint.
#[inline(always)]
pub(crate) fn may_receive(memory: &impl Memory, position: u64) -> bool {
    // Relaxed: whoever receives acquires.
    memory.word(position).load(Ordering::Relaxed) != 0
        || behind(memory.publishers().oldest.load(Ordering::Relaxed), position) < 0
}

/// Sleeps until a record may be there for a subscriber at `position`, or until `until`.
pub(crate) fn nap_for_record(memory: &impl Memory, position: u64, until: u64) -> Nap {
    let (event, kernel) = (&memory.events().published, memory.kernel());
    let mut slept = false;
    let nap = event.nap(kernel, || {
        slept = !may_receive(memory, position);
        slept.then_some(until)
    });
    if slept {
        pass_on(memory, position);
    }
    nap
}

/// After a sleep for a record: the publisher woke one, which wakes others. Not if there is none: who sleep would wake each other
/// for ever.
pub(crate) fn pass_on(memory: &impl Memory, position: u64) {
    if may_receive(memory, position) {
        memory.kernel().wake(&memory.events().published, FAN_OUT);
    }
}

/// Ends the sleep of all who wait for a record.
pub(crate) fn wake_all(memory: &impl Memory) {
    memory.events().published.notify(memory.kernel(), u32::MAX);
}

/// The subscribers of a reliable topic whose tail is there: their slots, and how many bytes they hold.
pub(crate) fn lags<M: Memory>(memory: &M, tail: u64) -> impl Iterator<Item = (u32, u64)> + use<'_, M> {
    let capacity = memory.capacity();
    let words = memory.cursors().iter().map(|cursor| cursor.0.load(Ordering::Relaxed)); // Relaxed: for display.
    let lag = move |word: u64| behind(word.wrapping_sub(1), tail).clamp(0, capacity as i64) as u64;
    (0..).zip(words).filter(|(_, word)| *word != 0).map(move |(slot, word)| (slot, lag(word)))
}

/// Sleeps until nobody may hold anything before `needed`, or until `until`.
pub(crate) fn nap_for_room(memory: &impl Memory, needed: u64, until: u64) -> Nap {
    let released = &memory.events().released;
    released.nap(memory.kernel(), || holders(memory, needed).next().is_some().then_some(until))
}
