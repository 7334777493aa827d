//! Any bytes behind a valid header, and nobody else who writes: what a consumer delivers is then exactly what the format
//! says, record for record, up to the first word that is none; and a producer goes on exactly there.
//!
//! The input: how it is read and how much (two bytes), the consumer's position (eight), records that are really there, and
//! what is damaged. With endpoints that were attached before the damage, only harmlessness is asked for.

use super::attach::assert_harmless;
use super::image::{damage, record_len, record_size, record_word, template, Bench, Layout};
use super::input::Input;
use ipcx::{Consumer, Error, Producer};

/// Bits of the first byte.
const ATTACHED: u8 = 1;
const WALK: u8 = 2;
/// What a word's kind differs in, of a record that carries bytes and one that hands a block over.
const OTHER_KIND: u64 = 3 << 32;

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Record(usize),
    /// One that hands a block over.
    Block(usize),
    Nothing,
    Corrupt,
}

/// A segment's bytes, read by the rules of docs/segment-format.md.
struct Reader<'a> {
    image: &'a [u8],
    layout: &'a Layout,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.image[at..at + 8].try_into().expect("8 bytes"))
    }

    /// What stands at `at`, for a reader that has released everything before `head`.
    fn next(&self, head: u64, at: u64) -> Next {
        let word = self.word(self.layout.at(at));
        let fits = |len| at.wrapping_sub(head) + record_size(len) <= self.layout.capacity - 8;
        match (record_len(word, at), record_len(word ^ OTHER_KIND, at)) {
            _ if word == 0 => Next::Nothing,
            (Some(len), _) if fits(len) => Next::Record(len),
            (_, Some(len)) if fits(len) => Next::Block(len),
            _ => Next::Corrupt,
        }
    }

    fn payload(&self, at: u64, len: usize) -> Vec<u8> {
        (0..len as u64).map(|i| self.image[self.layout.at(at.wrapping_add(8 + i))]).collect()
    }

    /// Where a producer goes on that takes over with the consumer at `head`.
    fn tail(&self, head: u64) -> Option<u64> {
        let mut at = head;
        loop {
            match self.next(head, at) {
                Next::Record(len) | Next::Block(len) => at = at.wrapping_add(record_size(len)),
                Next::Nothing => return Some(at),
                Next::Corrupt => return None,
            }
        }
    }
}

/// The target.
pub fn ring_reader(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, limit) = (input.u8(), input.u8());
    let (template, layout) = template();
    let mut image = template.clone();
    put_records(&mut image, layout, &mut input);
    Bench::lend(|bench| {
        if flags & ATTACHED != 0 {
            bench.fill(&image);
            under_endpoints(bench, &mut image, &mut input, false);
        } else {
            damage(&mut image, layout, &mut input);
            bench.fill(&image);
            let reader = Reader { image: &image, layout };
            read_and_go_on(bench, &reader, flags, usize::from(limit));
        }
    });
}

