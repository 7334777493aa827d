//! Start states of a pool, and how those who survive a victim show that no block is lost, doubled or torn.
//!
//! The tracer has a handle, and one end of a ring that carries blocks. A block that is sent has its number in it. In the
//! end every block is found again, by acquiring all that are free: what the dead had comes back.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{
    Backing, Block, BlockId, Consumer, Deadline, Error, Pool, PoolOptions, Producer, Ring, RingOptions,
    SegmentOptions, WaitStrategy,
};
use ipcx_tests::Place;
use std::os::unix::fs::FileExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Enough for several words of hints, and for magazines of full size.
const BLOCKS: u64 = 128;
const POOL: &str = "pool";
const CARRIER: &str = "carrier";
/// The codes of `ipcx.h` for "none is free".
const AGAIN: i64 = -1;
const TIMEDOUT: i64 = -2;
/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(10);
/// A blocked survivor has the block of a dead one within this.
const NOTICE: Duration = Duration::from_millis(250);

/// How the pool is when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All blocks are free.
    Free,
    /// The survivor has all, and keeps some of them ready.
    Scarce,
    /// The survivor has all.
    Empty,
    /// The survivor has some, and a dead one all others.
    Dead,
    /// The survivor has all but the victim's, and sleeps until it gets one more.
    Awaited,
    /// Some blocks are in flight.
    Carried,
}

use State::{Awaited, Carried, Dead, Empty, Free, Scarce};

/// What the victim's operation does to the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Nothing,
    Sends,
    Receives,
}

struct Operation {
    name: &'static str,
    carries: Carries,
    /// Blocks that it needs before it begins.
    needs: u64,
    states: &'static [State],
}

const fn operation(name: &'static str, needs: u64, states: &'static [State]) -> Operation {
    Operation { name, carries: Carries::Nothing, needs, states }
}

const fn carries(name: &'static str, carries: Carries, states: &'static [State]) -> Operation {
    Operation { name, carries, needs: 2, states }
}

const OPERATIONS: &[Operation] = &[
    operation("pool_attach", 0, &[Free, Dead]),
    operation("pool_close", 8, &[Free]),
    operation("acquire", 0, &[Free, Scarce, Empty, Dead]),
    operation("acquire_ready", 1, &[Free]),
    operation("acquire_asleep", 0, &[Empty]),
    operation("release_block", 1, &[Free, Awaited]),
    operation("release_freely", 20, &[Free]),
    operation("pool_recover", 0, &[Free, Dead]),
    operation("pool_stats", 0, &[Free]),
    carries("send_block", Carries::Sends, &[Free, Carried]),
    carries("send_block_again", Carries::Sends, &[Free]),
    carries("recv_block", Carries::Receives, &[Free, Carried]),
    carries("recv_block_again", Carries::Receives, &[Carried]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: POOL,
            threads: false,
            sleeps: operation.name.ends_with("asleep"),
            recovers: Some("pool_recover"),
            stage: Box::new(move |workshop| Box::new(PoolStage::make(workshop, operation, *state))),
        })
    };
    OPERATIONS.iter().flat_map(each).chain(by_key()).collect()
}

/// Key of the System V segments of this process's victims.
pub(crate) fn key() -> i32 {
    0x6970_0000 ^ ((std::process::id() as i32 & 0xffff) << 4)
}

/// Creating and unlinking a pool, also one whose blocks the kernel keeps, whoever dies.
fn by_key() -> impl Iterator<Item = Scenario> {
    const OPERATIONS: [(&str, bool, i64); 5] = [
        ("pool_create", false, 0),
        ("pool_create", true, -6),
        ("create_by_key", false, 0),
        ("create_by_key", true, -6),
        ("unlink_by_key", true, 0),
    ];
    OPERATIONS.into_iter().map(|(operation, exists, returns)| Scenario {
        name: format!("{operation}/{}", if exists { "existing" } else { "new" }),
        operation,
        target: POOL,
        threads: false,
        sleeps: false,
        recovers: None,
        stage: Box::new(move |workshop| Box::new(KeyStage::make(workshop, exists, returns))),
    })
}

struct KeyStage<'a> {
    place: &'a Place,
    exists: bool,
    returns: i64,
}

