//! What a sweep needs to know of an operation: how its start state is made, and how the survivors finish.

use crate::tracee::{At, Nursery};
use ipcx_tests::{Place, Random};
use std::collections::HashSet;

/// What a worker makes its cases with.
pub(crate) struct Workshop<'a> {
    pub(crate) place: &'a Place,
    pub(crate) nursery: &'a mut Nursery,
    pub(crate) random: Random,
    /// Operations in whose middle a victim's predecessor died, and whether it held its role then.
    pub(crate) predecessors: HashSet<(&'static str, bool)>,
}

/// What a dead victim may have done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Toll {
    /// Nothing.
    Nothing,
    /// Nothing, or all that the whole operation does, which returned this code.
    AllOrNothing(i64),
    /// A system call of it failed: whatever it said, and nothing if that was an error.
    Failed,
    /// Others interfered: nothing, or whatever the operation can do at most.
    AtMost,
}

/// A start state with the survivors in it. What is wrong is a panic.
pub(crate) trait Stage {
    /// A victim stands before its operation; its first mark said this.
    fn begun(&mut self, first: i64);
    /// What others do while the victim stands still, different for each `turn`; true if they completed an operation.
    fn others(&mut self, turn: u64) -> bool;
    /// What a whole operation returned, to which nothing happened.
    fn returned(&self, code: i64);
    /// The operation failed with this code, because a system call did.
    fn failed(&self, code: i64);
    /// The victim is dead. Another one may follow.
    fn dead(&mut self, at: At, toll: Toll);
    /// Survivor and successor go on to the end, and nothing is lost, doubled, leaked or hung. `with_notice`: first the
    /// survivor, alone, is told of the death in time, where the operation is one during which the role is held.
    fn finish(self: Box<Self>, workshop: &mut Workshop<'_>, with_notice: bool);
}

/// How a start state is made.
type Make = dyn for<'a> Fn(&mut Workshop<'a>) -> Box<dyn Stage + 'a> + Sync + Send;

/// An operation in a start state.
pub(crate) struct Scenario {
    /// `operation/state`.
    pub(crate) name: String,
    /// What the victim's program calls it.
    pub(crate) operation: &'static str,
    /// The segment it is about.
    pub(crate) target: &'static str,
    /// It has a thread, or starts one, which breakpoints would kill.
    pub(crate) threads: bool,
    /// It sleeps in the kernel in the middle.
    pub(crate) sleeps: bool,
    /// The operation that takes over after it, which is swept too.
    pub(crate) recovers: Option<&'static str>,
    pub(crate) stage: Box<Make>,
}
