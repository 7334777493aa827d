//! An ipcx ring in a tokio program: its descriptor tells the event loop when there is something to receive.
//!
//!     tokio_receive NAME        prints each record of the ring, until its producer closes

use ipcx::{Consumer, Error, Ring};
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// A consumer that can be awaited.
struct AsyncConsumer {
    ready: AsyncFd<OwnedFd>,
    rx: Consumer,
}

impl AsyncConsumer {
    fn new(mut rx: Consumer) -> Result<AsyncConsumer, Box<dyn std::error::Error>> {
        // A copy of the descriptor, which tokio may own; the consumer keeps its own.
        let fd = rx.poll_fd()?.try_clone_to_owned()?;
        // SAFETY: an OwnedFd is one descriptor, open as long as it lives. (With an older tokio: `AsyncFd::with_interest`.)
        let ready = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(AsyncConsumer { ready, rx })
    }

    /// Cancelling this loses nothing: a record is received in one step, or not yet.
    async fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Box<dyn std::error::Error>> {
        loop {
            match self.rx.try_recv(buffer) {
                // A call that finds nothing arms the descriptor, so that the next record makes it readable.
                Err(Error::WouldBlock(_)) => self.ready.readable().await?.clear_ready(),
                done => return Ok(done?),
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("usage: tokio_receive NAME")?;
    let mut rx = AsyncConsumer::new(Ring::open(&name, &Default::default())?.consumer()?)?;
    let mut buffer = [0; 4096];
    loop {
        match rx.recv(&mut buffer).await {
            Ok(len) => println!("{}", String::from_utf8_lossy(&buffer[..len])),
            Err(error) if matches!(error.downcast_ref(), Some(Error::Closed(_))) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
