//! Logarithmic axes: the range that holds every value, and ticks that people read.

/// What the numbers on an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes: 64 B, 4 KiB.
    Bytes,
    /// Nanoseconds: 100 ns, 10 µs.
    Nanoseconds,
    /// Bytes per second: 100 MB/s, 10 GB/s.
    BytesPerSecond,
    /// Events per second: 10 k/s, 1 M/s.
    PerSecond,
}

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) unit: Unit,
    /// Both ends, positive.
    pub(super) range: (f64, f64),
}

/// What an axis shows if there is nothing to show.
const NOTHING: (f64, f64) = (1.0, 100.0);
/// Most ticks on an axis.
const TICKS: usize = 7;

impl Axis {
    /// The axis that shows all of `values`, with a little room at both ends.
    pub(super) fn around(unit: Unit, values: impl Iterator<Item = f64>) -> Axis {
        let ends = values.filter(|value| drawable(*value)).fold(None, |ends, value| match ends {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        });
        let (low, high) = ends.unwrap_or(NOTHING);
        let room = (high / low).powf(0.06).max(1.2);
        Axis { unit, range: (low / room, high * room) }
    }

    /// The values that are marked: as many as there is room for.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let choices: &[(f64, &[f64])] = match self.unit {
            Unit::Bytes => &[(2.0, &[1.0]), (4.0, &[1.0]), (16.0, &[1.0]), (256.0, &[1.0])],
            _ => &[
                (10.0, &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]),
                (10.0, &[1.0, 2.0, 5.0]),
                (10.0, &[1.0]),
                (1000.0, &[1.0]),
            ],
        };
        let mut finest_first = choices.iter().map(|(base, steps)| self.multiples(*base, steps));
        finest_first.find(|ticks| ticks.len() <= TICKS).unwrap_or_default()
    }

    /// The values step * base^n within the range.
    fn multiples(&self, base: f64, steps: &[f64]) -> Vec<f64> {
        let (low, high) = self.range;
        let exponent = |value: f64| value.log(base).floor() as i32;
        (exponent(low)..=exponent(high))
            .flat_map(|n| steps.iter().map(move |step| step * base.powi(n)))
            .filter(|value| (low..=high).contains(value))
            .collect()
    }

    /// A value of this axis, as people write it.
    pub(super) fn text(&self, value: f64) -> String {
        let (steps, names): (f64, &[(f64, &str)]) = match self.unit {
            Unit::Bytes => (1024.0, &[(0.0, "B"), (1.0, "KiB"), (2.0, "MiB"), (3.0, "GiB")]),
            Unit::Nanoseconds => (1000.0, &[(-1.0, "ps"), (0.0, "ns"), (1.0, "µs"), (2.0, "ms"), (3.0, "s")]),
            Unit::BytesPerSecond => {
                (1000.0, &[(0.0, "B/s"), (1.0, "kB/s"), (2.0, "MB/s"), (3.0, "GB/s"), (4.0, "TB/s")])
            }
            Unit::PerSecond => (1000.0, &[(0.0, "/s"), (1.0, "k/s"), (2.0, "M/s"), (3.0, "G/s")]),
        };
        // A tick is a rounded product: 999.9999 is the next unit's 1.
        let fits = |(power, _): &&(f64, &str)| value * 1.000_001 >= steps.powf(*power);
        let (power, name) = names.iter().rev().find(fits).unwrap_or(&names[0]);
        let number = (value / steps.powf(*power) * 1000.0).round() / 1000.0;
        format!("{number} {name}")
    }
}

/// Whether a logarithmic axis can show it.
pub(super) fn drawable(value: f64) -> bool {
    value.is_normal() && value > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(unit: Unit, values: &[f64]) -> Vec<String> {
        let axis = Axis::around(unit, values.iter().copied());
        axis.ticks().into_iter().map(|tick| axis.text(tick)).collect()
    }

    #[test]
    fn ticks_are_round_in_the_unit_of_the_axis() {
        assert_eq!(
            marks(Unit::Bytes, &[64.0, 65536.0]),
            ["64 B", "256 B", "1 KiB", "4 KiB", "16 KiB", "64 KiB"]
        );
        assert_eq!(marks(Unit::Bytes, &[64.0, 1024.0 * 1024.0]), ["256 B", "4 KiB", "64 KiB", "1 MiB"]);
        assert_eq!(marks(Unit::Nanoseconds, &[118.0, 1.1e5]), ["100 ns", "1 µs", "10 µs", "100 µs"]);
        assert_eq!(marks(Unit::Nanoseconds, &[900.0, 1100.0]), ["1 µs"]);
        assert_eq!(marks(Unit::PerSecond, &[9e5, 2.1e7]), ["1 M/s", "2 M/s", "5 M/s", "10 M/s", "20 M/s"]);
        assert_eq!(
            marks(Unit::BytesPerSecond, &[9e8, 1.2e11]),
            ["1 GB/s", "2 GB/s", "5 GB/s", "10 GB/s", "20 GB/s", "50 GB/s", "100 GB/s"]
        );
        assert_eq!(Axis::around(Unit::Nanoseconds, [1.0].into_iter()).text(0.5), "500 ps");
    }

    #[test]
    fn no_more_ticks_than_there_is_room_for_and_every_value_in_range() {
        for unit in [Unit::Bytes, Unit::Nanoseconds, Unit::PerSecond, Unit::BytesPerSecond] {
            for high in [1.0, 1.5, 10.0, 1e3, 1e6, 1e12] {
                let axis = Axis::around(unit, [3.0, 3.0 * high, f64::NAN, 0.0, -1.0].into_iter());
                assert!(axis.range.0 < 3.0 && axis.range.1 > 3.0 * high);
                assert!(axis.ticks().len() <= TICKS);
                assert!(axis.ticks().iter().all(|tick| (axis.range.0..=axis.range.1).contains(tick)));
            }
        }
    }
}
