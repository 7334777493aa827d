//! Work queues: each message is had by one at a time, in order, and is done once, or comes back.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, in_child, Scratch, Started};
use ipcx::{wait_any, Deadline, Error, Queue, QueueOptions, SegmentOptions, Semaphore, WaitStrategy};
use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn options(depth: u64) -> QueueOptions {
    QueueOptions { max_message: 100, depth, ..Default::default() }
}

fn make(depth: u64) -> Queue {
    Queue::anonymous(&options(depth)).unwrap()
}

fn another(queue: &Queue) -> Queue {
    Queue::from_fd(queue.share_fd().unwrap().as_fd()).unwrap()
}

/// Takes and acknowledges the next one.
fn next(queue: &Queue) -> Vec<u8> {
    let delivery = queue.try_take().unwrap();
    let bytes = delivery.to_vec();
    delivery.ack().unwrap();
    bytes
}

fn is_empty(queue: &Queue) -> bool {
    matches!(queue.try_take(), Err(Error::WouldBlock(_)))
}

/// Messages that were pushed and not acknowledged; and with room for others, they are all there is.
fn there(queue: &Queue) -> u64 {
    let stats = queue.stats().unwrap();
    let there = stats.ready.iter().sum::<u64>() + stats.taken + stats.dead;
    assert_eq!(there + stats.free + stats.being_pushed, stats.depth, "{stats:?}");
    there
}

#[test]
fn a_push_that_times_out_says_what_the_queue_is_full_of() {
    let queue = Queue::anonymous(&QueueOptions { max_deliveries: 1, ..options(4) }).unwrap();
    (0..4).for_each(|n| queue.try_push(&[n], 0).unwrap());
    let full = || queue.push_timeout(b"", 0, Duration::from_millis(1)).unwrap_err().to_string();
    let text = "timed out: the queue is full: of its 4 messages, 4 wait to be taken, 0 are taken and not acknowledged, and 0 are \
                dead letters";
    assert_eq!(full(), text);
    queue.try_take().unwrap().put_back().unwrap();
    let _ticket = queue.try_take().unwrap().into_ticket();
    let (text, me) = (full(), format!("1 are taken by process {} (", std::process::id()));
    assert!(
        text.contains("2 wait to be taken") && text.contains(&me) && text.contains("1 are dead letters"),
        "{text}"
    );
    assert_eq!(queue.try_push(b"", 0).unwrap_err().to_string(), "would block: the queue is full");
}

#[test]
fn what_there_is_none_of_is_said() {
    let queue = make(3);
    assert_eq!(queue.try_take().unwrap_err().to_string(), "would block: the queue has no message to take");
    assert_eq!(queue.take_dead().unwrap_err().to_string(), "would block: the queue has no dead letter");
    let error = queue.take_timeout(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.to_string(), "timed out: the queue has no message to take");
}

#[test]
fn messages_of_every_length_come_as_they_were_pushed() {
    for max_message in [1, 7, 40, 41, 64, 300, 5000] {
        let queue = Queue::anonymous(&QueueOptions { max_message, depth: 3, ..Default::default() }).unwrap();
        let other = another(&queue);
        assert_eq!((other.max_message(), other.depth(), other.max_deliveries()), (max_message, 3, 0));
        for len in (0..=max_message as usize).step_by(max_message as usize / 40 + 1) {
            let message: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
            queue.try_push(&message, 0).unwrap();
            assert_eq!(next(&other), message);
        }
        let long = vec![0; max_message as usize + 1];
        let refused = queue.try_push(&long, 0);
        assert!(matches!(refused, Err(Error::TooBig { needed, available }) if needed == available + 1));
        assert!(is_empty(&other));
    }
}

#[test]
fn the_highest_priority_comes_first_and_of_these_the_oldest() {
    let queue = make(320);
    for n in 0..10_u8 {
        for priority in [5, 0, 31, 17, 1] {
            queue.try_push(&[priority, n], priority.into()).unwrap();
        }
    }
    for priority in [31, 17, 5, 1, 0] {
        for n in 0..10 {
            let delivery = queue.try_take().unwrap();
            assert_eq!((delivery.to_vec(), delivery.priority()), (vec![priority, n], priority.into()));
            assert_eq!(delivery.deliveries(), 1);
            delivery.ack().unwrap();
        }
    }
    assert!(is_empty(&queue));
    assert!(matches!(queue.try_push(b"x", 32), Err(Error::Invalid(_))));
    assert!(matches!(queue.try_push(b"x", u32::MAX), Err(Error::Invalid(_))));
}

