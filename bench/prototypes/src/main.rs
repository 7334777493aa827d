//! Two formats for a shared-memory ring of variable-length records, side by side.
//!
//! Two forked processes are pinned to two cores. The contenders of a group take turns, forwards in
//! even rounds and backwards in odd ones; a figure is a median, and a ratio is taken within a round to
//! the first contender of the group. `cargo run --release [-- GROUP ROUNDS ROUND_MS]`.

mod contenders;
mod floor;
mod head_tail;
mod inline_header;
mod region;

use core::hint::{black_box, spin_loop};
use core::sync::atomic::Ordering::*;
use region::Region;
use std::time::Instant;

/// A ring under test: the types of its two ends.
pub trait Design {
    type Tx: Tx;
    type Rx: Rx;
}

pub trait Tx {
    fn attach(r: &Region) -> Self;
    /// False when there is no room.
    fn send(&mut self, msg: &[u8]) -> bool;
    /// Sends the first `len` bytes of every message with one commit, or nothing.
    fn send_batch(&mut self, msgs: &[[u8; 64]], len: usize) -> bool;
}

pub trait Rx {
    fn attach(r: &Region) -> Self;
    /// Copies the next record into `out`.
    fn recv(&mut self, out: &mut [u8]) -> Option<usize>;
    /// Copies as many records as there are, at most `out.len()`.
    fn recv_batch(&mut self, out: &mut [[u8; 64]]) -> usize;
    fn finish(&mut self) {}
}

/// What a receiver does when it finds the ring empty: `PAUSES` times `pause` before it looks again, but
/// only if it has taken at least `STREAK` records since it last found the ring empty.
#[derive(Default)]
pub struct Idle<const PAUSES: u32, const STREAK: u64> {
    streak: u64,
}

/// A receiver's way to wait, so that contenders can name one.
pub trait Wait: Default {
    fn empty(&mut self);
    fn took(&mut self, records: u64);
}

impl<const PAUSES: u32, const STREAK: u64> Wait for Idle<PAUSES, STREAK> {
    #[inline(always)]
    fn empty(&mut self) {
        if self.streak >= STREAK {
            for _ in 0..PAUSES {
                spin_loop();
            }
        }
        self.streak = 0;
    }

    #[inline(always)]
    fn took(&mut self, records: u64) {
        self.streak += records;
    }
}

/// Numbers a message: every word of a small one, the first word of every line of a large one.
#[inline(always)]
pub fn fill(msg: &mut [u8], n: u64) {
    let step = if msg.len() > 64 { 64 } else { 8 };
    for (i, part) in msg.chunks_mut(step).enumerate() {
        part[..8].copy_from_slice(&(n + i as u64).to_ne_bytes());
    }
}

#[inline(always)]
pub fn check(msg: &[u8], n: u64) {
    let step = if msg.len() > 64 { 64 } else { 8 };
    let wrong = msg.chunks(step).enumerate().fold(0, |wrong, (i, part)| {
        wrong | (u64::from_ne_bytes(part[..8].try_into().unwrap()) ^ (n + i as u64))
    });
    assert_eq!(wrong, 0, "message {n} is damaged");
}

/// One side of a contender: works through `n` messages on two rings.
pub type Side = fn(&[Region; 2], u64);

/// One contender of a group.
pub struct Contender {
    pub name: &'static str,
    pub here: Side,
    pub there: Side,
    pub cap: usize,
}

pub struct Group {
    pub name: &'static str,
    pub unit: &'static str,
    /// The figure, from messages and seconds.
    pub figure: fn(f64, f64) -> f64,
    pub contenders: Vec<Contender>,
}

