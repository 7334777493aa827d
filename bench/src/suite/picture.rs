//! What was measured, as a chart: a panel for each way that messages go and each kind of waiting.

use super::report::{words, Report};
use super::run::{Group, Way};
use crate::chart::{Chart, Line, Panel, Role, Unit};
use crate::stats::Spread;

impl Report {
    /// The chart: round trips by their median with the 99th percentile above it, and bandwidths, against the size.
    pub fn chart(&self) -> Chart {
        let mut panels: Vec<Panel> = self
            .groups
            .chunk_by(|a, b| (a.way, a.waiting) == (b.way, b.waiting))
            .map(|groups| panel(groups, &groups[0]))
            .collect();
        panels.retain(|panel| !panel.lines.is_empty());
        Chart { title: "Messages between two processes".to_owned(), subtitle: self.host.line(), panels }
    }
}

fn panel(groups: &[Group], first: &Group) -> Panel {
    let y = match first.way {
        Way::RoundTrip => ("median; shaded: up to the 99th percentile".to_owned(), Unit::Nanoseconds),
        Way::OneWay => ("bytes per second".to_owned(), Unit::BytesPerSecond),
    };
    let mut lines: Vec<Line> = Vec::new();
    for group in groups {
        for (contender, measured) in &group.results {
            let Some(each) = Spread::of(measured.rounds.iter().copied()) else { continue };
            let size = group.size as f64;
            let index = lines.iter().position(|line| line.label == contender.name).unwrap_or_else(|| {
                let (label, role) = (contender.name.to_owned(), contender.role);
                lines.push(Line { label, role, points: Vec::new(), band: Vec::new() });
                lines.len() - 1
            });
            let line = &mut lines[index];
            match (first.way, &measured.percentiles[..]) {
                (Way::RoundTrip, &[p50, _, p99, ..]) => {
                    line.points.push((size, p50 as f64));
                    if contender.role != Role::Floor {
                        line.band.push((size, p99 as f64));
                    }
                }
                (Way::RoundTrip, _) => {}
                (Way::OneWay, _) => line.points.push((size, size * 1e9 / each.median)),
            }
        }
    }
    let title = format!("{}, {}", first.way.words(), words(first.waiting));
    Panel { title, x: ("message".to_owned(), Unit::Bytes), y, lines }
}
