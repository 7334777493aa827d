//! What was measured, as tables for people and as JSON for programs.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::{json, Value};

use super::contenders::Contender;
use super::run::{Group, Request, Way};
use crate::chart::Role;
use crate::host::Host;
use crate::rows::Measure;
use crate::schedule::{Measured, Missing};
use crate::stats::Spread;
use crate::table::Table;
use crate::workload::Waiting;

/// Columns that a table with everything takes. In a narrower terminal, some is left out, and it takes 80.
const WIDE: u16 = 100;
const NARROW: u16 = 80;
/// Fewest single round trips of which a 99.9th percentile says something.
const ENOUGH: u64 = 1000;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BEST: Style = AnsiColor::Green.on_default().bold();

/// Everything that a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine.
    pub host: Host,
    /// What was asked for.
    pub request: Request,
    /// What was measured.
    pub groups: Vec<Group>,
    /// How long it took.
    pub took: Duration,
    /// What a reader should know besides.
    pub notes: Vec<String>,
}

/// One contender's line of a table.
struct Row<'a> {
    contender: &'static Contender,
    measured: &'a Measured,
    each: Option<Spread>,
    ratio: Option<Spread>,
}

/// The rows of a group, fastest first; those without figures last.
fn rows(group: &Group) -> Vec<Row<'_>> {
    let base = group.results.iter().find(|(contender, _)| contender.name == group.base);
    let mut rows: Vec<Row<'_>> = group
        .results
        .iter()
        .map(|(contender, measured)| Row {
            contender,
            measured,
            each: Spread::of(measured.rounds.iter().copied()),
            ratio: base.and_then(|(_, base)| group.way.measure().ratio(&measured.rounds, &base.rounds)),
        })
        .collect();
    let place = |row: &Row<'_>| row.each.map_or(f64::INFINITY, |each| each.median);
    rows.sort_by(|a, b| place(a).total_cmp(&place(b)));
    rows
}

impl Way {
    /// Round trips are compared by their time, messages one way by their rate.
    fn measure(self) -> Measure {
        match self {
            Way::RoundTrip => Measure::Time,
            Way::OneWay => Measure::Rate,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Way::RoundTrip => "Round trip",
            Way::OneWay => "One way",
        }
    }
}

pub(super) fn words(waiting: Waiting) -> &'static str {
    match waiting {
        Waiting::Spin => "spinning",
        Waiting::Block => "blocking",
    }
}

impl Report {
    /// Tables for a terminal of so many columns, with the styles that a terminal shows.
    pub fn plain(&self, columns: u16) -> String {
        let width = if columns < WIDE { NARROW } else { WIDE };
        let mut text = format!("{}\n", wrapped(&self.host.line(), "", width));
        for note in &self.notes {
            text += &format!("{BOLD}{}{BOLD:#}\n", wrapped(note, "", width));
        }
        for groups in self.groups.chunk_by(|a, b| (a.way, a.waiting) == (b.way, b.waiting)) {
            text += &format!("\n{}", table(groups, width));
        }
        text + &format!("\n{DIM}{}{DIM:#}\n", wrapped(&self.legend(), "", width))
    }

    fn legend(&self) -> String {
        format!(
            "Two processes, pinned; every byte checked before timing. Each: time for one message or round trip, the \
             median of rounds that alternate between contenders. Ratios are taken within a round: median (p10-p90). \
             Percentiles are of single round trips and include reading the clock; p99.9 needs {ENOUGH} of them. \
             Dim: floors, the same copies with nothing around them. Pool: blocks are handed over, not copied, and \
             only their first word is touched. t-ring, t-buffer: a ring and a buffer as transports. Took {:.0} s; more --seconds make narrower spreads.",
            self.took.as_secs_f64()
        )
    }

    /// Everything, as JSON.
    pub fn json(&self) -> Value {
        json!({
            "host": {
                "cpu": self.host.cpu,
                "cpus": self.host.cpus.len(),
                "virtual_machine": self.host.virtual_machine,
                "kernel": self.host.kernel,
                "pinned": self.host.pinned,
            },
            "seconds": self.took.as_secs_f64(),
            "notes": self.notes,
            "cases": self.groups.iter().flat_map(|g| rows(g).into_iter().map(|row| case(g, &row))).collect::<Vec<_>>(),
        })
    }
}

