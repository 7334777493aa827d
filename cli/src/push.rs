//! `ipcx push`: standard input into a work queue.

use ipcx::{Queue, QueueOptions};

use crate::framing::Flow;
use crate::outcome::Outcome;

/// Pushes standard input into a work queue
///
/// Pushes what comes on standard input into a work queue, which is made if there is none and stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: find . -name '*.wav' | ipcx push jobs --priority 3")]
pub(crate) struct Arguments {
    /// Name of the queue
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flow: Flow,
    /// From 0, the lowest, to 31
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=31))]
    priority: u32,
    /// Bytes of the largest message if the queue is made
    #[arg(long, value_name = "BYTES", value_parser = ipcx_bench::workload::size_of_text)]
    max_message: Option<usize>,
    /// How many messages there can be if the queue is made
    #[arg(long, value_name = "N")]
    depth: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let options = QueueOptions {
        max_message: arguments.max_message.unwrap_or(0) as u64,
        depth: arguments.depth.unwrap_or(0),
        ..Default::default()
    };
    let queue = Queue::open(&arguments.name, &options)?;
    let (flow, priority) = (&arguments.flow, arguments.priority);
    let most = usize::try_from(queue.max_message()).unwrap_or(usize::MAX);
    flow.feed(most, |message| Ok(flow.wait(|until| queue.push_until(message, priority, until))?))
}
