//! How far a run is, on standard error and on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps, which vanishes when it is dropped. `ProgressBar::set_message` says what is under way.
pub fn bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}%  {elapsed}  {msg}");
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
