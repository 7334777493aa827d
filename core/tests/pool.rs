//! Blocks in one process: acquiring, releasing, handing over, and everything that is refused.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, in_child, Scratch};
use ipcx::{
    Backing, BlockId, Deadline, Error, Pool, PoolOptions, Ring, RingOptions, SegmentOptions, WaitStrategy,
};
use std::collections::HashSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn options(dir: &Scratch, block_size: u64, blocks: u64) -> PoolOptions {
    PoolOptions { block_size, blocks, segment: dir.segment(), ..Default::default() }
}

fn anonymous(block_size: u64, blocks: u64) -> Pool {
    Pool::anonymous(&PoolOptions { block_size, blocks, ..Default::default() }).unwrap()
}

fn counts(pool: &Pool) -> (u64, u64, u64) {
    let stats = pool.stats().unwrap();
    assert_eq!(stats.free + stats.owned + stats.in_flight, stats.blocks);
    (stats.free, stats.owned, stats.in_flight)
}

#[test]
fn every_block_is_had_once_and_lies_by_itself() {
    for (block_size, blocks, alignment) in
        [(1, 1, 0), (64, 3, 0), (100, 64, 0), (1000, 1000, 256), (4096, 130, 4096)]
    {
        let options = PoolOptions { block_size, blocks, alignment, ..Default::default() };
        let pool = Pool::anonymous(&options).unwrap();
        let mut held = Vec::new();
        while let Ok(block) = pool.try_acquire() {
            held.push(block);
        }
        assert_eq!(held.len() as u64, blocks);
        let mut addresses: Vec<_> = held.iter().map(|block| block.as_ptr() as u64).collect();
        addresses.sort();
        assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= block_size));
        assert!(addresses.iter().all(|address| address % alignment.max(64) == 0));
        assert_eq!(held.iter().map(|block| block.id()).collect::<HashSet<_>>().len() as u64, blocks);
        assert_eq!(counts(&pool), (0, blocks, 0));
        // Each byte of each block is its own.
        for (n, block) in held.iter_mut().enumerate() {
            block.write_at(0, &vec![n as u8; block_size as usize]).unwrap();
        }
        for (n, block) in held.iter().enumerate() {
            assert!(block.to_vec().iter().all(|byte| *byte == n as u8));
        }
        drop(held);
        assert_eq!(counts(&pool), (blocks, 0, 0));
    }
}

#[test]
fn a_block_is_released_once_and_by_its_owner_only() {
    let dir = Scratch::new();
    let pool = Pool::create("a", &options(&dir, 64, 32)).unwrap();
    let other = Pool::attach_with("a", &options(&dir, 0, 0)).unwrap();
    let refused = |pool: &Pool, id| matches!(pool.release_raw(id), Err(Error::Invalid(_)));
    // As often as a magazine has places, and more: the ways of a release are different ones.
    for round in 0..50 {
        let ids: Vec<_> = (0..20).map(|_| pool.acquire_raw(Deadline::NOW).unwrap()).collect();
        for id in &ids {
            assert!(refused(&other, *id), "another's");
            pool.release_raw(*id).unwrap();
            assert!(refused(&pool, *id), "released before, in round {round}");
            assert!(pool.block(*id).is_err());
        }
        let again: Vec<_> = (0..20).map(|_| pool.acquire_raw(Deadline::NOW).unwrap()).collect();
        assert!(ids.iter().all(|id| refused(&pool, *id)), "stale, also where the block is in use again");
        assert_eq!(counts(&pool), (12, 20, 0));
        again.into_iter().for_each(|id| pool.release_raw(id).unwrap());
        assert_eq!(counts(&pool), (32, 0, 0));
    }
    for id in [0, 1, 33, u64::MAX, 1 << 28, 1 << 27] {
        assert!(refused(&pool, BlockId::from_raw(id)), "{id:#x} was never given out");
    }
    assert_eq!(counts(&pool), (32, 0, 0));
}

