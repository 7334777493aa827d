//! What is made of a queue on disk after a reboot.
//!
//! Pages come to the disk one by one, and in any order; so lanes and bits may be of another time than the cells, and only the cells
//! count. Each says in its word what it is, and in its place of which priority and how old. From these everything else is made anew: a
//! message that stood in its lane, or was taken or put back, is there, in the order in which they were pushed; what does not make
//! sense is free. Whoever attaches first does it, while others wait to attach; not where another uses the queue, as that one lives since
//! the same start of the machine, whatever each of them takes for its name. It can be done again from any point: the order of what
//! was done already is that of what was not.

use super::layout::{lane_and_position, Cell, State, FREE_LANE, LANES};
use super::memory::Mapped;
use super::protocol::{Memory, Store};
use crate::error::{Error, Result};
use crate::segment::Segment;
use crate::stream::Corruption;
use crate::sync::Ordering;
use crate::sys::process;

/// Makes a new queue.
pub(super) fn begin(store: &Store<Mapped>, segment: &Segment) -> Result<()> {
    store.begin().map_err(|Corruption(what)| Error::Corrupt(segment.context(what)))?;
    note_boot(store, process::boot().unwrap_or_default());
    Ok(())
}

/// Puts a queue right that was used before the machine was started.
pub(super) fn restore(store: &Store<Mapped>, segment: &Segment) -> Result<()> {
    let now = process::boot().unwrap_or_default();
    let is_done = || {
        // Acquire: partner of `note_boot`.
        let [first, second] = &store.memory().control().boot;
        let noted = [first.load(Ordering::Acquire), second.load(Ordering::Acquire)];
        noted == now || noted == [0, 0] || now == [0, 0] // unknown
    };
    segment.leases().restore(is_done, || {
        rebuild(store).map_err(|Corruption(what)| Error::Corrupt(segment.context(what)))?;
        note_boot(store, now);
        Ok(())
    })
}

fn note_boot(store: &Store<Mapped>, boot: [u64; 2]) {
    for (word, half) in store.memory().control().boot.iter().zip(boot) {
        word.store(half, Ordering::Release); // Who sees both sees the queue as it is now. Partner: `restore`.
    }
}

/// Makes everything but the cells anew. Relaxed throughout: nobody else is there, and `note_boot` releases it.
fn rebuild(store: &Store<Mapped>) -> std::result::Result<(), Corruption> {
    let memory = store.memory();
    clear(memory);
    store.begin_lanes();
    let mut messages = Vec::new();
    for index in 0..memory.depth() {
        match message(store, index) {
            Some((lane, position)) => messages.push((lane, position, index)),
            None => {
                let word = store.word(index).fresh(State::Free, store.slot());
                memory.cell(index).word.store(word.0, Ordering::Relaxed);
                store.lane(FREE_LANE).append(index)?;
            }
        }
    }
    messages.sort_unstable();
    for (lane, _, index) in messages {
        let word = restored(store, store.word(index));
        if word.is(State::Dead) {
            memory.aside(index / 64).fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
        memory.cell(index).word.store(word.0, Ordering::Relaxed);
        store.use_lane(lane - 1);
        store.lane(lane).append(index)?;
    }
    Ok(())
}

fn clear(memory: &Mapped) {
    for lane in 0..LANES {
        (0..memory.entries()).for_each(|entry| memory.entry(lane, entry).store(0, Ordering::Relaxed));
    }
    (0..memory.depth().div_ceil(64)).for_each(|word| memory.aside(word).store(0, Ordering::Relaxed));
    let control = memory.control();
    for word in [&control.used, &control.returned, &control.looked] {
        word.store(0, Ordering::Relaxed);
    }
}

/// Lane and position of the message in a cell, if there is one.
fn message(store: &Store<Mapped>, index: u32) -> Option<(u32, u64)> {
    let cell = store.memory().cell(index);
    let is_whole = cell.len.load(Ordering::Relaxed) as usize <= store.memory().room();
    let is_message = !matches!(store.word(index).state(), Some(State::Free) | None);
    let place = lane_and_position(cell.place.load(Ordering::Relaxed));
    place.filter(|(lane, _)| *lane != FREE_LANE && is_whole && is_message)
}

/// Who had taken it is gone; and what was put back has its place in the lane again.
fn restored(store: &Store<Mapped>, word: Cell) -> Cell {
    let next = if word.is(State::Taken) { store.failed(word) } else { word };
    let state = if next.is(State::Dead) { State::Dead } else { State::Owned };
    next.set_aside(state, false)
}
