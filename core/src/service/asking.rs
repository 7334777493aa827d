//! A client's side of the protocol.

use super::layout::{answered, id_of, named, next_in, Answer, State, Word, LAST};
use super::protocol::{give_up, show, unserved, End, Memory, Place};
use crate::stream::Corruption;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// What is known of a cell's request, privately: 0 if there is none; its number doubled; and 1 more if nobody wants its reply.
///
/// Written by the client; its watcher reads it too.
#[derive(Debug)]
pub(crate) struct Open(Box<[AtomicU64]>);

const UNWANTED: u64 = 1;

impl Open {
    fn get(&self, cell: u64) -> u64 {
        self.0[cell as usize].load(Ordering::Relaxed) // Relaxed: the watcher only needs to know soon.
    }

    fn set(&self, cell: u64, value: u64) {
        self.0[cell as usize].store(value, Ordering::Relaxed); // Relaxed: as above.
    }

    /// The number of the request whose reply is waited for.
    fn wanted(&self, cell: u64) -> Option<u64> {
        let open = self.get(cell);
        (open != 0 && open & UNWANTED == 0).then_some(open >> 1)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// The server that had taken it died.
    Lost,
    /// No server took it, and there is none: it was withdrawn.
    Unserved(End),
}

impl Outcome {
    /// False if no server had the request: it is not carried out.
    pub(crate) fn was_taken(self) -> bool {
        !matches!(self, Outcome::Unserved(_))
    }
}

/// Which requests are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Any,
    /// The one with this id, whose reply is wanted.
    One(u64),
}

/// What a client has: a channel.
#[derive(Debug)]
pub(crate) struct Asking<M> {
    memory: M,
    channel: u32,
    /// Number of the next request, unless its cell is not free.
    next: u64,
    open: Arc<Open>,
    /// How many replies are wanted.
    wanted: u64,
    /// The cell to look at first.
    turn: u64,
}

impl<M: Memory> Asking<M> {
    /// Of a channel that this participant has claimed: goes on where the client before it ended. What that one asked and no server
    /// has taken is withdrawn.
    pub(crate) fn take_over(memory: M, channel: u32) -> Result<Asking<M>, Corruption> {
        let depth = memory.depth();
        let word = |cell| &memory.request(Place { channel, cell }).word;
        // The cell used last says exactly where it ended, the others at most that.
        let past = |cell| {
            let word = Word(word(cell).load(Ordering::Acquire)); // Partner: who freed it, or the server that has it.
            match word.state() {
                State::Free => (word.number() + 1).saturating_sub(depth),
                _ => word.number() + 1,
            }
        };
        let next = (0..depth).map(past).fold(1, u64::max);
        if next >= LAST / 2 {
            return Err(Corruption("the numbers of a client's requests are used up"));
        }
        let open = (0..depth).map(|_| AtomicU64::new(0)).collect();
        let asking = Asking { channel, next, open: Arc::new(Open(open)), wanted: 0, turn: 0, memory };
        (0..depth).for_each(|cell| asking.inherit(cell));
        show(&asking.memory, channel);
        Ok(asking)
    }

