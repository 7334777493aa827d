//! A peer that writes without pause, anywhere and while it is looked at, and ends in C, Python and Rust that attach to the
//! segment, take its roles, make every call, and begin again when one says that the ring is corrupt.

use crate::calls::Calls;
use crate::exposed::{Exposed, State, STRATEGIES};
use crate::images::numbers;
use crate::mix::{Ends, Mix};
use crate::segment::{Segment, HEADER, WORD};
use crate::tally::{Who, Word};
use crate::worker::{self, grouped, Worker};
use ipcx::Ring;
use ipcx_tests::{Language, Place, Random};
use std::process::Command;
use std::time::{Duration, Instant};

const TEST: &str = "live::a_peer_that_writes_without_pause_cannot_do_more_than_destroy_messages";
/// Writes to reach.
const FULL: u64 = 1_000_000_000;
const QUICK: Duration = Duration::from_secs(3);
/// How long it may take at most until every exposed process has seen both good and bad, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long calls wait.
const WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::ZERO, Duration::from_micros(50), Duration::from_millis(2)];

/// The exposed process in a language.
fn endpoints(language: Language, place: &Place, seed: u64) -> Worker {
    let name = format!("{language:?}").to_lowercase();
    let argument = format!("exposed {seed}");
    match language {
        Language::Rust => Worker::again(place, &name, TEST, &argument),
        Language::C => {
            let program = ipcx_tests::compile("tests/hostile/endpoints.c");
            Worker::start(place, &name, Command::new(program), &argument)
        }
        Language::Python => {
            let program = language.example("../tests/hostile/endpoints");
            Worker::start(place, &name, program, &argument)
        }
    }
}

#[test]
fn a_peer_that_writes_without_pause_cannot_do_more_than_destroy_messages() {
    if let Some(argument) = worker::argument() {
        let (role, seed) = argument.split_once(' ').expect("as the test gave it");
        let [seed] = numbers(seed);
        return if role == "hostile" { scribble(seed) } else { suffer(seed) };
    }
    let _turn = worker::turn();
    let place = Place::new();
    let mut random = Random::from_environment("live scribbler");
    let begin = Instant::now();
    let scribbler = Worker::again(&place, "scribbler", TEST, &format!("hostile {}", random.word()));
    let mut workers = vec![scribbler];
    while workers[0].tally.get(Word::Done) == 0 {
        assert!(begin.elapsed() < PATIENCE, "the scribbler does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    workers.extend(Language::ALL.map(|language| endpoints(language, &place, random.word())));
    let (time, full) = (worker::time(14, QUICK), worker::is_long());
    worker::watch(&mut workers, |workers| {
        let is_written = full && workers[0].tally.get(Word::Done) >= FULL;
        let is_seen = Who::ALL.iter().all(|who| workers[1..].iter().all(|worker| both(worker, *who)));
        let elapsed = begin.elapsed();
        (is_seen && (is_written || elapsed >= time)) || elapsed >= time.max(PATIENCE)
    });
    report(&workers);
}

/// True once a process has had calls of a kind of handle that worked, and ones that failed.
fn both(worker: &Worker, who: Who) -> bool {
    worker.tally.count(who, true) > 0 && worker.tally.count(who, false) > 0
}

fn report(workers: &[Worker]) {
    let (scribbler, exposed) = workers.split_first().expect("the scribbler and three more");
    let mut text = Vec::new();
    for worker in exposed {
        for who in Who::ALL {
            let (worked, failed) = (worker.tally.count(who, true), worker.tally.count(who, false));
            assert!(both(worker, who), "{}: {who:?}: {worked} calls worked, {failed} failed", worker.name);
        }
        let counts =
            [true, false].map(|worked| Who::ALL.iter().map(|who| worker.tally.count(*who, worked)).sum());
        text.push(format!("{} {} / {}", worker.name, grouped(counts[0]), grouped(counts[1])));
    }
    println!(
        "figures: live scribbler | {} writes; calls that gave data / an error: {}; {} | 0",
        grouped(scribbler.tally.get(Word::Done)),
        text.join(", "),
        worker::longest(exposed)
    );
}

/// The process that writes.
fn scribble(seed: u64) {
    let exposed = Exposed::new("prey", STRATEGIES[0], State::Few, true);
    let tally = worker::tally();
    let segment = &exposed.segment;
    let mut mix = Mix::new(segment, Random::new(seed));
    while !worker::is_to_stop(&tally) {
        for _ in 0..64 {
            match mix.random.below(64) {
                0..8 => mix.calm(),
                8 => {
                    mix.header();
                    repair_header(segment, &exposed.image, &mut mix);
                }
                9..16 => mix.flicker(Ends::of(segment)),
                _ => mix.image(Ends::of(segment)),
            }
        }
        tally.set(Word::Done, mix.writes);
    }
}

/// Puts the header back, but for how calls wait.
fn repair_header(segment: &Segment, image: &[u64], mix: &mut Mix<'_>) {
    (0..HEADER / WORD).for_each(|i| segment.store(i * WORD, image[i]));
    mix.choose_waiting();
}

/// The process that is exposed.
fn suffer(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let mut calls = Calls::new(&tally);
    while !worker::is_to_stop(&tally) {
        tally.begin_turn();
        let Some(ring) = calls.attach(|| Ring::attach("prey")) else { continue };
        for _ in 0..20 {
            let (mut tx, mut rx) = (calls.producer(&ring), calls.consumer(&ring));
            if let (0, Some(tx), Some(rx)) = (random.below(16), &mut tx, &mut rx) {
                calls.watch(tx, rx);
            }
            for _ in 0..random.below(20) {
                tally.begin_turn();
                calls.patience = random.pick(&WAITS);
                calls.use_everything(&ring, &mut tx, &mut rx);
            }
            calls.close(tx, rx);
        }
        tally.add(Word::Done, 1);
    }
}
