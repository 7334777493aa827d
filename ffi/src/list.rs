//! Every segment of a directory.

use crate::arguments::{invalid, path};
use crate::boundary;
use crate::error::{code_of, IPCX_OK};
use crate::stats::{self, role};
use ipcx_core::{list_in, Listed, ListedParticipant, ListedRole, ListedState, Participant};
use std::ffi::{c_char, c_int, c_void, CString};

/// State of a segment: somebody alive is attached.
pub const IPCX_LISTED_IN_USE: u32 = 1;
/// State of a segment: nobody alive is attached.
pub const IPCX_LISTED_UNUSED: u32 = 2;
/// State of a segment: it cannot be read. `reason` says why.
pub const IPCX_LISTED_UNREADABLE: u32 = 3;

/// A participant of a segment that ipcx_list() shows: one open handle.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_listed_participant {
    /// When it attached, nanoseconds since 1970.
    pub attached_ns: u64,
    /// Number of its slot, from 0.
    pub slot: u32,
    /// Its process, in its own PID namespace. For display only.
    pub pid: u32,
    /// 1, or 0 if it died: what it left is recovered when somebody needs it.
    pub alive: u32,
    /// 0.
    pub reserved: u32,
    /// Its command's name, with a zero behind it. For display only.
    pub command: [c_char; 16],
}

/// A role of a segment that ipcx_list() shows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_listed_role {
    /// Of a ring, "producer" or "consumer"; of a service, "server" or "client"; of a reliable topic, "subscriber".
    pub name: *const c_char,
    /// IPCX_ROLE_NEVER, _ALIVE, _CLOSED or _DEAD.
    pub state: u32,
    /// Who has it, or died having it and was not recovered yet; 0 for nobody.
    pub pid: u32,
}

/// An option that a segment was made with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_listed_parameter {
    /// What it is called in the options: "capacity", "block_size", ...
    pub name: *const c_char,
    /// Its value.
    pub value: u64,
}

/// What ipcx_list() shows of a segment. All of it is ipcx's, and goes when the function that it was given to returns.
///
/// No pointer to a string is NULL. Where a segment cannot be read, what is behind `mode` is 0 or empty.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_listed {
    /// Bytes of this struct: fields behind them are of newer versions of ipcx.
    pub struct_size: u32,
    /// IPCX_LISTED_IN_USE, _UNUSED or _UNREADABLE.
    pub state: u32,
    /// Its name, as ipcx_unlink() takes it.
    pub name: *const c_char,
    /// Why it cannot be read, or attached to; "" if it can.
    pub reason: *const c_char,
    /// The code of that: IPCX_OK, IPCX_E_CORRUPT, IPCX_E_VERSION, IPCX_E_PERMISSION or IPCX_E_OS.
    pub problem: c_int,
    /// User that its file belongs to.
    pub owner: u32,
    /// Group of its file.
    pub group: u32,
    /// Permission bits of its file.
    pub mode: u32,
    /// Bytes of its file, and of its System V segment if there is one.
    pub size: u64,
    /// When it was made, nanoseconds since 1970.
    pub created_ns: u64,
    /// IPCX_KIND_RING, ...
    pub kind: u32,
    /// Most participants it can have at once.
    pub max_participants: u32,
    /// The label that it was made with, without control characters; "" for none.
    pub schema: *const c_char,
    /// Who is attached, and who died and was not recovered yet.
    pub participants: *const ipcx_listed_participant,
    /// How many they are.
    pub participant_count: usize,
    /// The roles of its kind: of a ring, the producer's and the consumer's, whether or not somebody has them; of a service, one
    /// for each server and each client; of a reliable topic, one for each subscriber. Nothing is written down of publishers, of
    /// subscribers of a lossy topic, and of who uses other kinds.
    pub roles: *const ipcx_listed_role,
    /// How many they are.
    pub role_count: usize,
    /// The options it was made with.
    pub parameters: *const ipcx_listed_parameter,
    /// How many they are.
    pub parameter_count: usize,
}

