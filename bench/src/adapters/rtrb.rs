//! Peer: rtrb, a single-producer single-consumer ring between two threads of one process.
//!
//! It carries elements of one fixed type, here 64 bytes on a cache line, and cannot cross processes. It
//! is given as many bytes as the others. Batches use its chunks, copied in and out slice by slice.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::endpoint::Link;
use crate::{signals, Result};

const MESSAGE: usize = 64;

/// One message.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Element([u8; MESSAGE]);

impl Default for Element {
    fn default() -> Element {
        Element([0; MESSAGE])
    }
}

/// The sending thread's end.
pub struct Near(Producer<Element>);

/// The receiving thread's end.
pub struct Far(Consumer<Element>);

/// Both ends of a new ring.
pub fn connect(link: &Link) -> Result<(Near, Far)> {
    let (producer, consumer) = RingBuffer::new(link.workload.capacity() / MESSAGE);
    Ok((Near(producer), Far(consumer)))
}

impl crate::endpoint::Endpoint for Near {
    fn connect(_link: &Link, _side: crate::endpoint::Side) -> Result<Self> {
        Err("threads only".into())
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        let element = Element(payload.try_into().map_err(|_| "64 bytes only")?);
        signals::spin(|| self.0.push(element).ok())
    }

    #[inline(always)]
    fn send_batch(&mut self, payloads: &[u8], _size: usize) -> Result<()> {
        let count = payloads.len() / MESSAGE;
        signals::spin(|| (self.0.slots() >= count).then_some(()))?;
        let mut chunk = self.0.write_chunk(count).map_err(crate::while_doing("write_chunk"))?;
        let (first, second) = chunk.as_mut_slices();
        let (head, tail) = payloads.split_at(first.len() * MESSAGE);
        for (slots, messages) in [(first, head), (second, tail)] {
            for (slot, message) in slots.iter_mut().zip(messages.chunks_exact(MESSAGE)) {
                slot.0.copy_from_slice(message);
            }
        }
        chunk.commit_all();
        Ok(())
    }
}

impl crate::endpoint::Endpoint for Far {
    fn connect(_link: &Link, _side: crate::endpoint::Side) -> Result<Self> {
        Err("threads only".into())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let element = signals::spin(|| self.0.pop().ok())?;
        payload.copy_from_slice(&element.0);
        Ok(())
    }

    #[inline(always)]
    fn recv_batch(&mut self, payloads: &mut [u8], _size: usize) -> Result<usize> {
        let ready = signals::spin(|| Some(self.0.slots()).filter(|&slots| slots > 0))?;
        let chunk = self
            .0
            .read_chunk(ready.min(payloads.len() / MESSAGE))
            .map_err(crate::while_doing("read_chunk"))?;
        let (first, second) = chunk.as_slices();
        let count = first.len() + second.len();
        let (head, tail) = payloads.split_at_mut(first.len() * MESSAGE);
        for (slots, messages) in [(first, head), (second, tail)] {
            for (slot, message) in slots.iter().zip(messages.chunks_exact_mut(MESSAGE)) {
                message.copy_from_slice(&slot.0);
            }
        }
        chunk.commit_all();
        Ok(count)
    }
}
