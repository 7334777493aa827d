//! How far workers got: in a line from each of them to the process that adds them up, and in the figures for people.

/// The sweeps by number.
pub(crate) const SWEEPS: [&str; 4] = ["kill sweep", "frozen partner", "double fault", "failing calls"];
pub(crate) const KILL: usize = 0;
pub(crate) const FREEZE: usize = 1;
pub(crate) const DOUBLE: usize = 2;
pub(crate) const FAIL: usize = 3;

/// Begins the line of a worker.
const PREFIX: &str = "tally:";

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) scenarios: u64,
    pub(crate) instructions: u64,
    pub(crate) images: u64,
    /// Errors that system calls can give.
    pub(crate) possible: u64,
    /// Cases of each sweep.
    pub(crate) tried: [u64; 4],
    pub(crate) failures: [u64; 4],
}

impl Tally {
    fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        let whole = [&mut self.scenarios, &mut self.instructions, &mut self.images, &mut self.possible];
        whole.into_iter().chain(&mut self.tried).chain(&mut self.failures)
    }

    /// The line of a worker.
    pub(crate) fn line(&mut self) -> String {
        self.numbers().fold(PREFIX.to_owned(), |line, number| format!("{line} {number}"))
    }

    /// Adds the line of a worker, if it is one.
    pub(crate) fn add(&mut self, line: &str) -> bool {
        let Some(numbers) = line.strip_prefix(PREFIX) else { return false };
        for (sum, number) in self.numbers().zip(numbers.split_whitespace()) {
            *sum += number.parse::<u64>().expect("a number of a worker's");
        }
        true
    }

    pub(crate) fn all_failures(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// The lines of figures.
    pub(crate) fn print(&self) {
        let [kills, freezes, doubles, calls] = self.tried.map(grouped);
        let [scenarios, instructions, images, possible] =
            [self.scenarios, self.instructions, self.images, self.possible].map(grouped);
        let figures = [
            format!(
                "{scenarios} operations in states, {instructions} instructions, {images} distinct images, {kills} kills"
            ),
            format!("{freezes} stops"),
            format!("{doubles} pairs of deaths"),
            format!("{calls} of {possible} errors of system calls"),
        ];
        for ((sweep, figures), failures) in SWEEPS.iter().zip(figures).zip(self.failures) {
            println!("figures: {sweep} | {figures} | {failures}");
        }
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
