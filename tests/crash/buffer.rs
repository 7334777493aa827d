//! Start states of a buffer, and how those who survive a victim show that its value is whole, its lock to be had, and nobody
//! left asleep.
//!
//! Values are records of a stream. The survivor keeps a list of which it wrote as which version; a version that is not in it
//! is the victim's, which writes one at most. So whatever is read says by itself whether it is whole, and whether it is the
//! one it must be.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Buffer, BufferGuard, BufferOptions, Deadline, Error, SegmentOptions, WaitStrategy};
use ipcx_tests::{Place, Random, Stream};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BUFFER: &str = "buffer";
/// The tracer, the victim, one that died, and one more: a slot that leaks is missed at once.
const PARTICIPANTS: u32 = 4;
/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(10);
/// The lock of a dead owner is had, and who sleeps is awake, within this: always,
const LATE: Duration = Duration::from_secs(2);
/// and within this where the time is what is asked for, which not each of so many cases is on a busy machine.
const NOTICE: Duration = Duration::from_millis(250);
/// Between two looks at a process that is to fall asleep, which the tracer steps to that on the same processor meanwhile.
const LOOK: Duration = Duration::from_micros(200);

/// The same as in `src/bin/victim`.
const SEED: u64 = 13;
const LARGEST: usize = 200;
const NUMBER: u64 = 1 << 20 | 8;
static STREAM: LazyLock<Stream> = LazyLock::new(|| Stream::new(SEED, LARGEST));
/// The survivor's first, of the same length.
const FIRST: u64 = 8;

/// Offset of the buffer's part in its file: behind the header's page and the slots'.
const BODY: u64 = 2 * 4096;
/// The mutex's word.
const LOCK: u64 = BODY;
/// Bits of it: the owner's slot plus 1, and that an owner died.
const OWNER: u32 = 0xffff;
const ABANDONED: u32 = 1 << 31;

/// How the buffer is when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was written.
    New,
    /// It has a value, and nobody has the lock but maybe the victim.
    Value,
    /// Somebody died with the lock, in another slot than the victim's.
    Dead,
    /// Somebody died with the lock, in the slot that the victim gets.
    Heir,
    /// The survivor sleeps until there is another version.
    Awaited,
    /// The survivor waits for a notification.
    Watched,
    /// The survivor has the lock, until the victim sleeps.
    Contended,
}

use State::{Awaited, Contended, Dead, Heir, New, Value, Watched};

/// When the victim has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Never,
    /// From before the operation to behind it.
    Throughout,
    /// For a time, but not any more at the end.
    Inside,
    /// As the lock's word tells.
    Somewhen,
}

use Holds::{Inside, Never, Somewhen, Throughout};

/// What the survivor does once the victim sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Help {
    Write,
    Unlock,
    Notify,
}

/// An operation of `src/bin/victim`.
struct Operation {
    name: &'static str,
    /// It makes a version.
    commits: bool,
    holds: Holds,
    help: Option<Help>,
    states: &'static [State],
}

impl Operation {
    fn sleeps(&self) -> bool {
        self.help.is_some() || self.name.ends_with("asleep")
    }
}

const fn commits(name: &'static str, holds: Holds, states: &'static [State]) -> Operation {
    Operation { name, commits: true, holds, help: None, states }
}

const fn keeps(name: &'static str, holds: Holds, states: &'static [State]) -> Operation {
    Operation { name, commits: false, holds, help: None, states }
}

const fn woken(name: &'static str, holds: Holds, help: Help, states: &'static [State]) -> Operation {
    Operation { name, commits: false, holds, help: Some(help), states }
}

const RECOVER: &str = "buffer_recover";

