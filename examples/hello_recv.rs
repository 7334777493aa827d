//! Waits for one record and prints it.

use ipcx::Ring;

fn main() -> ipcx::Result<()> {
    let mut rx = Ring::open("hello", &Default::default())?.consumer()?;
    let record = rx.borrow()?;
    println!("{}", String::from_utf8_lossy(&record.to_vec()));
    record.release();
    ipcx::unlink("hello") // the next hello begins with a new ring
}