/// A few records in order, from a position that the input says.
fn put_records(image: &mut [u8], layout: &Layout, input: &mut Input) {
    let mut set = |at: usize, value: u64| image[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    let head = input.u64() & !7;
    let mut at = head;
    for _ in 0..input.u8() & 31 {
        let len = usize::from(input.u16()) % 600;
        if at.wrapping_sub(head) + record_size(len) > layout.capacity - 8 {
            break;
        }
        set(layout.at(at), record_word(len, at));
        at = at.wrapping_add(record_size(len));
    }
    set(layout.consumer(), head);
    set(layout.producer_tail(), at);
}

/// The part of another target that is about threads: damage under endpoints whose descriptors are watched.
pub fn under_watchers(input: &mut Input<'_>) {
    let (template, layout) = template();
    let mut image = template.clone();
    put_records(&mut image, layout, input);
    Bench::lend(|bench| {
        bench.fill(&image);
        under_endpoints(bench, &mut image, input, true);
    });
}

/// Endpoints that are there already.
fn under_endpoints(bench: &Bench, image: &mut [u8], input: &mut Input, watched: bool) {
    let (mut tx, mut rx) = (bench.ring.producer().expect("free"), bench.ring.consumer().expect("free"));
    if watched {
        tx.poll_fd().expect("a descriptor");
        rx.poll_fd().expect("a descriptor");
    }
    assert_harmless(tx.try_send(b"before"));
    damage(image, &bench.layout, input);
    bench.fill(image);
    assert_believed_only_if_sensible(&mut tx, &Reader { image, layout: &bench.layout });
    let mut buffer = vec![0; bench.layout.capacity as usize];
    for _ in 0..3 {
        assert_harmless(rx.try_recv(&mut buffer));
        assert_harmless(tx.try_send(&[7; 100]));
        assert_harmless(rx.try_borrow().map(|record| drop(record.to_vec())));
        assert_harmless(tx.try_send_many([&b"one"[..], b"", &[3; 900]]));
        assert_harmless(rx.try_recv_many(&mut buffer, &mut [0; 5]));
        assert_harmless(tx.try_reserve(50).map(|room| room.commit()));
        assert_harmless(bench.ring.stats());
    }
}

/// A producer whose ring was not empty, asked for all of the room there can be, looks at the consumer's position: it goes by it
/// if it lies between the oldest record that there can be and the newest.
fn assert_believed_only_if_sensible(tx: &mut Producer, reader: &Reader<'_>) {
    let position = reader.word(reader.layout.consumer());
    let used = tx.position().wrapping_sub(position);
    let sent = tx.try_send(&vec![9; tx.max_len()]);
    let as_expected = match &sent {
        Ok(()) => used == 0,
        Err(Error::Corrupt(_)) => used > reader.layout.capacity - 8 || position % 8 != 0,
        Err(Error::WouldBlock(_) | Error::Closed(_) | Error::PeerDead(_)) => {
            position % 8 == 0 && used > 0 && used <= reader.layout.capacity - 8
        }
        Err(_) => false,
    };
    assert!(as_expected, "{used} bytes used up to {position}: {sent:?}");
}

fn read_and_go_on(bench: &Bench, reader: &Reader, flags: u8, limit: usize) {
    assert!(bench.ring.stats().expect("statistics").used <= bench.layout.capacity);
    let mut position = reader.word(bench.layout.consumer());
    match bench.ring.consumer() {
        Ok(mut rx) => {
            assert_eq!((position % 8, rx.position()), (0, position));
            read(&mut rx, reader, limit);
            position = rx.position();
        }
        Err(Error::Corrupt(_)) => return assert_ne!(position % 8, 0),
        Err(error) => panic!("{error}"),
    }
    let tail = reader.tail(position);
    match bench.ring.producer() {
        Ok(mut tx) => {
            assert_eq!(Some(tx.position()), tail);
            if flags & WALK != 0 {
                go_on(bench, reader, &mut tx, position);
            }
        }
        Err(Error::Corrupt(_)) => assert_eq!(tail, None),
        Err(error) => panic!("{error}"),
    }
}

/// Receives up to `limit` times, each time in another way, and compares.
fn read(rx: &mut Consumer, reader: &Reader, limit: usize) {
    let mut buffer = vec![0; reader.layout.capacity as usize];
    for way in 0..limit {
        let position = rx.position();
        let len = match reader.next(position, position) {
            Next::Record(len) => len,
            Next::Nothing => {
                let nothing = rx.try_recv(&mut buffer);
                return assert!(
                    matches!(nothing, Err(Error::WouldBlock(_) | Error::Closed(_) | Error::PeerDead(_))),
                    "{nothing:?}"
                );
            }
            Next::Block(_) => {
                return assert!(matches!(rx.try_recv(&mut buffer), Err(Error::Mismatch(_))));
            }
            Next::Corrupt => return assert!(matches!(rx.try_recv(&mut buffer), Err(Error::Corrupt(_)))),
        };
        let expected = reader.payload(position, len);
        match way % 4 {
            0 => {
                assert_eq!(rx.try_recv(&mut buffer).expect("a record"), len);
                assert!(buffer[..len] == expected);
            }
            1 => read_in_place(rx, &expected),
            2 => read_batch(rx, reader, &mut buffer),
            _ if len > 0 => {
                let Err(Error::TooBig { needed, available }) = rx.try_recv(&mut buffer[..len - 1]) else {
                    panic!("a buffer that is too small")
                };
                assert_eq!((needed, available), (len, len - 1));
                assert_eq!(rx.position(), position);
            }
            _ => read_in_place(rx, &expected),
        }
    }
}

fn read_in_place(rx: &mut Consumer, expected: &[u8]) {
    let before = rx.position();
    let _ = rx.try_borrow().expect("a record"); // not released: it comes again
    let record = rx.try_borrow().expect("the same record");
    assert_eq!((record.position(), record.len()), (before, expected.len()));
    assert!(record.to_vec() == expected);
    record.release();
    assert_eq!(rx.position(), before.wrapping_add(record_size(expected.len())));
}

/// As many as fit, up to the first that is none.
fn read_batch(rx: &mut Consumer, reader: &Reader, buffer: &mut [u8]) {
    let (head, mut at, mut lens) = (rx.position(), rx.position(), [0; 6]);
    let count = rx.try_recv_many(buffer, &mut lens).expect("at least one");
    let mut used = 0;
    for len in &lens[..count] {
        assert_eq!(reader.next(head, at), Next::Record(*len));
        assert!(buffer[used..used + len] == reader.payload(at, *len));
        (used, at) = (used + len, at.wrapping_add(record_size(*len)));
    }
    assert_eq!(rx.position(), at);
    let more = matches!(reader.next(head, at), Next::Record(len) if used + len <= buffer.len());
    assert!(!more || count == lens.len(), "it stopped early");
}

/// Sends behind what is there, until it is full; the next consumer gets first what was there.
fn go_on(bench: &Bench, reader: &Reader, tx: &mut Producer, head: u64) {
    let room = bench.layout.capacity - 8 - tx.position().wrapping_sub(head);
    let fit = room / record_size(40);
    for _ in 0..fit {
        tx.try_send(&[0xa5; 40]).expect("there is room");
    }
    let full = tx.try_send(&[0xa5; 40]);
    assert!(matches!(full, Err(Error::WouldBlock(_) | Error::Closed(_) | Error::PeerDead(_))), "{full:?}");
    let mut rx = bench.ring.consumer().expect("free");
    let mut buffer = vec![0; bench.layout.capacity as usize];
    while let Next::Record(len) = reader.next(head, rx.position()) {
        let expected = reader.payload(rx.position(), len);
        let len = rx.try_recv(&mut buffer).expect("a record");
        assert!(buffer[..len] == expected);
    }
    if let Next::Block(_) = reader.next(head, rx.position()) {
        return; // It stands before what was sent.
    }
    for _ in 0..fit {
        assert_eq!(rx.try_recv(&mut buffer).expect("what was sent"), 40);
    }
    assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))));
}
