//! What all subcommands write: tables for people, as wide as the terminal, or JSON.

use std::io::{self, Write};

use ipcx_bench::table::Table;
use serde_json::Value;

/// Columns of the terminal; many, if output goes elsewhere.
pub(crate) fn columns() -> u16 {
    console::Term::stdout().size_checked().map_or(u16::MAX, |(_, columns)| columns)
}

/// A table on standard output. Where it goes elsewhere than to a terminal, no line is broken.
pub(crate) fn table(heads: &[&str], cells: Vec<Vec<String>>) -> io::Result<()> {
    let table =
        Table { title: String::new(), heads: heads.iter().map(|&head| head.to_owned()).collect(), cells };
    let width = Some(columns()).filter(|width| *width < u16::MAX);
    anstream::stdout().write_all(table.plain(width).as_bytes())
}

/// JSON on standard output.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    writeln!(anstream::stdout(), "{value:#}")
}
