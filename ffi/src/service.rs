//! The handle on a service.

use crate::arguments::Out;
use crate::boundary;
use crate::client::ipcx_client;
use crate::handles::{self, give, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_service_options;
use crate::server::ipcx_server;
use crate::stats::{self, ipcx_stats, service_figures};
use ipcx_core::Service;
use std::ffi::{c_char, c_int};
use std::ptr::null;

/// A handle on a service: clients call, any number of servers answer, and a request is executed at most once.
///
/// It may be shared between threads. It is one participant of the segment and keeps it mapped.
pub struct ipcx_service {
    _private: [u8; 0],
}
handle!(ipcx_service => Service, b"ipcxSERV", "not an open ipcx_service (NULL, closed, or something else)");

/// Creates a service that must be new, and gives a handle on it in `*service`.
///
/// `opts` may be NULL. The service appears under its name complete or not at all. Its memory is taken now, so
/// that using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_service_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_create(
    name: *const c_char,
    opts: *const ipcx_service_options,
    service: *mut *mut ipcx_service,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, service, Service::create, None) }
}

/// Attaches to a service, or creates it if there is none, and gives a handle on it in `*service`.
///
/// `opts` may be NULL. If the service exists, its sizes, number of clients, depth, number of participants and schema must be those
/// of the options where these give any (a schema, where both have one); mode, group and wait are only for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_service_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_service_create() less IPCX_E_EXISTS, and those of ipcx_service_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_open(
    name: *const c_char,
    opts: *const ipcx_service_options,
    service: *mut *mut ipcx_service,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, service, Service::open, Some(Service::attach_with)) }
}

/// Attaches to a service that must exist, and gives a handle on it in `*service`.
///
/// Ownership: the handle is yours; give it back with ipcx_service_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_attach(name: *const c_char, service: *mut *mut ipcx_service) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_service_options>(), service, Service::attach_with, None) }
}

/// Creates a service without a name, in a memfd sealed against resizing, and gives a handle on it in `*service`.
///
/// Hand ipcx_service_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_service_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_service_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_anonymous(
    opts: *const ipcx_service_options,
    service: *mut *mut ipcx_service,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, service, Service::anonymous) }
}

/// Attaches to the service behind a descriptor, and gives a handle on it in `*service`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_service_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_service_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_from_fd(fd: c_int, service: *mut *mut ipcx_service) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, service, Service::from_fd) }
}

/// A new descriptor of the service to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but no role and no participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_share_fd(service: *mut ipcx_service) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(service, Service::share_fd) }
}

/// A server of the service, in `*server`. There may be any number at once, over all processes, which take requests as they
/// come. Each is one more participant.
///
/// Ownership: the server is yours; give it back with ipcx_server_close(). It outlives `service`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_server(
    service: *mut ipcx_service,
    server: *mut *mut ipcx_server,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (service, server) = unsafe { (shared(service)?, Out::new(server)?) };
        server.set(give(service.server()?));
        Ok(())
    })
}

/// A client of the service, in `*client`. There may be as many as the service's max_clients, over all processes, and several
/// of one handle.
///
/// Ownership: the client is yours; give it back with ipcx_client_close(). It outlives `service`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE (there are as many as there can be, all alive), IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID,
/// IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_client(
    service: *mut ipcx_service,
    client: *mut *mut ipcx_client,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (service, client) = unsafe { (shared(service)?, Out::new(client)?) };
        client.set(give(service.client()?));
        Ok(())
    })
}

/// What can be seen of the service from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
///
/// Nobody is stopped for it, so the figures may be apart by what was in work.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_stats(service: *mut ipcx_service, stats: *mut ipcx_stats) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(service, stats, |service| Ok(service_figures(&service.stats()?))) }
}

/// Gives a handle on a service back. NULL is allowed. The name stays (see ipcx_unlink()), and clients and servers taken
/// from it go on working.
///
/// Not while another thread uses the handle. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_service_close(service: *mut ipcx_service) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(service) });
}
