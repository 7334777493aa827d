//! A segment seen from outside: its file is read, and its locks are asked for. No slot, no lock, no mapping, and
//! nothing is written: who uses it does not notice, and a file that is cut off meanwhile ends a read, not this process.

use super::header::{check_format, check_origin, check_size, read_header, truncated, Header};
use super::{outside, Backing, Format, Parameters};
use crate::error::{from_errno, Context, Error, Result};
use crate::lease::{self, Looking, Participant, RolePlace, RoleState, RoleWord, SlotRecord};
use crate::role::Roles;
use crate::sys::{file, Errno};
use crate::wait::WaitStrategy;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// How often what changes between two looks is looked at again.
const LOOKS: usize = 8;

/// The file of a segment whose header was checked.
#[derive(Debug)]
pub(crate) struct View {
    name: Arc<str>,
    file: OwnedFd,
    header: Header,
}

impl View {
    /// Checks a file of unknown content as an attach does, whatever kind it is of; `format` tells of a kind's number.
    ///
    /// # Errors
    /// `Corrupt`, `Version`, `Os`.
    pub(crate) fn of<T>(
        name: &Arc<str>,
        file: OwnedFd,
        format: impl Fn(u32) -> Option<(Format, T)>,
    ) -> Result<(View, Format, T)> {
        let header = read_header(name, file.as_fd())?;
        check_origin(name, &header)?;
        let Some((format, more)) = format(header.kind) else {
            let what = "it is of a kind that this ipcx does not know; use one version of ipcx on both sides";
            return Err(Error::Version(Context::new(name, what)));
        };
        check_format(name, &header, format)?;
        check_size(name, file.as_fd(), &header)?;
        Ok((View { name: Arc::clone(name), file, header }, format, more))
    }

    fn failed(&self, call: &'static str, errno: Errno) -> Error {
        from_errno(&self.name, call, errno)
    }

    fn read<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        match file::read_at(self.file.as_fd(), &mut bytes, offset) {
            Ok(true) => Ok(bytes),
            Ok(false) => Err(truncated(&self.name, offset, self.header.total_size)),
            Err(errno) => Err(self.failed("pread", errno)),
        }
    }

    fn record(&self, slot: u32) -> Result<SlotRecord> {
        let at = self.header.page_size + u64::from(slot) * size_of::<SlotRecord>() as u64;
        self.read(at).map(|bytes| SlotRecord::copy(&bytes))
    }

    /// Who has a slot, and whether it lives; `None` if nobody has it.
    pub(crate) fn participant(&self, slot: u32) -> Result<Option<(Participant, bool)>> {
        let mut record = self.record(slot)?;
        for _ in 0..LOOKS {
            let Some(participant) = record.participant() else { return Ok(None) };
            let held = lease::is_slot_held(self.file.as_fd(), slot);
            let held = held.map_err(|errno| self.failed("fcntl(F_OFD_GETLK)", errno))?;
            let again = self.record(slot)?;
            if again.state() == record.state() {
                // Who recovers what it left has the lock meanwhile.
                return Ok(Some((participant, held && !record.is_buried())));
            }
            record = again;
        }
        Ok(None) // It comes and goes all the time.
    }

    /// True if anybody has a slot: a participant, or one that is becoming one, or recovers what another left.
    pub(crate) fn is_in_use(&self) -> Result<bool> {
        let held = lease::is_any_slot_held(self.file.as_fd());
        held.map_err(|errno| self.failed("fcntl(F_OFD_GETLK)", errno))
    }

    /// State of a role, and the slot of whoever has it, or died having it.
    pub(crate) fn role(&self, place: &RolePlace) -> Result<(RoleState, Option<u32>)> {
        let at = self.header.body + place.page * self.header.page_size + place.offset as u64;
        let read = || self.read(at).map(u64::from_ne_bytes);
        let roles = Roles::new(Looking(self.file.as_fd()));
        let (mut seen, mut looks) = (read()?, 0);
        loop {
            let word = RoleWord::copy(seen);
            let state = roles.state(place.role, &word);
            let again = read()?;
            looks += 1;
            if again == seen || looks == LOOKS {
                return Ok((state, word.open_slot()));
            }
            seen = again;
        }
    }

    /// Bytes of the body, at an offset that the header's parameters give.
    pub(crate) fn body<const N: usize>(&self, offset: usize) -> Result<[u8; N]> {
        self.read(self.header.body + offset as u64)
    }

    pub(crate) fn page(&self) -> u64 {
        self.header.page_size
    }

    pub(crate) fn options(&self) -> &Parameters {
        &self.header.parameters
    }

    pub(crate) fn participants(&self) -> u32 {
        self.header.participants
    }

    /// Nanoseconds since 1970.
    pub(crate) fn created(&self) -> u64 {
        self.header.created
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.header.schema()
    }

    pub(crate) fn wait_strategy(&self) -> WaitStrategy {
        WaitStrategy::from_code(self.header.wait).unwrap_or_default() // checked
    }

    pub(crate) fn parameters<'v>(
        &'v self,
        format: &Format,
    ) -> impl Iterator<Item = (&'static str, u64)> + 'v {
        format.names.iter().copied().zip(self.header.parameters)
    }

    /// Where the memory is, and how much of it is not in the file.
    ///
    /// # Errors
    /// `Corrupt` if that is gone.
    pub(crate) fn backing(&self) -> (Backing, Result<u64>) {
        match outside::key(&self.header.parameters) {
            Some(key) => (Backing::SystemV { key }, outside::size(&self.name, key)),
            None => (Backing::Directory, Ok(0)),
        }
    }
}
