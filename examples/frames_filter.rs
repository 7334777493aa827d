//! The middle of the frames example: takes frames from one ring, inverts them where they lie, and passes them on to another.
//!
//! ```text
//! frames_filter POOL IN OUT
//! ```
//!
//! A frame that it owns when it is killed is gone, half inverted: its block goes back to the pool, and nobody sees it.
//! Started again, it takes the roles over and goes on with the next one.

use ipcx::{Block, Consumer, Error, Pool, PoolOptions, Producer, Result, Ring};
use std::time::Duration;

const BLOCKS: u64 = 8;
/// In front of the picture: number, time, id of the block, how many filters, width and height, in 64 bytes.
const HEADER: usize = 64;
const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
/// Behind the picture, the number again.
const SEAL: usize = HEADER + WIDTH * HEIGHT;
const FRAME: usize = SEAL + 8;
const FILTERS: usize = 24;

/// Inverts a frame, row by row.
fn invert(block: &mut Block) {
    let which = block.id().get() & 0xfff_ffff;
    assert_eq!(block.len(), FRAME, "this is no frame");
    // SAFETY: the block is this process's, and the others keep to the protocol, as this one does.
    let frame = unsafe { block.as_mut_slice() };
    let field = |at: usize| u64::from_ne_bytes(frame[at..][..8].try_into().expect("8 bytes"));
    assert_eq!(field(0), field(SEAL), "the frame is torn");
    assert_eq!(field(16), which, "the frame was made in another block");
    let filters = field(FILTERS) + 1;
    for row in frame[HEADER..SEAL].chunks_exact_mut(WIDTH) {
        row.iter_mut().for_each(|pixel| *pixel = !*pixel);
    }
    frame[FILTERS..][..8].copy_from_slice(&filters.to_ne_bytes());
}

/// What a neighbour's death costs: until it is started again, some time.
fn wait_for_successor() {
    std::thread::sleep(Duration::from_millis(5));
}

/// The next frame, or `None` after the last one.
fn receive<'p>(rx: &mut Consumer, pool: &'p Pool) -> Result<Option<Block<'p>>> {
    loop {
        match rx.recv_block(pool) {
            Ok(block) => return Ok(Some(block)),
            Err(Error::PeerDead(_)) => wait_for_successor(),
            Err(Error::Closed(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Passes a frame on.
fn pass_on(tx: &mut Producer, mut block: Block) -> Result<()> {
    while let Err(unsent) = tx.send_block(block) {
        if !matches!(unsent.error, Error::PeerDead(_)) {
            return Err(unsent.error);
        }
        block = unsent.block;
        wait_for_successor();
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pool, from, to] = &arguments[..] else { panic!("usage: frames_filter POOL IN OUT") };
    let options = PoolOptions { block_size: FRAME as u64, blocks: BLOCKS, ..Default::default() };
    let pool = Pool::open(pool, &options)?;
    let mut rx = Ring::open(from, &Default::default())?.consumer()?;
    let mut tx = Ring::open(to, &Default::default())?.producer()?;
    while let Some(mut block) = receive(&mut rx, &pool)? {
        invert(&mut block);
        pass_on(&mut tx, block)?;
    }
    Ok(())
}
