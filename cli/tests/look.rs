//! `ipcx ls`, `inspect`, `rm`, `gc`, `doctor` from outside.

mod common;

use common::{ended, json, Directory};
use ipcx::{
    Buffer, BufferOptions, Pool, PoolOptions, Queue, QueueOptions, Ring, Semaphore, SemaphoreOptions,
    Service, ServiceOptions, Topic, TopicOptions,
};

#[test]
fn every_kind_is_listed_with_what_is_in_it() {
    let directory = Directory::new();
    let segment = || directory.segment();
    let ring = Ring::create("a-ring", &directory.ring()).unwrap();
    let mut tx = ring.producer().unwrap();
    (0..3).for_each(|_| tx.try_send(b"0123456789").unwrap());
    let options = PoolOptions { block_size: 100, blocks: 600, segment: segment(), ..Default::default() };
    let pool = Pool::create("b-pool", &options).unwrap();
    let blocks: Vec<_> = (0..5).map(|_| pool.try_acquire().unwrap()).collect();
    let options = BufferOptions { capacity: 64, segment: segment() };
    let buffer = Buffer::create("c-buffer", &options).unwrap();
    buffer.try_write(b"value").unwrap();
    buffer.try_write(b"values").unwrap();
    let locked = buffer.try_lock().unwrap();
    let options = SemaphoreOptions { limit: 9, initial: Some(4), segment: segment() };
    let semaphore = Semaphore::create("d-semaphore", &options).unwrap();
    let permit = semaphore.try_acquire().unwrap();
    let options = TopicOptions { capacity: 4096, reliable: true, segment: segment(), ..Default::default() };
    let topic = Topic::create("e-topic", &options).unwrap();
    let subscriber = topic.subscriber().unwrap();
    topic.publisher().unwrap().try_publish(b"12345678").unwrap();
    let options = ServiceOptions { max_clients: 2, depth: 4, segment: segment(), ..Default::default() };
    let service = Service::create("f-service", &options).unwrap();
    let mut server = service.server().unwrap();
    let mut client = service.client().unwrap();
    client.try_send(b"one").unwrap();
    client.try_send(b"two").unwrap();
    let request = server.try_recv().unwrap();
    let options = QueueOptions { max_message: 100, depth: 10, segment: segment(), ..Default::default() };
    let queue = Queue::create("g-queue", &options).unwrap();
    (0..3).for_each(|priority| queue.try_push(b"job", priority).unwrap());
    let delivery = queue.try_take().unwrap();

    let seen = json(&directory.run(&["ls", "--json"]));
    let segments = seen["segments"].as_array().unwrap();
    let figures: Vec<_> = segments
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default();
            let number = |name: &str| one[name].as_u64().unwrap();
            (text("name"), text("kind"), number("used"), number("room"), text("unit"), number("moved"))
        })
        .collect();
    assert_eq!(
        figures,
        [
            ("a-ring", "ring", 72, 4096, "bytes", 3),
            ("b-pool", "pool", 5, 600, "blocks", 0),
            ("c-buffer", "buffer", 6, 64, "bytes", 2),
            ("d-semaphore", "semaphore", 1, 9, "permits", 0),
            ("e-topic", "topic", 24, 4096, "bytes", 1),
            ("f-service", "service", 2, 8, "requests", 2),
            ("g-queue", "queue", 3, 10, "messages", 3),
        ]
    );
    let pid = std::process::id();
    for one in segments {
        assert_eq!((&one["state"], &one["problem"]), (&"in use".into(), &serde_json::Value::Null), "{one}");
        let participants = one["participants"].as_array().unwrap();
        assert!(participants.iter().all(|who| who["pid"] == pid && who["alive"] == true), "{one}");
    }
    let held = |at: usize| {
        (segments[at]["holdings"][0]["what"].as_str(), segments[at]["holdings"][0]["count"].as_u64())
    };
    assert_eq!(held(1), (Some("blocks"), Some(5)));
    assert_eq!(held(3), (Some("permits"), Some(1)));
    assert_eq!(held(4), (Some("unread bytes"), Some(24)));
    assert_eq!(held(5), (Some("requests"), Some(1)));
    assert_eq!(held(6), (Some("messages"), Some(1)));
    assert_eq!(segments[2]["lock"], 0);

    let (code, stdout, stderr) = ended(&directory.run(&["ls", "a-*"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<_> = stdout.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].trim_start().starts_with("NAME") && !stdout.contains('\x1b'),
        "{stdout}"
    );
    for part in ["a-ring", "ring", "72 B of 4 KiB", &format!("producer {pid} "), "in use"] {
        assert!(lines[1].contains(part), "{part}: {stdout}");
    }
    let (code, _, stderr) = ended(&directory.run(&["ls", "x*"]));
    assert_eq!((code, stderr.as_str()), (3, "ipcx: no name is like 'x*'\n"));
    drop((blocks, locked, permit, subscriber, request, delivery));
}

