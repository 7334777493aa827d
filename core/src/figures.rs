//! What is in work in a segment, seen from outside: the figures of each kind, read from its file.
//!
//! Like the rest of the listing it takes nothing and writes nothing. What is read may be any bytes: positions are compared with the
//! capacity, slots with the participants, and what is no value that ipcx writes is counted as such or is `Corrupt`.

use crate::error::{Context, Error, Result};
use crate::monitor;
use crate::segment::{Kind, View};
use crate::stream::{self, CAPACITY};
use crate::{buffer, pool, queue, ring, semaphore, service, topic};
use std::mem::offset_of;
use std::path::Path;
use std::sync::Arc;

/// Words that are read at once: of a table, whose parts begin and end at multiples of 128 bytes, either so many or 16.
const MANY: usize = 512;
const FEW: usize = 16;

/// Figures of a segment of any kind, without attaching to it. More fields may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// How much of what there is room for is used, and how much room there is: bytes of a ring, a buffer and a reliable topic,
    /// blocks of a pool, permits of a semaphore, requests of a service, messages of a queue. A lossy topic has none.
    pub used: Option<(u64, u64)>,
    /// What `used` counts: `bytes`, `blocks`, `permits`, `requests` or `messages`.
    pub unit: &'static str,
    /// What happened since the segment was made, counted up: the difference of two looks is a rate. Records sent, writes
    /// committed, records published, requests asked, messages pushed, blocks or permits given back. Where a process died it may be off by what
    /// was in work.
    pub moved: u64,
    /// The figures of the kind, by name.
    pub counters: Vec<(&'static str, u64)>,
    /// What participants hold, dead ones among them until they are recovered: slot, what it is called, and how many.
    pub holdings: Vec<(u32, &'static str, u64)>,
    /// Slot of the participant that has the lock of a buffer or a topic, or died having it.
    pub lock: Option<u32>,
}

/// Figures of the segment with this name in the default directory.
///
/// Looking changes nothing, takes nothing, and stops nobody: what changes meanwhile counts as it was at some moment of the look.
/// Takes time in proportion to the blocks of a pool, the messages of a queue and the requests of a service.
///
/// Thread-safe, does not block. Not async-signal-safe.
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-figures-{}", std::process::id());
/// let ring = ipcx::Ring::create(&name, &Default::default())?;
/// ring.producer()?.send(b"hello")?;
/// let figures = ipcx::figures(&name)?;
/// assert_eq!((figures.moved, figures.used), (1, Some((16, ring.capacity()))));
/// # ipcx::unlink(&name)
/// # }
/// ```
///
/// # Errors
/// `Invalid` for a bad name, `NotFound`, `Corrupt`, `Version`, `Permission`, `Os`.
pub fn figures(name: &str) -> Result<Figures> {
    figures_in(None, name)
}

/// [`figures`] of a segment in a directory; `None` means the default one.
///
/// # Errors
/// As [`figures`].
pub fn figures_in(directory: Option<&Path>, name: &str) -> Result<Figures> {
    let (view, kind) = monitor::view(directory, name)?;
    let look = Look { name: Arc::from(name), view: &view };
    match kind {
        Kind::Ring => look.ring(),
        Kind::Pool => look.pool(),
        Kind::Buffer => look.buffer(),
        Kind::Semaphore => look.semaphore(),
        Kind::Topic => look.topic(),
        Kind::Service => look.service(),
        Kind::Queue => look.queue(),
    }
}

struct Look<'v> {
    name: Arc<str>,
    view: &'v View,
}

/// Counts by slot.
struct Held {
    what: &'static str,
    counts: Vec<u64>,
}

impl Held {
    fn add(&mut self, slot: u32) {
        if let Some(count) = self.counts.get_mut(slot as usize) {
            *count += 1;
        }
    }