impl<'a> KeyStage<'a> {
    fn make(workshop: &mut Workshop<'a>, exists: bool, returns: i64) -> KeyStage<'a> {
        let stage = KeyStage { place: workshop.place, exists, returns };
        if exists {
            stage.create().expect("a free name and key");
        }
        stage
    }

    fn create(&self) -> Result<Pool, Error> {
        let segment = SegmentOptions { backing: Backing::SystemV { key: key() }, ..segment(self.place) };
        Pool::create(POOL, &PoolOptions { block_size: 64, blocks: 4, segment, ..Default::default() })
    }

    /// A name leads to a whole pool.
    fn look(&self) {
        if !self.place.files().is_empty() {
            let pool = attach(self.place);
            let blocks = take(&pool, u64::MAX);
            assert_eq!(blocks.len(), 4);
            for block in blocks {
                pool.block(block).unwrap().write_at(0, &[1; 64]).unwrap();
            }
        }
    }
}

impl Stage for KeyStage<'_> {
    fn begun(&mut self, _first: i64) {}

    fn others(&mut self, _turn: u64) -> bool {
        self.look();
        true
    }

    fn returned(&self, code: i64) {
        assert_eq!(code, self.returns, "what a whole operation returns");
    }

    fn failed(&self, code: i64) {
        assert_eq!(self.place.files().len() == 1, self.exists, "an error ({code}) changes nothing");
    }

    fn dead(&mut self, _at: At, _toll: Toll) {}

    fn finish(self: Box<Self>, _workshop: &mut Workshop<'_>, _with_notice: bool) {
        self.look();
        if !self.place.files().is_empty() {
            self.place.unlink(POOL);
        }
        // Whatever the dead one left under the key, it is free now.
        drop(self.create().expect("the name and the key of the dead"));
        self.look();
        self.place.unlink(POOL);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
        let listed = std::fs::read_to_string("/proc/sysvipc/shm").expect("System V shared memory");
        let key = key().to_string();
        assert!(
            listed.lines().all(|line| line.split_whitespace().next() != Some(&key)),
            "nothing is left by key"
        );
    }
}

fn segment(place: &Place) -> SegmentOptions {
    // The tracer, the victim, one that died, and one more: a slot that leaks is missed at once.
    SegmentOptions {
        directory: Some(place.path().to_owned()),
        max_participants: 4,
        wait: WaitStrategy::Block,
        ..Default::default()
    }
}

fn attach(place: &Place) -> Pool {
    let segment = SegmentOptions { directory: Some(place.path().to_owned()), ..Default::default() };
    Pool::attach_with(POOL, &PoolOptions { segment, ..Default::default() }).expect("the pool of the test")
}

/// As many blocks as can be had, or `most`.
fn take(pool: &Pool, most: u64) -> Vec<BlockId> {
    std::iter::from_fn(|| pool.try_acquire().ok().map(Block::into_id)).take(most as usize).collect()
}

fn give(pool: &Pool, blocks: impl IntoIterator<Item = BlockId>) {
    blocks.into_iter().for_each(|block| pool.release_raw(block).expect("the owner gives it back"));
}

/// The survivor's end of the ring.
#[derive(Debug)]
enum End {
    None,
    Tx(Producer),
    Rx(Consumer),
}

/// A thread that waits for a block, and says when it had it.
type Waiter = JoinHandle<(BlockId, Instant)>;

struct PoolStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    state: State,
    pool: &'static Pool,
    end: End,
    /// Blocks that the survivor owns.
    held: Vec<BlockId>,
    waiter: Option<Waiter>,
    died: Instant,
    /// Numbers of the blocks that were sent before, and may be received.
    sent: u64,
    received: u64,
    /// What the victim's operation may have added to each.
    more: Vec<u64>,
}