#[test]
fn what_one_keeps_ready_is_not_kept_from_others() {
    let dir = Scratch::new();
    let pool = Pool::create("a", &options(&dir, 64, 128)).unwrap();
    let other = Pool::attach_with("a", &options(&dir, 0, 0)).unwrap();
    let ids: Vec<_> = (0..128).map(|_| pool.acquire_raw(Deadline::NOW).unwrap()).collect();
    assert!(matches!(other.try_acquire(), Err(Error::WouldBlock(_))));
    ids.into_iter().for_each(|id| pool.release_raw(id).unwrap());
    let theirs: Vec<_> = (0..128).map(|_| other.try_acquire().unwrap()).collect();
    assert!(matches!(pool.try_acquire(), Err(Error::WouldBlock(_))));
    drop(theirs);
    // And back, with what the first one thinks that it has.
    let ours: Vec<_> = (0..128).map(|_| pool.try_acquire().unwrap()).collect();
    assert_eq!(counts(&pool), (0, 128, 0));
    drop(ours);
}

/// Whatever the strategy: also one that never sleeps finds what another keeps ready, and what a dead one had.
#[test]
fn every_strategy_finds_what_is_not_where_blocks_usually_are() {
    for wait in [WaitStrategy::Balanced, WaitStrategy::Spin, WaitStrategy::Yield, WaitStrategy::Block] {
        let dir = Scratch::new();
        let mut options = options(&dir, 64, 16);
        options.segment.wait = wait;
        let pool = Pool::create("a", &options).unwrap();
        let other = Pool::attach_with("a", &options).unwrap();
        let soon = Duration::from_secs(10);
        let ids: Vec<_> = (0..16).map(|_| pool.acquire_raw(Deadline::NOW).unwrap()).collect();
        pool.release_raw(ids[0]).unwrap();
        other.acquire_timeout(soon).unwrap().into_id();
        ids[1..].iter().for_each(|id| pool.release_raw(*id).unwrap());
        in_child(|| {
            let own = Pool::attach_with("a", &options).unwrap();
            let all = (0..15).all(|_| own.acquire_timeout(soon).map(|block| block.into_id()).is_ok());
            std::mem::forget(own);
            all
        });
        other.acquire_timeout(soon).unwrap();
        assert_eq!(counts(&pool), (15, 1, 0), "{wait:?}");
    }
}

#[test]
fn an_acquire_waits_for_a_release_and_no_longer_than_it_was_told() {
    let pool = anonymous(64, 1);
    let held = pool.acquire().unwrap();
    let empty = pool.try_acquire().unwrap_err();
    assert!(matches!(empty, Error::WouldBlock(_)) && empty.to_string().contains("no block"), "{empty}");
    let begin = Instant::now();
    assert!(matches!(pool.acquire_timeout(Duration::from_millis(120)), Err(Error::TimedOut(_))));
    assert!(begin.elapsed() >= Duration::from_millis(120));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.acquire_timeout(Duration::from_secs(10)).unwrap().id());
        std::thread::sleep(Duration::from_millis(20)); // so that it usually sleeps; right either way
        let before = held.id();
        drop(held);
        assert_ne!(waiting.join().unwrap(), before, "another generation");
    });
}

/// More threads than blocks, in handles of their own and in one: nobody has what another has, and all get through.
#[test]
fn threads_that_wait_for_each_others_blocks_all_get_through() {
    const THREADS: u64 = 6;
    const TURNS: u64 = 20_000;
    for shared in [false, true] {
        for blocks in [1, 3, 40] {
            let dir = Scratch::new();
            let pool = Pool::create("a", &options(&dir, 64, blocks)).unwrap();
            let holders: Vec<AtomicU64> = (0..blocks).map(|_| AtomicU64::new(0)).collect();
            let total = AtomicU64::new(0);
            // Joined one by one, which ThreadSanitizer sees, as it does not see the end of a scope.
            std::thread::scope(|scope| {
                let (dir, pool, holders, total) = (&dir, &pool, &holders, &total);
                let take_turns = |thread: u64| {
                    let own = (!shared).then(|| Pool::attach_with("a", &options(dir, 0, 0)).unwrap());
                    let pool = own.as_ref().unwrap_or(pool);
                    for turn in 0..TURNS / blocks.min(4) {
                        let block = pool.acquire_timeout(Duration::from_secs(20)).unwrap();
                        let holder = &holders[(block.id().get() & 0xfff_ffff) as usize - 1];
                        assert_eq!(holder.swap(thread, Ordering::Relaxed), 0, "turn {turn}");
                        std::hint::spin_loop();
                        assert_eq!(holder.swap(0, Ordering::Relaxed), thread);
                        drop(block);
                        total.fetch_add(1, Ordering::Relaxed);
                    }
                };
                let threads: Vec<_> =
                    (1..=THREADS).map(|thread| scope.spawn(move || take_turns(thread))).collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            });
            assert_eq!(total.into_inner(), THREADS * (TURNS / blocks.min(4)));
            assert_eq!(counts(&pool), (blocks, 0, 0));
        }
    }
}

