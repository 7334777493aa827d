//! What is carried, which way, and how the receiver waits; how many processes acquire and release; or to how many is published.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use crate::{Error, Result};

/// One pattern of traffic between the two sides. Every contender of a row runs the same one.
///
/// It has a text, which tables show and workers are told:
///
/// | text | what |
/// |---|---|
/// | `round-trip-64` | 64 bytes there and 64 bytes back |
/// | `one-way-64k` | 64 KiB from the near side to the far side |
/// | `batch-64` | the same in batches of [`BATCH`] messages |
/// | `in-place-1m`, `one-way-in-place-1m` | the first two without copying |
/// | `blocking-one-way-64` | with both sides asleep while they wait; without the word they spin |
/// | `blocking-64` | a round trip with both sides asleep while they wait |
/// | `to-50-64` | 64 bytes from the near side to 50 far sides, each of which gets all of them |
/// | `pairs-8p-16-held` | eight processes acquire 16 blocks each and release them, on two processors |
/// | `published-to-50` | one publishes as fast as it can, and 50 receive what they can |
/// | `published-to-50-idle` | the 50 are there, and make no call |
/// | `published-to-50-asleep` | the 50 sleep in a call that waits, and each message wakes them all |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// How it is divided into calls.
    pub shape: Shape,
    /// Bytes in one message, [`LEAST`] at least.
    pub size: usize,
    /// How both sides wait.
    pub waiting: Waiting,
}

/// How a contender divides a workload into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One message there, one message back, copied in and copied out.
    RoundTrip,
    /// Messages one way, one per call, copied in and copied out.
    OneWay,
    /// Messages one way, [`BATCH`] per call.
    Batch,
    /// As `RoundTrip`, without copying; only the first word is touched.
    InPlace,
    /// As `OneWay`, without copying; only the first word is touched.
    OneWayInPlace,
    /// As `OneWay`, from one near side to so many far sides, each of which gets every message.
    ToAll(usize),
    /// Blocks acquired and released by any number of processes; nothing is carried.
    Pairs(Crowd),
    /// Published by one process without waiting for those who receive; what counts is what it costs the publisher.
    Published(Audience),
}

/// Who receives what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Audience {
    /// Processes; all on the processor that is not the publisher's.
    pub subscribers: usize,
    /// What they do meanwhile.
    pub attention: Attention,
}

/// What those who receive do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Each receives what there is, then lets the others run.
    Reading,
    /// They are attached, and make no call.
    Idle,
    /// They sleep in a call that waits; the publisher publishes a message each millisecond, so that all sleep again.
    Asleep,
}

/// How many processes acquire and release, and how many blocks each has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crowd {
    /// Processes; every other one on the same processor.
    pub processes: usize,
    /// Blocks that each acquires before it releases them.
    pub held: usize,
}

/// What both sides do while they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Look again and again.
    Spin,
    /// Sleep.
    Block,
}

