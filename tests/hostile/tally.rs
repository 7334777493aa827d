//! What a process that is exposed to hostile bytes says of itself, in a file that it and the test map: which call it is
//! in and since when, so that the test can tell a call that hangs, and how many calls worked and failed.
//!
//! A call's time is that for which it ran or slept. For how long it only waited for a processor, on a machine that has
//! other things to do, the kernel knows (`/proc/PID/task/TID/schedstat`), and that is taken off. Where the kernel does not
//! tell, it counts.
//!
//! `endpoints.c` and `endpoints.py` know the words by the same numbers.

use ipcx_tests::now;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A call that takes this much more than its timeout hangs. It is far more than what ipcx promises: closing an end waits for its
/// watcher's thread, and that for a processor. The figures say how much it really was.
const SLACK: u64 = 5_000_000_000;
/// A call that takes less beyond its timeout is not looked at more closely.
const UNREMARKABLE: u64 = 2_000_000;

/// The words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// When the call began that is in progress, on the monotonic clock; 0 between calls.
    Began,
    /// Its timeout in nanoseconds.
    Timeout,
    /// Which it is.
    Call,
    /// The thread that makes the calls.
    Thread,
    /// How long that thread had run, in all, before this call, and how long it had waited for a processor.
    Ran,
    Waited,
    /// The longest that a call took beyond its timeout, in nanoseconds.
    Longest,
    /// Bits, images or rounds that are done; for a scribbler, writes.
    Done,
    /// Not 0: the process is to end.
    Stop,
    /// Calls that worked and failed: of a producer, of a consumer, of a handle.
    Counts,
}

const WORDS: usize = Word::Counts as usize + 6;

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Producer,
    Consumer,
    Handle,
}

impl Who {
    pub(crate) const ALL: [Who; 3] = [Who::Producer, Who::Consumer, Who::Handle];
}

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    None,
    Attach,
    Stats,
    TakeProducer,
    TakeConsumer,
    Send,
    SendMany,
    Reserve,
    Commit,
    SendFile,
    Recv,
    RecvMany,
    Borrow,
    Read,
    BorrowRaw,
    BorrowManyRaw,
    ProducerFd,
    ConsumerFd,
    CloseProducer,
    CloseConsumer,
    Acquire,
    Release,
    SendBlock,
    RecvBlock,
    Recover,
    Write,
    Lock,
    Publish,
    Unlock,
    Wait,
    WaitLocked,
    Notify,
    PollFd,
    Ask,
    Answer,
}

impl Call {
    const ALL: [Call; 35] = [
        Call::None,
        Call::Attach,
        Call::Stats,
        Call::TakeProducer,
        Call::TakeConsumer,
        Call::Send,
        Call::SendMany,
        Call::Reserve,
        Call::Commit,
        Call::SendFile,
        Call::Recv,
        Call::RecvMany,
        Call::Borrow,
        Call::Read,
        Call::BorrowRaw,
        Call::BorrowManyRaw,
        Call::ProducerFd,
        Call::ConsumerFd,
        Call::CloseProducer,
        Call::CloseConsumer,
        Call::Acquire,
        Call::Release,
        Call::SendBlock,
        Call::RecvBlock,
        Call::Recover,
        Call::Write,
        Call::Lock,
        Call::Publish,
        Call::Unlock,
        Call::Wait,
        Call::WaitLocked,
        Call::Notify,
        Call::PollFd,
        Call::Ask,
        Call::Answer,
    ];

    /// The call that this process is in the middle of or has just made, by its number.
    fn of(number: u64) -> Call {
        Call::ALL.into_iter().find(|call| *call as u64 == number).unwrap_or(Call::None)
    }
}

/// The words of one process.
#[derive(Debug)]
pub(crate) struct Tally(NonNull<AtomicU64>);

// SAFETY: the words are atomics in a mapping that lives as long as the value.
unsafe impl Send for Tally {}
// SAFETY: as above.
unsafe impl Sync for Tally {}

