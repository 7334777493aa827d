//! ipcx: a pool that every process opens by name, as a Rust program uses it, by ids and with guards.

use ipcx::{Block, BlockId, Deadline, Pool, PoolOptions};

use crate::endpoint::Link;
use crate::lender::Lender;
use crate::workload::{Shape, BLOCK, BLOCKS};
use crate::{while_doing, Result};

/// The name of the pool.
fn name(link: &Link) -> String {
    format!("{}-pool", link.label)
}

/// The first process creates it; the last removes the name, which nobody needs any more.
fn open(link: &Link, number: usize) -> Result<Pool> {
    let name = name(link);
    let options = PoolOptions { block_size: BLOCK as u64, blocks: BLOCKS as u64, ..PoolOptions::default() };
    let pool = match number {
        0 => Pool::create(&name, &options).map_err(while_doing("create"))?,
        _ => Pool::attach(&name).map_err(while_doing("attach"))?,
    };
    if matches!(link.workload.shape, Shape::Pairs(crowd) if crowd.processes == number + 1) {
        ipcx::unlink(&name).map_err(while_doing("unlink"))?;
    }
    Ok(pool)
}

/// Removes the name if a process died before all had attached.
pub fn cleanup(link: &Link) {
    let _gone_already = ipcx::unlink(&name(link));
}

/// By ids, as bindings do.
pub struct Raw(Pool);

impl Lender for Raw {
    type Held<'a> = BlockId;

    fn connect(link: &Link, number: usize) -> Result<Self> {
        open(link, number).map(Raw)
    }

    #[inline(always)]
    fn acquire(&self) -> Result<BlockId> {
        self.0.acquire_raw(Deadline::NEVER).map_err(while_doing("acquire"))
    }

    fn address(&self, held: &BlockId) -> *mut u8 {
        self.0.address(*held).expect("a block of this pool").as_ptr()
    }

    #[inline(always)]
    fn release(&self, held: BlockId) -> Result<()> {
        self.0.release_raw(held).map_err(while_doing("release"))
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}

/// With guards, as programs do.
pub struct Guarded(Pool);

impl Lender for Guarded {
    type Held<'a> = Block<'a>;

    fn connect(link: &Link, number: usize) -> Result<Self> {
        open(link, number).map(Guarded)
    }

    #[inline(always)]
    fn acquire(&self) -> Result<Block<'_>> {
        self.0.acquire().map_err(while_doing("acquire"))
    }

    fn address(&self, held: &Block<'_>) -> *mut u8 {
        held.as_ptr().cast_mut()
    }

    #[inline(always)]
    fn release<'a>(&'a self, held: Block<'a>) -> Result<()> {
        held.release();
        Ok(())
    }

    fn cleanup(link: &Link) {
        cleanup(link);
    }
}
