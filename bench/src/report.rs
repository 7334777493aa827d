//! What was measured, as tables for people and as JSON for programs.

use crate::artifact::{Artifact, SIZE_LIMIT};
use crate::host::Host;
use crate::json::Json;
use crate::rows::{Measure, Target};
use crate::schedule::{Group, Measured, Plan};
use crate::startup::Startup;
use crate::stats::Spread;
use crate::workload::Shape;

/// Everything that a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine.
    pub host: Host,
    /// What was asked for.
    pub plan: Plan,
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

/// A table: a title, column heads, and cells.
struct Table {
    title: String,
    heads: Vec<&'static str>,
    cells: Vec<Vec<String>>,
}

impl Report {
    /// How many figures fall short of their target.
    pub fn shortfalls(&self) -> usize {
        self.figures().iter().filter(|figure| figure.verdict == "short").count()
    }

    /// The tables as plain text.
    pub fn plain(&self) -> String {
        let tables = self.tables().iter().map(Table::plain).collect::<Vec<_>>().join("\n");
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
            self.plan.rounds,
            self.plan.round.as_millis()
        )
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![Table {
            title: "Figures and targets".to_owned(),
            heads: vec!["figure", "value", "p10-p90", "target", ""],
            cells: self
                .figures()
                .into_iter()
                .map(|f| vec![f.what, f.figure, f.spread, f.target, f.verdict.to_owned()])
                .collect(),
        }];
        for group in &self.groups {
            tables.push(Table {
                title: format!("Measured: {}", group.name),
                heads: vec!["case", "ns each", "p10-p90", "rate", "single round trips p50/p90/p99/p99.9"],
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
            figures.push(exact("libipcx.so, stripped, bytes".to_owned(), artifact.stripped as f64, limit));
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
    pub fn json(&self) -> Json {
        let figures = self.figures().into_iter().map(|f| {
            Json::Object(vec![
                ("what", Json::text(f.what)),
                ("value", Json::text(f.figure)),
                ("spread", Json::text(f.spread)),
                ("target", Json::text(f.target)),
                ("verdict", Json::text(f.verdict)),
            ])
        });
        let cases = self.groups.iter().flat_map(|group| &group.cases).map(case_json);
        Json::Object(vec![
            ("cpu", Json::text(&self.host.cpu)),
            ("cpus", (self.host.cpus.len() as u64).into()),
            ("virtual_machine", Json::text(self.host.virtual_machine)),
            ("kernel", Json::text(&self.host.kernel)),
            ("pinned", Json::list(self.host.pinned.map(|cpu| cpu as u64))),
            ("rounds", (self.plan.rounds as u64).into()),
            ("round_ms", (self.plan.round.as_millis() as u64).into()),
            ("figures", Json::List(figures.collect())),
            ("cases", Json::List(cases.collect())),
            ("startups", Json::List(self.startups.iter().map(startup_json).collect())),
            ("library", self.artifact.as_ref().map_or(Json::Null, artifact_json)),
        ])
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
        figures.push(match row.ratio(&subject.rounds, &base.rounds) {
            Some(spread) => figure(what, spread, row.target, 3),
            None => Figure {
                what,
                figure: "-".to_owned(),
                spread: subject.missing.clone().or_else(|| base.missing.clone()).unwrap_or_default(),
                target: row.target.to_string(),
                verdict: if row.target == Target::None { "" } else { "not measured" },
            },
        });
    }
    figures
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
        let why = measured.missing.clone().unwrap_or_default();
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

fn case_json(measured: &Measured) -> Json {
    let spread = Spread::of(measured.rounds.iter().copied());
    let part = |part: fn(Spread) -> f64| spread.map_or(Json::Null, |spread| part(spread).into());
    Json::Object(vec![
        ("contender", Json::text(measured.case.contender)),
        ("workload", Json::text(measured.case.workload)),
        ("about", Json::text(measured.about)),
        ("ns_median", part(|s| s.median)),
        ("ns_p10", part(|s| s.p10)),
        ("ns_p90", part(|s| s.p90)),
        ("ns_rounds", Json::list(measured.rounds.iter().copied())),
        ("single_p50_p90_p99_p999_max", Json::list(measured.percentiles.iter().copied())),
        ("missing", measured.missing.as_ref().map_or(Json::Null, Json::text)),
    ])
}

fn startup_json(startup: &Startup) -> Json {
    Json::Object(vec![
        ("contender", Json::text(&startup.contender)),
        ("about", Json::text(&startup.about)),
        ("us_median", startup.micros.median.into()),
        ("us_p10", startup.micros.p10.into()),
        ("us_p90", startup.micros.p90.into()),
        ("files", (startup.files as u64).into()),
    ])
}

fn artifact_json(artifact: &Artifact) -> Json {
    Json::Object(vec![
        ("stripped_bytes", artifact.stripped.into()),
        ("needed", Json::List(artifact.needed.iter().map(Json::text).collect())),
    ])
}

impl Table {
    fn plain(&self) -> String {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.chars().count()).collect();
        for row in &self.cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: Vec<&str>| {
            let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            format!("  {}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        let mut text = format!("{}\n{}", self.title, line(self.heads.clone()));
        for row in &self.cells {
            text += &line(row.iter().map(String::as_str).collect());
        }
        text
    }

    fn markdown(&self) -> String {
        let rule = vec!["---"; self.heads.len()].join("|");
        let mut text = format!("### {}\n\n| {} |\n|{rule}|\n", self.title, self.heads.join(" | "));
        for row in &self.cells {
            text += &format!("| {} |\n", row.join(" | "));
        }
        text
    }
}
