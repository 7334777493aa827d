//! `ipcx send`, `recv`, `pub`, `sub`, `push`, `take`, `call` from outside: pipelines, ends, and kills.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;

use common::{ended, Directory};
use ipcx::{Queue, QueueOptions, Ring, RingOptions, Service, ServiceOptions, Topic, TopicOptions};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("a signal");
}

/// Its first line of output: from then on it has its role.
fn first_line(child: &mut Child) -> (String, BufReader<std::process::ChildStdout>) {
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    (line, output)
}

#[test]
fn a_pipeline_crosses_processes_and_ends_with_its_input() {
    let directory = Directory::new();
    let text: String = (0..50_000).map(|number| format!("line {number}\n")).collect();
    let recv = directory.start(&["recv", "feed", "--capacity", "4096"]);
    let received = std::thread::spawn(move || recv.wait_with_output().expect("ended"));
    let sent = directory.run_with(&["send", "feed", "--capacity", "4096"], text.as_bytes());
    assert_eq!(ended(&sent), (0, String::new(), String::new()));
    let (code, stdout, stderr) = ended(&received.join().unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout == text, "{} bytes of {}", stdout.len(), text.len());
}

#[test]
fn every_framing_gives_back_what_was_sent() {
    let directory = Directory::new();
    let framed: Vec<u8> = [&[3, 0, 0, 0][..], b"a\nb", &[0; 4], &[1, 0, 0, 0, 255]].concat();
    let noise: Vec<u8> =
        (0..200_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases: [(&str, &[u8], &[u8]); 4] = [
        ("--lines", b"one\n\nthree", b"one\n\nthree\n"),
        ("--len32", &framed, &framed),
        ("--raw", &noise, &noise),
        ("--raw", b"", b""),
    ];
    for ((framing, input, output), number) in cases.into_iter().zip(0..) {
        let name = format!("ring-{number}");
        // With nothing to send there would be nothing to tell a later consumer that there was a producer.
        let recv = directory.start(&["recv", &name, framing]);
        let sent = directory.run_with(&["send", &name, framing], input);
        assert_eq!(ended(&sent).0, 0, "{framing}");
        if input.is_empty() {
            signal(&recv, Signal::SIGTERM);
            recv.wait_with_output().unwrap();
            continue;
        }
        let received = recv.wait_with_output().unwrap();
        assert!(
            received.stdout == output && received.status.success(),
            "{framing}: {:?}",
            ended(&received).2
        );
    }
    let (code, _, stderr) = ended(&directory.run_with(&["send", "cut", "--len32"], &[9, 0, 0, 0, 1]));
    assert!(code == 1 && stderr.contains("inside of a message"), "{stderr}");
    let (code, _, stderr) =
        ended(&directory.run_with(&["send", "small", "--capacity", "4096"], &[b'x'; 5000]));
    assert!(code == 1 && stderr.contains("too big"), "{stderr}");
    assert_eq!(directory.run(&["send", "feed", "--raw", "--lines"]).status.code(), Some(2));
}

#[test]
fn a_killed_producer_is_told_apart_from_one_that_ends() {
    let directory = Directory::new();
    let mut recv = directory.start(&["recv", "feed"]);
    let mut send = directory.start(&["send", "feed"]);
    send.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    assert_eq!(first_line(&mut recv).0, "one\n");
    signal(&send, Signal::SIGKILL);
    send.wait().unwrap();
    let (code, _, stderr) = ended(&recv.wait_with_output().unwrap());
    assert!(code == 5 && stderr.contains("dead"), "{stderr}");
    // What it left is seen, and who.
    let (_, stdout, _) = ended(&directory.run(&["inspect", "feed"]));
    let line = stdout.lines().find(|line| line.contains("producer")).expect("the producer");
    assert!(line.contains(&send.id().to_string()) && line.contains("DEAD"), "{stdout}");
    assert!(ended(&directory.run(&["gc"])).1.contains("feed"));
    assert_eq!(directory.run(&["rm", "feed"]).status.code(), Some(0));
}

#[test]
fn times_counts_and_signals_end_it() {
    let directory = Directory::new();
    for timeout in ["0", "0.05"] {
        assert_eq!(
            directory.run(&["recv", "feed", "--timeout", timeout]).status.code(),
            Some(4),
            "{timeout}"
        );
        assert_eq!(
            directory.run(&["take", "none", "--timeout", timeout]).status.code(),
            Some(3),
            "{timeout}"
        );
    }
    assert_eq!(directory.run(&["recv", "feed", "--timeout", "soon"]).status.code(), Some(2));
    // Five times 1000 bytes do not fit into 4096, and nobody receives.
    let lines = [&[b'x'; 1000][..], b"\n"].concat().repeat(5);
    let full = directory.run_with(&["send", "full", "--capacity", "4096", "--timeout", "0.05"], &lines);
    assert_eq!(full.status.code(), Some(4), "{:?}", ended(&full));
    let two = directory.run(&["recv", "full", "--count", "2"]);
    assert_eq!((two.status.code(), two.stdout.len()), (Some(0), 2002));

    let mut recv = directory.start(&["recv", "other"]);
    let ring = loop {
        match Ring::attach_with(
            "other",
            &ipcx::RingOptions { segment: directory.segment(), ..Default::default() },
        ) {
            Ok(ring) => break ring,
            Err(_) => std::thread::yield_now(),
        }
    };
    let mut tx = ring.producer().unwrap();
    tx.send(b"hello").unwrap();
    let (line, _output) = first_line(&mut recv);
    assert_eq!(line, "hello\n");
    signal(&recv, Signal::SIGINT);
    let (code, _, stderr) = ended(&recv.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (130, "ipcx: interrupted\n"));
    assert_eq!(ring.stats().unwrap().consumer, ipcx::RoleState::Closed, "in good order");
}

#[test]
fn a_reader_that_goes_ends_recv_quietly() {
    let directory = Directory::new();
    let ring = Ring::create("feed", &directory.ring()).unwrap();
    let mut tx = ring.producer().unwrap();
    let mut recv = directory.start(&["recv", "feed"]);
    tx.send(b"one").unwrap();
    drop(first_line(&mut recv));
    let sent =
        (0..10_000).map_while(|_| tx.send_timeout(b"more", std::time::Duration::from_secs(5)).err()).next();
    let (code, _, stderr) = ended(&recv.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""), "{sent:?}");
}

