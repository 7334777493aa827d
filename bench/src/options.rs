//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::schedule::Plan;
use crate::{Error, Result};

/// What `--help` prints.
pub const USAGE: &str = "\
ipcx-bench: ipcx against its floors and peers, in one interleaved run

usage: ipcx-bench [options]
  --rounds N         rounds of every case (30)
  --round-ms N       length of a round in milliseconds (150)
  --quick            5 rounds of 50 ms: to see that everything works, not to publish
  --only TEXT        only the rows whose group, title or contenders contain TEXT
  --json FILE        also write everything as JSON
  --markdown FILE    also write the tables as Markdown
  --programs DIR     where contenders in other languages lie (next to this program)
  --library FILE     the shared library to describe (libipcx.so next to this program)
  --strict           exit with 1 if a target was not reached
";

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much to measure.
    pub plan: Plan,
    /// Where JSON goes.
    pub json: Option<PathBuf>,
    /// Where Markdown goes.
    pub markdown: Option<PathBuf>,
    /// The shared library to describe.
    pub library: PathBuf,
    /// Whether a target that was not reached is a failure.
    pub strict: bool,
}

impl Options {
    /// Reads the command line; `None` if help was asked for.
    pub fn parse(arguments: &[String]) -> Result<Option<Options>> {
        let program = std::env::current_exe()?;
        let folder = program.parent().ok_or("the program lies in no folder")?.to_owned();
        let mut options = Options {
            plan: Plan {
                rounds: 30,
                round: Duration::from_millis(150),
                only: String::new(),
                programs: folder.clone(),
            },
            json: None,
            markdown: None,
            library: folder.join("libipcx.so"),
            strict: false,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| Error(format!("{name} needs a value")));
            match name.as_str() {
                "--rounds" => options.plan.rounds = positive(&value()?)? as usize,
                "--round-ms" => options.plan.round = Duration::from_millis(positive(&value()?)?),
                "--quick" => (options.plan.rounds, options.plan.round) = (5, Duration::from_millis(50)),
                "--only" => options.plan.only = value()?,
                "--json" => options.json = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--programs" => options.plan.programs = value()?.into(),
                "--library" => options.library = value()?.into(),
                "--strict" => options.strict = true,
                "--help" | "-h" => return Ok(None),
                other => return Err(Error(format!("unknown option {other}\n\n{USAGE}"))),
            }
        }
        Ok(Some(options))
    }
}

fn positive(text: &str) -> Result<u64> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| Error(format!("'{text}' is not a positive number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn later_options_win() {
        let options = parse("--quick --rounds 7 --only ring").expect("valid").expect("not help");
        assert_eq!((options.plan.rounds, options.plan.round), (7, Duration::from_millis(50)));
        assert_eq!(options.plan.only, "ring");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("--rounds 0").is_err());
        assert!(parse("--rounds").is_err());
        assert!(parse("--nonsense").is_err());
    }
}
