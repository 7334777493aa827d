//! Drawing: where everything lies, its colours, and the SVG.

use plotters::coord::types::RangedCoordf64;
use plotters::coord::{CoordTranslate, Shift};
use plotters::element::{DashedPathElement, Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{drawable, Axis};
use super::labels::spread;
use super::{Chart, Line, Panel, Role};
use crate::{while_doing, Result};

const FONT: &str = "Inter, Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif";
/// Width of a character relative to the font's size, at most, on average.
const CHARACTER: f64 = 0.56;

// Pixels. A cell of the grid holds a panel: its head, the plot, what is written around it.
const MARGIN: i32 = 28;
const TITLE: i32 = 36;
const HEAD: i32 = 54;
const LEFT: i32 = 66;
const PLOT: (i32, i32) = (400, 300);
const FOOT: i32 = 58;
/// From the plot's right edge to the names, crossed by the leaders.
const LEADER: i32 = 26;
/// From one name to the next.
const GAP: i32 = 17;

const BLACK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);
const FLOOR: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// The darker colours of Okabe and Ito, that people with any colour vision tell apart.
const SUBJECTS: [RGBColor; 4] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x80, 0x5e),
    RGBColor(0x9c, 0x3d, 0x8a),
];
/// Paul Tol's muted colours, without the light ones.
const PEERS: [RGBColor; 9] = [
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0xcc, 0x66, 0x77),
    RGBColor(0x8a, 0x8a, 0x2b),
    RGBColor(0x44, 0xaa, 0x99),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0xb0, 0x8d, 0x3c),
    RGBColor(0x66, 0x99, 0xcc),
    RGBColor(0x66, 0x11, 0x00),
    RGBColor(0x11, 0x77, 0x33),
];

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Point = (i32, i32);

/// Draws `chart`.
pub fn svg(chart: &Chart) -> Result<String> {
    let layout = Layout::of(chart);
    let mut text = String::new();
    let canvas = SVGBackend::with_string(&mut text, layout.size).into_drawing_area();
    canvas.fill(&WHITE).map_err(while_doing("a chart"))?;
    write(&canvas, &chart.title, (MARGIN, MARGIN), &Ink::new(21.0).bold())?;
    write(&canvas, &chart.subtitle, (MARGIN, MARGIN + 24), &Ink::new(12.0).colour(GREY))?;
    for (index, panel) in chart.panels.iter().enumerate() {
        let plot = Plot::of(panel, layout.origin(index), layout.height);
        plot.axes(&canvas, panel)?;
        plot.lines(&canvas, panel, chart)?;
    }
    canvas.present().map_err(while_doing("a chart"))?;
    drop(canvas);
    Ok(text)
}

/// The grid of panels, all of one size.
struct Layout {
    size: (u32, u32),
    columns: usize,
    cell: Point,
    /// Of a plot.
    height: i32,
}

impl Layout {
    fn of(chart: &Chart) -> Layout {
        let lines = || chart.panels.iter().flat_map(|panel| &panel.lines);
        let names = lines().map(|line| Ink::new(12.0).bold().width(&line.label)).max().unwrap_or(0);
        let most = chart.panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0);
        let height = PLOT.1.max(GAP * most as i32);
        let columns = chart.panels.len().clamp(1, 2);
        let rows = chart.panels.len().div_ceil(columns);
        let cell = (LEFT + PLOT.0 + LEADER + names + MARGIN, HEAD + height + FOOT);
        let header = Ink::new(21.0).bold().width(&chart.title).max(Ink::new(12.0).width(&chart.subtitle));
        let width = (cell.0 * columns as i32).max(header) + 2 * MARGIN;
        let size = (width as u32, (TITLE + MARGIN + cell.1 * rows as i32) as u32);
        Layout { size, columns, cell, height }
    }

    /// The upper left corner of a panel's plot.
    fn origin(&self, panel: usize) -> Point {
        let (row, column) = ((panel / self.columns) as i32, (panel % self.columns) as i32);
        (MARGIN + LEFT + column * self.cell.0, MARGIN + TITLE + HEAD + row * self.cell.1)
    }
}

