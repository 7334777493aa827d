//! `ipcx recv`: a ring to standard output.

use ipcx::{Ring, RingOptions};

use crate::framing::Flow;
use crate::outcome::Outcome;

/// Writes what comes through a ring to standard output, until its producer closes (0) or dies (5). The ring is made if there is none,
/// and stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx recv feed | wc -l")]
pub(crate) struct Arguments {
    /// Name of the ring
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flow: Flow,
    /// Bytes of the ring if it is made
    #[arg(long, value_name = "BYTES", value_parser = ipcx_bench::workload::size_of_text)]
    capacity: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let options = RingOptions { capacity: arguments.capacity.unwrap_or(0) as u64, ..Default::default() };
    let mut consumer = Ring::open(&arguments.name, &options)?.consumer()?;
    arguments.flow.drain(|buffer, until| consumer.recv_until(buffer, until))
}
