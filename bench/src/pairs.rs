//! The loop of a process that acquires and releases, generic over the contender.
//!
//! The processes of one case begin and end at the same moments of the clock that all share; what counts is how many
//! pairs of an acquire and a release they do in between. No byte of the blocks is touched then. In the check before that,
//! each process marks the blocks that it has, in their first and last words: what is marked when it comes, or is not its
//! own mark when it goes, is held twice or overlaps another.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::lender::Lender;
use crate::loops::{monotonic, Span};
use crate::payload::Care;
use crate::workload::{Crowd, Shape, Workload, BLOCK};
use crate::{signals, Error, Result};

/// Pairs between two looks at the clock.
const STRETCH: usize = 1024;
/// The upper half of every mark. What free blocks contain is the contender's business, and not this.
const MARK: u64 = 0x4845_4c44 << 32;

/// One process of one case that works by the clock, ready to run rounds: it acquires and releases, or it is a publisher or
/// [one of its audience](crate::audience).
pub trait PairLoop {
    /// Works during `span`, and once at least; says until when it did, and how many pairs or messages.
    fn run(&mut self, span: Span, care: Care) -> Result<(u64, u64)>;
}

/// The loop for `workload` over `lender`.
pub fn pair_loop<L: Lender + 'static>(
    lender: L,
    workload: Workload,
    number: usize,
) -> Result<Box<dyn PairLoop>> {
    match workload.shape {
        Shape::Pairs(Crowd { held: 1, .. }) => Ok(Box::new(Loop::<L, 1> { lender, number, marks: 0 })),
        Shape::Pairs(Crowd { held: 16, .. }) => Ok(Box::new(Loop::<L, 16> { lender, number, marks: 0 })),
        _ => Err("blocks carry no messages".into()),
    }
}

struct Loop<L, const HELD: usize> {
    lender: L,
    number: usize,
    /// Marks made so far.
    marks: u64,
}