/// A panel's plot: where it lies, and what maps values to it.
struct Plot {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    x: Axis,
    y: Axis,
    plane: Cartesian2d<RangedCoordf64, RangedCoordf64>,
}

impl Plot {
    fn of(panel: &Panel, (left, top): Point, height: i32) -> Plot {
        let points = || panel.lines.iter().flat_map(|line| line.points.iter().chain(&line.band)).filter(seen);
        let x = Axis::around(panel.x.1, points().map(|point| point.0));
        let y = Axis::around(panel.y.1, points().map(|point| point.1));
        let (right, bottom) = (left + PLOT.0, top + height);
        let logarithms = |axis: &Axis| axis.range.0.ln()..axis.range.1.ln();
        let plane = Cartesian2d::new(logarithms(&x), logarithms(&y), (left..right, bottom..top));
        Plot { left, right, top, bottom, x, y, plane }
    }

    /// The pixel of a point.
    fn at(&self, (x, y): (f64, f64)) -> Point {
        self.plane.translate(&(x.ln(), y.ln()))
    }

    fn axes(&self, canvas: &Canvas<'_>, panel: &Panel) -> Result<()> {
        let small = Ink::new(11.5).colour(GREY);
        for tick in self.y.ticks() {
            let height = self.at((self.x.range.0, tick)).1;
            rule(canvas, (self.left, height), (self.right, height), GRID)?;
            write(canvas, &self.y.text(tick), (self.left - 8, height), &small.clone().to(HPos::Right))?;
        }
        for tick in self.x.ticks() {
            let across = self.at((tick, self.y.range.0)).0;
            rule(canvas, (across, self.top), (across, self.bottom), GRID)?;
            write(canvas, &self.x.text(tick), (across, self.bottom + 14), &small.clone().to(HPos::Center))?;
        }
        rule(canvas, (self.left, self.bottom), (self.right, self.bottom), GREY)?;
        rule(canvas, (self.left, self.top), (self.left, self.bottom), GREY)?;
        let middle = ((self.left + self.right) / 2, self.bottom + 34);
        write(canvas, &panel.x.0, middle, &small.clone().to(HPos::Center))?;
        write(canvas, &panel.title, (self.left, self.top - 34), &Ink::new(14.0).bold())?;
        write(canvas, &panel.y.0, (self.left, self.top - 15), &small)
    }

    /// Bands, lines and names: what matters most comes last, on top.
    fn lines(&self, canvas: &Canvas<'_>, panel: &Panel, chart: &Chart) -> Result<()> {
        let mut lines: Vec<&Line> =
            panel.lines.iter().filter(|line| line.points.iter().any(|p| seen(&p))).collect();
        lines.sort_by_key(|line| line.role);
        for line in &lines {
            self.band(canvas, line, colour(chart, line))?;
        }
        for line in &lines {
            self.line(canvas, line, colour(chart, line))?;
        }
        let ends: Vec<Point> = lines.iter().filter_map(|line| self.pixels(&line.points).pop()).collect();
        let wanted: Vec<f64> = ends.iter().map(|end| f64::from(end.1)).collect();
        let heights = spread(&wanted, f64::from(GAP), f64::from(self.top), f64::from(self.bottom));
        for ((line, end), height) in lines.iter().zip(ends).zip(heights) {
            self.name(canvas, line, end, height.round() as i32, colour(chart, line))?;
        }
        Ok(())
    }

    fn pixels(&self, points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().filter(seen).map(|point| self.at(*point)).collect()
    }

    fn band(&self, canvas: &Canvas<'_>, line: &Line, colour: RGBColor) -> Result<()> {
        if line.band.is_empty() {
            return Ok(());
        }
        let mut outline = self.pixels(&line.points);
        outline.extend(self.pixels(&line.band).into_iter().rev());
        draw(canvas, &Polygon::new(outline, colour.mix(if line.role == Role::Subject { 0.14 } else { 0.06 })))
    }

