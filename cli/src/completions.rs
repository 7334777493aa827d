//! `ipcx completions`: what makes a shell complete the command line.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::outcome::Outcome;

/// Writes what makes a shell complete the command line
///
/// What makes a shell complete the command line of ipcx
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx completions bash > ~/.local/share/bash-completion/completions/ipcx")]
pub(crate) struct Arguments {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "ipcx", &mut text);
    Ok(std::io::stdout().write_all(&text)?)
}