const OPERATIONS: &[Operation] = &[
    keeps("buffer_attach", Never, &[Value, Dead, Heir]),
    keeps("buffer_close", Never, &[Value]),
    keeps("buffer_close_locked", Inside, &[Value]),
    commits("buffer_write", Inside, &[New, Value, Dead, Heir, Awaited]),
    commits("buffer_commit", Inside, &[New, Value, Dead, Awaited]),
    keeps("buffer_abandon", Inside, &[Value, Dead]),
    commits("buffer_publish", Throughout, &[Value, Awaited]),
    woken("buffer_lock_woken", Somewhen, Help::Unlock, &[Contended]),
    keeps("buffer_read", Never, &[New, Value]),
    keeps("buffer_wait", Never, &[Value]),
    woken("buffer_wait_woken", Never, Help::Write, &[Value]),
    keeps("buffer_wait_locked_asleep", Somewhen, &[Value]),
    woken("buffer_wait_locked_woken", Somewhen, Help::Notify, &[Value]),
    keeps("buffer_notify_one", Never, &[Value, Watched]),
    keeps("buffer_notify_all", Never, &[Watched]),
    keeps(RECOVER, Inside, &[Value, Dead, Heir]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: BUFFER,
            threads: false,
            sleeps: operation.sleeps(),
            recovers: Some(RECOVER),
            stage: Box::new(move |workshop| Box::new(BufferStage::make(workshop, operation, *state))),
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

fn attach(place: &Place) -> Buffer {
    Buffer::attach_with(BUFFER, &BufferOptions { capacity: 0, segment: segment(place) })
        .expect("the buffer of the test, and a free slot")
}

fn record(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; STREAM.len(number)];
    STREAM.fill(number, &mut bytes);
    bytes
}

/// True while a thread sleeps in the kernel until something wakes it. One that a tracer has stopped does not.
fn is_asleep(task: &str) -> bool {
    let stat = std::fs::read_to_string(format!("{task}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
}

/// What survivors know of the versions, in all their threads.
#[derive(Debug)]
struct History {
    /// Which record each is.
    versions: Mutex<BTreeMap<u64, u64>>,
    next: AtomicU64,
}

impl History {
    fn new() -> History {
        History { versions: Mutex::new(BTreeMap::new()), next: AtomicU64::new(FIRST) }
    }

    /// Writes the next value, and keeps in mind as which version. Whoever reads it meanwhile waits until that is done.
    fn write(&self, work: impl FnOnce(&[u8]) -> Result<u64, Error>) -> Result<u64, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed); // Relaxed: only different numbers are needed.
        let mut versions = self.versions.lock().expect("no panic before");
        let version = work(&record(number))?;
        let before = versions.insert(version, number);
        assert_eq!(before, None, "version {version} was there before");
        Ok(version)
    }

    fn note(&self, version: u64, number: u64) -> Option<u64> {
        self.versions.lock().expect("no panic before").insert(version, number)
    }

    /// That the value read as this version is the one that was written as it. One that no survivor wrote is the victim's.
    fn check(&self, version: u64, value: &[u8]) {
        if version == 0 {
            return assert_eq!(value, [0; 0], "nothing was written");
        }
        let known = self.versions.lock().expect("no panic before").get(&version).copied();
        if let Err(wrong) = STREAM.check(known.unwrap_or(NUMBER), value) {
            panic!("version {version}, which is {known:?}: {wrong}");
        }
    }

    fn read(&self, buffer: &Buffer) -> u64 {
        let mut room = [0xa5; LARGEST];
        let (len, version) = buffer.read(&mut room).expect("a value, whoever stands still or is dead");
        self.check(version, &room[..len]);
        assert!(room[len..].iter().all(|byte| *byte == 0xa5), "bytes behind the value");
        version
    }

    /// Changes the value in place.
    fn edit(&self, mut guard: BufferGuard<'_>) -> u64 {
        self.write(|value| {
            guard.set_len(value.len())?;
            guard.write_at(0, value)?;
            guard.commit()
        })
        .expect("the owner of the lock commits")
    }

    /// Versions up to this one that no survivor wrote.
    fn not_ours(&self, last: u64) -> Vec<u64> {
        let versions = self.versions.lock().expect("no panic before");
        (1..=last).filter(|version| !versions.contains_key(version)).collect()
    }
}

/// A thread that helps the victim.
struct Helper {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// A thread that sleeps on the survivor's behalf, and says when it was woken.
struct Sleeper {
    thread: JoinHandle<Instant>,
    /// The kernel's number of it; 0 before it begins.
    id: Arc<AtomicU64>,
}

impl Sleeper {
    fn start(work: impl FnOnce() + Send + 'static) -> Sleeper {
        let id = Arc::new(AtomicU64::new(0));
        let says = Arc::clone(&id);
        let thread = std::thread::spawn(move || {
            // SAFETY: no memory is involved.
            says.store(unsafe { libc::gettid() } as u64, Ordering::Release);
            work();
            Instant::now()
        });
        let sleeper = Sleeper { thread, id };
        let until = Instant::now() + HANG;
        while !sleeper.is_asleep() {
            assert!(Instant::now() < until && !sleeper.thread.is_finished(), "it does not go to sleep");
            std::thread::yield_now();
        }
        sleeper
    }

    fn is_asleep(&self) -> bool {
        let id = self.id.load(Ordering::Acquire);
        id != 0 && is_asleep(&format!("/proc/self/task/{id}"))
    }

    /// It was woken, so soon after this.
    fn wakes_within(self, limit: Duration, since: Instant, what: &str) {
        let told = self.thread.join().expect("it is woken").saturating_duration_since(since);
        assert!(told < limit, "{what}: awake after {told:?}");
    }

    /// It sleeps until there is another version than this.
    fn for_version(buffer: Arc<Buffer>, seen: u64) -> Sleeper {
        Sleeper::start(move || {
            let version = buffer.wait_timeout(seen, HANG).expect("a version");
            assert!(version > seen, "{version} after {seen}");
        })
    }

    /// It sleeps until it is notified, and then has the lock.
    fn for_notification(buffer: Arc<Buffer>) -> Sleeper {
        Sleeper::start(move || {
            let guard = buffer.lock_timeout(HANG).expect("the lock, before it waits");
            guard.wait_timeout(HANG).expect("a notification").abandon();
        })
    }
}

struct BufferStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    state: State,
    buffer: Arc<Buffer>,
    history: Arc<History>,
    random: Random,
    /// The version before the victim.
    first: u64,
    sleeper: Option<Sleeper>,
    helper: Option<Helper>,
    /// A victim has begun: the next one recovers.
    begun: bool,
    /// The next owner of the lock is to learn that one died.
    abandoned: bool,
    died: Instant,
}

impl<'a> BufferStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> BufferStage<'a> {
        let place = workshop.place;
        let options = BufferOptions { capacity: LARGEST as u64, segment: segment(place) };
        let buffer = Arc::new(Buffer::create(BUFFER, &options).expect("a new buffer"));
        let history = Arc::new(History::new());
        if state != New {
            for _ in 0..2 {
                history.write(|value| buffer.try_write(value)).expect("nobody has the lock");
            }
        }
        if matches!(state, Dead | Heir) {
            // The victim gets the first slot that is free.
            let kept = (state == Dead).then(|| attach(place));
            workshop.nursery.victim("buffer_publish", BUFFER).kill();
            drop(kept);
        }
        BufferStage {
            place,
            operation,
            state,
            first: buffer.version(),
            buffer,
            history,
            random: Random::new(workshop.random.word()),
            sleeper: None,
            helper: None,
            begun: false,
            abandoned: false,
            died: Instant::now(),
        }
    }

    fn lock_word(&self) -> u32 {
        let path = self.place.path().join(format!("ipcx.{BUFFER}"));
        let mut bytes = [0; 4];
        let file = std::fs::File::open(path).expect("the buffer's file");
        file.read_exact_at(&mut bytes, LOCK).expect("the lock's word");
        u32::from_ne_bytes(bytes)
    }

    /// True if no thread of the survivor's has the lock, or may take it at any time.
    fn has_lock_to_itself(&self) -> bool {
        !matches!(self.state, Watched | Contended)
    }

    /// Does what helps the victim, each time it sleeps, until it is dead.
    fn help(&self, help: Help, victim: i64) -> Helper {
        let over = Arc::new(AtomicBool::new(false));
        let locked = Arc::new(AtomicBool::new(help != Help::Unlock));
        let (is_over, has_lock) = (Arc::clone(&over), Arc::clone(&locked));
        let (buffer, history) = (Arc::clone(&self.buffer), Arc::clone(&self.history));
        let thread = std::thread::spawn(move || {
            let mut guard = (help == Help::Unlock).then(|| buffer.try_lock().expect("nobody has it"));
            has_lock.store(true, Ordering::Release);
            while !is_over.load(Ordering::Acquire) {
                if is_asleep(&format!("/proc/{victim}")) {
                    match help {
                        Help::Write => drop(history.write(|value| buffer.try_write(value))),
                        Help::Unlock => drop(guard.take()),
                        // Notified by the owner of the lock, whom the victim does not keep out: it sleeps.
                        Help::Notify => buffer.try_lock().iter().for_each(BufferGuard::notify_one),
                    }
                }
                std::thread::sleep(LOOK);
            }
        });
        while !locked.load(Ordering::Acquire) {
            assert!(!thread.is_finished(), "the lock before the operation");
            std::thread::yield_now();
        }
        Helper { over, thread }
    }

    /// One look at everything, and a write if the lock is to be had; true if it was.
    fn work(&mut self, buffer: &Buffer) -> bool {
        let before = self.lock_word();
        let version = self.history.read(buffer);
        assert_eq!(
            buffer.wait_until(version.wrapping_sub(1), Deadline::NOW).expect("it is another"),
            version
        );
        assert!(matches!(buffer.wait_until(version, Deadline::NOW), Err(Error::WouldBlock(_))));
        buffer.notify(self.random.below(2) == 0).expect("a notification");
        let taken = match buffer.try_lock() {
            Ok(guard) => {
                assert!(
                    before & OWNER == 0 || matches!(self.state, Dead | Heir) || !self.has_lock_to_itself(),
                    "the lock of a process that stands still was taken: {before:#x}"
                );
                if self.random.below(4) == 0 {
                    guard.abandon();
                } else {
                    let written = self.history.edit(guard);
                    assert_eq!(written, version + 1);
                }
                true
            }
            Err(Error::WouldBlock(_)) => {
                assert!(before & OWNER != 0 || !self.has_lock_to_itself(), "nobody has it: {before:#x}");
                false
            }
            Err(error) => panic!("while the victim stands still: {error}"),
        };
        self.history.read(buffer);
        taken
    }

    /// The lock is had in time, whoever died with it, and says so.
    fn lock_within(limit: Duration, buffer: &Buffer, abandoned: bool) -> BufferGuard<'_> {
        let guard = buffer.lock_timeout(limit).expect("the lock of the dead");
        assert_eq!(guard.recovered(), abandoned, "whether the owner before died");
        guard
    }
}

