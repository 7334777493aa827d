//! `ipcx worker`: a process that a benchmark starts. Not for people.

use crate::outcome::Outcome;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What the benchmark tells it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    orders: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let ended = ipcx_bench::worker::main(&arguments.orders);
    if ended.is_err() && ipcx_bench::signals::stopped() {
        std::process::exit(130); // Whoever started it says so.
    }
    Ok(ended?)
}