fn case(group: &Group, row: &Row<'_>) -> Value {
    let spread =
        |spread: Option<Spread>| spread.map(|s| json!({"median": s.median, "p10": s.p10, "p90": s.p90}));
    let rate = row.each.filter(|_| group.way == Way::OneWay).map(|each| 1e9 / each.median);
    let latency = match row.measured.percentiles[..] {
        [p50, p90, p99, p999, max] => json!({
            "samples": row.measured.samples, "p50": p50, "p90": p90, "p99": p99, "p99.9": p999, "max": max
        }),
        _ => Value::Null,
    };
    json!({
        "contender": row.contender.name,
        "floor": row.contender.role == Role::Floor,
        "way": if group.way == Way::RoundTrip { "round trip" } else { "one way" },
        "waiting": if group.waiting == Waiting::Spin { "spin" } else { "block" },
        "size": group.size,
        "ns": spread(row.each),
        "ns_rounds": row.measured.rounds,
        "ns_single": latency,
        "messages_per_second": rate,
        "bytes_per_second": rate.map(|rate| rate * group.size as f64),
        "versus": group.base,
        "ratio": spread(row.ratio),
        "missing": row.measured.missing.as_ref().map(Missing::reason),
    })
}

/// The groups of one way and one kind of waiting, with reasons below.
fn table(groups: &[Group], width: u16) -> String {
    let Some(first) = groups.first() else { return String::new() };
    let mut table = Table { title: String::new(), heads: heads(first, width), cells: Vec::new() };
    let (mut styles, mut reasons) = (Vec::new(), Vec::new());
    for group in groups {
        let mut size = group.size.to_string();
        let mut best = true;
        for row in rows(group) {
            let mut cells = vec![std::mem::take(&mut size), row.contender.name.to_owned()];
            cells.extend(figures(group, &row, width));
            table.cells.push(cells);
            let floor = row.contender.role == Role::Floor;
            styles.push(match row.each {
                Some(_) if !floor && std::mem::take(&mut best) => BEST,
                Some(_) if !floor => Style::new(),
                _ => DIM,
            });
            if let Some(missing) = &row.measured.missing {
                reasons.push((row.contender.name, group.size, missing.reason()));
            }
        }
    }
    let title = format!("{}, {}", first.way.words(), words(first.waiting));
    let lines = table.plain(Some(width));
    let mut lines = lines.lines();
    let mut text = format!("{BOLD}{title}{BOLD:#}\n{DIM}{}{DIM:#}\n", lines.next().unwrap_or_default());
    for (line, style) in lines.zip(styles) {
        text += &format!("{style}{line}{style:#}\n");
    }
    text + &footnotes(&reasons, width)
}

fn heads(group: &Group, width: u16) -> Vec<String> {
    let heads: &[&str] = match group.way {
        Way::RoundTrip if width < WIDE => &["bytes", "", "each", "p50", "p99", "p99.9", "max"],
        Way::RoundTrip => &["bytes", "", "each", "p50", "p90", "p99", "p99.9", "max"],
        Way::OneWay => &["bytes", "", "each", "messages", "bytes/s"],
    };
    let ratio = match group.way.measure() {
        Measure::Rate => format!("rate / {}", group.base),
        _ => format!("time / {}", group.base),
    };
    heads.iter().map(|&head| head.to_owned()).chain([ratio]).collect()
}

fn figures(group: &Group, row: &Row<'_>, width: u16) -> Vec<String> {
    let nothing = || "-".to_owned();
    let each = row.each.map_or_else(nothing, |each| time(each.median));
    let ratio = row.ratio.map_or_else(nothing, |r| match width {
        NARROW => digits(r.median),
        _ => format!("{} ({}-{})", digits(r.median), digits(r.p10), digits(r.p90)),
    });
    let mut figures = vec![each];
    match group.way {
        Way::RoundTrip => {
            let shown = (0..5).filter(|index| width == WIDE || *index != 1);
            let quantiles = shown.map(|index| match row.measured.percentiles.get(index) {
                Some(_) if index == 3 && row.measured.samples < ENOUGH => nothing(),
                Some(&ns) => time(ns as f64),
                None => nothing(),
            });
            figures.extend(quantiles);
        }
        Way::OneWay => {
            let rate = row.each.map(|each| 1e9 / each.median);
            figures.push(rate.map_or_else(nothing, |rate| format!("{}/s", scaled(rate))));
            figures
                .push(rate.map_or_else(nothing, |rate| format!("{}B/s", scaled(rate * group.size as f64))));
        }
    }
    figures.push(ratio);
    figures
}

/// Reasons, each once, with the sizes that it is about, wrapped.
fn footnotes(reasons: &[(&str, usize, &str)], width: u16) -> String {
    let mut notes: Vec<(&str, Vec<String>, &str)> = Vec::new();
    for &(name, size, reason) in reasons {
        match notes.iter_mut().find(|note| (note.0, note.2) == (name, reason)) {
            Some(note) => note.1.push(size.to_string()),
            None => notes.push((name, vec![size.to_string()], reason)),
        }
    }
    let lines = notes.iter().map(|(name, sizes, reason)| {
        wrapped(&format!("{name}, {} bytes: {reason}", sizes.join(", ")), "  ", width)
    });
    lines.map(|line| format!("{DIM}{line}{DIM:#}\n")).collect()
}

