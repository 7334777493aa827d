//! Pipes to child processes.

use ipcx::{ChildPipes, Deadline, Error};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

#[test]
fn a_child_that_echoes_a_megabyte_blocks_nobody() {
    let input: Vec<u8> = (0..1 << 20).map(|i: u32| (i ^ i >> 8) as u8).collect();
    let (mut pipes, mut child) = ChildPipes::spawn(Command::new("cat")).unwrap();
    let mut output = Vec::new();
    pipes.exchange_until(&mut &input[..], &mut output, Deadline::after(SOON)).unwrap();
    assert!(output == input && child.wait().unwrap().success());
}

#[test]
fn a_child_that_does_not_read_is_no_error_and_one_that_does_not_end_times_out() {
    let input = vec![0; 1 << 20];
    let mut command = Command::new("echo");
    command.arg("$HOME; no shell");
    let (mut pipes, mut child) = ChildPipes::spawn(command).unwrap();
    let mut output = Vec::new();
    pipes.exchange_until(&mut &input[..], &mut output, Deadline::after(SOON)).unwrap();
    assert_eq!(output, b"$HOME; no shell\n");
    child.wait().unwrap();

    let mut command = Command::new("sleep");
    command.arg("60");
    let (mut pipes, mut child) = ChildPipes::spawn(command).unwrap();
    let mut rest = &input[..];
    let late = pipes.exchange_until(&mut rest, &mut output, Deadline::after(SHORT));
    assert!(matches!(late, Err(Error::TimedOut(_))), "{late:?}");
    assert!(!rest.is_empty() && rest.len() < input.len(), "it went as far as there was room");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(ChildPipes::spawn(Command::new("no-such-program")), Err(Error::NotFound(_))));
}

#[test]
fn what_a_child_writes_while_it_is_written_to_is_kept() {
    let input: Vec<u8> = (0..1 << 20).map(|i: u32| (i ^ i >> 8) as u8).collect();
    let (mut pipes, mut child) = ChildPipes::spawn(Command::new("cat")).unwrap();
    let (mut rest, mut output, mut part) = (&input[..], Vec::new(), [0; 1000]);
    while !rest.is_empty() {
        let written = pipes.write_until(rest, Deadline::after(SOON)).unwrap();
        rest = &rest[written..];
    }
    pipes.close_input();
    loop {
        match pipes.read_until(&mut part, Deadline::after(SOON)).unwrap() {
            0 => break,
            read => output.extend_from_slice(&part[..read]),
        }
    }
    assert!(output == input && child.wait().unwrap().success());
}

#[test]
fn a_child_that_only_writes_does_not_take_all_memory() {
    let (mut pipes, mut child) = ChildPipes::spawn(Command::new("yes")).unwrap();
    let input = vec![0; 1 << 16];
    let full = loop {
        match pipes.write_until(&input, Deadline::after(SOON)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::NoSpace(_)), "{full:?}");
    let (mut part, mut kept) = (vec![0; 1 << 20], 0);
    while kept < 64 << 20 {
        let read = pipes.read_until(&mut part, Deadline::after(SOON)).unwrap();
        assert!(part[..read].iter().enumerate().all(|(at, byte)| *byte == b"y\n"[(kept + at) % 2]));
        kept += read;
    }
    let later = pipes.write_until(&input, Deadline::after(SHORT));
    assert!(matches!(later, Err(Error::TimedOut(_) | Error::NoSpace(_))), "{later:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_exchange_goes_on_where_a_write_has_kept_enough() {
    let mut command = Command::new("sh");
    command.args(["-c", "head -c 70000000 /dev/zero; exec cat > /dev/null"]);
    let (mut pipes, mut child) = ChildPipes::spawn(command).unwrap();
    let (input, mut output) = (vec![0; 1 << 16], Vec::new());
    let full = loop {
        match pipes.write_until(&input, Deadline::after(SOON)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::NoSpace(_)), "{full:?}");
    pipes.exchange_until(&mut &input[..], &mut output, Deadline::after(SOON)).unwrap();
    drop(pipes); // Its output ended before it had read everything.
    assert!(output.len() == 70_000_000 && child.wait().unwrap().success());
}

#[test]
fn a_child_that_closed_its_output_can_still_be_written_to() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec >&-; sleep 0.1; exec cat > /dev/null"]);
    let (mut pipes, mut child) = ChildPipes::spawn(command).unwrap();
    let input = vec![0; 1 << 18];
    let mut rest = &input[..];
    while !rest.is_empty() {
        let written = pipes.write_until(rest, Deadline::after(SOON)).unwrap();
        rest = &rest[written..];
    }
    assert_eq!(pipes.read_until(&mut [0; 8], Deadline::after(SOON)).unwrap(), 0);
    pipes.close_input();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_conversation_with_a_child() {
    let (mut pipes, mut child) = ChildPipes::spawn(Command::new("cat")).unwrap();
    let mut buffer = [0; 64];
    for line in [&b"one"[..], b"two", b"three"] {
        assert_eq!(pipes.write_until(line, Deadline::NOW).unwrap(), line.len());
        let read = pipes.read_until(&mut buffer, Deadline::after(SOON)).unwrap();
        assert_eq!(&buffer[..read], line);
    }
    assert!(matches!(pipes.read_until(&mut buffer, Deadline::NOW), Err(Error::WouldBlock(_))));
    pipes.close_input();
    assert!(matches!(pipes.write_until(b"x", Deadline::NOW), Err(Error::Closed(_))));
    assert_eq!(pipes.read_until(&mut buffer, Deadline::after(SOON)).unwrap(), 0);
    child.wait().unwrap();
}
