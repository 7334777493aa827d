//! Pushes seat bookings to a work queue: one of the producers of the jobs example.
//!
//! ```text
//! jobs_push QUEUE COUNT
//! ```
//!
//! Every fortieth is of row 0, which no coach has: whoever takes it puts it back, until it is put aside.

use ipcx::{Queue, QueueOptions, Result};

const ROWS: usize = 40;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &arguments[..] else { panic!("usage: jobs_push QUEUE COUNT") };
    let jobs = Queue::open(name, &QueueOptions { max_deliveries: 3, ..Default::default() })?;
    for number in 0..count.parse().expect("COUNT is a number") {
        let seat = ["A", "B", "C", "D"][number % 4];
        // Once this returned, the booking is in the queue, whatever becomes of this process. It waits while the queue is full.
        jobs.push(format!("Rust {number} {}{seat}", number % ROWS).as_bytes(), 0)?;
    }
    Ok(())
}
