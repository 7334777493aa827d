//! The waiting loop, with a script in place of a ring; deadlines; who is woken.

use super::*;

#[test]
fn strategies_keep_their_numbers() {
    for code in 0..4 {
        assert_eq!(WaitStrategy::from_code(code).unwrap().code(), code);
    }
    assert_eq!(WaitStrategy::from_code(4), None);
}

#[test]
fn a_deadline_too_far_to_express_is_for_ever() {
    assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
    assert_eq!(Deadline::NEVER.remaining(), None);
    assert_eq!(Deadline::within(Duration::from_secs(1 << 40)), Deadline::NEVER);
    assert!(Deadline::after(Duration::ZERO).is_now());
    let within = Deadline::within(Duration::from_secs(5));
    assert_eq!((within.started() == within, within.started().started() == within.started()), (false, false));
    assert!(Deadline::after(Duration::from_secs(5)).remaining().unwrap() <= Duration::from_secs(5));
}

#[test]
fn a_deadline_is_soon_if_it_is_microseconds_away() {
    let within = |nanoseconds| Deadline::within(Duration::from_nanos(nanoseconds));
    let after = |nanoseconds| Deadline::after(Duration::from_nanos(nanoseconds));
    assert!([Deadline::NOW, within(1), within(10_000), after(1)].into_iter().all(Deadline::is_soon));
    let later = [Deadline::NEVER, within(100_000), after(10_000_000_000), within(u64::MAX)];
    assert!(!later.into_iter().any(Deadline::is_soon));
}

/// What a call waits for, as told beforehand.
struct Script {
    /// What it finds at each look; the last for ever.
    ready: Vec<bool>,
    /// What it hears of the peer.
    peer: Option<Error>,
    nap: Nap,
    /// Until when it was told to sleep.
    slept_until: Vec<u64>,
    looks: u32,
}

impl Script {
    fn new(ready: &[bool]) -> Script {
        Script { ready: ready.to_vec(), peer: None, nap: Nap::Over, slept_until: Vec::new(), looks: 0 }
    }
}

impl Condition for Script {
    fn ready(&mut self) -> Result<bool> {
        self.looks += 1;
        Ok(if self.ready.len() > 1 { self.ready.remove(0) } else { self.ready[0] })
    }
    fn nap(&mut self, until: u64) -> Nap {
        self.slept_until.push(until);
        self.nap
    }
    fn peer(&mut self, _now: u64) -> Result<()> {
        self.peer.clone().map_or(Ok(()), Err)
    }
    fn peer_is_here(&self) -> bool {
        false
    }
    fn missing(&self) -> Context {
        Context::new(&"test".into(), "what it waits for")
    }
}

/// Any error does for what a call hears of its peer.
fn gone() -> Option<Error> {
    Some(Error::Forked)
}

#[test]
fn what_the_peer_did_before_it_went_counts() {
    for wait_strategy in [WaitStrategy::Block, WaitStrategy::Yield] {
        let mut late = Script { peer: gone(), ..Script::new(&[false, true]) };
        wait(&mut late, wait_strategy, Deadline::NEVER).unwrap();
        let mut never = Script { peer: gone(), ..Script::new(&[false]) };
        assert!(matches!(wait(&mut never, wait_strategy, Deadline::NEVER), Err(Error::Forked)));
    }
}

#[test]
fn who_looks_again_and_again_looks_at_the_clock_soon() {
    let mut never = Script::new(&[false]);
    let deadline = Deadline::after(Duration::from_nanos(1));
    assert!(matches!(wait(&mut never, WaitStrategy::Spin, deadline), Err(Error::TimedOut(_))));
    assert!((1..=16).contains(&never.looks), "{} looks", never.looks);
}

#[test]
fn a_signal_ends_a_sleep_but_not_what_came_meanwhile() {
    let mut late = Script { nap: Nap::Interrupted, ..Script::new(&[false, true]) };
    wait(&mut late, WaitStrategy::Block, Deadline::NEVER).unwrap();
    let mut never = Script { nap: Nap::Interrupted, ..Script::new(&[false]) };
    assert!(matches!(wait(&mut never, WaitStrategy::Block, Deadline::NEVER), Err(Error::Interrupted)));
}

#[test]
fn a_sleep_ends_at_the_deadline_and_after_a_slice() {
    let mut brief = Script::new(&[false]);
    let deadline = Deadline::after(Duration::from_millis(2));
    assert!(matches!(wait(&mut brief, WaitStrategy::Block, deadline), Err(Error::TimedOut(_))));
    assert!(!brief.slept_until.is_empty() && brief.slept_until.iter().all(|until| *until <= deadline.0));
    let mut long = Script { nap: Nap::Interrupted, ..Script::new(&[false]) };
    wait(&mut long, WaitStrategy::Block, Deadline::NEVER).unwrap_err();
    assert!(long.slept_until[0] <= clock::now() + SLICE && SLICE < 250_000_000 / 2);
}

#[test]
fn a_wake_up_for_one_sleeper_of_a_side_does_not_count_for_the_other() {
    let sleepers = Sleepers::new();
    let mut waker = Waker::new(false);
    let mut wakes = 0;
    let mut reach = |position| waker.notify(&sleepers, |wanted| wanted <= position, || wakes += 1);
    sleepers.announce(Sleeper::Watcher, 10);
    sleepers.announce(Sleeper::Call, 20);
    reach(10);
    reach(20);
    assert_eq!(wakes, 2);
}

#[test]
fn a_sleep_is_answered_once_and_a_successor_is_answered_again() {
    let sleepers = Sleepers::new();
    let mut waker = Waker::new(false);
    let mut wakes = 0;
    let mut reach = |position| waker.notify(&sleepers, |wanted| wanted <= position, || wakes += 1);
    reach(10); // nobody sleeps
    sleepers.announce(Sleeper::Call, 10);
    reach(9); // it does not concern the sleeper
    reach(10);
    reach(11); // one sleep, one wake-up
    sleepers.reset(); // the sleeper died; its successor sleeps too
    sleepers.announce(Sleeper::Call, 12);
    reach(12);
    sleepers.withdraw(Sleeper::Call);
    reach(13);
    assert_eq!(wakes, 2);
}
