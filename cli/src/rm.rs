//! `ipcx rm`: removes names.

use crate::outcome::Outcome;
use crate::segment;

/// Removes segments by name
///
/// Removes segments by their names. One that a living process is attached to is kept, unless --force is given: the process then goes
/// on with memory that nobody else finds
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx rm feed")]
pub(crate) struct Arguments {
    /// Names of segments
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Also if somebody uses it
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    // All of them are tried; the first that fails decides the exit code.
    let mut first = Ok(());
    for name in &arguments.names {
        let Err(error) = remove(name, arguments.force) else { continue };
        match first {
            Ok(()) => first = Err(error),
            Err(_) => anstream::eprintln!("ipcx: {}", said(&error)),
        }
    }
    first
}

fn remove(name: &str, force: bool) -> Result<(), Outcome> {
    if !force {
        let seen = segment::one(name)?;
        if seen.is_in_use() {
            let who = seen.who();
            return Err(Outcome::Failed(format!(
                "'{name}' is in use by {who}: end that first, or give --force"
            )));
        }
    }
    Ok(ipcx::unlink(name)?)
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(text)
        | Outcome::Usage(text)
        | Outcome::NotFound(text)
        | Outcome::TimedOut(text)
        | Outcome::Dead(text) => text.clone(),
        Outcome::Done | Outcome::Interrupted => String::new(),
    }
}
