//! `ipcx pub`: standard input to all subscribers of a topic.

use ipcx::{Topic, TopicOptions};

use crate::framing::Flow;
use crate::outcome::Outcome;

/// Publishes standard input on a topic
///
/// Publishes what comes on standard input to all subscribers of a topic, which is made if there is none and stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: vmstat 1 | ipcx pub load")]
pub(crate) struct Arguments {
    /// Name of the topic
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flow: Flow,
    /// Bytes of the topic if it is made
    #[arg(long, value_name = "BYTES", value_parser = ipcx_bench::workload::size_of_text)]
    capacity: Option<usize>,
    /// If it is made: wait for the slowest subscriber instead of overwriting what it has not read
    #[arg(long)]
    reliable: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let capacity = arguments.capacity.unwrap_or(0) as u64;
    let options = TopicOptions { capacity, reliable: arguments.reliable, ..Default::default() };
    let mut publisher = Topic::open(&arguments.name, &options)?.publisher()?;
    let flow = &arguments.flow;
    flow.feed(publisher.max_len(), |message| Ok(flow.wait(|until| publisher.publish_until(message, until))?))
}
