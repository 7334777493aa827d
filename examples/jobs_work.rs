//! Takes what was pushed to a work queue, does it, and acknowledges it: one of the consumers of the jobs example.
//!
//! ```text
//! jobs_work QUEUE
//! ```
//!
//! It says a line about each message: its process number, `take`, `ack` or `back`, how often the message was delivered, and the
//! message. It ends with the message `closing`. Killed at any moment, it loses nothing: what it had is taken by somebody else.

use ipcx::{Queue, QueueOptions, Result};
use std::time::Duration;

/// What a booking costs.
const WORK: Duration = Duration::from_micros(500);

/// Does what the message says; false if it cannot be done.
fn work(message: &str) -> bool {
    std::thread::sleep(WORK);
    let seat = message.rsplit(' ').next().unwrap_or("");
    !matches!(seat, "0A" | "0B" | "0C" | "0D") // no coach has a row 0
}

fn main() -> Result<()> {
    let Some(name) = std::env::args().nth(1) else { panic!("usage: jobs_work QUEUE") };
    let jobs = Queue::open(&name, &QueueOptions { max_deliveries: 3, ..Default::default() })?;
    let me = std::process::id();
    loop {
        let job = jobs.take()?; // an emergency first; then what came back; then the oldest booking
        let (message, deliveries) = (String::from_utf8_lossy(&job.to_vec()).into_owned(), job.deliveries());
        println!("{me} take {deliveries} {message}");
        if work(&message) {
            job.ack()?; // done: now it is gone
            println!("{me} ack {deliveries} {message}");
        } else {
            job.put_back()?; // not done: it is taken again, or put aside
            println!("{me} back {deliveries} {message}");
        }
        if message == "closing" {
            return Ok(());
        }
    }
}
