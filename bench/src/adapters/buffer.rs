//! ipcx: buffers, as two processes use them to show each other values, and alone; its lock, and a semaphore of one permit.

use std::cell::Cell;
use std::os::fd::OwnedFd;

use ipcx::{Buffer, BufferOptions, Deadline, SegmentOptions, Semaphore, SemaphoreOptions, WaitStrategy};

use crate::endpoint::{Endpoint, Link, Side};
use crate::lender::Lender;
use crate::memory::{self, Mapping};
use crate::workload::{Shape, BLOCK};
use crate::{while_doing, Result};

/// Bytes of the value that is written and read.
const VALUE: usize = 64;

fn options(link: &Link) -> BufferOptions {
    let wait = match link.workload.shape {
        Shape::Pairs(_) => WaitStrategy::Balanced, // the default
        _ if link.workload.blocks() => WaitStrategy::Block,
        _ => WaitStrategy::Spin,
    };
    let segment = SegmentOptions { wait, ..SegmentOptions::default() };
    BufferOptions { capacity: link.workload.size as u64, segment }
}

/// One end: writes one buffer and waits for versions of the other.
pub struct BufferEnd {
    out: Buffer,
    inward: Buffer,
    seen: u64,
    /// Bytes in a message; opaque to the compiler.
    size: usize,
}

fn names(link: &Link) -> [String; 2] {
    ["there", "back"].map(|direction| format!("{}-{direction}", link.label))
}

fn buffer(link: &Link, creates: bool, removes: bool, name: &str) -> Result<Buffer> {
    let buffer = match creates {
        true => Buffer::create(name, &options(link)).map_err(while_doing("create"))?,
        false => Buffer::attach(name).map_err(while_doing("attach"))?,
    };
    if removes {
        ipcx::unlink(name).map_err(while_doing("unlink"))?;
    }
    Ok(buffer)
}

/// Removes the names if a process died before all had attached.
fn cleanup(link: &Link) {
    for name in names(link) {
        let _gone_already = ipcx::unlink(&name);
    }
}

impl Endpoint for BufferEnd {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let near = side == Side::Near;
        let [there, back] = names(link);
        let (there, back) = (buffer(link, near, !near, &there)?, buffer(link, near, !near, &back)?);
        let (out, inward) = if near { (there, back) } else { (back, there) };
        Ok(BufferEnd { out, inward, seen: 0, size: std::hint::black_box(link.workload.size) })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.out.write(&payload[..self.size]).map(drop).map_err(while_doing("write"))
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        self.inward.wait(self.seen).map_err(while_doing("wait"))?;
        let (len, version) = self.inward.read(payload).map_err(while_doing("read"))?;
        self.seen = version;
        if len != self.size {
            return Err("a value had another length".into());
        }
        Ok(())
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}

/// The processes of a crowd share a buffer: number 0 makes it, the last one removes its name.
fn shared(link: &Link, number: usize) -> Result<Buffer> {
    buffer(link, number == 0, is_last(link, number), &names(link)[0])
}

fn is_last(link: &Link, number: usize) -> bool {
    matches!(link.workload.shape, Shape::Pairs(crowd) if crowd.processes == number + 1)
}

/// What whoever has the lock may touch.
fn guarded() -> Result<Vec<OwnedFd>> {
    Ok(vec![memory::create(BLOCK)?])
}

/// One write of 64 bytes, which nobody contends for, as the acquire of a pair.
pub struct Write(Buffer, Mapping, Cell<u64>);

impl Lender for Write {
    type Held<'a> = ();

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        guarded()
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        Ok(Write(shared(link, number)?, Mapping::of(link.fds[0], BLOCK)?, Cell::new(0)))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<()> {
        self.2.set(self.2.get() + 1);
        let value = std::hint::black_box([self.2.get(); VALUE / 8]);
        self.0.write_value(&value).map(drop).map_err(while_doing("write"))
    }

    fn address(&self, (): &()) -> *mut u8 {
        self.1.start()
    }

    #[inline(always)]
    fn release(&self, (): ()) -> Result<()> {
        Ok(())
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}

/// One read of 64 bytes, while nobody writes.
pub struct Read(Buffer, Mapping);

impl Lender for Read {
    type Held<'a> = ();

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        guarded()
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        let buffer = shared(link, number)?;
        buffer.write(&[7; VALUE]).map_err(while_doing("write"))?;
        Ok(Read(buffer, Mapping::of(link.fds[0], BLOCK)?))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<()> {
        let mut value = [0; VALUE];
        let (len, _) = self.0.read(&mut value).map_err(while_doing("read"))?;
        if len != VALUE || std::hint::black_box(&value)[VALUE - 1] != 7 {
            return Err("another value".into());
        }
        Ok(())
    }

    fn address(&self, (): &()) -> *mut u8 {
        self.1.start()
    }

    #[inline(always)]
    fn release(&self, (): ()) -> Result<()> {
        Ok(())
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}

/// The lock by itself: of a buffer whose value is empty.
pub struct Lock(Buffer, Mapping);

impl Lender for Lock {
    type Held<'a> = ();

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        guarded()
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        Ok(Lock(shared(link, number)?, Mapping::of(link.fds[0], BLOCK)?))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<()> {
        self.0.lock_raw(Deadline::NEVER).map_err(while_doing("lock"))
    }

    fn address(&self, (): &()) -> *mut u8 {
        self.1.start()
    }

    #[inline(always)]
    fn release(&self, (): ()) -> Result<()> {
        self.0.abandon_raw().map_err(while_doing("abandon"))
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}

/// A semaphore of one permit.
pub struct OnePermit(Semaphore, Mapping);

impl Lender for OnePermit {
    type Held<'a> = ipcx::Permit<'a>;

    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        guarded()
    }

    fn connect(link: &Link, number: usize) -> Result<Self> {
        let name = &names(link)[0];
        let semaphore = match number {
            0 => Semaphore::create(name, &SemaphoreOptions::default()).map_err(while_doing("create"))?,
            _ => Semaphore::attach(name).map_err(while_doing("attach"))?,
        };
        if is_last(link, number) {
            ipcx::unlink(name).map_err(while_doing("unlink"))?;
        }
        Ok(OnePermit(semaphore, Mapping::of(link.fds[0], BLOCK)?))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<ipcx::Permit<'_>> {
        self.0.acquire().map_err(while_doing("acquire"))
    }

    fn address(&self, _held: &ipcx::Permit<'_>) -> *mut u8 {
        self.1.start()
    }

    #[inline(always)]
    fn release<'a>(&'a self, held: ipcx::Permit<'a>) -> Result<()> {
        held.release();
        Ok(())
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}
