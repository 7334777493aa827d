//! Inputs to start from: one that is right for each way through a target. Everything else is found from them.

use super::image::{record_word, template, HEADER};
use super::TARGETS;

/// Inputs of a target, by its name.
///
/// # Panics
/// If there is no such target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "attach" => attach(),
        "ring_reader" => ring_reader(),
        "operations" => operations(),
        "options" => options(),
        "descriptors" => descriptors(),
        "pool" => pool(),
        _ => panic!("no target {target}; there are {:?}", TARGETS.map(|(name, _)| name)),
    }
}

/// Acquiring all and giving all back, handing over, closing; by either handle, whole and damaged.
fn pool() -> Vec<Vec<u8>> {
    let all = |call: u8, times: usize| [call, 0].repeat(times);
    let mut seeds = Vec::new();
    for first in [1, 4] {
        for which in [0, 128] {
            let start = vec![first];
            seeds.push([start.clone(), vec![which; 71], all(6 | which, 70), vec![which ^ 128; 71]].concat());
            seeds.push(
                [start.clone(), vec![which; 9], all(10 | which, 9), vec![12 | which ^ 128; 9]].concat(),
            );
            seeds.push([start, vec![which; 20], all(15 | which, 4), vec![13, 4, 14, 14 | which]].concat());
        }
    }
    seeds
}

fn attach() -> Vec<Vec<u8>> {
    let (image, layout) = template();
    let parts = [0..HEADER, layout.page..layout.page + 192, layout.body..layout.body + 192];
    let whole: Vec<u8> = parts.into_iter().flat_map(|part| image[part].to_vec()).collect();
    // Not touched, its bytes; then with other sizes, strategies, participants, in files of all kinds.
    let mut seeds = vec![[&[0, 0, 0][..], &whole].concat(), [&[6, 0, 0][..], &whole].concat(), vec![1, 0, 0]];
    for flags in [3, 7, 11, 19, 99, 103] {
        for (at, value) in [(32, 1 << 20), (40, 8192), (64, 12288), (72, 3 << 32 | 64), (88, 8192), (16, 2)] {
            seeds.push([&[flags, 0, 16, 1, at][..], &u64::to_le_bytes(value)].concat());
        }
        // A role that somebody left open, and a record that is there.
        let role = [&[flags, 0, 16, 0, 4, 0, 0][..], &u64::to_le_bytes(1 << 32 | 1)].concat();
        let record = [&[7, 0, 0][..], &record_word(5, 0).to_le_bytes()].concat();
        seeds.extend([role.clone(), [role, record].concat()]);
    }
    seeds
}

fn ring_reader() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for flags in 0..4 {
        for head in [0u64, 4000, (1 << 27) - 800, u64::MAX - 1999] {
            let mut seed = vec![flags, 40];
            seed.extend(head.to_le_bytes());
            seed.push(12);
            for len in [0u16, 1, 7, 8, 9, 63, 64, 65, 500, 300, 16, 2] {
                seed.extend(len.to_le_bytes());
            }
            seeds.push(seed.clone());
            seed.extend([5 | 2 << 3, 0, 0, 1, 2]); // the role's word
            seed.extend([7, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // a word of the data
            seeds.push(seed);
        }
    }
    seeds
}

fn operations() -> Vec<Vec<u8>> {
    // Take both roles, then each call a few times, with a role that is closed, dies, and is taken again in between.
    let (tx, rx) = ([14, 0], [15, 1]);
    let some = [0, 100, 0, 1, 3, 2, 200, 200, 1, 9, 0, 200, 0, 1, 7];
    let many = [3, 3, 5, 0, 6, 0, 7, 0, 10, 5, 255, 190, 1];
    let place = [4, 50, 0, 3, 9, 43, 44, 5, 30, 0, 6, 1, 8, 12, 13, 45];
    let full = [0, 255, 215, 1, 1, 0, 1, 0, 0, 1];
    let mut seeds = Vec::new();
    for begin in [0, 9, 18, 27, 36, 45, 54, 63] {
        let mut seed = vec![begin];
        for leave in [0, 1, 2, 3] {
            seed.extend(tx.iter().chain(&rx).chain(&some).chain(&many).chain(&place).chain(&full));
            seed.extend([18, 239, leave, 17, 0, 16, leave, 7, 200, 0, 1]);
        }
        seeds.push(seed);
    }
    seeds
}

fn descriptors() -> Vec<Vec<u8>> {
    let damage = ring_reader().into_iter().map(|seed| [&[0], &seed[2..]].concat());
    damage.chain(operations().into_iter().map(|seed| [&[1], &seed[..]].concat())).collect()
}

fn options() -> Vec<Vec<u8>> {
    let names = ["a", "feed.v2", "../up", "", ".hidden", "a/b", "nul\0", "ä"]
        .map(|name| [b"\0", name.as_bytes()].concat());
    let long = [200, 201].map(|len| [b"\0", &vec![b'x'; len][..]].concat());
    let kinds = (0..16).map(|kind| {
        let mut seed = vec![1, kind];
        seed.extend([0, 32, 0, 0, 0, 0, 0, 0, 182, 1, 7, 0, kind, 9]);
        seed.extend(b"trades/2");
        seed
    });
    names.into_iter().chain(long).chain(kinds).collect()
}
