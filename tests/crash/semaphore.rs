//! Start states of a semaphore, and how those who survive a victim show that no permit is lost, doubled, or used up twice.
//!
//! The protocol is the pool's, which `pool.rs` sweeps; here are the operations that a pool does not have, and the account: what
//! the dead held comes back, what was used up does not, and what a call that returned did is there.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Deadline, Error, SegmentOptions, Semaphore, SemaphoreOptions, WaitStrategy};
use ipcx_tests::Place;
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SEMAPHORE: &str = "semaphore";
/// The tracer, the victim, one that died, and one more.
const PARTICIPANTS: u32 = 4;
const LIMIT: u64 = 4;
/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(10);
/// A permit of a dead holder is had, and who sleeps is awake, within this.
const LATE: Duration = Duration::from_secs(2);

/// How the semaphore is when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All permits can be acquired, but those that the victim holds.
    Free,
    /// Two of them are not there.
    Short,
    /// The survivor holds all.
    Empty,
    /// A dead one holds two, the survivor the others.
    Dead,
    /// None is there, but what the victim holds, and the survivor sleeps until it gets one.
    Awaited,
}

use State::{Awaited, Dead, Empty, Free, Short};

/// What an operation that was completed adds to the permits there are.
struct Operation {
    name: &'static str,
    /// Permits that it holds before it begins.
    needs: u64,
    adds: i64,
    states: &'static [State],
}

const fn operation(name: &'static str, needs: u64, adds: i64, states: &'static [State]) -> Operation {
    Operation { name, needs, adds, states }
}

const RECOVER: &str = "semaphore_recover";

const OPERATIONS: &[Operation] = &[
    operation("semaphore_attach", 0, 0, &[Free, Dead]),
    operation("semaphore_close", 2, 0, &[Free]),
    operation("semaphore_acquire", 0, 0, &[Free, Empty, Dead]),
    operation("semaphore_acquire_asleep", 0, 0, &[Empty]),
    operation("semaphore_release", 1, 0, &[Free, Awaited]),
    operation("semaphore_supply", 0, 1, &[Short, Awaited]),
    operation("semaphore_consume", 0, -1, &[Free, Short]),
    operation(RECOVER, 0, 0, &[Free, Dead]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: SEMAPHORE,
            threads: false,
            sleeps: operation.name.ends_with("asleep"),
            recovers: Some(RECOVER),
            stage: Box::new(move |workshop| Box::new(SemaphoreStage::make(workshop, operation, *state))),
        })
    };
    OPERATIONS.iter().flat_map(each).collect()
}

fn segment(place: &Place) -> SegmentOptions {
    SegmentOptions {
        directory: Some(place.path().to_owned()),
        max_participants: PARTICIPANTS,
        wait: WaitStrategy::Block,
        ..Default::default()
    }
}

fn attach(place: &Place) -> Semaphore {
    Semaphore::attach_with(SEMAPHORE, &SemaphoreOptions { segment: segment(place), ..Default::default() })
        .expect("the semaphore of the test, and a free slot")
}

/// Holds as many as there are; says how many.
fn take_all(semaphore: &Semaphore) -> u64 {
    (0..).take_while(|_| semaphore.acquire_raw(Deadline::NOW).is_ok()).count() as u64
}

struct SemaphoreStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    state: State,
    semaphore: Arc<Semaphore>,
    /// Permits that the survivor holds.
    held: u64,
    /// Permits that there may be, held or not.
    there: BTreeSet<i64>,
    waiter: Option<JoinHandle<Instant>>,
    begun: bool,
    dead_before: bool,
    died: Instant,
}

impl<'a> SemaphoreStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> SemaphoreStage<'a> {
        let place = workshop.place;
        let initial = match state {
            Short => LIMIT - 2,
            Awaited => operation.needs,
            _ => LIMIT,
        };
        let options = SemaphoreOptions { limit: LIMIT, initial: Some(initial), segment: segment(place) };
        let semaphore = Arc::new(Semaphore::create(SEMAPHORE, &options).expect("a new semaphore"));
        if state == Dead {
            workshop.nursery.victim("semaphore_close", SEMAPHORE).kill();
        }
        let held = if matches!(state, Empty | Dead) { take_all(&semaphore) } else { 0 };
        // A look that found nothing may have brought back what the dead one held.
        let back = if state == Dead { held.saturating_sub(LIMIT - 2) } else { 0 };
        (0..back).for_each(|_| semaphore.release().expect("one that is held"));
        SemaphoreStage {
            place,
            operation,
            state,
            semaphore,
            held: held - back,
            there: BTreeSet::from([initial as i64]),
            waiter: None,
            begun: false,
            dead_before: false,
            died: Instant::now(),
        }
    }

    /// The permits that can be acquired or are held by somebody.
    fn account(semaphore: &Semaphore) -> i64 {
        let stats = semaphore.stats().expect("figures");
        (stats.value + stats.holders.iter().map(|(_, _, held)| held).sum::<u64>()) as i64
    }
}

