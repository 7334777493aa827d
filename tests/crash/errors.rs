//! Which errors are plausible of which system call (the manual pages' ERRORS, less those that mean a wrong call).

use libc::{
    EACCES, EAGAIN, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EIO, ELOOP, EMFILE, ENFILE, ENOENT, ENOLCK, ENOMEM,
    ENOSPC, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS, ETIMEDOUT,
};

/// Errors of a call by its number.
pub(crate) fn of(call: u64) -> &'static [i32] {
    match call as libc::c_long {
        libc::SYS_openat | libc::SYS_open => &[
            EACCES, EINTR, EIO, ELOOP, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, EDQUOT, EOPNOTSUPP, EOVERFLOW,
            EPERM, EROFS, EEXIST,
        ],
        libc::SYS_fallocate => &[EDQUOT, EFBIG, EINTR, EIO, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM],
        libc::SYS_ftruncate => &[EFBIG, EINTR, EIO, EPERM],
        libc::SYS_mmap | libc::SYS_mprotect | libc::SYS_munmap | libc::SYS_mremap => {
            &[ENOMEM, EAGAIN, EACCES, ENFILE]
        }
        libc::SYS_fcntl => &[EAGAIN, EACCES, EINTR, EIO, EMFILE, ENOLCK, EPERM],
        libc::SYS_linkat | libc::SYS_renameat2 | libc::SYS_unlinkat => {
            &[EACCES, EBUSY, EDQUOT, EEXIST, EIO, ENOENT, ENOMEM, ENOSPC, ENOSYS, EPERM, EROFS]
        }
        libc::SYS_fstat | libc::SYS_newfstatat | libc::SYS_statx | libc::SYS_fstatfs | libc::SYS_statfs => {
            &[EACCES, EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW]
        }
        libc::SYS_futex => &[EAGAIN, EINTR, ETIMEDOUT, ENOSYS],
        libc::SYS_membarrier => &[EPERM, ENOSYS, EINTR],
        libc::SYS_getrandom => &[EAGAIN, EINTR, ENOSYS],
        libc::SYS_clone | libc::SYS_clone3 => &[EAGAIN, ENOMEM, ENOSYS, EPERM],
        libc::SYS_poll | libc::SYS_ppoll | libc::SYS_read | libc::SYS_pread64 | libc::SYS_write => {
            &[EAGAIN, EINTR, EIO, ENOMEM]
        }
        libc::SYS_close => &[EINTR, EIO, EDQUOT, ENOSPC],
        _ => &[EACCES, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM],
    }
}
