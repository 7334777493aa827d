//! ipcx: any of its transports, as a program uses them that chooses one by its word, with the options that it has by itself.
//!
//! Whoever spins asks again and again with calls that do not wait; whoever blocks makes calls that wait. Ends without a name
//! are made by the coordinator, which leaves no name behind; only a FIFO needs one.

use std::os::fd::{FromRawFd, OwnedFd};

use ipcx::{Deadline, Receiver, Sender, Transport, TransportOptions};

use crate::endpoint::{Endpoint, Link, Side};
use crate::{signals, while_doing, Error, Result};

/// What the names of these contenders begin with; the word follows.
const PREFIX: &str = "transport-";

/// One end: the sender of one direction and the receiver of the other.
pub struct TransportEnd {
    out: Sender,
    inward: Receiver,
    spins: bool,
}

fn transport(link: &Link) -> Result<Transport> {
    let word = link.contender.strip_prefix(PREFIX).unwrap_or(&link.contender);
    word.parse().map_err(while_doing("transport"))
}

fn options(link: &Link) -> TransportOptions {
    TransportOptions { message_size: link.workload.size, ..TransportOptions::default() }
}

/// The names there and back, where there must be names.
fn names(link: &Link) -> [String; 2] {
    ["there", "back"].map(|direction| format!("{}-{direction}", link.label))
}

/// What a call said that does not wait: nothing, if it would have to.
fn unless_it_would_block<T>(outcome: ipcx::Result<T>) -> Option<ipcx::Result<T>> {
    match outcome {
        Err(ipcx::Error::WouldBlock(_)) => None,
        outcome => Some(outcome),
    }
}

impl Endpoint for TransportEnd {
    fn prepare(link: &Link) -> Result<Vec<OwnedFd>> {
        let transport = transport(link)?;
        let mut ends = Vec::new();
        if transport != Transport::Fifo {
            for _direction in 0..2 {
                let (tx, rx) = transport.pair(&options(link))?;
                ends.extend([tx.into_fd()?, rx.into_fd()?]);
            }
        }
        Ok(ends)
    }

    fn connect(link: &Link, side: Side) -> Result<Self> {
        let (transport, spins) = (transport(link)?, !link.workload.blocks());
        let [there, back] = names(link);
        let (out, inward) = match (&link.fds[..], side) {
            // SAFETY: inherited for this endpoint alone; each side takes its own two of the four.
            (&[tx, _, _, rx], Side::Near) | (&[_, rx, tx, _], Side::Far) => unsafe {
                let [tx, rx] = [tx, rx].map(|fd| OwnedFd::from_raw_fd(fd));
                (transport.sender_from_fd(tx)?, transport.receiver_from_fd(rx)?)
            },
            (_, side) => {
                let (out, inward) = if side == Side::Near { (there, back) } else { (back, there) };
                (transport.sender(&out, &options(link))?, transport.receiver(&inward, &options(link))?)
            }
        };
        Ok(TransportEnd { out, inward, spins })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        if self.spins {
            return Ok(signals::spin(|| unless_it_would_block(self.out.try_send(payload)))??);
        }
        Ok(self.out.send_until(payload, Deadline::NEVER)?)
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let len = if self.spins {
            signals::spin(|| unless_it_would_block(self.inward.try_recv(payload)))??
        } else {
            self.inward.recv_until(payload, Deadline::NEVER)?
        };
        if len != payload.len() {
            return Err(Error::from("a message had another length"));
        }
        Ok(())
    }

    fn cleanup(link: &Link) {
        for name in names(link) {
            if let Ok(Transport::Fifo) = transport(link) {
                let _gone_already = Transport::Fifo.unlink(&name, &TransportOptions::default());
            }
        }
    }
}