/// What ipcx_list() calls for each segment: anything but 0 ends the listing.
pub type ipcx_list_function =
    Option<unsafe extern "C" fn(segment: *const ipcx_listed, context: *mut c_void) -> c_int>;

/// Calls `function` with each segment of a directory, by name; NULL means the default directory.
///
/// Looking changes nothing and takes nothing, and nobody is stopped for it. What cannot be read is shown with a reason.
/// Segments without a name, and the files of FIFOs and sockets, are not shown. All has been read when the first call is
/// made: the function may do as it likes, also unlink what it is shown. It must return (no longjmp(), no C++ exception).
///
/// Gives IPCX_OK when all were shown, or what the function gave if that was not 0, or an error.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND (no such directory), IPCX_E_PERMISSION, IPCX_E_INVALID (no function), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_list(
    directory: *const c_char,
    function: ipcx_list_function,
    context: *mut c_void,
) -> c_int {
    boundary::number(|| {
        let function = function.ok_or_else(|| invalid("function is NULL"))?;
        // SAFETY: NULL or zero-terminated, by the contract.
        let directory = unsafe { path(directory) };
        for listed in list_in(directory.as_deref())? {
            let shown = show(&listed, |entry| {
                // SAFETY: the caller's function, with what it expects; the entry lives across the call.
                unsafe { function(entry, context) }
            });
            if shown != IPCX_OK {
                return Ok(shown);
            }
        }
        Ok(IPCX_OK)
    })
}

/// Makes what C sees of an entry, for as long as `function` runs.
fn show(listed: &Listed, function: impl FnOnce(*const ipcx_listed) -> c_int) -> c_int {
    let mut strings = Strings(Vec::new());
    let participants: Vec<_> = listed.participants.iter().map(participant).collect();
    let roles: Vec<_> = listed.roles.iter().map(|role| strings.role(role)).collect();
    let parameters: Vec<_> =
        listed.parameters.iter().map(|(name, value)| strings.parameter(name, *value)).collect();
    let reason = listed.problem.as_ref().map(ToString::to_string).unwrap_or_default();
    function(&ipcx_listed {
        struct_size: size_of::<ipcx_listed>() as u32,
        state: match listed.state {
            ListedState::InUse => IPCX_LISTED_IN_USE,
            ListedState::Unused => IPCX_LISTED_UNUSED,
            _ => IPCX_LISTED_UNREADABLE,
        },
        name: strings.keep(&listed.name),
        reason: strings.keep(&reason),
        problem: listed.problem.as_ref().map_or(IPCX_OK, code_of),
        owner: listed.owner,
        group: listed.group,
        mode: listed.mode,
        size: listed.size,
        created_ns: listed.created,
        kind: listed.kind.map_or(0, |kind| kind as u32),
        max_participants: listed.max_participants,
        schema: strings.keep(listed.schema.as_deref().unwrap_or("")),
        participants: participants.as_ptr(),
        participant_count: participants.len(),
        roles: roles.as_ptr(),
        role_count: roles.len(),
        parameters: parameters.as_ptr(),
        parameter_count: parameters.len(),
    })
}

fn participant(from: &ListedParticipant) -> ipcx_listed_participant {
    let Participant { pid, command, attached } = &from.process;
    ipcx_listed_participant {
        attached_ns: *attached,
        slot: from.slot,
        pid: *pid,
        alive: from.alive.into(),
        reserved: 0,
        command: stats::command(command),
    }
}

/// Strings that an entry leads to.
struct Strings(Vec<CString>);

impl Strings {
    /// Without a zero byte in it, which none of them has.
    fn keep(&mut self, text: &str) -> *const c_char {
        let string = CString::new(text).unwrap_or_default();
        let place = string.as_ptr(); // It stays there when the string moves.
        self.0.push(string);
        place
    }

    fn role(&mut self, from: &ListedRole) -> ipcx_listed_role {
        let pid = from.process.as_ref().map_or(0, |process| process.pid);
        ipcx_listed_role { name: self.keep(from.name), state: role(from.state), pid }
    }

    fn parameter(&mut self, name: &str, value: u64) -> ipcx_listed_parameter {
        ipcx_listed_parameter { name: self.keep(name), value }
    }
}
