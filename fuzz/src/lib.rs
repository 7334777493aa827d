//! What the fuzz targets do with their bytes. Each is a function that panics if ipcx breaks a promise, so that any program
//! can run it: libFuzzer's, and the test that plays the seeds and what was once found (`tests/fuzz.rs`).
//!
//! | file | what is in it |
//! |---|---|
//! | `input` | bytes taken for numbers |
//! | `image` | a segment's bytes, as docs/segment-format.md has them, and a ring that is used again and again |
//! | `attach`, `reader`, `operations`, `options`, `pool` | the targets |
//! | `sending`, `receiving` | the calls of `operations` |
//! | `model` | the queue that it is compared with |
//! | `seeds` | inputs to start from |

mod attach;
mod image;
mod input;
mod model;
mod operations;
mod options;
mod pool;
mod reader;
mod receiving;
mod seeds;
mod sending;

pub use self::{
    attach::attach,
    operations::{descriptors, operations},
    options::options,
    pool::pool,
    reader::ring_reader,
    seeds::seeds,
};

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("attach", attach),
    ("ring_reader", ring_reader),
    ("operations", operations),
    ("options", options),
    ("descriptors", descriptors),
    ("pool", pool),
];
