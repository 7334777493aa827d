//! The fuzz targets without a fuzzer: their seeds, what was once found, and the seeds with bytes changed at random. What
//! explores is `scripts/fuzz`; this is what can be had in seconds, with any toolchain.
//!
//! `IPCX_SEED` repeats a run, `IPCX_SECONDS` makes it longer.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, missing_docs)] // a library of its own, there
mod targets;

use ipcx_tests::Random;
use std::path::Path;
use std::time::{Duration, Instant};

/// For each target, unless IPCX_SECONDS says otherwise.
const QUICK: Duration = Duration::from_secs(2);

/// What fuzzing once found, in the repository.
fn found(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions").join(target);
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file")).collect()
}

/// Changes, repeats or removes a few bytes.
fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() as u64 + 1) as usize;
        match random.below(6) {
            0 if at < input.len() => drop(input.remove(at)),
            1 => input.insert(at, random.word() as u8),
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 => {
                let end = input.len().min(at + random.below(40) as usize);
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            _ if at < input.len() => input[at] = random.word() as u8,
            _ => {}
        }
    }
    input.truncate(4000);
}

/// Shown if what it was given to fails.
struct Input(Vec<u8>);

impl Drop for Input {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the input was {:?}", self.0);
        }
    }
}

fn play(target: &str) {
    let (_, run) = targets::TARGETS.into_iter().find(|(name, _)| *name == target).expect("a target");
    let mut random = Random::from_environment(target);
    let known: Vec<Vec<u8>> = targets::seeds(target).into_iter().chain(found(target)).collect();
    for input in &known {
        run(&Input(input.clone()).0);
    }
    let (begin, mut runs) = (Instant::now(), known.len());
    while begin.elapsed() < limit() {
        let mut input = Input(known[random.below(known.len() as u64) as usize].clone());
        mutate(&mut input.0, &mut random);
        run(&input.0);
        runs += 1;
    }
    println!("figures: fuzz seeds, {target} | {} inputs | 0", with_commas(runs));
}

fn limit() -> Duration {
    let seconds =
        std::env::var("IPCX_SECONDS").ok().map(|text| text.parse().expect("IPCX_SECONDS is a number"));
    seconds.map_or(QUICK, |all: u64| Duration::from_secs(all) / targets::TARGETS.len() as u32)
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

#[test]
fn any_bytes_are_refused_or_usable_as_a_segment() {
    play("attach");
}

#[test]
fn a_consumer_delivers_exactly_what_the_format_says() {
    play("ring_reader");
}

#[test]
fn any_sequence_of_calls_does_what_a_queue_does() {
    play("operations");
}

#[test]
fn names_and_options_are_accepted_or_refused_as_documented() {
    play("options");
}

#[test]
fn any_sequence_of_calls_leaves_each_block_with_its_owner() {
    play("pool");
}

#[test]
fn descriptors_say_when_their_end_is_ready() {
    play("descriptors");
}
