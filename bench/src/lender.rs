//! The interface of a contender that lends blocks of one size: to one process, or to several at a time.

use std::os::fd::OwnedFd;

use crate::endpoint::Link;
use crate::Result;

/// One process's access to the blocks.
pub trait Lender: Sized {
    /// A block that this process has. It goes back with [`Lender::release`] only.
    type Held<'a>
    where
        Self: 'a;

    /// Makes what all processes need before the first starts. The coordinator holds the descriptors.
    fn prepare(_link: &Link) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    /// Connects process `number`. The others connect when number 0 is ready.
    fn connect(link: &Link, number: usize) -> Result<Self>;

    /// A block that nobody has.
    fn acquire(&self) -> Result<Self::Held<'_>>;

    /// Where its bytes are, aligned to 8.
    fn address(&self, held: &Self::Held<'_>) -> *mut u8;

    /// Gives it back.
    fn release<'a>(&'a self, held: Self::Held<'a>) -> Result<()>;

    /// Removes what a killed worker may have left behind. Called by the coordinator at the end.
    fn cleanup(_link: &Link) {}
}
