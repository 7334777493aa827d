//! The middle of the demonstration: takes records from one ring, checks them, and passes them on to another.
//!
//! ```text
//! demo_stage IN OUT [--die-at OFFSET]
//! ```
//!
//! A record is released only after it was passed on. So a stage that is killed at any moment loses nothing: its successor
//! finds the record it was at again, and may pass it on twice. With `--die-at` it kills itself at the worst moment,
//! between the two, at the first record from that offset of the file on.

use ipcx::{Consumer, Producer, Result, Ring};

/// Offset, time sent, length, checksum.
const HEADER: usize = 32;

/// FNV-1a over 8-byte words; the last word is filled up with zeroes.
fn checksum(piece: &[u8]) -> u64 {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    piece
        .chunks(8)
        .fold(0xcbf2_9ce4_8422_2325, |hash, bytes| (hash ^ word(bytes)).wrapping_mul(0x100_0000_01b3))
}

/// Passes one record on; false after the one that ends the stream.
fn pass_on(rx: &mut Consumer, tx: &mut Producer, die_at: u64) -> Result<bool> {
    let record = rx.borrow()?;
    let mut room = tx.reserve(record.len())?;
    // SAFETY: the other processes on these rings keep to the protocol, as this one does.
    let (from, to) = unsafe { (record.as_slice(), room.as_mut_slice()) };
    let field = |at: usize| u64::from_le_bytes(from[at * 8..][..8].try_into().expect("8 bytes"));
    let (offset, length, sum) = (field(0), field(2), field(3));
    assert_eq!(from.len() - HEADER, length as usize, "the piece at {offset} is not whole");
    assert_eq!(checksum(&from[HEADER..]), sum, "the piece at {offset} is damaged");
    to.copy_from_slice(from);
    room.commit();
    if offset >= die_at {
        // SAFETY: no memory is involved; this process ends here.
        unsafe { libc::raise(libc::SIGKILL) };
    }
    record.release();
    Ok(length > 0)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (from, to, die_at) = match words[..] {
        [from, to] => (from, to, u64::MAX),
        [from, to, "--die-at", offset] => (from, to, offset.parse().expect("an offset")),
        _ => panic!("usage: demo_stage IN OUT [--die-at OFFSET]"),
    };
    let mut rx = Ring::open(from, &Default::default())?.consumer()?;
    let mut tx = Ring::open(to, &Default::default())?.producer()?;
    while pass_on(&mut rx, &mut tx, die_at)? {}
    Ok(())
}