/// Round trip through two rings.
pub fn round_trip<D: Design, W: Wait, const LEN: usize>(name: &'static str) -> Contender {
    fn here<D: Design, W: Wait, const LEN: usize>(r: &[Region; 2], n: u64) {
        let (mut tx, mut rx, mut wait) = (D::Tx::attach(&r[0]), D::Rx::attach(&r[1]), W::default());
        let (mut out, mut back) = ([0; LEN], [0; LEN]);
        for i in 0..n {
            fill(&mut out, i);
            while !tx.send(&out[..black_box(LEN)]) {}
            while rx.recv(&mut back).is_none() {
                wait.empty();
            }
            wait.took(1);
            check(&back, i);
        }
    }
    fn there<D: Design, W: Wait, const LEN: usize>(r: &[Region; 2], n: u64) {
        let (mut rx, mut tx, mut wait) = (D::Rx::attach(&r[0]), D::Tx::attach(&r[1]), W::default());
        let mut buf = [0; LEN];
        for i in 0..n {
            let len = loop {
                match rx.recv(&mut buf) {
                    Some(len) => break len,
                    None => wait.empty(),
                }
            };
            wait.took(1);
            check(&buf, i);
            while !tx.send(&buf[..len]) {}
        }
    }
    Contender { name, here: here::<D, W, LEN>, there: there::<D, W, LEN>, cap: 64 << 10 }
}

/// One way, single records.
pub fn one_way<D: Design, W: Wait, const LEN: usize>(name: &'static str, cap: usize) -> Contender {
    fn here<D: Design, const LEN: usize>(r: &[Region; 2], n: u64) {
        let (mut tx, mut msg) = (D::Tx::attach(&r[0]), [0; LEN]);
        for i in 0..n {
            fill(&mut msg, i);
            while !tx.send(&msg[..black_box(LEN)]) {}
        }
    }
    fn there<D: Design, W: Wait, const LEN: usize>(r: &[Region; 2], n: u64) {
        let (mut rx, mut msg, mut wait) = (D::Rx::attach(&r[0]), [0; LEN], W::default());
        for i in 0..n {
            while rx.recv(&mut msg).is_none() {
                wait.empty();
            }
            wait.took(1);
            check(&msg, i);
        }
        rx.finish();
    }
    Contender { name, here: here::<D, LEN>, there: there::<D, W, LEN>, cap }
}

/// One way, 64 records to a commit and up to 64 to a receive.
pub fn batches<D: Design, W: Wait, const LEN: usize>(name: &'static str, cap: usize) -> Contender {
    fn here<D: Design, const LEN: usize>(r: &[Region; 2], n: u64) {
        let (mut tx, mut msgs) = (D::Tx::attach(&r[0]), [[0; 64]; 64]);
        for first in (0..n).step_by(64) {
            for (i, msg) in (first..n).zip(&mut msgs) {
                fill(&mut msg[..LEN], i);
            }
            while !tx.send_batch(&msgs[..(n - first).min(64) as usize], black_box(LEN)) {}
        }
    }
    fn there<D: Design, W: Wait, const LEN: usize>(r: &[Region; 2], n: u64) {
        let (mut rx, mut msgs, mut wait) = (D::Rx::attach(&r[0]), [[0; 64]; 64], W::default());
        let mut next = 0;
        while next < n {
            let got = rx.recv_batch(&mut msgs);
            if got == 0 {
                wait.empty();
            }
            wait.took(got as u64);
            for msg in &msgs[..got] {
                check(&msg[..LEN], next);
                next += 1;
            }
        }
    }
    Contender { name, here: here::<D, LEN>, there: there::<D, W, LEN>, cap }
}

/// A floor: two functions on the control pages.
pub fn flags<const PAYLOAD: bool>(name: &'static str) -> Contender {
    let (here, there): (Side, Side) = (floor::flag_ping::<PAYLOAD>, floor::flag_pong::<PAYLOAD>);
    Contender { name, here, there, cap: 4096 }
}

fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is a valid empty set; the call copies it.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

extern "C" fn peer_died(_: i32) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(1) }
}