/// Many times round every lane, with a model beside it.
#[test]
fn order_and_account_hold_over_many_laps() {
    for depth in [1, 2, 3, 16, 17, 100] {
        let queue = make(depth);
        let mut model: Vec<Vec<u32>> = vec![Vec::new(); 32];
        let (mut random, mut number) = (depth as u32 * 7 + 1, 0);
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let priority = random >> 8 & 31;
            let len = model.iter().map(Vec::len).sum::<usize>() as u64;
            if random >> 16 & 3 < 2 {
                let pushed = queue.try_push(&u32::to_le_bytes(number), priority);
                assert_eq!(pushed.is_ok(), len < depth, "{pushed:?}");
                if pushed.is_ok() {
                    model[priority as usize].push(number);
                }
                number += 1;
            } else if let Some(lane) = model.iter_mut().rev().find(|lane| !lane.is_empty()) {
                assert_eq!(next(&queue), u32::to_le_bytes(lane.remove(0)));
            } else {
                assert!(is_empty(&queue));
            }
        }
        assert_eq!(there(&queue), model.iter().map(Vec::len).sum::<usize>() as u64);
    }
}

#[test]
fn what_is_put_back_comes_before_what_was_pushed_later() {
    let queue = make(16);
    let other = another(&queue);
    for n in 0..6_u8 {
        queue.try_push(&[n], (n % 2).into()).unwrap(); // 1 3 5, then 0 2 4
    }
    let taken: Vec<_> = (0..5).map(|_| other.try_take().unwrap()).collect();
    assert_eq!(taken.iter().map(|delivery| delivery.to_vec()[0]).collect::<Vec<_>>(), [1, 3, 5, 0, 2]);
    // In another order than they came, by dropping and by a call; one is done.
    let mut taken: Vec<_> = taken.into_iter().map(Some).collect();
    taken[4].take().unwrap().put_back().unwrap(); // 2
    drop(taken[2].take()); // 5
    taken[1].take().unwrap().ack().unwrap(); // 3
    queue.try_push(&[7], 1).unwrap();
    drop(taken[0].take()); // 1
    taken[3].take().unwrap().put_back().unwrap(); // 0
    queue.try_push(&[9], 2).unwrap(); // before all of them
    let mut seen = Vec::new();
    while let Ok(delivery) = queue.try_take() {
        seen.push((delivery.to_vec()[0], delivery.deliveries()));
        delivery.ack().unwrap();
    }
    assert_eq!(seen, [(9, 1), (1, 2), (5, 2), (7, 1), (0, 2), (2, 2), (4, 1)]);
    assert_eq!(there(&queue), 0);
}

#[test]
fn a_ticket_is_good_once() {
    let queue = make(4);
    let other = another(&queue);
    queue.try_push(b"a", 3).unwrap();
    let mut buffer = [0; 100];
    let taken = queue.take_into(&mut buffer, Deadline::NOW).unwrap();
    assert_eq!((taken.len, taken.priority, taken.deliveries, &buffer[..1]), (1, 3, 1, &b"a"[..]));
    let refused = |queue: &Queue, ticket| {
        let before = queue.stats().unwrap();
        assert!(matches!(queue.ack(ticket), Err(Error::Invalid(_))), "{ticket:#x}");
        assert!(matches!(queue.put_back(ticket), Err(Error::Invalid(_))), "{ticket:#x}");
        assert_eq!(queue.stats().unwrap(), before);
    };
    refused(&other, taken.ticket);
    for ticket in [0, 1, 5, u64::MAX, taken.ticket + 1, taken.ticket ^ 1 << 40] {
        refused(&queue, ticket);
    }
    queue.put_back(taken.ticket).unwrap();
    refused(&queue, taken.ticket);
    let again = queue.try_take().unwrap();
    assert_ne!(again.ticket(), taken.ticket);
    refused(&queue, taken.ticket);
    let ticket = again.into_ticket();
    queue.ack(ticket).unwrap();
    refused(&queue, ticket);
    // In the same cell, by the same handle.
    for _ in 0..20 {
        queue.try_push(b"b", 3).unwrap();
        let delivery = queue.try_take().unwrap();
        refused(&queue, ticket);
        delivery.ack().unwrap();
    }
    // A guard whose message was acknowledged by its ticket.
    queue.try_push(b"c", 0).unwrap();
    let delivery = queue.try_take().unwrap();
    queue.ack(delivery.ticket()).unwrap();
    assert!(matches!(delivery.copy_to(&mut buffer), Err(Error::Invalid(_))));
    assert_eq!(delivery.to_vec(), [0]);
    assert!(matches!(delivery.ack(), Err(Error::Invalid(_))));
    assert_eq!(there(&queue), 0);
}