    fn line(&self, canvas: &Canvas<'_>, line: &Line, colour: RGBColor) -> Result<()> {
        let pixels = self.pixels(&line.points);
        let (width, radius) = match line.role {
            Role::Floor => return draw(canvas, &DashedPathElement::new(pixels, 5, 4, colour)),
            Role::Peer => (1, 3),
            Role::Subject => (3, 4),
        };
        draw(canvas, &PathElement::new(pixels.clone(), colour.stroke_width(width)))?;
        pixels.into_iter().try_for_each(|pixel| draw(canvas, &Circle::new(pixel, radius, colour.filled())))
    }

    /// A line's name, and the leader to it from the line's end.
    fn name(
        &self,
        canvas: &Canvas<'_>,
        line: &Line,
        end: Point,
        height: i32,
        colour: RGBColor,
    ) -> Result<()> {
        let corner = (self.right + LEADER - 5, height);
        draw(canvas, &PathElement::new(vec![end, corner], colour.mix(0.45)))?;
        let ink = Ink::new(12.0).colour(colour);
        let ink = if line.role == Role::Subject { ink.bold() } else { ink };
        write(canvas, &line.label, (self.right + LEADER, height), &ink)
    }
}

/// Whether logarithmic axes can show it.
fn seen(point: &&(f64, f64)) -> bool {
    drawable(point.0) && drawable(point.1)
}

/// A line's colour: by the place of its name among all names of its role.
fn colour(chart: &Chart, line: &Line) -> RGBColor {
    let palette: &[RGBColor] = match line.role {
        Role::Floor => return FLOOR,
        Role::Peer => &PEERS,
        Role::Subject => &SUBJECTS,
    };
    let mut names: Vec<&str> = Vec::new();
    for other in chart.panels.iter().flat_map(|panel| &panel.lines).filter(|other| other.role == line.role) {
        if !names.contains(&other.label.as_str()) {
            names.push(&other.label);
        }
    }
    let place = names.iter().position(|name| *name == line.label).unwrap_or(0);
    palette[place % palette.len()]
}

/// How text is written.
#[derive(Clone)]
struct Ink {
    size: f64,
    style: FontStyle,
    colour: RGBColor,
    to: HPos,
}

impl Ink {
    fn new(size: f64) -> Ink {
        Ink { size, style: FontStyle::Normal, colour: BLACK, to: HPos::Left }
    }

    fn bold(self) -> Ink {
        Ink { style: FontStyle::Bold, ..self }
    }

    fn colour(self, colour: RGBColor) -> Ink {
        Ink { colour, ..self }
    }

    fn to(self, to: HPos) -> Ink {
        Ink { to, ..self }
    }

    /// The pixels that `text` takes, roughly.
    fn width(&self, text: &str) -> i32 {
        (text.chars().count() as f64 * self.size * CHARACTER).ceil() as i32
    }
}

/// Text beside, around or before a point, at its height. The backend escapes; characters that XML lacks are left out.
fn write(canvas: &Canvas<'_>, text: &str, at: Point, ink: &Ink) -> Result<()> {
    let text: String = text.chars().filter(|symbol| !symbol.is_control()).collect();
    // The SVG backend divides sizes by 1.24.
    let font = FontDesc::new(FontFamily::Name(FONT), ink.size * 1.24, ink.style);
    let style = TextStyle::from(font).color(&ink.colour).pos(Pos::new(ink.to, VPos::Center));
    draw(canvas, &Text::new(text, at, style))
}

fn rule(canvas: &Canvas<'_>, from: Point, to: Point, colour: RGBColor) -> Result<()> {
    draw(canvas, &PathElement::new(vec![from, to], colour))
}

fn draw<'b, E>(canvas: &Canvas<'b>, element: &E) -> Result<()>
where
    for<'a> &'a E: PointCollection<'a, Point>,
    E: Drawable<SVGBackend<'b>>,
{
    canvas.draw(element).map_err(while_doing("a chart"))
}
