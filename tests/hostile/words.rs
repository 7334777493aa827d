//! The file of a segment as its hostile peer has it: mapped whole, as words.

use crate::worker;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// The mapping. It stays to the end of the process.
#[derive(Debug)]
pub(crate) struct Words {
    base: NonNull<AtomicU64>,
    count: usize,
}

impl Words {
    /// Maps the segment of this name, which is to have so many bytes.
    pub(crate) fn map(name: &str, bytes: usize) -> Words {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(worker::file(name))
            .expect("the segment's file");
        assert_eq!(file.metadata().expect("its size").len() as usize, bytes, "the layout is as documented");
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping of a whole file; nothing else is touched.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Words { base: NonNull::new(at.cast()).expect("not at 0"), count: bytes / 8 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The word at an index. Relaxed, as all here: a hostile peer orders nothing.
    pub(crate) fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count);
        // SAFETY: inside the mapping, which is aligned to a page; any bits are a value.
        unsafe { &*self.base.as_ptr().add(index) }
    }

    pub(crate) fn store(&self, index: usize, value: u64) {
        self.at(index).store(value, Ordering::Relaxed);
    }

    pub(crate) fn flip(&self, bit: usize) {
        self.at(bit / 64).fetch_xor(1 << (bit % 64), Ordering::Relaxed);
    }

    pub(crate) fn image(&self) -> Vec<u64> {
        (0..self.count).map(|index| self.at(index).load(Ordering::Relaxed)).collect()
    }

    pub(crate) fn restore(&self, image: &[u64]) {
        image.iter().enumerate().for_each(|(index, word)| self.store(index, *word));
    }
}
