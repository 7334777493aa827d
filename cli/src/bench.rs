//! `ipcx bench`: measures which way of communicating is fast on this machine.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;
use clap::ValueEnum;
use ipcx_bench::host::Host;
use ipcx_bench::suite::{self, Contender, Report, Request, CONTENDERS};
use ipcx_bench::table::Table;
use ipcx_bench::workload::{size_of_text, Waiting};
use ipcx_bench::{chart, signals};

use crate::outcome::Outcome;

/// Measures which way of communicating is fast on this machine
///
/// Round trips and rates of ipcx and of the kernel's own mechanisms, each between two processes on two CPUs, against
/// what no software can beat
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which contenders (see --list); all of them if none is given
    #[arg(value_name = "WHAT", value_parser = names(), hide_possible_values = true)]
    what: Vec<String>,
    /// Sizes of messages in bytes, from 8; 4k and 1m mean KiB and MiB
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', default_value = "64,1024,4096,65536", value_parser = size)]
    sizes: Vec<usize>,
    /// About how long the whole run takes; the time is divided over the cases
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The two CPUs that the processes run on [default: two of different cores]
    #[arg(long, value_name = "A,B", value_parser = pin)]
    pin: Option<[usize; 2]>,
    /// How both processes wait: look again and again, or sleep
    #[arg(long, value_name = "HOW", default_value = "both")]
    waiting: How,
    /// Compare with this contender [default: a floor, or pipe where there is none]
    #[arg(long, value_name = "NAME", value_parser = names(), hide_possible_values = true)]
    vs: Option<String>,
    /// JSON on standard output instead of tables
    #[arg(long)]
    json: bool,
    /// Also draw a chart into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// List the contenders and measure nothing
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    Spin,
    Block,
    Both,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(CONTENDERS.iter().map(|contender| contender.name))
}

fn size(text: &str) -> Result<usize, ipcx_bench::Error> {
    size_of_text(text)
}

fn pin(text: &str) -> Result<[usize; 2], String> {
    let cpus: Vec<usize> = text.split(',').map_while(|cpu| cpu.parse().ok()).collect();
    cpus.try_into().map_err(|_| "two numbers of CPUs are needed, such as 0,1".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let mut out = anstream::stdout();
    if arguments.list {
        return Ok(out.write_all(list().as_bytes())?);
    }
    let host = host(arguments.pin)?;
    let (waiting, notes) = waiting(arguments.waiting, &host)?;
    let request = Request {
        contenders: arguments.what.iter().filter_map(|name| Contender::find(name)).collect(),
        sizes: arguments.sizes.clone(),
        waiting,
        versus: arguments.vs.as_deref().and_then(Contender::find),
        length: Duration::from_secs(arguments.seconds),
    };
    // Before measuring: nobody should wait for what cannot be written.
    let svg = arguments.svg.as_ref().map(|path| File::create(path).map_err(|error| failed(path, &error)));
    let svg = svg.transpose()?;
    signals::install_in_coordinator();
    let start = Instant::now();
    let groups = suite::run(&request, &host)?;
    let report = Report { host, request, groups, took: start.elapsed(), notes };
    match arguments.json {
        true => writeln!(out, "{:#}", report.json())?,
        false => out.write_all(report.plain(crate::output::columns()).as_bytes())?,
    }
    if let (Some(mut file), Some(path)) = (svg, &arguments.svg) {
        let text = chart::svg(&report.chart())?;
        file.write_all(text.as_bytes()).map_err(|error| failed(path, &error))?;
    }
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> Outcome {
    Outcome::Failed(format!("{}: {error}", path.display()))
}

fn list() -> String {
    let cells = CONTENDERS.iter().map(|c| vec![c.name.to_owned(), c.about.to_owned()]).collect();
    let heads = ["contender", "what it is"].map(str::to_owned).to_vec();
    Table { title: String::new(), heads, cells }.plain(None)
}

fn host(pin: Option<[usize; 2]>) -> Result<Host, Outcome> {
    let mut host = Host::look()?;
    if let Some(pinned) = pin {
        if let Some(cpu) = pinned.iter().find(|cpu| !host.cpus.contains(cpu)) {
            return Err(Outcome::Usage(format!(
                "--pin: this process may not use CPU {cpu}; it may use {:?}",
                host.cpus
            )));
        }
        host.pinned = pinned;
    }
    Ok(host)
}

/// What can be measured of what was asked for, and what to say about the rest.
fn waiting(asked: How, host: &Host) -> Result<(Vec<Waiting>, Vec<String>), Outcome> {
    let why =
        || format!("both processes are on CPU {}, where neither can spin for the other", host.pinned[0]);
    match (asked, host.has_two_cpus()) {
        (How::Block, _) => Ok((vec![Waiting::Block], Vec::new())),
        (How::Spin, true) => Ok((vec![Waiting::Spin], Vec::new())),
        (How::Both, true) => Ok((vec![Waiting::Spin, Waiting::Block], Vec::new())),
        (How::Both, false) => Ok((vec![Waiting::Block], vec![format!("{}: blocking only", why())])),
        (How::Spin, false) => Err(Outcome::Failed(format!("{}: use --waiting block", why()))),
    }
}