/// Forks the peer of every contender of a group; it serves one order after the other.
fn fork_peer(orders: &Region, group: &Group, rings: &[[Region; 2]]) {
    // SAFETY: the program has one thread, so the child may do anything.
    unsafe {
        libc::signal(libc::SIGCHLD, peer_died as extern "C" fn(i32) as usize);
        if libc::fork() != 0 {
            return;
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    pin(1);
    for turn in 1.. {
        while orders.control(0).load(Acquire) != turn {
            spin_loop();
        }
        let (which, n) = (orders.control(8).load(Relaxed) as usize, orders.control(16).load(Relaxed));
        let there = group.contenders.get(which).map_or(floor::flag_pong::<false> as _, |c| c.there);
        there(&rings[which], n);
        orders.control(64).store(turn, Release);
    }
}

/// Runs one contender (beyond the last: the flag ping-pong) for `n` messages and returns the seconds
/// until the peer has them all.
fn run(orders: &Region, group: &Group, rings: &[[Region; 2]], which: usize, n: u64) -> f64 {
    let turn = orders.control(0).load(Relaxed) + 1;
    orders.control(8).store(which as u64, Relaxed);
    orders.control(16).store(n, Relaxed);
    orders.control(0).store(turn, Release);
    let here = group.contenders.get(which).map_or(floor::flag_ping::<false> as _, |c| c.here);
    let start = Instant::now();
    here(&rings[which], n);
    while orders.control(64).load(Acquire) != turn {}
    start.elapsed().as_secs_f64()
}

/// The ordered contenders' figures of one round, and the flag ping-pong before and after it.
struct Round {
    floor: [f64; 2],
    figures: Vec<f64>,
}

/// A hypervisor may move the two CPUs nearer to each other or further apart while the program runs, and
/// a line then takes several times as long. The flag ping-pong tells which it was.
const DISTANCES: [(&str, f64, f64); 3] =
    [("near", 0.0, 300.0), ("far", 300.0, 900.0), ("very far", 900.0, f64::INFINITY)];

fn measure(group: &Group, rounds: usize, round_s: f64) {
    let orders = Region::new(4096);
    let mut rings: Vec<_> =
        group.contenders.iter().map(|c| [Region::new(c.cap), Region::new(c.cap)]).collect();
    rings.push([Region::new(4096), Region::new(4096)]);
    let floor = rings.len() - 1;
    fork_peer(&orders, group, &rings);
    let ping = || run(&orders, group, &rings, floor, 10_000) * 1e5;
    // Warm up for a few laps at least, and find how many messages a round takes.
    let mut counts = vec![65_536; floor];
    let mut turn = |which: usize| {
        let t = run(&orders, group, &rings, which, counts[which]);
        let figure = (group.figure)(counts[which] as f64, t);
        counts[which] = (counts[which] as f64 * (round_s / t).clamp(0.2, 5.0)) as u64;
        figure
    };
    for i in 0..4 * floor {
        turn(i % floor);
    }
    let mut all = Vec::new();
    for round in 0..rounds {
        let before = ping();
        let mut figures = vec![0.0; floor];
        for i in 0..floor {
            let which = if round % 2 == 0 { i } else { floor - 1 - i };
            figures[which] = turn(which);
        }
        all.push(Round { floor: [before, ping()], figures });
    }
    for (title, from, to) in DISTANCES {
        let same: Vec<&Round> = all.iter().filter(|r| r.floor.iter().all(|&f| from <= f && f < to)).collect();
        if !same.is_empty() {
            print(group, title, &same);
        }
    }
}

/// 10th percentile, median and 90th percentile.
fn spread(mut v: Vec<f64>) -> [f64; 3] {
    v.sort_by(f64::total_cmp);
    [0.1, 0.5, 0.9].map(|p| v[((v.len() - 1) as f64 * p).round() as usize])
}

fn print(group: &Group, title: &str, rounds: &[&Round]) {
    let [_, floor, _] = spread(rounds.iter().flat_map(|r| r.floor).collect());
    let (name, unit) = (group.name, group.unit);
    println!("\n{name}, {unit}; CPUs {title}: flag ping-pong {floor:.0} ns, {} rounds", rounds.len());
    println!("{:<46} {:>8} {:>17}   ratio {:>13}", "", "median", "p10 .. p90", "p10 .. p90");
    for (i, c) in group.contenders.iter().enumerate() {
        let [lo, mid, hi] = spread(rounds.iter().map(|r| r.figures[i]).collect());
        let [rlo, rmid, rhi] = spread(rounds.iter().map(|r| r.figures[i] / r.figures[0]).collect());
        println!("{:<46} {mid:>8.1} {lo:>8.1} {hi:>8.1}   {rmid:>5.2} {rlo:>6.2} {rhi:>6.2}", c.name);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted = args.first().map_or("", String::as_str);
    let rounds = args.get(1).map_or(15, |s| s.parse().expect("number of rounds"));
    let round_ms: f64 = args.get(2).map_or(100.0, |s| s.parse().expect("milliseconds of a round"));
    pin(0);
    for group in contenders::groups().iter().filter(|g| g.name.starts_with(wanted)) {
        measure(group, rounds, round_ms / 1e3);
    }
}
