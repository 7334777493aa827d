//! System V shared memory: found by a key, and kept by the kernel until somebody removes it.

use super::SysResult;
use nix::errno::Errno;
use std::mem::zeroed;
use std::ptr::{self, NonNull};

/// What is asked about a segment before it is trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// Permission bits.
    pub(crate) mode: u32,
    /// How often it is attached, in all processes.
    pub(crate) attached: u64,
}

/// Creates a segment that must be new, and gives its id. `int shmget(key_t, size_t, IPC_CREAT | IPC_EXCL | mode)`
///
/// # Errors
/// `EEXIST`; `ENOSPC`, `ENOMEM`, or `EINVAL` beyond the system's limits (`kernel.shmmax`, `shmall`, `shmmni`).
pub(crate) fn create(key: i32, size: usize, mode: u32) -> SysResult<i32> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | mode as libc::c_int;
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::shmget(key, size, flags) })
}

/// The id of the segment with a key. `int shmget(key_t, 0, 0)`
pub(crate) fn find(key: i32) -> SysResult<i32> {
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::shmget(key, 0, 0) })
}

fn stat(id: i32) -> SysResult<libc::shmid_ds> {
    // SAFETY: numbers, for which zero is a value.
    let mut facts: libc::shmid_ds = unsafe { zeroed() };
    // SAFETY: fills the struct. `int shmctl(int, IPC_STAT, struct shmid_ds *)`
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_STAT, &mut facts) })?;
    Ok(facts)
}

/// `int shmctl(int, IPC_STAT, struct shmid_ds *)`
#[allow(clippy::unnecessary_cast)] // narrower on some hosts
pub(crate) fn facts(id: i32) -> SysResult<Facts> {
    let facts = stat(id)?;
    Ok(Facts {
        size: facts.shm_segsz as u64,
        owner: facts.shm_perm.uid,
        group: facts.shm_perm.gid,
        mode: facts.shm_perm.mode as u32 & 0o777,
        attached: facts.shm_nattch as u64,
    })
}

/// Sets permission bits, and the group if one is given. `int shmctl(int, IPC_SET, struct shmid_ds *)`
pub(crate) fn set_mode(id: i32, mode: u32, group: Option<u32>) -> SysResult<()> {
    let mut facts = stat(id)?;
    facts.shm_perm.mode = mode as _;
    facts.shm_perm.gid = group.unwrap_or(facts.shm_perm.gid);
    // SAFETY: reads the struct.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_SET, &mut facts) }).map(drop)
}

/// Removes a segment: its key is free, and its memory goes with the last that has it attached.
/// `int shmctl(int, IPC_RMID, NULL)`
pub(crate) fn remove(id: i32) -> SysResult<()> {
    // SAFETY: no memory is involved.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) }).map(drop)
}

/// A segment in this process's addresses, let go on drop.
#[derive(Debug)]
pub(crate) struct Attached {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: an Attached is an address range; what is done with the bytes is the business of whoever makes pointers into it.
unsafe impl Send for Attached {}
// SAFETY: as above; no method of `&Attached` touches the bytes.
unsafe impl Sync for Attached {}

impl Attached {
    /// Attaches `size` bytes of a segment, which has as many. `void *shmat(int, NULL, 0)`
    pub(crate) fn new(id: i32, size: usize) -> SysResult<Attached> {
        // SAFETY: at an address the kernel chooses, it overlaps nothing.
        let base = unsafe { libc::shmat(id, ptr::null(), 0) };
        if base as isize == -1 {
            return Err(Errno::last());
        }
        NonNull::new(base.cast()).map(|base| Attached { base, size }).ok_or(Errno::ENOMEM)
    }

    /// Obtains every page now, so that no later access can fail for lack of memory.
    /// `int madvise(void *, size_t, MADV_POPULATE_WRITE)`, or a write to each page where the kernel is older than 5.14.
    pub(crate) fn populate(&self) -> SysResult<()> {
        // SAFETY: the range is attached.
        let done = unsafe { libc::madvise(self.base.as_ptr().cast(), self.size, libc::MADV_POPULATE_WRITE) };
        match Errno::result(done) {
            Err(Errno::EINVAL) => {
                for at in (0..self.size).step_by(4096) {
                    // SAFETY: inside the range, of a new segment that nobody else has.
                    unsafe { self.base.add(at).write_volatile(0) };
                }
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Bytes attached.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Address `at` bytes into the range, from which `len` bytes lie inside it.
    pub(crate) fn at(&self, at: usize, len: usize) -> NonNull<u8> {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.size), "offset outside the segment");
        // SAFETY: inside the range, by the assertion.
        unsafe { self.base.add(at) }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: attached by `new`, and whoever made pointers into it keeps the value for as long as they are used.
        // `int shmdt(const void *)`
        unsafe { libc::shmdt(self.base.as_ptr().cast()) };
    }
}
