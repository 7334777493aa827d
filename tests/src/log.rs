//! What a peer was about, in a file that it maps: plain stores, which outlive it when it is killed.
//!
//! A peer stores `Begun` before a call and `Done` after it, so for the records that a dead peer has really sent or
//! released, as the ring tells it: done <= really <= begun.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The words of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Records whose sending or releasing has begun.
    Begun,
    /// Records that are sent, or received, checked and released.
    Done,
    /// 1 once the peer is about to take its role.
    Ready,
    /// 1 once it holds its role.
    Started,
    /// The first record of its turn.
    First,
    /// When a call said that the other side died, on the monotonic clock; 0 if none did.
    PeerDead,
}

const WORDS: usize = 8;

/// The words of one peer's turn.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    words: NonNull<AtomicU64>,
}

// SAFETY: the words are atomics in a mapping that lives as long as the value.
unsafe impl Send for Log {}
// SAFETY: as above.
unsafe impl Sync for Log {}

impl Log {
    /// A new log, or one that exists.
    ///
    /// # Panics
    /// If there is no such directory, or the system refuses.
    pub fn open(path: &Path) -> Log {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let len = WORDS * size_of::<AtomicU64>();
        file.set_len(len as u64).expect("room for a page");
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping of a file that is as long; nothing else is touched.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Log { path: path.to_owned(), words: NonNull::new(at.cast()).expect("not at 0") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        // SAFETY: inside the mapping, which is aligned to a page; every bit pattern is a value.
        unsafe { &*self.words.as_ptr().add(word as usize) }
    }

    /// What stands there.
    pub fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    /// Stores a value.
    pub fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }

    /// For the next turn: everything 0.
    pub fn clear(&self) {
        for word in [Word::Begun, Word::Done, Word::Ready, Word::Started, Word::First, Word::PeerDead] {
            self.set(word, 0);
        }
    }

    /// Waits until `word` is more than `seen`; false if `limit` passes before.
    #[must_use]
    pub fn wait_for(&self, word: Word, seen: u64, limit: Duration) -> bool {
        let until = std::time::Instant::now() + limit;
        while self.get(word) <= seen {
            if std::time::Instant::now() >= until {
                return false;
            }
            // Not to take a processor from the peer that is waited for.
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this length, and no reference outlives the value.
        unsafe { libc::munmap(self.words.as_ptr().cast(), WORDS * size_of::<AtomicU64>()) };
    }
}
