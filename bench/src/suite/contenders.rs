//! The contenders of the suite, by the names that users give.

use super::run::Way;
use crate::adapters;
use crate::chart::Role;
use crate::rows::Case;
use crate::workload::{Shape, Waiting, Workload};

/// One contender.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Its name on the command line, in tables and in JSON.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it is to the reader.
    pub role: Role,
    /// Its name in the table of adapters.
    adapter: &'static str,
    /// Whether messages are handed over instead of copied.
    in_place: bool,
}

/// Every contender, floors first.
pub const CONTENDERS: &[Contender] = &[
    copying("flag", Role::Floor, "flag", "floor: two processes that spin on a word in shared memory"),
    copying("futex", Role::Floor, "futex", "floor: two processes that sleep on a word in shared memory"),
    copying("memcpy", Role::Floor, "memcpy", "floor: copying into shared memory and out again"),
    copying("ring", Role::Subject, "ring", "ipcx ring: Producer and Consumer"),
    Contender {
        in_place: true,
        ..copying("pool", Role::Subject, "block", "ipcx pool and ring: blocks handed over, not copied")
    },
    copying("buffer", Role::Subject, "buffer", "ipcx buffer: the newest value"),
    copying("pipe", Role::Peer, "transport-pipe", "a pipe, as ipcx transport"),
    copying("fifo", Role::Peer, "transport-fifo", "a FIFO, as ipcx transport"),
    copying("mqueue", Role::Peer, "transport-mqueue", "a POSIX message queue, as ipcx transport"),
    copying("unix", Role::Peer, "transport-unix", "a Unix socket (SOCK_SEQPACKET), as ipcx transport"),
    copying("t-ring", Role::Peer, "transport-ring", "a ring, as ipcx transport"),
    copying("t-buffer", Role::Peer, "transport-buffer", "a buffer, as ipcx transport"),
];

const fn copying(name: &'static str, role: Role, adapter: &'static str, about: &'static str) -> Contender {
    Contender { name, about, role, adapter, in_place: false }
}

impl Contender {
    /// The contender of this name.
    pub fn find(name: &str) -> Option<&'static Contender> {
        CONTENDERS.iter().find(|contender| contender.name == name)
    }

    /// What nothing can beat where messages go like that, or else what most programs would use.
    pub(super) fn base(way: Way, waiting: Waiting) -> &'static str {
        match (way, waiting) {
            (Way::RoundTrip, Waiting::Spin) => "flag",
            (Way::RoundTrip, Waiting::Block) => "futex",
            (Way::OneWay, Waiting::Spin) => "memcpy",
            (Way::OneWay, Waiting::Block) => "pipe",
        }
    }

    /// Its case, and why it cannot be measured, if it cannot.
    pub(super) fn case(&self, way: Way, waiting: Waiting, size: usize) -> (Case, Option<&'static str>) {
        let shape = match (way, self.in_place) {
            (Way::RoundTrip, false) => Shape::RoundTrip,
            (Way::RoundTrip, true) => Shape::InPlace,
            (Way::OneWay, false) => Shape::OneWay,
            (Way::OneWay, true) => Shape::OneWayInPlace,
        };
        let workload = Workload { shape, size, waiting };
        let carries = adapters::find(self.adapter).is_some_and(|adapter| (adapter.carries)(workload));
        let why = match self.role {
            Role::Floor => "a floor of other rows",
            _ if waiting == Waiting::Block && self.name.starts_with("t-") => SPINS,
            _ => REPLACED,
        };
        let case = Case { contender: self.adapter, workload };
        (case, (!carries || why == SPINS).then_some(why))
    }
}

const SPINS: &str = "as a transport it spins for 20 us before it sleeps, and would be measured spinning";
const REPLACED: &str = "nothing to count: a value replaces the one before it, read or not";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_is_a_contender_that_carries_what_it_is_the_base_of() {
        for way in [Way::RoundTrip, Way::OneWay] {
            for waiting in [Waiting::Spin, Waiting::Block] {
                let base = Contender::find(Contender::base(way, waiting)).expect("a contender");
                assert_eq!(base.case(way, waiting, 64).1, None, "{}", base.name);
            }
        }
    }

    #[test]
    fn only_values_are_replaced_instead_of_carried_one_way() {
        for contender in CONTENDERS.iter().filter(|contender| contender.role != Role::Floor) {
            for waiting in [Waiting::Spin, Waiting::Block] {
                let spins = (waiting == Waiting::Block && contender.name.starts_with("t-")).then_some(SPINS);
                assert_eq!(contender.case(Way::RoundTrip, waiting, 1000).1, spins, "{}", contender.name);
                let why = contender.case(Way::OneWay, waiting, 1000).1;
                let replaced = contender.name.ends_with("buffer").then_some(REPLACED);
                assert_eq!(why, spins.or(replaced), "{}", contender.name);
            }
        }
    }
}
