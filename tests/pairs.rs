//! Every language talks to every other: the same stream of records, of 0 bytes to 1 MiB, over one ring, in each way of
//! sending and receiving. The peers check each byte, the order, the positions and the end of the stream.

use ipcx::WaitStrategy;
use ipcx_tests::{Language, Peer, Place, MODES};

const COUNT: &str = "600";
const LARGEST: &str = "1048576";

/// Sends in one mode and receives in the other.
fn talk(from: Language, to: Language, modes: (&str, &str), wait: WaitStrategy) {
    let place = Place::new();
    // The largest record fits with little to spare, so that both sides wait.
    let _ring = place.ring("pair", 1 << 21, wait);
    let arguments = |verb, mode| [verb, mode, "pair", COUNT, "11", LARGEST];
    let mut receiver = Peer::start(to, &place, &arguments("recv", modes.1));
    let mut sender = Peer::start(from, &place, &arguments("send", modes.0));
    sender.succeed();
    receiver.succeed();
    place.unlink("pair");
    assert_eq!(place.files(), [""; 0]);
}

/// In each mode, and each language's modes against other ones of the other's.
fn talk_in_all_modes(from: Language, to: Language) {
    for (i, mode) in MODES.into_iter().enumerate() {
        talk(from, to, (mode, mode), WaitStrategy::Balanced);
        talk(from, to, (mode, MODES[(i + 1) % MODES.len()]), WaitStrategy::Block);
    }
}

macro_rules! pairs {
    ($($name:ident: $from:ident to $to:ident;)*) => {
        $(
            #[test]
            fn $name() {
                talk_in_all_modes(Language::$from, Language::$to);
            }
        )*
    };
}

pairs! {
    c_sends_to_c: C to C;
    c_sends_to_rust: C to Rust;
    c_sends_to_python: C to Python;
    rust_sends_to_c: Rust to C;
    rust_sends_to_rust: Rust to Rust;
    rust_sends_to_python: Rust to Python;
    python_sends_to_c: Python to C;
    python_sends_to_rust: Python to Rust;
    python_sends_to_python: Python to Python;
}

#[test]
fn every_strategy_of_waiting_carries_the_stream() {
    for wait in [WaitStrategy::Spin, WaitStrategy::Yield] {
        talk(Language::C, Language::Python, ("wait", "wait"), wait);
        talk(Language::Python, Language::Rust, ("place", "many"), wait);
    }
}
