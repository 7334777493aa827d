//! Sends one record; hello_recv, in C, Python or Rust, prints it.

use ipcx::Ring;

fn main() -> ipcx::Result<()> {
    let mut tx = Ring::open("hello", &Default::default())?.producer()?;
    tx.send(b"hello from Rust")
}
