//! Any sequence of calls of two handles on a pool and of a ring between them, against sets in private memory: who owns
//! what, what is in flight, what is refused. Or the same under damage anywhere in the pool: then only harmlessness is asked for.
//!
//! The input: whether there is damage, then calls, each a byte and what it needs.

use super::attach::assert_harmless;
use super::input::Input;
use ipcx::{
    BlockId, Consumer, Deadline, Error, Pool, PoolOptions, Producer, Ring, RingOptions, SegmentOptions,
};
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

const BLOCKS: u64 = 70;
const BLOCK: usize = 8;
const MOST_CALLS: usize = 600;
/// Records that hand blocks over and fit into the ring: 40 bytes each, and the 0 behind them.
const FITS: usize = (4096 - 8) / 40;

/// What is used again and again.
struct Bench {
    pool: Pool,
    file: File,
    /// Of the file, when nobody owned anything.
    image: Vec<u8>,
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

impl Bench {
    fn new() -> Bench {
        let segment = SegmentOptions { max_participants: 4, ..Default::default() };
        let options = PoolOptions { block_size: BLOCK as u64, blocks: BLOCKS, segment, ..Default::default() };
        let pool = Pool::anonymous(&options).expect("an anonymous pool");
        let file = File::from(pool.share_fd().expect("its descriptor"));
        let mut image = vec![0; file.metadata().expect("its size").len() as usize];
        file.read_exact_at(&mut image, 0).expect("all of it");
        Bench { pool, file, image }
    }

    /// Puts everything behind the slots back.
    fn restore(&self) {
        self.file.write_all_at(&self.image[8192..], 8192).expect("room for it");
    }
}

/// One handle, and what it owns.
struct Handle {
    pool: Pool,
    owned: Vec<BlockId>,
}

struct Run<'a> {
    bench: &'a Bench,
    handles: [Handle; 2],
    ends: (Producer, Consumer),
    /// In flight, with the numbers in them.
    sent: VecDeque<(BlockId, u64)>,
    /// Released or sent.
    gone: Vec<BlockId>,
    next: u64,
    damaged: bool,
}

/// The target.
pub fn pool(data: &[u8]) {
    let mut input = Input::new(data);
    BENCH.with(|bench| {
        bench.restore();
        let handle =
            || Handle { pool: Pool::from_fd(bench.file.as_fd()).expect("a slot is free"), owned: Vec::new() };
        let ring = Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() })
            .expect("an anonymous ring");
        let ends = (ring.producer().expect("free"), ring.consumer().expect("free"));
        let (sent, gone, damaged) = (VecDeque::new(), Vec::new(), input.u8() & 3 == 0);
        let mut run = Run { bench, handles: [handle(), handle()], ends, sent, gone, next: 0, damaged };
        for _ in 0..MOST_CALLS {
            if input.is_empty() {
                break;
            }
            run.step(&mut input);
        }
        drop(run);
        bench.restore();
        bench.pool.recover().expect("whatever was left");
    });
}