impl Tally {
    /// A new one, or one that exists.
    pub(crate) fn open(path: &Path) -> Tally {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        file.set_len((WORDS * 8) as u64).expect("room for a page");
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping of a file that is as long; nothing else is touched.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), WORDS * 8, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Tally(NonNull::new(at.cast()).expect("not at 0"))
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        // SAFETY: inside the mapping, which is aligned to a page; every bit pattern is a value.
        unsafe { &*self.0.as_ptr().add(index) }
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        self.at(word as usize).load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        self.at(word as usize).store(value, Ordering::Release);
    }

    /// Counts up. One process writes each word.
    pub(crate) fn add(&self, word: Word, more: u64) {
        self.set(word, self.get(word) + more);
    }

    /// Calls of one kind of handle that worked, or failed.
    pub(crate) fn count(&self, who: Who, worked: bool) -> u64 {
        self.at(Self::count_index(who, worked)).load(Ordering::Acquire)
    }

    fn count_index(who: Who, worked: bool) -> usize {
        Word::Counts as usize + 2 * who as usize + usize::from(!worked)
    }

    /// The thread that calls this makes calls from now on.
    pub(crate) fn begin_turn(&self) {
        thread_local!(static SELF: (Option<File>, u64) = this_thread());
        SELF.with(|(schedule, id)| {
            let [ran, waited] = times(schedule.as_ref());
            self.set(Word::Thread, *id);
            self.set(Word::Ran, ran);
            self.set(Word::Waited, waited);
        });
    }

    /// A call begins.
    pub(crate) fn begin(&self, call: Call, timeout: u64) -> u64 {
        let began = now();
        self.set(Word::Call, call as u64);
        self.set(Word::Timeout, timeout);
        self.set(Word::Began, began);
        began
    }

    /// The call that `began` is over.
    pub(crate) fn end(&self, began: u64, who: Who, worked: bool) {
        let mut beyond = (now() - began).saturating_sub(self.get(Word::Timeout));
        if beyond > UNREMARKABLE {
            let [_, waited] = times(this_thread().0.as_ref());
            beyond = beyond.saturating_sub(waited.saturating_sub(self.get(Word::Waited)));
        }
        self.set(Word::Began, 0);
        if beyond > self.get(Word::Longest) {
            self.set(Word::Longest, beyond);
        }
        let count = self.at(Self::count_index(who, worked));
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed); // Relaxed: this process only.
    }

    /// True if the call in progress in this process takes too long, or one that is over did.
    pub(crate) fn hangs(&self, process: u32) -> bool {
        let [began, timeout] = [Word::Began, Word::Timeout].map(|word| self.get(word));
        let beyond = now().saturating_sub(began).saturating_sub(timeout);
        if began == 0 || beyond <= SLACK {
            return self.get(Word::Longest) > SLACK;
        }
        let task = format!("/proc/{process}/task/{}", self.get(Word::Thread));
        let Ok(stat) = std::fs::read_to_string(format!("{task}/stat")) else { return false }; // It has ended.
        let schedule = File::open(format!("{task}/schedstat")).ok();
        let [ran, waited] = times(schedule.as_ref());
        let slept = beyond.saturating_sub(waited.saturating_sub(self.get(Word::Waited)));
        // A wait for a processor that is not over is in neither of the times.
        let sleeps = stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('R'));
        let hangs = (ran.saturating_sub(self.get(Word::Ran)) > timeout.saturating_add(SLACK))
            || (sleeps && slept > SLACK)
            || schedule.is_none();
        // Looked at twice: the process may have gone on meanwhile.
        hangs && self.get(Word::Began) == began
    }

    /// Where the process is, for people.
    pub(crate) fn whereabouts(&self) -> String {
        let call = Call::of(self.get(Word::Call));
        let when = if self.get(Word::Began) == 0 { "after" } else { "in" };
        let longest = self.get(Word::Longest) / 1_000_000;
        format!("{when} {call:?} of turn {}; longest call {longest} ms", self.get(Word::Done))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this length, and no reference outlives the value.
        unsafe { libc::munmap(self.0.as_ptr().cast(), WORDS * 8) };
    }
}

/// What the kernel says of the scheduling of this thread, and its number.
fn this_thread() -> (Option<File>, u64) {
    // SAFETY: no memory is involved.
    let id = unsafe { libc::gettid() } as u64;
    (File::open(format!("/proc/self/task/{id}/schedstat")).ok(), id)
}

/// How long a thread ran, and was ready to run but waited for a processor, in nanoseconds.
fn times(schedule: Option<&File>) -> [u64; 2] {
    let mut text = [0; 80];
    let len = schedule.map_or(0, |schedule| schedule.read_at(&mut text, 0).unwrap_or(0)); // 0 if it has ended
    let text = String::from_utf8_lossy(&text[..len]);
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
    [0; 2].map(|none| numbers.next().unwrap_or(none))
}
