//! Start states of a directory, and what the survivors find there after a creator, an opener or an unlinker died.

use crate::ring::{self, RING};
use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Ring, WaitStrategy};
use ipcx_tests::Place;

/// What begins the name of a file that is not a segment yet.
const TEMPORARY: &str = ".ipcx-new.";
/// The codes of `ipcx.h` for a name that is taken, and for one that is not.
const EXISTS: i64 = -6;
const NOT_FOUND: i64 = -7;

/// An operation of `victim.c`, whether the name exists before it, and what it returns.
struct Operation {
    name: &'static str,
    exists: bool,
    returns: i64,
}

const fn operation(name: &'static str, exists: bool, returns: i64) -> Operation {
    Operation { name, exists, returns }
}

const OPERATIONS: &[Operation] = &[
    operation("create", false, 0),
    operation("create", true, EXISTS),
    operation("create_by_rename", false, 0),
    operation("create_by_rename", true, EXISTS),
    operation("open", false, 0),
    operation("open", true, 0),
    operation("open_by_rename", false, 0),
    operation("attach", false, NOT_FOUND),
    operation("attach", true, 0),
    operation("unlink", false, NOT_FOUND),
    operation("unlink", true, 0),
    operation("anonymous", false, 0),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| Scenario {
        name: format!("{}/{}", operation.name, if operation.exists { "existing" } else { "new" },),
        operation: operation.name,
        target: RING,
        threads: false,
        sleeps: false,
        recovers: None,
        stage: Box::new(move |workshop| Box::new(SegmentStage::make(workshop, operation))),
    };
    OPERATIONS.iter().map(each).collect()
}

struct SegmentStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
}

impl<'a> SegmentStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation) -> SegmentStage<'a> {
        let place = workshop.place;
        if operation.exists {
            Ring::create(RING, &ring::options(place, WaitStrategy::Balanced)).expect("a new ring");
        }
        SegmentStage { place, operation }
    }

    fn leaves_temporaries(&self) -> bool {
        self.operation.name.ends_with("_by_rename")
    }

    /// Whoever attaches finds a whole segment, or none.
    fn look(&self) {
        for file in self.place.files() {
            if let Some(name) = file.strip_prefix("ipcx.") {
                self.place.attach(name).stats().unwrap();
            } else {
                assert!(file.starts_with(TEMPORARY) && self.leaves_temporaries(), "{file} is left");
            }
        }
    }
}

impl Stage for SegmentStage<'_> {
    fn begun(&mut self, _first: i64) {}

    fn others(&mut self, _turn: u64) -> bool {
        self.look();
        true
    }

    fn returned(&self, code: i64) {
        assert_eq!(code, self.operation.returns, "what the whole operation returns");
    }

    fn failed(&self, code: i64) {
        let exists = self.place.files().iter().any(|file| file.starts_with("ipcx."));
        assert_eq!(exists, self.operation.exists, "an error ({code}) changes nothing");
    }

    fn dead(&mut self, _at: At, _toll: Toll) {}

    fn finish(self: Box<Self>, workshop: &mut Workshop<'_>, _with_notice: bool) {
        self.look();
        let options = ring::options(self.place, WaitStrategy::Balanced);
        let survivor = Ring::open(RING, &options).expect("the name is free, or leads to a whole segment");
        ring::use_it(&survivor);
        self.place.unlink(RING);
        if self.leaves_temporaries() {
            // The next creation of the same kind removes what the dead one left.
            let mut next = workshop.nursery.victim("create_by_rename", "next");
            assert_eq!(next.finish(), 0);
            next.kill();
            self.place.unlink("next");
        }
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