    /// A cell of the client before this one.
    fn inherit(&self, cell: u64) {
        let word = self.word(cell);
        let seen = Word(word.load(Ordering::Acquire));
        let free = Word::free(next_in(cell, self.memory.depth(), self.next));
        let is_free = match seen.state() {
            State::Free | State::Requested => {
                // A server that looked at this channel before may take it at this moment.
                word.compare_exchange(seen.0, free.0, Ordering::Release, Ordering::Acquire).is_ok()
            }
            State::Taken(_) | State::Lost => false,
        };
        if !is_free {
            let number = Word(word.load(Ordering::Relaxed)).number();
            self.open.set(cell, number << 1 | UNWANTED);
        }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    pub(crate) fn channel(&self) -> u32 {
        self.channel
    }

    /// What a watcher needs.
    pub(crate) fn open(&self) -> &Arc<Open> {
        &self.open
    }

    /// How many replies are waited for.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    #[inline(always)]
    fn place(&self, cell: u64) -> Place {
        Place { channel: self.channel, cell }
    }

    #[inline(always)]
    fn word(&self, cell: u64) -> &AtomicU64 {
        &self.memory.request(self.place(cell)).word
    }

    #[inline(always)]
    fn cell(&self, number: u64) -> u64 {
        number & (self.memory.depth() - 1)
    }

    /// Asks, if there is a free cell; gives the request's id. At most as many bytes as there may be. Next comes [`announce`].
    #[inline(always)]
    pub(crate) fn ask(&mut self, data: &[u8], deadline: u64) -> Option<u64> {
        let first = self.next;
        let number = (first..first + self.memory.depth()).find(|number| self.is_free(self.cell(*number)))?;
        let (cell, next) = (self.cell(number), number + 1);
        let (place, memory) = (self.place(cell), &self.memory);
        let request = memory.request(place);
        memory.write_request(place, data);
        // Relaxed: ordered by the word's release.
        request.deadline.store(deadline, Ordering::Relaxed);
        request.len.store(data.len() as u64, Ordering::Relaxed);
        self.open.set(cell, number << 1);
        request.word.store(Word::requested(number).0, Ordering::Release); // Partner: `Answering::look_at`.
        self.next = next;
        self.wanted += 1;
        Some(id_of(self.channel, number))
    }

    /// True if a request can be in the cell; one whose reply nobody wants is done with if there is one.
    #[inline(always)]
    fn is_free(&self, cell: u64) -> bool {
        self.open.get(cell) == 0 || self.drop_late(cell)
    }

    #[cold]
    fn drop_late(&self, cell: u64) -> bool {
        let open = self.open.get(cell);
        let (number, unwanted) = (open >> 1, open & UNWANTED != 0);
        // Acquire: partners `Answering::answer` and `bury`.
        let is_over = || {
            answered(self.memory.reply(self.place(cell)).word.load(Ordering::Acquire), number).is_some()
                || self.word(cell).load(Ordering::Acquire) == Word::lost(number).0
        };
        let over = unwanted && is_over();
        if over {
            self.free(cell);
        }
        over
    }

    /// True if one could ask now. If not, and nothing is to be received either, an answer that nobody wants makes it so.
    pub(crate) fn may_ask(&self) -> bool {
        (0..self.memory.depth()).any(|cell| self.is_free(cell))
    }

    #[inline(always)]
    fn free(&self, cell: u64) {
        let free = Word::free(next_in(cell, self.memory.depth(), self.next));
        self.open.set(cell, 0);
        // Partner: `Answering::look_at`. Nobody else changes what was answered, lost, or not requested.
        self.word(cell).store(free.0, Ordering::Release);
    }

    /// A request that was answered.
    #[inline(always)]
    pub(crate) fn look(&self, which: Which) -> Option<(u64, Outcome)> {
        match which {
            Which::One(id) => {
                let number = named(id).1;
                self.answer_to(self.cell(number), number).map(|answer| (id, Outcome::Answered(answer)))
            }
            Which::Any => self.find(|cell, number| self.answer_to(cell, number).map(Outcome::Answered)),
        }
    }

    #[inline(always)]
    fn answer_to(&self, cell: u64, number: u64) -> Option<Answer> {
        let (memory, place) = (&self.memory, self.place(cell));
        memory.expect_reply(place);
        answered(memory.reply(place).word.load(Ordering::Acquire), number) // Partner: `Answering::answer`.
    }

    /// The first of the requests whose reply is wanted of which `look` says something; in turn.
    #[inline(always)]
    fn find(&self, mut look: impl FnMut(u64, u64) -> Option<Outcome>) -> Option<(u64, Outcome)> {
        let mut left = self.wanted;
        let mut cells = (self.turn..self.turn + self.memory.depth()).map(|cell| self.cell(cell));
        while left > 0 {
            let cell = cells.next()?;
            let Some(number) = self.open.wanted(cell) else { continue };
            left -= 1;
            if let Some(outcome) = look(cell, number) {
                return Some((id_of(self.channel, number), outcome));
            }
        }
        None
    }

    /// A request that will not be answered: its server died, or it has none, and then it is withdrawn.
    pub(crate) fn look_for_end(&self, which: Which) -> Option<(u64, Outcome)> {
        let end = unserved(&self.memory);
        match which {
            Which::One(id) => {
                let number = named(id).1;
                self.end_of(self.cell(number), number, end).map(|outcome| (id, outcome))
            }
            Which::Any => self.find(|cell, number| self.end_of(cell, number, end)),
        }
    }

    fn end_of(&self, cell: u64, number: u64, end: Option<End>) -> Option<Outcome> {
        let seen = Word(self.word(cell).load(Ordering::Acquire)); // Partner: `bury`.
        if seen == Word::lost(number) {
            return Some(Outcome::Lost);
        }
        end.filter(|_| seen == Word::requested(number) && self.withdraw(number)).map(Outcome::Unserved)
    }

    /// The slot of the server that has a request which did not end; `None` if none has. Of several, of the first.
    pub(crate) fn taker(&self, which: Which) -> Option<u32> {
        // Relaxed: for a message.
        let taker = |cell| match Word(self.word(cell).load(Ordering::Relaxed)).state() {
            State::Taken(slot) => Some(slot),
            _ => None,
        };
        match which {
            Which::One(id) => taker(self.cell(named(id).1)),
            Which::Any => {
                (0..self.memory.depth()).filter(|cell| self.open.wanted(*cell).is_some()).find_map(taker)
            }
        }
    }

    /// Takes a request back that no server has taken; false if one has.
    fn withdraw(&self, number: u64) -> bool {
        let cell = self.cell(number);
        let free = Word::free(next_in(cell, self.memory.depth(), self.next));
        let (word, requested) = (self.word(cell), Word::requested(number));
        // Release: partner `Answering::look_at`.
        word.compare_exchange(requested.0, free.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// True if the reply to the request with this id is waited for.
    pub(crate) fn wants(&self, id: u64) -> bool {
        let (channel, number) = named(id);
        channel == self.channel && self.open.wanted(self.cell(number)) == Some(number)
    }

    /// Gives up on a request: it is withdrawn, which is true, or a server has taken it, and its reply will be dropped.
    pub(crate) fn forget(&mut self, id: u64) -> bool {
        let number = named(id).1;
        let withdrawn = self.withdraw(number);
        self.open.set(self.cell(number), if withdrawn { 0 } else { number << 1 | UNWANTED });
        self.wanted -= 1;
        withdrawn
    }

    /// Takes it back that one gave up on a request that a server has taken.
    pub(crate) fn want_again(&mut self, id: u64) {
        let number = named(id).1;
        self.open.set(self.cell(number), number << 1);
        self.wanted += 1;
    }

    /// Length of the reply, or of the text of the refusal.
    #[inline(always)]
    pub(crate) fn len(&self, id: u64) -> Result<usize, Corruption> {
        let place = self.place(self.cell(named(id).1));
        let len = self.memory.reply(place).len.load(Ordering::Relaxed); // Relaxed: the word's acquire was before.
        if len > self.memory.max_reply() as u64 {
            return Err(Corruption("a reply is longer than replies can be"));
        }
        Ok(len as usize)
    }

    /// Makes it the first to be looked at, of those that have ended: its reply did not fit, and is to be received next.
    pub(crate) fn is_next(&mut self, id: u64) {
        self.turn = self.cell(named(id).1);
    }

    /// Copies the reply, which is so long.
    #[inline(always)]
    pub(crate) fn read(&self, id: u64, to: &mut [u8]) {
        self.memory.read_reply(self.place(self.cell(named(id).1)), to);
    }

    /// Is done with a request that ended.
    #[inline(always)]
    pub(crate) fn end(&mut self, id: u64, outcome: Outcome) {
        let cell = self.cell(named(id).1);
        match outcome {
            Outcome::Answered(_) | Outcome::Lost => self.free(cell),
            Outcome::Unserved(_) => self.open.set(cell, 0), // Free since it was withdrawn.
        }
        self.wanted -= 1;
        self.turn = self.cell(cell + 1);
    }

    /// Gives the channel up.
    pub(crate) fn leave(&self) {
        give_up(&self.memory, self.channel);
    }
}

/// True if a reply came that is waited for; or, if that is asked, if one will not come. For the client and its watcher.
pub(crate) fn has_outcome(memory: &impl Memory, channel: u32, open: &Open, also_ends: bool) -> bool {
    let end = also_ends && unserved(memory).is_some();
    (0..memory.depth()).any(|cell| {
        let (place, number) = (Place { channel, cell }, open.wanted(cell));
        number.is_some_and(|number| {
            let seen = memory.request(place).word.load(Ordering::Acquire); // Partner: `bury`.
            answered(memory.reply(place).word.load(Ordering::Acquire), number).is_some()
                || seen == Word::lost(number).0
                || end && seen == Word::requested(number).0
        })
    })
}

/// After a request: wakes a server that sleeps.
#[inline(always)]
pub(crate) fn announce(memory: &impl Memory) {
    memory.control().requested.notify(memory.kernel(), 1);
}