/// Messages in a batch.
pub const BATCH: usize = 64;
/// Bytes in the shortest message: the word that says its number.
pub const LEAST: usize = 8;
/// How many subscribers a message has beside the one of the row before.
const MANY: usize = 50;
/// Bytes of a block that is only acquired and released: a size that `malloc` keeps ready for its thread.
pub const BLOCK: usize = 1 << 10;
/// How many of those there are.
pub const BLOCKS: usize = 1024;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Those that rows name.
impl Workload {
    /// 64 bytes there and 64 bytes back, both sides spinning.
    pub const ROUND_TRIP_64: Workload = spinning(Shape::RoundTrip, 64);
    /// 64 bytes there and 64 bytes back, both sides asleep while they wait.
    pub const BLOCKING_64: Workload = Workload { shape: Shape::RoundTrip, size: 64, waiting: Waiting::Block };
    /// 1 MiB there and 1 MiB back.
    pub const ROUND_TRIP_1M: Workload = spinning(Shape::RoundTrip, MIB);
    /// 64 bytes one way.
    pub const ONE_WAY_64: Workload = spinning(Shape::OneWay, 64);
    /// 64 KiB one way.
    pub const ONE_WAY_64K: Workload = spinning(Shape::OneWay, 64 * KIB);
    /// 64 bytes one way, in batches.
    pub const BATCH_64: Workload = spinning(Shape::Batch, 64);
    /// 64 bytes there and back in place.
    pub const IN_PLACE_64: Workload = spinning(Shape::InPlace, 64);
    /// 1 MiB there and back in place.
    pub const IN_PLACE_1M: Workload = spinning(Shape::InPlace, MIB);
    /// 1 MiB one way in place.
    pub const ONE_WAY_IN_PLACE_1M: Workload = spinning(Shape::OneWayInPlace, MIB);
    /// One process acquires and releases a block, one at a time.
    pub const PAIRS_1: Workload = Workload::pairs(1, 1);
    /// Two processes do.
    pub const PAIRS_2: Workload = Workload::pairs(2, 1);
    /// Eight processes do, on two processors.
    pub const PAIRS_8: Workload = Workload::pairs(8, 1);
    /// One process acquires 16 blocks and releases the 16.
    pub const PAIRS_1_OF_16: Workload = Workload::pairs(1, 16);
    /// Two processes do.
    pub const PAIRS_2_OF_16: Workload = Workload::pairs(2, 16);
    /// Eight processes do, on two processors.
    pub const PAIRS_8_OF_16: Workload = Workload::pairs(8, 16);

    /// 64 bytes one way, both sides asleep while they wait.
    pub const BLOCKING_ONE_WAY_64: Workload =
        Workload { shape: Shape::OneWay, size: 64, waiting: Waiting::Block };
    /// 64 bytes to one, which gets all.
    pub const TO_1: Workload = spinning(Shape::ToAll(1), 64);
    /// 64 bytes to 50, of which each gets all.
    pub const TO_50: Workload = spinning(Shape::ToAll(MANY), 64);
    /// Published while one receives what it can.
    pub const PUBLISHED_TO_1: Workload = Workload::published(1, Attention::Reading);
    /// Published while 50 receive what they can.
    pub const PUBLISHED_TO_50: Workload = Workload::published(MANY, Attention::Reading);
    /// Published while one is attached.
    pub const PUBLISHED_TO_1_IDLE: Workload = Workload::published(1, Attention::Idle);
    /// Published while 50 are attached.
    pub const PUBLISHED_TO_50_IDLE: Workload = Workload::published(MANY, Attention::Idle);
    /// One is woken by each message.
    pub const PUBLISHED_TO_1_ASLEEP: Workload = Workload::published(1, Attention::Asleep);
    /// 50 are woken by each message.
    pub const PUBLISHED_TO_50_ASLEEP: Workload = Workload::published(MANY, Attention::Asleep);

    const fn pairs(processes: usize, held: usize) -> Workload {
        spinning(Shape::Pairs(Crowd { processes, held }), BLOCK)
    }

    const fn published(subscribers: usize, attention: Attention) -> Workload {
        spinning(Shape::Published(Audience { subscribers, attention }), 64)
    }
}

const fn spinning(shape: Shape, size: usize) -> Workload {
    Workload { shape, size, waiting: Waiting::Spin }
}

impl Workload {
    /// Whether both sides sleep while they wait.
    pub fn blocks(self) -> bool {
        self.waiting == Waiting::Block
    }

    /// Whether messages go there and back.
    pub fn returns(self) -> bool {
        matches!(self.shape, Shape::RoundTrip | Shape::InPlace)
    }

    /// Whether its processes work between two moments of the clock, instead of carrying so many messages.
    pub fn by_the_clock(self) -> bool {
        matches!(self.shape, Shape::Pairs(_) | Shape::Published(_))
    }

