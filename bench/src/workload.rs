//! What is carried, which way, and how the receiver waits.

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
}

/// Messages in a batch.
pub const BATCH: usize = 64;

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 7] = [
        Workload::RoundTrip64,
        Workload::Blocking64,
        Workload::OneWay64,
        Workload::Batch64,
        Workload::OneWay64K,
        Workload::InPlace64,
        Workload::InPlace1M,
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
            Workload::InPlace1M => 1 << 20,
            _ => 64,
        }
    }

    /// How calls are made.
    pub fn shape(self) -> Shape {
        match self {
            Workload::RoundTrip64 | Workload::Blocking64 => Shape::RoundTrip,
            Workload::OneWay64 | Workload::OneWay64K => Shape::OneWay,
            Workload::Batch64 => Shape::Batch,
            Workload::InPlace64 | Workload::InPlace1M => Shape::InPlace,
        }
    }

    /// Whether the receiver sleeps while it waits.
    pub fn blocks(self) -> bool {
        self == Workload::Blocking64
    }

    /// Bytes of buffer that each contender is given in each direction.
    pub fn capacity(self) -> usize {
        match self {
            Workload::InPlace1M => 4 << 20,
            _ => 1 << 20,
        }
    }

    /// Messages that touch all of that memory at least once, rounded up to whole batches.
    pub fn lap(self) -> u64 {
        (self.capacity() / self.size() + 1).next_multiple_of(BATCH) as u64
    }
}
