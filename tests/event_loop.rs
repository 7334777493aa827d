//! A ring in the event loop of somebody else's program.

use ipcx::WaitStrategy;
use ipcx_tests::{Peer, Place};
use std::process::Command;

#[test]
fn a_tokio_program_receives_every_record_and_ends_with_its_producer() {
    let place = Place::new();
    let ring = place.ring("events", 4096, WaitStrategy::Balanced);
    let mut tx = ring.producer().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokio_receive"));
    command.arg("events");
    let mut receiver = Peer::run("tokio_receive".to_owned(), &place, command);
    for number in 0..2_000 {
        tx.send(format!("record {number}").as_bytes()).unwrap();
        if number % 3 == 0 {
            // Seen before the next is sent, so that it waits in its event loop each time.
            while ring.stats().unwrap().used > 0 {
                std::thread::yield_now();
            }
        }
    }
    drop(tx);
    for number in 0..2_000 {
        assert_eq!(receiver.line(), format!("record {number}"));
    }
    receiver.succeed();
    place.unlink("events");
}
