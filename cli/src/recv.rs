//! `ipcx recv`: a ring to standard output.

use ipcx::{Error, Ring, RingOptions};
use ipcx_bench::signals;

use crate::framing::{stop, Flow, MOST_AT_ONCE};
use crate::outcome::Outcome;

/// How many records are written out, and then released, together at most.
const RECORDS_AT_ONCE: usize = 1024;

/// Writes what comes through a ring to standard output
///
/// Writes what comes through a ring to standard output, until its producer closes (0) or dies (5). A record is released when it was
/// written out: the next to receive gets one that was not, even if this command is killed. The ring is made if there is none, and stays
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
    let flow = &arguments.flow;
    signals::install_in_coordinator();
    let mut output = flow.output();
    let (mut buffer, mut lens) = (vec![0; MOST_AT_ONCE], [0; RECORDS_AT_ONCE]);
    let mut left = flow.count.unwrap_or(u64::MAX);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(RECORDS_AT_ONCE);
        let count = match flow.wait(|until| consumer.borrow_many_raw(&mut buffer, &mut lens[..most], until)) {
            Ok(count) => count,
            Err(Error::TooBig { needed, .. }) => {
                buffer.resize(needed, 0);
                continue;
            }
            Err(Error::Closed(_)) => break,
            Err(end) => return Err(end.into()),
        };
        let mut rest = &buffer[..];
        for len in &lens[..count] {
            let (record, behind) = rest.split_at(*len);
            output.write(record)?;
            rest = behind;
        }
        output.flush()?;
        consumer.release_raw()?;
        left -= count as u64;
        stop()?;
    }
    Ok(())
}