/// Lines of at most as many columns as tables have, those after the first behind `indent`.
fn wrapped(text: &str, indent: &str, width: u16) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.chars().count() > width.into() {
            lines += &format!("\n{indent}");
            column = indent.len();
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += word.chars().count();
    }
    lines
}

/// Three digits and a unit.
fn time(ns: f64) -> String {
    let (number, unit) = match ns {
        ns if ns < 999.5 => (ns, "ns"),
        ns if ns < 999.5e3 => (ns / 1e3, "us"),
        ns if ns < 999.5e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", digits(number))
}

/// Three digits and a prefix of the decimal system.
fn scaled(number: f64) -> String {
    let (number, prefix) = match number {
        n if n < 999.5 => (n, ""),
        n if n < 999.5e3 => (n / 1e3, "k"),
        n if n < 999.5e6 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    format!("{} {prefix}", digits(number))
}

fn digits(number: f64) -> String {
    match number {
        n if n < 0.0995 => format!("{n:.3}"),
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(figures: &[(&str, &[f64])]) -> Group {
        let results = figures.iter().map(|(name, rounds)| {
            let contender = Contender::find(name).expect("a contender");
            let missing = rounds.is_empty().then(|| Missing::Failed("it is not there ".repeat(9)));
            let mut measured =
                Measured::nothing(contender.case(Way::RoundTrip, Waiting::Spin, 64).0, missing);
            measured.rounds = rounds.to_vec();
            (contender, measured)
        });
        let results = results.collect();
        Group { way: Way::RoundTrip, waiting: Waiting::Spin, size: 64, base: "flag", results }
    }

    fn report(group: Group) -> Report {
        let host = Host {
            cpu: "a CPU".to_owned(),
            cpus: vec![0, 1],
            kernel: "6.1".to_owned(),
            virtual_machine: false,
            pinned: [0, 1],
        };
        let request = Request {
            contenders: Vec::new(),
            sizes: vec![64],
            waiting: vec![Waiting::Spin],
            versus: None,
            length: Duration::from_secs(1),
        };
        Report { host, request, groups: vec![group], took: Duration::from_secs(1), notes: Vec::new() }
    }

    #[test]
    fn a_ratio_is_taken_within_rounds() {
        let group = group(&[("flag", &[100.0, 200.0, 400.0]), ("ring", &[110.0, 240.0, 400.0])]);
        let rows = rows(&group);
        assert_eq!(rows[1].contender.name, "ring");
        assert!((rows[1].ratio.expect("a ratio").median - 1.1).abs() < 1e-9);
        assert_eq!(rows[0].ratio.expect("a ratio").median, 1.0);
    }

    #[test]
    fn the_fastest_comes_first_and_what_is_missing_last() {
        let group = group(&[("flag", &[100.0]), ("mqueue", &[]), ("unix", &[900.0]), ("ring", &[110.0])]);
        let names: Vec<_> = rows(&group).iter().map(|row| row.contender.name).collect();
        assert_eq!(names, ["flag", "ring", "unix", "mqueue"]);
    }

    #[test]
    fn what_is_missing_has_its_reason_in_text_and_json_and_all_lines_fit() {
        let report = report(group(&[("flag", &[100.0]), ("mqueue", &[])]));
        let plain = report.plain(WIDE);
        let shown: Vec<String> = plain.lines().map(strip).collect();
        assert!(shown.iter().any(|line| line.contains("mqueue, 64 bytes: it is not there")), "{plain}");
        assert!(shown.iter().all(|line| line.chars().count() <= WIDE.into()), "{plain}");
        let json = report.json();
        assert!(json["cases"][1]["missing"].as_str().expect("a reason").starts_with("it is not there"));
        assert!(json["cases"][1]["ns"].is_null() && json["cases"][0]["missing"].is_null());
    }

    /// A line without its escape sequences.
    fn strip(line: &str) -> String {
        let mut parts = line.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(time(147.6), "148 ns");
        assert_eq!(time(9.996), "10.0 ns");
        assert_eq!(time(999_700.0), "1.00 ms");
        assert_eq!(scaled(999.9), "1.00 k");
        assert_eq!(time(15_320.0), "15.3 us");
        assert_eq!(scaled(4_480_000.0), "4.48 M");
    }
}
