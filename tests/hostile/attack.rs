//! The three attacks on a kind: every bit flipped, random images, and a peer that writes without pause, under handles
//! that are attached and under new ones.

use crate::images::numbers;
use crate::kind::{Calls, Exposed, Kind};
use crate::tally::Word;
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use ipcx_tests::{Place, Random};
use std::time::{Duration, Instant};

const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
/// How long a call waits where calls wait.
const SHORT: Duration = Duration::from_micros(30);
/// What begins takes no longer, however busy the machine is.
const TO_BEGIN: Duration = Duration::from_secs(30);
/// Words that are written between two looks at the tally.
const BATCH: u64 = 256;

/// The tests of a kind, by their names.
macro_rules! proofs {
    ($kind:ty: $bits:ident, $images:ident, $live:ident) => {
        #[test]
        fn $bits() {
            $crate::attack::bits::<$kind>(stringify!($bits));
        }

        #[test]
        fn $images() {
            $crate::attack::images::<$kind>(stringify!($images));
        }

        #[test]
        fn $live() {
            $crate::attack::live::<$kind>(stringify!($live));
        }
    };
}
pub(crate) use proofs;

/// Every bit of a segment, each before and between the calls.
pub(crate) fn bits<K: Kind>(test: &str) {
    if let Some(argument) = worker::argument() {
        return flip::<K>(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let workers = worker::on_each_processor(&place, K::NAME, test, K::PERCENT);
    println!(
        "figures: hostile bits, {} | {} of {} flips, each before and between the calls of a handle that is attached and of a \
         new one; {} | 0",
        K::NAME,
        grouped(worker::done(&workers)),
        grouped(K::SHAPES.iter().map(|shape| shape.bytes() as u64 * 8).sum()),
        worker::longest(&workers)
    );
}

/// In a worker: every `count`th word, from the `n`th on.
fn flip<K: Kind>(argument: &str) {
    let [n, count, seed] = numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let calls = Calls::new::<K>(&tally);
    for (turn, shape) in K::SHAPES.iter().enumerate() {
        let mut exposed = Exposed::new(format!("bits-{n}-{turn}"), *shape);
        for bit in (0..shape.bytes() * 8).filter(|bit| (bit / 64) as u64 % count == n) {
            if !worker::is_long() && shape.is_minor(bit / 8) && random.below(K::SHARE) > 0 {
                continue;
            }
            tally.begin_turn();
            flip_one(&calls, &mut exposed, bit);
            tally.add(Word::Done, 1);
            if worker::is_to_stop(&tally) {
                break;
            }
        }
        exposed.restore();
    }
}

fn flip_one<K: Kind>(calls: &Calls<'_>, exposed: &mut Exposed<K>, bit: usize) {
    let Exposed { name, words, image, ends, .. } = exposed;
    let flip_in_image = || {
        words.restore(image);
        words.flip(bit);
    };
    let use_everything = |ends: &mut K::Ends| {
        K::use_everything(calls, ends, &mut || ());
        // To and fro between the calls.
        K::use_everything(calls, ends, &mut || words.flip(bit));
    };
    flip_in_image();
    K::look(calls, ends, bit);
    flip_in_image();
    use_everything(ends);
    flip_in_image();
    if let Some(mut other) = K::attach(calls, name, ends) {
        use_everything(&mut other);
    }
}

/// Random words: one after the other, on what the last ones left or on what was there before.
pub(crate) fn images<K: Kind>(test: &str) {
    if let Some(argument) = worker::argument() {
        return draw::<K>(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let workers = worker::on_each_processor(&place, K::NAME, test, K::PERCENT);
    println!(
        "figures: hostile images, {} | {} images; calls that gave data / an error: {}; {} | 0",
        K::NAME,
        grouped(worker::done(&workers)),
        worker::both(&workers, K::SEEN),
        worker::longest(&workers)
    );
}

/// In a worker: its part of the images.
fn draw<K: Kind>(argument: &str) {
    let [n, count, seed] = numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let all = if worker::is_long() { FULL_IMAGES } else { K::IMAGES }.div_ceil(count);
    let (mut calls, shapes) = (Calls::new::<K>(&tally), K::SHAPES.len() as u64);
    for (turn, shape) in (1..).zip(K::SHAPES) {
        let mut exposed = Exposed::new(format!("images-{n}-{turn}"), *shape);
        while tally.get(Word::Done) < all * turn / shapes && !worker::is_to_stop(&tally) {
            tally.begin_turn();
            draw_one(&mut calls, &mut exposed, &mut random);
            tally.add(Word::Done, 1);
        }
        exposed.restore();
    }
}

fn draw_one<K: Kind>(calls: &mut Calls<'_>, exposed: &mut Exposed<K>, random: &mut Random) {
    let Exposed { name, words, image, ends, .. } = exposed;
    let choice = random.word();
    calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
    match choice >> 8 & 3 {
        0 => words.restore(image),
        1 => K::calm(words, image, random),
        _ => {}
    }
    for _ in 0..=random.below(if choice >> 10 & 31 == 0 { words.count() as u64 } else { K::WORDS }) {
        K::scribble(words, random);
    }
    let mut disturb = || (0..choice >> 20 & 3).for_each(|_| K::scribble(words, random));
    if choice >> 16 & 15 == 0 {
        if let Some(mut other) = K::attach(calls, name, ends) {
            if choice >> 24 & 15 == 0 {
                K::watch(calls, &mut other);
            }
            K::use_everything(calls, &mut other, &mut disturb);
        }
    } else {
        K::use_everything(calls, ends, &mut disturb);
    }
}

/// Words written without pause, by another process.
pub(crate) fn live<K: Kind>(test: &str) {
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = numbers(&argument);
        return if scribbles == 1 { scribble::<K>(seed) } else { suffer::<K>(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment(test);
    let test = format!("{}::{test}", K::NAME);
    let start = |name: &str, argument: String| Worker::again(&place, name, &test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a segment
        assert!(begin.elapsed() < TO_BEGIN, "no {}", K::NAME);
    }
    workers.push(start("scribbler", format!("{} 1", random.word())));
    let time = worker::time(K::PERCENT, K::LIVE);
    worker::watch(&mut workers, |workers| {
        let full = worker::is_long() && workers[1].tally.get(Word::Done) >= FULL_WRITES;
        full || begin.elapsed() >= time
    });
    println!(
        "figures: live scribbler, {} | {} writes; calls that gave data / an error: {}; {} | 0",
        K::NAME,
        grouped(workers[1].tally.get(Word::Done)),
        worker::both(&workers[..1], K::SEEN),
        worker::longest(&workers[..1])
    );
}

/// What the segments have in common that both processes of a scribbler's test know.
fn prey(turn: usize) -> String {
    format!("prey-{turn}")
}

/// In a worker: the peer that writes.
fn scribble<K: Kind>(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let shapes = K::SHAPES.iter().enumerate();
    let all: Vec<Words> = shapes.map(|(turn, shape)| Words::map(&prey(turn), shape.bytes())).collect();
    while !worker::is_to_stop(&tally) {
        for words in &all {
            (0..BATCH).for_each(|_| K::scribble_live(words, &mut random));
            tally.add(Word::Done, BATCH);
        }
    }
}

/// In a worker: whoever works meanwhile.
fn suffer<K: Kind>(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let shapes = K::SHAPES.iter().enumerate();
    let mut all: Vec<_> = shapes.map(|(turn, shape)| Exposed::new(prey(turn), *shape)).collect();
    let mut calls = Calls::new::<K>(&tally);
    while !worker::is_to_stop(&tally) {
        for exposed in &mut all {
            tally.begin_turn();
            suffer_once(&mut calls, exposed, &mut random);
        }
        tally.add(Word::Done, 1);
    }
}

fn suffer_once<K: Kind>(calls: &mut Calls<'_>, exposed: &mut Exposed<K>, random: &mut Random) {
    calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
    if random.below(4) == 0 {
        exposed.restore(); // or nothing would be left that works
    }
    match K::attach(calls, &exposed.name, &exposed.ends) {
        Some(mut other) if random.below(4) == 0 => {
            if random.below(16) == 0 {
                K::watch(calls, &mut other);
            }
            K::use_everything(calls, &mut other, &mut || ());
        }
        _ => K::use_everything(calls, &mut exposed.ends, &mut || ()),
    }
}