#[test]
fn inspect_shows_one_segment_and_who_has_its_lock() {
    let directory = Directory::new();
    let options = BufferOptions { capacity: 64, segment: directory.segment() };
    let buffer = Buffer::create("price", &options).unwrap();
    buffer.try_write(b"12.34").unwrap();
    let locked = buffer.try_lock().unwrap();
    let (code, stdout, stderr) = ended(&directory.run(&["inspect", "price"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let line =
        |name: &str| stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let pid = std::process::id();
    assert_eq!(
        [line("kind"), line("version"), line("capacity"), line("checksum")],
        ["buffer", "1", "64", "right"]
    );
    assert!(line("locked by").starts_with(&format!("{pid} ")), "{stdout}");
    drop(locked);
    assert!(!ended(&directory.run(&["inspect", "price"])).1.contains("locked by"));
    let (code, stdout, stderr) = ended(&directory.run(&["inspect", "nothing"]));
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("ipcx ls"), "{stderr}");
}

#[test]
fn another_version_and_nonsense_are_shown_as_far_as_they_can_be_read() {
    use std::os::unix::fs::FileExt;
    let directory = Directory::new();
    drop(Ring::create("later", &directory.ring()).unwrap());
    let file = std::fs::File::options().write(true).open(directory.path().join("ipcx.later")).unwrap();
    file.write_all_at(&77u32.to_ne_bytes(), 16).unwrap();
    let (code, stdout, stderr) = ended(&directory.run(&["inspect", "later"]));
    assert_eq!(code, 5);
    assert!(stdout.contains("version 77") && stdout.contains("ring"), "{stdout}");
    assert!(stderr.contains("one version of ipcx"), "{stderr}");
    std::fs::write(directory.path().join("ipcx.noise"), [7; 300]).unwrap();
    let (code, _, stderr) = ended(&directory.run(&["inspect", "noise"]));
    assert!(code == 5 && stderr.contains("not an ipcx segment"), "{stderr}");
    let (code, stdout, _) = ended(&directory.run(&["ls"]));
    assert!(code == 0 && stdout.lines().count() == 3, "{stdout}");
}

#[test]
fn hostile_counters_are_reported_and_end_nothing() {
    use std::os::unix::fs::FileExt;
    let directory = Directory::new();
    for (kind, seed) in
        ["ring", "pool", "buffer", "semaphore", "topic", "service", "queue"].iter().zip(1u64..)
    {
        let segment = directory.segment();
        match *kind {
            "ring" => drop(Ring::create(kind, &directory.ring()).unwrap()),
            "pool" => drop(
                Pool::create(
                    kind,
                    &PoolOptions { block_size: 64, blocks: 100, segment, ..Default::default() },
                )
                .unwrap(),
            ),
            "buffer" => drop(Buffer::create(kind, &BufferOptions { segment, ..Default::default() }).unwrap()),
            "semaphore" => {
                drop(Semaphore::create(kind, &SemaphoreOptions { segment, ..Default::default() }).unwrap());
            }
            "topic" => {
                let options = TopicOptions { reliable: true, segment, ..Default::default() };
                drop(Topic::create(kind, &options).unwrap());
            }
            "service" => {
                drop(Service::create(kind, &ServiceOptions { segment, ..Default::default() }).unwrap())
            }
            _ => drop(Queue::create(kind, &QueueOptions { segment, ..Default::default() }).unwrap()),
        }
        let path = directory.path().join(format!("ipcx.{kind}"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let size = file.metadata().unwrap().len();
        for round in 1..=20 {
            let mut word = (seed << 32 | round).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word.to_ne_bytes()
            })
            .flatten()
            .take((size as usize - 4096).min(1 << 18))
            .collect();
            file.write_all_at(&noise, 4096).unwrap();
            let output = directory.run(&["inspect", kind]);
            assert!(matches!(output.status.code(), Some(0 | 5)), "{kind}: {:?}", ended(&output));
        }
    }
}

#[test]
fn rm_keeps_what_is_in_use_and_says_by_whom() {
    let directory = Directory::new();
    let ring = Ring::create("used", &directory.ring()).unwrap();
    drop(Ring::create("unused", &directory.ring()).unwrap());
    let (code, _, stderr) = ended(&directory.run(&["rm", "used", "unused"]));
    assert!(code == 1 && stderr.contains(&std::process::id().to_string()), "{stderr}");
    assert_eq!(directory.names(), ["ipcx.used"]);
    assert_eq!(ended(&directory.run(&["rm", "unused"])).0, 3);
    assert_eq!(ended(&directory.run(&["rm", "--force", "used"])).0, 0);
    assert_eq!(directory.names(), Vec::<String>::new());
    drop(ring);
}

#[test]
fn gc_shows_then_removes_what_nobody_uses_and_nothing_else() {
    let directory = Directory::new();
    let ring = Ring::create("used", &directory.ring()).unwrap();
    let options = QueueOptions { segment: directory.segment(), ..Default::default() };
    Queue::create("left", &options).unwrap().try_push(b"job", 0).unwrap();
    std::fs::write(directory.path().join("ipcx.noise"), [7; 300]).unwrap();
    std::fs::write(directory.path().join("other"), b"not ipcx's").unwrap();
    let (code, stdout, stderr) = ended(&directory.run(&["gc"]));
    assert!(code == 0 && stdout.contains("left") && stdout.contains("1 of "), "{stdout}");
    assert!(stdout.lines().count() == 2 && stderr.starts_with("would remove 1"), "{stdout}{stderr}");
    assert_eq!(directory.names(), ["ipcx.left", "ipcx.noise", "ipcx.used", "other"]);
    let (code, stdout, stderr) = ended(&directory.run(&["gc", "--force"]));
    assert!(code == 0 && stdout.contains("left") && stderr.starts_with("removed 1"), "{stdout}{stderr}");
    assert_eq!(directory.names(), ["ipcx.noise", "ipcx.used", "other"]);
    let (code, stdout, stderr) = ended(&directory.run(&["gc", "--force"]));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "nothing to remove\n"));
    drop(ring);
}

#[test]
fn doctor_says_something_of_each_thing_and_leaves_nothing() {
    let directory = Directory::new();
    let output = directory.run(&["doctor", "--json"]);
    let findings = json(&output);
    let warnings = findings.as_array().unwrap().iter().filter(|one| one["ok"] == false).count();
    assert_eq!(output.status.code(), Some(i32::from(warnings > 0)));
    let found = |what: &str| findings.as_array().unwrap().iter().find(|one| one["check"] == what).cloned();
    assert_eq!(found("segments work").expect("a finding")["ok"], true, "{findings}");
    assert!(found("kernel").is_some() && found("room").is_some());
    assert_eq!(directory.names(), Vec::<String>::new());
    std::fs::create_dir(directory.path().join("gone")).unwrap();
    let output = directory.run(&["ls"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly_and_wrong_lines_are_usage() {
    let directory = Directory::new();
    let mut child = directory.start(&["completions", "bash"]);
    drop(child.stdout.take());
    let (code, _, stderr) = ended(&child.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(ended(&directory.run(&["completions", "bash"])).1.contains("inspect"));
    for wrong in [&["inspect"][..], &["rm"], &["nonsense"], &["ls", "a", "b"], &["completions", "cobol"]] {
        assert_eq!(directory.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