#[test]
fn what_is_too_big_for_the_buffer_stays() {
    let queue = make(4);
    queue.try_push(b"12345", 1).unwrap();
    queue.try_push(b"1", 0).unwrap();
    let mut small = [0; 4];
    for _ in 0..3 {
        let refused = queue.try_pop(&mut small);
        assert!(matches!(refused, Err(Error::TooBig { needed: 5, available: 4 })), "{refused:?}");
        let refused = queue.take_into(&mut small, Deadline::within(LONG));
        assert!(matches!(refused, Err(Error::TooBig { .. })), "{refused:?}");
    }
    let delivery = queue.try_take().unwrap();
    assert_eq!((delivery.len(), delivery.deliveries()), (5, 1), "it was not delivered");
    assert!(matches!(delivery.copy_to(&mut small), Err(Error::TooBig { .. })));
    delivery.put_back().unwrap();
    assert!(matches!(queue.try_pop(&mut small), Err(Error::TooBig { .. })), "put back as well");
    let popped = queue.try_pop(&mut [0; 5]).unwrap();
    assert_eq!((popped.len, popped.priority), (5, 1));
    assert_eq!(queue.try_pop(&mut small).unwrap().len, 1);
    assert!(matches!(queue.try_pop(&mut small), Err(Error::WouldBlock(_))));
    assert_eq!(there(&queue), 0);
}

#[test]
fn who_pushes_waits_for_room() {
    for (depth, wait) in [(1, WaitStrategy::Balanced), (2, WaitStrategy::Block), (5, WaitStrategy::Yield)] {
        let segment = SegmentOptions { wait, ..Default::default() };
        let queue = Queue::anonymous(&QueueOptions { segment, ..options(depth) }).unwrap();
        let other = another(&queue);
        (0..depth).for_each(|n| queue.try_push(&[n as u8], 0).unwrap());
        assert!(matches!(queue.try_push(b"x", 31), Err(Error::WouldBlock(_))));
        let late = queue.push_timeout(b"x", 31, Duration::from_millis(2));
        assert!(matches!(late, Err(Error::TimedOut(_))));
        assert_eq!(there(&queue), depth, "nothing was pushed");
        // What is taken is still there; what is acknowledged makes room.
        let taken = other.try_take().unwrap();
        assert!(matches!(queue.try_push(b"x", 31), Err(Error::WouldBlock(_))));
        taken.ack().unwrap();
        queue.try_push(b"x", 31).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500_u32).for_each(|n| queue.push_timeout(&n.to_le_bytes(), 0, LONG).unwrap()));
            let mut buffer = [0; 100];
            for n in 0..depth + 500 {
                let popped = other.pop_timeout(&mut buffer, LONG).unwrap();
                let expected = n.checked_sub(depth).map(|n| (n as u32).to_le_bytes().to_vec());
                assert!(expected.is_none_or(|bytes| bytes == buffer[..popped.len]), "{n}");
            }
        });
        assert_eq!(there(&queue), 0);
    }
}

#[test]
fn who_takes_waits_for_a_message() {
    let queue = make(8);
    assert!(matches!(queue.take_timeout(Duration::from_millis(2)), Err(Error::TimedOut(_))));
    let other = another(&queue);
    std::thread::scope(|scope| {
        let takers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| queue.take_timeout(LONG).unwrap().to_vec())).collect();
        // Each is put back by its guard, and then taken by another until there is one each.
        for n in 0..3 {
            other.push(&[n], 0).unwrap();
        }
        takers.into_iter().for_each(|taker| assert!(taker.join().unwrap()[0] < 3));
    });
    assert_eq!(there(&queue), 3);
    let mut rest: Vec<_> = (0..3).map(|_| next(&queue)[0]).collect();
    rest.sort_unstable();
    assert_eq!(rest, [0, 1, 2]);
}

/// What came too often is put aside, counts for the depth, and can be taken as such, discarded, or tried again.
#[test]
fn what_comes_back_too_often_is_a_dead_letter() {
    let queue = Queue::anonymous(&QueueOptions { max_deliveries: 3, ..options(3) }).unwrap();
    let other = another(&queue);
    assert!(matches!(queue.take_dead(), Err(Error::WouldBlock(_))));
    for (message, priority) in [(b"a", 1), (b"b", 1), (b"c", 2)] {
        queue.try_push(message, priority).unwrap();
    }
    for message in [b"c", b"a", b"b"] {
        for delivery in 1..=3 {
            let taken = queue.try_take().unwrap();
            assert_eq!((taken.to_vec(), taken.deliveries()), (message.to_vec(), delivery));
        }
    }
    assert!(is_empty(&queue));
    let stats = queue.stats().unwrap();
    assert_eq!((stats.dead, stats.free, stats.max_deliveries), (3, 0, 3));
    assert!(matches!(queue.try_push(b"d", 0), Err(Error::WouldBlock(_))), "they take room");

    let mut nothing = [0; 0];
    assert!(matches!(other.take_dead_into(&mut nothing), Err(Error::TooBig { needed: 1, available: 0 })));
    let mut buffer = [0; 100];
    let taken = other.take_dead_into(&mut buffer).unwrap();
    assert_eq!((&buffer[..taken.len], taken.priority), (&b"c"[..], 2));
    other.ack(taken.ticket).unwrap();
    queue.try_push(b"d", 0).unwrap();
    // Tried again, as if it were new.
    let again = other.take_dead().unwrap();
    assert_eq!(again.to_vec(), b"a");
    again.put_back().unwrap();
    for delivery in 1..=3 {
        let taken = queue.try_take().unwrap();
        assert_eq!((taken.to_vec(), taken.deliveries(), taken.priority()), (b"a".to_vec(), delivery, 1));
    }
    // A handle that ends with one leaves it a dead letter.
    assert_eq!(other.take_dead().map(|letter| (letter.to_vec(), letter.into_ticket())).unwrap().0, b"a");
    drop(other);
    let stats = queue.stats().unwrap();
    assert_eq!((stats.dead, stats.taken, stats.ready[0]), (2, 0, 1));
    assert_eq!(next(&queue), b"d");
    for message in [b"a", b"b"] {
        let letter = queue.take_dead().unwrap();
        assert_eq!(letter.to_vec(), message);
        letter.ack().unwrap();
    }
    assert_eq!(there(&queue), 0);
}

