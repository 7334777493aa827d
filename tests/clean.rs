//! What a process leaves when it is killed while it makes segments: a whole one under its name, or nothing.

use ipcx::{Error, Ring, WaitStrategy};
use ipcx_tests::{Language, Log, Peer, Place, Random, Word, LIMIT};
use std::time::Duration;

#[test]
fn a_killed_creator_leaves_whole_segments_and_nothing_else() {
    let mut random = Random::from_environment("creators");
    let place = Place::new();
    for turn in 0..60 {
        let mut creator = Peer::start(Language::ALL[turn % 3], &place, &["create"]);
        assert_eq!(creator.line(), "created");
        std::thread::sleep(Duration::from_nanos(random.below(1_000_000)));
        creator.kill_and_reap();
        let files = place.files();
        assert!((1..=2).contains(&files.len()), "the newest, and maybe the one before: {files:?}");
        for file in files {
            let name = file.strip_prefix("ipcx.").expect("no other file than segments");
            let ring = place.attach(name);
            ring.producer().unwrap().try_send(b"it works").unwrap();
            assert_eq!(ring.consumer().unwrap().try_recv(&mut [0; 8]).unwrap(), 8);
            place.unlink(name);
        }
    }
}

#[test]
fn the_slots_of_killed_processes_are_taken_again() {
    let place = Place::new();
    let mut options = place.options(4096, WaitStrategy::Balanced);
    options.segment.max_participants = 2;
    let ring = Ring::create("narrow", &options).unwrap();
    let log = Log::open(&place.path().join("log"));
    let path = log.path().to_str().expect("a path in ASCII");
    for turn in 0..30 {
        log.clear();
        let arguments = ["send", "wait", "narrow", "0", "5", "100", path];
        let mut peer = Peer::start(Language::ALL[turn % 3], &place, &arguments);
        assert!(log.wait_for(Word::Started, 0, LIMIT), "it finds a slot");
        let full = Ring::attach_with("narrow", &options);
        assert!(matches!(full, Err(Error::NoSpace(_))), "both slots are held by the living: {full:?}");
        peer.kill_and_reap();
    }
    drop(ring);
}

#[test]
fn names_outlive_their_users_and_memory_goes_with_the_last_of_them() {
    let place = Place::new();
    let ring = place.ring("kept", 4096, WaitStrategy::Balanced);
    drop(ring);
    assert_eq!(place.files(), ["ipcx.kept"], "closing does not unlink");
    let (one, other) = (place.attach("kept"), place.attach("kept"));
    place.unlink("kept");
    assert_eq!(place.files(), [""; 0]);
    let (mut tx, mut rx) = (one.producer().unwrap(), other.consumer().unwrap());
    tx.try_send(b"still there").unwrap();
    assert_eq!(rx.try_recv(&mut [0; 64]).unwrap(), 11);
    let gone = Ring::attach_with("kept", &place.options(0, WaitStrategy::Balanced));
    assert!(matches!(gone, Err(Error::NotFound(_))));
}