#[test]
fn a_block_goes_through_a_ring_with_its_bytes_and_its_length() {
    let dir = Scratch::new();
    let pool = Pool::create("frames", &options(&dir, 1000, 4)).unwrap();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    for turn in 0..100u32 {
        let mut block = pool.acquire().unwrap();
        let text = format!("frame {turn}");
        block.write_all(text.as_bytes()).unwrap();
        block.set_len(text.len()).unwrap();
        let id = block.id();
        tx.try_send_block(block).unwrap();
        assert_eq!(counts(&pool), (3, 0, 1));
        assert!(matches!(pool.release_raw(id), Err(Error::Invalid(_))), "it is not the sender's any more");
        assert!(matches!(rx.try_recv(&mut [0; 64]), Err(Error::Mismatch(_))), "it is no bytes");
        assert!(matches!(rx.try_borrow().map(drop), Err(Error::Mismatch(_))));
        let got = rx.try_recv_block(&pool).unwrap();
        assert_eq!(
            (got.as_ptr(), got.to_vec()),
            (pool.address(id).unwrap().as_ptr().cast_const(), text.into_bytes())
        );
        assert_ne!(got.id(), id, "a new owner, a new generation");
        assert_eq!(counts(&pool), (3, 1, 0));
    }
    assert!(matches!(rx.try_recv_block(&pool), Err(Error::WouldBlock(_))));
    tx.try_send(b"bytes").unwrap();
    assert!(matches!(rx.try_recv_block(&pool), Err(Error::Mismatch(_))));
    assert_eq!(rx.try_recv(&mut [0; 64]).unwrap(), 5);
    let block = pool.acquire().unwrap();
    tx.try_send_block(block).unwrap();
    let stranger = anonymous(1000, 4);
    assert!(matches!(rx.try_recv_block(&stranger), Err(Error::Mismatch(_))), "a block of another pool");
    drop(tx);
    assert_eq!(rx.recv_block(&pool).unwrap().len(), 1000);
    assert!(matches!(rx.recv_block(&pool), Err(Error::Closed(_))));
    assert_eq!(counts(&pool), (4, 0, 0));
}

#[test]
fn a_block_that_does_not_fit_into_the_ring_comes_back() {
    let pool = anonymous(64, 200);
    let ring = Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut sent = 0;
    let unsent = loop {
        match tx.try_send_block(pool.acquire().unwrap()) {
            Ok(()) => sent += 1,
            Err(unsent) => break unsent,
        }
    };
    assert!(matches!(unsent.error, Error::WouldBlock(_)));
    let id = unsent.block.id();
    drop(unsent);
    assert!(pool.block(id).is_err(), "released with the error");
    assert_eq!(counts(&pool), (200 - sent, 0, sent));
    let timed_out = tx.send_block_timeout(pool.acquire().unwrap(), Duration::from_millis(10)).unwrap_err();
    assert!(matches!(timed_out.error, Error::TimedOut(_)));
    // It can be used and sent again.
    rx.recv_block(&pool).unwrap();
    tx.send_block(timed_out.block).unwrap();
    assert!(matches!(
        tx.send_block_raw(&pool, BlockId::from_raw(7), 1, Deadline::NOW),
        Err(Error::Invalid(_))
    ));
    let block = pool.acquire().unwrap();
    assert!(matches!(tx.send_block_raw(&pool, block.id(), 65, Deadline::NOW), Err(Error::TooBig { .. })));
    assert!(pool.block(block.id()).map(|same| same.into_id()).is_ok(), "still the sender's");
}