/// A record of 1000 digits.
fn record(number: usize) -> String {
    format!("{number:01000}")
}

#[test]
fn what_a_killed_recv_has_not_written_out_comes_again() {
    const RECORDS: usize = 200;
    let directory = Directory::new();
    let options = RingOptions { capacity: 1 << 20, ..directory.ring() };
    let ring = Ring::create("feed", &options).unwrap();
    let mut tx = ring.producer().unwrap();
    for number in 0..RECORDS {
        tx.send(record(number).as_bytes()).unwrap();
    }
    drop(tx);
    let mut recv = directory.start(&["recv", "feed"]);
    // Nobody reads: it sleeps in a write() when the pipe is full.
    let call = format!("/proc/{}/syscall", recv.id());
    while !std::fs::read_to_string(&call).unwrap().starts_with("1 ") {
        std::thread::yield_now();
    }
    signal(&recv, Signal::SIGKILL);
    recv.wait().unwrap();
    let mut written = String::new();
    recv.stdout.take().unwrap().read_to_string(&mut written).unwrap();
    let whole = written.matches('\n').count();
    let (code, rest, _) = ended(&directory.run(&["recv", "feed"]));
    assert_eq!(code, 0);
    let rest: Vec<_> = rest.lines().collect();
    let first = RECORDS - rest.len();
    assert!(0 < whole && first <= whole, "{whole} were written, and the next began with {first}");
    for (line, number) in written.lines().take(whole).zip(0..).chain(rest.into_iter().zip(first..)) {
        assert_eq!(line, record(number));
    }
}

