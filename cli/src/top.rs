//! `ipcx top`: all segments, as they move.

use std::collections::{HashMap, VecDeque};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ipcx_bench::signals;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Constraint;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Cell, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use crate::framing::{seconds, stop};
use crate::outcome::Outcome;
use crate::segment::{self, per_second, Seen};

/// Shows all segments as they move
///
/// All segments with their rates, how full they are, and how that was before. Marks what stands still with something in it, and who
/// died. In a terminal, q ends it; elsewhere it prints a line for each segment and interval
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx top --interval 0.5")]
pub(crate) struct Arguments {
    /// Time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// End after so many looks
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    signals::install_in_coordinator();
    let mut view = View::default();
    view.look()?;
    if !std::io::stdout().is_terminal() {
        return plain(&mut view, arguments);
    }
    let mut terminal = ratatui::try_init()?;
    let ended = shown(&mut terminal, &mut view, arguments);
    ratatui::restore();
    ended
}

/// How many rates of a segment are kept.
const HISTORY: usize = 20;
/// Longest sleep before it looks whether somebody ended it.
const SLICE: Duration = Duration::from_millis(100);

/// What was seen of one segment.
struct Line {
    seen: Seen,
    rates: VecDeque<f64>,
}

impl Line {
    /// With something in it that nobody moves, though somebody is there.
    fn stands_still(&self) -> bool {
        let holds =
            self.seen.figures.as_ref().and_then(|figures| figures.used).is_some_and(|(used, _)| used > 0);
        // What a buffer holds is its value, and waits for nobody.
        let waits = self.seen.kind() != "buffer" && self.seen.is_in_use();
        holds && waits && self.rates.len() > 1 && self.rates.iter().rev().take(2).all(|rate| *rate == 0.0)
    }

    fn state(&self) -> String {
        let still = if self.stands_still() { ", stands still" } else { "" };
        format!("{}{still}", self.seen.state())
    }

    fn rate(&self) -> String {
        self.rates.back().map(|rate| per_second(*rate)).unwrap_or_default()
    }

    fn bar(&self) -> String {
        const WIDTH: u64 = 10;
        let Some((used, room)) = self.seen.figures.as_ref().and_then(|figures| figures.used) else {
            return String::new();
        };
        let of = |scale: u64| {
            (u128::from(used) * u128::from(scale) / u128::from(room.max(1))).min(scale.into()) as usize
        };
        let filled = of(WIDTH).max(usize::from(used > 0));
        format!("{}{} {:>3}%", "█".repeat(filled), "░".repeat(WIDTH as usize - filled), of(100))
    }

    fn sparkline(&self) -> String {
        const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let most = self.rates.iter().copied().fold(1.0, f64::max);
        self.rates.iter().map(|rate| HEIGHTS[((rate / most * 7.0).round() as usize).min(7)]).collect()
    }
}

#[derive(Default)]
struct View {
    lines: Vec<Line>,
}

impl View {
    fn look(&mut self) -> Result<(), Outcome> {
        let mut before: HashMap<String, Line> =
            self.lines.drain(..).map(|line| (line.seen.listed.name.clone(), line)).collect();
        for seen in segment::all(|_| true)? {
            let mut rates = VecDeque::new();
            if let Some(line) = before.remove(&seen.listed.name) {
                rates = line.rates;
                rates.extend(seen.rate(&line.seen));
                rates.drain(..rates.len().saturating_sub(HISTORY));
            }
            self.lines.push(Line { seen, rates });
        }
        Ok(())
    }
}

fn plain(view: &mut View, arguments: &Arguments) -> Result<(), Outcome> {
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        let start = Instant::now();
        while let Some(left) = arguments.interval.checked_sub(start.elapsed()).filter(|left| !left.is_zero())
        {
            stop()?;
            std::thread::sleep(left.min(SLICE));
        }
        view.look()?;
        let mut out = std::io::stdout().lock();
        for line in &view.lines {
            let (name, kind) = (&line.seen.listed.name, line.seen.kind());
            writeln!(
                out,
                "{name}\t{kind}\t{}\t{}\t{}\t{}",
                line.rate(),
                line.seen.used(),
                line.seen.who(),
                line.state()
            )?;
        }
    }
    Ok(())
}

fn shown(terminal: &mut DefaultTerminal, view: &mut View, arguments: &Arguments) -> Result<(), Outcome> {
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        terminal.draw(|frame| draw(frame, view))?;
        let start = Instant::now();
        while let Some(left) = arguments.interval.checked_sub(start.elapsed()).filter(|left| !left.is_zero())
        {
            stop()?;
            if event::poll(left.min(SLICE))? {
                match event::read()? {
                    Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                            return Err(Outcome::Interrupted);
                        }
                        _ => {}
                    },
                    Event::Resize(..) => {
                        terminal.draw(|frame| draw(frame, view))?;
                    }
                    _ => {}
                }
            }
        }
        stop()?;
        view.look()?;
    }
    Ok(())
}

fn draw(frame: &mut Frame<'_>, view: &View) {
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let marked = |colour: Color| {
        if colours {
            Style::new().fg(colour)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        }
    };
    let row = |line: &Line| {
        let style = match line {
            line if line.seen.dead() > 0 || line.seen.listed.problem.is_some() => marked(Color::Red),
            line if line.stands_still() => marked(Color::Yellow),
            _ => Style::new(),
        };
        let (name, kind) = (line.seen.listed.name.clone(), line.seen.kind().to_owned());
        let cells = [name, kind, line.rate(), line.sparkline(), line.bar(), line.state(), line.seen.who()];
        Row::new(cells.map(Cell::from)).style(style)
    };
    let heads = ["NAME", "KIND", "RATE", "BEFORE", "FULL", "STATE", "ATTACHED"];
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(HISTORY as u16),
        Constraint::Length(15),
        Constraint::Length(20),
        Constraint::Fill(3),
    ];
    let table = Table::new(view.lines.iter().map(row), widths)
        .header(Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD)));
    frame.render_widget(table, frame.area());
}
