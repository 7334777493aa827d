//! `ipcx ls`: what there is in shared memory, and who has it.

use std::time::Duration;

use serde_json::json;

use crate::kernel;
use crate::outcome::Outcome;
use crate::output;
use crate::segment::{self, bytes, per_second, Seen};

/// Between the two looks that give a rate.
const APART: Duration = Duration::from_millis(200);

/// Lists what is in shared memory, how full it is, and who has it
///
/// Every segment: what it is, how full, and who is attached in which role. Looking changes nothing, and takes no lock and no
/// participant's slot
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx ls 'feed*' --rate")]
pub(crate) struct Arguments {
    /// Only names like this, with * for any characters and ? for one
    #[arg(value_name = "GLOB")]
    glob: Option<String>,
    /// Also how much moves in a second: takes two looks, 200 ms apart
    #[arg(long)]
    rate: bool,
    /// Also what is not ipcx's: System V shared memory, semaphores and queues, POSIX shared memory and message queues
    #[arg(long)]
    all: bool,
    /// JSON on standard output instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    let wanted = |name: &str| arguments.glob.as_ref().is_none_or(|glob| matches(glob, name));
    let before = if arguments.rate { segment::all(wanted)? } else { Vec::new() };
    if arguments.rate {
        std::thread::sleep(APART);
    }
    let seen = segment::all(wanted)?;
    let rates: Vec<Option<f64>> = seen.iter().map(|one| rate(&before, one)).collect();
    let mut others = if arguments.all { kernel::objects() } else { Vec::new() };
    others.retain(|object| wanted(&object.name));
    if let (true, true, Some(glob)) = (seen.is_empty(), others.is_empty(), &arguments.glob) {
        return Err(Outcome::NotFound(format!("no name is like '{glob}'")));
    }
    if arguments.json {
        let segments: Vec<_> = seen.iter().zip(rates).map(|(one, rate)| one.json(rate)).collect();
        let others: Vec<_> = others.iter().map(kernel::Object::json).collect();
        return Ok(output::json(&json!({ "segments": segments, "others": others }))?);
    }
    let mut heads = vec!["NAME", "KIND", "SIZE", "USED", "ATTACHED", "STATE"];
    let mut cells: Vec<Vec<String>> = seen.iter().map(row).collect();
    cells.extend(others.iter().map(kernel::Object::row));
    if arguments.rate {
        heads.insert(4, "RATE");
        let rates = rates.into_iter().map(|rate| rate.map(per_second).unwrap_or_default());
        let rates = rates.chain(others.iter().map(|_| String::new()));
        cells.iter_mut().zip(rates).for_each(|(row, rate)| row.insert(4, rate));
    }
    Ok(output::table(&heads, cells)?)
}

fn rate(before: &[Seen], now: &Seen) -> Option<f64> {
    now.rate(before.iter().find(|then| then.listed.name == now.listed.name)?)
}

fn row(seen: &Seen) -> Vec<String> {
    let listed = &seen.listed;
    let (name, kind) = (listed.name.clone(), seen.kind().to_owned());
    vec![name, kind, bytes(listed.size), seen.used(), seen.who(), seen.state()]
}

/// Whether a name is like a glob.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    // Where the last star stands, and up to where it was tried to reach.
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < name.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(one) if *one == b'?' || *one == name[from] => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((place, reached)) = star else { return false };
                star = Some((place, reached + 1));
                (at, from) = (place + 1, reached + 1);
            }
        }
    }
    glob[at..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_characters_and_a_question_mark_is_one() {
        for (glob, name) in [
            ("*", ""),
            ("*", "feed"),
            ("f*d", "feed"),
            ("*e*d", "feeded"),
            ("f??d", "feed"),
            ("feed", "feed"),
        ] {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in
            [("", "feed"), ("f?d", "feed"), ("fee", "feed"), ("*x", "feed"), ("feed?", "feed")]
        {
            assert!(!matches(glob, name), "{glob} {name}");
        }
    }
}
