//! `ipcx take`: a work queue to standard output.

use ipcx::Queue;
use ipcx_bench::signals;

use crate::framing::{stop, Flow};
use crate::outcome::Outcome;

/// Takes from a work queue, and writes to standard output
///
/// Takes messages from a work queue and writes them to standard output. Each is acknowledged when it was written out: one that is not
/// comes back to the queue, even if this command is killed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx take jobs --count 1 --timeout 0")]
pub(crate) struct Arguments {
    /// Name of the queue
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flow: Flow,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let queue = Queue::attach(&arguments.name)?;
    let flow = &arguments.flow;
    signals::install_in_coordinator();
    let mut output = flow.output();
    for _ in 0..flow.count.unwrap_or(u64::MAX) {
        stop()?;
        let delivery = flow.wait(|until| queue.take_until(until))?;
        output.write(&delivery.to_vec())?;
        output.flush()?;
        delivery.ack()?;
    }
    Ok(())
}
