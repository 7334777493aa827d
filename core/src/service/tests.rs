//! A client and three servers who do this and that, one after the other: one look of any server finds the first request that is
//! there, however far behind it is.

use super::answering::{Aim, Answering, Found};
use super::asking::{Asking, Which};
use super::handle::FORMAT;
use super::layout::{id_of, named, Answer, State, Word};
use super::memory::{Mapped, Side};
use super::protocol::{bury, claim, serve, Memory, Place};
use crate::segment::{Segment, SegmentOptions};
use crate::sync::Ordering;
use std::collections::HashSet;

struct Play {
    memory: Mapped,
    asks: Asking<Mapped>,
    servers: Vec<Answering<Mapped>>,
    taken: HashSet<u64>,
    /// Which server has which.
    held: Vec<(usize, u64)>,
    seed: u64,
}

fn client(memory: &Mapped) -> Asking<Mapped> {
    let channel = claim(memory, 0).expect("nobody has it");
    Asking::take_over(memory.clone(), channel).unwrap()
}

fn server(memory: &Mapped, n: usize) -> Answering<Mapped> {
    let slot = n as u32 + 1;
    serve(memory, slot);
    Answering::new(memory.clone(), slot)
}

impl Play {
    fn new(depth: u64, seed: u64) -> Play {
        let parameters = [1, 1, 1, depth, 0, 0, 0, 0];
        let segment = Segment::anonymous(&SegmentOptions::default(), FORMAT, parameters).unwrap();
        let memory = Mapped::new(&segment, Side::Server).unwrap();
        let servers = (0..3).map(|n| server(&memory, n)).collect();
        Play { asks: client(&memory), servers, memory, taken: HashSet::new(), held: Vec::new(), seed }
    }

    /// A number that seems to be random.
    fn below(&mut self, n: usize) -> usize {
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.seed >> 33) as usize % n
    }

    /// Numbers of the requests that a server may take, in order.
    fn waiting(&self) -> Vec<u64> {
        let number = |cell| {
            let request = self.memory.request(Place { channel: 0, cell });
            let word = Word(request.word.load(Ordering::Relaxed));
            let is_late = request.deadline.load(Ordering::Relaxed) != u64::MAX;
            (word.state() == State::Requested && !is_late).then(|| word.number())
        };
        let mut all: Vec<u64> = (0..self.memory.depth()).filter_map(number).collect();
        all.sort_unstable();
        all
    }

    fn look(&mut self, n: usize) {
        let there = !self.waiting().is_empty();
        assert_eq!(self.servers[n].find(Aim::Look).unwrap().is_some(), there, "{:?}", self.servers[n]);
    }

    fn take(&mut self, n: usize) {
        let first = self.waiting().first().copied();
        let taken = match self.servers[n].find(Aim::Take(1)).unwrap() {
            Some(Found::Taken(taken)) => Some(taken.id),
            other => other.map(|there| panic!("{there:?}")),
        };
        assert_eq!(taken.map(|id| named(id).1), first, "{:?}", self.servers[n]);
        if let Some(id) = taken {
            assert!(self.taken.insert(id), "taken twice");
            self.held.push((n, id));
        }
    }

    fn reply(&mut self) {
        if !self.held.is_empty() {
            let which = self.below(self.held.len());
            let (n, id) = self.held.swap_remove(which);
            let place = self.servers[n].holds(id).expect("it has it");
            self.servers[n].answer(place, id, b"y", Answer::Reply);
        }
    }

    fn receive(&mut self) {
        if let Some((id, outcome)) = self.asks.look(Which::Any).or_else(|| self.asks.look_for_end(Which::Any))
        {
            self.asks.end(id, outcome);
        }
    }

    fn forget(&mut self) {
        let cell = self.below(self.memory.depth() as usize) as u64;
        let word = Word(self.memory.request(Place { channel: 0, cell }).word.load(Ordering::Relaxed));
        let id = id_of(0, word.number());
        if self.asks.wants(id) {
            self.asks.forget(id);
        }
    }

    /// A server dies, and another comes.
    fn die(&mut self) {
        let n = self.below(3);
        bury(&self.memory, n as u32 + 1);
        self.held.retain(|(holder, _)| *holder != n);
        self.servers[n] = server(&self.memory, n);
    }

    fn step(&mut self) {
        match self.below(160) {
            0..=39 => drop(self.asks.ask(b"x", u64::MAX)),
            40..=49 => drop(self.asks.ask(b"x", 1)), // too late at once
            50..=79 => self.take(0),
            80..=89 => self.take(1),
            90 => self.take(2), // away for long
            91..=99 => (0..3).for_each(|n| self.look(n)),
            100..=119 => self.reply(),
            120..=139 => self.receive(),
            140..=157 => self.forget(),
            158 => {
                self.asks.leave();
                self.asks = client(&self.memory);
            }
            _ => self.die(),
        }
    }
}

#[test]
fn one_look_of_any_server_finds_the_first_request() {
    for depth in [1, 2, 4, 8, 16] {
        for seed in 0..40 {
            let mut play = Play::new(depth, seed);
            (0..1000).for_each(|_| play.step());
        }
    }
}
