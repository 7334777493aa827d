//! What is to be known of a kind of segment to attack it, beside the ring, which has proofs of its own.

use crate::guard;
use crate::tally::{Call, Tally, Who};
use crate::words::Words;
use ipcx::{Deadline, Error, Result, SegmentOptions, WaitStrategy};
use ipcx_tests::Random;
use std::cell::RefCell;
use std::time::Duration;

/// Slots in each segment: half a page of them.
pub(crate) const PARTICIPANTS: usize = 32;
/// Where a kind's own part of a segment begins: behind the header's page and the slots'.
pub(crate) const BODY: usize = 2 * 4096;

/// A kind under attack. A value is a shape that its segments have.
pub(crate) trait Kind: Copy + 'static {
    /// A handle, with the ends that are used.
    type Ends;
    /// What else is attached meanwhile, and does nothing.
    type Others;

    /// What figures call it, and the module of its tests.
    const NAME: &'static str;
    /// Each is attacked.
    const SHAPES: &'static [Self];
    /// Of the bits that mean little, the quick share takes one in so many.
    const SHARE: u64;
    /// Images of the quick share.
    const IMAGES: u64;
    /// Words that are written for one image, at most; now and then as many as there are.
    const WORDS: u64 = 8;
    /// How long the quick share lives with a scribbler.
    const LIVE: Duration;
    /// Percent of a long run's time, for each of the three proofs.
    const PERCENT: u32;
    /// Whose calls must have given both data and errors, and what they are here.
    const SEEN: &'static [(Who, &'static str)];

    /// A new segment with a bit of everything in it.
    fn create(self, name: &str) -> (Self::Ends, Self::Others);

    /// Bytes of its file.
    fn bytes(self) -> usize;

    /// True for what is for nothing, or for display, or payload, or of participants that are never there.
    fn is_minor(self, byte: usize) -> bool;

    /// Writes one word somewhere behind the header's page, more often where it matters.
    fn scribble(words: &Words, random: &mut Random);

    /// The same by a peer that writes without pause.
    fn scribble_live(words: &Words, random: &mut Random) {
        Self::scribble(words, random);
    }

    /// Lets calls get far again.
    fn calm(words: &Words, image: &[u64], _: &mut Random) {
        words.restore(image);
    }

    /// True for what a call may say of a damaged segment, beside what each kind's may.
    fn is_expected(error: &Error) -> bool;

    /// Another handle with its ends, which come and go beside those that are there.
    fn attach(calls: &Calls<'_>, name: &str, beside: &Self::Ends) -> Option<Self::Ends>;

    /// Lets the ends have descriptors, and the threads behind them.
    fn watch(calls: &Calls<'_>, ends: &mut Self::Ends);

    /// Everything that can be done, with `disturb` in between; what it gives lies in bounds.
    fn use_everything(calls: &Calls<'_>, ends: &mut Self::Ends, disturb: &mut dyn FnMut());

    /// What else holds with this bit flipped.
    fn look(_: &Calls<'_>, _: &mut Self::Ends, _bit: usize) {}
}

/// How the segments of all kinds are made.
pub(crate) fn options() -> SegmentOptions {
    SegmentOptions { wait: WaitStrategy::Block, max_participants: PARTICIPANTS as u32, ..Default::default() }
}

/// Makes the calls.
pub(crate) struct Calls<'a> {
    pub(crate) tally: &'a Tally,
    /// How long calls wait that wait.
    pub(crate) patience: Duration,
    /// Far larger than a segment: a length that is believed is also read.
    pub(crate) room: RefCell<Vec<u8>>,
    is_expected: fn(&Error) -> bool,
}

impl<'a> Calls<'a> {
    pub(crate) fn new<K: Kind>(tally: &'a Tally) -> Calls<'a> {
        let room = RefCell::new(vec![0; 1 << 16]);
        Calls { tally, patience: Duration::ZERO, room, is_expected: K::is_expected }
    }

    /// One call that may take so long: timed, counted, its error looked at.
    pub(crate) fn timed<T>(
        &self,
        who: Who,
        call: Call,
        timeout: Duration,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let began = self.tally.begin(call, timeout.as_nanos() as u64);
        let result = work();
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            assert!(is_everywhere(error) || (self.is_expected)(error), "{call:?}: {error:?}");
        }
        result
    }

    /// One call that waits as long as calls wait.
    pub(crate) fn call<T>(
        &self,
        who: Who,
        call: Call,
        work: impl FnOnce(Deadline) -> Result<T>,
    ) -> Option<T> {
        self.timed(who, call, self.patience, || work(Deadline::within(self.patience))).ok()
    }

    /// An end is given up.
    pub(crate) fn close<T>(&self, who: Who, call: Call, end: T) {
        let began = self.tally.begin(call, 0);
        drop(end);
        self.tally.end(began, who, true);
    }
}

/// What a call on any kind may say.
fn is_everywhere(error: &Error) -> bool {
    matches!(
        error,
        Error::WouldBlock(_)
            | Error::TimedOut(_)
            | Error::Mismatch(_)
            | Error::Version(_)
            | Error::Corrupt(_)
            | Error::NoSpace(_)
    )
}

/// A segment in hostile hands: its words, and what they are before they are damaged.
pub(crate) struct Exposed<K: Kind> {
    pub(crate) name: String,
    pub(crate) words: Words,
    pub(crate) image: Vec<u64>,
    pub(crate) ends: K::Ends,
    _others: K::Others,
}

impl<K: Kind> Exposed<K> {
    pub(crate) fn new(name: String, shape: K) -> Exposed<K> {
        let (ends, _others) = shape.create(&name);
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let words = Words::map(&name, shape.bytes());
        let image = words.image();
        Exposed { name, words, image, ends, _others }
    }

    /// Everything as it was.
    pub(crate) fn restore(&self) {
        self.words.restore(&self.image);
    }
}

impl<K: Kind> Drop for Exposed<K> {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}
