//! Which errors are plausible of which system call (the manual pages' ERRORS, less those that mean a wrong call).

use libc::{
    EACCES, EAGAIN, EBUSY, ECONNABORTED, ECONNREFUSED, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO, ELOOP,
    EMFILE, ENFILE, ENOBUFS, ENOENT, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS,
    ETIMEDOUT, ETOOMANYREFS,
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
        libc::SYS_linkat | libc::SYS_unlinkat => {
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
        libc::SYS_socket | libc::SYS_socketpair | libc::SYS_accept4 => {
            &[EACCES, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM]
        }
        libc::SYS_bind | libc::SYS_connect => {
            &[EACCES, EAGAIN, ECONNREFUSED, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS]
        }
        libc::SYS_sendmsg | libc::SYS_recvmsg | libc::SYS_recvfrom => {
            &[EAGAIN, EINTR, ENOBUFS, ENOMEM, ETOOMANYREFS]
        }
        libc::SYS_getsockopt | libc::SYS_setsockopt => &[ENOBUFS, ENOMEM, EPERM],
        libc::SYS_epoll_create1 | libc::SYS_epoll_ctl => &[EMFILE, ENFILE, ENOMEM, ENOSPC],
        libc::SYS_mknodat | libc::SYS_renameat | libc::SYS_renameat2 => {
            &[EACCES, EBUSY, EDQUOT, EEXIST, EIO, ENOENT, ENOMEM, ENOSPC, ENOSYS, EPERM, EROFS]
        }
        libc::SYS_fchmod | libc::SYS_fchmodat => &[EIO, ENOENT, ENOMEM, EPERM, EROFS],
        libc::SYS_mq_open => &[EACCES, EEXIST, EINVAL, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, ENOSYS],
        libc::SYS_mq_timedsend | libc::SYS_mq_timedreceive => &[EAGAIN, EINTR, ENOMEM, ENOSYS],
        libc::SYS_mq_notify | libc::SYS_mq_getsetattr => &[EBUSY, ENOMEM, ENOSYS],
        libc::SYS_pwritev2 => &[EAGAIN, EINTR, EINVAL, EIO, ENOMEM, ENOSYS, EOPNOTSUPP],
        libc::SYS_writev | libc::SYS_splice => &[EAGAIN, EINTR, EINVAL, EIO, ENOMEM, ENOSYS],
        libc::SYS_pipe2 | libc::SYS_eventfd2 => &[EMFILE, ENFILE, ENOMEM],
        libc::SYS_close => &[EINTR, EIO, EDQUOT, ENOSPC],
        _ => &[EACCES, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM],
    }
}
