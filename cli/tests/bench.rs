//! `ipcx bench` from outside: what it prints, its exit codes, and that nothing is left of it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

fn ipcx(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipcx"));
    command.args(line.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// One run at a time: processes that spin on the same CPUs stop each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end, and checks that nothing is left.
fn run(line: &str) -> Output {
    let _alone = alone();
    finish(ipcx(line).spawn().expect("started"))
}

fn finish(child: Child) -> Output {
    let label = format!("ipcx-bench-{}-", child.id());
    let output = child.wait_with_output().expect("ended");
    assert_eq!(leftovers(&label), Vec::<String>::new());
    output
}

/// Files and processes whose name or command line has the label of a run.
fn leftovers(label: &str) -> Vec<String> {
    let temporary = std::env::temp_dir();
    let folders = [Path::new("/dev/shm"), Path::new("/dev/mqueue"), &temporary];
    let entries = folders.into_iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let names = entries.map(|entry| entry.path().display().to_string());
    names.filter(|name| name.contains(label)).chain(workers(label)).collect()
}

/// Command lines of the workers of a run.
fn workers(label: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(label)).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

#[test]
fn every_contender_has_figures_or_a_reason() {
    let output = run("bench --seconds 1 --sizes 64 --json");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let report = json(&output);
    let cases = report["cases"].as_array().expect("cases");
    for contender in ["ring", "pool", "buffer", "pipe", "fifo", "mqueue", "unix", "t-ring", "t-buffer"] {
        for (way, floor) in [("round trip", "flag futex"), ("one way", "memcpy pipe")] {
            let found: Vec<_> =
                cases.iter().filter(|c| c["contender"] == contender && c["way"] == way).collect();
            let spinning = report["notes"].as_array().is_some_and(Vec::is_empty);
            assert_eq!(found.len(), if spinning { 2 } else { 1 }, "{contender}, {way}");
            for case in found {
                let measured = case["ns"]["median"].as_f64().is_some_and(|ns| ns > 0.0);
                assert!(measured != case["missing"].is_string(), "{case}");
                assert!(floor.contains(case["versus"].as_str().expect("a name")), "{case}");
            }
        }
    }
    // Spinning may fail to come to an end on a machine that is busy with something else.
    for ring in cases.iter().filter(|case| case["contender"] == "ring" && case["waiting"] == "block") {
        assert!(ring["ratio"]["median"].as_f64().is_some_and(|ratio| ratio > 0.0), "{ring}");
        if ring["way"] == "round trip" {
            let at = |name: &str| ring["ns_single"][name].as_u64().expect(name);
            assert!(at("p50") > 0 && at("p50") <= at("p99") && at("p99") <= at("max"), "{ring}");
        } else {
            assert!(ring["bytes_per_second"].as_f64() > ring["messages_per_second"].as_f64(), "{ring}");
        }
    }
}

#[test]
fn what_the_host_cannot_do_is_said_and_the_rest_goes_on() {
    let most = std::fs::read_to_string("/proc/sys/fs/mqueue/msgsize_max").unwrap_or_default();
    let size = most.trim().parse().unwrap_or(8192) + 1;
    let output =
        run(&format!("bench mqueue ring --vs ring --sizes {size} --waiting block --seconds 1 --json"));
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    for case in report["cases"].as_array().expect("cases") {
        let missing = case["missing"].as_str().unwrap_or_default();
        if case["contender"] == "mqueue" {
            assert!(missing.contains("msgsize_max") || missing.contains("queue"), "{case}");
        } else {
            assert!(case["ns"]["median"].is_f64(), "{case}");
        }
    }
}

#[test]
fn sides_that_share_a_cpu_only_block() {
    let cpus = json(&run("bench ring --sizes 8 --waiting block --seconds 1 --json"));
    let cpu = &cpus["host"]["pinned"][0];
    let output = run(&format!("bench ring --sizes 9 --pin {cpu},{cpu} --seconds 1 --json"));
    let report = json(&output);
    assert!(report["notes"][0].as_str().expect("a note").contains("blocking only"));
    let cases = report["cases"].as_array().expect("cases");
    assert!(cases.iter().all(|case| case["waiting"] == "block" && case["missing"].is_null()), "{report}");
    let output = run(&format!("bench ring --pin {cpu},{cpu} --waiting spin"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--waiting block"));
}

#[test]
fn tables_fit_a_hundred_columns_and_the_chart_is_written() {
    let file = std::env::temp_dir().join(format!("ipcx-cli-test-{}.svg", std::process::id()));
    let line =
        format!("bench ring buffer --sizes 64,1000 --waiting block --seconds 1 --svg {}", file.display());
    let output = run(&line);
    let chart = std::fs::read_to_string(&file);
    let _removed = std::fs::remove_file(&file);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(chart.expect("a chart").contains("</svg>"));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("Round trip, blocking") && text.contains("One way, blocking"), "{text}");
    assert!(text.contains("buffer, 64, 1000 bytes: nothing to count"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours, for this is no terminal: {text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn an_interrupted_run_ends_in_order() {
    let _alone = alone();
    let child = ipcx("bench fifo ring --sizes 64 --seconds 600").spawn().expect("started");
    let label = format!("ipcx-bench-{}-", child.id());
    let deadline = Instant::now() + Duration::from_secs(20);
    while workers(&label).is_empty() {
        assert!(Instant::now() < deadline, "no worker came");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("signalled");
    let output = finish(child);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(stderr(&output), "ipcx: interrupted\n");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_command_line_without_sense_is_a_usage_error() {
    for (line, hint) in [
        ("bench --sizes 7", "'7' is no size"),
        ("bench --sizes 64,x", "'x' is no size"),
        ("bench --seconds 0", "--seconds"),
        ("bench pipes", "a similar value exists: 'pipe'"),
        ("bench --vs nothing", "possible values"),
        ("bench --pin 1", "two numbers"),
        ("bench --pin 5000,5001", "may not use CPU 5000"),
        ("bench --waiting sleep", "both"),
        ("nonsense", "unrecognized subcommand"),
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(stderr(&output).contains(hint), "{line}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn help_and_lists_go_to_standard_output() {
    let list = run("bench --list");
    assert!(list.status.success());
    let text = String::from_utf8(list.stdout).expect("text");
    for transport in ["pipe", "fifo", "mqueue", "unix", "ring", "buffer"] {
        assert!(text.lines().any(|line| line.split_whitespace().next() == Some(transport)), "{transport}");
    }
    let help = run("--help");
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).expect("text");
    assert!(text.contains("bench") && !text.contains("worker"), "{text}");
}
