//! `ipcx top` from outside: in a terminal, and not in one.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use common::{ended, Directory};
use ipcx::Ring;
use nix::pty::{openpty, Winsize};
use nix::sys::signal::{kill, Signal};
use nix::sys::termios::{tcgetattr, Termios};
use nix::unistd::Pid;

/// A terminal, and the command in it.
struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    output: String,
}

impl Terminal {
    fn top(directory: &Directory) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let end = || pty.slave.try_clone().expect("a descriptor");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipcx"));
        command.args(["top", "--interval", "0.05"]).env("IPCX_DIR", directory.path()).env("TERM", "xterm");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("started");
        Terminal { master: File::from(pty.master), slave: pty.slave, child, output: String::new() }
    }

    fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("settings")
    }

    /// Reads until this was written.
    fn until(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.output.contains(text) {
            let len = self.master.read(&mut bytes).expect("output");
            self.output.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    }
}

const ALTERNATE: &str = "\x1b[?1049h";
const BACK: &str = "\x1b[?1049l";

#[test]
fn it_draws_ends_with_q_and_leaves_the_terminal_as_it_was() {
    let directory = Directory::new();
    let ring = Ring::create("prices", &directory.ring()).unwrap();
    let mut tx = ring.producer().unwrap();
    tx.try_send(b"1").unwrap();
    for (key, code) in [(&b"q"[..], 0), (b"\x03", 130)] {
        let mut terminal = Terminal::top(&directory);
        // As the terminal was made: whether the command has begun or not, its own changes come with the other screen.
        let before = tcgetattr(&openpty(None, None).unwrap().slave).unwrap();
        terminal.until(ALTERNATE);
        terminal.until("prices");
        terminal.until("still"); // nobody receives
        assert_ne!(terminal.settings().local_flags, before.local_flags, "keys come at once");
        terminal.master.write_all(key).unwrap();
        terminal.until(BACK);
        assert_eq!(terminal.child.wait().unwrap().code(), Some(code));
        let after = terminal.settings();
        assert_eq!(
            (after.local_flags, after.input_flags, after.output_flags),
            (before.local_flags, before.input_flags, before.output_flags)
        );
    }
}

#[test]
fn a_signal_ends_it_and_leaves_the_terminal_as_it_was() {
    let directory = Directory::new();
    let mut terminal = Terminal::top(&directory);
    terminal.until("NAME");
    kill(Pid::from_raw(terminal.child.id() as i32), Signal::SIGTERM).unwrap();
    terminal.until(BACK);
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
}

#[test]
fn elsewhere_it_prints_a_line_for_each_segment_and_look() {
    let directory = Directory::new();
    let ring = Ring::create("prices", &directory.ring()).unwrap();
    let (code, stdout, stderr) = ended(&directory.run(&["top", "--interval", "0.02", "--count", "3"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with("prices\tring\t0/s\t")), "{stdout}");
    drop(ring);
}
