//! The command line of `ipcx-bench`.

use std::path::PathBuf;

use clap::Parser;

/// ipcx against its floors and peers, in one interleaved run
#[derive(Clone, Debug, Parser)]
#[command(name = "ipcx-bench", args_override_self = true)]
pub struct Options {
    /// Rounds of every case
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Length of a round in milliseconds
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..))]
    pub round_ms: u32,
    /// 5 rounds of 50 ms: to see that everything works, not to publish
    #[arg(long, conflicts_with_all = ["rounds", "round_ms"])]
    quick: bool,
    /// Only the rows whose group, title or contenders contain TEXT
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub only: String,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write the tables as Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Where contenders in other languages lie (next to this program)
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The shared library to describe (that of `make small` if there is one, else libipcx.so next to this program)
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Exit with 1 if a target was not reached
    #[arg(long)]
    pub strict: bool,
}

impl Options {
    /// How many rounds, and how many milliseconds each.
    pub fn effort(&self) -> (u32, u32) {
        if self.quick {
            (5, 50)
        } else {
            (self.rounds, self.round_ms)
        }
    }

    /// Where contenders in other languages lie.
    ///
    /// # Errors
    /// If it is not known where this program lies.
    pub fn programs(&self) -> std::io::Result<PathBuf> {
        let this = std::env::current_exe()?;
        let folder = this.parent().unwrap_or(&this).to_owned();
        Ok(self.programs.clone().unwrap_or(folder))
    }

    /// The shared library to describe.
    ///
    /// # Errors
    /// If it is not known where this program lies.
    pub fn library(&self) -> std::io::Result<PathBuf> {
        let this = std::env::current_exe()?;
        let small = this.with_file_name("../small/libipcx.so");
        let built = if small.exists() { small } else { this.with_file_name("libipcx.so") };
        Ok(self.library.clone().unwrap_or(built))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(format!("ipcx-bench {line}").split_whitespace())
    }

    #[test]
    fn quick_means_fewer_and_shorter_rounds() {
        assert_eq!(parse("").expect("valid").effort(), (30, 150));
        assert_eq!(parse("--quick --only ring").expect("valid").effort(), (5, 50));
        assert_eq!(parse("--rounds 7").expect("valid").effort(), (7, 150));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--rounds 0", "--rounds", "--nonsense", "--quick --rounds 7"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