#[test]
fn what_a_handle_has_taken_comes_back_when_it_ends() {
    let queue = make(8);
    let other = another(&queue);
    (0..4).for_each(|n| queue.try_push(&[n], 0).unwrap());
    let kept: Vec<_> = (0..3).map(|_| other.try_take().unwrap().into_ticket()).collect();
    let stats = queue.stats().unwrap();
    assert_eq!((stats.taken, stats.ready[0], stats.free), (3, 1, 4));
    let [holder] = &stats.holders[..] else { panic!("{:?}", stats.holders) };
    assert_eq!((holder.taken, holder.alive), (3, true));
    assert_eq!(holder.process.as_ref().unwrap().pid, std::process::id());
    other.ack(kept[1]).unwrap();
    drop(other);
    assert_eq!([next(&queue), next(&queue), next(&queue)], [[0], [2], [3]]);
    assert_eq!(there(&queue), 0);
}

/// The child of the next test.
#[test]
fn child_that_dies_with_messages() {
    let Some(directory) = child_argument() else { return };
    let segment = SegmentOptions { directory: Some(directory.into()), ..Default::default() };
    let queue = Queue::attach_with("q", &QueueOptions { segment, ..Default::default() }).unwrap();
    queue.try_take().unwrap().ack().unwrap();
    (0..3).for_each(|_| _ = queue.try_take().unwrap().into_ticket());
    queue.try_push(b"pushed", 0).unwrap();
    queue.try_push(b"left", 0).unwrap();
    println!("ready");
    std::thread::sleep(LONG);
}

#[test]
fn messages_of_the_dead_come_back_and_what_they_pushed_stays() {
    let dir = Scratch::new();
    let options = QueueOptions { segment: dir.segment(), max_deliveries: 2, ..options(8) };
    let mine = Queue::create("q", &options).unwrap();
    for round in 0..4 {
        (0..4).for_each(|n| mine.try_push(&[n], 1).unwrap());
        let mut holder = Started::new(child("child_that_dies_with_messages", dir.path().to_str().unwrap()));
        holder.wait_for("ready");
        assert_eq!(next(&mine), b"pushed");
        mine.recover().unwrap(); // It lives.
        assert_eq!((mine.stats().unwrap().taken, mine.stats().unwrap().ready[0]), (3, 1));
        holder.kill();
        match round {
            0 => mine.recover().unwrap(),
            1 => {
                let left = mine.try_take().unwrap();
                mine.take_timeout(LONG).unwrap().put_back().unwrap(); // That which it waited for.
                left.put_back().unwrap();
            }
            2 => drop(Queue::attach_with("q", &options).unwrap()),
            // Who waits for room finds the dead as well, and then none of it is free.
            _ => {
                (0..4).for_each(|_| mine.try_push(b"fill", 0).unwrap());
                let late = mine.push_timeout(b"more", 0, Duration::from_millis(120));
                assert!(matches!(late, Err(Error::TimedOut(_))));
            }
        }
        // In round 1, the first of them came back twice, which is too often.
        let first = u8::from(round == 1);
        for n in 1 + first..4 {
            let delivery = mine.try_take().unwrap();
            assert_eq!((delivery.to_vec(), delivery.deliveries()), (vec![n], 2), "round {round}");
            delivery.ack().unwrap();
        }
        assert_eq!(u64::from(first), mine.stats().unwrap().dead);
        if round == 1 {
            mine.take_dead().unwrap().ack().unwrap();
        }
        assert_eq!(next(&mine), b"left");
        (0..mine.stats().unwrap().ready[0]).for_each(|_| assert_eq!(next(&mine), b"fill"));
        assert_eq!(there(&mine), 0);
    }
}

