//! What is carried, which way, and how the receiver waits; or how many processes acquire and release.

/// One pattern of traffic between the two sides. Every contender of a row runs the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// 64 bytes there and 64 bytes back, both sides spinning.
    RoundTrip64,
    /// 64 bytes there and 64 bytes back, both sides asleep while they wait.
    Blocking64,
    /// 64 bytes one way, copied in and copied out, both sides spinning.
    OneWay64,
    /// 64 bytes one way in batches of 64 messages.
    Batch64,
    /// 64 KiB one way, copied in and copied out.
    OneWay64K,
    /// 64 bytes there and back, written and read in place.
    InPlace64,
    /// 1 MiB there and back in place; only the first word is touched.
    InPlace1M,
    /// 1 MiB there and 1 MiB back, copied in and copied out, both sides spinning.
    RoundTrip1M,
    /// 1 MiB one way in place; only the first word is touched.
    OneWayInPlace1M,
    /// One process acquires and releases a block of 1 KiB, one at a time.
    Pairs1,
    /// Two processes do.
    Pairs2,
    /// Eight processes do, on two processors.
    Pairs8,
    /// One process acquires 16 blocks and releases the 16.
    Pairs1Of16,
    /// Two processes do.
    Pairs2Of16,
    /// Eight processes do, on two processors.
    Pairs8Of16,
}

/// How many processes acquire and release, and how many blocks each has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Processes; every other one on the same processor.
    pub processes: usize,
    /// Blocks that each acquires before it releases them.
    pub held: usize,
}

/// How a contender divides a workload into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One message there, one message back.
    RoundTrip,
    /// Messages one way, one per call.
    OneWay,
    /// Messages one way, [`BATCH`] per call.
    Batch,
    /// As `RoundTrip`, without copying.
    InPlace,
    /// As `OneWay`, without copying.
    OneWayInPlace,
    /// Blocks acquired and released by any number of processes; nothing is carried.
    Pairs(Crowd),
}

/// Messages in a batch.
pub const BATCH: usize = 64;
/// Bytes of a block that is only acquired and released: a size that `malloc` keeps ready for its thread.
pub const BLOCK: usize = 1 << 10;
/// How many of those there are.
pub const BLOCKS: usize = 1024;

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 15] = [
        Workload::RoundTrip64,
        Workload::Blocking64,
        Workload::OneWay64,
        Workload::Batch64,
        Workload::OneWay64K,
        Workload::InPlace64,
        Workload::InPlace1M,
        Workload::RoundTrip1M,
        Workload::OneWayInPlace1M,
        Workload::Pairs1,
        Workload::Pairs2,
        Workload::Pairs8,
        Workload::Pairs1Of16,
        Workload::Pairs2Of16,
        Workload::Pairs8Of16,
    ];

    /// The name used in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::RoundTrip64 => "round-trip-64",
            Workload::Blocking64 => "blocking-64",
            Workload::OneWay64 => "one-way-64",
            Workload::Batch64 => "batch-64",
            Workload::OneWay64K => "one-way-64k",
            Workload::InPlace64 => "in-place-64",
            Workload::InPlace1M => "in-place-1m",
            Workload::RoundTrip1M => "round-trip-1m",
            Workload::OneWayInPlace1M => "one-way-in-place-1m",
            Workload::Pairs1 => "pairs-1p",
            Workload::Pairs2 => "pairs-2p",
            Workload::Pairs8 => "pairs-8p",
            Workload::Pairs1Of16 => "pairs-1p-16-held",
            Workload::Pairs2Of16 => "pairs-2p-16-held",
            Workload::Pairs8Of16 => "pairs-8p-16-held",
        }
    }

    /// The workload with this name.
    pub fn from_name(name: &str) -> Option<Workload> {
        Workload::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Bytes in one message.
    pub fn size(self) -> usize {
        match self {
            Workload::OneWay64K => 64 << 10,
            Workload::InPlace1M | Workload::RoundTrip1M | Workload::OneWayInPlace1M => 1 << 20,
            _ if matches!(self.shape(), Shape::Pairs(_)) => BLOCK,
            _ => 64,
        }
    }

    /// How calls are made.
    pub fn shape(self) -> Shape {
        let pairs = |processes, held| Shape::Pairs(Crowd { processes, held });
        match self {
            Workload::RoundTrip64 | Workload::Blocking64 | Workload::RoundTrip1M => Shape::RoundTrip,
            Workload::OneWay64 | Workload::OneWay64K => Shape::OneWay,
            Workload::Batch64 => Shape::Batch,
            Workload::InPlace64 | Workload::InPlace1M => Shape::InPlace,
            Workload::OneWayInPlace1M => Shape::OneWayInPlace,
            Workload::Pairs1 => pairs(1, 1),
            Workload::Pairs2 => pairs(2, 1),
            Workload::Pairs8 => pairs(8, 1),
            Workload::Pairs1Of16 => pairs(1, 16),
            Workload::Pairs2Of16 => pairs(2, 16),
            Workload::Pairs8Of16 => pairs(8, 16),
        }
    }

    /// Whether the receiver sleeps while it waits.
    pub fn blocks(self) -> bool {
        self == Workload::Blocking64
    }

    /// Bytes of buffer that each contender is given in each direction.
    pub fn capacity(self) -> usize {
        match self {
            Workload::InPlace1M | Workload::RoundTrip1M | Workload::OneWayInPlace1M => 4 << 20,
            _ => 1 << 20,
        }
    }

    /// Messages that touch all of that memory at least once, rounded up to whole batches.
    pub fn lap(self) -> u64 {
        (self.capacity() / self.size() + 1).next_multiple_of(BATCH) as u64
    }
}