impl Stage for BufferStage<'_> {
    fn begun(&mut self, victim: i64) {
        if std::mem::replace(&mut self.begun, true) {
            return; // Somebody recovers.
        }
        match self.state {
            Awaited => self.sleeper = Some(Sleeper::for_version(Arc::clone(&self.buffer), self.first)),
            Watched => self.sleeper = Some(Sleeper::for_notification(Arc::clone(&self.buffer))),
            _ => {}
        }
        self.helper = self.operation.help.map(|help| self.help(help, victim));
    }

    fn others(&mut self, turn: u64) -> bool {
        let rounds = if turn & 2 == 0 { 1 } else { 30 };
        let buffer = Arc::clone(&self.buffer);
        let mut whole = 0;
        for _ in 0..rounds {
            whole += u64::from(self.work(&buffer));
        }
        if turn & 4 == 0 {
            let rival = attach(self.place);
            self.work(&rival);
            let written = self.history.write(|value| rival.write_timeout(value, Duration::from_millis(1)));
            assert!(matches!(written, Ok(_) | Err(Error::TimedOut(_))), "{written:?}");
        }
        // Readers are never kept out.
        whole > 0 || self.operation.holds != Never
    }

    fn returned(&self, code: i64) {
        let timed_out = -i64::from(libc::ETIMEDOUT);
        let version = self.buffer.version() as i64;
        match self.operation.name {
            name if name.ends_with("asleep") => assert_eq!(code, timed_out),
            "buffer_write" | "buffer_commit" | "buffer_publish" => {
                assert_eq!(code, self.first as i64 + 1, "the version written");
                assert_eq!(code, version);
            }
            "buffer_read" | "buffer_wait" => assert_eq!(code, self.first as i64),
            "buffer_wait_woken" => assert!((self.first as i64 + 1..=version).contains(&code)),
            RECOVER => {
                assert_eq!(code, i64::from(matches!(self.state, Dead | Heir)), "whether an owner died")
            }
            _ => assert_eq!(code, 0, "what a whole operation returns"),
        }
    }

    fn failed(&self, code: i64) {
        let version = self.history.read(&self.buffer);
        assert_eq!(self.history.not_ours(version), [0; 0], "an error ({code}) makes no version");
        if self.has_lock_to_itself() && self.operation.holds != Throughout {
            let word = self.lock_word();
            assert!(
                word & OWNER == 0 || matches!(self.state, Dead | Heir),
                "an error ({code}) does not keep the lock"
            );
        }
    }

    fn dead(&mut self, at: At, toll: Toll) {
        self.died = Instant::now();
        if let Some(helper) = self.helper.take() {
            helper.over.store(true, Ordering::Release);
            helper.thread.join().expect("a helper that sees nothing wrong");
        }
        let theirs = self.history.not_ours(self.buffer.version());
        let possible = match (at, toll) {
            (_, Toll::Nothing) => 0..=0,
            (At::End(version @ 0..), _) if self.operation.commits => {
                assert_eq!(theirs, [version as u64], "a write whose call returned is there");
                1..=1
            }
            (At::Inside, _) if self.operation.commits => 0..=1,
            _ => 0..=0,
        };
        assert!(possible.contains(&(theirs.len() as u64)), "versions {theirs:?} of the victim's");
        for version in theirs {
            self.history.note(version, NUMBER);
        }
        let word = self.lock_word();
        let died_with_it = word & OWNER != 0 || word & ABANDONED != 0;
        self.abandoned = match (self.operation.holds, self.state) {
            (_, Watched) => false, // The word is the survivor's.
            _ if matches!(toll, Toll::Nothing) => died_with_it,
            (Never, Dead | Heir) => died_with_it,
            (Never, _) => false,
            (Throughout, _) => true,
            // Who writes cannot ask whether an owner died, and leaves the mark to who can.
            (Inside, Dead | Heir) if self.operation.name == "buffer_write" => died_with_it,
            (Inside, _) if matches!(at, At::End(0..)) => false,
            (Inside | Somewhen, _) => died_with_it,
        };
        if !matches!(self.state, Watched) {
            assert_eq!(self.abandoned, died_with_it, "as the word says: {word:#x}");
        }
        if matches!(self.operation.name, "buffer_attach")
            && self.state != Value
            && matches!(toll, Toll::AllOrNothing(_))
        {
            assert!(self.abandoned, "nobody has had the lock since its owner died");
        }
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, with_notice: bool) {
        let limit = if with_notice { NOTICE } else { LATE };
        let version = self.history.read(&self.buffer);
        // One that was there, or one that comes.
        let heir = (self.random.below(2) == 0).then(|| Arc::new(attach(self.place)));
        let survivor = heir.unwrap_or_else(|| Arc::clone(&self.buffer));
        assert_eq!(self.history.read(&survivor), version);

        let mut woken_since = self.died;
        if self.state == Watched {
            // It has the lock behind a notification, and who takes it meanwhile waits.
            let guard = survivor.lock_timeout(limit).expect("the lock of a living survivor");
            guard.notify_one();
            drop(guard);
            self.sleeper.take().expect("a sleeper").wakes_within(limit, Instant::now(), "a notification");
        }
        let mut guard = BufferStage::lock_within(limit, &survivor, self.abandoned);
        let mut bytes = vec![0; guard.len()];
        guard.read_at(0, &mut bytes).expect("what is used");
        self.history.check(version, &bytes);
        assert_eq!(self.history.edit(guard), version + 1);
        assert_eq!(self.history.read(&self.buffer), version + 1);
        if version == self.first {
            woken_since = Instant::now();
        }
        if let Some(sleeper) = self.sleeper.take() {
            sleeper.wakes_within(limit, woken_since, "a version");
        }
        BufferStage::lock_within(limit, &self.buffer, false).abandon();

        // Whoever is left is woken, by either handle.
        let sleeper = Sleeper::for_version(Arc::clone(&survivor), version + 1);
        self.history.write(|value| self.buffer.try_write(value)).expect("nobody has the lock");
        sleeper.wakes_within(limit, Instant::now(), "a version after the death");
        let sleeper = Sleeper::for_notification(Arc::clone(&self.buffer));
        survivor.notify(false).expect("a notification");
        sleeper.wakes_within(limit, Instant::now(), "a notification after the death");
        assert_eq!(self.history.read(&survivor), version + 2);
        assert_eq!(self.history.not_ours(version + 2), [0; 0], "nobody else wrote");

        let here = if Arc::ptr_eq(&survivor, &self.buffer) { 1 } else { 2 };
        let more: Vec<Buffer> = (here..PARTICIPANTS).map(|_| attach(self.place)).collect();
        let stats = more[0].stats().expect("figures");
        assert!(!stats.locked && stats.version == version + 2, "{stats:?}");
        drop((more, survivor, self.buffer));
        self.place.unlink(BUFFER);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