/// A ledger: what was pushed is done once, whoever takes and puts back meanwhile.
#[test]
fn every_message_is_done_once_among_many() {
    const EACH: u64 = 4_000;
    for (depth, wait) in
        [(4, WaitStrategy::Balanced), (64, WaitStrategy::Block), (1000, WaitStrategy::Balanced)]
    {
        let segment = SegmentOptions { wait, ..Default::default() };
        let queue = Queue::anonymous(&QueueOptions { segment, ..options(depth) }).unwrap();
        let (done, left) = (Mutex::new(HashSet::new()), AtomicU64::new(4 * EACH));
        std::thread::scope(|scope| {
            for producer in 0..4 {
                let own = (producer % 2 == 0).then(|| another(&queue));
                let queue = &queue;
                scope.spawn(move || {
                    let queue = own.as_ref().unwrap_or(queue);
                    for n in 0..EACH {
                        let message = (producer * EACH + n).to_le_bytes();
                        queue.push_timeout(&message, (n % 3) as u32, LONG).unwrap();
                    }
                });
            }
            for consumer in 0..4 {
                let own = (consumer % 2 == 0).then(|| another(&queue));
                let (queue, done, left) = (&queue, &done, &left);
                scope.spawn(move || {
                    let queue = own.as_ref().unwrap_or(queue);
                    let mut turn = consumer;
                    while left.load(Ordering::Acquire) > 0 {
                        let delivery = match queue.take_timeout(Duration::from_millis(20)) {
                            Ok(delivery) => delivery,
                            Err(Error::TimedOut(_)) => continue,
                            Err(error) => panic!("{error}"),
                        };
                        turn += 1;
                        if turn % 7 == 0 && delivery.deliveries() < 4 {
                            delivery.put_back().unwrap();
                            continue;
                        }
                        let number = u64::from_le_bytes(delivery.to_vec().try_into().unwrap());
                        delivery.ack().unwrap();
                        assert!(done.lock().unwrap().insert(number), "{number} was done before");
                        left.fetch_sub(1, Ordering::AcqRel);
                    }
                });
            }
        });
        assert_eq!(done.into_inner().unwrap().len() as u64, 4 * EACH);
        assert_eq!(there(&queue), 0);
        assert!(queue.stats().unwrap().holders.is_empty());
        // And all of the room is there.
        (0..depth).for_each(|_| queue.try_push(b"", 0).unwrap());
        assert!(matches!(queue.try_push(b"", 0), Err(Error::WouldBlock(_))));
    }
}

/// One consumer sees what each producer pushed in the order in which it did.
#[test]
fn a_producers_messages_stay_in_order() {
    const EACH: u32 = 20_000;
    let queue = make(50);
    std::thread::scope(|scope| {
        for producer in 0..3_u32 {
            let own = another(&queue);
            scope.spawn(move || {
                for n in 0..EACH {
                    own.push_timeout(&[producer.to_le_bytes(), n.to_le_bytes()].concat(), 4, LONG).unwrap();
                }
            });
        }
        let (mut next, mut buffer) = ([0; 3], [0; 8]);
        for _ in 0..3 * EACH {
            assert_eq!(queue.pop_timeout(&mut buffer, LONG).unwrap().len, 8);
            let [producer, n] = [0, 4].map(|at| u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap()));
            assert_eq!(std::mem::replace(&mut next[producer as usize], n + 1), n, "of {producer}");
        }
    });
    assert_eq!(there(&queue), 0);
}

fn readable(fd: i32, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 && poll.revents == libc::POLLIN }
}

#[test]
fn a_descriptor_follows_the_messages() {
    let one = make(4);
    let other = another(&one);
    let fd = one.poll_fd().unwrap().as_raw_fd();
    assert!(is_empty(&one) && !readable(fd, 0));
    for n in 0..300_u32 {
        other.try_push(b"x", n % 32).unwrap();
        assert!(readable(fd, 5_000));
        let delivery = one.try_take().unwrap();
        assert!(is_empty(&one) && !readable(fd, 0));
        delivery.put_back().unwrap();
        assert!(readable(fd, 5_000), "it is there again");
        other.try_push(b"y", n % 32).unwrap();
        next(&one);
        assert!(readable(fd, 0), "another is there");
        next(&one);
        assert!(is_empty(&one) && !readable(fd, 0));
    }
}

