//! Free blocks in an array under a mutex: that of the standard library over private memory, and a futex mutex over shared
//! memory. The latter spins for a moment before it sleeps, and makes no system call where nobody waits. It is not robust:
//! whoever dies with it stops everybody. For comparison only.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::Mutex;

use crate::endpoint::Link;
use crate::lender::Lender;
use crate::memory::{self, Mapping};
use crate::pairs::none_left;
use crate::workload::{BLOCK, BLOCKS};
use crate::Result;

/// Numbers of free blocks under a mutex of the standard library.
pub struct InProcess {
    free: Mutex<Vec<u32>>,
    data: Mapping,
}

impl Lender for InProcess {
    type Held<'a> = u32;

    fn connect(_link: &Link, _number: usize) -> Result<Self> {
        let fd = memory::create(BLOCK * BLOCKS)?;
        let data = Mapping::of(std::os::fd::AsRawFd::as_raw_fd(&fd), BLOCK * BLOCKS)?;
        Ok(InProcess { free: Mutex::new((0..BLOCKS as u32).collect()), data })
    }

    #[inline(always)]
    fn acquire(&self) -> Result<u32> {
        self.free.lock().map_err(|_| "a thread panicked")?.pop().ok_or_else(none_left)
    }

    fn address(&self, held: &u32) -> *mut u8 {
        self.data.at::<[u8; BLOCK]>(BLOCK * *held as usize).cast()
    }

    #[inline(always)]
    fn release(&self, held: u32) -> Result<()> {
        self.free.lock().map_err(|_| "a thread panicked")?.push(held);
        Ok(())
    }
}

/// How often the mutex is looked at before a sleep.
const LOOKS: usize = 100;
/// Where the number of free blocks lies; the mutex is at 0.
const COUNT: usize = 64;
/// Where their numbers lie.
const FREE: usize = 128;
/// Where the blocks start.
const DATA: usize = FREE + 4 * BLOCKS;
const SIZE: usize = DATA + BLOCK * BLOCKS;
const _: () = assert!(DATA % 64 == 0);

/// Numbers of free blocks in shared memory under a futex mutex.
pub struct Shared(Mapping);

impl Shared {
    #[inline(always)]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `at` checks the place; only ever accessed as an atomic.
        unsafe { &*self.0.at::<AtomicU32>(offset) }
    }

    /// 0 free, 1 taken, 2 taken and somebody may sleep.
    #[inline(always)]
    fn lock(&self) {
        // Acquire: partner of `unlock`.
        if self.word(0).compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            self.wait();
        }
    }

    #[cold]
    fn wait(&self) {
        for _look in 0..LOOKS {
            // Acquire, here and below: partner of `unlock`.
            if self.word(0).load(Relaxed) == 0
                && self.word(0).compare_exchange(0, 1, Acquire, Relaxed).is_ok()
            {
                return;
            }
            std::hint::spin_loop();
        }
        while self.word(0).swap(2, Acquire) != 0 {
            let none: *const libc::timespec = std::ptr::null();
            // SAFETY: the word stays mapped; FUTEX_WAIT without a timeout reads nothing else.
            unsafe { libc::syscall(libc::SYS_futex, self.word(0).as_ptr(), libc::FUTEX_WAIT, 2, none) };
        }
    }

    #[inline(always)]
    fn unlock(&self) {
        // Release: what was done under the mutex comes before.
        if self.word(0).swap(0, Release) == 2 {
            // SAFETY: the word stays mapped; FUTEX_WAKE takes a number besides.
            unsafe { libc::syscall(libc::SYS_futex, self.word(0).as_ptr(), libc::FUTEX_WAKE, 1) };
        }
    }
}

impl Lender for Shared {
    type Held<'a> = u32;

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(SIZE)?])
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        let list = Shared(Mapping::of(link.fds[0], SIZE)?);
        if number == 0 {
            for block in 0..BLOCKS as u32 {
                list.release(block)?;
            }
        }
        Ok(list)
    }

    #[inline(always)]
    fn acquire(&self) -> Result<u32> {
        self.lock();
        // Relaxed, here and in `release`: under the mutex.
        let count = self.word(COUNT).load(Relaxed);
        let block = count.checked_sub(1).map(|last| {
            self.word(COUNT).store(last, Relaxed);
            self.word(FREE + 4 * last as usize).load(Relaxed)
        });
        self.unlock();
        block.ok_or_else(none_left)
    }

    fn address(&self, held: &u32) -> *mut u8 {
        self.0.at::<[u8; BLOCK]>(DATA + BLOCK * *held as usize).cast()
    }

    #[inline(always)]
    fn release(&self, held: u32) -> Result<()> {
        self.lock();
        let count = self.word(COUNT).load(Relaxed);
        self.word(FREE + 4 * count as usize).store(held, Relaxed);
        self.word(COUNT).store(count + 1, Relaxed);
        self.unlock();
        Ok(())
    }
}