    /// How many subscribers one publisher has at the same time.
    pub fn subscribers(self) -> usize {
        match self.shape {
            Shape::ToAll(subscribers) | Shape::Published(Audience { subscribers, .. }) => subscribers,
            _ => 1,
        }
    }

    /// Bytes of buffer that each contender is given in each direction.
    pub fn capacity(self) -> usize {
        MIB.max(4 * self.size)
    }

    /// Messages that touch all of that memory at least once, rounded up to whole batches.
    pub fn lap(self) -> u64 {
        (self.capacity() / self.size + 1).next_multiple_of(BATCH) as u64
    }
}

/// Words of the shapes that carry messages, those that begin like another one first.
const SHAPES: [(&str, Shape); 5] = [
    ("one-way-in-place-", Shape::OneWayInPlace),
    ("one-way-", Shape::OneWay),
    ("round-trip-", Shape::RoundTrip),
    ("batch-", Shape::Batch),
    ("in-place-", Shape::InPlace),
];

impl Display for Workload {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        if let Shape::Pairs(Crowd { processes, held }) = self.shape {
            write!(f, "pairs-{processes}p")?;
            return if held > 1 { write!(f, "-{held}-held") } else { Ok(()) };
        }
        if let Shape::Published(Audience { subscribers, attention }) = self.shape {
            return write!(f, "published-to-{subscribers}{}", attention.suffix());
        }
        if let Shape::ToAll(subscribers) = self.shape {
            return write!(f, "to-{subscribers}-{}", size_text(self.size));
        }
        let word = SHAPES.iter().find(|(_, shape)| *shape == self.shape).map_or("", |(word, _)| word);
        match (self.waiting, self.shape) {
            (Waiting::Block, Shape::RoundTrip) => f.write_str("blocking-")?,
            (Waiting::Block, _) => write!(f, "blocking-{word}")?,
            (Waiting::Spin, _) => f.write_str(word)?,
        }
        f.write_str(&size_text(self.size))
    }
}

impl FromStr for Workload {
    type Err = Error;

    fn from_str(text: &str) -> Result<Workload> {
        let unknown = || Error(format!("no workload: '{text}'"));
        if let Some(crowd) = text.strip_prefix("pairs-") {
            return crowd_of(crowd).map(|c| Workload::pairs(c.processes, c.held)).ok_or_else(unknown);
        }
        if let Some(audience) = text.strip_prefix("published-to-") {
            let audience = audience_of(audience).ok_or_else(unknown)?;
            return Ok(Workload::published(audience.subscribers, audience.attention));
        }
        if let Some((subscribers, size)) = text.strip_prefix("to-").and_then(|rest| rest.split_once('-')) {
            let subscribers = subscribers.parse().map_err(|_| unknown())?;
            return Ok(spinning(Shape::ToAll(subscribers), size_of_text(size)?));
        }
        let (waiting, rest) = match text.strip_prefix("blocking-") {
            Some(rest) => (Waiting::Block, rest),
            None => (Waiting::Spin, text),
        };
        let found = SHAPES.iter().find_map(|(word, shape)| Some((*shape, rest.strip_prefix(word)?)));
        let (shape, size) = match found {
            Some(found) => found,
            None if waiting == Waiting::Block => (Shape::RoundTrip, rest),
            None => return Err(unknown()),
        };
        Ok(Workload { shape, size: size_of_text(size)?, waiting })
    }
}

/// `8p` or `8p-16-held`.
fn crowd_of(text: &str) -> Option<Crowd> {
    let (processes, held) = match text.strip_suffix("-held") {
        Some(text) => text.split_once("p-")?,
        None => (text.strip_suffix('p')?, "1"),
    };
    Some(Crowd { processes: processes.parse().ok()?, held: held.parse().ok()? })
}

impl Attention {
    const ALL: [Attention; 3] = [Attention::Idle, Attention::Asleep, Attention::Reading];

