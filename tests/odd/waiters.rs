//! Waiters of a buffer's condition that die in great number, and owners of its lock with equal process numbers.
//!
//! A condition variable that counts its waiters waits for the dead among them. This one does not count.

use super::*;
use ipcx::{Buffer, BufferOptions, SegmentOptions};

const BUFFER: &str = "buffer";
/// Processes that wait and die, and the handles that there may be.
const DYING: usize = 200;
const PARTICIPANTS: u32 = 256;

fn create(place: &Place) -> Buffer {
    let directory = Some(place.path().to_owned());
    let segment = SegmentOptions { directory, max_participants: PARTICIPANTS, ..Default::default() };
    Buffer::create(BUFFER, &BufferOptions { capacity: 64, segment }).expect("a new buffer")
}

/// A process that waits for notifications, and says so while it still has the lock.
fn waiter(place: &Place) -> Peer {
    start(Language::Rust, place, &["condition", BUFFER])
}

/// It has said so, and sleeps.
fn wait_until_asleep(waiter: &mut Peer) {
    assert_eq!(waiter.line(), "waiting");
    let until = Instant::now() + LIMIT;
    while state_of(waiter.id()) != Some('S') {
        assert!(Instant::now() < until, "it does not go to sleep");
        std::thread::yield_now();
    }
}

/// What `work` gives, in time.
fn promptly<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let since = Instant::now();
    let value = work();
    assert!(since.elapsed() < NOTICE, "{what} took {:?}", since.elapsed());
    value
}

/// It says that it was notified, and waits again.
fn hears(waiter: &mut Peer, notify: impl FnOnce()) {
    promptly("a notification", || {
        notify();
        assert_eq!(waiter.line(), "notified");
    });
    wait_until_asleep(waiter);
}

#[test]
fn who_lives_among_waiters_that_died_is_notified() {
    let mut deaths = 0;
    for _ in turns(1) {
        let place = Place::new();
        let buffer = create(&place);
        let mut alive = waiter(&place);
        wait_until_asleep(&mut alive);
        let mut dying: Vec<Peer> = (0..DYING).map(|_| waiter(&place)).collect();
        dying.iter_mut().for_each(wait_until_asleep);

        // Some while they sleep.
        let (asleep, woken) = dying.split_at_mut(DYING / 2);
        asleep.iter_mut().for_each(Peer::kill_and_reap);
        // Others between their notification and the lock, which they do not get.
        let guard = promptly("the lock", || buffer.lock_timeout(NOTICE)).expect("none of them had it");
        assert!(!guard.recovered());
        promptly("notifying all", || guard.notify_all());
        woken.iter_mut().for_each(Peer::kill_and_reap);
        hears(&mut alive, || drop(guard));

        hears(&mut alive, || buffer.notify(false).expect("a handle of its own"));
        hears(&mut alive, || buffer.notify(true).expect("a handle of its own"));
        // And with the lock in hand, one more death at a time.
        for _ in 0..10 {
            let mut other = waiter(&place);
            wait_until_asleep(&mut other);
            other.kill_and_reap();
            hears(&mut alive, || buffer.lock_timeout(NOTICE).expect("nobody has it").notify_one());
        }
        deaths += DYING + 10;
        let version =
            promptly("a write", || buffer.write_timeout(b"written", NOTICE)).expect("nobody has it");
        assert_eq!(version, 1);
        promptly("closing", || drop(buffer));
        alive.kill_and_reap();
    }
    println!(
        "figures: odd hosts, waiters | {} deaths of waiters, each notification heard by the one that lives | 0",
        with_commas(deaths as u64)
    );
}

#[test]
fn owners_and_waiters_with_equal_numbers_in_two_pid_namespaces_are_not_confused() {
    let ways: [&[&str]; 2] = [&["unshare", "-pf", "--kill-child"], &["unshare", "-r", "-pf", "--kill-child"]];
    let Some(unshare) = permitted(&ways) else {
        return println!("not tested: `unshare -pf` is missing or not permitted on this host");
    };
    let place = Place::new();
    let buffer = create(&place);
    buffer.try_write(b"whole").expect("nobody has the lock");
    let start = |verb: &str| {
        let mut command = Command::new(unshare[0]);
        let inner = program(Language::Rust);
        command.args(&unshare[1..]).arg(inner.get_program()).args([verb, BUFFER]);
        Peer::run(format!("{verb} in a PID namespace"), &place, command)
    };
    let mut waiter = start("condition");
    for _ in 0..3 {
        assert_eq!(waiter.line(), "waiting");
        let mut owner = start("lock");
        assert_eq!(owner.line(), "locked");
        let pid = |buffer: &Buffer| buffer.stats().expect("figures").owner.map(|owner| owner.pid);
        assert_eq!(pid(&buffer), Some(1), "the first of its namespace, as the waiter is");
        let refused = buffer.lock_timeout(NOTICE / 2).map(drop);
        assert!(matches!(refused, Err(Error::TimedOut(_))), "it lives: {refused:?}");
        owner.kill_and_reap();
        let guard = buffer.lock_timeout(LIMIT).expect("the lock, although a process with its number lives");
        assert!(guard.recovered());
        assert_eq!(buffer.read_vec().expect("a value"), (b"whole".to_vec(), 1));
        guard.notify_one();
        drop(guard);
        assert_eq!(waiter.line(), "notified");
    }
    waiter.kill_and_reap();
}
