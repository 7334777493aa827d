//! The buffer: readers without a lock beside writers, waiting for a version, and the condition.

use super::kernel::Futexes;
use super::model;
use crate::buffer::layout::Control;
use crate::buffer::protocol::{
    announce, begin, commit, look, nap_for_condition, nap_for_version, notified, notify, version, Look,
    Memory,
};
use crate::event::Kernel;
use crate::sync::{AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;

const WORDS: usize = 2;

struct Words {
    control: Control,
    /// Relaxed atomics, so that a byte of another version is seen as a wrong value.
    copies: [[AtomicU64; WORDS]; 2],
    kernel: Futexes,
}

type Shared = Arc<Words>;

fn buffer() -> Shared {
    let copy = || std::array::from_fn(|_| AtomicU64::new(0));
    Arc::new(Words { control: Control::new(), copies: [copy(), copy()], kernel: Futexes::new() })
}

impl Memory for Shared {
    fn control(&self) -> &Control {
        &self.control
    }
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
    fn capacity(&self) -> usize {
        8 * WORDS
    }
    fn read(&self, copy: usize, to: &mut [u8]) {
        for (bytes, word) in to.chunks_mut(8).zip(&self.copies[copy]) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
    }
    fn write(&self, copy: usize, from: &[u8]) {
        for (bytes, word) in from.chunks(8).zip(&self.copies[copy]) {
            word.store(u64::from_le_bytes(bytes.try_into().unwrap()), Ordering::Relaxed);
        }
    }
    fn renew(&self, copy: usize, _len: usize) {
        for (from, to) in self.copies[copy].iter().zip(&self.copies[1 - copy]) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// As the owner of the mutex: version `n` has `n` in each word.
fn fill(memory: &Shared) {
    let next = begin(memory);
    memory.write(next.copy(), &[next.0.to_le_bytes(); WORDS].concat());
    commit(memory, next, 8 * WORDS);
}

/// Looks until it gets one that is whole; says which.
fn read(memory: &Shared) -> Option<u64> {
    let mut bytes = [0; 8 * WORDS];
    match look(memory, &mut bytes) {
        Look::Whole(0, 0) | Look::Overtaken => None,
        Look::Whole(len, version) => {
            assert_eq!(len, bytes.len());
            assert_eq!(bytes[..], [version.to_le_bytes(); WORDS].concat()[..], "half a value");
            Some(version)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reader_has_a_whole_version_or_knows_better() {
    model(Some(3), || {
        let memory = buffer();
        let theirs = memory.clone();
        let writer = thread::spawn(move || (0..3).for_each(|_| fill(&theirs)));
        let versions = [read(&memory), read(&memory)].map(|read| read.unwrap_or(0));
        assert!(versions[1] == 0 || versions[0] <= versions[1], "{versions:?}");
        writer.join().unwrap();
        assert_eq!(read(&memory), Some(3));
    });
}

/// One writer dies half-way through; another, who owns the mutex after it, goes on.
#[test]
fn what_a_dead_writer_began_is_never_seen() {
    model(Some(4), || {
        let memory = buffer();
        fill(&memory);
        let theirs = memory.clone();
        let writer = thread::spawn(move || {
            let next = begin(&theirs);
            theirs.write(next.copy(), &[99; 8]);
            // dies, and whoever locks the mutex next is ordered behind it
            fill(&theirs);
            fill(&theirs);
        });
        let seen = read(&memory);
        assert!(matches!(seen, None | Some(1..=3)), "{seen:?}");
        writer.join().unwrap();
    });
}

#[test]
fn who_waits_for_a_version_is_woken() {
    model(Some(3), || {
        let memory = buffer();
        let theirs = memory.clone();
        let waiting = thread::spawn(move || {
            for seen in 0..2 {
                while version(&theirs) <= seen {
                    nap_for_version(&theirs, seen, 0);
                }
            }
            assert_eq!(read(&theirs), Some(2));
        });
        for _ in 0..2 {
            fill(&memory);
            announce(&memory);
        }
        waiting.join().unwrap();
    });
}

/// What is waited for is set before the notification, by an owner of the mutex.
#[test]
fn who_waits_for_the_condition_is_woken() {
    model(Some(3), || {
        let memory = buffer();
        let theirs = memory.clone();
        let waiting = thread::spawn(move || {
            let lock = |memory: &Shared| {
                let mut found = memory.control.mutex.try_lock(1);
                while found.is_none() {
                    memory.control.mutex.unlocked.nap(&memory.kernel, || {
                        found = memory.control.mutex.try_lock(1);
                        found.is_none().then_some(0)
                    });
                }
            };
            lock(&theirs);
            while theirs.copies[0][0].load(Ordering::Relaxed) == 0 {
                let seen = notified(&theirs);
                theirs.control.mutex.unlock(None, &theirs.kernel);
                while notified(&theirs) == seen {
                    nap_for_condition(&theirs, seen, 0);
                }
                lock(&theirs);
            }
            theirs.control.mutex.unlock(None, &theirs.kernel);
        });
        while memory.control.mutex.try_lock(0).is_none() {
            thread::yield_now();
        }
        memory.copies[0][0].store(1, Ordering::Relaxed);
        notify(&memory, 1);
        memory.control.mutex.unlock(None, &memory.kernel);
        waiting.join().unwrap();
    });
}