impl Run<'_> {
    /// How many are; under damage there may seem to be fewer than none.
    fn free(&self) -> u64 {
        let owned: usize = self.handles.iter().map(|handle| handle.owned.len()).sum();
        BLOCKS.saturating_sub((owned + self.sent.len()) as u64)
    }

    fn step(&mut self, input: &mut Input) {
        let call = input.u8();
        let which = usize::from(call >> 7);
        match call & 15 {
            0..=5 => self.acquire(which),
            6..=9 => self.release(which, input),
            10 | 11 => self.send(which, input),
            12 => self.receive(which),
            13 => self.release_wrongly(which, input),
            14 => self.look(which),
            _ if self.damaged => self.damage(input),
            _ => self.leave(which, input),
        }
    }

    fn acquire(&mut self, which: usize) {
        let free = self.free();
        let handle = &mut self.handles[which];
        match handle.pool.acquire_raw(Deadline::NOW) {
            Ok(id) => {
                let at = handle.pool.address(id).expect("a block of the pool").as_ptr();
                // SAFETY: that the block is mapped, and nobody else's, is what is tested.
                unsafe { at.cast::<u64>().write(id.get()) };
                assert!(self.damaged || (free > 0 && !handle.owned.contains(&id)));
                handle.owned.push(id);
            }
            Err(Error::WouldBlock(_)) => assert!(self.damaged || free == 0, "{free} are free"),
            Err(error) => panic!("{error}"),
        }
    }

    fn pick(&mut self, which: usize, input: &mut Input) -> Option<BlockId> {
        let owned = &mut self.handles[which].owned;
        (!owned.is_empty()).then(|| owned.swap_remove(usize::from(input.u8()) % owned.len()))
    }

    fn release(&mut self, which: usize, input: &mut Input) {
        let Some(id) = self.pick(which, input) else { return };
        let released = self.handles[which].pool.release_raw(id);
        assert!(self.damaged || released.is_ok(), "{released:?}");
        self.gone.push(id);
    }

    fn send(&mut self, which: usize, input: &mut Input) {
        let Some(id) = self.pick(which, input) else { return };
        let pool = &self.handles[which].pool;
        let at = pool.address(id).expect("a block of the pool").as_ptr();
        // SAFETY: as above.
        unsafe { at.cast::<u64>().write(self.next) };
        match self.ends.0.send_block_raw(pool, id, BLOCK, Deadline::NOW) {
            Ok(()) => {
                self.sent.push_back((id, self.next));
                self.gone.push(id);
                self.next += 1;
            }
            Err(Error::WouldBlock(_)) => {
                assert!(self.damaged || self.sent.len() == FITS);
                self.handles[which].owned.push(id);
            }
            Err(error) => assert!(self.damaged, "{error}"),
        }
    }

    fn receive(&mut self, which: usize) {
        let handle = &mut self.handles[which];
        match self.ends.1.recv_block_raw(&handle.pool, Deadline::NOW) {
            Ok((id, len)) => {
                assert!(len <= BLOCK);
                let at = handle.pool.address(id);
                if !self.damaged {
                    let (expected, number) = self.sent.pop_front().expect("it was sent");
                    // SAFETY: as above.
                    let content = unsafe { at.expect("a block").as_ptr().cast::<u64>().read() };
                    assert_eq!((content, len), (number, BLOCK));
                    assert!(
                        at == handle.pool.address(expected) && id != expected,
                        "the same block, another id"
                    );
                }
                handle.owned.push(id);
            }
            Err(Error::WouldBlock(_)) => assert!(self.damaged || self.sent.is_empty()),
            Err(error) => assert!(self.damaged, "{error}"),
        }
    }

    /// What was released or sent, is another's, or never was.
    fn release_wrongly(&mut self, which: usize, input: &mut Input) {
        let choice = usize::from(input.u8());
        let others = &self.handles[1 - which].owned;
        let id = match choice & 3 {
            0 => self.gone.get(choice >> 2).copied(),
            1 => others.get(choice >> 2).copied(),
            _ => Some(BlockId::from_raw(input.u64())),
        };
        let Some(id) = id.filter(|id| !self.handles[which].owned.contains(id)) else { return };
        let released = self.handles[which].pool.release_raw(id);
        assert!(self.damaged || matches!(released, Err(Error::Invalid(_))), "{released:?}");
    }

    fn look(&mut self, which: usize) {
        let stats = self.handles[which].pool.stats();
        if self.damaged {
            assert_harmless(stats);
            return assert_harmless(self.handles[which].pool.recover());
        }
        let (stats, owned) =
            (stats.expect("figures"), self.handles.iter().map(|handle| handle.owned.len() as u64).sum());
        assert_eq!((stats.free, stats.owned, stats.in_flight), (self.free(), owned, self.sent.len() as u64));
        assert_eq!(self.handles[which].pool.recover().expect("nothing to do"), 0);
    }

    fn damage(&mut self, input: &mut Input) {
        let at = 4096 + usize::from(input.u16()) % (self.bench.image.len() - 4096 - 8) / 8 * 8;
        let value = match input.u8() & 3 {
            0 => input.u64(),
            1 => u64::from(input.u8()),
            2 => 1 << (input.u8() & 63),
            _ => u64::from(input.u8()) << 28 | u64::from(input.u8() & 127),
        };
        self.bench.file.write_all_at(&value.to_ne_bytes(), at as u64).expect("room for a word");
    }

    /// A handle closes, with what it owns; another comes.
    fn leave(&mut self, which: usize, input: &mut Input) {
        if input.u8() & 3 == 0 {
            self.gone.append(&mut self.handles[which].owned);
            self.handles[which].pool = Pool::from_fd(self.bench.file.as_fd()).expect("a slot is free");
        }
    }
}
