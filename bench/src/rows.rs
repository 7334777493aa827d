//! Every figure with its target, and which cases are measured next to each other.

use crate::stats::Spread;
use crate::workload::Workload;

mod patterns;
pub mod peers;

/// Short, for the table below.
type W = Workload;

/// A contender carrying a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// The contender's name in the table of adapters.
    pub contender: &'static str,
    /// What it carries.
    pub workload: Workload,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.contender, self.workload)
    }
}

/// What is divided by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The subject's time over the base's: less is better.
    Time,
    /// The subject's rate over the base's: more is better.
    Rate,
    /// The subject's nanoseconds by themselves; the base is the subject.
    Each,
}

/// Where a figure should lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Shown for comparison.
    None,
}

impl Target {
    /// `reached`, `short`, or nothing where there is no target.
    pub fn verdict(self, figure: f64) -> &'static str {
        match self {
            Target::AtMost(limit) if figure <= limit => "reached",
            Target::AtLeast(limit) if figure >= limit => "reached",
            Target::None => "",
            _ => "short",
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::AtMost(limit) => write!(f, "<= {limit}"),
            Target::AtLeast(limit) => write!(f, ">= {limit}"),
            Target::None => Ok(()),
        }
    }
}

/// One comparison of two cases.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What the figure says.
    pub what: &'static str,
    /// The case that is judged.
    pub subject: Case,
    /// The case that it is compared with.
    pub base: Case,
    /// Time or rate.
    pub measure: Measure,
    /// Where the ratio should lie.
    pub target: Target,
}

impl Measure {
    /// The spread of the ratio, given each round's nanoseconds per message of both cases.
    pub fn ratio(self, subject: &[f64], base: &[f64]) -> Option<Spread> {
        Spread::of(subject.iter().zip(base).map(|(subject, base)| match self {
            Measure::Time => subject / base,
            Measure::Rate => base / subject,
            Measure::Each => *subject,
        }))
    }
}

const fn case(contender: &'static str, workload: Workload) -> Case {
    Case { contender, workload }
}

const fn time(what: &'static str, subject: Case, base: Case, target: Target) -> Row {
    Row { what, subject, base, measure: Measure::Time, target }
}

const fn rate(what: &'static str, subject: Case, base: Case, target: Target) -> Row {
    Row { what, subject, base, measure: Measure::Rate, target }
}

const fn each(what: &'static str, subject: Case, target: Target) -> Row {
    Row { what, subject, base: subject, measure: Measure::Each, target }
}

/// The comparisons, grouped: the cases of one group are measured one right after the other. With the feature `peers`, those
/// of [`peers::GROUPS`] are there, too.
pub const GROUPS: &[(&str, &[Row])] = &[
    ("round trip, spinning", ROUND_TRIP),
    ("one way, 64 bytes", ONE_WAY),
    ("one way, 64 KiB", LARGE),
    ("round trip, blocking", BLOCKING),
    ("block hand-over, 1 MiB", HAND_OVER),
    ("pool acquire + release, one process", ALONE),
    ("pool acquire + release, 2 and 8 processes on 2 processors", CROWD),
    ("buffer, one process", VALUE),
    ("buffer, round trip", VALUES),
    ("lock + unlock, 1, 2 and 8 processes on 2 processors", LOCK),
    ("woken through a descriptor", WOKEN),
    ("topic", patterns::TOPIC),
    ("service", patterns::SERVICE),
    ("work queue", patterns::QUEUE),
];

const ROUND_TRIP: &[Row] = &[
    time("ring, 64 B", case("ring", W::ROUND_TRIP_64), case("flag", W::ROUND_TRIP_64), Target::AtMost(1.10)),
    time("ring, 64 B", case("ring", W::ROUND_TRIP_64), case("flag-next", W::ROUND_TRIP_64), Target::None),
    time(
        "ring in place, 1 MiB",
        case("ring", W::IN_PLACE_1M),
        case("ring", W::ROUND_TRIP_64),
        Target::AtMost(1.30),
    ),
    time("ring in place, 1 MiB", case("ring", W::IN_PLACE_1M), case("ring", W::IN_PLACE_64), Target::None),
    rate(
        "C through libipcx.so",
        case("ring-c", W::ROUND_TRIP_64),
        case("ring", W::ROUND_TRIP_64),
        Target::AtLeast(0.95),
    ),
];

const ONE_WAY: &[Row] = &[
    rate("ring, batches of 64", case("ring", W::BATCH_64), case("ring", W::ONE_WAY_64), Target::AtLeast(1.5)),
    rate(
        "C through libipcx.so",
        case("ring-c", W::ONE_WAY_64),
        case("ring", W::ONE_WAY_64),
        Target::AtLeast(0.95),
    ),
];