    fn suffix(self) -> &'static str {
        match self {
            Attention::Reading => "",
            Attention::Idle => "-idle",
            Attention::Asleep => "-asleep",
        }
    }
}

/// `50`, `50-idle` or `50-asleep`.
fn audience_of(text: &str) -> Option<Audience> {
    let found = Attention::ALL.iter().find_map(|a| Some((*a, text.strip_suffix(a.suffix())?)));
    let (attention, subscribers) = found?;
    Some(Audience { subscribers: subscribers.parse().ok()?, attention })
}

/// Bytes as in names: `64`, `4k`, `1m`.
pub fn size_text(bytes: usize) -> String {
    match bytes {
        whole if whole >= MIB && whole % MIB == 0 => format!("{}m", whole / MIB),
        whole if whole >= KIB && whole % KIB == 0 => format!("{}k", whole / KIB),
        bytes => bytes.to_string(),
    }
}

/// The bytes that a text such as `64`, `4k` or `1m` says.
///
/// # Errors
/// If it is no such text, or less than [`LEAST`], or more than 1 GiB.
pub fn size_of_text(text: &str) -> Result<usize> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, KIB),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, MIB)),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| (LEAST..=KIB * MIB).contains(bytes))
        .ok_or_else(|| Error(format!("'{text}' is no size: {LEAST} bytes to 1 GiB, such as 64, 4k or 1m")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_say() {
        let named = [
            ("round-trip-64", Workload::ROUND_TRIP_64),
            ("blocking-64", Workload::BLOCKING_64),
            ("round-trip-1m", Workload::ROUND_TRIP_1M),
            ("one-way-64", Workload::ONE_WAY_64),
            ("one-way-64k", Workload::ONE_WAY_64K),
            ("batch-64", Workload::BATCH_64),
            ("in-place-64", Workload::IN_PLACE_64),
            ("in-place-1m", Workload::IN_PLACE_1M),
            ("one-way-in-place-1m", Workload::ONE_WAY_IN_PLACE_1M),
            ("pairs-1p", Workload::PAIRS_1),
            ("pairs-8p", Workload::PAIRS_8),
            ("pairs-2p-16-held", Workload::PAIRS_2_OF_16),
            ("to-50-64", Workload::TO_50),
            ("published-to-50", Workload::PUBLISHED_TO_50),
            ("published-to-1-idle", Workload::PUBLISHED_TO_1_IDLE),
            ("published-to-50-asleep", Workload::PUBLISHED_TO_50_ASLEEP),
        ];
        for (text, workload) in named {
            assert_eq!(workload.to_string(), text);
            assert_eq!(text.parse::<Workload>().expect(text), workload);
        }
    }

    #[test]
    fn every_shape_size_and_way_of_waiting_is_read_as_it_is_written() {
        for (_, shape) in SHAPES {
            for size in [8, 9, 64, 1000, 1 << 10, 65_536, 3 << 20] {
                for waiting in [Waiting::Spin, Waiting::Block] {
                    let workload = Workload { shape, size, waiting };
                    assert_eq!(workload.to_string().parse::<Workload>().expect("a workload"), workload);
                }
            }
        }
    }

    #[test]
    fn nonsense_is_no_workload() {
        let none = [
            "",
            "64",
            "round-trip-",
            "round-trip-7",
            "round-trip-2g",
            "pairs-p",
            "pairs-2p-held",
            "to-64",
            "to-x-64",
            "published-to-",
            "published-to-1-awake",
        ];
        for text in none {
            assert!(text.parse::<Workload>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_contender_has_the_memory_that_its_messages_need() {
        assert_eq!(Workload::ONE_WAY_64K.capacity(), MIB);
        assert_eq!(Workload::IN_PLACE_1M.capacity(), 4 * MIB);
        assert!(Workload::ROUND_TRIP_64.lap() * 64 > MIB as u64);
    }
}
