//! The chart of a run, as SVG: panels with logarithmic axes, each line named at its right end.
//!
//! Every point lies inside its panel, and no two names overlap: a panel with many lines is higher, and a chart
//! with long names is wider. Values that a logarithmic axis cannot show (zero, negative, not finite) are
//! left out. Text needs no font here; whoever shows the picture has one.

mod axis;
mod draw;
mod labels;
#[cfg(test)]
mod tests;

pub use axis::Unit;
pub use draw::svg;

/// What is drawn: a title and panels, two in a row.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The large line.
    pub title: String,
    /// The small line below it: the machine, and how it was measured.
    pub subtitle: String,
    /// From left to right, then down.
    pub panels: Vec<Panel>,
}

/// One pair of axes with its lines.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// What runs to the right, and in what unit.
    pub x: (String, Unit),
    /// What runs upwards, and in what unit.
    pub y: (String, Unit),
    /// In any order.
    pub lines: Vec<Line>,
}

/// One contender.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name; lines of one name have one colour in all panels.
    pub label: String,
    /// How it is drawn.
    pub role: Role,
    /// The measured points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// The other edge of a shaded area that begins at the line: a percentile, say. Empty for none.
    pub band: Vec<(f64, f64)>,
}

/// What a line is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// What nothing can beat: grey and dashed.
    Floor,
    /// What it is compared with: thin.
    Peer,
    /// What the chart is about: thick.
    Subject,
}
