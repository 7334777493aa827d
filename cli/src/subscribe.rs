//! `ipcx sub`: what is published to standard output.

use clap::ValueEnum;
use ipcx::{StartAt, Topic};

use crate::framing::Flow;
use crate::outcome::Outcome;

/// Writes what is published on a topic to standard output
///
/// Writes what is published on a topic to standard output, until it is ended, --count is reached or --timeout is over. Says at its end
/// how many messages it missed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx sub load --from latest")]
pub(crate) struct Arguments {
    /// Name of the topic
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flow: Flow,
    /// With which message to begin: the next that is published, the latest that was, or the oldest that is still there
    #[arg(long, value_name = "WHICH", default_value = "next")]
    from: From,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    Next,
    Latest,
    Oldest,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let start = match arguments.from {
        From::Next => StartAt::Next,
        From::Latest => StartAt::Latest,
        From::Oldest => StartAt::Oldest,
    };
    let mut subscriber = Topic::attach(&arguments.name)?.subscriber_at(start)?;
    let ended = arguments.flow.drain(|buffer, until| subscriber.recv_until(buffer, until));
    match subscriber.missed() {
        0 => {}
        missed => anstream::eprintln!("missed {missed}"),
    }
    ended
}
