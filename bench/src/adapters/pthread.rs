//! Peers: the C library's robust process-shared mutex, and its semaphore with one permit, in shared memory.

use std::os::fd::OwnedFd;

use crate::endpoint::Link;
use crate::lender::Lender;
use crate::memory::{self, Mapping};
use crate::workload::BLOCK;
use crate::Result;

/// Where what is guarded lies; the mutex or semaphore is at 0.
const GUARDED: usize = 128;
const SIZE: usize = GUARDED + BLOCK;

fn checked(error: libc::c_int) -> Result<()> {
    match error {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error).into()),
    }
}

/// `pthread_mutex_t` with PTHREAD_PROCESS_SHARED and PTHREAD_MUTEX_ROBUST.
pub struct Robust(Mapping);

impl Lender for Robust {
    type Held<'a> = ();

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(SIZE)?])
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        let memory = Mapping::of(link.fds[0], SIZE)?;
        if number == 0 {
            let mutex = memory.at::<libc::pthread_mutex_t>(0);
            // SAFETY: the attributes live here; the mutex lies in the mapping, and nobody else is there yet.
            unsafe {
                let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
                checked(libc::pthread_mutexattr_init(&mut attributes))?;
                checked(libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED))?;
                checked(libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST))?;
                checked(libc::pthread_mutex_init(mutex, &attributes))?;
            }
        }
        Ok(Robust(memory))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<()> {
        // SAFETY: initialised by process 0 before the others connected.
        checked(unsafe { libc::pthread_mutex_lock(self.0.at(0)) })
    }

    fn address(&self, (): &()) -> *mut u8 {
        self.0.at::<[u8; BLOCK]>(GUARDED).cast()
    }

    #[inline(always)]
    fn release(&self, (): ()) -> Result<()> {
        // SAFETY: as in `acquire`; this thread has it.
        checked(unsafe { libc::pthread_mutex_unlock(self.0.at(0)) })
    }
}

/// `sem_t`, shared.
pub struct OnePermit(Mapping);

impl Lender for OnePermit {
    type Held<'a> = ();

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(vec![memory::create(SIZE)?])
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        let memory = Mapping::of(link.fds[0], SIZE)?;
        // SAFETY: the semaphore lies in the mapping, and nobody else is there yet.
        if number == 0 && unsafe { libc::sem_init(memory.at(0), 1, 1) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(OnePermit(memory))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<()> {
        // SAFETY: initialised by process 0 before the others connected.
        while unsafe { libc::sem_wait(self.0.at(0)) } != 0 {
            crate::signals::check()?;
        }
        Ok(())
    }

    fn address(&self, (): &()) -> *mut u8 {
        self.0.at::<[u8; BLOCK]>(GUARDED).cast()
    }

    #[inline(always)]
    fn release(&self, (): ()) -> Result<()> {
        // SAFETY: as in `acquire`.
        match unsafe { libc::sem_post(self.0.at(0)) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().into()),
        }
    }
}