const LARGE: &[Row] = &[rate(
    "ring, 64 KiB",
    case("ring", W::ONE_WAY_64K),
    case("memcpy", W::ONE_WAY_64K),
    Target::AtLeast(0.90),
)];

const BLOCKING: &[Row] = &[
    time("ring, 64 B", case("ring", W::BLOCKING_64), case("futex", W::BLOCKING_64), Target::AtMost(1.10)),
    time("ring, 64 B", case("ring", W::BLOCKING_64), case("pipe", W::BLOCKING_64), Target::AtMost(0.50)),
];

const HAND_OVER: &[Row] = &[
    time("block", case("block", W::IN_PLACE_1M), case("ring", W::ROUND_TRIP_64), Target::AtMost(1.30)),
    time(
        "same block",
        case("block-back", W::IN_PLACE_1M),
        case("ring", W::ROUND_TRIP_64),
        Target::AtMost(1.30),
    ),
    time("block", case("block", W::IN_PLACE_1M), case("ring", W::ROUND_TRIP_1M), Target::None),
    each("block, one way", case("block", W::ONE_WAY_IN_PLACE_1M), Target::None),
    rate(
        "block, one way",
        case("block", W::ONE_WAY_IN_PLACE_1M),
        case("ring", W::ONE_WAY_IN_PLACE_1M),
        Target::None,
    ),
];

const ALONE: &[Row] = &[
    each("pool", case("pool", W::PAIRS_1), Target::AtMost(10.0)),
    each("pool, with the guard", case("pool-guard", W::PAIRS_1), Target::AtMost(10.0)),
    each("pool from C", case("pool-c", W::PAIRS_1), Target::None),
    time("pool", case("pool", W::PAIRS_1), case("malloc", W::PAIRS_1), Target::None),
    time("pool", case("pool", W::PAIRS_1), case("mutex-vec", W::PAIRS_1), Target::None),
    time("pool", case("pool", W::PAIRS_1), case("treiber", W::PAIRS_1), Target::None),
    each("pool, 16 held", case("pool", W::PAIRS_1_OF_16), Target::None),
    time("pool, 16 held", case("pool", W::PAIRS_1_OF_16), case("malloc", W::PAIRS_1_OF_16), Target::None),
    time("pool, 16 held", case("pool", W::PAIRS_1_OF_16), case("treiber", W::PAIRS_1_OF_16), Target::None),
];

// All processes' pairs together. No cliff: two processes do no fewer than one alone.
const CROWD: &[Row] = &[
    rate("pool", case("pool", W::PAIRS_2), case("pool", W::PAIRS_1), Target::AtLeast(1.0)),
    rate("pool", case("pool", W::PAIRS_8), case("pool", W::PAIRS_1), Target::None),
    rate("treiber", case("treiber", W::PAIRS_2), case("treiber", W::PAIRS_1), Target::None),
    rate("treiber", case("treiber", W::PAIRS_8), case("treiber", W::PAIRS_1), Target::None),
    rate("mutex", case("futex-list", W::PAIRS_2), case("futex-list", W::PAIRS_1), Target::None),
    rate("mutex", case("futex-list", W::PAIRS_8), case("futex-list", W::PAIRS_1), Target::None),
    rate("pool", case("pool", W::PAIRS_2), case("treiber", W::PAIRS_2), Target::None),
    rate("pool", case("pool", W::PAIRS_8), case("treiber", W::PAIRS_8), Target::None),
    rate(
        "pool, 16 held",
        case("pool", W::PAIRS_2_OF_16),
        case("pool", W::PAIRS_1_OF_16),
        Target::AtLeast(1.0),
    ),
    rate("pool, 16 held", case("pool", W::PAIRS_8_OF_16), case("pool", W::PAIRS_1_OF_16), Target::None),
    rate("pool, 16 held", case("pool", W::PAIRS_2_OF_16), case("treiber", W::PAIRS_2_OF_16), Target::None),
    rate("pool, 16 held", case("pool", W::PAIRS_8_OF_16), case("treiber", W::PAIRS_8_OF_16), Target::None),
    rate("pool, 16 held", case("pool", W::PAIRS_2_OF_16), case("futex-list", W::PAIRS_2_OF_16), Target::None),
    rate("pool, 16 held", case("pool", W::PAIRS_8_OF_16), case("futex-list", W::PAIRS_8_OF_16), Target::None),
];

