//! A work queue in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every
//! call. What is said of a message fits the queue, its bytes are copied from inside it, and a call ends in time.

use crate::attack;
use crate::kind::{self, Calls, Kind, BODY, PARTICIPANTS};
use crate::tally::{Call, Who};
use crate::words::Words;
use ipcx::{Error, Queue, QueueOptions, Taken};
use ipcx_tests::Random;
use std::time::Duration;

const DEPTH: u64 = 16;
/// Such that a cell is one line of memory.
const MAX_MESSAGE: usize = 40;
const MAX_DELIVERIES: u32 = 2;
const LANES: usize = PARTICIPANTS + 1;
/// Where what is in its part; bytes of the file.
const HINTS: usize = BODY + 384;
const ASIDE: usize = HINTS + LANES * 256;
const ENTRIES: usize = ASIDE + 128;
const CELLS: usize = ENTRIES + LANES * DEPTH as usize * 8;
const TOTAL: usize = BODY + 4 * 4096;

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    match word & 15 {
        0 | 1 => word,
        2 => 1 << (word >> 8 & 63),
        3 => !0 << (word >> 8 & 63),
        // A cell: some state, a letter or not, some deliveries, some slot, some generation.
        4..=7 => word >> 8 & 15 | (word >> 16 & 3) << 4 | (word >> 24 & 3) << 12 | (word >> 32 & 7) << 24,
        // An entry: some cell, some position.
        8..=11 => word >> 8 & 31 | (word >> 16 & 127) << 20,
        // A place: some position, some lane.
        12 | 13 => word >> 16 & 127 | (word >> 32 & 63) << 44,
        _ => word >> 57,
    }
}

#[derive(Clone, Copy)]
struct Prey;

attack::proofs!(Prey:
    every_flipped_bit_of_a_queue_gives_a_message_or_an_error,
    random_images_of_a_queue_give_a_message_or_an_error,
    a_queue_under_a_scribbler_gives_a_message_or_an_error
);

impl Kind for Prey {
    type Ends = Queue;
    type Others = Queue;

