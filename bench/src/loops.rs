//! The message loops: what each side does in a round, generic over the contender.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::endpoint::{Endpoint, Side};
use crate::payload::{Care, Line, Lines, Payload};
use crate::workload::{Shape, Workload, BATCH};
use crate::{Error, Result};

/// When a side was at work, on the monotonic clock that all processes share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Nanoseconds at the start.
    pub start: u64,
    /// Nanoseconds at the end.
    pub end: u64,
}

/// One side of one case, ready to run rounds.
pub trait MessageLoop {
    /// Carries `count` messages.
    fn run(&mut self, count: u64, care: Care) -> Result<Span>;

    /// As `run`, noting the time of each round trip. Only the near side of a round trip can.
    fn sample(&mut self, count: u64, times: &mut Histogram<u64>) -> Result<Span>;
}

/// The loop for `workload` over `endpoint`: for messages of 64 bytes, compiled for that length.
pub fn message_loop<E: Endpoint + 'static>(
    endpoint: E,
    side: Side,
    workload: Workload,
) -> Result<Box<dyn MessageLoop>> {
    let one_line = workload.size == size_of::<Line>();
    if workload.shape == Shape::Batch && !one_line {
        return Err("batches are of messages of 64 bytes".into());
    }
    let batch = vec![Line::default(); if workload.shape == Shape::Batch { BATCH } else { 0 }];
    Ok(match one_line {
        true => Box::new(Loop { endpoint, side, workload, next: 0, payload: Box::<Line>::default(), batch }),
        false => {
            let payload = Box::new(Lines::new(workload.size));
            Box::new(Loop { endpoint, side, workload, next: 0, payload, batch })
        }
    })
}

struct Loop<E, P> {
    endpoint: E,
    side: Side,
    workload: Workload,
    /// The next message's number.
    next: u64,
    payload: Box<P>,
    batch: Vec<Line>,
}

impl<E: Endpoint, P: Payload> Loop<E, P> {
    #[inline(always)]
    fn send(&mut self, number: u64, care: Care) -> Result<()> {
        self.payload.fill(number, care);
        self.endpoint.send(self.payload.bytes())
    }

    #[inline(always)]
    fn recv(&mut self, number: u64, care: Care) -> Result<()> {
        self.endpoint.recv(self.payload.bytes_mut())?;
        if self.payload.is(number, care) {
            return Ok(());
        }
        Err(damaged(number))
    }

    fn one_way(&mut self, count: u64, care: Care) -> Result<()> {
        let numbers = self.next..self.next + count;
        if self.side == Side::Near {
            for number in numbers {
                self.send(number, care)?;
            }
        } else {
            for number in numbers {
                self.recv(number, care)?;
            }
        }
        Ok(())
    }

    fn round_trip(&mut self, count: u64, care: Care) -> Result<()> {
        let numbers = self.next..self.next + count;
        if self.side == Side::Near {
            for number in numbers {
                self.send(number, care)?;
                self.recv(number, care)?;
            }
        } else {
            for number in numbers {
                self.recv(number, care)?;
                // The answer is the payload that arrived, so the near side checks both ways.
                self.endpoint.send(self.payload.bytes())?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn send_in_place(&mut self, number: u64, care: Care) -> Result<()> {
        if care == Care::Stamps {
            return self.endpoint.send_in_place(self.workload.size, &number.to_ne_bytes());
        }
        self.payload.fill(number, care);
        self.endpoint.send_in_place(self.workload.size, self.payload.bytes())
    }

    #[inline(always)]
    fn recv_in_place(&mut self, number: u64, care: Care) -> Result<()> {
        let mut first = [0; 8];
        let (len, arrived) = match care {
            Care::Stamps => {
                let len = self.endpoint.recv_in_place(&mut first)?;
                (len, u64::from_ne_bytes(first) == number)
            }
            Care::Full => {
                let len = self.endpoint.recv_in_place(self.payload.bytes_mut())?;
                (len, self.payload.is(number, care))
            }
        };
        if arrived && len == self.workload.size {
            return Ok(());
        }
        Err(damaged(number))
    }

    fn in_place(&mut self, count: u64, care: Care) -> Result<()> {
        for number in self.next..self.next + count {
            if self.side == Side::Near {
                self.send_in_place(number, care)?;
            }
            self.recv_in_place(number, care)?;
            if self.side == Side::Far {
                self.send_in_place(number, care)?;
            }
        }
        Ok(())
    }

    fn one_way_in_place(&mut self, count: u64, care: Care) -> Result<()> {
        for number in self.next..self.next + count {
            match self.side {
                Side::Near => self.send_in_place(number, care)?,
                Side::Far => self.recv_in_place(number, care)?,
            }
        }
        Ok(())
    }

    fn batches(&mut self, count: u64, care: Care) -> Result<()> {
        let size = size_of::<Line>();
        let mut left = self.next..self.next + count;
        while !left.is_empty() {
            if self.side == Side::Near {
                for payload in &mut self.batch {
                    payload.fill(left.start, care);
                    left.start += 1;
                }
                self.endpoint.send_batch(bytes_of(&self.batch), size)?;
            } else {
                let received = self.endpoint.recv_batch(bytes_of_mut(&mut self.batch), size)?;
                for payload in &self.batch[..received] {
                    if !payload.is(left.start, care) {
                        return Err(damaged(left.start));
                    }
                    left.start += 1;
                }
            }
        }
        Ok(())
    }
}

impl<E: Endpoint, P: Payload> MessageLoop for Loop<E, P> {
    fn run(&mut self, count: u64, care: Care) -> Result<Span> {
        let start = monotonic();
        match self.workload.shape {
            Shape::OneWay | Shape::ToAll(_) => self.one_way(count, care)?,
            Shape::RoundTrip => self.round_trip(count, care)?,
            Shape::Batch => self.batches(count, care)?,
            Shape::InPlace => self.in_place(count, care)?,
            Shape::OneWayInPlace => self.one_way_in_place(count, care)?,
            Shape::Pairs(_) | Shape::Published(_) => {
                return Err("nothing is carried from side to side".into())
            }
        }
        self.next += count;
        Ok(Span { start, end: monotonic() })
    }

    fn sample(&mut self, count: u64, times: &mut Histogram<u64>) -> Result<Span> {
        let start = monotonic();
        let mut before = Instant::now();
        for _message in 0..count {
            match self.workload.shape {
                Shape::RoundTrip => self.round_trip(1, Care::Stamps)?,
                Shape::InPlace => self.in_place(1, Care::Stamps)?,
                _ => return Err("only a round trip has a time of its own".into()),
            }
            self.next += 1;
            let after = Instant::now();
            times.saturating_record(nanoseconds(after - before));
            before = after;
        }
        Ok(Span { start, end: monotonic() })
    }
}

fn bytes_of(batch: &[Line]) -> &[u8] {
    // SAFETY: payloads are whole cache lines of u64 without padding, one after the other.
    unsafe { std::slice::from_raw_parts(batch.as_ptr().cast(), size_of_val(batch)) }
}

fn bytes_of_mut(batch: &mut [Line]) -> &mut [u8] {
    // SAFETY: as `bytes_of`; any bit pattern is a valid payload.
    unsafe { std::slice::from_raw_parts_mut(batch.as_mut_ptr().cast(), size_of_val(batch)) }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds on CLOCK_MONOTONIC.
pub fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cold]
fn damaged(number: u64) -> Error {
    Error(format!("message {number} did not arrive as it was sent"))
}
