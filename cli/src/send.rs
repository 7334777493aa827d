//! `ipcx send`: standard input into a ring.

use ipcx::{Ring, RingOptions};

use crate::framing::Flow;
use crate::outcome::Outcome;

/// Sends standard input through a ring
///
/// Sends what comes on standard input through a ring, which is made if there is none. The ring stays; `ipcx rm` removes it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: zcat log.gz | ipcx send feed --lines")]
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
    let mut producer = Ring::open(&arguments.name, &options)?.producer()?;
    let flow = &arguments.flow;
    flow.feed(producer.max_len(), |message| Ok(flow.wait(|until| producer.send_until(message, until))?))
}