    const NAME: &'static str = "queue";
    const SHAPES: &'static [Prey] = &[Prey];
    const SHARE: u64 = 40;
    const IMAGES: u64 = 20_000;
    const LIVE: Duration = Duration::from_secs(1);
    const PERCENT: u32 = 2;
    // Who pushes finds room as good as always.
    const SEEN: &'static [(Who, &'static str)] = &[(Who::Consumer, "takers")];

    /// Two handles are attached, some messages wait, two are taken, and one is a dead letter.
    fn create(self, name: &str) -> (Queue, Queue) {
        let options = QueueOptions {
            max_message: MAX_MESSAGE as u64,
            depth: DEPTH,
            max_deliveries: MAX_DELIVERIES,
            segment: kind::options(),
            ..Default::default()
        };
        let queue = Queue::create(name, &options).expect("a new queue");
        let other = Queue::attach(name).expect("a second handle");
        for priority in 0..10 {
            queue.push(&[7; MAX_MESSAGE][..4 * priority as usize], priority % 5).expect("there is room");
        }
        let take = |handle: &Queue| handle.take().expect("there are enough").into_ticket();
        take(&queue);
        take(&other);
        let put_back = || queue.put_back(take(&queue)).expect("it is taken");
        (0..3).for_each(|_| put_back()); // one twice, which is a dead letter; another once
        assert_eq!(queue.stats().expect("figures").dead, 1);
        (queue, other)
    }

    fn bytes(self) -> usize {
        TOTAL
    }

    /// Or of a lane that is not used.
    fn is_minor(self, byte: usize) -> bool {
        match byte {
            0..256 => false,
            256..4096 => true,
            4096..BODY => byte >= 4096 + 3 * 64,
            BODY..HINTS => byte >= BODY + 40,
            HINTS..ASIDE => byte % 128 >= 8 || byte >= HINTS + 7 * 256,
            ASIDE..ENTRIES => byte >= ASIDE + 8,
            ENTRIES..CELLS => byte >= ENTRIES + 7 * 16 * 8,
            _ => byte % 64 >= 24 || byte >= CELLS + DEPTH as usize * 64,
        }
    }

    fn scribble(words: &Words, random: &mut Random) {
        let mut one_of = |start: usize, count: usize, stride: usize| {
            start / 8 + random.below(count as u64) as usize * stride
        };
        let cells = DEPTH as usize;
        let index = match one_of(0, 8, 1) {
            0 => one_of(4096, (TOTAL - 4096) / 8, 1),
            1 => one_of(BODY, 5, 1),           // control
            2 => one_of(HINTS, 2 * LANES, 16), // heads and tails
            3 => ASIDE / 8,
            4 => one_of(ENTRIES, 6 * cells, 1), // lanes that are used
            5 => one_of(CELLS + 8, cells, 8),   // places
            6 => one_of(CELLS + 16, cells, 8),  // lengths
            _ => one_of(CELLS, cells, 8),
        };
        words.store(index, any_word(random));
    }

    fn is_expected(error: &Error) -> bool {
        matches!(error, Error::Invalid(_) | Error::TooBig { .. })
    }

    fn attach(calls: &Calls<'_>, name: &str, _: &Queue) -> Option<Queue> {
        calls.call(Who::Handle, Call::Attach, |_| Queue::attach(name))
    }

    fn watch(calls: &Calls<'_>, queue: &mut Queue) {
        calls.call(Who::Handle, Call::PollFd, |_| queue.poll_fd().map(drop));
    }

    fn use_everything(calls: &Calls<'_>, queue: &mut Queue, disturb: &mut dyn FnMut()) {
        let mut buffer = calls.room.borrow_mut();
        for round in 0..4 {
            let (message, priority) = (&[7; MAX_MESSAGE][..8 * round], 3 * round as u32);
            calls.call(Who::Producer, Call::Send, |until| queue.push_until(message, priority, until));
            disturb();
            let taken = calls.call(Who::Consumer, Call::Recv, |until| queue.take_into(&mut buffer, until));
            disturb();
            if let Some(taken) = taken {
                end(calls, queue, taken, round % 2 == 0);
            }
            let room = &mut buffer[..MAX_MESSAGE >> (round % 2)];
            if let Some(popped) = calls.call(Who::Consumer, Call::Read, |until| queue.pop_until(room, until))
            {
                assert!(popped.len <= room.len() && popped.priority < 32, "{popped:?}");
            }
        }
        let delivery = calls.call(Who::Consumer, Call::Borrow, |until| queue.take_until(until));
        disturb();
        if let Some(delivery) = delivery {
            assert!(delivery.to_vec().len() <= MAX_MESSAGE);
        }
        if let Some(taken) = calls.call(Who::Consumer, Call::Acquire, |_| queue.take_dead_into(&mut buffer)) {
            end(calls, queue, taken, false);
        }
        if let Some(stats) = calls.call(Who::Handle, Call::Stats, |_| queue.stats()) {
            let ready: u64 = stats.ready.iter().sum();
            let all = ready + stats.being_pushed + stats.taken + stats.dead + stats.free;
            assert_eq!(all, DEPTH, "{stats:?}");
        }
        calls.call(Who::Handle, Call::Recover, |_| queue.recover());
        disturb();
        calls.call(Who::Producer, Call::Send, |_| queue.try_push(b"", 31));
    }
}

/// Something was taken: it is what can be taken, and it is acknowledged or put back.
fn end(calls: &Calls<'_>, queue: &Queue, taken: Taken, done: bool) {
    let Taken { len, priority, deliveries, ticket, .. } = taken;
    assert!(len <= MAX_MESSAGE && priority < 32 && deliveries < 256 && ticket != 0, "{taken:?}");
    calls.call(Who::Consumer, Call::Release, |_| match done {
        true => queue.ack(ticket),
        false => queue.put_back(ticket),
    });
    calls.call(Who::Consumer, Call::Release, |_| queue.deliveries(ticket));
}