    fn listed(self) -> impl Iterator<Item = (u32, &'static str, u64)> {
        let what = self.what;
        (0..).zip(self.counts).filter(|(_, count)| *count > 0).map(move |(slot, count)| (slot, what, count))
    }
}

impl Look<'_> {
    fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt(Context::new(&self.name, what))
    }

    /// For parameters that the check of the header has let pass.
    fn checked<T>(&self, parts: Option<T>) -> Result<T> {
        parts.ok_or_else(|| self.corrupt("its parameters are none that ipcx writes"))
    }

    fn word(&self, at: usize) -> Result<u64> {
        self.view.body(at).map(u64::from_ne_bytes)
    }

    fn held(&self, what: &'static str) -> Held {
        Held { what, counts: vec![0; self.view.participants() as usize] }
    }

    /// Each word of a table that ends at a multiple of 128 bytes.
    fn each_word(&self, at: usize, count: usize, mut each: impl FnMut(u64)) -> Result<()> {
        let mut done = 0;
        while done < count {
            let mut bytes = [0; MANY * 8];
            let from = at + done * 8;
            let read = if count - done >= MANY {
                bytes = self.view.body(from)?;
                MANY
            } else {
                bytes[..FEW * 8].copy_from_slice(&self.view.body::<{ FEW * 8 }>(from)?);
                FEW
            };
            let words = bytes.chunks_exact(8).take(read.min(count - done));
            words.for_each(|word| each(u64::from_ne_bytes(word.try_into().expect("8 bytes"))));
            done += read;
        }
        Ok(())
    }

    /// The owner that a mutex's word names.
    fn lock(&self, at: usize) -> Result<Option<u32>> {
        let word = u32::from_ne_bytes(self.view.body(at)?);
        match (word & 0xffff).checked_sub(1) {
            Some(slot) if slot >= self.view.participants() => {
                Err(self.corrupt("the lock is not in a state that ipcx writes"))
            }
            slot => Ok(slot),
        }
    }

    fn ring(&self) -> Result<Figures> {
        use ring::layout::{ConsumerPage, ProducerPage};
        let (capacity, consumer) = (self.view.options()[CAPACITY], self.view.page() as usize);
        // The tail first: the position is never ahead of it, but may be ahead of one that was read before.
        let tail = self.word(offset_of!(ProducerPage, tail))?;
        let position = self.word(consumer + offset_of!(ConsumerPage, position))?;
        let used = tail.saturating_sub(position);
        if used > capacity {
            return Err(self.corrupt("the ring's positions are further apart than its capacity"));
        }
        let sent = self.word(offset_of!(ProducerPage, records))?;
        let received = self.word(consumer + offset_of!(ConsumerPage, records))?;
        Ok(Figures {
            used: Some((used, capacity)),
            unit: "bytes",
            moved: sent,
            counters: vec![
                ("sent", sent),
                ("received", received),
                ("sent_bytes", tail),
                ("received_bytes", position),
            ],
            ..Default::default()
        })
    }

    fn buffer(&self) -> Result<Figures> {
        use buffer::layout::{Control, Value};
        let capacity = self.view.options()[buffer::layout::CAPACITY];
        let value = offset_of!(Control, value);
        let version = self.word(value + offset_of!(Value, version))?;
        let begun = self.word(value + offset_of!(Value, begun))?;
        let len = self.word(value + offset_of!(Value, len) + (version % 2) as usize * 8)?;
        if len > capacity {
            return Err(self.corrupt("the length of the value is more than the capacity"));
        }
        Ok(Figures {
            used: Some((len, capacity)),
            unit: "bytes",
            moved: version,
            counters: vec![("version", version), ("being_written", u64::from(begun > version)), ("len", len)],
            lock: self.lock(offset_of!(Control, mutex))?,
            ..Default::default()
        })
    }

    fn topic(&self) -> Result<Figures> {
        use topic::layout::{record_size, Cursor, Events, Parts, Publishers};
        let view = self.view;
        let parts = self.checked(Parts::of(view.options(), view.participants(), view.page()))?;
        let mut cursors = Vec::new();
        for slot in 0..parts.cursors {
            let at = parts.subscribers + size_of::<Events>() + slot * size_of::<Cursor>();
            // One less: the position; none: nobody subscribes.
            cursors.extend(self.word(at)?.checked_sub(1).map(|position| (slot as u32, position)));
        }
        let newest = self.word(offset_of!(Publishers, newest))?;
        let at = parts.data + newest as usize % parts.capacity;
        let word = self.word(at)?;
        // The number stands behind the word; the data is read from a file, where it is not there twice.
        let number = self.word(parts.data + (newest as usize + 8) % parts.capacity)?;
        let published = stream::record(word, newest).map(|(_, len)| (number.saturating_add(1), len));
        let (count, end) = match published {
            Some((count, len)) => (count, newest.saturating_add(record_size(len))),
            None => (0, newest), // None yet, or it was overwritten since.
        };
        let (capacity, unread) = (parts.capacity as u64, |position| end.saturating_sub(position));
        let most = cursors.iter().map(|(_, position)| unread(*position)).max().unwrap_or(0);
        let reliable = parts.cursors > 0;
        Ok(Figures {
            used: reliable.then_some((most.min(capacity), capacity)),
            unit: "bytes",
            moved: count,
            counters: vec![
                ("published", count),
                ("published_bytes", end),
                ("subscribers", cursors.len() as u64),
            ],
            holdings: cursors
                .into_iter()
                .map(|(slot, position)| (slot, "unread bytes", unread(position).min(capacity)))
                .collect(),
            lock: self.lock(offset_of!(Publishers, mutex))?,
        })
    }

    fn pool(&self) -> Result<Figures> {
        let view = self.view;
        let parts =
            self.checked(pool::layout::Parts::of(view.options(), view.participants(), view.page()))?;
        let blocks = view.options()[pool::layout::BLOCKS];
        let mut counted = self.blocks(parts.cells, blocks, "blocks")?;
        let [free, owned, in_flight, _] = counted.counts;
        counted.figures.used = Some((owned + in_flight, blocks));
        counted.figures.counters = vec![
            ("free", free),
            ("owned", owned),
            ("in_flight", in_flight),
            ("given_back", counted.figures.moved),
        ];
        Ok(counted.figures)
    }

    fn semaphore(&self) -> Result<Figures> {
        let view = self.view;
        let limit = view.options()[semaphore::LIMIT];
        let parts = pool::layout::Parts::without_bytes(limit, 0, view.participants(), view.page());
        let mut counted = self.blocks(self.checked(parts)?.cells, limit, "permits")?;
        let [free, owned, _, absent] = counted.counts;
        counted.figures.used = Some((owned, limit));
        counted.figures.counters = vec![
            ("value", free),
            ("acquired", owned),
            ("absent", absent),
            ("given_back", counted.figures.moved),
        ];
        Ok(counted.figures)
    }

    /// Who has the blocks of a table of cells, and how many are free, owned, in flight, absent.
    fn blocks(&self, cells: usize, count: u64, unit: &'static str) -> Result<Counted> {
        use pool::layout::{Cell, State};
        let (mut counts, mut held, mut moved) = ([0; 4], self.held(unit), 0u64);
        self.each_word(cells, count as usize, |word| {
            let cell = Cell(word);
            moved = moved.wrapping_add(word >> 28); // its generation
            match cell.state() {
                Some(State::Free | State::Cached) => counts[0] += 1,
                Some(State::Owned | State::Sending) => {
                    counts[1] += 1;
                    held.add(cell.who());
                }
                Some(State::InFlight) => counts[2] += 1,
                Some(State::Absent) => counts[3] += 1,
                None => {}
            }
        })?;
        let figures = Figures { unit, moved, holdings: held.listed().collect(), ..Default::default() };
        Ok(Counted { figures, counts })
    }

    fn service(&self) -> Result<Figures> {
        use service::layout::{Channel, Parts, State, Word, DEPTH, MAX_CLIENTS};
        let view = self.view;
        let parts = self.checked(Parts::of(view.options(), view.participants(), view.page()))?;
        let (clients, depth) = (view.options()[MAX_CLIENTS], view.options()[DEPTH]);
        let (mut waiting, mut lost, mut asked, mut connected) = (0, 0, 0u64, 0);
        let mut taken = self.held("requests");
        for channel in 0..clients {
            connected += u64::from(self.word(parts.channels + channel as usize * size_of::<Channel>())? != 0);
            let mut next = 0;
            for cell in channel * depth..(channel + 1) * depth {
                let word = Word(self.word(parts.requests + cell as usize * parts.request)?);
                // That of a free cell is of the next that can be in it, and so at most a depth ahead.
                next = next.max(match word.state() {
                    State::Free => word.number().saturating_sub(depth),
                    _ => word.number(),
                });
                match word.state() {
                    State::Requested => waiting += 1,
                    State::Taken(slot) => taken.add(slot),
                    State::Lost => lost += 1,
                    State::Free => {}
                }
            }
            asked = asked.saturating_add(next);
        }
        let holdings: Vec<_> = taken.listed().collect();
        let in_work: u64 = holdings.iter().map(|(_, _, count)| count).sum();
        Ok(Figures {
            used: Some((waiting + in_work, clients * depth)),
            unit: "requests",
            moved: asked,
            counters: vec![
                ("clients", connected),
                ("asked", asked),
                ("waiting", waiting),
                ("taken", in_work),
                ("lost", lost),
            ],
            holdings,
            lock: None,
        })
    }

    fn queue(&self) -> Result<Figures> {
        use queue::layout::{
            lane_and_position, Cell, Control, Envelope, Hints, Parts, State, LANES, PRIORITIES,
        };
        let parts = self.checked(Parts::of(self.view.options(), self.view.page()))?;
        let (mut ready, mut pushing, mut dead, mut taken) = (0, 0, 0, self.held("messages"));
        for index in 0..parts.depth as usize {
            let envelope: [u8; 16] = self.view.body(parts.cells + index * parts.stride)?;
            let word = |at: usize| u64::from_ne_bytes(envelope[at..at + 8].try_into().expect("8 bytes"));
            let cell = Cell(word(offset_of!(Envelope, word)));
            let lane = lane_and_position(word(offset_of!(Envelope, place))).map(|(lane, _)| lane);
            let stands = lane.is_some_and(|lane| (1..=PRIORITIES).contains(&lane));
            match cell.state() {
                Some(State::Owned | State::Returned) if stands => ready += 1,
                Some(State::Owned) => pushing += 1,
                Some(State::Taken) => taken.add(cell.slot()),
                Some(State::Dead) => dead += 1,
                _ => {}
            }
        }
        let mut pushed = 0u64;
        for lane in 1..LANES as usize {
            let at = parts.hints + lane * size_of::<Hints>() + offset_of!(Hints, tail);
            // The first position is that of the number of entries.
            pushed = pushed.saturating_add(self.word(at)?.saturating_sub(u64::from(parts.entries)));
        }
        let holdings: Vec<_> = taken.listed().collect();
        let in_work: u64 = holdings.iter().map(|(_, _, count)| count).sum();
        Ok(Figures {
            used: Some((ready + pushing + dead + in_work, u64::from(parts.depth))),
            unit: "messages",
            moved: pushed,
            counters: vec![
                ("pushed", pushed),
                ("ready", ready),
                ("being_pushed", pushing),
                ("taken", in_work),
                ("dead_letters", dead),
                ("put_back", self.word(offset_of!(Control, returned))?),
            ],
            holdings,
            lock: None,
        })
    }
}

struct Counted {
    figures: Figures,
    /// Free, owned, in flight, absent.
    counts: [u64; 4],
}
