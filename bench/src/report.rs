//! Measuring every row of `ipcx-bench`, and what was measured as tables for people and as JSON for programs.

use std::time::Duration;

use serde_json::{json, Value};

use crate::artifact::{Artifact, SIZE_LIMIT};
use crate::host::Host;
use crate::rows::{self, Measure, Row, Target};
use crate::schedule::{Measured, Missing, Session, Setup};
use crate::startup::Startup;
use crate::stats::Spread;
use crate::table::Table;
use crate::workload::Shape;
use crate::{progress, Result};

/// One group: its name, its rows, and its cases as measured.
#[derive(Clone, Debug)]
pub struct Group {
    /// The group's name.
    pub name: &'static str,
    /// The comparisons to make.
    pub rows: Vec<Row>,
    /// The cases, each once.
    pub cases: Vec<Measured>,
}

/// Measures the rows that `only` selects, all groups in each round.
///
/// # Errors
/// If the run is to end.
pub fn measure(only: &str, rounds: u32, setup: &Setup) -> Result<Vec<Group>> {
    let selected = rows::selected(only);
    let cases: usize = selected.iter().map(|(_, rows)| rows::cases(rows).len()).sum();
    let bar = progress::bar(cases + rounds as usize);
    let mut groups = Vec::new();
    for (name, rows) in selected {
        let mut session = Session::default();
        for case in rows::cases(&rows) {
            bar.set_message(case.to_string());
            session.add(case, setup)?;
            bar.inc(1);
        }
        groups.push((name, rows, session));
    }
    for round in 0..rounds {
        bar.set_message(format!("round {} of {rounds}", round + 1));
        for (_, _, session) in &mut groups {
            session.round(round as usize, setup.round)?;
        }
        bar.inc(1);
    }
    for (_, _, session) in &mut groups {
        session.sample(setup.round)?;
    }
    let groups =
        groups.into_iter().map(|(name, rows, session)| Group { name, rows, cases: session.finish() });
    Ok(groups.collect())
}

/// Everything that a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine.
    pub host: Host,
    /// Rounds of every case.
    pub rounds: u32,
    /// The length of one.
    pub round: Duration,
    /// Comparisons and cases.
    pub groups: Vec<Group>,
    /// What beginning takes.
    pub startups: Vec<Startup>,
    /// The shared library, if it has been built.
    pub artifact: Option<Artifact>,
}

/// One figure with its target, ready to print.
#[derive(Clone, Debug)]
struct Figure {
    what: String,
    figure: String,
    spread: String,
    target: String,
    verdict: &'static str,
}

impl Report {
    /// How many figures fall short of their target.
    pub fn shortfalls(&self) -> usize {
        self.figures().iter().filter(|figure| figure.verdict == "short").count()
    }

    /// The tables as plain text.
    pub fn plain(&self) -> String {
        let plain = |table: &Table| format!("{}\n{}", table.title, table.plain(None));
        let tables = self.tables().iter().map(plain).collect::<Vec<_>>().join("\n");
        format!("{}\n{}\n\n{tables}", self.host.line(), self.method())
    }

    /// The tables as Markdown.
    pub fn markdown(&self) -> String {
        let tables = self.tables().iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
        format!("{}  \n{}\n\n{tables}", self.host.line(), self.method())
    }

    fn method(&self) -> String {
        format!(
            "{} rounds of {} ms per case, alternated A B B A; ratios within a round: median (p10-p90)",
            self.rounds,
            self.round.as_millis()
        )
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![Table {
            title: "Figures and targets".to_owned(),
            heads: ["figure", "value", "p10-p90", "target", ""].map(str::to_owned).to_vec(),
            cells: self
                .figures()
                .into_iter()
                .map(|f| vec![f.what, f.figure, f.spread, f.target, f.verdict.to_owned()])
                .collect(),
        }];
        for group in &self.groups {
            tables.push(Table {
                title: format!("Measured: {}", group.name),
                heads: ["case", "ns each", "p10-p90", "rate", "single round trips p50/p90/p99/p99.9"]
                    .map(str::to_owned)
                    .to_vec(),
                cells: group.cases.iter().map(case_cells).collect(),
            });
        }
        tables
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures: Vec<Figure> = self.groups.iter().flat_map(ratios).collect();
        for startup in &self.startups {
            let ours = startup.contender == "ring";
            let target = if ours { Target::AtMost(100.0) } else { Target::None };
            let what = format!("startup, {}: {}, us", startup.contender, startup.about);
            figures.push(figure(what, startup.micros, target, 1));
            let target = if ours { Target::AtMost(1.0) } else { Target::None };
            figures.push(exact(
                format!("startup, {}: files", startup.contender),
                startup.files as f64,
                target,
            ));
        }
        if let Some(artifact) = &self.artifact {
            let limit = Target::AtMost(SIZE_LIMIT as f64);
            let (what, target) = match artifact.is_small {
                true => ("libipcx.so of `make small`, stripped, bytes", limit),
                false => ("libipcx.so with the printer of backtraces, stripped, bytes", Target::None),
            };
            figures.push(exact(what.to_owned(), artifact.stripped as f64, target));
            figures.push(Figure {
                what: format!("libipcx.so needs {}", artifact.needed.join(" ")),
                figure: artifact.needed.len().to_string(),
                spread: String::new(),
                target: "libc, libgcc_s".to_owned(),
                verdict: if artifact.needs_only_libc() { "reached" } else { "short" },
            });
        }
        figures
    }