#[test]
fn another_descriptor_follows_the_room() {
    let one = make(2);
    let other = another(&one);
    let fd = one.room_fd().unwrap().as_raw_fd();
    assert!(readable(fd, 0) && one.poll_fd().unwrap().as_raw_fd() != fd);
    let is_full = |queue: &Queue| matches!(queue.try_push(b"no", 0), Err(Error::WouldBlock(_)));
    for n in 0..300 {
        one.try_push(b"x", 0).unwrap();
        other.try_push(b"y", 0).unwrap();
        assert!(is_full(&one) && !readable(fd, 0));
        let delivery = other.try_take().unwrap();
        assert!(!readable(fd, 0), "what is taken still has its room");
        if n % 2 == 0 {
            delivery.ack().unwrap();
            assert!(readable(fd, 5_000));
        } else {
            let late = one.push_timeout(b"no", 0, Duration::from_nanos(1));
            assert!(matches!(late, Err(Error::TimedOut(_))));
            delivery.ack().unwrap();
            assert!(readable(fd, 5_000), "a push that timed out has armed it");
        }
        other.try_push(b"z", 0).unwrap();
        assert!(is_full(&one) && !readable(fd, 0), "another was faster");
        next(&other);
        assert!(readable(fd, 5_000));
        one.try_push(b"w", 0).unwrap();
        next(&other);
        next(&other);
    }
    let full = make(1);
    full.try_push(b"x", 0).unwrap();
    let fd = full.room_fd().unwrap().as_raw_fd();
    assert!(!readable(fd, 0), "there is none as it is made");
    let watching = another(&full);
    watching.room_fd().unwrap();
    assert!(is_full(&watching));
    std::thread::scope(|scope| {
        scope.spawn(|| full.push_timeout(b"y", 0, LONG).unwrap());
        next(&another(&full));
    });
    assert_eq!(next(&full), b"y", "who only looks leaves the room to who pushes");
}

#[test]
fn a_queue_is_one_of_several_things_to_wait_for() {
    let (queue, semaphore) = (
        make(4),
        Semaphore::anonymous(&ipcx::SemaphoreOptions { limit: 1, initial: Some(0), ..Default::default() })
            .unwrap(),
    );
    let other = another(&queue);
    let (mut first, mut second) = (&semaphore, &queue);
    assert!(matches!(wait_any(&mut [&mut first, &mut second], Deadline::NOW), Err(Error::WouldBlock(_))));
    for _ in 0..50 {
        std::thread::scope(|scope| {
            scope.spawn(|| other.try_push(b"x", 3).unwrap());
            let ready = wait_any(&mut [&mut first, &mut second], Deadline::within(LONG)).unwrap();
            assert_eq!(ready, [1]);
        });
        next(&queue);
        std::thread::scope(|scope| {
            scope.spawn(|| other.try_push(b"x", 3).unwrap());
            let ready = ipcx::wait_any_by_descriptors(&mut [&mut first, &mut second], Deadline::within(LONG))
                .unwrap();
            assert_eq!(ready, [1]);
        });
        next(&queue);
    }
}

/// Who watches, or waits for several things, and does not take, does not keep the message from one who sleeps until it comes.
#[test]
fn a_message_wakes_who_takes_it_beside_who_only_looks() {
    let segment = SegmentOptions { wait: WaitStrategy::Block, ..Default::default() };
    let queue = Queue::anonymous(&QueueOptions { segment, ..options(4) }).unwrap();
    let (watching, looking, taking) = (another(&queue), another(&queue), another(&queue));
    watching.poll_fd().unwrap();
    let mut late = Duration::ZERO;
    for _ in 0..40 {
        assert!(is_empty(&watching), "which arms it");
        std::thread::scope(|scope| {
            scope.spawn(|| wait_any(&mut [&mut &looking], Deadline::within(Duration::from_millis(20))));
            let taken = scope.spawn(|| {
                taking.take_timeout(LONG).unwrap().ack().unwrap();
                Instant::now()
            });
            std::thread::sleep(Duration::from_millis(5)); // until all of them sleep, most of the time
            let pushed = Instant::now();
            queue.try_push(b"x", 0).unwrap();
            late += taken.join().unwrap() - pushed;
        });
    }
    assert!(late < Duration::from_millis(400), "{late:?}");
}