impl<L: Lender, const HELD: usize> Loop<L, HELD> {
    /// [`STRETCH`] pairs.
    #[inline(never)]
    fn stretch(&self) -> Result<()> {
        if HELD == 1 {
            for _pair in 0..STRETCH {
                let mut held = self.lender.acquire()?;
                black_box(&mut held);
                self.lender.release(held)?;
            }
            return Ok(());
        }
        let mut all: [Option<L::Held<'_>>; HELD] = std::array::from_fn(|_| None);
        for _cycle in 0..STRETCH / HELD {
            for place in &mut all {
                *place = Some(self.lender.acquire()?);
            }
            black_box(&mut all);
            for place in &mut all {
                if let Some(held) = place.take() {
                    self.lender.release(held)?;
                }
            }
        }
        Ok(())
    }

    /// As [`Loop::stretch`], with marks.
    fn checked_stretch(&mut self) -> Result<()> {
        for _cycle in 0..STRETCH / HELD {
            // On the stack: marks in memory that was freed would come up in what malloc lends.
            let mut all: [Option<(L::Held<'_>, u64)>; HELD] = std::array::from_fn(|_| None);
            for place in &mut all {
                let held = self.lender.acquire()?;
                self.marks += 1;
                let mark = MARK | (self.number as u64) << 24 | (self.marks % (1 << 24));
                for word in words(&self.lender, &held) {
                    if word.swap(mark, Relaxed) >> 32 == MARK >> 32 {
                        return Err("a block was lent while somebody had it".into());
                    }
                }
                *place = Some((held, mark));
            }
            for (held, mark) in all.into_iter().flatten() {
                for word in words(&self.lender, &held) {
                    if word.swap(0, Relaxed) != mark {
                        return Err("somebody else was at a block".into());
                    }
                }
                self.lender.release(held)?;
            }
        }
        Ok(())
    }
}

/// The first and the last word of a block.
fn words<'a, L: Lender>(lender: &'a L, held: &L::Held<'_>) -> [&'a AtomicU64; 2] {
    let start = lender.address(held);
    // SAFETY: a block has `BLOCK` bytes, aligned to 8, that stay mapped as long as the lender; only accessed as atomics.
    [0, BLOCK - 8].map(|offset| unsafe { &*start.add(offset).cast() })
}

impl<L: Lender, const HELD: usize> PairLoop for Loop<L, HELD> {
    fn run(&mut self, span: Span, care: Care) -> Result<(u64, u64)> {
        sleep_until(span.start);
        let mut pairs = 0;
        loop {
            match care {
                Care::Full => self.checked_stretch()?,
                Care::Stamps => self.stretch()?,
            }
            pairs += STRETCH as u64;
            signals::check()?;
            let now = monotonic();
            if now >= span.end {
                return Ok((now, pairs));
            }
        }
    }
}

pub(crate) fn sleep_until(moment: u64) {
    let until = libc::timespec {
        tv_sec: (moment / 1_000_000_000) as libc::time_t,
        tv_nsec: (moment % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: reads one timespec. A signal ends it early, and is noticed after the first stretch.
    unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, std::ptr::null_mut())
    };
}

/// The block that a contender was asked for and did not have.
#[cold]
pub(crate) fn none_left() -> Error {
    Error::from("no block was left")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::adapters::{self, Start};
    use crate::endpoint::Link;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    /// Has as many threads as the workload has processes run the check for a moment.
    fn check(contender: &str, workload: Workload) -> Result<()> {
        let adapter = adapters::find(contender).expect(contender);
        let label = format!("ipcx-bench-test-{}-{contender}-{}", std::process::id(), workload);
        let mut link = Link { contender: contender.to_owned(), label, workload, fds: Vec::new() };
        let shared = (adapter.prepare)(&link)?;
        link.fds = shared.iter().map(AsRawFd::as_raw_fd).collect();
        let (Shape::Pairs(crowd), Start::Crowd(connect)) = (workload.shape, adapter.start) else {
            return Err("not a contender that lends".into());
        };
        let start = monotonic() + 50_000_000;
        let span = Span { start, end: start + Duration::from_millis(30).as_nanos() as u64 };
        let turn = std::sync::Mutex::new(0);
        let link = &link;
        let outcome = std::thread::scope(|scope| {
            let threads = (0..crowd.processes).map(|_| {
                scope.spawn(|| {
                    let mut turn = turn.lock().expect("nobody panicked");
                    let mut blocks = connect(link, *turn)?;
                    *turn += 1;
                    drop(turn);
                    assert!(blocks.run(span, Care::Full)?.1 >= STRETCH as u64);
                    blocks.run(Span { end: monotonic() + 1_000_000, ..span }, Care::Stamps)
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no panic").map(|_| ()))
        });
        (adapter.cleanup)(link);
        outcome
    }

    const PAIRS: [Workload; 6] = [
        Workload::PAIRS_1,
        Workload::PAIRS_2,
        Workload::PAIRS_8,
        Workload::PAIRS_1_OF_16,
        Workload::PAIRS_2_OF_16,
        Workload::PAIRS_8_OF_16,
    ];

    #[test]
    fn no_contender_lends_a_block_twice() {
        for adapter in adapters::TABLE.iter().filter(|adapter| matches!(adapter.start, Start::Crowd(_))) {
            for workload in PAIRS.into_iter().filter(|workload| (adapter.carries)(*workload)) {
                check(adapter.name, workload)
                    .unwrap_or_else(|error| panic!("{}/{}: {error}", adapter.name, workload));
            }
        }
    }

    /// Lends the same block to everybody. It is never freed: marks stay in it, which `malloc` would hand to the test above.
    struct Careless(&'static [AtomicU64; BLOCK / 8]);

    impl Lender for Careless {
        type Held<'a> = ();

        fn connect(_link: &Link, _number: usize) -> Result<Self> {
            Ok(Careless(Box::leak(Box::new([const { AtomicU64::new(0) }; BLOCK / 8]))))
        }

        fn acquire(&self) -> Result<()> {
            Ok(())
        }

        fn address(&self, (): &()) -> *mut u8 {
            self.0.as_ptr().cast_mut().cast()
        }

        fn release(&self, (): ()) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_check_notices_a_block_that_is_lent_twice() {
        let link = Link {
            contender: String::new(),
            label: String::new(),
            workload: Workload::PAIRS_1_OF_16,
            fds: Vec::new(),
        };
        let careless = Careless::connect(&link, 0).expect("connected");
        let mut blocks = pair_loop(careless, link.workload, 0).expect("a loop");
        let span = Span { start: 0, end: u64::MAX };
        assert!(blocks.run(span, Care::Full).is_err());
    }
}