    /// Everything, as JSON.
    pub fn json(&self) -> Value {
        let figures = self.figures().into_iter().map(|f| {
            json!({"what": f.what, "value": f.figure, "spread": f.spread, "target": f.target, "verdict": f.verdict})
        });
        let cases = self.groups.iter().flat_map(|group| &group.cases).map(case_json);
        json!({
            "cpu": self.host.cpu,
            "cpus": self.host.cpus.len(),
            "virtual_machine": self.host.virtual_machine,
            "kernel": self.host.kernel,
            "pinned": self.host.pinned,
            "rounds": self.rounds,
            "round_ms": self.round.as_millis() as u64,
            "figures": figures.collect::<Vec<_>>(),
            "cases": cases.collect::<Vec<_>>(),
            "startups": self.startups.iter().map(startup_json).collect::<Vec<_>>(),
            "library": self.artifact.as_ref().map(artifact_json),
        })
    }
}

fn ratios(group: &Group) -> Vec<Figure> {
    let find = |case| group.cases.iter().find(|measured| measured.case == case);
    let mut figures = Vec::new();
    for row in &group.rows {
        let (Some(subject), Some(base)) = (find(row.subject), find(row.base)) else { continue };
        let what = match row.measure {
            Measure::Time => format!("{}: {}, time over {}", group.name, row.subject, row.base),
            Measure::Rate => format!("{}: {}, rate over {}", group.name, row.subject, row.base),
            Measure::Each => format!("{}: {}, ns", group.name, row.subject),
        };
        figures.push(match row.measure.ratio(&subject.rounds, &base.rounds) {
            Some(spread) => figure(what, spread, row.target, 3),
            None => Figure {
                what,
                figure: "-".to_owned(),
                spread: reason(subject.missing.as_ref().or(base.missing.as_ref())),
                target: row.target.to_string(),
                verdict: if row.target == Target::None { "" } else { "not measured" },
            },
        });
    }
    figures
}

fn reason(missing: Option<&Missing>) -> String {
    missing.map_or("", Missing::reason).to_owned()
}

fn figure(what: String, spread: Spread, target: Target, digits: usize) -> Figure {
    Figure {
        what,
        figure: format!("{:.digits$}", spread.median),
        spread: format!("{:.digits$}-{:.digits$}", spread.p10, spread.p90),
        target: target.to_string(),
        verdict: target.verdict(spread.median),
    }
}

fn exact(what: String, value: f64, target: Target) -> Figure {
    let verdict = target.verdict(value);
    Figure { what, figure: value.to_string(), spread: String::new(), target: target.to_string(), verdict }
}

fn case_cells(measured: &Measured) -> Vec<String> {
    let Some(spread) = Spread::of(measured.rounds.iter().copied()) else {
        let why = reason(measured.missing.as_ref());
        return vec![measured.case.to_string(), "-".to_owned(), why, String::new(), String::new()];
    };
    let rate = match measured.case.workload.shape {
        Shape::RoundTrip | Shape::InPlace => String::new(),
        Shape::Pairs(_) | Shape::OneWayInPlace => format!("{:.2} M/s", 1e3 / spread.median),
        Shape::OneWay | Shape::Batch => {
            let gigabytes = measured.case.workload.size as f64 / spread.median;
            format!("{:.2} M/s, {gigabytes:.2} GB/s", 1e3 / spread.median)
        }
    };
    let percentiles = measured.percentiles.iter().take(4).map(|ns| nanos(*ns as f64)).collect::<Vec<_>>();
    vec![
        measured.case.to_string(),
        nanos(spread.median),
        format!("{}-{}", nanos(spread.p10), nanos(spread.p90)),
        rate,
        percentiles.join(" / "),
    ]
}

/// Three digits or so.
fn nanos(ns: f64) -> String {
    match ns {
        small if small < 100.0 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    }
}

fn case_json(measured: &Measured) -> Value {
    let spread = Spread::of(measured.rounds.iter().copied());
    json!({
        "contender": measured.case.contender,
        "workload": measured.case.workload.to_string(),
        "about": measured.about,
        "ns_median": spread.map(|s| s.median),
        "ns_p10": spread.map(|s| s.p10),
        "ns_p90": spread.map(|s| s.p90),
        "ns_rounds": measured.rounds,
        "single_p50_p90_p99_p999_max": measured.percentiles,
        "missing": measured.missing.as_ref().map(Missing::reason),
    })
}

fn startup_json(startup: &Startup) -> Value {
    json!({
        "contender": startup.contender,
        "about": startup.about,
        "us_median": startup.micros.median,
        "us_p10": startup.micros.p10,
        "us_p90": startup.micros.p90,
        "files": startup.files,
    })
}

fn artifact_json(artifact: &Artifact) -> Value {
    json!({"stripped_bytes": artifact.stripped, "needed": artifact.needed})
}