impl<'a> PoolStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> PoolStage<'a> {
        let place = workshop.place;
        let options =
            PoolOptions { block_size: 64, blocks: BLOCKS, segment: segment(place), ..Default::default() };
        // Leaked to its end by `finish`: threads wait on it, and a stage that fails drops nothing it may not.
        let pool: &'static Pool = Box::leak(Box::new(Pool::create(POOL, &options).expect("a new pool")));
        let mut stage = PoolStage {
            place,
            operation,
            state,
            pool,
            end: End::None,
            held: Vec::new(),
            waiter: None,
            died: Instant::now(),
            sent: 0,
            received: 0,
            more: vec![0],
        };
        if operation.carries != Carries::Nothing {
            stage.make_ring();
        }
        match state {
            Free | Carried => {}
            Empty => stage.held = take(pool, BLOCKS),
            Scarce => {
                stage.held = take(pool, BLOCKS);
                let kept: Vec<_> = stage.held.drain(..8).collect();
                give(pool, kept);
            }
            Awaited => stage.held = take(pool, BLOCKS - operation.needs),
            Dead => {
                stage.held = take(pool, BLOCKS - 20);
                let theirs = workshop.nursery.victim("release_freely", POOL);
                theirs.kill();
            }
        }
        stage
    }

    fn make_ring(&mut self) {
        let segment = SegmentOptions { max_participants: 4, ..segment(self.place) };
        let ring = Ring::create(CARRIER, &RingOptions { capacity: 4096, segment }).expect("a new ring");
        let before = match (self.state, self.operation.carries) {
            (Carried, _) => 3,
            (_, Carries::Receives) => 1,
            _ => 0,
        };
        let mut tx = ring.producer().expect("a new ring's role");
        for _ in 0..before {
            self.send(&mut tx);
        }
        self.end = if self.operation.carries == Carries::Sends {
            drop(tx);
            End::Rx(ring.consumer().expect("a new ring's role"))
        } else {
            End::Tx(tx)
        };
    }

    /// Sends a block with its number in it.
    fn send(&mut self, tx: &mut Producer) {
        let mut block = self.pool.acquire_timeout(HANG).expect("a free block");
        block.write_at(0, &self.sent.to_le_bytes()).unwrap();
        block.set_len(8).unwrap();
        tx.try_send_block(block).expect("room for a block");
        self.sent += 1;
    }

    /// The number in the next block, which goes back; `None` if there is none.
    fn receive(pool: &Pool, rx: &mut Consumer) -> Option<u64> {
        match rx.try_recv_block(pool) {
            Ok(block) => {
                let mut number = [0; 8];
                block.read_at(0, &mut number).expect("8 bytes were sent");
                Some(u64::from_le_bytes(number))
            }
            Err(Error::WouldBlock(_) | Error::Closed(_) | Error::PeerDead(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// True once a call has announced that it sleeps.
    fn somebody_sleeps(&self) -> bool {
        /// Behind the header's page and the slots'.
        const WAITERS: u64 = 2 * 4096;
        let file =
            std::fs::File::open(self.place.path().join(format!("ipcx.{POOL}"))).expect("the pool's file");
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, WAITERS).expect("the word of the waiters");
        u32::from_ne_bytes(bytes) & 1 != 0
    }

    fn ring(&self) -> Ring {
        self.place.attach(CARRIER)
    }

    /// Whoever survives goes on where the victim was, to the end: numbers without a gap, but for what died in its hands.
    fn exchange(&mut self) {
        let (first, sent) = (self.received, self.sent);
        let mut got = Vec::new();
        match std::mem::replace(&mut self.end, End::None) {
            End::None => return,
            End::Rx(mut rx) => {
                got.extend(std::iter::from_fn(|| PoolStage::receive(self.pool, &mut rx)));
                let all = got.len() as u64;
                let possible: Vec<u64> = self.more.iter().map(|more| sent - first + more).collect();
                assert!(
                    possible.contains(&all),
                    "{all} blocks arrived, and one of {possible:?} was expected"
                );
                assert!(got.iter().copied().eq(first..first + all), "in order: {got:?}");
                let mut tx = self.ring().producer().expect("the role of the dead");
                self.sent = first + all;
                for _ in 0..5 {
                    self.send(&mut tx);
                    assert_eq!(PoolStage::receive(self.pool, &mut rx), Some(self.sent - 1));
                }
            }
            End::Tx(mut tx) => {
                let mut rx = self.ring().consumer().expect("the role of the dead");
                for _ in 0..5 {
                    self.send(&mut tx);
                }
                got.extend(std::iter::from_fn(|| PoolStage::receive(self.pool, &mut rx)));
                let possible: Vec<Vec<u64>> =
                    self.more.iter().map(|more| (first + more..self.sent).collect()).collect();
                assert!(possible.contains(&got), "{got:?} arrived, and one of {possible:?} was expected");
            }
        }
        self.place.unlink(CARRIER);
    }
}

impl Stage for PoolStage<'_> {
    fn begun(&mut self, first: i64) {
        // Who takes over afterwards has no place in the ring.
        if let Ok(first) = u64::try_from(first) {
            // It has made the operation before, and says so by the place at which it is.
            match self.operation.name {
                "send_block_again" => self.sent += 1,
                "recv_block_again" => self.received += 1,
                _ => {}
            }
            let sends = self.operation.carries == Carries::Sends;
            let at = if sends { self.sent } else { self.received };
            assert_eq!(first, at, "the ring's position, in records that hand a block over");
        }
        if self.state == Awaited && self.waiter.is_none() {
            let pool = self.pool;
            self.waiter = Some(std::thread::spawn(move || {
                let block = pool.acquire_timeout(HANG).expect("a block comes").into_id();
                (block, Instant::now())
            }));
            let until = Instant::now() + HANG;
            while !self.somebody_sleeps() {
                assert!(Instant::now() < until, "the survivor does not go to sleep");
                std::thread::yield_now();
            }
        }
    }

    fn others(&mut self, turn: u64) -> bool {
        let mut whole = 0;
        let rounds = if turn & 2 == 0 { 1 } else { 30 };
        for _ in 0..rounds {
            match self.pool.try_acquire() {
                Ok(block) => {
                    block.release();
                    whole += 1;
                }
                Err(Error::WouldBlock(_)) => {
                    assert!(
                        !matches!(self.state, Free | Carried),
                        "a stopped process keeps others from what is free"
                    );
                }
                Err(error) => panic!("while the victim stands still: {error}"),
            }
        }
        if turn & 4 == 0 && self.state != Dead {
            let rival = attach(self.place);
            let theirs = take(&rival, 3);
            assert!(!matches!(self.state, Free | Carried) || theirs.len() == 3);
            assert_eq!(rival.recover().unwrap(), 0, "a stopped process lives");
            give(&rival, theirs);
            whole += 1;
        }
        whole > 0
    }

    fn returned(&self, code: i64) {
        match (self.state, self.operation.name) {
            (Empty, "acquire") => assert_eq!(code, AGAIN),
            (Empty, "acquire_asleep") => assert_eq!(code, TIMEDOUT),
            _ => assert_eq!(code, 0, "what a whole operation returns"),
        }
    }

    fn failed(&self, _code: i64) {
        let stats = self.pool.stats().unwrap();
        assert_eq!(stats.free + stats.owned + stats.in_flight, BLOCKS);
    }

    fn dead(&mut self, at: At, toll: Toll) {
        self.died = Instant::now();
        if self.operation.carries == Carries::Nothing {
            return;
        }
        let possible = match (at, toll) {
            (_, Toll::Nothing) => vec![0],
            (At::End(0), _) => vec![1],
            (At::End(_), _) => vec![0],
            (At::Inside, _) => vec![0, 1],
        };
        self.more = self.more.iter().flat_map(|more| possible.iter().map(move |add| more + add)).collect();
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, _with_notice: bool) {
        if let Some(waiter) = self.waiter.take() {
            let (block, when) = waiter.join().expect("it got a block");
            let told = when.saturating_duration_since(self.died);
            assert!(told < NOTICE, "the block of the dead was had after {told:?}");
            self.held.push(block);
        }
        self.exchange();
        let survivor = attach(self.place);
        survivor.recover().expect("whoever is left");
        let stats = survivor.stats().unwrap();
        assert_eq!(stats.in_flight, 0, "what was in flight has arrived, or its ring is gone");
        assert_eq!(stats.owned, self.held.len() as u64, "the dead own none: {:?}", stats.holders);
        let free = take(&survivor, u64::MAX);
        assert_eq!(free.len() as u64 + stats.owned, BLOCKS, "every block is found again");
        give(&survivor, free);
        give(self.pool, self.held.drain(..));
        assert_eq!(take(&survivor, u64::MAX).len() as u64, BLOCKS, "also what was in others' hands");
        drop(survivor);
        assert!(matches!(
            self.pool.acquire_raw(Deadline::NOW).map(|id| self.pool.release_raw(id)),
            Ok(Ok(()))
        ));
        // SAFETY: made from a box by `make`; the one thread that had it is over.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(self.pool).cast_mut()) });
        self.place.unlink(POOL);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
