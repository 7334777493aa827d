//! Every figure with its target, and which cases are measured next to each other.

use crate::stats::Spread;
use crate::workload::Workload::{self, *};

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
        write!(f, "{}/{}", self.contender, self.workload.name())
    }
}

/// What is divided by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The subject's time over the base's: less is better.
    Time,
    /// The subject's rate over the base's: more is better.
    Rate,
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

impl Row {
    /// The spread of the ratio, given each round's nanoseconds per message of both cases.
    pub fn ratio(&self, subject: &[f64], base: &[f64]) -> Option<Spread> {
        Spread::of(subject.iter().zip(base).map(|(subject, base)| match self.measure {
            Measure::Time => subject / base,
            Measure::Rate => base / subject,
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

/// The comparisons, grouped: the cases of one group are measured one right after the other.
pub const GROUPS: &[(&str, &[Row])] = &[
    ("round trip, spinning", ROUND_TRIP),
    ("one way, 64 bytes", ONE_WAY),
    ("one way, 64 KiB", LARGE),
    ("round trip, blocking", BLOCKING),
];

const ROUND_TRIP: &[Row] = &[
    time("ring, 64 B", case("ring", RoundTrip64), case("flag", RoundTrip64), Target::AtMost(1.10)),
    time("ring, 64 B", case("ring", RoundTrip64), case("flag-next", RoundTrip64), Target::None),
    time("ring, 64 B", case("ring", RoundTrip64), case("iceoryx2", RoundTrip64), Target::AtMost(0.40)),
    time("ring in place, 1 MiB", case("ring", InPlace1M), case("ring", RoundTrip64), Target::AtMost(1.30)),
    time("ring in place, 1 MiB", case("ring", InPlace1M), case("ring", InPlace64), Target::None),
    rate(
        "C through libipcx.so",
        case("ring-c", RoundTrip64),
        case("ring", RoundTrip64),
        Target::AtLeast(0.95),
    ),
];

const ONE_WAY: &[Row] = &[
    rate("ring, 64 B", case("ring", OneWay64), case("rtrb", OneWay64), Target::AtLeast(1.0)),
    rate("ring, 64 B", case("ring", OneWay64), case("iceoryx2", OneWay64), Target::AtLeast(15.0)),
    rate("ring, batches of 64", case("ring", Batch64), case("ring", OneWay64), Target::AtLeast(1.5)),
    rate("ring, batches of 64", case("ring", Batch64), case("rtrb", Batch64), Target::None),
    rate("C through libipcx.so", case("ring-c", OneWay64), case("ring", OneWay64), Target::AtLeast(0.95)),
];

const LARGE: &[Row] =
    &[rate("ring, 64 KiB", case("ring", OneWay64K), case("memcpy", OneWay64K), Target::AtLeast(0.90))];

const BLOCKING: &[Row] = &[
    time("ring, 64 B", case("ring", Blocking64), case("futex", Blocking64), Target::AtMost(1.10)),
    time("ring, 64 B", case("ring", Blocking64), case("pipe", Blocking64), Target::AtMost(0.50)),
];

/// The rows of every group that `only` selects (all if empty), group by group.
pub fn selected(only: &str) -> Vec<(&'static str, Vec<Row>)> {
    let wanted = |group: &str, row: &Row| {
        let text = format!("{group} {} {} {}", row.what, row.subject, row.base);
        text.to_lowercase().contains(&only.to_lowercase())
    };
    let groups = GROUPS.iter().map(|&(name, rows)| {
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
