//! A private directory in shared memory: tests that run side by side do not meet, and what they make goes with them.

use ipcx::{Ring, RingOptions, SegmentOptions, WaitStrategy};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory for segments and logs, removed on drop. Peers find it through `IPCX_DIR`.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// A new one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[expect(clippy::new_without_default, reason = "each is another directory")]
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed); // Relaxed: only different numbers are needed.
        let path = PathBuf::from(format!("/dev/shm/ipcx-tests-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path); // of a process that had the same number and was killed
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Place { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Options of a segment here.
    pub fn options(&self, capacity: u64, wait: WaitStrategy) -> RingOptions {
        let directory = Some(self.path.clone());
        RingOptions { capacity, segment: SegmentOptions { directory, wait, ..Default::default() } }
    }

    /// A new ring here.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn ring(&self, name: &str, capacity: u64, wait: WaitStrategy) -> Ring {
        Ring::create(name, &self.options(capacity, wait)).expect("a new ring")
    }

    /// Another handle on a ring here.
    ///
    /// # Panics
    /// If there is none.
    pub fn attach(&self, name: &str) -> Ring {
        Ring::attach_with(name, &self.options(0, WaitStrategy::Balanced)).expect("the ring of the test")
    }

    /// Removes a name here.
    ///
    /// # Panics
    /// If there is none.
    pub fn unlink(&self, name: &str) {
        ipcx::unlink_in(Some(&self.path), name).expect("the name of the test");
    }

    /// What is here.
    ///
    /// # Panics
    /// If the directory is gone.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the directory of the test");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
