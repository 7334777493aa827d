//! A server's side of the protocol.
//!
//! Of each channel a server knows the number up to which it has looked. It goes on from there, and takes what is requested. Where the
//! cell of a number is free for it, the client has not come so far, and there is nothing behind. Where it is free for a later one,
//! or has a later request, or this one that another has taken, the number is settled. Where an older request still has the cell,
//! the client may pass over it or not have come: the server looks at the next ones, and comes back. Once it has seen that the
//! client was further, and then the same here, the number is settled too.
//!
//! A server that was away for long jumps: to one round of cells before the least that the client has reached, or to the first
//! request if that is before. It comes to every cell before it comes to a number that the client has not reached.

use super::layout::{answered, id_of, named, reply_word, Answer, State, Word, LAST};
use super::protocol::{next_in_use, taken_by, Memory, Place};
use crate::stream::Corruption;
use crate::sync::Ordering;

/// How far a server is with a channel.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Every number below it is settled, or its cell comes once more before `reached`.
    next: u64,
    /// The client has used or passed over every number below it.
    reached: u64,
}

/// What to do with a request that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Nothing.
    Look,
    /// To take it, if it has at most so many bytes.
    Take(usize),
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was taken.
    Taken(Taken),
    /// It has so many bytes, and was not taken.
    There(usize),
}

/// One that this server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) id: u64,
    pub(crate) len: usize,
    place: Place,
}

/// What a server has: its place with every channel.
#[derive(Debug)]
pub(crate) struct Answering<M> {
    memory: M,
    slot: u32,
    cursors: Box<[Cursor]>,
    /// The channel to begin with.
    turn: u32,
    skipped: u64,
}