impl Stage for SemaphoreStage<'_> {
    fn begun(&mut self, _victim: i64) {
        if std::mem::replace(&mut self.begun, true) || self.state != Awaited {
            return;
        }
        let (semaphore, (said, hears)) = (Arc::clone(&self.semaphore), std::sync::mpsc::channel());
        self.waiter = Some(std::thread::spawn(move || {
            // SAFETY: no memory is involved.
            said.send(unsafe { libc::gettid() }).expect("somebody listens");
            semaphore.acquire_raw(Deadline::within(HANG)).expect("a permit comes");
            Instant::now()
        }));
        let stat = format!("/proc/self/task/{}/stat", hears.recv().expect("it began"));
        let until = Instant::now() + HANG;
        let asleep = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        while !std::fs::read_to_string(&stat).is_ok_and(asleep) {
            assert!(Instant::now() < until, "the survivor does not go to sleep");
            std::thread::yield_now();
        }
    }

    fn others(&mut self, turn: u64) -> bool {
        let mut whole = 0;
        for _ in 0..if turn & 2 == 0 { 1 } else { 30 } {
            assert!(self.semaphore.value().expect("a number") <= LIMIT);
            match self.semaphore.try_acquire() {
                Ok(permit) => {
                    permit.release();
                    whole += 1;
                }
                Err(Error::WouldBlock(_)) => {
                    assert_ne!(self.state, Free, "a stopped process keeps others out")
                }
                Err(error) => panic!("while the victim stands still: {error}"),
            }
        }
        if turn & 4 == 0 && self.state != Dead {
            let rival = attach(self.place);
            assert_eq!(rival.recover().expect("whoever is left"), 0, "a stopped process lives");
            whole += 1;
        }
        whole > 0 || self.state != Free
    }

    fn returned(&self, code: i64) {
        match (self.state, self.operation.name) {
            // Made again after a failure, it waits.
            (Empty, "semaphore_acquire") => {
                assert!(
                    [libc::EAGAIN, libc::ETIMEDOUT].map(|errno| -i64::from(errno)).contains(&code),
                    "{code}"
                )
            }
            (_, name) if name.ends_with("asleep") => assert_eq!(code, -i64::from(libc::ETIMEDOUT)),
            _ => assert_eq!(code, 0, "what a whole operation returns"),
        }
    }

    fn failed(&self, code: i64) {
        let there = SemaphoreStage::account(&self.semaphore);
        assert!(self.there.contains(&there), "an error ({code}) makes and uses up nothing: {there}");
    }

    fn dead(&mut self, at: At, toll: Toll) {
        self.died = Instant::now();
        let possible: &[i64] = match (at, toll) {
            (_, Toll::Nothing) => &[0],
            (At::End(0..), _) => &[1],
            (At::End(_), _) => &[0],
            (At::Inside, _) => &[0, 1],
        };
        // Who dies after the first was recovering.
        let adds = if std::mem::replace(&mut self.dead_before, true) { 0 } else { self.operation.adds };
        let each = self.there.iter().flat_map(|there| possible.iter().map(move |times| there + times * adds));
        self.there = each.collect();
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, _with_notice: bool) {
        let survivor = attach(self.place);
        if let Some(waiter) = self.waiter.take() {
            if self.there.contains(&0) {
                // Perhaps nothing was supplied.
                survivor.release().expect("one more");
                self.there = self.there.iter().map(|there| there + 1).collect();
            }
            let when = waiter.join().expect("it got a permit");
            let told = when.saturating_duration_since(self.died);
            assert!(told < LATE, "a permit was had after {told:?}");
            self.held += 1;
        }
        survivor.recover().expect("whoever is left");
        let stats = survivor.stats().expect("figures");
        let held = stats.holders.iter().map(|(_, _, held)| held).sum::<u64>();
        assert_eq!(held, self.held, "the dead hold none: {:?}", stats.holders);
        let there = SemaphoreStage::account(&survivor);
        assert!(self.there.contains(&there), "{there} permits, and {:?} are possible", self.there);
        // Each of them is had once, and there is room for the rest, which the survivor makes.
        assert_eq!(take_all(&survivor) as i64, there - held as i64);
        (0..self.held).for_each(|_| self.semaphore.release().expect("one that is held"));
        assert_eq!(take_all(&survivor), self.held, "also what was in others' hands");
        (there..LIMIT as i64).for_each(|_| self.semaphore.release().expect("one more"));
        assert!(matches!(self.semaphore.release(), Err(Error::Invalid(_))), "the limit");
        assert_eq!(take_all(&survivor) as i64, LIMIT as i64 - there);

        // Who sleeps is woken.
        assert!(self.semaphore.poll_fd().expect("a descriptor").as_raw_fd() >= 0);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                self.semaphore.consume_until(Deadline::within(HANG)).expect("a permit");
                Instant::now()
            });
            survivor.release().expect("one that is held");
            let told = waiter.join().expect("a permit").saturating_duration_since(self.died);
            assert!(told < HANG);
        });
        drop(survivor);
        assert_eq!(self.semaphore.value().expect("a number"), LIMIT - 1, "one was used up");
        drop(self.semaphore);
        self.place.unlink(SEMAPHORE);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
