//! A pool in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call that
//! acquires, releases, hands over and recovers. What a call gives lies inside the pool; it ends in time.

use crate::attack;
use crate::kind::{self, Calls, Kind, BODY};
use crate::tally::{Call, Who};
use crate::words::Words;
use ipcx::{BlockId, Consumer, Deadline, Error, Pool, PoolOptions, Producer, Ring, RingOptions};
use ipcx_tests::Random;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const BLOCKS: u64 = 128;
const BLOCK: usize = 64;
/// Offset of the first block.
const DATA: usize = BODY + 5 * 4096;
/// Bytes of the file.
const TOTAL: usize = DATA + BLOCKS as usize * BLOCK;

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    match word & 7 {
        0 => word,
        1 => 1 << (word >> 8 & 63),
        2 => word >> 40,
        3 => word >> 60,
        // A cell: some generation, a slot or channel, a state.
        4 | 5 => (word >> 8 & 3) << 28 | (word >> 16 & 7) << 4 | ((word >> 24) % 6),
        6 => ((word >> 8) % 130) << 32 | ((word >> 20) % 130),
        _ => !0 << (word >> 8 & 63),
    }
}

/// A handle, and the ring on which blocks go to and fro: each handle uses the same.
struct Ends {
    pool: Pool,
    carrier: Rc<RefCell<(Producer, Consumer)>>,
}

/// Removes the ring's name.
struct Carrier(Ring);

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = ipcx::unlink(self.0.name()); // The test removes what is left.
    }
}

#[derive(Clone, Copy)]
struct Prey;

attack::proofs!(Prey:
    every_flipped_bit_of_a_pool_gives_a_block_or_an_error,
    random_images_of_a_pool_give_a_block_or_an_error,
    a_pool_under_a_scribbler_gives_a_block_or_an_error
);

impl Kind for Prey {
    type Ends = Ends;
    type Others = Carrier;

    const NAME: &'static str = "pool";
    const SHAPES: &'static [Prey] = &[Prey];
    const SHARE: u64 = 40;
    const IMAGES: u64 = 40_000;
    const WORDS: u64 = 30;
    const LIVE: Duration = Duration::from_secs(2);
    const PERCENT: u32 = 6;
    const SEEN: &'static [(Who, &'static str)] =
        &[(Who::Producer, "sender"), (Who::Consumer, "receiver"), (Who::Handle, "others")];

    /// Some of everything: blocks that are owned, kept ready, in flight; a channel that is taken.
    fn create(self, name: &str) -> (Ends, Carrier) {
        let (block_size, blocks, segment) = (BLOCK as u64, BLOCKS, kind::options());
        let options = PoolOptions { block_size, blocks, segment, ..Default::default() };
        let pool = Pool::create(name, &options).expect("a new pool");
        let options = RingOptions { capacity: 4096, segment: kind::options() };
        let ring = Ring::create(&format!("{name}-carrier"), &options).expect("a new ring");
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        let blocks: Vec<_> = (0..30).map(|_| pool.acquire_raw(Deadline::NOW).unwrap()).collect();
        blocks[..20].iter().for_each(|id| pool.release_raw(*id).unwrap());
        tx.send_block_raw(&pool, blocks[29], 1, Deadline::NOW).unwrap();
        tx.send_block_raw(&pool, blocks[28], 1, Deadline::NOW).unwrap();
        rx.recv_block_raw(&pool, Deadline::NOW).unwrap();
        (Ends { pool, carrier: Rc::new(RefCell::new((tx, rx))) }, Carrier(ring))
    }

    fn bytes(self) -> usize {
        TOTAL
    }

    fn is_minor(self, byte: usize) -> bool {
        match byte {
            0..256 => false,
            256..4096 => true,
            4096..BODY => byte >= 4096 + 3 * 64, // slots that are taken here
            BODY..DATA => {
                let at = byte - BODY;
                (128 + 3 * 64..18_560).contains(&at) && !(2176..2176 + 256).contains(&at)
            }
            _ => true,
        }
    }

    fn scribble(words: &Words, random: &mut Random) {
        let page = 4096 / 8;
        let index = match random.below(4) {
            0 => page + random.below((TOTAL / 8 - page) as u64) as usize,
            1 => BODY / 8 + random.below(48) as usize, // waiters, the first magazines
            2 => (DATA - 1920) / 8 + random.below(144) as usize, // hints and cells
            _ => page + random.below(32) as usize,     // slots
        };
        words.store(index, any_word(random));
    }

    fn is_expected(error: &Error) -> bool {
        matches!(error, Error::Invalid(_))
    }

    fn attach(calls: &Calls<'_>, name: &str, beside: &Ends) -> Option<Ends> {
        let pool = calls.call(Who::Handle, Call::Attach, |_| Pool::attach(name))?;
        Some(Ends { pool, carrier: beside.carrier.clone() })
    }

    fn watch(_: &Calls<'_>, _: &mut Ends) {
        // A pool has no descriptor.
    }

    fn use_everything(calls: &Calls<'_>, ends: &mut Ends, disturb: &mut dyn FnMut()) {
        let (pool, (tx, rx)) = (&ends.pool, &mut *ends.carrier.borrow_mut());
        let blocks: Vec<BlockId> = (0..20)
            .map_while(|_| calls.call(Who::Handle, Call::Acquire, |until| pool.acquire_raw(until)))
            .collect();
        for id in &blocks {
            let at = pool.address(*id).expect("a block of the pool").as_ptr();
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.write_bytes(7, BLOCK) };
        }
        for (n, id) in blocks.iter().enumerate() {
            disturb();
            if n % 4 == 0 {
                calls.call(Who::Producer, Call::SendBlock, |until| tx.send_block_raw(pool, *id, n, until));
            } else {
                calls.call(Who::Handle, Call::Release, |_| pool.release_raw(*id));
            }
        }
        while let Some((id, len)) =
            calls.call(Who::Consumer, Call::RecvBlock, |until| rx.recv_block_raw(pool, until))
        {
            assert!(len <= BLOCK);
            let at = pool.address(id).expect("a block of the pool").as_ptr();
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.read_volatile() };
            calls.call(Who::Handle, Call::Release, |_| pool.release_raw(id));
        }
        if let Some(stats) = calls.call(Who::Handle, Call::Stats, |_| pool.stats()) {
            assert!(stats.free + stats.owned + stats.in_flight <= BLOCKS, "{stats:?}");
        }
        calls.call(Who::Handle, Call::Recover, |_| pool.recover());
    }
}
