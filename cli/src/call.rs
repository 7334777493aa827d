//! `ipcx call`: asks a service.

use ipcx::Service;

use crate::framing::Flow;
use crate::outcome::Outcome;

/// Asks a service, and writes its replies to standard output
///
/// Asks a service for each message of standard input, and writes the reply to standard output before the next
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: echo 'card 4711' | ipcx call fraud --timeout 1")]
pub(crate) struct Arguments {
    /// Name of the service
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flow: Flow,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let mut client = Service::attach(&arguments.name)?.client()?;
    let flow = &arguments.flow;
    let mut output = flow.output();
    flow.feed(client.max_request(), |request| {
        // Not in slices: a request whose time is over may have been carried out, and is not asked again.
        let reply = client.call_until(request, flow.deadline())?;
        output.write(&reply)?;
        Ok(output.flush()?)
    })
}