#[test]
fn what_is_taken_is_acknowledged_when_it_was_written_out() {
    let directory = Directory::new();
    assert_eq!(
        directory.run_with(&["push", "jobs", "--priority", "1"], b"low 1\nlow 2\n").status.code(),
        Some(0)
    );
    assert_eq!(directory.run_with(&["push", "jobs", "--priority", "9"], b"high\n").status.code(), Some(0));
    let (code, stdout, _) = ended(&directory.run(&["take", "jobs", "--count", "2"]));
    assert_eq!((code, stdout.as_str()), (0, "high\nlow 1\n"));
    // Nobody reads what it writes: nothing is acknowledged.
    let mut take = directory.start(&["take", "jobs"]);
    drop(take.stdout.take());
    assert_eq!(ended(&take.wait_with_output().unwrap()).0, 0);
    let options = QueueOptions { segment: directory.segment(), ..Default::default() };
    let queue = Queue::open("jobs", &options).unwrap();
    assert_eq!(queue.stats().unwrap().ready.iter().sum::<u64>(), 1);
    drop(queue);
    let (code, stdout, _) = ended(&directory.run(&["take", "jobs", "--timeout", "0"]));
    assert_eq!((code, stdout.as_str()), (4, "low 2\n"));
}

#[test]
fn subscribers_get_what_is_published_and_say_what_they_missed() {
    let directory = Directory::new();
    let options = TopicOptions { capacity: 4096, segment: directory.segment(), ..Default::default() };
    let topic = Topic::create("load", &options).unwrap();
    assert_eq!(directory.run_with(&["pub", "load"], b"1\n2\n3\n").status.code(), Some(0));
    let (code, stdout, _) = ended(&directory.run(&["sub", "load", "--from", "oldest", "--timeout", "0"]));
    assert_eq!((code, stdout.as_str()), (4, "1\n2\n3\n"));
    let (code, stdout, _) = ended(&directory.run(&["sub", "load", "--from", "latest", "--count", "1"]));
    assert_eq!((code, stdout.as_str()), (0, "3\n"));
    assert_eq!(directory.run(&["sub", "load", "--timeout", "0"]).status.code(), Some(4));
    assert_eq!(directory.run(&["sub", "nothing"]).status.code(), Some(3));
    drop(topic);
}

#[test]
fn calls_are_answered_refused_or_told_that_nobody_serves() {
    let directory = Directory::new();
    let options = ServiceOptions { segment: directory.segment(), ..Default::default() };
    let service = Service::create("upper", &options).unwrap();
    let mut server = service.server().unwrap();
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            let request = server.recv().unwrap();
            let text = String::from_utf8(request.to_vec()).unwrap().to_uppercase();
            request.reply(text.as_bytes()).unwrap();
        }
        server
    });
    let (code, stdout, stderr) = ended(&directory.run_with(&["call", "upper"], b"one\ntwo\n"));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "ONE\nTWO\n", ""));
    let server = serving.join().unwrap();
    let output = directory.run_with(&["call", "upper", "--timeout", "0.05"], b"three\n");
    assert_eq!(output.status.code(), Some(4), "{:?}", ended(&output));
    drop(server);
    assert_eq!(directory.run_with(&["call", "nothing"], b"one\n").status.code(), Some(3));
}

#[test]
fn trace_tells_what_moves_and_who_dies() {
    let directory = Directory::new();
    let mut recv = directory.start(&["recv", "feed"]);
    let mut send = directory.start(&["send", "feed"]);
    send.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    let (_, _output) = first_line(&mut recv);
    let mut trace = directory.start(&["trace", "feed", "--interval", "0.05"]);
    let mut lines = BufReader::new(trace.stdout.take().unwrap()).lines().map(|line| line.expect("a line"));
    lines.next().expect("a line: it has looked twice");
    send.stdin.as_mut().unwrap().write_all(b"two\nthree\n").unwrap();
    assert!(lines.any(|line| line.contains("sent +")), "until it moves");
    signal(&send, Signal::SIGKILL);
    send.wait().unwrap();
    let died = format!("{} ipcx DIED", send.id());
    assert!(lines.any(|line| line.contains(&died)), "until it is seen");
    assert_eq!(recv.wait_with_output().unwrap().status.code(), Some(5));
    assert_eq!(directory.run(&["rm", "feed"]).status.code(), Some(0));
    assert_eq!(ended(&trace.wait_with_output().unwrap()).0, 3);
    assert_eq!(directory.run(&["trace", "feed"]).status.code(), Some(3));
}