#[test]
fn what_is_in_flight_outlives_both_ends_and_comes_back_when_the_ring_is_gone() {
    let dir = Scratch::new();
    let pool = Pool::create("frames", &options(&dir, 64, 8)).unwrap();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let send = || ring.producer().unwrap().send_block(pool.acquire().unwrap()).unwrap();
    send();
    send();
    assert_eq!(pool.recover().unwrap(), 0);
    assert_eq!(counts(&pool), (6, 0, 2), "the ring has a name: somebody may come");
    let mut rx = ring.consumer().unwrap();
    rx.recv_block(&pool).unwrap();
    ipcx::unlink_in(Some(dir.path()), "a").unwrap();
    assert_eq!(pool.recover().unwrap(), 0, "somebody receives");
    drop(rx);
    // Another ring of the same name is another ring.
    let _same = Ring::create("a", &dir.options()).unwrap();
    assert_eq!(pool.recover().unwrap(), 1);
    assert_eq!(counts(&pool), (8, 0, 0));
}

#[test]
fn blocks_of_two_pools_in_one_ring_stay_with_it() {
    let pools = [anonymous(64, 8), anonymous(64, 8)];
    let ring = Ring::anonymous(&RingOptions::default()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    for pool in [&pools[0], &pools[1], &pools[0]] {
        tx.send_block(pool.acquire().unwrap()).unwrap();
        assert_eq!(pools.each_ref().map(|pool| pool.recover().unwrap()), [0, 0]);
    }
    for pool in [&pools[0], &pools[1], &pools[0]] {
        rx.recv_block(pool).unwrap();
    }
    assert_eq!(pools.each_ref().map(counts), [(8, 0, 0); 2]);
}

#[test]
fn a_ring_gets_past_a_block_of_a_pool_that_was_made_anew() {
    let dir = Scratch::new();
    let old = Pool::create("frames", &options(&dir, 64, 8)).unwrap();
    let ring = Ring::create("a", &dir.options()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.send_block(old.acquire().unwrap()).unwrap();
    tx.send(b"behind it").unwrap();
    ipcx::unlink_in(Some(dir.path()), "frames").unwrap();
    let new = Pool::create("frames", &options(&dir, 64, 8)).unwrap();
    assert!(matches!(rx.try_recv_block(&new), Err(Error::Mismatch(_))));
    assert!(rx.skip().unwrap());
    assert_eq!(rx.try_recv(&mut [0; 16]).unwrap(), 9);
    assert!(!rx.skip().unwrap());
    // What was skipped is the ring's until that is gone.
    assert_eq!((old.recover().unwrap(), counts(&old)), (0, (7, 0, 1)));
    drop((tx, rx));
    ipcx::unlink_in(Some(dir.path()), "a").unwrap();
    assert_eq!((old.recover().unwrap(), counts(&old)), (1, (8, 0, 0)));
}

/// The one that takes the slot of a dead one may not get as far as giving back its blocks.
#[test]
fn a_failed_attach_leaves_the_dead_to_others() {
    if child_argument().is_some() {
        let dir = std::path::PathBuf::from(child_argument().unwrap());
        let segment = SegmentOptions { directory: Some(dir), ..Default::default() };
        let options = PoolOptions { segment, ..Default::default() };
        // Enough for the slots, not for the blocks.
        let now = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = now.split(' ').next().unwrap().parse().unwrap();
        let most = pages * 4096 + (4 << 20);
        // SAFETY: one valid struct.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &libc::rlimit { rlim_cur: most, rlim_max: most }) };
        return assert!(Pool::attach_with("a", &options).is_err());
    }
    let dir = Scratch::new();
    let pool = Pool::create("a", &options(&dir, 1 << 20, 16)).unwrap();
    in_child(|| {
        let own = Pool::attach_with("a", &options(&dir, 0, 0)).unwrap();
        (0..8).for_each(|_| assert_ne!(own.acquire().unwrap().into_id().get(), 0));
        std::mem::forget(own);
        true
    });
    let status =
        child("a_failed_attach_leaves_the_dead_to_others", dir.path().to_str().unwrap()).status().unwrap();
    assert!(status.success());
    assert_eq!(pool.recover().unwrap(), 8);
    assert_eq!(counts(&pool), (16, 0, 0));
}

#[test]
fn more_rings_than_channels_are_told_so_and_those_that_are_gone_make_room() {
    let dir = Scratch::new();
    let pool = Pool::create("frames", &options(&dir, 64, 200)).unwrap();
    let mut rings = Vec::new();
    let full = loop {
        let name = format!("ring-{}", rings.len());
        let ring = Ring::create(&name, &dir.options()).unwrap();
        match ring.producer().unwrap().send_block(pool.acquire().unwrap()) {
            Ok(()) => rings.push((name, ring)),
            Err(unsent) => break unsent.error,
        }
    };
    assert!(matches!(full, Error::NoSpace(_)), "{full}");
    assert_eq!(counts(&pool).2, rings.len() as u64);
    for (name, _) in rings.drain(..10) {
        ipcx::unlink_in(Some(dir.path()), &name).unwrap();
    }
    let ring = Ring::create("one-more", &dir.options()).unwrap();
    ring.producer().unwrap().send_block(pool.acquire().unwrap()).unwrap();
    assert_eq!(counts(&pool).2, rings.len() as u64 + 1, "what the ten carried has come back");
}

#[test]
fn bad_options_are_refused_and_nothing_is_left() {
    let dir = Scratch::new();
    let bad = |change: fn(&mut PoolOptions)| {
        let mut bad = options(&dir, 64, 8);
        change(&mut bad);
        Pool::create("a", &bad).unwrap_err()
    };
    assert!(matches!(bad(|o| o.block_size = 0), Error::Invalid(_)));
    assert!(matches!(bad(|o| o.blocks = 1 << 28), Error::Invalid(_)));
    assert!(matches!(bad(|o| o.block_size = u64::MAX), Error::Invalid(_)));
    assert!(matches!(bad(|o| o.alignment = 32), Error::Invalid(_)));
    assert!(matches!(bad(|o| o.alignment = 1 << 20), Error::Invalid(_)));
    let large = bad(|o| (o.block_size, o.blocks) = (1 << 40, 1 << 20));
    assert!(matches!(large, Error::NoSpace(_)), "{large}");
    assert!(dir.names().is_empty());
    let pool = Pool::create("a", &options(&dir, 64, 8)).unwrap();
    let attach = |block_size, blocks| Pool::attach_with("a", &options(&dir, block_size, blocks));
    assert!(matches!(attach(65, 0), Err(Error::Mismatch(_))));
    assert!(matches!(attach(0, 9), Err(Error::Mismatch(_))));
    attach(64, 8).unwrap();
    assert!(matches!(Ring::attach_with("a", &dir.options()), Err(Error::Mismatch(_))));
    let nothing_to_make = Pool::open("b", &options(&dir, 0, 8)).unwrap_err();
    assert!(matches!(nothing_to_make, Error::Invalid(_)), "{nothing_to_make}");
    assert_eq!(dir.names().len(), 1);
    assert!(Pool::open("a", &options(&dir, 64, 0)).is_ok());
    assert_eq!(
        Pool::open("a", &PoolOptions { segment: dir.segment(), ..Default::default() }).unwrap().block_size(),
        64
    );
    assert!(matches!(Pool::open("a", &options(&dir, 0, 9)), Err(Error::Mismatch(_))));
    let inside = pool.acquire().unwrap();
    assert!(matches!(inside.read_at(60, &mut [0; 5]), Err(Error::TooBig { needed: 65, available: 64 })));
}

#[test]
fn a_pool_can_be_handed_on_by_its_descriptor() {
    let pool = anonymous(64, 8);
    let held = pool.acquire().unwrap();
    let same = Pool::from_fd(pool.share_fd().unwrap().as_fd()).unwrap();
    assert_eq!(counts(&same), (7, 1, 0));
    assert!(same.block(held.id()).is_err(), "it is another handle's");
    assert_eq!((same.name(), same.blocks(), same.block_size()), ("anonymous", 8, 64));
}

#[test]
fn a_handle_that_closes_gives_back_what_it_owns() {
    let dir = Scratch::new();
    let pool = Pool::create("a", &options(&dir, 64, 64)).unwrap();
    let other = Pool::attach_with("a", &options(&dir, 0, 0)).unwrap();
    let ring = Ring::anonymous(&RingOptions::default()).unwrap();
    let mut tx = ring.producer().unwrap();
    tx.send_block(other.acquire().unwrap()).unwrap();
    for _ in 0..20 {
        other.acquire().unwrap().into_id();
    }
    assert_eq!(counts(&pool), (43, 20, 1));
    drop(other); // the producer that it sent through goes on
    assert_eq!(counts(&pool), (63, 0, 1));
    let next = Pool::attach_with("a", &options(&dir, 0, 0)).unwrap();
    tx.send_block(next.acquire().unwrap()).unwrap();
    assert_eq!(counts(&pool), (62, 0, 2));
}

/// A System V segment as other programs find it.
fn system_v(key: i32) -> Option<Vec<u8>> {
    // SAFETY: the segment is attached, copied, and let go.
    unsafe {
        let id = libc::shmget(key, 0, 0);
        let at = if id < 0 { return None } else { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
        assert_ne!(at as isize, -1);
        let mut facts = std::mem::zeroed();
        assert_eq!(libc::shmctl(id, libc::IPC_STAT, &mut facts), 0);
        let bytes = std::slice::from_raw_parts(at.cast::<u8>(), facts.shm_segsz as usize).to_vec();
        libc::shmdt(at);
        Some(bytes)
    }
}

fn remove_system_v(key: i32) {
    // SAFETY: numbers only.
    unsafe { libc::shmctl(libc::shmget(key, 0, 0), libc::IPC_RMID, std::ptr::null_mut()) };
}

/// A key of this process's own; what has it goes with the test.
struct Key(i32);

impl Key {
    fn new(number: i32) -> Key {
        Key(0x6970_0000 ^ (std::process::id() as i32 & 0xfff) << 4 | number)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        remove_system_v(self.0);
    }
}

fn in_system_v(dir: &Scratch, key: i32) -> PoolOptions {
    let mut options = options(dir, 64, 32);
    options.segment.backing = Backing::SystemV { key };
    options
}

#[test]
fn blocks_in_system_v_memory_are_found_by_their_key_and_go_with_the_name() {
    let (dir, owned) = (Scratch::new(), Key::new(1));
    let key = owned.0;
    let pool = Pool::create("a", &in_system_v(&dir, key)).unwrap();
    let mut block = pool.acquire().unwrap();
    block.write_at(0, b"for whoever has the key").unwrap();
    let number = (block.id().get() & 0xfff_ffff) as usize - 1;
    let bytes = system_v(key).expect("it is there");
    assert_eq!(&bytes[4096 + 64 * number..][..23], b"for whoever has the key");
    assert!(bytes.len() == 4096 + 64 * 32 && bytes.starts_with(b"ipcxSYSV"));

    let other = Pool::attach_with("a", &options(&dir, 0, 0)).unwrap();
    let ring = Ring::create("ring", &dir.options()).unwrap();
    ring.producer().unwrap().send_block(block).unwrap();
    assert!(ring.consumer().unwrap().recv_block(&other).unwrap().to_vec().starts_with(b"for whoever"));
    assert_eq!(counts(&other), (32, 0, 0));

    let again = Pool::create("b", &in_system_v(&dir, key)).unwrap_err();
    assert!(matches!(again, Error::Exists(_)), "{again}");
    drop((pool, other));
    let again = Pool::create("b", &in_system_v(&dir, key)).unwrap_err();
    assert!(matches!(again, Error::Exists(_)), "nobody has it open, but it has a name: {again}");
    ipcx::unlink_in(Some(dir.path()), "a").unwrap();
    assert!(system_v(key).is_none(), "gone with the name");
}

#[test]
fn a_failed_creation_leaves_no_system_v_memory_and_another_programs_is_not_touched() {
    let (dir, owned) = (Scratch::new(), Key::new(2));
    let key = owned.0;
    let _ring = Ring::create("a", &dir.options()).unwrap();
    assert!(matches!(Pool::create("a", &in_system_v(&dir, key)), Err(Error::Exists(_))));
    assert!(system_v(key).is_none());
    assert!(matches!(Pool::create("b", &in_system_v(&dir, 0)), Err(Error::Invalid(_))));
    assert!(matches!(Pool::anonymous(&in_system_v(&dir, key)), Err(Error::Invalid(_))));
    let backing = Backing::SystemV { key };
    let segment = SegmentOptions { backing, ..dir.segment() };
    let ring = Ring::create("b", &RingOptions { segment, ..Default::default() });
    assert!(matches!(ring, Err(Error::Invalid(_))));
    // SAFETY: numbers only.
    assert!(unsafe { libc::shmget(key, 8192, libc::IPC_CREAT | 0o600) } >= 0);
    let foreign = Pool::create("b", &in_system_v(&dir, key)).unwrap_err();
    assert!(matches!(foreign, Error::Exists(_)), "{foreign}");
    remove_system_v(key);
    let pool = Pool::create("b", &in_system_v(&dir, key)).unwrap();
    remove_system_v(key);
    assert!(
        Pool::attach_with("b", &options(&dir, 0, 0)).is_err_and(|error| matches!(error, Error::Corrupt(_)))
    );
    drop(pool);
    ipcx::unlink_in(Some(dir.path()), "b").unwrap();
}

#[test]
fn what_a_dead_creator_left_in_system_v_memory_is_removed_by_the_next() {
    let (dir, owned) = (Scratch::new(), Key::new(3));
    let key = owned.0;
    // As one leaves it that dies before the first page is written, and one that dies before the file has its name.
    // SAFETY: numbers only.
    assert!(unsafe { libc::shmget(key, 8192, libc::IPC_CREAT | 0o601) } >= 0);
    drop(Pool::create("a", &in_system_v(&dir, key)).unwrap());
    std::fs::remove_file(dir.file("a")).unwrap();
    assert!(system_v(key).is_some());
    drop(Pool::create("a", &in_system_v(&dir, key)).unwrap());
    ipcx::unlink_in(Some(dir.path()), "a").unwrap();
    assert!(system_v(key).is_none());
}

/// One handle for three threads, and blocks that come round quickly: a sender may be late by a whole round.
#[test]
fn a_pipeline_of_threads_with_one_handle_loses_nothing() {
    const COUNT: u64 = 200_000;
    const LONG: Duration = Duration::from_secs(20);
    let pool = anonymous(64, 256);
    let rings =
        [(); 2].map(|_| Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap());
    let [(mut first, mut from_first), (mut second, mut from_second)] =
        rings.each_ref().map(|ring| (ring.producer().unwrap(), ring.consumer().unwrap()));
    std::thread::scope(|scope| {
        let one = scope.spawn(|| {
            for number in 0..COUNT {
                let mut block = pool.acquire_timeout(LONG).unwrap();
                block.write_at(0, &number.to_le_bytes()).unwrap();
                first.send_block_timeout(block, LONG).unwrap();
            }
        });
        let two = scope.spawn(|| {
            for _ in 0..COUNT {
                second.send_block_timeout(from_first.recv_block_timeout(&pool, LONG).unwrap(), LONG).unwrap();
            }
        });
        for number in 0..COUNT {
            let block = from_second.recv_block_timeout(&pool, LONG).unwrap();
            let mut bytes = [0; 8];
            block.read_at(0, &mut bytes).unwrap();
            assert_eq!(u64::from_le_bytes(bytes), number);
        }
        [one, two].into_iter().for_each(|thread| thread.join().unwrap()); // ThreadSanitizer sees that
    });
    assert_eq!(counts(&pool), (256, 0, 0));
}

/// A pool of 16 blocks of 1 GiB each, which have memory where they are used.
fn on_demand() -> Pool {
    Pool::anonymous(&PoolOptions { block_size: 1 << 30, blocks: 16, on_demand: true, ..Default::default() })
        .unwrap()
}

/// Bytes of memory that the pool's file has.
fn memory_of(pool: &Pool) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::File::from(pool.share_fd().unwrap()).metadata().unwrap().blocks() * 512
}

#[test]
fn blocks_on_demand_have_memory_where_they_are_used() {
    let pool = on_demand();
    let without = memory_of(&pool);
    assert!(pool.is_on_demand() && without < 1 << 20);
    let mut held: Vec<_> = (0..16).map(|_| pool.try_acquire().unwrap()).collect();
    for block in &mut held {
        pool.obtain(block.id(), 1 << 20).unwrap();
        block.write_at((1 << 20) - 1, b"x").unwrap();
    }
    assert_eq!(memory_of(&pool) - without, 16 << 20);
    let (first, last) = (held[0].id(), held[15].id());
    assert!(matches!(pool.obtain(first, (1 << 30) + 1), Err(Error::TooBig { .. })));
    for block in held {
        pool.let_go(block.id(), 1 << 20).unwrap();
    }
    // The first eight keep what they have, the others a little.
    assert_eq!(memory_of(&pool) - without, (8 << 20) + 8 * (64 << 10));
    assert!(matches!(pool.obtain(last, 1), Err(Error::Invalid(_))), "it was released");
    assert!(matches!(pool.let_go(last, 1), Err(Error::Invalid(_))));
    let lowest = pool.try_acquire().unwrap();
    assert_eq!(lowest.id().get() & 0xfff_ffff, first.get() & 0xfff_ffff, "the lowest is taken first");
    let mut last_byte = [0];
    lowest.read_at((1 << 20) - 1, &mut last_byte).unwrap();
    assert_eq!(&last_byte, b"x", "and has what it had");
    let other = Pool::from_fd(pool.share_fd().unwrap().as_fd()).unwrap();
    assert!(other.is_on_demand());
    assert_eq!(other.free().unwrap(), 15);
}

#[test]
fn on_demand_and_system_v_do_not_go_together() {
    let dir = Scratch::new();
    let segment = SegmentOptions { backing: Backing::SystemV { key: 7 }, ..dir.segment() };
    let options = PoolOptions { block_size: 4096, blocks: 1, on_demand: true, segment, ..Default::default() };
    assert!(matches!(Pool::create("both", &options), Err(Error::Invalid(_))));
    let options = PoolOptions { block_size: u64::MAX, blocks: 2, on_demand: true, ..Default::default() };
    assert!(matches!(Pool::anonymous(&options), Err(Error::Invalid(_))));
}

#[test]
fn a_note_hands_a_block_over_once() {
    let one = anonymous(64, 2);
    let other = Pool::from_fd(one.share_fd().unwrap().as_fd()).unwrap();
    let mut block = one.acquire().unwrap();
    block.write_at(0, b"by a note").unwrap();
    let id = block.into_id();
    assert!(matches!(one.lend(id, 65), Err(Error::TooBig { .. })));
    let note = one.lend(id, 9).unwrap();
    assert!(matches!(one.release_raw(id), Err(Error::Invalid(_))), "it is being sent");
    one.keep(id);
    assert!(other.accept(&note).unwrap().is_none(), "it was not sent");
    let note = one.lend(id, 9).unwrap();
    one.lent(id);
    assert_eq!(counts(&one), (1, 0, 1));
    assert_eq!(one.recover().unwrap(), 0, "in flight until it is accepted");
    let (theirs, len) = other.accept(&note).unwrap().unwrap();
    assert_eq!((len, &other.block(theirs).unwrap().to_vec()[..9]), (9, &b"by a note"[..]));
    assert!(other.accept(&note).unwrap().is_none() && one.accept(&note).unwrap().is_none());
    assert_eq!(counts(&one), (2, 0, 0)); // the guard released it
}

#[test]
fn a_lender_that_ends_before_it_said_so_loses_the_block_or_has_it_taken() {
    let other = anonymous(64, 1);
    for taken in [false, true] {
        let one = Pool::from_fd(other.share_fd().unwrap().as_fd()).unwrap();
        let note = one.lend(one.acquire().unwrap().into_id(), 1).unwrap();
        let accepted = if taken { other.accept(&note).unwrap() } else { None };
        drop(one);
        assert!(other.accept(&note).unwrap().is_none());
        if let Some((id, _)) = accepted {
            other.release_raw(id).unwrap();
        }
        assert_eq!(counts(&other), (1, 0, 0));
    }
}

#[test]
fn a_note_of_anything_is_refused() {
    let (pool, other) = (anonymous(64, 1), anonymous(64, 1));
    let note = other.lend(other.acquire().unwrap().into_id(), 1).unwrap();
    assert!(matches!(pool.accept(&note), Err(Error::Mismatch(_))));
    for (at, byte) in [(16, 65), (22, 1), (28, 1)] {
        let mut wrong = note;
        wrong[at] = byte; // a length that the block has not, or a slot that nobody has
        assert!(matches!(other.accept(&wrong), Err(Error::Corrupt(_))), "{at}");
    }
    let mut wrong = note;
    wrong[8] = 77; // no such block
    assert!(other.accept(&wrong).unwrap().is_none());
    assert!(other.accept(&note).unwrap().is_some());
}
