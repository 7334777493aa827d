//! A ring whose segment this process has in hostile hands as well: both sides of the tests that need no second process.

use crate::calls::Calls;
use crate::guard;
use crate::segment::Segment;
use crate::worker;
use ipcx::{Consumer, Producer, Ring, RingOptions, SegmentOptions, WaitStrategy};

/// Bytes for records: the smallest ring, so that every bit of a segment can be tried.
pub(crate) const CAPACITY: u64 = 4096;
pub(crate) const STRATEGIES: [WaitStrategy; 4] =
    [WaitStrategy::Balanced, WaitStrategy::Spin, WaitStrategy::Yield, WaitStrategy::Block];
/// Bytes behind the segment in its file, in which another geometry than the creator's may find room.
const BEHIND: u64 = 11 * 4096;

/// What a ring looks like before it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Two records, the first of which goes over the end of the data, and one before them that was received.
    Few,
    Empty,
    /// No room for another record.
    Full,
}

impl State {
    pub(crate) const ALL: [State; 3] = [State::Few, State::Empty, State::Full];
}

/// A handle on the ring, the segment, and what it looked like when both ends were attached.
#[derive(Debug)]
pub(crate) struct Exposed {
    pub(crate) name: String,
    pub(crate) ring: Ring,
    pub(crate) segment: Segment,
    pub(crate) image: Vec<u64>,
}

impl Exposed {
    /// A new ring; `roomy` if its file is to be longer than it must be.
    pub(crate) fn new(name: &str, wait: WaitStrategy, state: State, roomy: bool) -> Exposed {
        let segment = SegmentOptions { wait, ..Default::default() };
        let ring = Ring::create(name, &RingOptions { capacity: CAPACITY, segment }).expect("a new ring");
        let path = worker::file(name);
        if roomy {
            let file = std::fs::File::options().write(true).open(&path).expect("the ring's file");
            let len = file.metadata().expect("its size").len();
            file.set_len(len + BEHIND).expect("room for a few pages");
        }
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let segment = Segment::map(&path);
        let (mut tx, mut rx) =
            (ring.producer().expect("nobody has it"), ring.consumer().expect("nobody has it"));
        fill(&mut tx, &mut rx, state);
        let image = segment.image(); // While both have their roles: whoever takes them goes on for one that died.
        drop((tx, rx));
        Exposed { name: name.to_owned(), ring, segment, image }
    }

    /// Takes both roles, as far as they can be had.
    pub(crate) fn take(&self, calls: &mut Calls<'_>) -> (Option<Producer>, Option<Consumer>) {
        (calls.producer(&self.ring), calls.consumer(&self.ring))
    }
}

fn fill(tx: &mut Producer, rx: &mut Consumer, state: State) {
    let mut buffer = [0; CAPACITY as usize];
    tx.try_send(&[1; 3000]).expect("an empty ring");
    rx.try_recv(&mut buffer).expect("it was sent");
    tx.try_send(&[2; 900]).expect("room");
    match state {
        State::Few => {
            tx.try_send(&[3; 405]).expect("room");
            tx.try_send(&[4; 9]).expect("room");
        }
        State::Empty => {}
        State::Full => while tx.try_send(&[5; 200]).is_ok() {},
    }
    rx.try_recv(&mut buffer).expect("it was sent");
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}