const VALUE: &[Row] = &[
    each("write", case("buffer-write", W::PAIRS_1), Target::AtMost(50.0)),
    each("read", case("buffer-read", W::PAIRS_1), Target::AtMost(50.0)),
    each("lock", case("buffer-lock", W::PAIRS_1), Target::None),
    time("lock", case("buffer-lock", W::PAIRS_1), case("robust-mutex", W::PAIRS_1), Target::None),
    each("permit", case("semaphore", W::PAIRS_1), Target::None),
    time("permit", case("semaphore", W::PAIRS_1), case("sem_t", W::PAIRS_1), Target::None),
];

const VALUES: &[Row] = &[
    time("values, spinning", case("buffer", W::ROUND_TRIP_64), case("ring", W::ROUND_TRIP_64), Target::None),
    time("values, spinning", case("buffer", W::ROUND_TRIP_64), case("flag", W::ROUND_TRIP_64), Target::None),
    time(
        "values, blocking",
        case("buffer", W::BLOCKING_64),
        case("futex", W::BLOCKING_64),
        Target::AtMost(1.10),
    ),
    time(
        "values, blocking",
        case("buffer", W::BLOCKING_64),
        case("pipe", W::BLOCKING_64),
        Target::AtMost(0.50),
    ),
];

// All processes' pairs together.
const LOCK: &[Row] = &[
    rate("lock", case("buffer-lock", W::PAIRS_2), case("robust-mutex", W::PAIRS_2), Target::None),
    rate("lock", case("buffer-lock", W::PAIRS_8), case("robust-mutex", W::PAIRS_8), Target::None),
    rate("lock", case("buffer-lock", W::PAIRS_2), case("buffer-lock", W::PAIRS_1), Target::None),
    rate("robust", case("robust-mutex", W::PAIRS_2), case("robust-mutex", W::PAIRS_1), Target::None),
    rate("permit", case("semaphore", W::PAIRS_2), case("sem_t", W::PAIRS_2), Target::None),
    rate("permit", case("semaphore", W::PAIRS_8), case("sem_t", W::PAIRS_8), Target::None),
];

const WOKEN: &[Row] = &[
    time("ring, polled", case("ring-poll", W::BLOCKING_64), case("pipe-poll", W::BLOCKING_64), Target::None),
    time("ring, polled", case("ring-poll", W::BLOCKING_64), case("ring", W::BLOCKING_64), Target::None),
];

/// The rows of every group that `only` selects (all if empty), group by group. See [`Options::only`](crate::options::Options::only).
pub fn selected(only: &str) -> Vec<(&'static str, Vec<Row>)> {
    let wanted = |group: &str, row: &Row| {
        let text = format!("{group} {} {} {}", row.what, row.subject, row.base);
        let text = text.to_lowercase();
        only.to_lowercase().split('|').any(|part| text.contains(part))
    };
    let groups = if cfg!(feature = "peers") { &[GROUPS, peers::GROUPS][..] } else { &[GROUPS] };
    let groups = groups.iter().copied().flatten().map(|&(name, rows)| {
        (name, rows.iter().copied().filter(|row| wanted(name, row)).collect::<Vec<_>>())
    });
    groups.filter(|(_, rows)| !rows.is_empty()).collect()
}

/// The cases that `rows` need, each once, in order of appearance.
pub fn cases(rows: &[Row]) -> Vec<Case> {
    let mut found: Vec<Case> = Vec::new();
    for case in rows.iter().flat_map(|row| [row.subject, row.base]) {
        if !found.contains(&case) {
            found.push(case);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{self, Start};

    #[test]
    fn every_case_of_a_row_is_one_that_its_contender_can_do() {
        for (group, rows) in GROUPS.iter().chain(peers::GROUPS) {
            for case in cases(rows) {
                let adapter = adapters::find(case.contender).expect(case.contender);
                let absent = matches!(adapter.start, Start::Absent(_));
                assert!(absent || (adapter.carries)(case.workload), "{group}: {case}");
            }
        }
    }

    #[test]
    fn several_texts_select_the_rows_of_each() {
        let groups = |only| selected(only).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(groups("work queue queue|one way, 64 kib"), ["one way, 64 KiB"]);
        assert_eq!(groups("service call|one way, 64 kib")[..2], ["one way, 64 KiB", "service"]);
    }

    #[test]
    fn a_figure_is_a_quotient_of_times_or_of_rates_or_a_time() {
        let median = |measure: Measure| measure.ratio(&[10.0], &[20.0]).map(|spread| spread.median);
        assert_eq!(median(Measure::Time), Some(0.5));
        assert_eq!(median(Measure::Rate), Some(2.0));
        assert_eq!(median(Measure::Each), Some(10.0));
    }
}