/// Processor time of this thread.
fn worked() -> Duration {
    // SAFETY: plain numbers, for which zero is a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: a valid timespec.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Each participant costs who looks for the dead a system call: so not all of many do.
#[test]
fn many_who_wait_cost_little() {
    let segment = SegmentOptions { max_participants: 101, wait: WaitStrategy::Block, ..Default::default() };
    let queue = Queue::anonymous(&QueueOptions { segment, ..options(4) }).unwrap();
    let takers: Vec<_> = (0..100).map(|_| another(&queue)).collect();
    let work = std::thread::scope(|scope| {
        let wait = |taker: &Queue| {
            let before = worked();
            assert!(matches!(taker.take_timeout(Duration::from_secs(1)), Err(Error::TimedOut(_))));
            worked() - before
        };
        let threads: Vec<_> = takers.iter().map(|taker| scope.spawn(move || wait(taker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<Duration>()
    });
    assert!(work < Duration::from_millis(150), "{work:?} of a second");
}

#[test]
fn a_child_of_fork_is_refused_and_puts_nothing_back() {
    let queue = make(4);
    queue.try_push(b"a", 0).unwrap();
    queue.try_push(b"b", 0).unwrap();
    let delivery = queue.try_take().unwrap();
    in_child(|| {
        assert!(matches!(queue.try_take(), Err(Error::Forked)));
        assert!(matches!(queue.take_dead(), Err(Error::Forked)));
        assert!(matches!(queue.try_push(b"c", 0), Err(Error::Forked)));
        assert!(matches!(queue.ack(delivery.ticket()), Err(Error::Forked)));
        assert!(matches!(queue.put_back(delivery.ticket()), Err(Error::Forked)));
        assert!(matches!(delivery.copy_to(&mut [0; 10]), Err(Error::Forked)));
        assert!(matches!(queue.recover(), Err(Error::Forked)));
        assert!(matches!(queue.stats().map(drop), Err(Error::Forked)));
        assert!(matches!(queue.poll_fd(), Err(Error::Forked)));
        assert!(matches!(queue.room_fd(), Err(Error::Forked)));
        assert!(matches!(queue.share_fd(), Err(Error::Forked)));
        true
    });
    let stats = queue.stats().unwrap();
    assert_eq!((stats.taken, stats.ready[0]), (1, 1));
    assert_eq!(delivery.to_vec(), b"a");
    delivery.ack().unwrap();
}

#[test]
fn what_a_queue_cannot_be_is_refused() {
    let dir = Scratch::new();
    let make = |max_message, depth, max_deliveries| {
        let options =
            QueueOptions { max_message, depth, max_deliveries, segment: dir.segment(), ..Default::default() };
        Queue::create("q", &options).map(drop)
    };
    for (max_message, depth, max_deliveries) in [
        (1 << 31, 1, 0),
        (u64::MAX, 1, 0),
        (1, (1 << 20) + 1, 0),
        (1, u64::MAX, 0),
        (1, 1, 255),
        (1, 1, u32::MAX),
    ] {
        let made = make(max_message, depth, max_deliveries);
        assert!(matches!(made, Err(Error::Invalid(_))), "{max_message} {depth} {max_deliveries}: {made:?}");
    }
    assert_eq!(dir.names(), [""; 0]);
    make(0, 0, 254).unwrap();
    let attach = |max_message, depth, max_deliveries, sync| {
        let segment = dir.segment();
        Queue::attach_with("q", &QueueOptions { max_message, depth, max_deliveries, sync, segment })
    };
    let queue = attach(0, 0, 0, false).unwrap();
    assert_eq!((queue.max_message(), queue.depth(), queue.max_deliveries()), (1024, 1024, 254));
    attach(1024, 1024, 254, false).unwrap();
    for (max_message, depth, max_deliveries, sync) in
        [(1000, 0, 0, false), (0, 1000, 0, false), (0, 0, 253, false), (0, 0, 0, true)]
    {
        let refused = attach(max_message, depth, max_deliveries, sync);
        assert!(matches!(refused, Err(Error::Mismatch(_))), "{refused:?}");
    }
}

/// Where a segment's body begins, its control words end, and the cells of a queue of 8 begin: see docs/segment-format.md.
const BODY: usize = 8192;
const HINTS: usize = BODY + 384;
const CELLS: usize = HINTS + 33 * 256 + 128 + 33 * 16 * 8;
/// In which bytes the queue says since which start of the machine it is used.
const BOOT: std::ops::Range<usize> = BODY + 24..BODY + 40;

/// Lanes and bits come to the disk at other times than the cells: whatever they say, the cells count.
#[test]
fn a_queue_is_restored_from_its_cells_after_a_reboot() {
    let dir = Scratch::new();
    let options = QueueOptions { segment: dir.segment(), max_deliveries: 2, ..options(8) };
    for rounds in [0, 5, 40] {
        let queue = Queue::create("q", &options).unwrap();
        let other = Queue::attach_with("q", &options).unwrap();
        (0..rounds).for_each(|n| {
            queue.try_push(&[n], n as u32 % 3).unwrap();
            next(&queue);
        });
        for (message, priority) in [(b"a", 1), (b"b", 1), (b"c", 0), (b"d", 2), (b"e", 1), (b"f", 0)] {
            queue.try_push(message, priority).unwrap();
        }
        queue.try_take().unwrap().put_back().unwrap(); // d, once
        let taken: Vec<_> = (0..3).map(|_| other.try_take().unwrap()).collect(); // d for the last time, a, b
        assert_eq!(taken.iter().map(|delivery| delivery.to_vec()[0]).collect::<Vec<_>>(), *b"dab");
        taken.into_iter().for_each(|delivery| _ = delivery.into_ticket());
        queue.try_take().unwrap().ack().unwrap(); // e

        let mut bytes = std::fs::read(dir.file("q")).unwrap();
        bytes[HINTS..CELLS].fill(0xa5);
        bytes[BOOT].fill(1);
        // Nobody has this one: none of them came to an end.
        std::fs::remove_file(dir.file("q")).unwrap();
        std::fs::write(dir.file("q"), &bytes).unwrap();
        drop((queue, other));
        let queue = Queue::attach_with("q", &options).unwrap();
        let stats = queue.stats().unwrap();
        assert_eq!((stats.dead, stats.taken, stats.free), (1, 0, 3), "{stats:?}");
        let mut seen = Vec::new();
        while let Ok(delivery) = queue.try_take() {
            seen.push((delivery.to_vec()[0], delivery.priority(), delivery.deliveries()));
            delivery.ack().unwrap();
        }
        assert_eq!(seen, [(b'a', 1, 2), (b'b', 1, 2), (b'c', 0, 1), (b'f', 0, 1)]);
        let letter = queue.take_dead().unwrap();
        assert_eq!((letter.to_vec(), letter.priority()), (b"d".to_vec(), 2));
        letter.ack().unwrap();
        (0..8).for_each(|n| queue.try_push(b"all the room", n).unwrap());
        // Once: nobody else takes the queue for one of another time.
        let another = Queue::attach_with("q", &options).unwrap();
        let held = another.try_take().unwrap();
        drop(Queue::attach_with("q", &options).unwrap());
        held.ack().unwrap();
        drop((queue, another));
        ipcx::unlink_in(Some(dir.path()), "q").unwrap();
    }
}

/// Two may know the same start of the machine by different names, as containers do.
#[test]
fn a_queue_that_is_in_use_is_of_this_time() {
    let dir = Scratch::new();
    let options = QueueOptions { segment: dir.segment(), ..options(8) };
    let queue = Queue::create("q", &options).unwrap();
    queue.try_push(b"one", 0).unwrap();
    let held = queue.try_take().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(dir.file("q")).unwrap();
    file.write_all_at(&[1; BOOT.end - BOOT.start], BOOT.start as u64).unwrap();
    let another = Queue::attach_with("q", &options).unwrap();
    assert!(is_empty(&another), "it is held");
    held.ack().unwrap();
    drop((queue, Queue::attach_with("q", &options).unwrap()));
    another.try_push(b"two", 0).unwrap();
    assert_eq!(there(&another), 1);
    drop(another);
    ipcx::unlink_in(Some(dir.path()), "q").unwrap();
}

#[test]
fn a_synchronous_queue_on_disk_does_what_another_does() {
    let directory =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("queue-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let segment = SegmentOptions { directory: Some(directory.clone()), ..Default::default() };
    let options = QueueOptions { sync: true, max_message: 10_000, depth: 3, segment, ..Default::default() };
    let (one, other) = (Queue::open("q", &options).unwrap(), Queue::open("q", &options).unwrap());
    for n in 0..20_u8 {
        one.try_push(&vec![n; 500 * n as usize], 1).unwrap();
        one.try_push(&[n], 2).unwrap();
        assert_eq!(next(&other), [n]);
        assert_eq!(next(&other), vec![n; 500 * n as usize]);
    }
    assert_eq!(there(&one), 0);
    drop((one, other));
    std::fs::remove_dir_all(directory).unwrap();
}

/// Whatever another process wrote over a word: data or an error, and soon.
#[test]
fn damaged_words_are_told_or_do_no_harm() {
    let dir = Scratch::new();
    let options = QueueOptions { segment: dir.segment(), max_deliveries: 3, ..options(8) };
    let mut random = 11_u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 16
    };
    let (mut told, begin) = (0, Instant::now());
    for round in 0..200 {
        let queue = Queue::create("q", &options).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(dir.file("q")).unwrap();
        (0..6).for_each(|n| queue.try_push(&[n], n.into()).unwrap());
        let held = queue.try_take().unwrap();
        queue.try_take().unwrap().put_back().unwrap();
        for _ in 0..1 + round % 4 {
            let cells = [BODY, HINTS, CELLS, CELLS, CELLS][next() as usize % 5] as u64;
            let value = [0, 1, u64::MAX, 1 << 63, next(), next() << 40, 1 << 12 | 1][next() as usize % 7];
            file.write_all_at(&value.to_le_bytes(), cells + next() % 128 * 8).unwrap();
        }
        let mut buffer = [0; 100];
        for turn in 0..20 {
            let results = [
                queue.try_push(&[7; 100], turn % 32),
                queue.try_pop(&mut buffer).map(drop),
                queue.try_take().map(|delivery| drop((delivery.to_vec(), delivery.into_ticket()))),
                queue.take_dead().map(|delivery| drop(delivery.to_vec())),
                queue.take_timeout(Duration::from_micros(50)).map(drop),
                queue.ack(next()),
                queue.recover(),
                queue.stats().map(drop),
            ];
            for error in results.into_iter().filter_map(Result::err) {
                let expected = matches!(error, Error::WouldBlock(_) | Error::TimedOut(_) | Error::Invalid(_));
                assert!(expected || matches!(error, Error::Corrupt(_)), "{error}");
                told += u32::from(!expected);
            }
        }
        drop((held, Queue::attach_with("q", &options)));
        drop(queue);
        ipcx::unlink_in(Some(dir.path()), "q").unwrap();
    }
    assert!(told > 0, "some of it was told");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}
