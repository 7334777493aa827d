//! ipcx: blocks of a pool handed over through two rings, one per direction, as a Rust program does it.
//!
//! The near side creates the pool and the rings; the far side attaches and removes the names. What arrives is released, and
//! what is sent is acquired anew; with `BACK`, what arrived is what is sent next.

use ipcx::{
    Block, BlockId, Consumer, Pool, PoolOptions, Producer, Ring, RingOptions, SegmentOptions, WaitStrategy,
};

use crate::endpoint::{Endpoint, Link, Side};
use crate::{while_doing, Result};

/// One end: the pool, the producer of one ring and the consumer of the other.
pub struct BlockEnd<const BACK: bool> {
    out: Producer,
    inward: Consumer,
    /// The block that arrived and goes back.
    arrived: Option<BlockId>,
    pool: Pool,
}

/// The names of the pool, and of the rings there and back.
fn names(link: &Link) -> [String; 3] {
    ["pool", "there", "back"].map(|part| format!("{}-{part}", link.label))
}

fn segment(link: &Link) -> SegmentOptions {
    let wait = if link.workload.blocks() { WaitStrategy::Block } else { WaitStrategy::Spin };
    SegmentOptions { wait, ..SegmentOptions::default() }
}

fn pool(link: &Link, side: Side, name: &str) -> Result<Pool> {
    if side == Side::Near {
        let block_size = link.workload.size as u64;
        let options = PoolOptions { block_size, segment: segment(link), ..PoolOptions::default() };
        return Pool::create(name, &options).map_err(while_doing("create"));
    }
    Pool::attach(name).map_err(while_doing("attach"))
}

fn ring(link: &Link, side: Side, name: &str) -> Result<Ring> {
    if side == Side::Near {
        let options = RingOptions { segment: segment(link), ..RingOptions::default() };
        return Ring::create(name, &options).map_err(while_doing("create"));
    }
    Ring::attach(name).map_err(while_doing("attach"))
}

impl<const BACK: bool> Endpoint for BlockEnd<BACK> {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let [pool_name, there, back] = names(link);
        let pool = pool(link, side, &pool_name)?;
        let (there, back) = (ring(link, side, &there)?, ring(link, side, &back)?);
        let (out, inward) = if side == Side::Near { (there, back) } else { (back, there) };
        let end = BlockEnd {
            out: out.producer().map_err(while_doing("producer"))?,
            inward: inward.consumer().map_err(while_doing("consumer"))?,
            arrived: None,
            pool,
        };
        if side == Side::Far {
            Self::cleanup(link);
        }
        Ok(end)
    }

    #[inline(always)]
    fn send_in_place(&mut self, size: usize, head: &[u8]) -> Result<()> {
        let mut block: Block<'_> = match self.arrived.take() {
            Some(id) => self.pool.block(id).map_err(while_doing("block"))?,
            None => self.pool.acquire().map_err(while_doing("acquire"))?,
        };
        block.write_at(0, head).map_err(while_doing("write_at"))?;
        block.set_len(size).map_err(while_doing("set_len"))?;
        self.out.send_block(block).map_err(while_doing("send_block"))
    }

    #[inline(always)]
    fn recv_in_place(&mut self, head: &mut [u8]) -> Result<usize> {
        let block = self.inward.recv_block(&self.pool).map_err(while_doing("recv_block"))?;
        block.read_at(0, head).map_err(while_doing("read_at"))?;
        let len = block.len();
        if BACK {
            self.arrived = Some(block.into_id());
        } else {
            block.release();
        }
        Ok(len)
    }

    fn cleanup(link: &Link) {
        for name in names(link) {
            let _gone_already = ipcx::unlink(&name);
        }
    }
}
