//! The loops of a publisher that waits for nobody, and of those who receive what they can, generic over the contender.
//!
//! What counts is the processor time that a message costs the publisher's process, with the threads that a contender has there:
//! it publishes during a span of the clock, and others are on its processor or not. Who has read a batch, or finds nothing, lets
//! others run, and the publisher a thread that a contender may have beside it: with a real-time priority none would run otherwise.
//!
//! Whoever receives compares every byte with the message that its first word says it is; numbers rise, with gaps
//! where it was too slow. In the check before timing, each of those who read has to get something.

use crate::endpoint::{Endpoint, Link, Side};
use crate::loops::{monotonic, Span};
use crate::pairs::{sleep_until, PairLoop};
use crate::payload::{Care, Line, Payload};
use crate::workload::{Attention, Audience, Shape, BATCH};
use crate::{signals, Error, Result};

/// Messages between two looks at the clock.
const STRETCH: u64 = 1024;
/// From one message to the next, where all who receive are to be asleep before it, in nanoseconds.
const PAUSE: u64 = 1_000_000;

/// Connects process `number` and makes its loop.
pub fn join<E: Endpoint + 'static>(link: &Link, number: usize) -> Result<Box<dyn PairLoop>> {
    let Shape::Published(Audience { attention, .. }) = link.workload.shape else {
        return Err("nothing is published".into());
    };
    Ok(match number {
        0 => Box::new(Publisher { endpoint: E::connect(link, Side::Near)?, attention, next: 0 }),
        _ => Box::new(Listener { endpoint: E::connect(link, Side::Far)?, attention, next: 0 }),
    })
}

struct Publisher<E> {
    endpoint: E,
    attention: Attention,
    /// The next message's number.
    next: u64,
}

impl<E: Endpoint> Publisher<E> {
    #[inline(never)]
    fn publish(&mut self, count: u64, care: Care) -> Result<()> {
        let mut payload = Line::default();
        for number in self.next..self.next + count {
            payload.fill(number, care);
            self.endpoint.send(payload.bytes())?;
        }
        self.next += count;
        Ok(())
    }
}

impl<E: Endpoint> PairLoop for Publisher<E> {
    /// Says how many messages, and until when it would have taken if this process had done nothing else.
    fn run(&mut self, span: Span, care: Care) -> Result<(u64, u64)> {
        sleep_until(span.start);
        let (first, before) = (self.next, processor_time());
        let mut now = span.start;
        while now < span.end {
            if self.attention == Attention::Asleep {
                self.publish(1, care)?;
                sleep_until(now + PAUSE);
            } else {
                self.publish(STRETCH, care)?;
                std::thread::yield_now();
            }
            signals::check()?;
            now = monotonic();
        }
        Ok((span.start + (processor_time() - before), self.next - first))
    }
}

struct Listener<E> {
    endpoint: E,
    attention: Attention,
    /// The least number that the next message can have.
    next: u64,
}

impl<E: Endpoint> Listener<E> {
    /// Receives a message that is there before `end`; false if none was.
    fn receive(&mut self, end: u64) -> Result<bool> {
        let mut payload = Line::default();
        if !self.endpoint.recv_before(payload.bytes_mut(), end)? {
            return Ok(false);
        }
        let number = payload.number();
        if number < self.next || !payload.is(number, Care::Full) {
            return Err(Error(format!("a message after {} did not arrive as it was sent", self.next)));
        }
        self.next = number + 1;
        Ok(true)
    }

    /// As many as there are, and at most a batch.
    fn read(&mut self) -> Result<u64> {
        let mut received = 0;
        while received < BATCH as u64 && self.receive(0)? {
            received += 1;
        }
        std::thread::yield_now();
        Ok(received)
    }
}

impl<E: Endpoint> PairLoop for Listener<E> {
    fn run(&mut self, span: Span, care: Care) -> Result<(u64, u64)> {
        let mut received = 0;
        sleep_until(if self.attention == Attention::Idle { span.end } else { span.start });
        let mut now = monotonic();
        while now < span.end {
            received += match self.attention {
                Attention::Reading => self.read()?,
                _ => self.receive(span.end)?.into(),
            };
            signals::check()?;
            now = monotonic();
        }
        if care == Care::Full && received == 0 && self.attention != Attention::Idle {
            return Err("a subscriber received nothing".into());
        }
        Ok((now, received))
    }
}

/// Nanoseconds of processor time that this process has used.
fn processor_time() -> u64 {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut used) };
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Link;

    /// Delivers these messages, then nothing.
    struct Script(std::collections::VecDeque<Line>);

    impl Endpoint for Script {
        fn connect(_link: &Link, _side: Side) -> Result<Self> {
            Ok(Script(std::collections::VecDeque::new()))
        }

        fn recv_before(&mut self, payload: &mut [u8], _end: u64) -> Result<bool> {
            let next = self.0.pop_front();
            if let Some(message) = &next {
                payload.copy_from_slice(message.bytes());
            }
            Ok(next.is_some())
        }
    }

    fn message(number: u64) -> Line {
        let mut line = Line::default();
        line.fill(number, Care::Full);
        line
    }

    fn received(messages: &[Line]) -> Result<u64> {
        let endpoint = Script(messages.iter().copied().collect());
        let mut listener = Listener { endpoint, attention: Attention::Reading, next: 0 };
        let span = Span { start: 0, end: monotonic() + 1_000_000 };
        listener.run(span, Care::Full).map(|(_, received)| received)
    }

    #[test]
    fn numbers_may_have_gaps_but_do_not_come_again() {
        assert_eq!(received(&[message(0), message(1), message(7)]).expect("gaps are allowed"), 3);
        assert!(received(&[message(3), message(3)]).is_err());
        assert!(received(&[message(3), message(2)]).is_err());
    }

    #[test]
    fn a_torn_message_and_a_subscriber_without_any_are_noticed() {
        let mut torn = message(5);
        torn.bytes_mut()[40..].copy_from_slice(&message(4).bytes()[40..]);
        assert!(received(&[message(4), torn]).is_err());
        assert!(received(&[]).is_err());
    }
}
