//! Random images: over everything behind the header, under ends that are attached, that attach after it, and, for a share
//! of them that has the header changed too, that come with a new handle.

use crate::calls::Calls;
use crate::exposed::{Exposed, State, STRATEGIES};
use crate::mix::{Ends, Mix};
use crate::tally::{Tally, Who, Word};
use crate::worker::{self, grouped};
use ipcx::{Consumer, Producer, Ring};
use ipcx_tests::{Place, Random};
use std::os::fd::AsFd;
use std::time::Duration;

/// Images in all.
const QUICK: u64 = 100_000;
const FULL: u64 = 10_000_000;
/// Images on one ring, before the next with another strategy of waiting.
const BATCH: u64 = 2000;
/// How long a call waits where calls wait.
const SHORT: Duration = Duration::from_micros(30);

#[test]
fn random_images_give_data_or_an_error() {
    if let Some(argument) = worker::argument() {
        return work(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let workers = worker::on_each_processor(&place, "images", "random_images_give_data_or_an_error", 36);
    let all = [(Who::Producer, "producer"), (Who::Consumer, "consumer"), (Who::Handle, "handle")];
    println!(
        "figures: hostile images | {} images; calls that gave data / an error: {}; {} | 0",
        grouped(worker::done(&workers)),
        worker::both(&workers, &all),
        worker::longest(&workers)
    );
}

/// The process that is exposed.
fn work(argument: &str) {
    let [n, count, seed] = numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let all = if worker::is_long() { FULL } else { QUICK }.div_ceil(count);
    let mut batch = 0;
    while tally.get(Word::Done) < all && !worker::is_to_stop(&tally) {
        let wait = STRATEGIES[batch % STRATEGIES.len()];
        let state = State::ALL[batch % State::ALL.len()];
        let exposed = Exposed::new(&format!("images-{n}-{batch}"), wait, state, true);
        let mix = Mix::new(&exposed.segment, Random::new(random.word()));
        let ends = Ends::of(&exposed.segment);
        let calls = Calls::new(&tally);
        Turn { exposed: &exposed, ends, mix, calls, tx: None, rx: None }.run(BATCH, &tally);
        batch += 1;
    }
}

/// The numbers in an argument.
pub(crate) fn numbers<const N: usize>(argument: &str) -> [u64; N] {
    let numbers: Vec<u64> = argument.split(' ').map(|text| text.parse().expect("a number")).collect();
    numbers.try_into().expect("as many numbers as the test gave")
}

/// Images under one ring.
struct Turn<'a> {
    exposed: &'a Exposed,
    /// Where the ends were in the image from which all start.
    ends: Ends,
    mix: Mix<'a>,
    calls: Calls<'a>,
    tx: Option<Producer>,
    rx: Option<Consumer>,
}

impl Turn<'_> {
    fn run(&mut self, images: u64, tally: &Tally) {
        for _ in 0..images {
            tally.begin_turn();
            let choice = self.mix.random.word();
            self.calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
            match choice >> 8 & 127 {
                0 => self.under_a_new_handle(choice),
                1..=16 => self.before_the_ends_attach(choice),
                _ => self.under_the_ends(choice),
            }
            tally.add(Word::Done, 1);
        }
        self.close();
    }

    fn close(&mut self) {
        self.calls.close(self.tx.take(), self.rx.take());
    }

    /// Everything as it was before the first image; nobody is attached.
    fn restore(&mut self) {
        self.close();
        self.exposed.segment.restore(&self.exposed.image, 0);
    }

    fn under_the_ends(&mut self, choice: u64) {
        if self.tx.is_none() && self.rx.is_none() {
            self.restore();
            (self.tx, self.rx) = self.exposed.take(&mut self.calls);
        }
        if let (0, Some(tx), Some(rx)) = (choice >> 16 & 255, &mut self.tx, &mut self.rx) {
            self.calls.watch(tx, rx);
        }
        let mut ends = self.ends;
        ends.head = self.rx.as_ref().map_or(ends.head, Consumer::position);
        ends.tail = self.tx.as_ref().map_or(ends.tail, Producer::position);
        self.mix.image(ends);
        self.use_everything();
        if let (0, Some(_), Some(_)) = (choice >> 24 & 63, &self.tx, &self.rx) {
            self.calls.contend(&self.exposed.ring);
        }
    }

    fn before_the_ends_attach(&mut self, choice: u64) {
        self.close();
        if choice >> 16 & 3 != 0 {
            self.restore();
        }
        self.mix.image(self.ends);
        (self.tx, self.rx) = self.exposed.take(&mut self.calls);
        self.use_everything();
    }

    fn under_a_new_handle(&mut self, choice: u64) {
        self.restore();
        let in_header = choice >> 16 & 3 != 0;
        if in_header {
            self.mix.header();
        }
        if !in_header || choice >> 18 & 1 == 0 {
            self.mix.image(self.ends);
        }
        let exposed = self.exposed;
        let attached = self.calls.attach(|| match choice >> 19 & 1 {
            0 => Ring::attach(&exposed.name),
            _ => Ring::from_fd(exposed.ring.share_fd()?.as_fd()),
        });
        if let Some(ring) = attached {
            let (mut tx, mut rx) = (self.calls.producer(&ring), self.calls.consumer(&ring));
            self.calls.use_everything(&ring, &mut tx, &mut rx);
            self.calls.close(tx, rx);
        }
        self.restore();
    }

    fn use_everything(&mut self) {
        self.calls.use_everything(&self.exposed.ring, &mut self.tx, &mut self.rx);
    }
}