impl<M: Memory> Answering<M> {
    pub(crate) fn new(memory: M, slot: u32) -> Answering<M> {
        let cursors = (0..memory.channels()).map(|_| Cursor { next: 1, reached: 1 }).collect();
        Answering { memory, slot, cursors, turn: 0, skipped: 0 }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// How many requests it left where they are because their deadline had passed.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next request: of each client one in turn, and of one client in its order.
    ///
    /// # Errors
    /// For a request that ipcx does not write, which is passed over.
    #[inline(always)]
    pub(crate) fn find(&mut self, aim: Aim) -> Result<Option<Found>, Corruption> {
        let (turn, channels) = (self.turn, self.memory.channels());
        for (mut from, to) in [(turn, channels), (0, turn)] {
            while let Some(channel) = next_in_use(&self.memory, from, to) {
                from = channel + 1;
                let found = self.look_at(channel, aim);
                if let Ok(None) = found {
                    continue;
                }
                if !matches!(found, Ok(Some(Found::There(_)))) {
                    self.turn = if from < channels { from } else { 0 };
                }
                return found;
            }
        }
        Ok(None)
    }

    #[inline(always)]
    fn look_at(&mut self, channel: u32, aim: Aim) -> Result<Option<Found>, Corruption> {
        let depth = self.memory.depth();
        let mut at = self.cursors[channel as usize].next;
        // Past what is too late, to where the client was at first, and once round. It is not kept here by one that goes on
        // meanwhile, which wakes who sleeps, nor by one that changes its words all the time.
        for _ in 0..6 * depth + 16 {
            let reached = self.cursors[channel as usize].reached;
            let (place, number) = (Place { channel, cell: at & (depth - 1) }, at);
            self.memory.expect_request(place);
            let word = Word(self.memory.request(place).word.load(Ordering::Acquire)); // Partner: `Asking::ask`.
            let (known, settled) = match word.state() {
                // A later one: its turn comes when the number is its own.
                State::Requested if word.number() > number => (word.number() + 1, true),
                State::Requested => match self.meet(place, word, aim) {
                    Met::Found(found) => {
                        if let Found::Taken(_) = found {
                            self.settle(channel, number, word.number() + 1);
                        }
                        return Ok(Some(found));
                    }
                    Met::Wrong(what) => {
                        self.settle(channel, number, 0);
                        return Err(what);
                    }
                    Met::Gone => continue, // Taken by another, or withdrawn: what is there now?
                    Met::Expired => {
                        let own = word.number() == number;
                        self.skipped += u64::from(own && self.cursors[channel as usize].next == number); // Once.
                        (word.number() + 1, own || number < reached)
                    }
                },
                State::Free if word.number() <= number => return Ok(None),
                State::Free => ((word.number() + 1).saturating_sub(depth), true),
                State::Taken(_) | State::Lost => {
                    (word.number() + 1, word.number() >= number || number < reached)
                }
            };
            at = self.go_on(channel, number, known, settled);
            let Cursor { next, reached } = self.cursors[channel as usize];
            if at >= next + depth {
                if next >= reached {
                    return Ok(None); // Every cell was looked at.
                }
                at = next; // The client was further than was known: what is held on the way there is settled now.
            }
        }
        Ok(None)
    }

    /// A number was looked at, and the client has been before `known`; where to look next.
    #[inline(always)]
    fn go_on(&mut self, channel: u32, number: u64, known: u64, settled: bool) -> u64 {
        let depth = self.memory.depth();
        let cursor = &mut self.cursors[channel as usize];
        cursor.reached = cursor.reached.max(known);
        if cursor.reached > number + 1 + depth {
            return self.jump(channel, number);
        }
        if settled && cursor.next == number {
            cursor.next = number + 1;
        }
        number + 1
    }

    /// From a number to one round of cells before the least that the client has reached; or less far, to the first request that is
    /// there, so that it comes before the others.
    #[cold]
    fn jump(&mut self, channel: u32, number: u64) -> u64 {
        let depth = self.memory.depth();
        let requested = (0..depth).filter_map(|cell| {
            let word = &self.memory.request(Place { channel, cell }).word;
            let word = Word(word.load(Ordering::Relaxed)); // Relaxed: only where to look next.
            (word.state() == State::Requested && word.number() > number).then(|| word.number())
        });
        let before = self.cursors[channel as usize].reached - depth;
        let next = requested.fold(before, u64::min);
        self.cursors[channel as usize].next = next;
        next
    }

    /// The number was dealt with, and the client has been before `known`.
    #[inline(always)]
    fn settle(&mut self, channel: u32, number: u64, known: u64) {
        let cursor = &mut self.cursors[channel as usize];
        cursor.reached = cursor.reached.max(known);
        if cursor.next == number {
            cursor.next = number + 1;
        }
    }

    /// A request.
    #[inline(always)]
    fn meet(&self, place: Place, word: Word, aim: Aim) -> Met {
        let (memory, request, number) = (&self.memory, self.memory.request(place), word.number());
        // Relaxed: the word's acquire was before, and if it is the same when it is taken, they were this request's.
        let (deadline, len) = (request.deadline.load(Ordering::Relaxed), request.len.load(Ordering::Relaxed));
        if number & (memory.depth() - 1) != place.cell || number == 0 {
            return Met::Wrong(Corruption("a request has a number that does not belong in its cell"));
        }
        if len > memory.max_request() as u64 {
            return Met::Wrong(Corruption("a request is longer than requests can be"));
        }
        if deadline != u64::MAX && memory.now() >= deadline {
            return Met::Expired;
        }
        let len = len as usize;
        match aim {
            Aim::Take(room) if len <= room => {}
            _ => return Met::Found(Found::There(len)),
        }
        memory.prepare_reply(place);
        let taken = Word::taken(self.slot, number);
        // Acquire: partner `Asking::ask`. Not a release: what is written before is not for the client.
        match request.word.compare_exchange(word.0, taken.0, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Met::Found(Found::Taken(Taken { id: id_of(place.channel, number), len, place })),
            Err(_) => Met::Gone,
        }
    }

    /// Copies the bytes of a request that this server has, so many as there are.
    #[inline(always)]
    pub(crate) fn read(&self, taken: &Taken, to: &mut [u8]) {
        self.memory.read_request(taken.place, to);
    }

    /// Where the request with this id is, if this server has it and has not answered it.
    #[inline(always)]
    pub(crate) fn holds(&self, id: u64) -> Option<Place> {
        let (channel, number) = named(id);
        if channel >= self.memory.channels() || number >= LAST {
            return None;
        }
        let place = Place { channel, cell: number & (self.memory.depth() - 1) };
        // Relaxed: what this server has is its own doing.
        let word = self.memory.request(place).word.load(Ordering::Relaxed);
        let is_open = word == Word::taken(self.slot, number).0
            && answered(self.memory.reply(place).word.load(Ordering::Relaxed), number).is_none();
        is_open.then_some(place)
    }

    /// Answers the request at a place that [`Answering::holds`] gave for its id. At most as many bytes as a reply can have.
    #[inline(always)]
    pub(crate) fn answer(&self, place: Place, id: u64, data: &[u8], answer: Answer) {
        answer_with(&self.memory, place, named(id).1, data, answer);
    }

    /// Until when the request is wanted, in monotonic nanoseconds.
    pub(crate) fn deadline(&self, place: Place) -> u64 {
        self.memory.request(place).deadline.load(Ordering::Relaxed) // Relaxed: as in `meet`.
    }

    /// Refuses all that this server has and has not answered.
    pub(crate) fn refuse_all(&self, text: &[u8]) {
        let text = &text[..text.len().min(self.memory.max_reply())];
        for (place, number) in taken_by(&self.memory, self.slot) {
            answer_with(&self.memory, place, number, text, Answer::Refusal);
        }
    }
}

/// What became of a request that was found.
enum Met {
    Found(Found),
    Wrong(Corruption),
    Gone,
    Expired,
}

#[inline(always)]
fn answer_with(memory: &impl Memory, place: Place, number: u64, data: &[u8], answer: Answer) {
    let (reply, replied) = (memory.reply(place), &memory.channel(place.channel).replied);
    memory.write_reply(place, data);
    reply.len.store(data.len() as u64, Ordering::Relaxed); // Relaxed: ordered by the word's release.
    reply.word.store(reply_word(number, answer), Ordering::Release); // Partner: `Asking::answer_to`.
    replied.notify(memory.kernel(), u32::MAX);
}
