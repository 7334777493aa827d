//! What the kernel guarantees, over the model checker's memory: futexes, and locks that end with their holder.

use crate::event::{Event, Kernel};
use crate::role::Locks;
use crate::sync::{fence, Ordering};
use crate::wait::Nap;
use loom::sync::{Condvar, Mutex};
use std::convert::Infallible;
use std::sync::Arc;

/// The kernel's side of one futex word: waking one does not wake those who sleep on another.
pub(super) struct Futex {
    bucket: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    pub(super) fn new() -> Futex {
        Futex { bucket: Mutex::new(()), sleepers: Condvar::new() }
    }

    pub(super) fn wait(&self, unchanged: impl Fn() -> bool) -> Nap {
        let bucket = self.bucket.lock().unwrap();
        if unchanged() {
            drop(self.sleepers.wait(bucket).unwrap());
        }
        Nap::Over
    }

    pub(super) fn wake(&self) {
        let _bucket = self.bucket.lock().unwrap();
        self.sleepers.notify_all();
    }
}

/// A kernel that knows as many events as there are; waking those of one does not wake those of another.
pub(super) struct Futexes(std::sync::Mutex<Vec<(usize, Arc<Futex>)>>);

impl Futexes {
    pub(super) fn new() -> Futexes {
        Futexes(std::sync::Mutex::new(Vec::new()))
    }

    fn of(&self, event: &Event) -> Arc<Futex> {
        let address = std::ptr::from_ref(event) as usize;
        let mut known = self.0.lock().unwrap();
        let found = known.iter().find(|(at, _)| *at == address).map(|(_, futex)| Arc::clone(futex));
        found.unwrap_or_else(|| {
            known.push((address, Arc::new(Futex::new())));
            Arc::clone(&known.last().unwrap().1)
        })
    }
}

impl Kernel for Futexes {
    fn registered(&self) -> bool {
        true // Notifiers fence all the same in models, whose threads no barrier reaches.
    }
    fn barrier(&self) -> bool {
        fence(Ordering::SeqCst);
        true
    }
    fn sleep(&self, event: &Event, expected: u32, _until: u64) -> Nap {
        self.of(event).wait(|| event.0.load(Ordering::Relaxed) == expected)
    }
    fn wake(&self, event: &Event, _most: u32) -> u32 {
        self.of(event).wake();
        0 // The worst that the kernel may say: nobody slept yet.
    }
}

/// The lock of a file's one role: who has it. As in the kernel, a look at it and a change of it order what is around them.
#[derive(Clone)]
pub(super) struct File(Arc<Mutex<Option<u32>>>);

impl File {
    pub(super) fn new() -> File {
        File(Arc::new(Mutex::new(None)))
    }

    /// An open file description of its own.
    pub(super) fn open(&self, number: u32) -> Description {
        Description { file: self.clone(), number }
    }
}

/// One process's way to the lock.
pub(super) struct Description {
    file: File,
    number: u32,
}

impl Description {
    /// Its process is killed.
    pub(super) fn die(&self) {
        self.unlock(0);
    }
}

impl Locks for Description {
    type Error = Infallible;

    fn try_lock(&self, _role: u32) -> Result<bool, Infallible> {
        let mut holder = self.file.0.lock().unwrap();
        Ok(*holder.get_or_insert(self.number) == self.number)
    }

    fn unlock(&self, _role: u32) {
        let mut holder = self.file.0.lock().unwrap();
        if *holder == Some(self.number) {
            *holder = None;
        }
    }

    fn is_locked(&self, _role: u32) -> Result<bool, Infallible> {
        Ok(self.file.0.lock().unwrap().is_some_and(|number| number != self.number))
    }
}
